"""The state machine of one document: which pages are missing, drawn or finished, and the verdict.

It is pure: no input, no output, no clock. Two drivers move it, `pipeline.run.document` page after page and
`workers.document` with pages side by side, so both come to the same verdict. A page goes

    missing → drawn → finished      the model answered, or died of it
    missing → finished              it is known from before, says by itself what stands on it, cannot be
                                    drawn, or killed what drew it

Every call names its page, and is held against where that page is. A page that is unknown, drawn twice,
answered twice or never asked for raises RuntimeError: then the program or the engine is wrong, not the
document.

The pages of a document of several files are numbered through. Whoever draws knows only one file and its own
page numbers: `place` says which they are, and what comes back is given the document's number here.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import free_text, merge, parse
from pipeline.errors import Coded, Permanent, Reason, Transient
from pipeline.recipe import Recipe
from pipeline.records import (
    Extraction,
    Failure,
    Field,
    Generation,
    PageRecord,
    PageResult,
    Part,
    PreparedPage,
)
from pipeline.trust.scoring import scored

if TYPE_CHECKING:
    from pipeline.trust import InForce
    from schemas.registry import SchemaSpec

DEATHS = 2  # of processes that had only this to work on: then it is held to have killed them
_RENDERER_ENDS = (Reason.render_timeout, Reason.render_memory, Reason.render_crashed)
_ENDS_IN_A_ROW = 5  # pages that may end the renderer one after the other before the rest are given up


@dataclass(frozen=True, slots=True)
class Commit:
    """The document has a result; `pages` are all of its pages, in order."""

    extraction: Extraction
    pages: tuple[PageResult, ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """Another try may do better; where none is left, this is why the document is quarantined."""

    why: Failure


@dataclass(frozen=True, slots=True)
class Quarantine:
    """No further try can help."""

    why: Failure


Verdict = Commit | Retry | Quarantine


class Reading:
    """Where the pages of one document are. Not for two threads at once."""

    def __init__(
        self, recipe: Recipe, parts: Sequence[Part], prefix: str = "", today: date | None = None
    ) -> None:
        """`parts` are the document's files; one that failed stands as one page, which is finished already.

        `prefix` goes before each page's key in its request id, so that ids differ between tries. `today` is
        the day on which what is not known yet is read.
        """
        self._recipe = recipe
        self._today = today
        self._prefix = prefix
        self.parts = tuple(parts)
        places = ((part, page) for part, it in enumerate(parts) for page in range(1, it.pages + 1))
        self._places = dict(enumerate(places, 1))
        self.keys = {number: self._key(*place) for number, place in self._places.items()}
        self._asked: dict[str, int] = {}
        for number in self.keys:
            self._asked.setdefault(self.request_id(number), number)
        self._drawn: dict[int, PreparedPage] = {}
        self._finished: dict[int, PageResult] = {}
        self._deaths: Counter[int] = Counter()
        self._ends = 0  # of the renderer, in a row, and the last of them in this part
        self._ending = 0
        self._last_end: Failure | None = None
        for number, (part, _) in self._places.items():
            why = self.parts[part].failure
            if why is not None:
                self.failed(number, replace(why, page=1))

    def place(self, page: int) -> tuple[int, int]:
        """(index of the part in `parts`, number there) of a page."""
        return self._places[page]

    def request_id(self, page: int) -> str:
        """The page's key under the prefix; the same bytes may stand twice in a document, and ids may not."""
        id = self._prefix + self.keys[page]
        return id if self._asked.get(id, page) == page else f"{id}/{page}"

    @property
    def missing(self) -> tuple[int, ...]:
        """The pages that are neither drawn nor finished, in order."""
        return tuple(page for page in self.keys if page not in self._drawn and page not in self._finished)

    @property
    def finished(self) -> tuple[PageResult, ...]:
        """The results so far, in the order of the pages."""
        return tuple(self._finished[page] for page in sorted(self._finished))

    def known(self, results: Mapping[str, PageResult]) -> None:
        """Take over results that were found before, by key, whatever their numbers were. Those of other
        documents are left out.
        """
        for page, key in self.keys.items():
            if key in results:
                self._expect(page, "missing")
                self._finish(page, _numbered(results[key], page))

    def given_up(self, page: int) -> Failure | None:
        """Why this page is not to be drawn at all: those before it ended the renderer one after the other."""
        part, own = self._places[page]
        if self._last_end is None or self._ends < _ENDS_IN_A_ROW or part != self._ending:
            return None
        message = f"not tried: the {self._ends} pages before it ended with “{self._last_end.message}”"
        return Failure(self._last_end.reason, message, own)

    def drawn(self, page: int, prepared: PreparedPage) -> None:
        """`page` was asked for and `prepared` came; it waits for its answer now. Its tiles are not needed."""
        self._expect(page, "missing")
        self._same(page, prepared.page)
        self._drawn[page] = replace(prepared, page=page)
        self._deaths.pop(page, None)
        self._count(page, prepared.ended)

    def read(self, page: int, record: PageRecord) -> PageResult:
        """`page` was asked for and needs no model: `record` is what it says."""
        self._expect(page, "missing")
        self._same(page, record.page)
        own = record_numbered(record, page)
        return self._finish(page, PageResult(page, self.keys[page], own, None, renderer="lxml"))

    def failed(self, page: int, why: Failure) -> PageResult:
        """`page` was asked for and cannot be drawn."""
        self._expect(page, "missing")
        self._same(page, why.page)
        self._count(page, why)
        return self._finish(page, failed_page(self._named(page, why), self.keys[page]))

    def answered(self, generation: Generation) -> PageResult:
        """The model answered the page whose request id the generation bears."""
        page = self._asked.get(generation.request_id)
        if page is None or page not in self._drawn:
            raise RuntimeError(f"request {generation.request_id} was answered twice, or never asked")
        result = page_result(self._drawn[page], generation, self._recipe, self.keys[page])
        return self._finish(page, result)

    def lost(self, page: int, error: Coded, *, alone: bool = True) -> PageResult | None:
        """A process died while it had this page: `alone` or with others, which is held against none of them.

        The page stays where it is, to be tried again, and None is returned; or this was one death too many,
        and the result is that it failed.
        """
        self._expect(page, "missing", "drawn")
        self._deaths[page] += alone
        if self._deaths[page] < DEATHS:
            return None
        message = f"page {self._places[page][1]}: {error.message}, {DEATHS} times with nothing else to do"
        why = Failure(error.reason, message, page, traceback="".join(traceback.format_exception(error)))
        return self._finish(page, failed_page(self._named(page, why), self.keys[page]))

    def verdict(self, *, last_try: bool = True) -> Verdict:
        """What becomes of the document. Raises RuntimeError if a page has no result.

        Before the last try no page is given up that another try may read.
        """
        without = [page for page in self.keys if page not in self._finished]
        if without:
            raise RuntimeError(f"no result for pages {without} of {len(self.keys)}")
        if len(self.parts) == 1 and self.parts[0].failure is not None:
            return no_result(self.parts[0].failure)
        found = outcome(self.finished, self._recipe)
        if isinstance(found, Failure):
            return no_result(found)
        failures = (page.failure for page in self.finished if page.failure is not None)
        passing = next((why for why in failures if why.retryable), None)
        if passing is not None and not last_try:
            return Retry(passing)
        return Commit(found, self.finished)

    def _key(self, part: int, page: int) -> str:
        """The key of a part's own page: of its bytes, so that a page is known in whatever document it is."""
        it = self.parts[part]
        if it.failure is not None or it.sha256 is None:
            return self._recipe.failed_key(it.uri, page)
        return self._recipe.page_key(it.sha256, page, it.kind_of(page), attached=bool(it.attached))

    def _named(self, page: int, why: Failure) -> Failure:
        """A page's failure under the document's number; where there are several parts, it names this one."""
        part, own = self._places[page]
        uri, message = self.parts[part].uri, why.message
        if len(self.parts) > 1 and uri not in message:
            message = f"{uri}, page {own}: {message}"
        return replace(why, page=page, message=message)

    def _count(self, page: int, why: Failure | None) -> None:
        """Whether the last page ended what drew it, the first renderer or the one asked after it."""
        part = self._places[page][0]
        if part != self._ending:
            self._ending, self._ends, self._last_end = part, 0, None
        if why is None:
            self._ends, self._last_end = 0, None
        elif self._ends < _ENDS_IN_A_ROW:
            ended = why.reason in _RENDERER_ENDS
            self._ends, self._last_end = (self._ends + 1, why) if ended else (0, None)

    def _expect(self, page: int, *states: str) -> None:
        found = "unknown"
        if page in self.keys:
            found = "finished" if page in self._finished else "drawn" if page in self._drawn else "missing"
        if found not in states:
            raise RuntimeError(f"page {page} of {len(self.keys)} is {found}, not {' or '.join(states)}")

    def _same(self, page: int, came: int | None) -> None:
        own = self._places[page][1]
        if came != own:
            raise RuntimeError(f"page {own} of {len(self.keys)} was asked for, and page {came} came")

    def _finish(self, page: int, result: PageResult) -> PageResult:
        self._drawn.pop(page, None)
        if result.record is not None and result.record.read_on is None:
            result = replace(result, record=replace(result.record, read_on=self._today))
        self._finished[page] = result
        return result


