"""Documents of which it is known what is right: by a file of the truth, or by people who looked at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.records import Decision, Extraction, Field
from pipeline.trust import features
from pipeline.trust.features import Value
from pipeline.trust.stops import stops

if TYPE_CHECKING:
    from pipeline.evaluation.report import Read
    from pipeline.evaluation.truth import Truth


@dataclass(frozen=True, slots=True)
class Example:
    """One document: what is known of its values, and which of them are right.

    fields   printed or read, `correct` of them right; both 0 where only some of its values were looked at
    stopped  it goes to a person whatever its score
    """

    name: str
    tier: str | None
    values: tuple[Value, ...]
    right: tuple[bool, ...]
    fields: int
    correct: int
    stopped: bool

    @property
    def whole(self) -> bool:
        """Every value was looked at."""
        return self.fields > 0


def of_truth(extractions: Iterable[Read], truth: Truth) -> Iterator[Example]:
    """Those that the truth has. Raises UsageError where it does not say which document is meant."""
    from pipeline.evaluation.pairs import pair

    read = {item.uri: item.extraction for item in extractions}
    found = truth.match(list(read))
    for uri, true in found.items():
        extraction = read[uri]
        fields = {field.path: field for field in extraction.fields}
        pairs = [each for each in pair(truth.spec.shape, true.values, fields) if each.leaf in truth.labelled]
        verdicts = {each.path: each.verdict in ("right", "absent") for each in pairs if each.read is not None}
        verdicts |= _counts(extraction, true.values, truth.labelled)
        labelled = [value for value in features.values(extraction) if value.path in verdicts]
        yield Example(
            uri,
            features.tier(extraction),
            tuple(labelled),
            tuple(verdicts[value.path] for value in labelled),
            sum(each.verdict != "absent" for each in pairs),
            sum(each.verdict == "right" for each in pairs),
            any(stops(extraction)),
        )


def _counts(extraction: Extraction, printed: Iterable[str], labelled: Iterable[str]) -> dict[str, bool]:
    """Of each list that the truth tells of, whether it has as many items as are printed."""
    lists = {leaf.partition("[")[0] for leaf in labelled if "[" in leaf}
    paths = list(printed)
    return {
        field.path: field.value
        == len({path.partition("]")[0] for path in paths if path.startswith(f"{field.path}[")})
        for field in extraction.fields
        if field.path in lists
    }


def of_decisions(name: str, read: Extraction, decisions: Sequence[Decision]) -> Example | None:
    """What people decided of a document as it was read; None where they decided nothing, or rejected it.

    A value is right where it is the one that was decided. Those that nobody decided count as right where
    somebody has accepted the whole document, and else they say nothing.
    """
    last = {decision.field: decision for decision in decisions}
    whole = last.get(None)
    if not last or (whole is not None and whole.ruling == "reject"):
        return None
    given = {field.path: field for field in read.fields}
    looked_at = [(value, _right(given[value.path], last)) for value in features.values(read)]
    known = [(value, right) for value, right in looked_at if right is not None]
    printed = [right for value, right in known if not right or given[value.path].value is not None]
    throughout = whole is not None
    return Example(
        name,
        features.tier(read),
        tuple(value for value, _ in known),
        tuple(right for _, right in known),
        len(printed) if throughout else 0,
        sum(printed) if throughout else 0,
        any(stops(read)),
    )


def _right(field: Field, last: Mapping[str | None, Decision]) -> bool | None:
    """Whether the value that was read is the one that was decided; None where nobody looked."""
    for path in _above(field.path):
        if path in last and last[path].ruling == "not_on_page":
            return field.value is None
    own, whole = last.get(field.path), last.get(None)
    if own is not None:
        return bool(field.value == own.value) if own.ruling in ("accept", "correct") else field.value is None
    if whole is None:
        return None
    was = whole.was if isinstance(whole.was, Mapping) else {}
    return bool(was.get(field.path, field.value) == field.value)


def _above(path: str) -> Iterator[str]:
    """The lines and groups that a value stands in: of "lines[2].amount" "lines[2]" and "lines"."""
    for at, sign in enumerate(path):
        if at and sign in ".[":
            yield path[:at]
