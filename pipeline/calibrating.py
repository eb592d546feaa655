"""A job's documents of known truth become a calibration, and what is in force is applied to finished jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline import judging
from pipeline.errors import UsageError
from pipeline.judging import Moves
from pipeline.merge import REVIEW_BELOW
from pipeline.records import Extraction
from pipeline.store import Job, Store
from pipeline.trust import Calibration
from pipeline.trust.examples import Example, of_decisions
from pipeline.trust.fitting import Belongs, fitted
from schemas.registry import SchemaSpec


@dataclass(frozen=True, slots=True)
class AsRead:
    """A document before anybody decided anything."""

    uri: str
    extraction: Extraction


def read(store: Store, job: Job) -> Iterator[AsRead]:
    """Every document of the job that has a result."""
    for item in store.results.extractions(job):
        yield AsRead(item.uri, item.reading)


def decided(store: Store, job: Job) -> Iterator[Example]:
    """Those that people looked at."""
    for item in store.results.extractions(job):
        example = of_decisions(item.uri, item.reading, item.decisions)
        if example is not None:
            yield example


def calibration(store: Store, job: Job, examples: Iterable[Example], origin: str) -> Calibration:
    """Fitted on these documents of the job; `origin` says where their truth came from.

    Raises UsageError where they are too few.
    """
    numerics = store.results.numerics(job)
    if not numerics:
        raise UsageError(
            f"job {job.name}: it is not known with which numerics its pages were read; read them again with "
            "this Vinbatch, under another --job name"
        )
    return fitted(list(examples), Belongs(job.schema, job.checkpoint, "; ".join(numerics), origin))


def apply(store: Store, job: Job, spec: SchemaSpec) -> Moves:
    """Score and judge the job's documents by what is in force; nothing else about the job changes.

    Raises UsageError as `judging.judge` does.
    """
    below = float(job.settings.get("review_below", REVIEW_BELOW))
    return judging.judge(store, job, spec, below, job.settings.get("sources_of_authority"))
