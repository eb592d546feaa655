"""Documents whose truth is in a file, as a calibration is fitted on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.evaluation.pairs import pair
from pipeline.evaluation.report import Read
from pipeline.evaluation.truth import Truth
from pipeline.records import Extraction
from pipeline.trust import features
from pipeline.trust.examples import Example
from pipeline.trust.stops import stops


def of_truth(extractions: Iterable[Read], truth: Truth) -> Iterator[Example]:
    """Those that the truth has. Raises UsageError where it does not say which document is meant."""
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
