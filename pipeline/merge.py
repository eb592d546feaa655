"""Pages become one record; what they disagree about is flagged, never hidden.

Vintern mixes up fields between images, so pages are read one by one. A value that is printed once stands on
one page and is null on the others, and a list goes on from page to page (`joining`).

Printed texts are normalised here once more, so that pages read long ago follow the schema as it is now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pipeline import absence, several, support, witnesses
from pipeline.bounds import full_lists, full_texts
from pipeline.completeness import incomplete
from pipeline.einvoice import figures, judged
from pipeline.einvoice.lexical import exact
from pipeline.flags import FlagCode
from pipeline.joining import Joined, Page, confidence, empty_items
from pipeline.normal import json_ready, normal
from pipeline.quality import verdicts
from pipeline.records import Check, Extraction, Failure, Field, PageRecord, Word
from schemas.settle import AMBIGUOUS, Settled
from schemas.shape import Group, Leaf, Node, Repeated, leaf_path

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

REVIEW_BELOW = 0.9


def document(
    pages: Sequence[PageRecord],
    spec: SchemaSpec,
    *,
    failed: Sequence[Failure] = (),
    review_below: float = REVIEW_BELOW,
    authority: Sequence[str] | None = None,
) -> Extraction:
    """The document that `pages` say together, with every check run. At least one page must have been read.

    Where XML and print are pages of one document, each is read by itself: `authority` (None: as the schema
    says) names the sources whose values are chosen, and the others are witnesses. The state is "partial" when
    a page failed, else "review" when a check failed, else "done". A failed check never changes a value.
    """
    if not pages:
        raise ValueError("no page was read: the document has a failure, not an extraction")
    pages = sorted(pages, key=lambda page: page.page)
    authority = spec.sources_of_authority if authority is None else authority
    by_source: dict[str, list[PageRecord]] = {}
    for page in pages:
        by_source.setdefault(_source(page), []).append(page)
    told: list[Check] = []
    for name, some in by_source.items():
        by_source[name], others = several.first(some, spec)
        told += others
    readings = {source: _reading(some, spec) for source, some in by_source.items()}
    source = witnesses.first(readings, authority)
    chosen = readings.pop(source)
    told += several.between([by_source[source], *(by_source[other] for other in readings)], spec)
    kept = {page.page for some in by_source.values() for page in some}
    subject = witnesses.Subject(
        spec,
        tuple(page for page in pages if page.page in kept),
        chosen.fields,
        record_of(spec.shape, chosen.fields),
        {other: reading.fields for other, reading in readings.items()},
        review_below,
        _again(by_source[source], chosen.fields, spec) if source == "read" else {},
    )
    nested = partial(record_of, spec.shape)
    day = max((page.read_on for page in pages if page.read_on is not None), default=None)
    proofs = partial(_proofs, spec, day)
    subject, retaken = witnesses.settled(subject, nested, proofs)
    subject, asked = witnesses.judged(subject, source, authority, nested, proofs)
    fields, record = witnesses.placed(subject.fields, asked.testimony), dict(subject.record)
    lacking = absence.rules(spec, record, day, from_xml=source == "xml")
    if source != "xml":
        unread = absence.not_read(fields, asked.testimony, absence.known(spec, record))
        lacking = (*lacking, *unread, *absence.layout_unknown(spec, record))
    fields = absence.told(fields, lacking, pages, spec, record, review_below)
    leaves = dict(spec.shape.leaves())
    checks = (
        *told,
        *retaken,
        *flagged(pages, fields),
        *(judged.check(page.signature) for page in pages if page.signature is not None),
        *untrusted(pages),
        *verdicts.checks(pages),
        *_ambiguous_now(chosen, fields, spec),
        *full_texts(fields, leaves),
        *_invalid(fields),
        *_nothing_read(fields),
        *_low_confidence(fields, review_below),
        *lacking,
        *asked.checks,
    )
    checks = (
        *support.cleared(checks, asked.testimony),
        *support.remarks(fields, checks, asked.testimony, leaves, spec.proofs),
    )
    warned = any(not check.passed and check.severity != "info" for check in checks)
    state: Literal["done", "review", "partial"] = "partial" if failed else "review" if warned else "done"
    count = len(pages) + len({f.page for f in failed})
    tier = verdicts.tier(pages)
    return Extraction(state, record, fields, checks, count, asked.testimony, tier=tier, read_on=day)


def _proofs(spec: SchemaSpec, day: date | None, record: Mapping[str, Any]) -> list[Check]:
    """The checks that bear out what they look at."""
    return [check for check in spec.run_checks(record, day) if check.code in spec.proofs]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What all pages of one source say, and what was odd about them."""

    fields: tuple[Field, ...]
    checks: tuple[Check, ...]


