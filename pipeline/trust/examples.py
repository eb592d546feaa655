"""Documents of which it is known what is right, and how to have them of what people decided.

`pipeline.evaluation.known` has them of a file of the truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.records import Decision, Extraction, Field
from pipeline.trust import features
from pipeline.trust.features import Value
from pipeline.trust.stops import stops


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
