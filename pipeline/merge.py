"""Pages become one record; what they disagree about is flagged, never hidden.

Vintern mixes up fields between images, so pages are read one by one. A value that is printed once stands on
one page and is null on the others. A list goes on from page to page. Lines that are surely one of the page,
read twice where the model went on in another pass, are kept once (`seams`).

Printed texts are normalised here once more, so that pages read long ago follow the schema as it is now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pipeline import absence, seams, several, support, witnesses
from pipeline.bounds import full_lists, full_texts
from pipeline.completeness import incomplete
from pipeline.einvoice import figures, judged
from pipeline.einvoice.lexical import exact
from pipeline.flags import FlagCode
from pipeline.normal import json_ready, normal
from pipeline.quality import verdicts
from pipeline.records import Check, Extraction, Failure, Field, PageRecord, Word
from schemas.settle import AMBIGUOUS
from schemas.shape import Group, Leaf, Node, Repeated, leaf_path

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

REVIEW_BELOW = 0.9

_Page = Mapping[str, Field]


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
    before = {field.path: field.raw for field in chosen.fields}
    taken = {field.path: field for field in fields if field.raw != before.get(field.path)}
    for check in chosen.checks:
        if check.code != AMBIGUOUS or check.fields[0] not in taken:
            yield check
            continue
        field = taken[check.fields[0]]
        printed = {
            other.path: other.raw for other in fields if other.raw is not None and other.source != "xml"
        }
        yield from (
            now
            for now in spec.settle(printed).checks
            if now.code == AMBIGUOUS and field.path in now.fields and field.source != "xml"
        )


def _source(page: PageRecord) -> str:
    """Where a page's values come from: the model, or the page's own XML."""
    return page.fields[0].source if page.fields else "read"


def _reading(pages: Sequence[PageRecord], spec: SchemaSpec) -> _Reading:
    leaves = dict(spec.shape.leaves())
    now = [_as_now(page, spec, leaves) for page in pages]
    merged = _Merged(now, [page.seams for page in pages])
    found = tuple(merged.walk(spec.shape))
    in_xml = [field for field in found if field.source == "xml"]
    way = figures.way(in_xml, leaves)
    if in_xml and way == "print":
        found = tuple(figures.as_printed(field, leaves) for field in found)
    # What XML says is exact: only what is printed may mean one number or another.
    read = () if in_xml and way != "print" else found
    printed = {field.path: field.raw for field in read if field.raw is not None}
    unclear = figures.unclear(in_xml, leaves) if way is None else None
    settled = spec.settle(printed)
    full = (check for page in pages for check in full_lists(page.fields, spec.shape))
    fields = tuple(_settled(field, settled.values) for field in found)
    words = {page.page: some for page in pages if (some := _words(page)) is not None}
    passed_over = incomplete(fields, words, spec.shape)
    odd = (unclear,) if unclear is not None else ()
    return _Reading(fields, (*merged.checks, *full, *odd, *settled.checks, *passed_over))


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


class _Merged:
    """Walks the schema once and picks each field from the pages that have it; `checks` says what was odd."""

    def __init__(self, pages: Sequence[_Page], began: Sequence[Sequence[str]]) -> None:
        """`began`: of each page, the list items with which the model began its passes."""
        self._pages = pages
        self._began = began
        self.checks: list[Check] = []

    def walk(self, node: Node, path: str = "") -> Iterator[Field]:
        if isinstance(node, Group):
            for field in node.fields:
                yield from self.walk(field, f"{path}.{field.name}" if path else field.name)
        elif isinstance(node, Repeated):
            yield from self._list(path, seams.line_numbers(node))
        else:
            found = [page[path] for page in self._pages if path in page]
            if found:  # no page has what is not asked of the model
                yield self._pick(found)

    def _pick(self, found: Sequence[Field]) -> Field:
        """The surest of the values that stand on any page; null only if they are null on every page."""
        present = [field for field in found if field.raw is not None]
        if not present:
            return min(found, key=_confidence)
        kept = max(present, key=_confidence)
        others = [field for field in present if _meaning(field) != _meaning(kept)]
        if others:
            self.checks.append(_conflict(kept, others))
        return kept

    def _list(self, path: str, numbers: frozenset[str]) -> Iterator[Field]:
        """All items in the order of the pages, numbered through."""
        pages = [(page, began) for page, began in zip(self._pages, self._began, strict=True) if path in page]
        if not pages:
            return
        counts = [page[path] for page, _ in pages]
        items: list[Field] = []
        texts: dict[str, list[str | None]] = {}
        begins: list[int] = []
        total = 0
        for (page, began), count in zip(pages, counts, strict=True):
            if count.value:
                begins.append(total)
            twice = _read_twice(page, path, count.value, began, numbers)
            left_out = {run.at + i for run in twice if run.sure for i in range(run.count)}
            paths = {}
            found = _items(page, path, count.value)
            for i in range(count.value):
                if i in left_out:
                    continue
                paths[i] = f"{path}[{total}]"
                items += _renamed(found[i], f"{path}[{i}]", paths[i])
                texts[paths[i]] = [field.raw for field in found[i]]
                total += 1
            self.checks += [_read_again(run, paths) for run in twice]
        least = min(counts, key=_confidence).confidence
        yield Field(path, None, total, least, counts[0].source, counts[0].page)
        yield from items
        self._look_at(texts, begins[1:])

    def _look_at(self, items: Mapping[str, Sequence[str | None]], begins: Sequence[int]) -> None:
        """Odd items: those without a single value, and those that repeat the last one of the page before."""
        names = list(items)
        for name, texts in items.items():
            if not any(texts):
                self.checks.append(
                    Check("line_empty", False, "warning", f"{name} was found without a single value", (name,))
                )
        for at in begins:
            if items[names[at]] == items[names[at - 1]] and any(items[names[at]]):
                message = (
                    f"{names[at]}, the first of its page, repeats the last of the page before; both are kept"
                )
                self.checks.append(
                    Check("line_repeated", False, "warning", message, (names[at - 1], names[at]))
                )


def _as_now(page: PageRecord, spec: SchemaSpec, leaves: Mapping[str, Leaf]) -> _Page:
    """The page's fields by path, with the values that the schema gives to their texts today."""
    if page.normal_by == spec.page_hash:
        return {field.path: field for field in page.fields}
    fields: dict[str, Field] = {}
    for field in page.fields:
        if field.raw is not None:
            read = exact if field.source == "xml" else normal
            value, problem = read(leaves[leaf_path(field.path)], field.raw)
            if (value, problem) != (field.value, field.problem):
                field = replace(field, value=value, problem=problem)
        fields[field.path] = field
    return fields


