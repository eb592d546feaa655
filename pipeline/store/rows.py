"""Records as rows and back; pages have a room of their own, `page_rows`.

Rows go out as one JSON list; what is nested in it becomes JSON text.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from pydantic_core import to_json
from sqlalchemy import RowMapping

from pipeline.errors import Reason
from pipeline.records import (
    Check,
    Decision,
    Extraction,
    Failure,
    Field,
    Part,
    Testimony,
)
from pipeline.store.entities import DocumentRow

_LONGEST_URI = 2000  # bytes; an index entry of PostgreSQL holds 2,700
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

Row = RowMapping | Mapping[str, Any]


def dump(value: Any) -> str:
    """JSON that both databases take: no NUL, no half characters, no NaN."""
    try:
        text = _as_json(value)
    except ValueError:  # half a character
        return _as_json(_cleaned(value))
    return _as_json(_cleaned(value)) if "\\u0000" in text else text


def storable(text: str) -> bool:
    """Whether both databases take the text: it has no NUL and no half character."""
    return "\0" not in text and not _halves(text)


def _as_json(value: Any) -> str:
    """By pydantic's writer, which takes two fifths of the time that the standard library's does."""
    return to_json(value, inf_nan_mode="null").decode()


def clean(text: str) -> str:
    """Text that both databases take: NUL and half characters become U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text)


