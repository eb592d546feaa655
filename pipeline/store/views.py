"""Typed views of the results: a row a document and, for each list of a schema, a row a line.

`invoice@1` gives `invoice_v1` and `invoice_v1_lines`. Each begins with document_uri, job and state, a
list's view also with `line` from 1; then comes one column a field, a nested field named `group_field`. Last
come `sources`, a JSON object of the source of each value ("read", "xml", "review" …), `absences`, one of why
others have none ("not_on_page", "illegible", "not_read"), and `witnesses`, a JSON list of what others say of
them (as in the table of that name); in a line's view all are those of the line. A document's view ends with
`signature` where the schema is found in e-invoices: the verdict on that of the XML.

Values come from `extractions.record`, where all of them stand in canonical text.

In PostgreSQL money is numeric, a date is a date. SQLite has neither type. There a date is ISO text, which
sorts and compares as it should. A decimal is an integer when it is whole and has at most 18 digits, a
real when it has at most 15 digits (a real gives back the same 15 digits), and else stays text: so
comparing and sorting work, sums of whole amounts are exact, and no single value is ever rounded. Sums of
amounts with decimals are exact with decimal_sum(), which `vinbatch query` brings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect

from pipeline.einvoice import judged
from pipeline.errors import Permanent, Reason
from pipeline.store import reader
from pipeline.store.database import Database
from pipeline.store.entities import Column, View
from schemas.in_xml import ROOT
from schemas.shape import Group, Leaf, Node, Repeated

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

_FIXED = ("document_uri", "job", "state")
# Paths that no field has: where each value came from, why there is none, and what witnesses say of it, as
# JSON; and the verdict on the signature.
SOURCES, ABSENCES, WITNESSES, SIGNATURE = ("@sources",), ("@absences",), ("@witnesses",), ("@signature",)
TOLD = (SOURCES, ABSENCES, WITNESSES, SIGNATURE)
_LONGEST = 63  # bytes of a name in PostgreSQL


def of(spec: SchemaSpec) -> tuple[View, ...]:
    """The views of a schema version: the document's first, then one for each list."""
    base = _shortened(f"{_snake(spec.name)}_v{spec.version}")
    columns = tuple(_columns(spec.shape.fields, _FIXED))
    views = [View(base, (*columns, *_signature(spec, columns)))]
    names = {base}
    for path, item in _lists(spec.shape.fields, ()):
        name = unique("_".join((base, *path)), names)
        names.add(name)
        nodes = item.fields if isinstance(item, Group) else (item,)
        views.append(View(name, tuple(_columns(nodes, (*_FIXED, "line"), item)), path, item.label))
    return tuple(views)


def _signature(spec: SchemaSpec, columns: Sequence[Column]) -> Iterator[Column]:
    from pipeline.einvoice.reading import is_in_xml  # with numpy, which few who use the store need

    if spec.shape.xml_root == ROOT and is_in_xml(spec.shape):
        name = unique("signature", {*_FIXED, *(column.name for column in columns)})
        yield Column(name, SIGNATURE, "text")


def _columns(
    nodes: Iterable[Node], taken: Sequence[str], item: Group | Leaf | None = None
) -> Iterator[Column]:
    """A column for each value below `nodes`, which are those of a list's `item`, if one is given."""
    names = set(taken)
    whole = isinstance(item, Leaf)
    for path, node, label in _values(nodes, (), "", in_list=item is not None):
        name = unique("value" if whole else "_".join(path), names)
        names.add(name)
        kind = node.printed.sql if isinstance(node, Leaf) else "json"
        yield Column(name, () if whole else path, kind, label)
    if not whole:
        yield Column(unique("sources", names), SOURCES, "json")
        yield Column(unique("absences", names), ABSENCES, "json")
        yield Column(unique("witnesses", names), WITNESSES, "json")


def _values(
    nodes: Iterable[Node], above: tuple[str, ...], called: str, in_list: bool
) -> Iterator[tuple[tuple[str, ...], Node, str]]:
    """Leaves, with their paths and labels; inside a list also the lists in it."""
    for node in nodes:
        path, label = (*above, node.name), f"{called}{node.label}"
        if isinstance(node, Group):
            yield from _values(node.fields, path, f"{label}: ", in_list)
        elif isinstance(node, Leaf) or in_list:
            yield path, node, label


def _lists(nodes: Iterable[Node], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Group | Leaf]]:
    """Lists that do not stand inside another list; those are shown as JSON in the line's view."""
    for node in nodes:
        path = (*above, node.name)
        if isinstance(node, Group):
            yield from _lists(node.fields, path)
        elif isinstance(node, Repeated):
            yield path, node.item


def _snake(name: str) -> str:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"\W+", "_", apart).strip("_").lower() or "schema"


def _shortened(name: str, room: int = _LONGEST) -> str:
    return name.encode()[:room].decode("utf-8", "ignore")


def unique(name: str, taken: set[str]) -> str:
    """The name, or with a number behind it if it is taken. Databases do not tell A from a."""
    used = {other.casefold() for other in taken}
    candidate, number = _shortened(name), 2
    while candidate.casefold() in used:
        candidate, number = f"{_shortened(name, _LONGEST - 4)}_{number}", number + 1
    return candidate


