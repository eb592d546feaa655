"""Words of a page as lines of print, from a PDF's text layer or from whoever reads a page into boxes."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.records import Word


def lines(words: Sequence[Word]) -> list[list[Word]]:
    """The words of each line, from left to right, and the lines from the top down.

    A word belongs to the line whose words' middle half its own middle lies in, so that a line that stands a
    little higher or lower in the next column is one of its own.
    """
    found: list[list[Word]] = []
    for word in sorted(words, key=_middle):
        if found and _beside(found[-1], word):
            found[-1].append(word)
        else:
            found.append([word])
    return [sorted(line, key=lambda word: word.box[0]) for line in found]


def _beside(line: Sequence[Word], word: Word) -> bool:
    middle = sum(map(_middle, line)) / len(line)
    height = max(other.box[3] - other.box[1] for other in (*line, word))
    return abs(_middle(word) - middle) <= height / 2


def _middle(word: Word) -> float:
    return (word.box[1] + word.box[3]) / 2
