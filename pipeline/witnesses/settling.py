"""Which reading of the print stands, where a second look at the page reads another value than the first.

Both readings are the same model's, and neither is right because it came first. What a file says of itself,
its text layer, a code, a zone with check digits, was not guessed from pixels: where it bears out what the
second look read and not what the first one did, the print was read as it is written, and that reading is
taken. So it is where sums and check digits hold with the second reading and not with the first. The first one
then stands beside it, as the second does elsewhere.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace

from pipeline.records import Check, Field
from pipeline.witnesses import text
from pipeline.witnesses.asking import evidence, found_in
from pipeline.witnesses.proving import Proofs, RecordOf, failed, proved
from pipeline.witnesses.witness import NAMES, WRITTEN, Subject
from schemas.checks import guarded

SECOND_LOOK = "second_look"  # the code of the remark that the second reading was taken

_Verdicts = Mapping[str, frozenset[tuple[str, str]]]  # (source, verdict) by path


def settled(subject: Subject, record_of: RecordOf, proofs: Proofs) -> tuple[Subject, tuple[Check, ...]]:
    """The document with the readings that stand, and a remark for each that is the second look's.

    `record_of` nests fields. Lists of which the two readings have not the same number of items are left as
    they were read first: their items may be others.
    """
    others = dict(_otherwise(subject)) if subject.again else {}
    if not others:
        return subject, ()
    first = {field.path: field for field in subject.fields}
    why = _written(subject, others, record_of)
    subject = _with(subject, {path: others[path] for path in why}, record_of)
    doubted = {path for check in failed(proofs(subject.record)).values() for path in check.fields}
    tried = {path: other for path, other in others.items() if path in doubted and path not in why}
    holding = proved(subject.fields, tried, record_of, proofs) if tried else {}
    why |= {path: f"{code} holds with it" for path, code in holding.items()}
    subject = _with(subject, {path: others[path] for path in holding}, record_of)
    return subject, tuple(_remark(first[path], others[path], reason) for path, reason in why.items())


def _otherwise(subject: Subject) -> Iterator[tuple[str, Field]]:
    """What the second look read where the first read something else, or nothing."""
    counts = {field.path: field.value for field in subject.fields if isinstance(field.value, int)}
    for field in subject.fields:
        other = subject.again.get(field.path)
        if other is None or other.value is None or isinstance(other.value, int) or other.value == field.value:
            continue
        whole = field.path.partition("[")[0]
        theirs = subject.again.get(whole)
        if whole == field.path or (theirs is not None and theirs.value == counts.get(whole)):
            yield field.path, other


def _with(subject: Subject, taken: Mapping[str, Field], record_of: RecordOf) -> Subject:
    """These readings in the place of the first ones, and those as what the other look read."""
    if not taken:
        return subject
    fields = tuple(taken.get(field.path, field) for field in subject.fields)
    first = {field.path: field for field in subject.fields if field.path in taken}
    return replace(subject, fields=fields, record=record_of(fields), again={**subject.again, **first})


def _written(subject: Subject, others: Mapping[str, Field], record_of: RecordOf) -> dict[str, str]:
    """The paths whose other reading is borne out by what is written, and by what."""
    before = _verdicts(subject, others)
    after = _verdicts(_with(subject, others, record_of), others, first=subject)
    return {
        path: f"the {NAMES[min(source for source, _ in after[path])]} has it too"
        for path in others
        if _borne_out(after.get(path)) and not _borne_out(before.get(path))
    }


def _verdicts(subject: Subject, paths: Container[str], first: Subject | None = None) -> _Verdicts:
    """What is written says of some values.

    `first`: the document as it was read first, where these are the second look's. A page's text says nothing
    of those unless it is surely of that field: a seller's name bears out nothing that a buyer is called.
    """
    fields = [field for field in subject.fields if field.path in paths]
    found: dict[str, frozenset[tuple[str, str]]] = {}
    for witness in found_in(subject):
        if isinstance(witness, Check) or witness.source not in WRITTEN:
            continue
        heard = [said for said in guarded(evidence, witness, fields) if not isinstance(said, Check)]
        own = None
        if first is not None and witness.source == "text":
            own = text.surely(first, [said for said in heard if said.verdict == "agrees"], read=True)
        for said in heard:
            if own is None or said.verdict != "agrees" or said.field in own:
                found[said.field] = found.get(said.field, frozenset()) | {(said.source, said.verdict)}
    return found


def _borne_out(said: frozenset[tuple[str, str]] | None) -> bool:
    return bool(said) and {verdict for _, verdict in said or ()} == {"agrees"}


def _remark(first: Field, second: Field, why: str) -> Check:
    shown = "nothing" if first.raw is None else first.raw
    message = f"{first.path}: {shown} was read at first, and {second.raw} by a second look: {why}"
    return Check(SECOND_LOOK, False, "info", message, (first.path,), second.raw, first.raw)