def _settled(field: Field, values: Mapping[str, Decimal]) -> Field:
    """The field with the number that the whole document gives to an ambiguous text like "1.234"."""
    return replace(field, value=json_ready(values[field.path])) if field.path in values else field


def _items(page: _Page, path: str, count: int) -> list[list[Field]]:
    """The fields of each of the `count` items of a list on one page, the item itself or what is below it."""
    items: list[list[Field]] = [[] for _ in range(count)]
    start = f"{path}["
    for name, field in page.items() if count else ():
        if name.startswith(start):
            items[int(name[len(start) : name.index("]", len(start))])].append(field)
    return items


def _renamed(item: Iterable[Field], old: str, new: str) -> list[Field]:
    """The fields of the item `old` as those of the item `new`."""
    if old == new:
        return list(item)
    return [replace(field, path=new + field.path.removeprefix(old)) for field in item]


def _read_twice(
    page: _Page, path: str, count: int, began: Sequence[str], numbers: frozenset[str]
) -> list[seams.Repetition]:
    """Of the `count` items of a list on one page; `began` are the items that the passes began with."""
    at = [i for i in range(count) if f"{path}[{i}]" in began]
    if not at:
        return []
    items = _items(page, path, count)
    return seams.repetitions([seams.line(fields, numbers) for fields in items], at)


def _read_again(run: seams.Repetition, paths: Mapping[int, str]) -> Check:
    """`paths`: under which name each item of the page is kept."""
    first = [run.first + i for i in range(run.count)]
    if run.sure:
        kept = tuple(paths[i] for i in first if i in paths)
        message = f"read again where a further pass over a long table began; kept once: {', '.join(kept)}"
        return Check("line_reread", False, "info", message, kept)
    again = [paths[run.at + i] for i in range(run.count)]
    message = f"{', '.join(again)}, where a further pass began, say what lines before say; all are kept"
    return Check(
        "line_repeated", False, "warning", message, (*(paths[i] for i in first if i in paths), *again)
    )


def _confidence(field: Field) -> float:
    return 0.0 if field.confidence is None else field.confidence


def _meaning(field: Field) -> Any:
    """What two pages must agree on: the value, or the printed text where it has none."""
    return field.raw if field.value is None else field.value


def _conflict(kept: Field, others: Sequence[Field]) -> Check:
    readings = "; ".join(f"page {field.page} says {field.raw!r}" for field in (kept, *others))
    return Check(
        "page_conflict",
        False,
        "error",
        f"{kept.path}: {readings}; the surest, of page {kept.page}, is kept",
        (kept.path,),
        expected=kept.raw,
        found="; ".join(str(field.raw) for field in others),
    )


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
    low = sorted((field for field in fields if _confidence(field) < below), key=_confidence)
    if low:
        message = (
            f"{len(low)} of {len(fields)} fields are less sure than {below:g} (uncalibrated), "
            f"the least sure is {low[0].path} at {_confidence(low[0]):.2f}"
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
            found=f"{_confidence(low[0]):.4f}",
        )
