"""What is wrong with a data set: rows that cannot be learned, and pages that an evaluation set holds too.

Documents of one kind look alike, so what counts as the same page is its pixels, or the values that stand on
it: an answer whose values are almost those of an evaluation item, of the same picture or another of the same
paper. Of free text the question must be the same too, and the picture be alike.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import UsageError
from pipeline.records import Pixels
from pipeline.render import Renderer
from pipeline.settings import RenderSettings
from pipeline.tuning import dataset
from pipeline.tuning.dataset import HELDOUT, TRAIN, Item, Wrong
from pipeline.tuning.prepare import Preparer, drawn

_PIECE = 6  # characters of a text that are compared at a time
_LEAST = 16  # characters of values; fewer are shared by chance
_ALIKE = 0.8  # share of pieces that both have, of those that either has
_SIDE = 16  # of the picture's small copy, in cells
_CELLS = 10  # of 256 that may differ between pictures that are alike


@dataclass(frozen=True, slots=True)
class Problem:
    """`kind` is one word or two for counting; `where` the file and line."""

    kind: str
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an item is compared by."""

    where: str
    pixels: str | None  # sha256
    cells: int | None  # a bit for each: darker than its right neighbour
    question: str
    pieces: frozenset[str]
    free: bool


def check(
    path: Path, against: Sequence[Path], preparer: Preparer | None, render: RenderSettings
) -> Iterator[Problem]:
    """Every problem of the set at `path`: of its rows, then what it shares with the sets `against`.

    A folder of ours is also held against its own held-out part. `preparer` None: lengths, questions and
    answers are not held against a model.
    """
    items: list[Item] = []
    for found in dataset.items(path):
        if isinstance(found, Wrong):
            yield Problem("bad row", found.where, found.why)
        else:
            items.append(found)
    if not items:
        yield Problem("empty", str(path), "holds no items")
    for name, count in Counter(item.id for item in items).items():
        if count > 1:
            yield Problem("doubled id", str(path), f"{count} items have the id {name}")
    with Renderer(render) as renderer:
        seen: list[_Seen] = []
        for item in items:
            yield from _own(item, renderer, preparer, seen)
        yield from _twice(seen)
        yield from _shared(seen, list(_evaluated(path, against, renderer)))


def _own(item: Item, renderer: Renderer, preparer: Preparer | None, seen: list[_Seen]) -> Iterator[Problem]:
    """What is wrong with one item by itself; what it is compared by is added to `seen`."""
    pixels: Pixels | None = None
    if item.picture is None and item.more.get("pseudonyms"):
        yield Problem("no picture", item.where, "a set with pseudonyms has no pictures to learn from")
    elif item.picture is not None and not item.picture.there:
        yield Problem("missing image", item.where, f"{item.picture.name} is not there")
    elif item.picture is not None:
        try:
            pixels = drawn(item, renderer)
        except UsageError as error:
            yield Problem("broken image", item.where, error.message.removeprefix(f"{item.where}: "))
    if pixels is not None and item.width and item.height:
        height, width, _ = pixels.shape
        if (width, height) != (item.width, item.height):
            why = f"the row says {item.width}×{item.height} pixels, the picture has {width}×{height}"
            yield Problem("wrong size", item.where, why)
    seen.append(_seen(item, pixels))
    if preparer is not None and (item.picture is None or pixels is not None):
        try:
            tokens, room = preparer.length(item, pixels), preparer.context
        except UsageError as error:
            yield Problem("not as asked", item.where, error.message.removeprefix(f"{item.where}: "))
        else:
            if tokens > room:
                yield Problem("too long", item.where, f"{tokens} tokens, the context has {room}")


def _evaluated(path: Path, against: Sequence[Path], renderer: Renderer) -> Iterator[_Seen]:
    sets = [(one, TRAIN if not (one / HELDOUT).is_file() else HELDOUT) for one in against]
    if path.is_dir() and (path / HELDOUT).is_file():
        sets.append((path, HELDOUT))
    for one, part in sets:
        for item in dataset.items(one, part):
            if isinstance(item, Wrong):
                raise UsageError(f"{item.where}: {item.why}: nothing can be compared with it")
            pixels = None if item.picture is None else drawn(item, renderer)
            yield _seen(item, pixels)


def _seen(item: Item, pixels: Pixels | None) -> _Seen:
    return _Seen(
        item.where,
        None if pixels is None else hashlib.sha256(pixels.tobytes()).hexdigest(),
        None if pixels is None else _cells(pixels),
        item.question,
        frozenset(_pieces(item.answer)),
        item.schema is None,
    )


def _cells(pixels: Pixels) -> int:
    small = Image.fromarray(pixels).convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX)
    grey = np.asarray(small).astype(np.int16)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def _pieces(answer: str) -> Iterator[str]:
    """Pieces of what an answer says; of JSON its values alone, because labels are the same for all."""
    try:
        said = json.loads(answer)
    except ValueError:
        said = answer
    text = " ".join(" ".join(_texts(said)).casefold().split())
    if len(text) >= _LEAST:
        yield from (text[at : at + _PIECE] for at in range(len(text) - _PIECE + 1))


def _texts(said: object) -> Iterator[str]:
    if isinstance(said, dict):
        said = list(said.values())
    if isinstance(said, list):
        for inner in said:
            yield from _texts(inner)
    elif isinstance(said, str | int | float):
        yield str(said)


def _twice(seen: Iterable[_Seen]) -> Iterator[Problem]:
    """One picture under one question with two answers teaches nothing."""
    first: dict[tuple[str, str], _Seen] = {}
    for one in seen:
        if one.pixels is None:
            continue
        before = first.setdefault((one.pixels, one.question), one)
        if before is not one:
            same = "the same answer" if before.pieces == one.pieces else "another answer"
            yield Problem(
                "doubled page", one.where, f"has the picture and question of {before.where}, and {same}"
            )


def _shared(seen: Iterable[_Seen], evaluated: Sequence[_Seen]) -> Iterator[Problem]:
    pixels = {one.pixels: one for one in evaluated if one.pixels is not None}
    holders: dict[str, list[int]] = defaultdict(list)
    for at, one in enumerate(evaluated):
        for piece in one.pieces:
            holders[piece].append(at)
    for one in seen:
        if one.pixels is not None and one.pixels in pixels:
            yield Problem("evaluated page", one.where, f"its picture is that of {pixels[one.pixels].where}")
            continue
        common = Counter(at for piece in one.pieces for at in holders.get(piece, ()))
        for at, count in common.most_common(1):
            other = evaluated[at]
            share = count / (len(one.pieces) + len(other.pieces) - count)
            if share >= _ALIKE and (
                not one.free or (one.question == other.question and _look_alike(one, other))
            ):
                why = f"{share:.0%} of what it says stands in {other.where}"
                yield Problem("evaluated page", one.where, why)


def _look_alike(one: _Seen, other: _Seen) -> bool:
    if one.cells is None or other.cells is None:
        return one.cells is other.cells
    return (one.cells ^ other.cells).bit_count() <= _CELLS
