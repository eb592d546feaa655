"""A candidate's results stand apart from those of the job whose documents it reads too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import Reason, UsageError
from pipeline.records import DocumentRef, Failure
from pipeline.review.desk import Desk
from pipeline.store import Job, Shadow, Store
from pipeline.store.shadows import is_chosen
from pipeline.store.views import of
from tests.store import samples
from tests.store.conftest import Typed
from tests.store.samples import INVOICE, finish, invoice, refs
from tests.store.test_input_vat import ask, made, put


def shadow_of(store: Store, job: Job, share: float = 1.0, name: str = "june-shadow") -> Job:
    return samples.job(store, name, checkpoint="d" * 64, shadow=Shadow(job.id, share))


@pytest.mark.medium
def test_a_share_is_always_the_same_documents_and_a_smaller_one_lies_within(store: Store) -> None:
    job = samples.job(store)
    files = tuple(DocumentRef(f"/in/m-{side}.jpg", 5, f"e{side}") for side in ("front", "back"))
    broken = DocumentRef("/in/broken", failure=Failure(Reason.manifest_line, "no name"))
    store.ledger.add(job, [*refs(*(f"{i}.pdf" for i in range(1200))), DocumentRef.of_parts(files), broken])
    everything = list(store.chosen(job, 1.0))
    by_uri = {ref.uri: ref for ref in everything}
    assert len(everything) == len(by_uri) == 1202
    assert by_uri["/in/0.pdf"] == DocumentRef("/in/0.pdf", 10, "etag-0.pdf")
    assert by_uri["/in/m-front.jpg"].parts == files and by_uri["/in/m-front.jpg"].size == 10
    assert by_uri["/in/broken"].failure == Failure(Reason.manifest_line, "no name")
    some = {ref.uri for ref in store.chosen(job, 0.1)}
    assert some == {ref.uri for ref in everything if is_chosen(ref.uri, 0.1)} and 80 < len(some) < 160
    assert {ref.uri for ref in store.chosen(job, 0.02)} < some
    shadow = shadow_of(store, job, 0.1)
    assert store.ledger.add(shadow, store.chosen(job, 0.1)).added == len(some)
    assert store.ledger.add(shadow, store.chosen(job, 0.1)).added == 0


@pytest.mark.medium
def test_views_and_exports_of_the_job_never_show_the_candidates_values(store: Store, tmp_path: Path) -> None:
    job = samples.job(store)
    shadow = shadow_of(store, job)
    for one, number in ((job, "7"), (shadow, "8")):
        store.ledger.add(one, refs("a"))
        [lease] = store.ledger.claim(one, "w", 1, 60)
        finish(store, lease, invoice(number))
    with store.query("SELECT job, number FROM invoice_v1") as rows:
        assert list(rows) == [("june", "7")]
    with store.query("SELECT job, number FROM _shadow_invoice_v1") as rows:
        assert list(rows) == [("june-shadow", "8")]
    with store.query("SELECT count(*) FROM _shadow_invoice_v1_lines") as rows:
        assert list(rows) == [(2,)]
    store.export(job, tmp_path / "rows.csv")
    text = (tmp_path / "rows.csv").read_text("utf-8")
    assert text.count("/in/a") == 1
    assert not {view.name for view in job.views} & {view.name for view in shadow.views}


@pytest.mark.medium
def test_questions_over_the_store_do_not_count_a_shadow(store: Store) -> None:
    put(store, a=made("1", total=1_100_000))
    [job] = store.jobs.all()
    shadow = samples.job(store, "s", INVOICE, checkpoint="d" * 64, shadow=Shadow(job.id, 1.0))
    store.ledger.add(shadow, store.chosen(job, 1.0))
    [lease] = store.ledger.claim(shadow, "w", 1, 60)
    finish(store, lease, made("2", total=9_900_000, state="review"))
    assert [row[1:] for row in ask(store, "spend-by-supplier", "seller", "invoices", "spent_vnd")] == [
        (1, 1_100_000)
    ]
    assert not [row for row in ask(store, "to-review", "job") if row == ("s",)]


def test_only_its_own_run_goes_on_with_a_shadow(store: Store) -> None:
    job = samples.job(store)
    shadow = shadow_of(store, job, 0.05)
    assert (shadow.shadow_of, shadow.shadow_share) == (job.id, 0.05)
    assert shadow_of(store, job, 0.05) == shadow
    with pytest.raises(UsageError, match="june-shadow is the shadow of a job"):
        samples.job(store, "june-shadow", checkpoint="d" * 64)
    with pytest.raises(UsageError, match=r"was begun with --share 0\.05, not 0\.1"):
        shadow_of(store, job, 0.1)
    with pytest.raises(UsageError, match="june is no shadow"):
        shadow_of(store, job, 0.05, "june")


def test_nobody_is_asked_to_review_a_shadow(store: Store) -> None:
    job = samples.job(store)
    shadow = shadow_of(store, job)
    spec = lambda _: INVOICE  # noqa: E731
    assert Desk(store, None, spec).jobs() == [job]  # type: ignore[arg-type]
    assert Desk(store, None, spec, only=shadow).jobs() == [shadow]  # type: ignore[arg-type]


@pytest.mark.medium
def test_beside_a_shadow_only_its_documents_differ(store: Store, typed: Typed) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c"))
    for lease in store.ledger.claim(job, "w", 3, 60):
        finish(store, lease, invoice("7"))
    shadow = shadow_of(store, job)
    store.ledger.add(shadow, refs("b"))
    [lease] = store.ledger.claim(shadow, "w", 1, 60)
    finish(store, lease, invoice("8"))
    out = typed("diff", "june", "june-shadow")
    assert out.splitlines() == ["/in/b number: 7 → 8", "1 differences"]


@pytest.mark.medium
def test_what_goes_on_with_a_shadow_is_the_command_of_its_job(store: Store, typed: Typed) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    shadow = shadow_of(store, job, 0.5)
    store.ledger.add(shadow, refs("a"))
    [unread] = store.todo(shadow)
    assert unread.next[2:6] == ("--model=demo", "--job=june", "--shadow=demo", "--share=0.5")
    told = json.loads(typed("status", "--job", "june-shadow", "--json"))
    assert (told["shadow_of"], told["shadow_share"]) == ("june", 0.5)


def test_a_long_name_of_a_view_keeps_apart() -> None:
    from dataclasses import replace

    from pipeline.store.shadows import views_of

    base = of(INVOICE)[0]
    long = tuple(replace(base, name="x" * 60 + end) for end in ("ab", "cd"))
    names = [view.name for view in views_of(long)]
    assert len(set(names)) == 2 and all(len(name.encode()) <= 63 for name in names)


def test_only_what_its_listing_broke_is_broken_for_a_shadow(store: Store) -> None:
    job, other = samples.job(store), samples.job(store, "other")
    broken = DocumentRef("/in/broken", failure=Failure(Reason.manifest_line, "no name"))
    store.ledger.add(other, refs("alien"))
    store.ledger.add(job, [*refs("damaged"), broken])
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.ledger.quarantine(lease, Failure(Reason.pdf_damaged, "no xref"))
    assert [(ref.uri, ref.failure) for ref in store.chosen(job, 1.0)] == [
        ("/in/damaged", None),  # by the candidate's reader it may be none
        ("/in/broken", broken.failure),
    ]
