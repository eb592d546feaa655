"""Why a field has no value: the paper has none, it has one that nobody can read, or it was not read.

A null says nothing by itself, however sure the model is of it. It is held against what the schema asks of
such a paper, against the codes, zones and texts of the pages, and against the rest of what was read: a paper
of which half is null is of a layout that the model does not know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from pipeline.records import Absence, Check, Field, PageRecord, Testimony
from pipeline.witnesses.witness import NAMES
from schemas import required
from schemas.law import applied

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

NOT_READ = "not_read"  # the code of the check where something else than the print has the value
LAYOUT_UNKNOWN = "layout_unknown"
MISSING = ("required", "expected", "line_gap", NOT_READ)  # codes of checks that name what is missing
_MANY = 4  # fields that a paper must bear: with fewer, half of them says nothing


def rules(
    spec: SchemaSpec, record: Mapping[str, Any], read_on: date | None, *, from_xml: bool
) -> tuple[Check, ...]:
    """The schema's checks over a record. What XML does not have, nobody has misread."""
    return spec.run_checks(record, read_on, expected=not from_xml)


def told(
    fields: Sequence[Field],
    checks: Iterable[Check],
    pages: Sequence[PageRecord],
    spec: SchemaSpec,
    record: Mapping[str, Any],
    sure_from: float,
) -> tuple[Field, ...]:
    """The fields, each without a value with the reason for that, as far as it can be known.

    `checks` are those that name what is missing. What was read with less confidence than `sure_from` may be
    on the paper after all.
    """
    missed = {path for check in checks if not check.passed and check.code in MISSING for path in check.fields}
    guessed = any(field.value is None and field.source != "xml" for field in fields)
    absent = known(spec, record) if guessed else frozenset()
    bad = {page.page for page in pages if page.quality is not None and page.quality.verdicts}
    return tuple(
        field._replace(absence=_reason(field, missed, absent, bad, sure_from))
        if field.value is None
        else field
        for field in fields
    )


def _reason(
    field: Field, missed: Collection[str], absent: Collection[str], bad: Collection[int], sure_from: float
) -> Absence | None:
    if field.raw is not None:  # something is printed; the MRZ's "<" says that it cannot be read
        return None if any(map(str.isalnum, field.raw)) else "illegible"
    if field.source == "xml":
        return "not_on_page"
    if field.path in missed:
        return "illegible" if field.page in bad else "not_read"
    if field.path in absent:
        return "not_on_page"
    return "not_read" if (field.confidence or 0.0) < sure_from else "not_on_page"


def known(spec: SchemaSpec, record: Mapping[str, Any]) -> frozenset[str]:
    """The fields that this paper does not bear by its kind: the schema names them for papers of others."""
    with applied(spec.law):
        return required.elsewhere(spec.model, record)


def not_read(
    fields: Sequence[Field], testimony: Iterable[Testimony], absent: Collection[str]
) -> Iterator[Check]:
    """A failed check for each field without a value that a code, a zone or a text has, and the paper bears.

    A code has what the side does not print: the day of issue of a card stands on its back.
    """
    empty = {field.path for field in fields if field.value is None and field.source != "xml"}
    for said in testimony:
        if said.verdict == "offers" and said.field in empty and said.field not in absent:
            empty.discard(said.field)
            whose = NAMES.get(said.source, said.source)
            message = f"{said.field}: nothing was read, and the {whose} has {said.raw}"
            yield Check(NOT_READ, False, "warning", message, (said.field,), said.raw)


def layout_unknown(spec: SchemaSpec, record: Mapping[str, Any]) -> Iterator[Check]:
    """A failed check where half of what such a paper must bear is null."""
    with applied(spec.law):
        held, of = required.count(spec.model, record)
    if of >= _MANY and 2 * held <= of:
        message = (
            f"{of - held} of {of} values that such a paper bears were not read: its layout may be unknown"
        )
        yield Check(LAYOUT_UNKNOWN, False, "error", message, (), str(of), str(held))
