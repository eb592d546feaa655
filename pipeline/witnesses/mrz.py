"""A field whose value says what other fields are, as a card's machine-readable zone does."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.records import Check
from pipeline.witnesses.claims import Claimant
from pipeline.witnesses.witness import Subject, Witness
from schemas.evidence import Claim


def found(subject: Subject) -> Iterator[Witness | Check]:
    """The zones that were read, and what is wrong with them."""
    by_path = {field.path: field for field in subject.fields}
    for evidence in subject.spec.evidence:
        field = None if evidence.path is None else by_path.get(evidence.path)
        if field is not None and isinstance(field.value, str):
            said = list(subject.spec.claims(evidence, subject.record, field.value))
            yield from (item for item in said if isinstance(item, Check))
            if claims := [item for item in said if isinstance(item, Claim)]:
                yield Claimant(evidence.source, evidence.source.upper(), claims, field.page, field.box)
