"""What a job must know of the engine that will answer it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.keys import ModelFacts
from pipeline.vintern import counting

if TYPE_CHECKING:
    from pipeline.vintern.engine import Engine
    from schemas.registry import SchemaSpec


def model_facts(engine: Engine, spec: SchemaSpec) -> ModelFacts:
    """The model as this engine runs it, as far as results of the schema depend on it."""
    model, backend = engine.model, engine.backend
    room = counting.room(model.config, model.tokenizer, spec, backend.cache.length)
    return ModelFacts(
        model.checkpoint_hash, model.max_tiles, backend.numerics, room, model.config.answer_form
    )
