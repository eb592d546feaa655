"""How well a job read documents whose truth is known.

A missing value and an invented one are counted apart: who needs the first sees it, the second nobody sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.evaluation import metrics
from pipeline.evaluation.pairs import Pair
from pipeline.evaluation.scored import ScoredDocument, sure
from pipeline.evaluation.truth import Truth
from pipeline.grammar import canonical
from pipeline.records import Extraction, Field
from pipeline.trust import measures
from pipeline.trust.measures import Bin, Interval, Item, Risk
from schemas import text

if TYPE_CHECKING:
    from pipeline.store import StoredExtraction

TARGET = 0.99  # field precision at which documents are let through without a person
WORST = 12  # documents listed with all that is wrong in them


class Read(Protocol):
    """A document's extraction, as the store hands it out."""

    @property
    def uri(self) -> str: ...

    @property
    def extraction(self) -> Extraction: ...


@dataclass(frozen=True, slots=True)
class FieldScore:
    """One field over all documents.

    printed       how many papers or lines show it; `missing` of them were read as null, `wrong` differently
    read          how many values were read; `hallucinated` of them stand on no paper
    absent        neither printed nor read
    right         equal after normalisation; `exact` to the letter, `tone` up to the tone mark's place,
                  `unaccented` up to all diacritics (each includes the stricter ones)
    cer           wrong characters of all printed ones; a missing value is wrong as a whole
    acceptable    share of readings above the confidence from which on 99% of this field's readings are right
    """

    leaf: str
    printed: int
    read: int
    right: int
    wrong: int
    missing: int
    hallucinated: int
    absent: int
    exact: int
    tone: int
    unaccented: int
    precision: float | None
    recall: float | None
    f1: float | None
    cer: float | None
    acceptable: float | None


@dataclass(frozen=True, slots=True)
class Accept:
    """What may pass without a person at `target` field precision.

    A document passes if no check failed and its score, or the confidence of its least sure field where
    nothing was calibrated, reaches `threshold`. Its fields are those that are printed or read; a missing one
    counts against it. The threshold is chosen on these documents.
    """

    target: float
    threshold: float | None  # None: no document passes
    documents: Interval | None  # of all documents of the truth, unread ones included
    accepted: int
    precision: Interval | None  # of the accepted documents' fields


@dataclass(frozen=True, slots=True)
class DocumentScore:
    """One document: its fields that are printed or read, how many of them are right, and what is not."""

    uri: str
    name: str
    state: str
    fields: int
    right: int
    faults: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All measures, shares 0..1, None where there is nothing to measure.

    micro      over all values together; macro: the mean over fields that are printed or read somewhere
    exact      documents with every field right, and nothing missing or invented, of all documents
    done       documents in the state "done", of all documents; done_precision: of their fields
    unread     documents of the truth without an extraction: in `documents`, all their values missing
    unscored   extractions without truth, left out
    calibrated every one of them has a score; else the model's own confidences are in its place
    """

    schema: str
    calibrated: bool
    documents: int
    unread: tuple[str, ...]
    unscored: tuple[str, ...]
    other_schema: tuple[str, ...]
    fields: tuple[FieldScore, ...]
    total: FieldScore
    macro_f1: float | None
    exact: Interval | None
    anls: float | None
    ece: float | None
    bins: tuple[Bin, ...]
    accept: Accept
    risk: tuple[Risk, ...]
    done: Interval | None
    done_precision: Interval | None
    worst: tuple[DocumentScore, ...]

    def as_json(self) -> dict[str, Any]:
        """The report as plain values for `json.dump`."""
        plain: dict[str, Any] = asdict(self)
        return plain


def evaluate(extractions: Iterable[Read], truth: Truth) -> Report:
    """Score a job's extractions. Raises UsageError where the truth does not say which document is meant."""
    scored, unscored = [], []
    matcher = truth.matcher()
    for item in extractions:
        true = matcher.find(item.uri)
        if true is None:
            unscored.append(item.uri)
        else:
            scored.append(ScoredDocument(item.uri, true, item.extraction, truth))
    unread = [ScoredDocument(None, document, None, truth) for document in matcher.left()]
    every = [*scored, *unread]
    pairs = [each for document in every for each in document.pairs]
    order = [path for path, _ in truth.spec.shape.leaves() if path in truth.labelled]
    fields = tuple(_field(leaf, [each for each in pairs if each.leaf == leaf]) for leaf in order)
    used = [field.f1 for field in fields if field.f1 is not None]
    bins = measures.calibration(*_confidences(pairs))
    done = [document for document in scored if document.state == "done"]
    return Report(
        schema=f"{truth.spec.name}@{truth.spec.version}",
        calibrated=bool(scored) and all(document.calibrated for document in scored),
        documents=len(every),
        unread=tuple(document.truth.name for document in unread),
        unscored=tuple(unscored),
        other_schema=truth.other_schema,
        fields=fields,
        total=_field("all", pairs),
        macro_f1=metrics.share(sum(used), len(used)),
        exact=measures.wilson(sum(document.exact for document in every), len(every)),
        anls=metrics.share(sum(document.anls for document in every), len(every)),
        ece=measures.ece(bins),
        bins=bins,
        accept=_accept(scored, len(every)),
        risk=measures.risks(Item(d.tier, d.sure, d.right, d.fields, not d.passes) for d in scored),
        done=measures.wilson(len(done), len(every)),
        done_precision=_precision(done),
        worst=_worst(scored),
    )


