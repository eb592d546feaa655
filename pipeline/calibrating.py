"""A job's documents of known truth become a calibration, and what is in force is applied to finished jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import judging
from pipeline.errors import UsageError
from pipeline.judging import Moves
from pipeline.reading import merged
from pipeline.records import Extraction
from pipeline.store import Job, Store
from pipeline.trust import Calibration
from pipeline.trust.examples import Example, of_decisions, of_truth
from pipeline.trust.fitting import fitted
from schemas.registry import SchemaSpec

if TYPE_CHECKING:
    from pipeline.evaluation.truth import Truth


@dataclass(frozen=True, slots=True)
class AsRead:
    """A document as its pages say, before anybody decided anything."""

    uri: str
    extraction: Extraction


def calibration(store: Store, job: Job, spec: SchemaSpec, truth: Truth | None, origin: str) -> Calibration:
    """Fitted on the job's documents that the truth has, or that people decided where there is none.

    Raises UsageError where they are too few.
    """
    numerics: Counter[str] = Counter()
    read = as_read(store, job, spec, numerics)
    examples = list(of_decisions_in(store, job, read) if truth is None else of_truth(read, truth))
    if not numerics:
        raise UsageError(
            f"job {job.name}: it is not known with which numerics its pages were read; read them again with "
            "this Vinbatch, under another --job name"
        )
    return fitted(
        examples,
        schema=job.schema,
        checkpoint=job.checkpoint,
        numerics="; ".join(name for name, _ in numerics.most_common()),
        origin=origin,
    )


def as_read(
    store: Store, job: Job, spec: SchemaSpec, numerics: Counter[str] | None = None
) -> Iterator[AsRead]:
    """Every finished document, merged again from its pages. Counts the `numerics` of the pages."""
    below = float(job.settings.get("review_below", 0.9))
    authority = job.settings.get("sources_of_authority")
    for row in store.results.finished(job):
        pages = store.results.pages(job, row.uri)
        if numerics is not None:
            numerics.update(page.numerics for page in pages if page.numerics is not None)
        yield AsRead(row.uri, merged(pages, spec, below, authority))


def of_decisions_in(store: Store, job: Job, read: Iterator[AsRead]) -> Iterator[Example]:
    decided = {item.uri: item.decisions for item in store.results.extractions(job) if item.decisions}
    for document in read:
        if document.uri in decided:
            example = of_decisions(document.uri, document.extraction, decided[document.uri])
            if example is not None:
                yield example


def apply(store: Store, job: Job, spec: SchemaSpec) -> Moves:
    """Score and judge the job's documents by what is in force; nothing else about the job changes.

    Raises UsageError as `judging.judge` does.
    """
    below = float(job.settings.get("review_below", 0.9))
    return judging.judge(store, job, spec, below, job.settings.get("sources_of_authority"))