def _numbered(result: PageResult, page: int) -> PageResult:
    """A page that was read in another place, under its number in this document."""
    if result.page == page:
        return result
    record, why = result.record, result.failure
    return replace(
        result,
        page=page,
        record=None if record is None else record_numbered(record, page),
        failure=None if why is None else replace(why, page=page),
    )


def record_numbered(record: PageRecord, page: int) -> PageRecord:
    """The same record, and all in it, as that of page `page`."""
    if record.page == page:
        return record
    fields, again = (
        tuple(field if field.page is None else field._replace(page=page) for field in some)
        for some in (record.fields, record.again)
    )
    return replace(record, page=page, fields=fields, again=again)


def no_result(why: Failure) -> Retry | Quarantine:
    """The verdict on a document that failed as a whole."""
    return Retry(why) if why.retryable else Quarantine(why)


def page_result(page: PreparedPage, generation: Generation, recipe: Recipe, key: str) -> PageResult:
    """The row of a page that was answered, with its record or with why the answer is none."""
    record, why = None, None
    count = len(page.tiles)
    parsed = partial(parse.page_record, grid=page.grid, tiles=count, form=recipe.answer_form)
    try:
        if recipe.spec.free:
            record = free_text.page_record(generation, recipe.spec, page.page, page.codes)
        else:
            record = parsed(generation, recipe.spec, page.page, page.codes, ink=page.ink)
        record = replace(
            record,
            flags=(*page.flags, *record.flags),
            text=page.text,
            reader=page.reader,
            quality=page.quality,
            again=_looked_again(generation, parsed, recipe, page.page),
        )
    except Exception as error:  # noqa: BLE001  it becomes the page's failure, with its traceback
        why = failure(error, page.page)
    return PageResult(
        page=page.page,
        key=key,
        record=record,
        failure=why,
        renderer=page.renderer,
        width=page.width,
        height=page.height,
        tiles=count,
        prompt_tokens=generation.prompt_tokens,
        output_tokens=len(generation.spans),
        output=generation.text.replace("\0", "\ufffd"),  # which PostgreSQL does not store
        attempts=generation.attempts,
        passes=generation.passes,
        numerics=recipe.numerics,
    )


