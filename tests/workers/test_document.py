"""A document's way through a lane ends in exactly one row, whatever dies on the way."""

from __future__ import annotations

import asyncio
import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from PIL import Image

from pipeline import run
from pipeline.reading import Commit, Quarantine
from pipeline.records import DocumentRef, Failure, Generation, Request
from tests.workers.conftest import (
    FACTS,
    Bench,
    HeldReader,
    InProcessReader,
    Reference,
    RoteReplica,
    answer,
)
from workers.reader import DrawnPage, Fetched, TooLarge, recipe

GREY, RED, BLUE = (200, 200, 200), (255, 0, 0), (0, 0, 255)


@pytest.mark.medium
def test_pages_are_read_once_and_merged(bench: Bench) -> None:
    bench.add(bench.pdf("three.pdf", [GREY, (90, 90, 90), (30, 30, 30)]), bench.picture("one.png"))
    report = bench.work(bench.claim())
    assert bench.states() == {"three.pdf": ("done", None), "one.png": ("done", None)}
    assert (report.pages, report.pages_known, bench.replica.answered) == (4, 0, 4)
    assert (report.calls, report.answers) == (4, 4)
    assert report.tokens == 4 * len('{"Số":"12"}')


@pytest.mark.medium
def test_a_second_look_is_counted_beside_the_calls(bench: Bench) -> None:
    bench.replica.looks_again = True
    bench.add(bench.pdf("two.pdf", [GREY, (90, 90, 90)]))
    report = bench.work(bench.claim())
    assert (report.calls, report.answers, report.looks) == (2, 2, 2)


@pytest.mark.medium
def test_the_same_bytes_under_two_names_are_read_once(bench: Bench) -> None:
    bench.add(*(bench.picture(f"{number}.png") for number in range(4)))
    report = bench.work(bench.claim())  # side by side
    assert (report.pages, report.pages_known) == (1, 3)
    assert set(bench.states().values()) == {("done", None)}


@pytest.mark.medium
def test_a_page_that_was_saved_is_not_read_again(bench: Bench) -> None:
    bench.add(bench.pdf("two.pdf", [GREY, RED]))
    [lease] = bench.claim()
    bench.work([lease])
    assert bench.states() == {"two.pdf": ("partial", None)}
    bench.store.failures.retry(bench.job, document=str(bench.folder / "two.pdf"))
    bench.replica = RoteReplica()
    report = bench.work(bench.claim())
    assert (report.pages, report.pages_known) == (0, 1)


@pytest.mark.medium
def test_what_kills_the_replica_is_found_alone_and_its_neighbours_are_read(bench: Bench) -> None:
    neighbours = [bench.picture(f"{number}.png", (number, number, number)) for number in range(6)]
    bench.replica.seconds = 0.3  # long enough that all are beside each other
    bench.add(*neighbours, bench.picture("poison.png", RED))
    report = bench.work(bench.claim())
    states = bench.states()
    assert states.pop("poison.png") == ("quarantined", "worker_lost")
    assert set(states.values()) == {("done", None)}
    assert bench.replica.most_beside > 1
    assert bench.replica.deaths == 3  # once in company, twice alone
    assert report.answers == 6 and 3 <= report.calls - report.answers <= 3 + 6, "deaths, and who was beside"
    assert report.reasons == {"worker_lost": 1}
    [item] = bench.store.failures.each(bench.job)
    assert item.failure.traceback is not None and "ReplicaLost" in item.failure.traceback
    assert item.attempts == 1 and item.worker == "lane-0"


@pytest.mark.slow
def test_one_death_is_held_against_nobody(bench: Bench) -> None:
    bench.replica.seconds = 0.2
    bench.add(bench.picture("unlucky.png", BLUE), bench.picture("beside.png"))
    report = bench.work(bench.claim())
    assert set(bench.states().values()) == {("done", None)}
    assert bench.replica.deaths == 1 and report.pages == 2


