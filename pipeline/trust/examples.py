"""Documents of which it is known what is right: by a file of the truth, or by people who looked at them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.records import Decision, Extraction
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
        field.path: field.value == len({path.partition("]")[0] for path in paths if path.startswith(f"{field.path}[")})
        for field in extraction.fields
        if field.path in lists
    }


def of_decisions(name: str, read: Extraction, decisions: Sequence[Decision]) -> Example | None:
    """What people decided of a document as it was read; None where they decided nothing.

    A field that nobody decided counts as right where somebody has accepted the whole document.
    """
    ruled = {decision.field: decision.ruling for decision in decisions}
    if not ruled or ruled.get(None) == "reject":
        return None
    accepted = ruled.get(None) == "accept"
    given = {field.path: field for field in read.fields}
    labelled: list[tuple[Value, bool]] = []
    for value in features.values(read):
        ruling = ruled.get(value.path, "accept" if accepted else None)
        if ruling is not None:
            is_null = given[value.path].raw is None and given[value.path].value is None
            labelled.append((value, ruling == "accept" or (ruling == "not_on_page" and is_null)))
    right = [(value, is_right) for value, is_right in labelled if given[value.path].value is not None or not is_right]
    return Example(
        name,
        features.tier(read),
        tuple(value for value, _ in labelled),
        tuple(is_right for _, is_right in labelled),
        len(right) if accepted else 0,
        sum(is_right for _, is_right in right) if accepted else 0,
        any(stops(read)),
    )
