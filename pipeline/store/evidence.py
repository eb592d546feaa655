"""What an export says beside each value: how sure, from where, on which page; and of its document why it
is where it is.

A row is that of the view, in this order: the document and its state with reasons, score and scale; the
values; then of each value its confidence, source and page; last what witnesses say. Confidences of one row
are of one scale, which the row names: "calibrated" where the document was scored by a calibration, and else
the model's own, "uncalibrated". What a person decided has the source "review", and no confidence where the
value is the person's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from pipeline.deciding import decided_fields
from pipeline.records import Field
from pipeline.store import readings, rows, views
from pipeline.store.entities import Column, Job, View
from pipeline.store.query import Rows
from pipeline.store.tables import checks, documents, extractions, fields
from pipeline.store.values import batches

CALIBRATED, UNCALIBRATED = "calibrated", "uncalibrated"
_CHUNK = 500  # rows whose documents are asked for together
_STANDING = (("reasons", "text"), ("score", "real"), ("calibration", "text"))
_OF_VALUE = (("confidence", "real"), ("source", "text"), ("page", "integer"))
_LABELS = {
    "document_uri": "Tài liệu",
    "job": "Đợt",
    "state": "Trạng thái",
    "line": "Dòng",
    "reasons": "Lý do cần xem",
    "score": "Độ tin cậy cả tài liệu",
    "calibration": "Thang độ tin cậy",
    "confidence": "độ tin cậy",
    "source": "nguồn",
    "page": "trang",
    "witnesses": "Đối chứng",
    "signature": "Chữ ký số",
}


@dataclass(frozen=True, slots=True)
class Known:
    """Of one document: its id, codes of checks that failed, its score, its fields as the record has them."""

    document: int
    reasons: str
    score: float | None
    calibrated: bool
    fields: Mapping[str, Field]


def scale(calibrated: bool) -> str:
    return CALIBRATED if calibrated else UNCALIBRATED


def confidence(field: Field, *, calibrated: bool) -> float | None:
    """How sure its value is, on the scale of its document. None where it has no place on that scale."""
    return field.score if calibrated else field.confidence


def reasons(codes: Iterable[str]) -> str:
    """Codes of failed checks, each once: "total; low_confidence"."""
    return "; ".join(dict.fromkeys(codes))


class Beside:
    """The rows of one view, given as they are in it, with what is known beside its values.

    They may be read once, for as long as the connection is open.
    names, kinds, labels   of the columns; a label is Vietnamese, "" where the job's schema gave none
    confidence             of each value's column, the column of its confidence
    """

    def __init__(self, view: View, plain: Rows, connection: Connection, job: Job) -> None:
        self._view, self._plain, self._connection, self._job = view, plain, connection, job
        self._values = tuple(column for column in view.columns if column.path not in views.TOLD)
        self._signed = tuple(column for column in view.columns if column.path == views.SIGNATURE)
        self._last = tuple(column for column in view.columns if column.path == views.WITNESSES)
        before = [name for name in ("document_uri", "job", "state", "line") if name in plain.columns]
        self._before = tuple(plain.columns.index(name) for name in before)
        found: list[tuple[str, str, str]] = [(name, plain.kinds[name], _LABELS[name]) for name in before]
        taken = {column.name for column in view.columns} | set(before)

        def add(name: str, kind: str, label: str) -> None:
            found.append((views.unique(name, taken), kind, label))
            taken.add(found[-1][0])

        for name, kind in _STANDING:
            add(name, kind, _LABELS[name])
        found += [(column.name, column.kind, column.label or "") for column in self._values]
        found += [(column.name, column.kind, _LABELS["signature"]) for column in self._signed]
        for column in self._values:
            for name, kind in _OF_VALUE:
                add(f"{column.name}_{name}", kind, f"{column.label}: {_LABELS[name]}" if column.label else "")
        found += [(column.name, column.kind, _LABELS["witnesses"]) for column in self._last]
        self.names, kinds, self.labels = zip(*found, strict=True)
        self.kinds: dict[str, str] = dict(zip(self.names, kinds, strict=True))

    @cached_property
    def confidence(self) -> Mapping[int, int]:
        first = len(self._before) + len(_STANDING)
        count = len(self._values)
        told = first + count + len(self._signed)
        return {first + i: told + i * len(_OF_VALUE) for i in range(count)}

    def rows(self) -> Rows:
        return Rows(self.names, (row for _, row in self.numbered()), self.kinds)

    def numbered(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """The rows, each with its document's id."""
        uri = self._plain.columns.index("document_uri")
        known: dict[str, Known] = {}
        for chunk in batches(self._plain, _CHUNK):
            wanted = dict.fromkeys(row[uri] for row in chunk)
            known = {name: known[name] for name in wanted if name in known}  # of long lists, which go on
            more = [name for name in wanted if name not in known]
            known |= of(self._connection, self._job, more, self._view)
            for row in chunk:
                yield known[row[uri]].document, self._row(row, known[row[uri]])

    def _row(self, row: Sequence[Any], known: Known) -> tuple[Any, ...]:
        named = dict(zip(self._plain.columns, row, strict=True))
        item = (
            None if self._view.list_path is None else f"{'.'.join(self._view.list_path)}[{named['line'] - 1}]"
        )
        return (
            *(row[i] for i in self._before),
            known.reasons or None,
            known.score,
            scale(known.calibrated),
            *(named[column.name] for column in (*self._values, *self._signed)),
            *(part for column in self._values for part in _of_value(column, item, known)),
            *(named[column.name] for column in self._last),
        )


