"""Sets that nothing may be learnt from, because models are measured by them.

A picture is known again by its bytes, or by its look: how bright it is in a coarse grid, in which even two
papers of one form differ somewhere. One that was made brighter, turned or cut is not known again by that; its
text is, where both sides have one.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline import wording
from pipeline.errors import UsageError

_GRID = 40
# Of 255, in the cell that differs most and on the whole. Specimens that were scaled and saved again differ by
# at most 22 and 1.9, two papers of one form by at least 44 and 4.5.
_MOST_APART, _APART = 32, 3.0
_SAME_TEXT = 0.8  # of the words of both
_MOST_PIXELS = 100_000_000
_MOST_BYTES = 100 << 20
_FEWEST_WORDS = 12  # in a text: a shorter one says little about which paper it is of
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}

Look = npt.NDArray[np.int16]


class _Index:
    """Finds sets of words that may have most words in common: such two share one of the rarest of each."""

    def __init__(self, texts: Sequence[set[str]]) -> None:
        self._texts = texts
        self._often = Counter(word for words in texts for word in words)
        self._with: dict[str, list[int]] = defaultdict(list)
        for number, words in enumerate(texts):
            for word in self._rarest(words):
                self._with[word].append(number)

    def like(self, words: set[str]) -> Iterator[set[str]]:
        numbers = {number for word in self._rarest(words) for number in self._with.get(word, ())}
        return (self._texts[number] for number in numbers)

    def _rarest(self, words: set[str]) -> list[str]:
        """So many that none of them in common leaves too few that can be."""
        ordered = sorted(words, key=lambda word: (self._often[word], word))
        return ordered[: len(words) - math.ceil(_SAME_TEXT * len(words)) + 1]


@dataclass
class HeldOut:
    """What such sets have in them."""

    names: set[str] = field(default_factory=set)  # sha256 of pictures
    looks: list[Look] = field(default_factory=list)
    texts: list[set[str]] = field(default_factory=list)  # words of long answers
    pairs: set[tuple[str, str]] = field(default_factory=set)  # question and answer
    _stacked: Look | None = None
    _index: _Index | None = None

    def has_picture(self, name: str, data: bytes) -> bool:
        """Whether this picture, or one that looks the same, is held out."""
        if name in self.names:
            return True
        if not self.looks:
            return False
        if self._stacked is None:
            self._stacked = np.stack(self.looks)
        apart = np.abs(self._stacked - look(data))
        return bool(((apart.max((1, 2)) <= _MOST_APART) & (apart.mean((1, 2)) <= _APART)).any())

    def has_text(self, text: str) -> bool:
        """Whether a page's text, or an answer, has nearly the words of one that is held out."""
        words = set(wording.tokens(text))
        if len(words) < _FEWEST_WORDS or not self.texts:
            return False
        if self._index is None:
            self._index = _Index(self.texts)
        return any(len(words & other) >= _SAME_TEXT * len(words | other) for other in self._index.like(words))

    def has_pair(self, question: str, answer: str) -> bool:
        return _pair(question, answer) in self.pairs


def load(places: Sequence[Path]) -> HeldOut:
    """Folders of pictures and JSONL files whose rows have conversations, or questions and answers.

    Raises UsageError naming the file and line.
    """
    found = HeldOut()
    for place in places:
        if place.is_dir():
            files = sorted(path for path in place.rglob("*") if path.suffix.lower() in _PICTURES | {".jsonl"})
        elif place.is_file():
            files = [place]
        else:
            raise UsageError(f"the evaluation set {place} does not exist")
        if not files:
            raise UsageError(f"the evaluation set {place} holds neither pictures nor JSONL")
        for path in files:
            if path.suffix.lower() in _PICTURES:
                _add_picture(found, path)
            else:
                _add_rows(found, path)
    return found


def look(data: bytes) -> Look:
    """How bright each cell of a coarse grid is, int16 [grid, grid]. Raises OSError, ValueError."""
    with Image.open(io.BytesIO(data)) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"the picture has {image.width} × {image.height} pixels")
        image.draft("L", (8 * _GRID, 8 * _GRID))  # JPEG need not be decoded whole for it
        small = image.convert("L").resize((_GRID, _GRID), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.int16)


def _add_picture(found: HeldOut, path: Path) -> None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has over {_MOST_BYTES >> 20} MiB")
        data = path.read_bytes()
        found.looks.append(look(data))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(f"the evaluation set's picture {path} cannot be read: {error}") from None
    found.names.add(hashlib.sha256(data).hexdigest())


def _add_rows(found: HeldOut, path: Path) -> None:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                raise UsageError(f"the evaluation set {path}, line {number} is no JSON") from None
            if not isinstance(row, dict):
                raise UsageError(f"the evaluation set {path}, line {number} is no object")
            for question, answer in _turns(row):
                found.pairs.add(_pair(question, answer))
                words = set(wording.tokens(answer))
                if len(words) >= _FEWEST_WORDS:
                    found.texts.append(words)


def _turns(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    spoken = row.get("conversations")
    if isinstance(spoken, list):
        said = [_said(turn) for turn in spoken]
        yield from zip(said[::2], said[1::2], strict=False)
    else:
        answers = row.get("answers", row.get("answer"))
        for answer in answers if isinstance(answers, list) else [answers]:
            if isinstance(answer, str):
                yield str(row.get("question", "")), answer


def _said(turn: Any) -> str:
    value = turn.get("value", turn.get("content", "")) if isinstance(turn, dict) else ""
    return value if isinstance(value, str) else ""


def _pair(question: str, answer: str) -> tuple[str, str]:
    plain = question.replace("<image>", " ")
    return " ".join(wording.tokens(plain)), " ".join(wording.tokens(answer))
