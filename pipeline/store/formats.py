"""Rows as a table on the terminal, CSV, JSON or Parquet; nothing is rounded, and memory is bounded."""

from __future__ import annotations

import csv
import io
import json
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.errors import UsageError
from pipeline.store.query import Rows, number

QUERY_FORMATS = ("table", "csv", "json", "parquet")
_BATCH = 1000  # rows
_PARQUET_BATCH = 10_000
_SCALE = 6  # decimals of a Parquet decimal, at least


def write(rows: Rows, format: str, out: IO[bytes]) -> int:
    """Writes all rows in one of QUERY_FORMATS, text as UTF-8; returns how many there were."""
    writers: dict[str, Callable[[Rows, IO[bytes]], int]] = {
        "table": _table,
        "csv": _csv,
        "json": _json,
        "parquet": parquet,
    }
    if format not in writers:
        raise UsageError(f"no format {format!r}; there are {', '.join(QUERY_FORMATS)}")
    return writers[format](rows, out)


def plain(value: Any) -> str:
    """A value as text: decimals in full, dates as in ISO 8601, nothing for no value."""
    if value is None:
        return ""
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


def _text(out: IO[bytes]) -> io.TextIOWrapper:
    return io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)


def _table(rows: Rows, out: IO[bytes]) -> int:
    text, total = _text(out), 0
    console = Console(file=text)
    for batch in batches(rows):
        total += len(batch)
        table = Table()
        for name in rows.columns:
            table.add_column(Text(name))
        for row in batch:
            table.add_row(*(Text(_printable(plain(value))) for value in row))
        console.print(table)
    if total == 0:
        console.print(Text(f"no rows ({', '.join(rows.columns)})"))
    text.detach()
    return total


def _printable(text: str) -> str:
    """Without control characters: what was read from a document must not steer a terminal."""
    return "".join(
        character if character.isprintable() else "�" if character < " " else " " for character in text
    )


def _csv(rows: Rows, out: IO[bytes]) -> int:
    text, total = _text(out), 0
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.columns)
    for row in rows:
        writer.writerow([plain(value) for value in row])
        total += 1
    text.detach()
    return total


def _json(rows: Rows, out: IO[bytes]) -> int:
    text, total = _text(out), 0
    text.write("[")
    for row in rows:
        item = {name: _json_value(value) for name, value in zip(rows.columns, row, strict=True)}
        text.write(",\n " if total else "\n ")
        text.write(json.dumps(item, ensure_ascii=False))
        total += 1
    text.write("\n]\n")
    text.detach()
    return total


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return number(value)
    return value if isinstance(value, (str, int, float, bool, dict, list, type(None))) else plain(value)


# Parquet


def parquet(rows: Rows, out: IO[bytes]) -> int:
    """Column types are known only when all rows were seen, so these wait in a temporary file meanwhile."""
    columns = [_Column(name, rows.kinds.get(name)) for name in rows.columns]
    total = 0
    with tempfile.TemporaryFile() as waiting:
        for batch in batches(rows, _PARQUET_BATCH):
            for column, values in zip(columns, zip(*batch, strict=True), strict=True):
                column.look(values)
            pickle.dump(batch, waiting)
            total += len(batch)
        waiting.seek(0)
        schema = pa.schema([(column.name, column.type()) for column in columns])
        with pq.ParquetWriter(out, schema) as writer:
            for _ in range(-(-total // _PARQUET_BATCH)):
                parts = zip(columns, zip(*pickle.load(waiting), strict=True), strict=True)
                arrays = [
                    pa.array(map(column.value, values), schema.field(i).type)
                    for i, (column, values) in enumerate(parts)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return total


class _Column:
    """A column whose type follows from its values, and from `kind` if all of them are of that kind."""

    def __init__(self, name: str, kind: str | None) -> None:
        self.name = name
        self._convert = _CONVERTERS.get(kind or "")
        self._types: set[type] = set()
        self._converted: set[type] = set()
        self._scale = self._whole = 0  # digits after and before the point, at most

    def look(self, values: Sequence[Any]) -> None:
        for value in values:
            if value is None:
                continue
            self._types.add(type(value))
            if self._convert is not None:
                try:
                    value = self._convert(value)
                except (ValueError, TypeError, InvalidOperation):
                    self._convert = None
                else:
                    self._converted.add(type(value))
            if isinstance(value, (Decimal, int, float)):
                self._measure(Decimal(str(value)))

    def _measure(self, value: Decimal) -> None:
        if value.is_finite():
            _, digits, exponent = value.as_tuple()
            self._scale = max(self._scale, -int(exponent))
            self._whole = max(self._whole, len(digits) + int(exponent))

    def type(self) -> pa.DataType:
        seen = self._converted if self._convert else self._types
        if seen == {bool}:
            return pa.bool_()
        if seen == {int} and self._whole <= 18:
            return pa.int64()
        if seen and seen <= {int, float} and float in seen:
            return pa.float64()
        if seen and seen <= {int, Decimal} and self._scale + self._whole <= 76:
            # Wider than needed, so that the files of different jobs have the same type as a rule.
            scale = max(self._scale, _SCALE) if self._whole + _SCALE <= 38 else self._scale
            return pa.decimal128(38, scale) if self._whole + scale <= 38 else pa.decimal256(76, scale)
        if seen == {date}:
            return pa.date32()
        if seen == {datetime}:
            return pa.timestamp("us")
        return pa.string()

    def value(self, value: Any) -> Any:
        if value is None:
            return None
        if self._convert is not None:
            value = self._convert(value)
        kind = self.type()
        if pa.types.is_string(kind):
            return plain(value)
        return Decimal(value) if pa.types.is_decimal(kind) else value


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise ValueError(value)
    return Decimal(str(value))


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "decimal": _decimal,
    "date": lambda value: value if isinstance(value, date) else date.fromisoformat(value),
    "datetime": lambda value: value if isinstance(value, datetime) else datetime.fromisoformat(value),
    "boolean": lambda value: {0: False, 1: True}[value],
}


def typed(value: Any, kind: str) -> Any:
    """A view's value in its type, also from SQLite, which has neither decimals nor dates."""
    convert = _CONVERTERS.get(kind)
    return value if value is None or convert is None else convert(value)
