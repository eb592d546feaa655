"""A job's documents of known truth become a calibration, and what is in force is applied to finished jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import judging
from pipeline.errors import UsageError
from pipeline.judging import Moves
from pipeline.merge import REVIEW_BELOW
from pipeline.records import Extraction
from pipeline.store import Job, Store
from pipeline.trust import Calibration
from pipeline.trust.examples import Example, of_decisions, of_truth
from pipeline.trust.fitting import Belongs, fitted
from schemas.registry import SchemaSpec

if TYPE_CHECKING:
    from pipeline.evaluation.truth import Truth


@dataclass(frozen=True, slots=True)
class AsRead:
    """A document before anybody decided anything."""

    uri: str
    extraction: Extraction


def calibration(store: Store, job: Job, truth: Truth | None, origin: str) -> Calibration:
    """Fitted on the job's documents that the truth has, or that people decided where there is none.

    Raises UsageError where they are too few.
    """
    numerics = store.results.numerics(job)
    if not numerics:
        raise UsageError(
            f"job {job.name}: it is not known with which numerics its pages were read; read them again with "
            "this Vinbatch, under another --job name"
        )
    examples = _decided(store, job) if truth is None else of_truth(_read(store, job), truth)
    return fitted(list(examples), Belongs(job.schema, job.checkpoint, "; ".join(numerics), origin))


def _read(store: Store, job: Job) -> Iterator[AsRead]:
    for item in store.results.extractions(job):
        yield AsRead(item.uri, item.reading)


def _decided(store: Store, job: Job) -> Iterator[Example]:
    for item in store.results.extractions(job):
        example = of_decisions(item.uri, item.reading, item.decisions)
        if example is not None:
            yield example


def apply(store: Store, job: Job, spec: SchemaSpec) -> Moves:
    """Score and judge the job's documents by what is in force; nothing else about the job changes.

    Raises UsageError as `judging.judge` does.
    """
    below = float(job.settings.get("review_below", REVIEW_BELOW))
    return judging.judge(store, job, spec, below, job.settings.get("sources_of_authority"))
