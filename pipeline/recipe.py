"""What a job fixes for all of its pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import grammar, keys, prompt
from pipeline.keys import ModelFacts
from pipeline.settings import Settings

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a job fixes for its pages. `key` names everything in it that can change a result."""

    spec: SchemaSpec
    settings: Settings
    question: str
    grammar: str
    max_tiles: int
    key: str

    @classmethod
    def of(cls, spec: SchemaSpec, settings: Settings, model: ModelFacts) -> Recipe:
        """Raises UsageError for a schema that no grammar can hold to, naming the field."""
        question, rules = prompt.build(spec), grammar.compile(spec)
        paths = [path for path, _ in spec.shape.leaves()]
        key = keys.settings_key(settings, paths, question, rules, model, keys.installed())
        return cls(spec, settings, question, rules, settings.tiles.max_tiles or model.max_tiles, key)

    def page_key(self, sha256: str, page: int) -> str:
        return keys.page_key(sha256, page, self.key)
