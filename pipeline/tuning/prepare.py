"""Items of a data set become what is learned: pictures are cut as the product cuts them, texts are tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from PIL import Image

from pipeline import prompt, tiles
from pipeline.errors import Coded, UsageError
from pipeline.grammar import Form
from pipeline.records import Document, PageImage, Pixels
from pipeline.render import Renderer
from pipeline.room import Grid, page_tiling
from pipeline.settings import RenderSettings
from pipeline.tuning.dataset import Item
from pipeline.tuning.labels import Labels
from pipeline.vintern import counting, sequences
from pipeline.vintern.config import Config
from pipeline.vintern.sequences import Tokens
from pipeline.vintern.tokenizer import Tokenizer
from schemas.spec import SchemaSpec

_MOVED = 0.015  # of a page's side: half a patch of one tile
Resolve = Callable[[str], SchemaSpec]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item as the model gets it. `labels`: its answer is one of a schema; `digest` names its content.

    looks  the tiles of its picture, as it is and moved by a little; empty where it has none, or where they
           are kept elsewhere under `keys`
    """

    item: Item
    tokens: Tokens
    looks: tuple[Pixels, ...]
    labels: Labels | None
    digest: str
    keys: tuple[str, ...] = ()


@dataclass(slots=True)
class Preparer:
    """Knows one model's tokenizer, context and tiling. Raises UsageError naming the item that is wrong."""

    config: Config
    tokenizer: Tokenizer
    context: int
    skeleton: float
    resolve: Resolve
    render: RenderSettings
    too_long: list[str] = field(default_factory=list)  # where items stand that the context does not hold
    _labels: dict[str, Labels] = field(default_factory=dict)

    def prepared(self, items: Iterable[Item], looks: int = 1) -> Iterator[Prepared]:
        """Each item that the context holds, with so many pictures of its page."""
        with Renderer(self.render) as renderer:
            for item in items:
                if (made := self._one(item, renderer, looks)) is not None:
                    yield made

    def labels(self, schema: str) -> Labels:
        if schema not in self._labels:
            self._labels[schema] = Labels(self.resolve(schema), self.config.answer_form)
        return self._labels[schema]

    def length(self, item: Item, pixels: Pixels | None) -> int:
        """Tokens of an item with this picture. Raises UsageError where it is not as the product asks."""
        return len(self._tokens(item, None if pixels is None else self.cut(pixels, self._of(item))).ids)

    def _of(self, item: Item) -> Labels | None:
        return None if item.schema is None else self.labels(item.schema)

    def _one(self, item: Item, renderer: Renderer, looks: int) -> Prepared | None:
        if item.picture is None and item.more.get("pseudonyms"):
            raise UsageError(f"{item.where}: a set with pseudonyms has no pictures to learn from")
        pixels = None if item.picture is None else drawn(item, renderer)
        cut = None if pixels is None else self.cut(pixels, self._of(item))
        tokens = self._tokens(item, cut)
        if len(tokens.ids) > self.context:
            self.too_long.append(item.where)
            return None
        digest = hashlib.sha256(repr(item.turns).encode())
        digest.update(b"" if pixels is None else pixels.tobytes())
        found: list[Pixels] = []
        if pixels is not None and cut is not None:
            # The same grid for all looks: it is that of the page as it is.
            grid = self.grid(pixels, self._of(item))
            others = (moved(pixels, f"{digest.hexdigest()}:{look}") for look in range(1, looks))
            found = [cut, *(tiles.cut(Image.fromarray(other), grid) for other in others)]
        return Prepared(item, tokens, tuple(found), self._of(item), digest.hexdigest())

    def _tokens(self, item: Item, cut: Pixels | None) -> Tokens:
        labels = self._of(item)
        if labels is not None:
            _as_asked(item, labels, self.config.answer_form)
        count = 0 if cut is None else len(cut)
        skeleton = None if labels is None else self.skeleton
        return sequences.tokens(self.tokenizer, self.config, item.turns, count, skeleton=skeleton)

    def cut(self, pixels: Pixels, labels: Labels | None) -> Pixels:
        """The tiles of a page, as a job cuts it."""
        return tiles.cut(Image.fromarray(pixels), self.grid(pixels, labels))

    def grid(self, pixels: Pixels, labels: Labels | None) -> Grid:
        """How a job cuts a page: into fewer tiles where its answer would have no room."""
        if labels is None:
            return page_tiling(pixels, self.config.max_tiles, None).grid
        room = counting.room(self.config, self.tokenizer, labels.spec, self.config.context_length)
        return page_tiling(pixels, self.config.most_tiles(labels.spec.reference), room).grid


def moved(pixels: Pixels, seed: str) -> Pixels:
    """A page, uint8 [height, width, 3], moved by up to 1.5% of its sides; edge pixels fill the gap.

    The patches of the vision tower then cut its letters elsewhere.
    """
    rng = Random(seed)
    height, width, _ = pixels.shape
    down, across = (round(rng.uniform(-_MOVED, _MOVED) * side) for side in (height, width))
    gaps = [(max(down, 0), max(-down, 0)), (max(across, 0), max(-across, 0)), (0, 0)]
    wider = np.pad(pixels, gaps, mode="edge")
    return np.ascontiguousarray(wider[max(-down, 0) :, max(-across, 0) :][:height, :width])


def drawn(item: Item, renderer: Renderer) -> Pixels:
    """The picture's pixels, decoded in the confined child. Raises UsageError naming the item."""
    assert item.picture is not None
    try:
        data = item.picture.read()
        given = Document(item.picture.name, data, hashlib.sha256(data).hexdigest(), None)
        renderer.page_count(given)
        page = renderer.page(given, 1, codes=False)
    except Coded as error:
        raise UsageError(f"{item.where}: {error.message}") from None
    if not isinstance(page, PageImage):
        raise UsageError(f"{item.where}: the picture cannot be drawn: {page.message}")
    return page.pixels


def _as_asked(item: Item, labels: Labels, form: Form) -> None:
    """What is learned must be what is read: the question that the product asks, an answer that it takes."""
    if len(item.turns) != 1 or item.question != prompt.build(labels.spec, form):
        raise UsageError(
            f"{item.where}: the question is not that of {item.schema} for this model; export the set again "
            "with --model"
        )
    refused = labels.refused(item.answer)
    if refused is not None:
        raise UsageError(f"{item.where}: the answer cannot be learnt: {refused}")


def schemas_of(items: Sequence[Item]) -> list[str]:
    """The schemas that items name, in order."""
    return list(dict.fromkeys(item.schema for item in items if item.schema is not None))
