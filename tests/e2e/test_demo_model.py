"""The model that ships with the repository reads fresh specimens, by the command line, from files."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Command

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kind", "least"), [("id_card", 0.88), ("receipt", 0.88), ("invoice", 0.7)])
def test_it_reads_specimens_that_it_never_saw(vinbatch: Command, kind: str, least: float) -> None:
    """Its seeds are none of those drawn for training; the floor is below what its card says."""
    vinbatch("specimens", "--out", "in", "--count", 4, "--kind", kind, "--seed", 5_000, "--lines", 5)
    said = vinbatch(
        *("eval", "in", "--schema", f"{kind}@1", "--model", "demo", "--truth", "in/truth.jsonl"),
        *("--store", "sqlite:///rows.db", "--job", "read", "--json", "scores.json"),
    )
    vinbatch(
        "report", "read", "--store", "sqlite:///rows.db", "--truth", "in/truth.jsonl", "--out", "page.html"
    )
    assert "4 documents with truth" in said
    scores = json.loads((vinbatch.folder / "scores.json").read_text())
    assert scores["documents"] == 4
    assert scores["total"]["recall"] >= least
    assert (vinbatch.folder / "page.html").read_text().count("<img") >= 1


def test_a_receipt_that_does_not_fit_beside_its_page_is_read_in_passes(vinbatch: Command) -> None:
    """The room for an answer is less than a receipt of four or five lines takes; every line comes back."""
    vinbatch.environment["VINBATCH_ENGINE__KV_TOKENS"] = "560"
    vinbatch("specimens", "--out", "in", "--count", 6, "--kind", "receipt", "--seed", 5_000)
    rows = ("--store", "sqlite:///rows.db")
    vinbatch("run", "in", "--schema", "receipt@1", "--model", "demo", "--job", "till", *rows)
    read = vinbatch.rows(
        "SELECT documents.uri, pages.passes, pages.output, (SELECT value FROM fields WHERE path = 'lines' "
        "AND fields.document_id = documents.id) AS lines FROM documents JOIN pages ON document_id = id",
        "sqlite:///rows.db",
    )
    truth = [json.loads(line) for line in (vinbatch.folder / "in/truth.jsonl").read_text().splitlines()]
    printed = {item["file"]: len(item["record"]["lines"]) for item in truth}
    assert {row["uri"].rpartition("/")[2]: int(row["lines"]) for row in read} == printed
    assert sum(row["passes"] > 1 for row in read) >= 2
