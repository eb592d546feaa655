"""The state machine of a document: whatever the order of events, no page is lost, doubled or mistaken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from pipeline.errors import Reason, Transient
from pipeline.keys import ModelFacts
from pipeline.reading import DEATHS, Commit, Quarantine, Reading, Retry, Verdict
from pipeline.recipe import Recipe
from pipeline.records import Failure, Generation, PageResult, Part, PreparedPage
from pipeline.settings import Settings
from schemas.shape import Leaf, Printed
from tests.pipeline.walker import compact, recite, spec_of

SLIP = spec_of(Leaf("number", "Số", Printed(r"\d{2}", str, "text", 2)))
RECIPE = Recipe.of(SLIP, Settings(), ModelFacts("c" * 64, max_tiles=1, numerics="cpu float32"))
LOST = Transient(Reason.worker_lost, "it died")


def prepared(page: int) -> PreparedPage:
    return PreparedPage(page, np.zeros((1, 0, 0, 3), np.uint8), 448, 448, "pdfium")


def answer(reading: Reading, page: int, finish: Any = "stop") -> Generation:
    return replace(recite(compact({"Số": f"{page:02}"}), reading.request_id(page)), finish=finish)


def reading_of(pages: int, drawn: int = 0) -> Reading:
    """A document of which the first pages are drawn."""
    made = Reading(RECIPE, [Part("a.pdf", "a" * 64, pages=pages)])
    for page in range(1, drawn + 1):
        made.drawn(page, prepared(page))
    return made


# what a wrong driver or a wrong engine does


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda it: it.drawn(1, prepared(1)), "page 1 of 3 is drawn, not missing"),
        (lambda it: it.drawn(2, prepared(3)), "page 2 of 3 was asked for, and page 3 came"),
        (lambda it: it.drawn(4, prepared(4)), "page 4 of 3 is unknown"),
        (lambda it: it.failed(1, Failure(Reason.pdf_damaged, "bent", 1)), "page 1 of 3 is drawn"),
        (lambda it: it.failed(2, Failure(Reason.pdf_damaged, "bent", 3)), "page 3 came"),
        (lambda it: it.failed(2, Failure(Reason.pdf_damaged, "bent")), "page None came"),
        (lambda it: it.answered(answer(it, 2)), "never asked"),
        (lambda it: it.answered(replace(answer(it, 1), request_id="another")), "never asked"),
        (lambda it: [it.answered(answer(it, 1)), it.answered(answer(it, 1))], "answered twice"),
        (lambda it: [it.answered(answer(it, 1)), it.lost(1, LOST)], "page 1 of 3 is finished"),
        (lambda it: it.lost(0, LOST), "page 0 of 3 is unknown"),
        (lambda it: it.verdict(), r"no result for pages \[1, 2, 3\] of 3"),
    ],
)
def test_a_wrong_page_is_an_error_and_changes_nothing(wrong: Callable[[Reading], Any], said: str) -> None:
    reading = reading_of(3, drawn=1)
    with pytest.raises(RuntimeError, match=said):
        wrong(reading)
    assert reading.missing == (2, 3)


def test_a_page_is_known_by_its_number_in_whatever_order_pages_come() -> None:
    reading = reading_of(0)
    reading = Reading(RECIPE, [Part("a.pdf", "a" * 64, pages=3)], prefix="try/")
    for page in (3, 1, 2):
        reading.drawn(page, prepared(page))
    for page in (2, 3, 1):
        reading.answered(answer(reading, page))
    assert [(page.page, page.key, page.output) for page in reading.finished] == [
        (page, RECIPE.page_key("a" * 64, page), compact({"Số": f"{page:02}"})) for page in (1, 2, 3)
    ]
    assert reading.request_id(1) == "try/" + reading.keys[1]


def test_what_is_known_is_taken_over_under_its_own_number() -> None:
    reading = reading_of(2)
    mine = PageResult(2, reading.keys[2], None, Failure(Reason.generation_loop, "round", 2))
    reading.known({reading.keys[2]: mine, "of another document": replace(mine, page=7)})
    assert reading.finished == (mine,) and reading.missing == (1,)
    with pytest.raises(RuntimeError, match="page 2 of 2 is finished, not missing"):
        reading.known({reading.keys[2]: mine})


# what dies


def test_a_death_in_company_is_held_against_nobody() -> None:
    reading = reading_of(1, drawn=1)
    assert [reading.lost(1, LOST, alone=False) for _ in range(9)] == [None] * 9
    assert reading.lost(1, LOST) is None
    failed = reading.lost(1, LOST)
    assert failed is not None and failed.failure is not None
    assert (failed.failure.reason, failed.failure.page) == (Reason.worker_lost, 1)
    assert not failed.failure.retryable and "2 times with nothing else to do" in failed.failure.message
    assert reading.verdict() == Quarantine(failed.failure)


def test_what_died_drawing_a_page_is_not_held_against_its_reading() -> None:
    reading = reading_of(1)
    assert reading.lost(1, LOST) is None and reading.missing == (1,)
    reading.drawn(1, prepared(1))
    assert reading.lost(1, LOST) is None and reading.missing == ()
    reading.answered(answer(reading, 1))
    assert isinstance(reading.verdict(), Commit)


def test_a_document_that_ends_the_renderer_again_and_again_is_given_up() -> None:
    reading = reading_of(20)
    slow = Failure(Reason.render_timeout, "not finished")

    def fails(*pages: int, why: Failure = slow) -> None:
        for page in pages:
            assert reading.given_up(page) is None
            reading.failed(page, replace(why, page=page))

    fails(1, 2, 3, 4)
    reading.drawn(5, prepared(5))
    fails(6, 7, 8, 9)
    fails(10, why=Failure(Reason.pdf_damaged, "bent"))  # it did not end anything
    fails(11, 12, 13, 14, 15)
    for page in range(16, 21):
        why = reading.given_up(page)
        assert why == Failure(
            Reason.render_timeout, "not tried: the 5 pages before it ended with “not finished”", page
        )
        reading.failed(page, why)


def test_the_ends_of_a_renderer_that_was_asked_second_count_too() -> None:
    reading = reading_of(9)
    slow = Failure(Reason.render_timeout, "not finished", 1)
    for page in (1, 2):
        reading.drawn(page, replace(prepared(page), ended=replace(slow, page=page)))
    reading.drawn(3, prepared(3))
    for page in (4, 5, 6):
        assert reading.given_up(page) is None
        reading.drawn(page, replace(prepared(page), ended=replace(slow, page=page)))
    for page in (7, 8):
        assert reading.given_up(page) is None
        reading.failed(page, replace(slow, page=page))
    why = reading.given_up(9)
    assert why is not None and why.reason is Reason.render_timeout


# the verdict


def test_no_page_that_another_try_may_read_is_given_up_before_the_last_try() -> None:
    reading = reading_of(2, drawn=1)
    reading.answered(answer(reading, 1))
    passing = Failure(Reason.render_memory, "the machine was full", 2, retryable=True)
    reading.failed(2, passing)
    assert reading.verdict(last_try=False) == Retry(passing)
    last = reading.verdict(last_try=True)
    assert isinstance(last, Commit) and last.extraction.state == "partial" and last.pages == reading.finished


def test_without_a_page_that_was_read_the_failure_says_whether_to_try_again() -> None:
    for retryable, kind in ((True, Retry), (False, Quarantine)):
        reading = reading_of(1)
        why = Failure(Reason.render_memory, "full", 1, retryable=retryable)
        reading.failed(1, why)
        assert {reading.verdict(last_try=last) for last in (True, False)} == {kind(why)}
    empty = reading_of(0).verdict()
    assert isinstance(empty, Quarantine) and empty.why.reason is Reason.pdf_no_pages


# any order of events


class AnyOrder(RuleBasedStateMachine):
    """A careless driver: pages in any order, deaths at any time, everything repeated that must not be."""

    drawn: Bundle[int] = Bundle("drawn")

    @initialize(pages=st.integers(0, 8), known=st.sets(st.integers(1, 8)))
    def begin(self, pages: int, known: set[int]) -> None:
        self.pages = pages
        self.reading = Reading(RECIPE, [Part("b.pdf", "b" * 64, pages=pages)], prefix="one/")
        self.results: dict[int, PageResult] = {}  # all that were given out, by page
        self.waiting: set[int] = set()
        self.deaths = dict.fromkeys(range(1, pages + 1), 0)
        other = Reading(RECIPE, [Part("b.pdf", "b" * 64, pages=pages)], prefix="another try/")
        for page in known & set(range(1, pages + 1)):
            other.drawn(page, prepared(page))
            self.results[page] = other.answered(answer(other, page))
        self.reading.known({result.key: result for result in self.results.values()})

    def note(self, result: PageResult) -> None:
        assert result.page not in self.results, "a second result for one page"
        assert result.key == RECIPE.page_key("b" * 64, result.page)
        self.waiting.discard(result.page)
        self.results[result.page] = result

    def refuses(self, call: Callable[[], Any]) -> None:
        before = (self.reading.missing, self.reading.finished)
        with pytest.raises(RuntimeError):
            call()
        assert (self.reading.missing, self.reading.finished) == before

    @precondition(lambda self: self.reading.missing)
    @rule(target=drawn, data=st.data())
    def draw(self, data: st.DataObject) -> int:
        page = data.draw(st.sampled_from(self.reading.missing))
        self.reading.drawn(page, prepared(page))
        self.waiting.add(page)
        self.deaths[page] = 0
        return page

    @precondition(lambda self: self.reading.missing)
    @rule(data=st.data(), retryable=st.booleans())
    def cannot_draw(self, data: st.DataObject, retryable: bool) -> None:
        page = data.draw(st.sampled_from(self.reading.missing))
        why = self.reading.given_up(page) or Failure(Reason.render_crashed, "crash", page, retryable)
        self.note(self.reading.failed(page, why))

    @rule(page=drawn, finish=st.sampled_from(["stop", "stop", "length", "loop"]))
    def answer(self, page: int, finish: str) -> None:
        generation = answer(self.reading, page, finish)
        if page not in self.waiting:  # it was answered before, or died
            self.refuses(lambda: self.reading.answered(generation))
        else:
            result = self.reading.answered(generation)
            assert result.page == page and (result.record is not None) == (finish == "stop")
            self.note(result)

    @rule(data=st.data(), alone=st.booleans())
    def die(self, data: st.DataObject, alone: bool) -> None:
        page = data.draw(st.integers(0, self.pages + 1))
        if page in self.results or not 1 <= page <= self.pages:
            self.refuses(lambda: self.reading.lost(page, LOST, alone=alone))
            return
        self.deaths[page] += alone
        result = self.reading.lost(page, LOST, alone=alone)
        assert (result is not None) == (self.deaths[page] == DEATHS)
        if result is not None:
            self.note(result)

    @rule(data=st.data())
    def mistake_a_page(self, data: st.DataObject) -> None:
        page, other = data.draw(st.tuples(st.integers(0, self.pages + 1), st.integers(0, self.pages + 1)))
        if page != other or page not in self.reading.missing:
            self.refuses(lambda: self.reading.drawn(page, prepared(other)))
            self.refuses(lambda: self.reading.failed(page, Failure(Reason.pdf_damaged, "bent", other)))

    @rule(page=consumes(drawn))
    def answer_what_was_never_asked(self, page: int) -> None:
        stray = replace(answer(self.reading, page), request_id=f"another try/{self.reading.keys[page]}")
        self.refuses(lambda: self.reading.answered(stray))

    @rule(last_try=st.booleans())
    def judge(self, last_try: bool) -> None:
        if len(self.results) < self.pages:
            self.refuses(lambda: self.reading.verdict(last_try=last_try))
            return
        verdict: Verdict = self.reading.verdict(last_try=last_try)
        read = [result for result in self.results.values() if result.record is not None]
        passing = any(r.failure is not None and r.failure.retryable for r in self.results.values())
        if not read:
            assert isinstance(verdict, Retry if passing else Quarantine)
        elif passing and not last_try:
            assert isinstance(verdict, Retry)
        else:
            assert isinstance(verdict, Commit)
            assert [page.page for page in verdict.pages] == list(range(1, self.pages + 1))
            assert verdict.extraction.pages == self.pages
            assert (verdict.extraction.state == "partial") == (len(read) < self.pages)

    @invariant()
    def pages_are_conserved(self) -> None:
        finished = self.reading.finished
        assert finished == tuple(self.results[page] for page in sorted(self.results))
        everywhere = [*self.reading.missing, *self.waiting, *(result.page for result in finished)]
        assert sorted(everywhere) == list(range(1, self.pages + 1))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder.pytestmark = [pytest.mark.medium]  # type: ignore[attr-defined]