def _of_value(column: Column, item: str | None, known: Known) -> tuple[float | None, str | None, int | None]:
    """Confidence, source and page of one value; of a list within a line the least, all, and the first."""
    path = ".".join(filter(None, (item, *column.path)))
    if column.kind == "json":
        inner = [field for name, field in known.fields.items() if name.startswith((f"{path}[", f"{path}."))]
    else:
        inner = [known.fields[path]] if path in known.fields else []
    sure = [found for field in inner if (found := confidence(field, calibrated=known.calibrated)) is not None]
    there = [field for field in inner if field.value is not None or field.source == "review"]
    return (
        min(sure, default=None),
        "+".join(sorted({field.source for field in there})) or None,
        min((field.page for field in there if field.page is not None), default=None),
    )


def of(connection: Connection, job: Job, uris: Sequence[str], view: View) -> dict[str, Known]:
    """What is known of these documents, with the fields that the view shows."""
    query = (
        select(documents.c.id, documents.c.uri, extractions.c.score)
        .join_from(documents, extractions)
        .where(documents.c.job_id == job.id, documents.c.uri.in_(uris))
    )
    found = connection.execute(query).all() if uris else []
    ids = [row.id for row in found]
    inner: dict[int, list[Field]] = {id: [] for id in ids}
    shown: ColumnElement[bool] = fields.c.path.not_like("%[%")
    if view.list_path is not None:
        name = ".".join(view.list_path)
        shown = fields.c.path.startswith(f"{name}[", autoescape=True) | (fields.c.path == name)
    query_fields = select(fields).where(fields.c.document_id.in_(ids), shown).order_by(fields.c.number)
    for row in connection.execute(query_fields).mappings():
        inner[row["document_id"]].append(rows.field_from(row))
    failed: dict[int, list[str]] = {id: [] for id in ids}
    query_checks = (
        select(checks.c.document_id, checks.c.code)
        .where(checks.c.document_id.in_(ids), ~checks.c.passed, checks.c.severity != "info")
        .order_by(checks.c.document_id, checks.c.number)
    )
    for id, code in connection.execute(query_checks):
        failed[id].append(code)
    decided = readings.standing(connection, ids)
    return {
        row.uri: Known(
            row.id,
            reasons(failed[row.id]),
            row.score,
            row.score is not None,
            {field.path: field for field in decided_fields(inner[row.id], decided.get(row.id, ()))},
        )
        for row in found
    }
