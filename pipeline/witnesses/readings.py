"""Other readings of the same document as witnesses: XML beside print, or print beside XML.

A document may have been read in more ways than one, and only one of them gives its values. Lines are held
against each other in their order; where one reading has more of them, the best match decides which is which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.records import Check, Field, Testimony, Verdict
from pipeline.witnesses.witness import NAMES, Subject, Witness
from schemas.same import same
from schemas.shape import Leaf, leaf_path

_Item = Mapping[str, Field]  # the fields of one line by what follows its index: ".amount"
_OF_LIST = re.compile(r"([^\[]+)\[([0-9]+)\](.*)")


def found(subject: Subject) -> Iterator[Witness | Check]:
    """The readings that were not chosen, each as one witness."""
    leaves = dict(subject.spec.shape.leaves())
    for source, fields in subject.others.items():
        yield OtherReading(source, _as_chosen(fields, subject.fields, leaves), leaves, subject.sure_from)


class OtherReading:
    """`fields` by the paths of the chosen reading; one that is less sure than `sure_from` accuses nobody."""

    def __init__(
        self, source: str, fields: Mapping[str, Field], leaves: Mapping[str, Leaf], sure_from: float
    ) -> None:
        self.source = source
        self.name = NAMES.get(source, source)
        self._fields, self._leaves, self._sure_from = fields, leaves, sure_from

    def testify(self, field: Field) -> Testimony:
        mine = self._fields.get(field.path)
        if mine is None or field.value is None or (not mine.value and mine.raw is None):
            return Testimony(field.path, self.source, "silent")
        if mine.value is not None and _same(self._leaves, field, mine):
            return self._said(field.path, "agrees", mine)
        sure = mine.value is not None and (mine.confidence or 0.0) >= self._sure_from
        return self._said(field.path, "differs" if sure else "silent", mine)

    def offers(self, fields: Sequence[Field]) -> Iterator[Testimony]:
        for field in fields:
            mine = self._fields.get(field.path)
            if field.value is None and mine is not None and mine.value is not None:
                yield self._said(field.path, "offers", mine)

    def _said(self, path: str, verdict: Verdict, mine: Field) -> Testimony:
        raw = str(mine.value) if mine.raw is None else mine.raw
        return Testimony(path, self.source, verdict, raw, mine.value, mine.page, mine.box)


def _same(leaves: Mapping[str, Leaf], one: Field, other: Field) -> bool:
    leaf = leaves.get(leaf_path(one.path))  # the number of a list's items has none
    return one.value == other.value if leaf is None else same(leaf.printed, one.value, other.value)


def _as_chosen(
    fields: Iterable[Field], chosen: Iterable[Field], leaves: Mapping[str, Leaf]
) -> dict[str, Field]:
    """The fields of another reading by the paths of the chosen one. Lines that it has not are left out."""
    by_path, lists = _apart(fields)
    _, wanted = _apart(chosen)
    for name, items in lists.items():
        for i, j in _pairs(wanted.get(name, []), items, leaves):
            by_path |= {f"{name}[{i}]{rest}": field for rest, field in items[j].items()}
    return by_path


def _apart(fields: Iterable[Field]) -> tuple[dict[str, Field], dict[str, list[dict[str, Field]]]]:
    """The fields that are in no list, and the items of each list."""
    by_path: dict[str, Field] = {}
    lists: dict[str, list[dict[str, Field]]] = {}
    for field in fields:
        if part := _OF_LIST.fullmatch(field.path):
            items = lists.setdefault(part[1], [])
            items += [{} for _ in range(int(part[2]) + 1 - len(items))]
            items[int(part[2])][part[3]] = field
        else:
            by_path[field.path] = field
    return by_path, lists


def _pairs(
    wanted: Sequence[_Item], items: Sequence[_Item], leaves: Mapping[str, Leaf]
) -> list[tuple[int, int]]:
    """Which item is which, in order: those that have most values in common, and no value of theirs twice."""
    if len(wanted) == len(items):
        return [(i, i) for i in range(len(items))]
    # best[i][j]: how much the first i and the first j items have in common (longest common subsequence)
    best = [[0] * (len(items) + 1) for _ in range(len(wanted) + 1)]
    alike = [[_common(one, other, leaves) for other in items] for one in wanted]
    for i in range(1, len(wanted) + 1):
        for j in range(1, len(items) + 1):
            paired = best[i - 1][j - 1] + alike[i - 1][j - 1]
            best[i][j] = max(paired, best[i - 1][j], best[i][j - 1])
    pairs = []
    i, j = len(wanted), len(items)
    while i and j:
        if alike[i - 1][j - 1] and best[i][j] == best[i - 1][j - 1] + alike[i - 1][j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif best[i][j] == best[i - 1][j]:
            i -= 1
        else:
            j -= 1
    return pairs


def _common(one: _Item, other: _Item, leaves: Mapping[str, Leaf]) -> int:
    """How many values two items have in common."""
    return sum(
        field.value is not None and rest in other and _same(leaves, field, other[rest])
        for rest, field in one.items()
        if rest not in other or other[rest].value is not None
    )