@pytest.mark.slow
def test_a_page_that_kills_its_reader_twice_is_left_out(bench: Bench) -> None:
    bench.deadly[2] = 2
    bench.add(bench.pdf("three.pdf", [GREY, (90, 90, 90), (30, 30, 30)]))
    report = bench.work(bench.claim())
    assert bench.states() == {"three.pdf": ("partial", None)}
    assert report.pages == 2 and report.reasons == {"worker_lost": 1}


def test_a_document_that_kills_its_reader_on_opening_is_quarantined(bench: Bench) -> None:
    bench.deadly[0] = 2
    bench.add(bench.picture("one.png"))
    bench.work(bench.claim())
    assert bench.states() == {"one.png": ("quarantined", "worker_lost")}


@pytest.mark.medium
def test_a_reader_that_dies_once_costs_nothing(bench: Bench) -> None:
    bench.deadly.update({0: 1, 2: 1})
    bench.add(bench.pdf("three.pdf", [GREY, (90, 90, 90), (30, 30, 30)]))
    report = bench.work(bench.claim())
    assert bench.states() == {"three.pdf": ("done", None)}
    assert report.pages == 3


@pytest.mark.medium
def test_a_late_lane_changes_nothing(bench: Bench) -> None:
    bench.add(bench.picture("one.png"))
    [late] = bench.store.ledger.claim(bench.job, "slow", 1, lease_seconds=0.05)
    time.sleep(0.1)
    [lease] = bench.claim()
    report = bench.work([late])
    assert report.late == 1 and not report.documents
    assert bench.states()["one.png"][0] == "leased"
    bench.work([lease])
    assert bench.states()["one.png"][0] == "done"


@pytest.mark.medium
def test_what_is_missing_or_broken_is_quarantined_with_its_reason(bench: Bench) -> None:
    broken = bench.folder / "broken.png"
    whole = Path(bench.picture("whole.png")).read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    bench.add(str(bench.folder / "missing.png"), str(broken))
    report = bench.work(bench.claim())
    assert bench.states() == {
        "missing.png": ("quarantined", "object_missing"),
        "broken.png": ("quarantined", "image_damaged"),
    }
    assert report.documents == {"quarantined": 2}


@pytest.mark.medium
def test_a_surprise_is_a_reason_with_its_traceback(bench: Bench) -> None:
    async def generate(id: str, prepared: object) -> None:
        raise KeyError("nobody foresaw this")

    bench.replica.generate = generate  # type: ignore[method-assign, assignment]
    bench.add(bench.picture("one.png"))
    bench.work(bench.claim())
    assert bench.states() == {"one.png": ("quarantined", "internal_error")}
    [item] = bench.store.failures.each(bench.job)
    assert item.failure.traceback is not None and "nobody foresaw this" in item.failure.traceback


# what is a try, and what the report says of it


