"""What reads a job's pages: a checkpoint, in the one revision for all lanes and later runs, or a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.keys import ModelFacts
from pipeline.remote.facts import ServedModel
from pipeline.settings import Settings
from pipeline.vintern import checkpoint as checkpoints  # brings no torch
from pipeline.vintern import config as configs
from pipeline.vintern import facts

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec


@dataclass(frozen=True, slots=True)
class JobModel:
    """`earlier` gives the facts of pages that were read with some numerics; None where the settings exclude
    those.
    """

    name: str
    checkpoint: str  # hash of the weights, or what stands for it
    directory: Path | None  # None: a server has the model
    earlier: Callable[[str], ModelFacts | None]


def check(name: str, settings: Settings) -> None:
    """Raises UsageError for a model that cannot be one; asks nobody."""
    if ServedModel.of(name, settings) is None:
        checkpoints.check(name)


def found(
    name: str, settings: Settings, schema: SchemaSpec, begun_with: str | None, *, any_schema: bool
) -> JobModel:
    """`begun_with` is the model of the job so far. Raises UsageError where it does not read the schema."""
    served = ServedModel.of(name, settings)
    if served is not None:
        return JobModel(name, served.checkpoint, None, served.earlier)
    model = checkpoints.begun_with(name, begun_with)
    directory = checkpoints.locate(model)
    # What is wrong with it is said now, not by the first lane.
    configs.read(directory, context_length=settings.engine.context_length)
    if not any_schema:
        checkpoints.check_schema(model, directory, f"{schema.name}@{schema.version}")
    digest = checkpoints.digest(directory)
    earlier = partial(facts.earlier, directory, digest, settings.engine, schema.reference)
    return JobModel(checkpoints.pinned(model, directory), digest, directory, earlier)
