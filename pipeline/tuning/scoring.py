"""How well a model reads pages whose answers are known, through the product's engine, prompt and grammar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import grammar
from pipeline.records import Pixels, Request
from pipeline.settings import EngineSettings
from pipeline.trust.measures import Interval, wilson
from pipeline.tuning.labels import Labels

if TYPE_CHECKING:
    from pipeline.vintern.model import Vintern


@dataclass(frozen=True, slots=True)
class Known:
    """A page as it is asked about, and the answer that is right."""

    tiles: Pixels
    question: str
    answer: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class Score:
    """`right` of `printed` values were read, among `read` that were; pages with nothing wrong: `exact`.

    A value of a line counts by its line's number. f1: of values over all pages together.
    """

    pages: int
    printed: int
    read: int
    right: int
    exact: int

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.printed + self.read) if self.printed + self.read else 1.0

    @property
    def recall(self) -> Interval | None:
        """With its interval: as if values were read right or wrong independently of each other."""
        return wilson(self.right, self.printed)

    def as_json(self) -> dict[str, Any]:
        recall = self.recall
        between = None if recall is None else [round(recall.low, 4), round(recall.high, 4)]
        return {
            "f1": round(self.f1, 4),
            "recall": round(self.right / self.printed, 4) if self.printed else None,
            "recall_95": between,
            "precision": round(self.right / self.read, 4) if self.read else None,
            "values": self.printed,
            "pages": self.pages,
            "exact_pages": self.exact,
        }


def score(model: Vintern, pages: Sequence[Known], settings: EngineSettings) -> Score:
    """Reads all pages with the engine. The model's network is the engine's own from then on."""
    from pipeline.vintern.engine import Engine  # brings torch

    engine = Engine(model, settings)
    compiled: dict[int, str] = {}

    def requests() -> Iterator[Request]:
        for number, page in enumerate(pages):
            known = id(page.labels)
            if known not in compiled:
                compiled[known] = grammar.compile(page.labels.spec, page.labels.form)
            yield Request(str(number), page.tiles, page.question, compiled[known], settings.max_new_tokens)

    printed = read = right = exact = 0
    for generation in engine.generate(requests()):
        page = pages[int(generation.request_id)]
        true = page.labels.values(page.answer) or {}
        found: Mapping[str, Any] = {}
        if generation.finish == "stop":
            found = page.labels.values(generation.text) or {}
        hits = sum(found.get(path) == value for path, value in true.items())
        printed, read, right = printed + len(true), read + len(found), right + hits
        exact += hits == len(true) == len(found)
    return Score(len(pages), printed, read, right, exact)
