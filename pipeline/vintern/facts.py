"""What a job must know of the engine that will answer it, or that has answered already. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.keys import ModelFacts
from pipeline.room import Room
from pipeline.settings import EngineSettings
from pipeline.vintern import config as configs

if TYPE_CHECKING:
    from pipeline.vintern.engine import Engine
    from schemas.registry import SchemaSpec


def model_facts(engine: Engine, spec: SchemaSpec) -> ModelFacts:
    """The model as this engine runs it, as far as results of the schema depend on it."""
    from pipeline.vintern import counting  # with tokenizers, which nobody else here needs

    model, backend = engine.model, engine.backend
    room = counting.room(model.config, model.tokenizer, spec, backend.cache.length)
    most, form = model.config.most_tiles(spec.reference), model.config.answer_form
    return ModelFacts(model.checkpoint_hash, most, backend.numerics, room, form)


def earlier(
    directory: Path, checkpoint: str, settings: EngineSettings, schema: str, numerics: str
) -> ModelFacts | None:
    """The same of an engine that has answered before with these `numerics`, without loading the model: enough
    for the keys of its pages of a schema, by its reference, and not to cut one. None where no engine with
    these settings could have those numerics. Raises UsageError for files that are no checkpoint.
    """
    if not may_serve(numerics, settings):
        return None
    config = configs.read(directory, context_length=settings.context_length)
    context = min(config.context_length, settings.kv_tokens or config.context_length)  # as `KVCache` has it
    room = Room(context, config.tokens_per_tile, prompt=0, header=0)
    return ModelFacts(checkpoint, config.most_tiles(schema), numerics, room, config.answer_form)


def may_serve(numerics: str, settings: EngineSettings) -> bool:
    """Whether an engine with these settings could have these `numerics` on some machine: what a person left
    open may be as it was, what they chose must be so.
    """
    device, words = numerics.partition(" ")[0], numerics.replace(",", "").split()
    chosen = [
        settings.device == "auto" or settings.device.partition(":")[0] == device,
        settings.dtype == "auto" or settings.dtype in words,
    ]
    if device == "cpu":
        chosen.append(settings.kernels or "torch" in words)
        if settings.threads is not None and "threads" in words:
            chosen.append(f" {settings.threads} threads" in numerics)
    else:
        chosen.append(settings.warmup == "auto" or (settings.warmup == "compile") == ("compiled" in words))
    return all(chosen)
