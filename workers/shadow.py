"""A candidate beside a job: what it reads and as which job, checked before anything is read."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from pipeline.errors import UsageError
from pipeline.vintern import checkpoint as checkpoints  # brings no torch
from pipeline.vintern import config as configs
from workers.job import JobRequest, Shadowed, absolute, default_name
from workers.lane import schema_of

SHARE = 0.05


def requested(request: JobRequest, model: str | None, share: float | None) -> JobRequest | None:
    """What the candidate `model` is to read of the job of `request`; None where there is no candidate.

    Raises UsageError for a share that is none, a candidate that cannot be used, and one that is the job's own
    model.
    """
    if model is None:
        if share is not None:
            raise UsageError("--share is for --shadow MODEL")
        return None
    share = SHARE if share is None else share
    if not 0 < share <= 1:
        raise UsageError(f"--share: {share:g} is no share; 0.05 is one document of twenty")
    if request.settings.server.url is not None:
        raise UsageError("--shadow: a candidate is a checkpoint, and this job is read by a server (--engine)")
    checkpoints.check(model)
    directory = checkpoints.locate(model)
    configs.read(directory, context_length=request.settings.engine.context_length)
    if checkpoints.digest(directory) == checkpoints.digest(checkpoints.locate(request.model)):
        raise UsageError(f"--shadow: {model} is the job's own model")
    schema = schema_of(request.schema, request.settings.law)
    if not request.any_schema:
        checkpoints.check_schema(model, directory, f"{schema.name}@{schema.version}")
    first = request.name or default_name(request)
    own = hashlib.sha256(absolute(model).encode()).hexdigest()[:8]
    return replace(
        request, model=model, name=f"{first}-shadow-{own}", limit=None, shadow_of=Shadowed(first, share)
    )
