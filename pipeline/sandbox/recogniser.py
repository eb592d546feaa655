"""What every second reader has in common."""

from __future__ import annotations

import mmap
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Protocol

from pipeline.sandbox.drawer import LONGEST_WORD, MOST_WORDS, Layer, Sides

Place = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class Recogniser(Protocol):
    """It sees pixels that were decoded elsewhere; no file and no network."""

    def read(self, canvas: mmap.mmap, width: int, height: int) -> Layer:
        """The words on the page whose RGB rows `canvas` begins with, line by line from the top down."""


def layer(words: Iterable[tuple[str, Place]], width: int, height: int) -> Layer:
    """Words and their places in pixels, as the parent takes them: no blanks, NFC, within the page."""
    found = [(text, _sides(place, width, height)) for said, place in words for text in _pieces(said)]
    return Layer(tuple(found[:MOST_WORDS]), why="there are more words" if len(found) > MOST_WORDS else None)


def _pieces(said: str) -> Iterator[str]:
    for word in unicodedata.normalize("NFC", said).split():
        shown = "".join(sign for sign in word if sign.isprintable())
        if shown:
            yield shown[:LONGEST_WORD]


def _sides(place: Place, width: int, height: int) -> Sides:
    left, top, right, bottom = place
    across = sorted(min(max(side / width, 0.0), 1.0) for side in (left, right))
    down = sorted(min(max(side / height, 0.0), 1.0) for side in (top, bottom))
    return across[0], down[0], across[1], down[1]