def _looked_again(
    generation: Generation, parsed: Callable[..., PageRecord], recipe: Recipe, page: int
) -> tuple[Field, ...]:
    """The fields of the second look; none where there was none, or where it says nothing of use."""
    if generation.again is None:
        return ()
    try:
        return parsed(generation.again, recipe.spec, page).fields
    except Permanent:
        return ()


def failed_page(why: Failure, key: str) -> PageResult:
    """The row of a page that never reached the model."""
    if why.page is None:
        raise ValueError(f"a page's failure must name its page: {why.message}")
    return PageResult(page=why.page, key=key, record=None, failure=why)


def outcome(pages: Sequence[PageResult], recipe: Recipe) -> Extraction | Failure:
    """What the document comes to: an extraction if any page was read, else the failure to answer for it.

    A retryable failure comes before others, so that a document is not given up for the network's sake.
    """
    if any(page.record is not None for page in pages):
        try:
            settings = recipe.settings
            authority = settings.sources_of_authority
            return merged(pages, recipe.spec, settings.review_below, authority, recipe.trust)
        except Coded as error:
            return Failure.of(error)
    failures = [page.failure for page in pages if page.failure is not None]
    if not failures:
        return Failure(Reason.pdf_no_pages, "the document has no pages")
    return min(failures, key=lambda why: not why.retryable)


def merged(
    pages: Sequence[PageResult],
    spec: SchemaSpec,
    review_below: float,
    authority: Sequence[str] | None = None,
    trust: InForce | None = None,
) -> Extraction:
    """The document that its pages make, of which at least one was read, with its scores where `trust` has a
    calibration.
    """
    records = [page.record for page in pages if page.record is not None]
    failed = [page.failure for page in pages if page.failure is not None]
    if spec.free:
        return free_text.document(records, spec, failed=failed, review_below=review_below)
    made = merge.document(records, spec, failed=failed, review_below=review_below, authority=authority)
    if trust is None:
        return made
    numerics = {page.numerics for page in pages if page.record is not None and page.numerics is not None}
    return scored(made, trust, numerics)


def failure(error: Exception, page: int | None = None) -> Failure:
    """Any error as the failure of a page: one that nobody foresaw is an internal error with its traceback."""
    if isinstance(error, Coded):
        return Failure.of(error, page)
    kind = Transient if isinstance(error, MemoryError) else Permanent
    reason = Reason.out_of_memory if isinstance(error, MemoryError) else Reason.internal_error
    at = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in at)
    # Not the error's own words, which may repeat what was read: those stand in the traceback.
    described = Failure.of(
        kind(reason, f"{type(error).__name__}{where}; failures --json has all of it"), page
    )
    return Failure(
        described.reason,
        described.message,
        page,
        described.retryable,
        "".join(traceback.format_exception(error)),
    )
