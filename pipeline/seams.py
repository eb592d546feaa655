"""Lines that a page has twice, because the model went back where it began another pass over a long table.

Two lines that say the same may well stand on paper. Which lines are one is told by the number that is
printed before them, or by the place on the page that the model looked at; where neither is known, nothing is
left out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import get_args

from pipeline.records import Field
from schemas.fields import LineNumber
from schemas.shape import Group, Leaf, Repeated

_NUMBER = get_args(LineNumber)[1]  # how a line's number is printed


@dataclass(frozen=True, slots=True)
class Line:
    """What one item of a list says, and where."""

    texts: tuple[str | None, ...]
    number: str | None  # printed before it
    top: float = 0.0  # of the page's height
    bottom: float = 0.0  # 0: the place is not known


@dataclass(frozen=True, slots=True)
class Repetition:
    """`count` lines from `at` on say what those from `first` on say; `sure`: they are the same lines."""

    first: int
    at: int
    count: int
    sure: bool


def line(fields: Sequence[Field], numbers: Collection[str]) -> Line:
    """`fields` are those of one item, `numbers` the names of those that are a line's number."""
    found = [field.raw for field in fields if field.path.rpartition(".")[2] in numbers]
    boxes = [field.box for field in fields if field.box is not None]
    return Line(
        texts=tuple(field.raw for field in fields),
        number=next((raw for raw in found if raw is not None), None),
        top=min((box[1] for box in boxes), default=0.0),
        bottom=max((box[3] for box in boxes), default=0.0),
    )


def line_numbers(node: Repeated) -> frozenset[str]:
    """The names of the fields that hold the printed number of each of the list's lines."""
    fields = node.item.fields if isinstance(node.item, Group) else ()
    return frozenset(field.name for field in fields if isinstance(field, Leaf) and field.printed == _NUMBER)


def repetitions(lines: Sequence[Line], seams: Sequence[int]) -> list[Repetition]:
    """What the lines from each of `seams` on repeat of those before, the longest run of each.

    A run that is not surely the same lines is worth telling where it is longer than a line, or follows at
    once on what it repeats.
    """
    found = []
    for at, end in zip(seams, [*seams[1:], len(lines)], strict=True):
        runs = [Repetition(first, at, *_run(lines, first, at, end)) for first in range(at)]
        best = max(runs, key=lambda run: (run.count, run.first), default=None)
        if best and best.count and (best.sure or best.count > 1 or best.first + 1 == at):
            found.append(best)
    return found


def _run(lines: Sequence[Line], first: int, at: int, end: int) -> tuple[int, bool]:
    """How many lines from `at` on are as those from `first` on, and whether all are surely the same."""
    sure = True
    for count in range(min(at - first, end - at)):
        one, other = lines[first + count], lines[at + count]
        same = _same(one, other)
        if one.texts != other.texts or not any(one.texts) or same is False:
            return count, sure
        sure = sure and same is True
    return min(at - first, end - at), sure


def _same(one: Line, other: Line) -> bool | None:
    """Whether two lines of one text are one line on the page; None: that cannot be told."""
    if one.number is not None:
        return True
    if not (one.bottom and other.bottom):
        return None
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return shared > 0.5 * min(one.bottom - one.top, other.bottom - other.top)
