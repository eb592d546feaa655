"""All witnesses of a document are asked about every value; what differs is a failed check."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from pipeline.records import Check, Field, Testimony
from pipeline.witnesses import again, codes, mrz, readings, text, zone
from pipeline.witnesses.witness import AGAIN, NAMES, Subject, Witness
from schemas.checks import Severity, guarded
from schemas.text import match

# Each finds its witnesses in a document, and what is wrong with them.
WITNESSES: tuple[Callable[[Subject], Iterable[Witness | Check]], ...] = (
    codes.found,
    mrz.found,
    readings.found,
    text.found,
    zone.found,
    again.found,
)


_Said = tuple[Witness, Testimony]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the witnesses of a document say, and the checks that come of it."""

    testimony: tuple[Testimony, ...]
    checks: tuple[Check, ...]


def ask(subject: Subject) -> Answers:
    """A witness that says nothing of a field leaves no testimony of it.

    A value that a witness contradicts is a failed check, and so is a value that two witnesses offer and do
    not agree about. No value is changed.
    """
    found = found_in(subject)
    checks = [item for item in found if isinstance(item, Check)]
    said: list[_Said] = []
    for witness in (item for item in found if not isinstance(item, Check)):
        for item in guarded(evidence, witness, subject.fields):
            if isinstance(item, Check):
                checks.append(item)
            else:
                said.append((witness, item))
    fields = {field.path: field for field in subject.fields}
    for witness, item in said:
        if item.verdict == "differs":
            checks.append(_differs(item, witness.name, fields[item.field]))
    checks += guarded(disputes, said, fields)
    return Answers(tuple(item for _, item in said), tuple(checks))


def found_in(subject: Subject) -> list[Witness | Check]:
    """The witnesses of a document, and what is wrong with them."""
    return [item for find in WITNESSES for item in guarded(find, subject)]


def evidence(witness: Witness, fields: Sequence[Field]) -> Iterator[Testimony]:
    """All that one witness has to say."""
    for field in fields:
        if field.source == witness.source and field.value is not None:
            continue  # it would bear itself out
        said = witness.testify(field)
        if said.verdict != "silent" or said.raw is not None:
            yield said
    yield from witness.offers(fields)


def disputes(said: Sequence[_Said], fields: Mapping[str, Field]) -> Iterator[Check]:
    """Fields without a value for which two witnesses offer values that do not bear each other out."""
    offered: dict[str, list[_Said]] = {}
    for witness, item in said:
        if item.verdict == "offers" and item.source != AGAIN:
            offered.setdefault(item.field, []).append((witness, item))
    for path, offers in offered.items():
        for (one, its), (other, others) in combinations(offers, 2):
            # One may know less, as a zone knows a name without its diacritics: it is enough that it agrees.
            mine = fields[path]._replace(raw=its.raw, value=its.value)
            yours = fields[path]._replace(raw=others.raw, value=others.value)
            if {one.testify(yours).verdict, other.testify(mine).verdict} == {"differs"}:
                message = (
                    f"{path}: no page shows it; the {one.name} says {its.raw}, the {other.name} {others.raw}"
                )
                yield Check("witnesses_differ", False, "warning", message, (path,), its.raw, others.raw)


def _differs(said: Testimony, name: str, field: Field) -> Check:
    shown = str(field.value) if field.raw is None else field.raw
    whose = NAMES.get(field.source, field.source)
    message = f"{field.path}: the {name} says {said.raw or 'nothing'}, the {whose} {shown}"
    if match(str(said.raw), shown) == "unaccented":
        message += "; they differ in diacritics only"
    expected = said.raw if said.value is None else str(said.value)
    # A reader of pixels may be wrong itself, as the first one may; what the others have is written, not read.
    severity: Severity = _SEVERITIES.get(said.source, "error")
    return Check(_code(said), False, severity, message, (field.path,), expected, str(field.value))


# A second look is the same reader: its doubt is in the score, and nothing is stopped for it.
_SEVERITIES: Mapping[str, Severity] = {"reader": "warning", AGAIN: "info"}


def _code(said: Testimony) -> str:
    """ "qr_number"; of a line's amount "xml_amount"."""
    return f"{said.source}_{said.field.rpartition('.')[2].partition('[')[0]}"