# what the columns hold


def check(views: Iterable[View], record: Mapping[str, Any]) -> None:
    """Raises Permanent(schema_mismatch) when a value of the record is not what its column holds.

    So the casts in the views never fail, and never hide a value. The message names the field, not its value.
    """
    for view in views:
        items = [record] if view.list_path is None else (_at(record, view.list_path) or [])
        columns = [column for column in view.columns if column.path not in TOLD]
        for number, item in enumerate(items):
            for column in columns:
                value = _at(item, column.path)
                if value is not None and not _fits(value, column.kind):
                    prefix = "" if view.list_path is None else f"{'.'.join(view.list_path)}[{number}]"
                    path = ".".join(filter(None, (prefix, *column.path)))
                    raise Permanent(
                        Reason.schema_mismatch,
                        f"field {path}: the value is not of type {column.kind}",
                        field=path,
                    )


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _fits(value: Any, kind: str) -> bool:
    try:
        match kind:
            case "decimal":
                return not isinstance(value, (bool, float)) and Decimal(value).is_finite()
            case "date":
                return isinstance(value, str) and bool(date.fromisoformat(value))
            case "datetime":
                return isinstance(value, str) and bool(datetime.fromisoformat(value))
            case "integer":
                return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
            case "real":
                return isinstance(value, (int, float)) and not isinstance(value, bool)
            case "boolean":
                return isinstance(value, bool)
            case "json":
                return True
    except (ValueError, TypeError, InvalidOperation):
        return False
    return isinstance(value, (str, int, float, bool))


# making them


def ensure(
    db: Database,
    connection: Connection,
    wanted: Sequence[View],
    older: Sequence[Sequence[View]],
    *,
    anew: bool = False,
) -> None:
    """Makes the views of one schema version, which show all its jobs; `anew` also those that are there.

    `older` are the views as earlier jobs of the version have them, newest first: fields that they had besides
    stay columns, and a column whose type has changed since becomes text. What need not change is not touched.
    """
    before, after = _merged(older), _merged((wanted, *older))
    there = set(inspect(connection).get_view_names())
    for view in after.values():
        if view == before.get(view.name) and view.name in there and not anew:
            continue
        if view.name in there:
            connection.exec_driver_sql(f"DROP VIEW {db.quote(view.name)}")
        connection.exec_driver_sql(_definition(db, view, wanted[0].name))
        if not db.is_sqlite:
            reader.allow(connection, [db.quote(view.name)])


def _merged(versions: Iterable[Sequence[View]]) -> dict[str, View]:
    merged: dict[str, View] = {}
    for views in versions:
        for view in views:
            merged[view.name] = _joined(merged[view.name], view) if view.name in merged else view
    return merged


def _joined(newer: View, older: View) -> View:
    kinds = {column.name: column.kind for column in older.columns}
    columns = [c if kinds.get(c.name, c.kind) == c.kind else replace(c, kind="text") for c in newer.columns]
    known = {column.name for column in columns}
    return replace(newer, columns=(*columns, *(c for c in older.columns if c.name not in known)))


def _definition(db: Database, view: View, result_view: str) -> str:
    value = _sqlite_value if db.is_sqlite else _postgres_value
    source, line = "extractions.record", []
    joined = "extractions JOIN documents ON documents.id = extractions.document_id"
    joined += " JOIN jobs ON jobs.id = documents.job_id"
    if view.list_path is not None:
        source = "item.value"
        if db.is_sqlite:
            path = _sqlite_path(view.list_path)
            joined += f", json_each(extractions.record, {path}) AS item"
            line = ["item.key + 1 AS line"]
        else:
            items = f"extractions.record #> {_postgres_path(view.list_path)}"
            array = f"CASE jsonb_typeof({items}) WHEN 'array' THEN {items} ELSE '[]' END"
            joined += (
                f" CROSS JOIN LATERAL jsonb_array_elements({array}) WITH ORDINALITY AS item(value, line)"
            )
            line = ["item.line AS line"]
    selected = [
        "documents.uri AS document_uri",
        "jobs.name AS job",
        "documents.state AS state",
        *line,
        *(
            f"{_told(db, view, column) if column.path in TOLD else value(source, column)}"
            f" AS {db.quote(column.name)}"
            for column in view.columns
        ),
    ]
    where = f"jobs.result_view = '{result_view}'"
    if view.list_path is not None and db.is_sqlite:
        where += f" AND json_type(extractions.record, {_sqlite_path(view.list_path)}) = 'array'"
    return f"CREATE VIEW {db.quote(view.name)} AS SELECT {', '.join(selected)} FROM {joined} WHERE {where}"


