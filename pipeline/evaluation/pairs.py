"""Which value that was read answers to which value that is printed.

Single values answer to each other by their path. Lines have no names: they are assigned to each other so that
as many values as possible agree (the Hungarian method), and a line that nothing answers to is missing, or
hallucinated, with all its values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np
from rapidfuzz.distance import Levenshtein
from scipy.optimize import linear_sum_assignment

from pipeline.evaluation.truth import TrueValue
from pipeline.grammar import canonical
from pipeline.records import Field
from schemas.shape import Group, Leaf, leaf_path

Verdict = Literal["right", "wrong", "missing", "hallucinated", "absent"]

_FIRST = re.compile(r"^(.*?)\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Pair:
    """A printed value and the one that was read for it; None where there is none.

    path     where the value was read, or where it stands in the truth if nothing was read
    leaf     the field ("lines[].amount")
    verdict  by normal form: 1.200 and 1,200 agree, and so do 5/1/2026 and 05/01/2026
    exact    the printed text was read to the letter
    printed_at  where it stands in the truth, if it does
    """

    path: str
    leaf: str
    truth: TrueValue | None
    read: Field | None
    verdict: Verdict
    exact: bool
    printed_at: str | None = None


def pair(shape: Group, truth: Mapping[str, TrueValue], fields: Mapping[str, Field]) -> list[Pair]:
    """Every leaf of a document, each value on either side exactly once. `fields` may hold other paths too."""
    leaves = dict(shape.leaves())
    read = {path: field for path, field in fields.items() if leaf_path(path) in leaves}
    paths: list[tuple[str | None, str | None]] = [(path, path) for path in leaves if "[]" not in path]
    for name in dict.fromkeys(found[1] for path in (*truth, *read) if (found := _FIRST.match(path))):
        paths += _lines(name, truth, read, leaves)
    return [_judged(leaves, truth.get(a or ""), read.get(b or ""), a, b) for a, b in paths]


def _lines(
    name: str, truth: Mapping[str, TrueValue], read: Mapping[str, Field], leaves: Mapping[str, Leaf]
) -> Iterator[tuple[str | None, str | None]]:
    """The paths that answer to each other in the list `name`: (in the truth, as read)."""
    printed, found = _items(name, truth), _items(name, read)
    likeness = np.zeros((len(printed), len(found)))
    for i, one in enumerate(printed.values()):
        for j, other in enumerate(found.values()):
            likeness[i, j] = sum(
                _likeness(leaves[leaf_path(other[rest])], truth[one[rest]], read[other[rest]])
                for rest in one.keys() & other.keys()
            ) - 1e-6 * abs(i - j)  # among equal ones, the nearest
    rows, columns = linear_sum_assignment(likeness, maximize=True)
    of_row = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if likeness[r, c] > 0}
    lines, others = list(printed.values()), list(found.values())
    for i, line in enumerate(lines):
        other = others[of_row[i]] if i in of_row else {}
        for rest in dict.fromkeys((*other, *line)):
            yield line.get(rest), other.get(rest)
    for j, other in enumerate(others):
        if j not in of_row.values():
            yield from ((None, path) for path in other.values())


def _items(name: str, values: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Item number → {rest of the path → whole path}, for the list `name`, in order."""
    items: dict[int, dict[str, str]] = {}
    for path in values:
        found = _FIRST.match(path)
        if found and found[1] == name:
            items.setdefault(int(found[2]), {})[path[found.end() :]] = path
    return {str(i): items[i] for i in sorted(items)}


def _likeness(leaf: Leaf, truth: TrueValue, read: Field) -> float:
    """1 for values that agree, up to a tenth for texts that are merely alike."""
    if read.raw is None:
        return 0.0
    if agree(leaf, truth, read):
        return 1.0
    return 0.1 * max(0.0, Levenshtein.normalized_similarity(truth.text, canonical(read.raw)) - 0.5)


def agree(leaf: Leaf, truth: TrueValue, read: Field) -> bool:
    """Whether both mean the same; texts without a normal form must be equal to the letter."""
    if truth.value is None or read.value is None:
        return truth.value is None and read.value is None and truth.text == canonical(read.raw or "")
    if leaf.printed.sql in ("decimal", "real"):
        return Decimal(str(truth.value)) == Decimal(str(read.value))
    return bool(truth.value == read.value)


def _judged(
    leaves: Mapping[str, Leaf],
    truth: TrueValue | None,
    read: Field | None,
    printed_at: str | None,
    read_at: str | None,
) -> Pair:
    path = read_at or printed_at or ""
    leaf = leaf_path(path)
    there = read is not None and read.raw is not None
    verdict: Verdict
    if truth is None:
        verdict = "hallucinated" if there else "absent"
    elif read is None or not there:
        verdict = "missing"
    else:
        verdict = "right" if agree(leaves[leaf], truth, read) else "wrong"
    exact = truth is not None and read is not None and there and truth.text == canonical(read.raw or "")
    return Pair(path, leaf, truth, read, verdict, exact, None if truth is None else printed_at)
