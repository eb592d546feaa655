"""Which of two jobs read better: by people's decisions or a file of truth, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.evaluation import reviewed
from pipeline.records import Decision
from pipeline.store import Job, Shadow, Store
from tests.store import samples
from tests.store.conftest import Typed
from tests.store.samples import refs
from tests.store.test_decisions import LINES, RECEIPT, WHOLE, merged, read

WRONG: dict[str, Any] = {"store": "Chợ Mái", "total": "24.000"}


def job_of(store: Store, name: str, shadow: Shadow | None = None, /, **documents: dict[str, Any]) -> Job:
    """Each document as it differs from `WHOLE`."""
    job = samples.job(
        store, name, RECEIPT, settings={"review_below": 0.9}, checkpoint=name * 8, shadow=shadow
    )
    store.ledger.add(job, refs(*documents))
    for lease in store.ledger.claim(job, "w", len(documents), 60):
        page = read(f"{name}{lease.uri}", **documents[lease.uri.removeprefix("/in/")])
        store.results.commit(lease, merged(page), [page], sha256="ab")
    return job


def right(found: dict[str, Any], name: str) -> tuple[int, int, int]:
    [one] = [each for each in found["differences"] if each["name"] == name]
    return one["n"], one["a_only"], one["b_only"]


@pytest.mark.medium
def test_by_what_people_decided(store: Store, typed: Typed) -> None:
    documents = {"a": WRONG, "b": WRONG, "c": {}, "d": WRONG, "e": WRONG}
    first = job_of(store, "june", **documents)
    job_of(store, "cand", Shadow(first.id, 1.0), a={}, b={}, c={"store": "Chợ Nổi"}, d={}, e={})
    # a: somebody put two values right and accepted the rest; b: one value was put right, another looked at
    store.decisions.add(
        first,
        "/in/a",
        [
            Decision("store", "correct", "an", raw="Chợ Mới"),
            Decision("total", "correct", "an", raw="42.000"),
            Decision(None, "accept", "an"),
        ],
    )
    store.decisions.add(
        first, "/in/b", [Decision("total", "correct", "an", raw="42.000"), Decision("date", "accept", "an")]
    )
    store.decisions.add(first, "/in/c", [Decision(None, "accept", "an")])
    store.decisions.add(first, "/in/d", [Decision(None, "reject", "an")])
    store.decisions.add(first, "/in/e", [Decision("total", "illegible", "an")])
    known = reviewed.known(store.results.extractions(first), RECEIPT)
    assert {uri: one.partly and set(one.partly) for uri, one in known.items()} == {
        "/in/a": None,
        "/in/b": {"total", "date"},
        "/in/c": None,
    }
    assert reviewed.documents(known) == (2, 1)
    found = json.loads(typed("diff", "june", "cand", "--against", "decisions", "--json"))
    assert (found["a"], found["b"], found["n"], found["items"]) == ("june", "cand", 3, "documents")
    assert right(found, "documents right") == (2, 1, 1)
    assert right(found, "values right") == (11 + 2 + 11, 1, 3)
    out = typed("diff", "june", "cand", "--against", "decisions")
    assert "A is june, B is cand; 3 documents" in out and "McNemar, exact" in out


@pytest.mark.medium
def test_a_line_that_a_person_took_out_is_not_missed_in_the_candidate(store: Store, typed: Typed) -> None:
    extra = {"name": "Kẹo", "quantity": "1", "unit_price": "1.000", "amount": "1.000"}
    first = job_of(store, "june", a={"lines": [LINES[0], extra, LINES[1]]})
    job_of(store, "cand", a={})
    store.decisions.add(
        first, "/in/a", [Decision("lines[1]", "not_on_page", "an"), Decision(None, "accept", "an")]
    )
    found = json.loads(typed("diff", "june", "cand", "--against", "decisions", "--json"))
    assert right(found, "documents right") == (1, 0, 1)
    assert right(found, "values right") == (11, 0, 0)


@pytest.mark.medium
def test_by_a_file_of_truth_and_the_same_by_eval(store: Store, typed: Typed, tmp_path: Path) -> None:
    first = job_of(store, "june", a=WRONG, b=WRONG, c={})
    job_of(store, "cand", a={}, b={}, c={})
    store.decisions.add(
        first, "/in/a", [Decision("store", "correct", "an", raw="Chợ Mới")]
    )  # changes nothing here
    lines = [json.dumps({"file": name, **WHOLE}, ensure_ascii=False) for name in ("a", "b", "c")]
    (tmp_path / "truth.jsonl").write_text("\n".join(lines), encoding="utf-8")
    one = json.loads(typed("diff", "june", "cand", "--against", "truth.jsonl", "--json"))
    assert right(one, "documents right") == (3, 0, 2)
    assert right(one, "values right") == (33, 0, 4)
    out = typed("eval", "--truth", "truth.jsonl", "--compare", "june", "cand", "--json", "both.json")
    assert "A is june, B is cand; 3 documents, the same for both." in out
    assert json.loads((tmp_path / "both.json").read_text("utf-8")) == one
    typed("eval", "--truth", "truth.jsonl", "--job", "june", "--export-stickler", "pairs.jsonl")
    assert len((tmp_path / "pairs.jsonl").read_text("utf-8").splitlines()) == 3


def test_what_cannot_be_compared_is_told(store: Store, typed: Typed, tmp_path: Path) -> None:
    job_of(store, "june", a={})
    job_of(store, "cand", a={})
    samples.job(store, "other")
    assert "nobody has decided anything in job june" in typed(
        "diff", "june", "cand", "--against", "decisions", code=2
    )
    assert "not to be compared" in typed("diff", "june", "other", "--against", "decisions", code=2)
    assert "no truth at nowhere" in typed("diff", "june", "cand", "--against", "nowhere", code=2)
    words = ("eval", "--truth", "t", "--compare", "june", "cand")
    assert "--compare A B names both sides" in typed(*words, "--job", "june", code=2)
