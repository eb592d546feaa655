"""A job that has been read is judged anew: its pages are merged again and its witnesses are heard again.

Threshold and sources of authority may then be others.

No page is read and no model is asked. Values, checks and state of each document become what a run with these
settings would have made of the same pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.errors import UsageError
from pipeline.reading import merged
from pipeline.store import Job, Store
from schemas.registry import SchemaSpec

Moves = Counter[tuple[str, str]]  # documents by their state before and after


def judge(
    store: Store,
    job: Job,
    spec: SchemaSpec,
    review_below: float,
    authority: Sequence[str] | None = None,
) -> Moves:
    """Judge every document of the job that has a result. The job keeps both settings for later runs.

    Scores are those of the calibration and the promise that the store has in force.

    Raises UsageError when the schema has changed since the job began, or while a run works on the job.
    """
    if spec.hash != job.schema_hash:
        raise UsageError(
            f"schema {job.schema} has been changed since job {job.name} began; run the same sources under "
            "another --job name: where only rules have changed, no page is read again"
        )
    if store.books.counts(job)["leased"]:
        raise UsageError(f"job {job.name} is being worked on; judge it when its run has ended")
    store.jobs.set_judgement(job, review_below, authority)
    trust = store.calibrations.in_force(job)
    moves: Moves = Counter()
    for row in store.results.finished(job):
        made = merged(list(store.results.pages(job, row.uri)), spec, review_below, authority, trust)
        if (state := store.results.replace(job, row, made, spec)) is not None:
            moves[row.state, state] += 1
    return moves
