"""A document as it is shown: its pages as pictures, its values, and where each of them stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.errors import Coded, UsageError
from pipeline.records import Box, Pixels, Quality
from pipeline.review.sheet import Cell, Heading, Listing, Sheet, sheet
from pipeline.settings import Settings
from pipeline.shown import PageImages
from pipeline.store import DocumentRow, Job, Store, StoredExtraction
from schemas.registry import SchemaSpec

MOST_PAGES = 20  # of one document in one file
_HIGH, _MIDDLE = 0.98, 0.9

Sureness = Literal["high", "middle", "low", "unknown"]


@dataclass(frozen=True, slots=True)
class Region:
    """A place on a page: of a value, or of what a witness says of it."""

    cell: str  # id of the value's cell
    box: Box
    label: str
    number: int  # of the value, as it is marked on the page and in the list
    sureness: Sureness
    doubt: bool
    witness: str | None = None  # its source


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `why` says why there is no picture of it."""

    number: int
    pixels: Pixels | None
    why: str | None
    quality: Quality | None
    regions: tuple[Region, ...]
    failure: str | None = None  # why it was not read


@dataclass(frozen=True, slots=True)
class Shown:
    """`numbers` are those of the values that are marked on a page, by the cell's id."""

    job: Job
    row: DocumentRow
    stored: StoredExtraction | None
    sheet: Sheet | None
    pages: tuple[Page, ...]
    left_out: int  # pages
    numbers: dict[str, int]


def gather(
    store: Store, job: Job, name: str, spec: SchemaSpec, settings: Settings, only: int | None = None
) -> Shown:
    """The document of this name (`Store.document`) with the pictures of its pages, or of page `only`.

    Raises UsageError where there is no such document or page, or it has not been read yet. A page that cannot
    be drawn any more is shown without its picture, with the reason.
    """
    row = store.document(job, name)
    stored = store.results.extraction(job, row.uri)
    if stored is None and row.state != "quarantined":
        raise UsageError(f"{row.uri} is {row.state}: there is nothing to show yet")
    made = None if stored is None else sheet(stored, store.decisions.history(job, row.uri), spec)
    count = row.pages or 0
    if only is not None and not 1 <= only <= count:
        raise UsageError(f"{row.uri} has {count} pages; there is no page {only}")
    wanted = [only] if only is not None else list(range(1, count + 1))[:MOST_PAGES]
    numbers, regions = _regions(made)
    results = {page.page: page for page in store.results.pages(job, row.uri)}
    pages = []
    with PageImages(store, settings) as images:
        for number in wanted:
            result = results.get(number)
            record = None if result is None else result.record
            quality = None if record is None else record.quality
            page = Page(number, None, None, quality, regions.get(number, ()))
            if result is not None and result.failure is not None:
                page = replace(page, failure=f"{result.failure.reason}: {result.failure.message}")
            try:
                pages.append(replace(page, pixels=images.pixels(job, row.uri, number)))
            except Coded as error:
                pages.append(replace(page, why=error.message))
    left_out = 0 if only is not None else count - len(wanted)
    return Shown(job, row, stored, made, tuple(pages), left_out, numbers)


def sureness(sure: float | None) -> Sureness:
    """In words that colours are by."""
    if sure is None:
        return "unknown"
    return "high" if sure >= _HIGH else "middle" if sure >= _MIDDLE else "low"


def cells(parts: Sequence[Cell | Heading | Listing]) -> Iterator[Cell]:
    """All values in the order of the schema."""
    for part in parts:
        if isinstance(part, Cell):
            yield part
        elif isinstance(part, Listing):
            for row in part.rows:
                yield from row.cells


def _regions(made: Sheet | None) -> tuple[dict[str, int], dict[int, tuple[Region, ...]]]:
    """Numbers of the values that stand somewhere, and the regions of each page."""
    numbers: dict[str, int] = {}
    by_page: dict[int, list[Region]] = {}
    for cell in cells(made.parts) if made is not None else ():
        level = sureness(cell.sure)
        if cell.box is not None and cell.page is not None and cell.shown:
            numbers[cell.id] = len(numbers) + 1
            region = Region(cell.id, cell.box, cell.label, numbers[cell.id], level, cell.doubt)
            by_page.setdefault(cell.page, []).append(region)
        for said in cell.witnesses:
            if said.box is not None and said.page is not None and said.box != cell.box:
                number = numbers.get(cell.id, 0)
                region = Region(cell.id, said.box, cell.label, number, level, cell.doubt, said.source)
                by_page.setdefault(said.page, []).append(region)
    return numbers, {page: tuple(regions) for page, regions in by_page.items()}
