"""Two readers of the same documents side by side, with a paired test for each measure.

What each of them read is compared as it was read, without what people decided since. What is known of a
document may be all that stands on it (a truth, or a document that somebody accepted as a whole) or only the
values that somebody looked at; measures of whole documents are of the first kind alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.errors import UsageError
from pipeline.evaluation import drawing
from pipeline.evaluation.drawing import Difference, Floats
from pipeline.evaluation.scored import ScoredDocument
from pipeline.evaluation.truth import TrueDocument, Truth
from pipeline.records import Extraction

Side = Mapping[str, Extraction | None]  # by URI, what was read; None: nothing could be
_SUMS = ("precision", "recall", "F1", "ANLS*")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one document. `partly`: of these paths alone, and absent ones among them."""

    document: TrueDocument
    partly: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Readers A and B of the same `n` items; `notes` are sentences on what they have not in common."""

    a: str
    b: str
    n: int
    items: str  # "documents" or "questions"
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    names: tuple[str, str], a: Side, b: Side, known: Truth | Mapping[str, Known], truth: Truth
) -> Comparison:
    """Raises UsageError where no document is in both and known.

    `known`: the truth itself, or what is known of each URI, under the schema and fields of `truth`.
    """
    if isinstance(known, Truth):
        one, other = _by_name(a, known), _by_name(b, known)
        documents = {document.name: Known(document) for document in known.documents}
    else:
        one, other, documents = dict(a), dict(b), dict(known)
    both = [name for name in documents if name in one and name in other]
    if not both:
        raise UsageError(f"no document whose values are known is both in {names[0]} and in {names[1]}")
    left = [_Judged(documents[name], one[name], truth) for name in both]
    right = [_Judged(documents[name], other[name], truth) for name in both]
    notes = tuple(_notes(names, documents, one, other))
    return Comparison(*names, len(both), "documents", tuple(_differences(left, right)), notes)


def _by_name(side: Side, truth: Truth) -> dict[str, Extraction | None]:
    return {document.name: side[uri] for uri, document in truth.match(side).items()}


def _notes(
    names: tuple[str, str], documents: Mapping[str, Known], one: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[str]:
    for name, there, absent in ((names[0], one, other), (names[1], other, one)):
        alone = sum(document in there and document not in absent for document in documents)
        if alone:
            yield f"{alone} documents that only {name} has are left out."
    neither = sum(document not in one and document not in other for document in documents)
    if neither:
        yield f"{neither} documents that neither has are left out."


class _Judged:
    """One document of one reader: which of its known values are right, and what its measures add up."""

    def __init__(self, known: Known, extraction: Extraction | None, truth: Truth) -> None:
        scored = ScoredDocument(None, known.document, extraction, truth)
        self.whole = known.partly is None
        self.exact = scored.exact
        self.values: dict[str, bool] = {}
        for each in scored.pairs:
            if each.printed_at is not None:
                self.values[each.printed_at] = each.verdict == "right"
            elif known.partly is not None and each.path in known.partly:
                self.values[each.path] = each.verdict == "absent"
        read = sum(each.verdict in ("right", "wrong", "hallucinated") for each in scored.pairs)
        printed = sum(each.truth is not None for each in scored.pairs)
        self.sums = (scored.right, read, printed, scored.anls, 1.0)


def _differences(a: Sequence[_Judged], b: Sequence[_Judged]) -> Iterator[Difference]:
    pairs = list(zip(a, b, strict=True))
    whole = [(one, other) for one, other in pairs if one.whole]
    if whole:
        yield drawing.right_or_wrong(
            "documents right", [one.exact for one, _ in whole], [other.exact for _, other in whole]
        )
    values = [(one.values[path], other.values[path]) for one, other in pairs for path in _both(one, other)]
    if values:
        yield drawing.right_or_wrong(
            "values right", [one for one, _ in values], [other for _, other in values]
        )
    if whole:
        left = np.array([one.sums for one, _ in whole], np.float64)
        right = np.array([other.sums for _, other in whole], np.float64)
        yield from drawing.differences(_SUMS, left, right, _measures)


def _both(one: _Judged, other: _Judged) -> Iterable[str]:
    return (path for path in one.values if path in other.values)


def _measures(sums: Floats) -> Floats:
    """The figures `_SUMS` from sums of right, read and printed values, ANLS* and documents."""
    right, read, printed, anls, documents = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [right / read, right / printed, 2 * right / (read + printed)]
    return np.stack([*map(np.nan_to_num, shares), anls / documents], axis=-1)
