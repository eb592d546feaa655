"""What a job's pages would leave for their answers, by a model's config and tokenizer. No torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.records import Pixels
from pipeline.room import Room, Tiling, page_tiling
from pipeline.settings import Settings
from pipeline.vintern import checkpoint as checkpoints
from pipeline.vintern import config as configs
from pipeline.vintern import counting
from pipeline.vintern import tokenizer as tokenizers
from schemas.registry import SchemaSpec


@dataclass(frozen=True, slots=True)
class Cutter:
    """How a job would cut its pages."""

    max_tiles: int
    room: Room

    @classmethod
    def of(cls, model: str, spec: SchemaSpec, settings: Settings) -> Cutter:
        """Of a model's config and tokenizer. Raises UsageError, and Unavailable when the hub has none."""
        directory = checkpoints.locate(model, weights=False)
        config = configs.read(directory, context_length=settings.engine.context_length)
        context = min(config.context_length, settings.engine.kv_tokens or config.context_length)
        room = counting.room(config, tokenizers.load(directory), spec, context)
        return cls(settings.tiles.max_tiles or config.most_tiles(spec.reference), room)

    def tightness(self) -> Tightness:
        """The count before the first page."""
        return Tightness(self.room.context)

    def tiling(self, pixels: Pixels) -> Tiling:
        return page_tiling(pixels, self.max_tiles, self.room)


@dataclass
class Tightness:
    """How many pages have less room than their answers need."""

    context: int
    pages: int = 0  # that could be drawn
    tight: int = 0
    fewer: int = 0  # of them, with fewer tiles
    several: int = 0  # of them, in several passes
    most: int = 1  # passes
    none: int = 0  # of them, without room for an answer

    def add(self, cut: Tiling) -> None:
        self.pages += 1
        self.tight += cut.tight
        self.fewer += cut.fewer
        self.several += (cut.passes or 1) > 1
        self.most = max(self.most, cut.passes or 1)
        self.none += cut.passes is None

    def line(self) -> str:
        of = f"of {self.pages} pages in a context of {self.context:,} tokens"
        if not self.tight:
            return f"tight      none {of}"
        ways = [f"{self.fewer} with fewer tiles"] if self.fewer else []
        ways += [f"{self.several} in several passes, at most {self.most}"] if self.several else []
        ways += [f"{self.none} without room for an answer"] if self.none else []
        return f"tight      {self.tight} {of}: {'; '.join(ways)}"
