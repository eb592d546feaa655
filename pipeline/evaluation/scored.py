"""One document of the truth beside what was read of it."""

from __future__ import annotations

from pipeline.evaluation import metrics, nested
from pipeline.evaluation.pairs import Pair, pair
from pipeline.evaluation.truth import TrueDocument, Truth
from pipeline.records import Extraction, Field
from pipeline.trust.stops import stops


class ScoredDocument:
    """A document of the truth, and its extraction, None where nothing was read."""

    def __init__(
        self, uri: str | None, true: TrueDocument, extraction: Extraction | None, truth: Truth
    ) -> None:
        self.uri = uri
        self.truth = true
        self.state = extraction.state if extraction else "unread"
        fields = {field.path: field for field in extraction.fields} if extraction else {}
        shape, labelled = truth.spec.shape, truth.labelled
        self.pairs = [each for each in pair(shape, true.values, fields) if each.leaf in labelled]
        self.right = sum(each.verdict == "right" for each in self.pairs)
        self.fields = sum(each.verdict != "absent" for each in self.pairs)
        self.exact = extraction is not None and self.right == self.fields
        printed = {path: nested.plain(value.value, value.text) for path, value in true.values.items()}
        answer = {
            path: nested.plain(field.value, field.raw)
            for path, field in fields.items()
            if field.raw is not None
        }
        self.anls = metrics.anls_star(
            nested.tree(shape, printed, labelled), nested.tree(shape, answer, labelled)
        )
        self.passes = extraction is not None and not any(stops(extraction)) and self.state != "partial"
        self.tier = extraction.tier if extraction else None
        self.calibrated = extraction is not None and extraction.score is not None
        least = min((sure(field) or 0.0 for field in fields.values()), default=0.0)
        self.sure = least if extraction is None or extraction.score is None else extraction.score

    @property
    def faults(self) -> tuple[Pair, ...]:
        return tuple(each for each in self.pairs if each.verdict not in ("right", "absent"))


def sure(read: Field) -> float | None:
    """The calibrated score of a value, or the model's own confidence where nothing was calibrated."""
    return read.confidence if read.score is None else read.score
