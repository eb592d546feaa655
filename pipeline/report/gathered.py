"""What a report says, from the store: figures that the database adds up, and a bounded number of rows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib import metadata

from PIL import Image

from pipeline.errors import Coded, UsageError
from pipeline.settings import Settings
from pipeline.shown import PageImages
from pipeline.store import FailureGroup, Job, Store
from pipeline.store.figures import Accepted, Bar, DoubtfulPage, Pace, Stop, Voice
from pipeline.trust import InForce
from pipeline.trust.examples import of_decisions
from pipeline.trust.measures import Bin, Item, Risk, calibration, ece, risks

PAGES = 12  # the least sure ones that are listed
SUPPLIERS = 20  # those on whom most was spent
COLOURED = 5  # of them have a colour of their own
_SIDE = 560  # pixels of a picture's longer edge
_OTHERS = "all others"


@dataclass(frozen=True, slots=True)
class Curves:
    """How sure values were and how often right, where that is known. `unit`: documents or values pass."""

    origin: str
    unit: str
    risk: tuple[Risk, ...]
    bins: tuple[Bin, ...] = ()
    ece: float | None = None


@dataclass(frozen=True, slots=True)
class Supplier:
    name: str
    tax_code: str
    invoices: int
    first_day: str
    last_day: str
    spent: int  # đồng
    to_review: int


@dataclass(frozen=True, slots=True)
class Spend:
    """Of the job's invoices, each once, in đồng. `by_month` has a figure a month for each of `names`."""

    total: int
    invoices: int
    aside: int  # papers that are not counted
    suppliers: tuple[Supplier, ...]
    further: int  # suppliers that are not listed
    months: tuple[str, ...]
    names: tuple[str, ...]
    by_month: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that is told. `pictures` are data URIs, or why there is none, by document and page."""

    job: Job
    made_at: datetime
    version: str
    trust: InForce | None
    numerics: Sequence[str]  # of some of the pages
    unscored: int
    counts: Mapping[str, int]
    pages: tuple[int, int, int]  # read, failed, tokens
    pace: Pace | None
    accepted: Sequence[Accepted]
    bars: Sequence[Bar]
    stops: Sequence[Stop]
    voices: Sequence[Voice]
    failures: Sequence[FailureGroup]
    doubtful: Sequence[DoubtfulPage]
    spend: Spend | None
    curves: Sequence[Curves]
    pictures: Mapping[tuple[str, int], str] = field(default_factory=dict)

    @property
    def submitted(self) -> int:
        return sum(self.counts.values())

    @property
    def unfinished(self) -> int:
        return self.counts["pending"] + self.counts["leased"]


def gather(
    store: Store, job: Job, settings: Settings, *, pictures: bool, known: Curves | None = None
) -> Gathered:
    """All of a job's figures now. `known` are curves by a truth; else what people decided takes their place.

    With `pictures` the least sure pages are drawn again from their files, as far as these are still there.
    """
    figures = store.figures
    trust = store.calibrations.in_force(job)
    doubtful = figures.doubtful_pages(job, PAGES)
    curves = [one for one in (known or _by_decisions(store, job), _held_out(trust)) if one is not None]
    return Gathered(
        job=job,
        made_at=datetime.now().astimezone(),
        version=metadata.version("vinbatch"),
        trust=trust,
        numerics=store.results.some_numerics(job),
        unscored=figures.unscored(job),
        counts=store.books.counts(job),
        pages=figures.pages(job),
        pace=figures.pace(job),
        accepted=figures.accepted(job),
        bars=figures.sureness(job),
        stops=figures.stops(job),
        voices=figures.voices(job),
        failures=store.failures.groups(job),
        doubtful=doubtful,
        spend=_spend(store, job, settings) if job.schema.startswith("invoice@") else None,
        curves=curves,
        pictures=drawn(store, job, [(p.uri, p.page) for p in doubtful], settings) if pictures else {},
    )


def _by_decisions(store: Store, job: Job) -> Curves | None:
    """By what people decided: values one by one, because few documents were looked at in every value."""
    items: list[Item] = []
    documents = 0
    for uri in store.figures.decided(job):
        item = store.results.extraction(job, uri)
        example = None if item is None else of_decisions(uri, item.reading, item.decisions)
        if item is None or example is None or not example.right:
            continue
        documents += 1
        given = {
            field.path: (field.confidence if field.score is None else field.score) or 0.0
            for field in item.reading.fields
        }
        for value, hit in zip(example.values, example.right, strict=True):
            items.append(Item(example.tier, given[value.path], int(hit), 1))
    if not documents:
        return None
    bins = calibration([item.score for item in items], [bool(item.right) for item in items])
    known = f"{len(items):,} values of {documents:,} documents that people decided"
    origin = f"{known}; they look at doubtful ones first"
    return Curves(origin, "values", risks(items), bins, ece(bins))


def _held_out(trust: InForce | None) -> Curves | None:
    """By the documents of the calibration, each scored by the others."""
    if trust is None or not trust.calibration.outcomes:
        return None
    outcomes = trust.calibration.outcomes
    curves = risks(Item(one.tier, one.score, one.right, one.fields, one.stopped) for one in outcomes)
    made = trust.calibration
    origin = f"the {made.documents:,} documents of the calibration ({made.origin}), each scored by the others"
    return Curves(origin, "documents", curves)


def _spend(store: Store, job: Job, settings: Settings) -> Spend | None:
    ask = partial(store.named, job=job.name, seconds=settings.query_seconds)
    suppliers: list[Supplier] = []
    further = total = invoices = papers = 0
    with ask("spend-by-supplier") as rows:
        for seller, name, count, first, last, spent, to_review in rows:
            total, invoices = total + int(spent), invoices + int(count)
            if len(suppliers) < SUPPLIERS:
                suppliers.append(
                    Supplier(name or "", seller, int(count), first, last, int(spent), int(to_review))
                )
            else:
                further += 1
    with ask("purchase-list") as rows:
        papers = sum(1 for _ in rows)
    if not papers:
        return None
    coloured = {one.tax_code: one.name or one.tax_code for one in suppliers[:COLOURED]}
    names = (*coloured.values(), _OTHERS) if len(suppliers) > COLOURED else tuple(coloured.values())
    months: dict[str, dict[str, int]] = {}
    with ask("spend-by-supplier-and-month") as rows:
        for seller, _, month, _, spent, _ in rows:
            name = coloured.get(seller, _OTHERS)
            cells = months.setdefault(month, {})
            cells[name] = cells.get(name, 0) + int(spent)
    ordered = tuple(_every_month(months))
    by_month = tuple(tuple(months.get(month, {}).get(name, 0) for month in ordered) for name in names)
    return Spend(total, invoices, papers - invoices, tuple(suppliers), further, ordered, names, by_month)


def _every_month(months: Mapping[str, object]) -> Iterator[str]:
    """From the first to the last, those without spend too; only the former where they lie far apart."""
    if not months:
        return
    first, last = (int(m[:4]) * 12 + int(m[5:7]) - 1 for m in (min(months), max(months)))
    if last - first > 60:
        yield from sorted(months)
        return
    yield from (f"{number // 12:04}-{number % 12 + 1:02}" for number in range(first, last + 1))


def drawn(
    store: Store, job: Job, pages: Sequence[tuple[str, int]], settings: Settings
) -> dict[tuple[str, int], str]:
    """Those pages as data URIs, or a sentence on why there is none."""
    found: dict[tuple[str, int], str] = {}
    with PageImages(store, settings) as images:
        for uri, page in pages:
            try:
                found[uri, page] = _data(images, job, uri, page)
            except (Coded, UsageError) as error:
                found[uri, page] = error.message
    return found


def _data(images: PageImages, job: Job, uri: str, page: int) -> str:
    image = Image.fromarray(images.pixels(job, uri, page))
    image.thumbnail((_SIDE, _SIDE))
    held = io.BytesIO()
    image.save(held, "JPEG", quality=72)
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode()}"