@pytest.fixture
def after_a_loss(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A document of two pages whose first worker vanished; a document may be tried twice."""
    monkeypatch.setattr("workers.endings._RETRY_SECONDS", 0.0)
    bench.add(bench.pdf("two.pdf", [GREY, (90, 90, 90)]))
    bench.store.ledger.claim(bench.job, "a lane that dies", 1, lease_seconds=0.01)
    time.sleep(0.05)
    return bench


@pytest.mark.medium
def test_a_lost_worker_is_no_try_so_that_a_page_that_may_pass_has_all_of_its_tries(
    after_a_loss: Bench,
) -> None:
    bench = after_a_loss
    bench.passing = {2}
    [lease] = bench.claim()
    assert (lease.attempt, lease.losses, lease.tries) == (2, 1, 1)
    report = bench.work([lease])
    assert bench.states() == {"two.pdf": ("pending", "render_memory")}
    assert (report.given_back, report.documents, report.reasons) == (1, {}, {})
    report = bench.work(bench.claim())  # the last try: what there is, is kept
    assert bench.states() == {"two.pdf": ("partial", None)}
    assert (report.given_back, report.documents, report.reasons) == (0, {"partial": 1}, {"render_memory": 1})


@pytest.mark.medium
def test_the_report_says_what_the_ledger_says(after_a_loss: Bench) -> None:
    bench = after_a_loss
    bench.passing = {1, 2}
    report = bench.work(bench.claim())
    assert bench.states() == {"two.pdf": ("pending", "render_memory")}
    assert (report.given_back, report.documents, report.reasons) == (1, {}, {})
    report = bench.work(bench.claim())
    assert bench.states() == {"two.pdf": ("quarantined", "render_memory")}
    assert (report.given_back, report.documents, report.reasons) == (
        0,
        {"quarantined": 1},
        {"render_memory": 1},
    )


# a page is known by its number


@pytest.mark.medium
def test_a_reader_answers_for_any_page_of_any_document_in_any_order(bench: Bench) -> None:
    colours = {"one.pdf": [GREY, (90, 90, 90), (30, 30, 30)], "two.pdf": [(60, 60, 60), (120, 120, 120)]}
    reader = HeldReader(bench.lane_job)
    reader.load(FACTS)
    fetched: dict[str, Fetched] = {}
    for name, pages in colours.items():
        path = bench.pdf(name, pages)
        size = Path(path).stat().st_size
        assert reader.fetch(path, None, size - 1) == (TooLarge(size), None)
        found, document = reader.fetch(path, None, size)
        assert isinstance(found, Fetched) and found.size == size and document is not None
        fetched[name] = replace(found, document=Reference(document))
    try:
        for name, page in (("one.pdf", 3), ("two.pdf", 2), ("one.pdf", 1), ("one.pdf", 2), ("two.pdf", 1)):
            drawn, request = reader.draw(fetched[name], page, f"{name} {page}")
            assert isinstance(drawn, DrawnPage) and request is not None
            assert (drawn.page.page, request.id) == (page, f"{name} {page}")
            assert abs(int(request.tiles[0, 224, 224, 0]) - colours[name][page - 1][0]) < 5
            assert reader.count(fetched[name]).pages == len(colours[name])
    finally:
        reader.end()


@pytest.mark.medium
def test_a_page_that_comes_for_another_is_never_stored_in_its_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mistaken(InProcessReader):
        async def draw(self, fetched: Fetched, page: int, request_id: str) -> tuple[DrawnPage | Failure, Any]:
            return await super().draw(fetched, {2: 3, 3: 2}.get(page, page), request_id)

    monkeypatch.setattr("tests.workers.conftest.InProcessReader", Mistaken)
    uri = bench.pdf("three.pdf", [GREY, (90, 90, 90), (30, 30, 30)])
    bench.add(uri)
    bench.work(bench.claim())
    assert bench.states() == {"three.pdf": ("quarantined", "internal_error")}
    [item] = bench.store.failures.each(bench.job)
    assert "page 2 of 3 was asked for, and page 3 came" in (item.failure.traceback or "")
    assert {page.page for page in bench.store.results.pages(bench.job, uri)} <= {1}


@pytest.mark.medium
def test_an_answer_to_another_request_is_never_stored_for_the_page_that_was_asked(bench: Bench) -> None:
    class Confused(RoteReplica):
        async def answer_of(self, request: Request) -> Generation:
            return await super().answer_of(replace(request, id="another " + request.id))

    bench.replica = Confused()
    bench.add(bench.picture("one.png"))
    bench.work(bench.claim())
    assert bench.states() == {"one.png": ("quarantined", "internal_error")}
    assert not bench.store.results.pages(bench.job, str(bench.folder / "one.png"))


# both drivers


def scripted(request: Request) -> Generation:
    """By the page's brightness: a number, or for a black page an answer that does not end."""
    bright = int(request.tiles.mean())
    return answer(request.id, f'{{"Số":"{bright % 100:02}"}}', "loop" if bright < 5 else "stop")


class ScriptedReplica(RoteReplica):
    async def answer_of(self, request: Request) -> Generation:
        await asyncio.sleep(0.03 * (request.tiles.mean() < 100))  # dark pages are answered after later ones
        return scripted(request)


@pytest.mark.medium
def test_both_drivers_come_to_the_same_for_the_same_documents(bench: Bench) -> None:
    whole = Path(bench.picture("whole.png", (70, 70, 70)))
    (bench.folder / "half.png").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (bench.folder / "none.pdf").write_text("no PDF")
    first, *others = [Image.new("L", (300, 200), shade) for shade in (250, 40)]
    first.save(bench.folder / "scan.tiff", save_all=True, append_images=others)
    pdf, stream = pypdfium2.PdfDocument.new(), io.BytesIO()
    for side in (200, 14_000, 200):  # the second has too many pixels
        pdf.new_page(side, side)
    pdf.save(stream)
    pdf.close()
    (bench.folder / "large.pdf").write_bytes(stream.getvalue())
    uris = [
        bench.pdf("shades.pdf", [(10, 10, 10), (240, 240, 240), (90, 90, 90), (160, 160, 160)]),
        bench.pdf("loops.pdf", [(160, 160, 160), (0, 0, 0)]),
        bench.pdf("only-loops.pdf", [(0, 0, 0)]),
        str(whole),
        *(
            str(bench.folder / name)
            for name in ("half.png", "none.pdf", "scan.tiff", "large.pdf", "missing.png")
        ),
    ]
    groups = [
        ("front.png", "back.pdf", "none.jpg"),  # both are read, and the third is not there
        ("twice.png", "twice-again.png"),  # the same bytes
        ("torn.png", "no.pdf"),  # nothing can be read
    ]
    bench.picture("front.png", (33, 33, 33))
    bench.pdf("back.pdf", [(35, 35, 35), (0, 0, 0)])
    for name in groups[1]:
        bench.picture(name, (80, 80, 80))
    (bench.folder / "torn.png").write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    (bench.folder / "no.pdf").write_text("no PDF")
    several = [
        DocumentRef.of_parts([DocumentRef(str(bench.folder / name)) for name in names]) for names in groups
    ]
    bench.replica = ScriptedReplica()
    bench.add(*uris)
    bench.store.ledger.add(bench.job, several)
    bench.work(bench.claim())

    rules = recipe(bench.lane_job, FACTS)
    refs = [*map(DocumentRef, uris), *several]
    made = {
        ref.uri: run.document(ref.uri, rules, lambda requests: map(scripted, requests), parts=ref.parts)
        for ref in refs
    }
    stored = {found.uri: found for found in bench.store.results.extractions(bench.job)}
    for row in bench.store.results.documents(bench.job):
        alone = made[row.uri]
        assert tuple(bench.store.results.pages(bench.job, row.uri)) == alone.pages, row.uri
        if isinstance(alone.verdict, Commit):
            assert (row.state, row.sha256) == (alone.verdict.extraction.state, alone.sha256)
            several = tuple(replace(part, kind=None) for part in alone.parts)  # it is not stored
            assert row.parts == (several if len(several) > 1 else ())
            assert stored[row.uri].extraction == alone.verdict.extraction
        else:
            assert isinstance(alone.verdict, Quarantine) and row.state == "quarantined"
            why = alone.verdict.why
            assert (row.reason, row.message) == (why.reason, why.message) and row.uri not in stored
    assert {name: state for name, (state, _) in bench.states().items()} == {
        "shades.pdf": "review",  # its pages say different numbers
        "loops.pdf": "partial",
        "front.png": "partial",
        "twice.png": "done",
        "torn.png": "quarantined",
        "only-loops.pdf": "quarantined",
        "whole.png": "done",
        "half.png": "quarantined",
        "none.pdf": "quarantined",
        "scan.tiff": "review",
        "large.pdf": "review",  # a page was drawn smaller; all are blank, and yet values were read from them
        "missing.png": "quarantined",
    }
