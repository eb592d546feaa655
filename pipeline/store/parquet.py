"""Rows as Parquet. A column of the schema has the schema's type, whatever its values; others have the type
that all their values have. Decimals are exact, dates are dates.
"""

# Imported only when a Parquet file is asked for: pyarrow takes longer to load than all the rest of the store.

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.query import Rows
from pipeline.store.values import CONVERTERS, batches, plain

_BATCH = 10_000  # rows
_SCALE = 10  # decimals of a Parquet decimal; more only where a value has more
_DECIMAL = pa.decimal128(38, _SCALE)  # 38 digits are the most that all readers of Parquet take
_OF_SCHEMA: dict[str, tuple[pa.DataType, frozenset[type]]] = {  # and what its values are
    "text": (pa.string(), frozenset({str})),
    "integer": (pa.int64(), frozenset({int})),
    "decimal": (_DECIMAL, frozenset({Decimal})),
    "real": (pa.float64(), frozenset({int, float})),
    "boolean": (pa.bool_(), frozenset({bool})),
    "date": (pa.date32(), frozenset({date})),
    "datetime": (pa.timestamp("us"), frozenset({datetime})),
    "json": (pa.string(), frozenset({str, dict, list})),
}


def write(rows: Rows, out: IO[bytes]) -> int:
    """Column types are known only when all rows were seen, so these wait in a temporary file meanwhile."""
    columns = [_Column(name, rows.kinds.get(name)) for name in rows.columns]
    total = 0
    with tempfile.TemporaryFile() as waiting:
        for batch in batches(rows, _BATCH):
            for column, values in zip(columns, zip(*batch, strict=True), strict=True):
                column.look(values)
            pickle.dump(batch, waiting)
            total += len(batch)
        waiting.seek(0)
        schema = pa.schema([(column.name, column.type()) for column in columns])
        with pq.ParquetWriter(out, schema) as writer:
            for _ in range(-(-total // _BATCH)):
                parts = zip(columns, zip(*pickle.load(waiting), strict=True), strict=True)
                arrays = [
                    pa.array(map(column.value, values), schema.field(i).type)
                    for i, (column, values) in enumerate(parts)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return total


class _Column:
    """A column: its type is that of `kind` if all its values are of that kind, and else follows from them."""

    def __init__(self, name: str, kind: str | None) -> None:
        self.name = name
        self._kind = kind or ""
        self._convert = CONVERTERS.get(kind or "")
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
            if isinstance(value, (Decimal, int, float)) and not isinstance(value, bool):
                self._measure(Decimal(str(value)))

    def _measure(self, value: Decimal) -> None:
        if value.is_finite():
            _, digits, exponent = value.as_tuple()
            self._scale = max(self._scale, -int(exponent))
            self._whole = max(self._whole, len(digits) + int(exponent))

    def type(self) -> pa.DataType:
        seen = self._converted if self._convert else self._types
        expected, of_it = _OF_SCHEMA.get(self._kind, (None, frozenset[type]()))
        if expected is not None and seen <= of_it and self._fits(expected):
            return expected
        if seen == {bool}:
            return pa.bool_()
        if seen == {int} and self._whole <= 18:
            return pa.int64()
        if seen and seen <= {int, float} and float in seen:
            return pa.float64()
        if seen and seen <= {int, Decimal} and self._scale + self._whole <= 76:
            scale = max(self._scale, _SCALE) if self._whole + _SCALE <= 38 else self._scale
            return pa.decimal128(38, scale) if self._whole + scale <= 38 else pa.decimal256(76, scale)
        if seen == {date}:
            return pa.date32()
        if seen == {datetime}:
            return pa.timestamp("us")
        return pa.string()

    def _fits(self, kind: pa.DataType) -> bool:
        """Whether the largest number and the longest fraction have room in this type."""
        if kind == _DECIMAL:
            return self._scale <= _SCALE and self._whole <= 38 - _SCALE
        return kind != pa.int64() or self._whole <= 18

    def value(self, value: Any) -> Any:
        if value is None:
            return None
        if self._convert is not None:
            value = self._convert(value)
        kind = self.type()
        if pa.types.is_string(kind):
            return plain(value)
        return Decimal(value) if pa.types.is_decimal(kind) else value