def beside(extractions: Iterable[Read], truth: Truth) -> Iterator[tuple[str, tuple[Pair, ...]]]:
    """Each document that has both, by its name in the truth: what was read beside what is printed."""
    matcher = truth.matcher()
    for item in extractions:
        if (true := matcher.find(item.uri)) is not None:
            scored = ScoredDocument(item.uri, true, item.extraction, truth)
            yield true.name, tuple(each for each in scored.pairs if each.verdict != "absent")


@dataclass(frozen=True, slots=True)
class _Decided:
    uri: str
    extraction: Extraction


def decided(stored: Iterable[StoredExtraction]) -> Iterator[Read]:
    """Results with the values that people decided, where they did."""
    return (_Decided(item.uri, item.decided) for item in stored)


def _field(leaf: str, pairs: Sequence[Pair]) -> FieldScore:
    count = {verdict: sum(each.verdict == verdict for each in pairs) for verdict in _VERDICTS}
    printed = count["right"] + count["wrong"] + count["missing"]
    read = count["right"] + count["wrong"] + count["hallucinated"]
    precision, recall = metrics.share(count["right"], read), metrics.share(count["right"], printed)
    texts = [(each.truth.text, _said(each.read)) for each in pairs if each.truth is not None]
    alike = [text.match(truth, answer) for truth, answer in texts if answer]
    exact = sum(each.exact for each in pairs)
    given, right = _confidences(pairs)
    passing = metrics.acceptable(given, [int(r) for r in right], [1] * len(right), TARGET)
    return FieldScore(
        leaf=leaf,
        printed=printed,
        read=read,
        **count,
        exact=exact,
        tone=sum(a in ("strict", "tone") for a in alike),
        unaccented=sum(a is not None for a in alike),
        precision=precision,
        recall=recall,
        f1=metrics.f1(precision, recall),
        cer=metrics.share(sum(metrics.edits(*each) for each in texts), sum(len(truth) for truth, _ in texts)),
        acceptable=metrics.share(passing, len(right)),
    )


_VERDICTS = ("right", "wrong", "missing", "hallucinated", "absent")


def _said(read: Field | None) -> str:
    return canonical(read.raw) if read is not None and read.raw is not None else ""


def _confidences(pairs: Iterable[Pair]) -> tuple[list[float], list[bool]]:
    """How sure each reading was, null ones included, and whether it was right."""
    known = [
        (sure(each.read), each.verdict in ("right", "absent")) for each in pairs if each.read is not None
    ]
    kept = [(given, right) for given, right in known if given is not None]
    return [given for given, _ in kept], [right for _, right in kept]


def _accept(scored: Sequence[ScoredDocument], documents: int) -> Accept:
    able = sorted((document for document in scored if document.passes), key=lambda d: -d.sure)
    scores = [document.sure for document in able]
    right, of = [document.right for document in able], [document.fields for document in able]
    count = metrics.acceptable(scores, right, of, TARGET)
    return Accept(
        target=TARGET,
        threshold=scores[count - 1] if count else None,
        documents=metrics.accept_interval(scores, right, of, documents, TARGET),
        accepted=count,
        precision=_precision(able[:count]),
    )


def _precision(documents: Sequence[ScoredDocument]) -> Interval | None:
    return measures.wilson(sum(d.right for d in documents), sum(d.fields for d in documents))


def _worst(scored: Sequence[ScoredDocument]) -> tuple[DocumentScore, ...]:
    bad = sorted((document for document in scored if document.faults), key=lambda d: -len(d.faults))
    return tuple(
        DocumentScore(d.uri or "", d.truth.name, d.state, d.fields, d.right, d.faults) for d in bad[:WORST]
    )
