"""QR codes as witnesses: each code of a document's pages says what the schema's evidence reads from it."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.records import Box, Check
from pipeline.witnesses.claims import Claimant
from pipeline.witnesses.witness import Subject, Witness
from schemas.evidence import Claim

_AROUND = " \t\r\n\0\ufeff"  # what programs leave before or behind a code's text


def found(subject: Subject) -> Iterator[Witness | Check]:
    """The codes that say something, each text once, and what is wrong with them."""
    codes: dict[str, tuple[int, Box | None]] = {}
    for page in subject.pages:
        for code in page.codes:
            if code.kind == "qr":
                codes.setdefault(code.text.strip(_AROUND), (page.page, code.box))
    for text, (page_number, box) in codes.items():
        for evidence in subject.spec.evidence:
            if evidence.path is None:
                said = list(subject.spec.claims(evidence, subject.record, text))
                yield from (item for item in said if isinstance(item, Check))
                if claims := [item for item in said if isinstance(item, Claim)]:
                    yield Claimant(evidence.source, "QR code", claims, page_number, box)