def cleaned(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose texts both databases take."""
    return {name: clean(value) if isinstance(value, str) else value for name, value in row.items()}


def uri(name: str, why: Failure | None) -> tuple[str, Failure | None]:
    """A file's name as both databases take it, and what is wrong with it: `why`, or that it is too long."""
    name = clean(name)
    if len(name.encode()) <= _LONGEST_URI:
        return name, why
    message = f"the name has {len(name.encode()):,} bytes, at most {_LONGEST_URI:,}"
    digest = hashlib.sha256(name.encode()).hexdigest()
    short = f"{name.encode()[: _LONGEST_URI - 100].decode('utf-8', 'ignore')}…{digest}"
    return short, Failure(Reason.uri_too_long, message)


def _halves(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(str(key)): _cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value]
    return value


def failure(error: Failure | None) -> dict[str, Any]:
    """A failure's columns, in `documents` and in `pages`; all None without one."""
    if error is None:
        return dict.fromkeys(("reason", "message", "traceback", "retryable"))
    return {
        "reason": str(error.reason),
        "message": clean(error.message),
        "traceback": None if error.traceback is None else clean(error.traceback),
        "retryable": error.retryable,
    }


def failure_from(row: Row, page: int | None) -> Failure:
    return Failure(Reason(row["reason"]), row["message"], page, bool(row["retryable"]), row["traceback"])


# fields and checks

_TYPES = {str: "text", bool: "boolean", int: "integer", float: "real"}


def field(number: int, item: Field) -> dict[str, Any]:
    kind, value = _typed(item.value)
    confidence = item.confidence
    return {
        "number": number,
        "path": item.path,
        "raw": item.raw,
        "value": value,
        "type": kind,
        "confidence": None if confidence is None or not math.isfinite(confidence) else confidence,
        "source": item.source,
        "page": item.page,
        "box": item.box,
        "problem": item.problem,
        "score": item.score,
        "absence": item.absence,
    }


def field_from(row: Row) -> Field:
    return Field(
        row["path"],
        row["raw"],
        _untyped(row["type"], row["value"]),
        row["confidence"],
        row["source"],
        row["page"],
        None if row["box"] is None else box(json.loads(row["box"])),
        row["problem"],
        row["score"],
        row["absence"],
    )


def _typed(value: Any) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    if isinstance(value, bool):
        return "boolean", "true" if value else "false"
    return _TYPES.get(type(value), "text"), str(value)


def _untyped(kind: str | None, value: str | None) -> Any:
    if value is None:
        return None
    match kind:
        case "boolean":
            return value == "true"
        case "integer":
            return int(value)
        case "real":
            return float(value)
        case "json":
            return json.loads(value)
    return value


def box(numbers: Iterable[float]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, as they were put."""
    left, top, right, bottom = numbers
    return left, top, right, bottom


def check(number: int, item: Check) -> dict[str, Any]:
    return {
        "number": number,
        "code": item.code,
        "passed": item.passed,
        "severity": item.severity,
        "message": item.message,
        "fields": item.fields,
        "expected": item.expected,
        "found": item.found,
        "suspects": item.suspects,
    }


def check_from(row: Row) -> Check:
    return Check(
        row["code"],
        bool(row["passed"]),
        row["severity"],
        row["message"],
        tuple(json.loads(row["fields"])),
        row["expected"],
        row["found"],
        None if row["suspects"] is None else tuple(json.loads(row["suspects"])),
    )


def testimony(number: int, item: Testimony) -> dict[str, Any]:
    kind, value = _typed(item.value)
    return {
        "number": number,
        "field": item.field,
        "source": item.source,
        "verdict": item.verdict,
        "raw": item.raw,
        "value": value,
        "type": kind,
        "page": item.page,
        "box": item.box,
    }


def testimony_from(row: Row) -> Testimony:
    return Testimony(
        row["field"],
        row["source"],
        row["verdict"],
        row["raw"],
        _untyped(row["type"], row["value"]),
        row["page"],
        None if row["box"] is None else box(json.loads(row["box"])),
    )


def document(row: Row, parts: tuple[Part, ...]) -> DocumentRow:
    """`parts` are its files, where they are several."""
    return DocumentRow(
        row["uri"],
        row["state"],
        row["reason"],
        row["message"],
        row["sha256"],
        row["etag"],
        row["pages"],
        row["attempts"],
        parts,
    )


def extraction(
    row: Row,
    fields: Iterable[Row],
    checks: Iterable[Row],
    witnesses: Iterable[Row],
) -> Extraction:
    """`row` has the columns of `extractions`, and state and pages of its document."""
    return Extraction(
        row["state"],
        row["record"],
        tuple(map(field_from, fields)),
        tuple(map(check_from, checks)),
        row["pages"],
        tuple(map(testimony_from, witnesses)),
        row["score"],
        row["tier"],
        row["calibration"],
        None if (day := row.get("read_on")) is None else date.fromisoformat(day),
    )


def reading(item: Extraction) -> str:
    """A whole extraction as JSON text; `reading_from` gives it back."""
    rows = (
        ("fields", map(field, range(1, len(item.fields) + 1), item.fields)),
        ("checks", map(check, range(1, len(item.checks) + 1), item.checks)),
        ("witnesses", map(testimony, range(1, len(item.testimony) + 1), item.testimony)),
    )
    return dump(
        {
            "state": item.state,
            "record": item.record,
            "pages": item.pages,
            "score": item.score,
            "tier": item.tier,
            "calibration": item.calibration,
            "read_on": None if item.read_on is None else item.read_on.isoformat(),
            **{name: [_as_in_a_table(row) for row in some] for name, some in rows},
        }
    )


def reading_from(text: str) -> Extraction:
    data = json.loads(text)
    return extraction(data, data["fields"], data["checks"], data["witnesses"])


def _as_in_a_table(row: Mapping[str, Any]) -> dict[str, Any]:
    """Lists are JSON text there."""
    return {name: dump(value) if isinstance(value, (list, tuple)) else value for name, value in row.items()}


# decisions


def decision(item: Decision) -> dict[str, Any]:
    kind, value = _typed(item.value)
    was_kind, was = ("json", dump(item.was)) if isinstance(item.was, Mapping) else _typed(item.was)
    return {
        "field": item.field,
        "ruling": item.ruling,
        "raw": None if item.raw is None else clean(item.raw),
        "value": None if value is None else clean(value),
        "type": kind,
        "was": was if was is None else clean(was),
        "was_type": was_kind,
        "decided_by": item.by,
    }


def decision_parts(row: Row) -> dict[str, Any]:
    """What a `Decision` is made of."""
    return {
        "field": row["field"],
        "ruling": row["ruling"],
        "by": row["decided_by"],
        "raw": row["raw"],
        "value": _untyped(row["type"], row["value"]),
        "was": _untyped(row["was_type"], row["was"]),
    }
