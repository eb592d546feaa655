"""What a job fixes for all of its pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import grammar, keys, prompt
from pipeline.grammar import Form
from pipeline.keys import ModelFacts
from pipeline.records import Pixels
from pipeline.room import Room, Tiling, page_tiling
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
    room: Room | None = None  # None: nothing is known of the context, and pages are cut as trained
    answer_form: Form = "objects"

    @classmethod
    def of(cls, spec: SchemaSpec, settings: Settings, model: ModelFacts) -> Recipe:
        """Raises UsageError for a schema that no grammar can hold to, naming the field."""
        form = model.answer_form
        question, rules = prompt.build(spec, form), grammar.compile(spec, form)
        paths = [path for path, _ in spec.shape.of_pages.leaves()]
        key = keys.settings_key(settings, paths, question, rules, model, keys.installed())
        max_tiles = settings.tiles.max_tiles or model.max_tiles
        return cls(spec, settings, question, rules, max_tiles, key, model.room, form)

    def tiling(self, pixels: Pixels) -> Tiling:
        """How a page, uint8 [height, width, 3], is cut."""
        return page_tiling(pixels, self.max_tiles, self.room)

    def page_key(self, sha256: str, page: int) -> str:
        return keys.page_key(sha256, page, self.key)