def _ambiguous_now(chosen: _Reading, fields: Sequence[Field], spec: SchemaSpec) -> Iterator[Check]:
    """The checks of a reading. A number of two meanings is told as it is now, if another source gave it."""
    if all(check.code != AMBIGUOUS for check in chosen.checks):
        yield from chosen.checks
        return
    before = {field.path: field.raw for field in chosen.fields}
    taken = {field.path: field for field in fields if field.raw != before.get(field.path)}
    printed = {field.path: field.raw for field in fields if field.raw is not None and field.source != "xml"}
    now = [check for check in spec.settle(printed).checks if check.code == AMBIGUOUS]
    for check in chosen.checks:
        field = taken.get(check.fields[0]) if check.code == AMBIGUOUS else None
        if field is None:
            yield check
        elif field.source != "xml":
            yield from (again for again in now if field.path in again.fields)


def _source(page: PageRecord) -> str:
    """Where a page's values come from: the model, or the page's own XML."""
    return page.fields[0].source if page.fields else "read"


def _reading(pages: Sequence[PageRecord], spec: SchemaSpec) -> _Reading:
    leaves = dict(spec.shape.leaves())
    found, joined = _joined(pages, spec, leaves)
    in_xml = [field for field in found if field.source == "xml"]
    way = figures.way(in_xml, leaves)
    if in_xml and way == "print":
        found = tuple(figures.as_printed(field, leaves) for field in found)
    # What XML says is exact: only what is printed may mean one number or another.
    read = () if in_xml and way != "print" else found
    printed = {field.path: field.raw for field in read if field.raw is not None}
    unclear = figures.unclear(in_xml, leaves) if way is None else None
    settled = spec.settle(printed) if printed else Settled({}, ())
    full = (check for page in pages for check in full_lists(page.fields, spec.shape))
    fields = tuple(_settled(field, settled.values) for field in found)
    words = {page.page: some for page in pages if (some := _words(page)) is not None}
    passed_over = incomplete(fields, words, spec.shape)
    odd = (unclear,) if unclear is not None else ()
    return _Reading(fields, (*joined, *full, *odd, *settled.checks, *passed_over))


def _joined(
    pages: Sequence[PageRecord], spec: SchemaSpec, leaves: Mapping[str, Leaf]
) -> tuple[tuple[Field, ...], Sequence[Check]]:
    """The fields of all pages in the schema's order, and what was odd about them."""
    if len(pages) == 1 and _source(pages[0]) == "xml" and pages[0].normal_by == spec.page_hash:
        return pages[0].fields, tuple(empty_items(pages[0].fields))  # it was written in this order just now
    merged = Joined([_as_now(page, spec, leaves) for page in pages], [page.seams for page in pages])
    fields = tuple(merged.walk(spec.shape))
    return fields, merged.checks


def _again(pages: Sequence[PageRecord], first: Sequence[Field], spec: SchemaSpec) -> dict[str, Field]:
    """What a second look read of the pages that had one, by the path of the first reading.

    The other pages stand in as they were read, so that lists go on from page to page in both alike.
    """
    looked_at = {page.page for page in pages if page.again}
    if not looked_at:
        return {}
    second = _reading([replace(page, fields=page.again or page.fields) for page in pages], spec)
    others = {field.path for field in first if field.page not in looked_at}
    return {field.path: field for field in second.fields if field.path not in others}