# Of the checks of several parts of a document, first one that failed.
_VERDICT = (
    f"(SELECT found FROM checks WHERE document_id = documents.id AND code = '{judged.CODE}'"
    " ORDER BY passed, number LIMIT 1)"
)
# The source of each value: "review" where a person decided on it.
_STANDING = "decisions WHERE document_id = documents.id AND undone_at IS NULL"
_FIELDS = (
    "(SELECT path, source FROM fields WHERE document_id = documents.id AND value IS NOT NULL"
    f" AND path NOT IN (SELECT field FROM {_STANDING} AND field IS NOT NULL)"
    f" UNION SELECT field, 'review' FROM {_STANDING} AND value IS NOT NULL AND id IN"
    f" (SELECT max(id) FROM {_STANDING} AND field IS NOT NULL GROUP BY field)) AS given"
)
# Why a value is absent: what a person ruled, else what was told when the pages were merged.
_ABSENT = (
    "(SELECT path, absence FROM fields WHERE document_id = documents.id AND absence IS NOT NULL"
    f" AND path NOT IN (SELECT field FROM {_STANDING} AND field IS NOT NULL)"
    f" UNION SELECT field, ruling FROM {_STANDING} AND ruling IN ('not_on_page', 'illegible') AND id IN"
    f" (SELECT max(id) FROM {_STANDING} AND field IS NOT NULL GROUP BY field)) AS given"
)
_POSTGRES_TYPES = {
    "text": "text",
    "decimal": "numeric",
    "date": "date",
    "datetime": "timestamp",
    "integer": "bigint",
    "real": "double precision",
    "boolean": "boolean",
    "json": "jsonb",
}


def _postgres_value(source: str, column: Column) -> str:
    return f"CAST({source} #>> {_postgres_path(column.path)} AS {_POSTGRES_TYPES[column.kind]})"


def _sqlite_value(source: str, column: Column) -> str:
    # Without a path it is an item of a list of plain values, which json_each has unpacked already.
    found = f"json_extract({source}, {_sqlite_path(column.path)})" if column.path else source
    if column.kind == "decimal":
        digits = f"length(replace(ltrim({found}, '-'), '.', ''))"
        return (
            f"CASE WHEN {found} NOT GLOB '*[^-0-9]*' AND {digits} <= 18 THEN CAST({found} AS INTEGER)"
            f" WHEN {digits} <= 15 THEN CAST({found} AS REAL) ELSE {found} END"
        )
    return f"CAST({found} AS TEXT)" if column.kind == "text" else found


def _told(db: Database, view: View, column: Column) -> str:
    if column.path == SIGNATURE:
        return _VERDICT
    index = "item.key" if db.is_sqlite else "item.line - 1"
    if view.list_path is not None:
        index = _as_read(".".join(view.list_path), index)
    if column.path == WITNESSES:
        name, where = _named("field", view, index)
        found = f"witnesses WHERE document_id = documents.id AND {where}"
        if db.is_sqlite:
            made = f"json_group_array(json_object({_said(name)}))"
            return f"(SELECT {made} FROM (SELECT * FROM {found} ORDER BY number))"
        made = f"jsonb_agg(jsonb_build_object({_said(name)}) ORDER BY number)"
        return f"(SELECT coalesce({made}, '[]') FROM {found})"
    name, where = _named("path", view, index)
    what, table = ("source", _FIELDS) if column.path == SOURCES else ("absence", _ABSENT)
    made = f"json_group_object({name}, {what})"
    if not db.is_sqlite:
        made = f"coalesce(jsonb_object_agg({name}, {what}), '{{}}')"
    return f"(SELECT {made} FROM {table} WHERE {where})"


def _as_read(name: str, index: str) -> str:
    """The number that an item of the record has in the reading, by which fields and witnesses are named.

    Items that a person took out stand before it there: the i-th of them, number n, where n - i is no more
    than the item's own number.
    """
    start = len(name) + 1  # "lines["
    number = f"substr(field, {start + 1}, length(field) - {start + 1})"
    out = (
        f"SELECT CAST({number} AS integer) AS number FROM {_STANDING} AND ruling = 'not_on_page'"
        f" AND substr(field, 1, {start}) = '{name}[' AND replace({number}, ']', '') || ']'"
        f" = substr(field, {start + 1})"
        f" AND id IN (SELECT max(id) FROM {_STANDING} AND field IS NOT NULL GROUP BY field)"
    )
    gaps = f"SELECT number - row_number() OVER (ORDER BY number) + 1 AS gap FROM ({out}) AS taken"
    return f"({index}) + (SELECT count(*) FROM ({gaps}) AS gaps WHERE gap <= {index})"


def _said(name: str) -> str:
    return f"'field', {name}, 'source', source, 'verdict', verdict, 'raw', raw, 'value', value, 'page', page"


def _named(column: str, view: View, index: str) -> tuple[str, str]:
    """How a path is named in a view, and which paths belong to it: those of no list, or those of one item."""
    if view.list_path is None:
        return column, f"replace({column}, '[', '') = {column}"
    item = f"'{'.'.join(view.list_path)}[' || ({index}) || '].'"
    return f"substr({column}, length({item}) + 1)", f"substr({column}, 1, length({item})) = {item}"


def _sqlite_path(path: Sequence[str]) -> str:
    return "'$" + "".join(f'."{name}"' for name in path) + "'"


def _postgres_path(path: Sequence[str]) -> str:
    return "'{" + ",".join(f'"{name}"' for name in path) + "}'"
