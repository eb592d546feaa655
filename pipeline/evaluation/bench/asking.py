"""A model's own answers to a benchmark's questions: through the engine, without a grammar.

The picture is drawn in the confined child and cut into tiles as a page of a job is; the question is the whole
user turn, as the benchmark has it. The likeliest tokens are chosen, so the same model answers the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from pipeline import tiles
from pipeline.errors import Coded
from pipeline.evaluation.bench.questions import Question
from pipeline.records import Document, Failure, Pixels, Request
from pipeline.render import Renderer
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.vintern.engine import Engine

PROMPT = "question alone, v1"
_LONGEST = 256  # tokens of an answer, where the settings name none


@dataclass(frozen=True, slots=True)
class Answer:
    """`finish` as of a Generation; with "error" there is no answer, and `why` has the reason."""

    id: str
    text: str
    finish: str
    why: str | None = None


class Asker:
    """A model that is loaded once. Raises UsageError for one that cannot be used."""

    def __init__(self, model: str, settings: Settings) -> None:
        from pipeline.vintern.engine import Engine  # brings torch
        from pipeline.vintern.model import load

        engine = settings.engine
        loaded = load(model, dtype=engine.dtype, device=engine.device, context_length=engine.context_length)
        self.checkpoint: str = loaded.checkpoint_hash
        self._max_tiles = settings.tiles.max_tiles or loaded.max_tiles
        self._engine: Engine = Engine(loaded, engine)
        self._settings = settings

    def ask(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Each question is answered exactly once, in the order in which they finish."""
        failed: list[Answer] = []
        with Renderer(self._settings.render) as renderer:
            for said in self._engine.generate(self._requests(questions, renderer, failed.append)):
                yield Answer(
                    said.request_id,
                    said.text.strip(),
                    said.finish,
                    None if said.reason is None else str(said.reason),
                )
        yield from failed

    def _requests(
        self, questions: Sequence[Question], renderer: Renderer, failed: Callable[[Answer], None]
    ) -> Iterator[Request]:
        longest = self._settings.engine.max_new_tokens or _LONGEST
        for question in questions:
            try:
                cut = self._tiles(question, renderer)
            except Coded as error:
                failed(Answer(question.id, "", "error", str(error.reason)))
            else:
                yield Request(question.id, cut, question.text, None, longest)

    def _tiles(self, question: Question, renderer: Renderer) -> Pixels:
        data = question.picture()
        source = Document(question.place, data, hashlib.sha256(data).hexdigest(), None)
        image = renderer.page(source, 1, codes=False)
        if isinstance(image, Failure):
            raise Coded(image.reason, image.message)
        height, width, _ = image.pixels.shape
        return tiles.cut(Image.fromarray(image.pixels), tiles.grid(width, height, self._max_tiles))
