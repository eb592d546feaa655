"""Values as text and in their types, and rows by the batch: what every format of a file is made with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from math import isfinite
from typing import Any

_BATCH = 1000  # rows


def plain(value: Any) -> str:
    """A value as text: numbers in full, dates as in ISO 8601, nothing for no value."""
    if value is None:
        return ""
    if isinstance(value, float) and isfinite(value):
        text = repr(value)  # the shortest that means this number, which may have an exponent
        return format(Decimal(text), "f") if "e" in text else text
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def batches(rows: Iterable[tuple[Any, ...]], size: int = _BATCH) -> Iterator[list[tuple[Any, ...]]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise ValueError(value)
    return Decimal(str(value))


def _boolean(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError(value)
    return bool(value)


CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "decimal": _decimal,
    "date": lambda value: value if isinstance(value, date) else date.fromisoformat(value),
    "datetime": lambda value: value if isinstance(value, datetime) else datetime.fromisoformat(value),
    "boolean": _boolean,
}


def typed(value: Any, kind: str) -> Any:
    """A view's value in its type, also from SQLite, which has neither decimals nor dates."""
    convert = CONVERTERS.get(kind)
    return value if value is None or convert is None else convert(value)