def _words(page: PageRecord) -> Sequence[Word] | None:
    """Those on the page, by its own text or else a second reader; None where nobody tells.

    Of what was read from pixels only the figures count: in a pattern or a stamp one reader may see words that
    another rightly passes over.
    """
    if page.text is not None and page.text.trusted:
        return page.text.words
    if page.reader is not None and page.reader.trusted:
        return tuple(word for word in page.reader.words if any(map(str.isdigit, word.text)))
    return None


def record_of(shape: Group, fields: Iterable[Field]) -> dict[str, Any]:
    """The values of `fields`, by path, as the nested record that the schema describes."""
    by_path = {field.path: field.value for field in fields}
    return {node.name: _value(node, node.name, by_path) for node in shape.fields}


def _value(node: Node, path: str, values: Mapping[str, Any]) -> Any:
    if isinstance(node, Group):
        return {inner.name: _value(inner, f"{path}.{inner.name}", values) for inner in node.fields}
    if isinstance(node, Repeated):
        return [_value(node.item, f"{path}[{i}]", values) for i in range(values.get(path) or 0)]
    return values.get(path)


def _as_now(page: PageRecord, spec: SchemaSpec, leaves: Mapping[str, Leaf]) -> Page:
    """The page's fields by path, with the values that the schema gives to their texts today."""
    if page.normal_by == spec.page_hash:
        return {field.path: field for field in page.fields}
    fields: dict[str, Field] = {}
    for field in page.fields:
        if field.raw is not None:
            read = exact if field.source == "xml" else normal
            value, problem = read(leaves[leaf_path(field.path)], field.raw)
            if (value, problem) != (field.value, field.problem):
                field = field._replace(value=value, problem=problem)
        fields[field.path] = field
    return fields


def _settled(field: Field, values: Mapping[str, Decimal]) -> Field:
    """The field with the number that the whole document gives to an ambiguous text like "1.234"."""
    return field._replace(value=json_ready(values[field.path])) if field.path in values else field


def flagged(pages: Sequence[PageRecord], fields: Sequence[Field]) -> Iterator[Check]:
    """What is known of a page's drawing that its values do not show; `fields` are the document's."""
    for page in pages:
        for flag in page.flags:
            message = f"page {page.page}: {flag.message}"
            if flag.code is FlagCode.page_blank:
                own = [field for field in fields if field.page == page.page and field.source == "read"]
                yield _blank(message, [field for field in own if field.raw])
            else:
                yield Check(str(flag.code), False, "warning", message)


def _blank(message: str, read: Sequence[Field]) -> Check:
    """An empty page, as the back of a sheet often is, stops no document, unless something was read there."""
    if not read:
        return Check(FlagCode.page_blank, False, "info", message)
    paths = tuple(field.path for field in read)
    return Check(FlagCode.page_blank, False, "error", f"{message}, and yet values were read from it", paths)


def untrusted(pages: Sequence[PageRecord]) -> Iterator[Check]:
    """Why a text that a page brings along bears nothing out."""
    for page in pages:
        if page.text is not None and not page.text.trusted:
            message = f"page {page.page}: its text is not taken for print: {page.text.why}"
            yield Check("text_not_trusted", False, "info", message)


def _invalid(fields: Sequence[Field]) -> Iterator[Check]:
    for field in fields:
        if field.problem is not None:
            message = f"{field.path}: {field.problem}"
            yield Check("field_invalid", False, "error", message, (field.path,), found=field.raw)


def _nothing_read(fields: Sequence[Field]) -> Iterator[Check]:
    if not any(field.raw for field in fields):
        yield Check("nothing_read", False, "error", "none of the schema's values was found on any page")


def _low_confidence(fields: Sequence[Field], below: float) -> Iterator[Check]:
    low = sorted((field for field in fields if confidence(field) < below), key=confidence)
    if low:
        message = (
            f"{len(low)} of {len(fields)} fields are less sure than {below:g} (uncalibrated), "
            f"the least sure is {low[0].path} at {confidence(low[0]):.2f}"
        )
        if low[0].confidence is None:
            unknown = sum(field.confidence is None for field in low)
            message = f"how sure {unknown} of {len(fields)} fields are is not known"
        yield Check(
            "low_confidence",
            False,
            "warning",
            message,
            tuple(field.path for field in low),
            expected=f">= {below:g}",
            found=f"{confidence(low[0]):.4f}",
        )
