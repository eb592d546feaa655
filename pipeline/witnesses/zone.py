"""A machine-readable zone that a second reader saw, as a witness of the one that was read.

Small readers take O for 0 and lose fillers. What they saw is put right by what may stand at each place and
held against the zone's own check digits; where these fail it is the reader who was wrong, and it is silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.records import Check, Field, Testimony, Verdict
from pipeline.witnesses.witness import NAMES, Subject, Witness
from schemas.evidence import Seen

SOURCE = "reader"


def found(subject: Subject) -> Iterator[Witness | Check]:
    """One witness for each zone of the schema's that a page's second reader saw whole."""
    for evidence in subject.spec.evidence:
        if evidence.seen is None or evidence.path is None:
            continue
        for page in subject.pages:
            words = page.reader.words if page.reader is not None and page.reader.trusted else ()
            if (zone := evidence.seen([word.text for word in words])) is not None:
                yield SeenZone(evidence.path, zone, page.page)
                break


class SeenZone:
    """It knows one field, whose text is the zone."""

    source, name = SOURCE, NAMES[SOURCE]

    def __init__(self, path: str, zone: Seen, page: int) -> None:
        self._path, self._zone, self._page = path, zone, page

    def testify(self, field: Field) -> Testimony:
        if field.path != self._path or field.value is None:
            return Testimony(field.path, SOURCE, "silent")
        same = self._zone.agrees(str(field.value))
        verdict: Verdict = "silent" if same is None else "agrees" if same else "differs"
        return Testimony(field.path, SOURCE, verdict, self._zone.raw, None, self._page)

    def offers(self, fields: Sequence[Field]) -> Iterator[Testimony]:  # noqa: ARG002
        """Nothing: the name in the zone has no check digit."""
        yield from ()
