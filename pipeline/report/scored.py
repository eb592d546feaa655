"""What a report says where the truth is known. Needs the extra `evaluation`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline import evaluation
from pipeline.evaluation import summary
from pipeline.evaluation.report import DocumentScore, Read, Report
from pipeline.evaluation.scored import sure
from pipeline.evaluation.truth import Truth
from pipeline.report.gathered import Curves, drawn
from pipeline.settings import Settings
from pipeline.store import Job, Store

_SAID = {"wrong": "wrong", "missing": "missing", "hallucinated": "invented"}


@dataclass(frozen=True, slots=True)
class Fault:
    """A value that is not right: what is printed, what was read, and how sure that was."""

    path: str
    printed: str
    read: str
    verdict: str
    sure: float | None


@dataclass(frozen=True, slots=True)
class Worst:
    """A document with faults, and a picture of its first page that has one, or why there is none."""

    name: str
    uri: str
    state: str
    right: int
    fields: int
    faults: Sequence[Fault]
    picture: str | None


@dataclass(frozen=True, slots=True)
class Scored:
    """All that `evaluation` measures, in words and cells."""

    scope: str
    headline: str
    figures: Sequence[tuple[str, str]]
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    worst: Sequence[Worst]
    curves: Curves


def of_truth(
    extractions: Iterable[Read],
    truth: Truth,
    name: str,
    store: Store,
    job: Job,
    settings: Settings,
    *,
    pictures: bool,
) -> Scored:
    """Raises UsageError where the truth does not say which document is meant."""
    report = evaluation.evaluate(extractions, truth)
    pages = [(document.uri, _page(document)) for document in report.worst]
    shown = drawn(store, job, pages, settings) if pictures else {}
    return Scored(
        summary.scope(report),
        summary.headline(report),
        summary.figures(report),
        summary.HEADS,
        summary.rows(report),
        [_worst(document, shown) for document in report.worst],
        _curves(report, name),
    )


def _curves(report: Report, name: str) -> Curves:
    read = report.documents - len(report.unread)
    origin = f"{read:,} documents of this job whose truth is in {name}"
    return Curves(origin, "documents", report.risk, report.bins, report.ece)


def _page(document: DocumentScore) -> int:
    """The first page on which something is wrong."""
    pages = [fault.read.page for fault in document.faults if fault.read is not None and fault.read.page]
    return min(pages, default=1)


def _worst(document: DocumentScore, pictures: Mapping[tuple[str, int], str]) -> Worst:
    faults = [
        Fault(
            fault.path,
            "–" if fault.truth is None else fault.truth.text,
            "–" if fault.read is None or fault.read.raw is None else fault.read.raw,
            _SAID[fault.verdict],
            None if fault.read is None else sure(fault.read),
        )
        for fault in document.faults
    ]
    picture = pictures.get((document.uri, _page(document)))
    return Worst(
        document.name, document.uri, document.state, document.right, document.fields, faults, picture
    )
