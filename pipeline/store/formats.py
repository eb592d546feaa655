"""Rows as a table on the terminal, CSV, JSON or Parquet; nothing is rounded, and memory is bounded."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from pipeline import tabular
from pipeline.errors import UsageError
from pipeline.printable import HIDDEN, as_json, printable
from pipeline.store.query import Rows, number
from pipeline.store.values import batches, plain

QUERY_FORMATS = ("table", "csv", "json", "parquet")


def write(
    rows: Rows,
    format: str,
    out: IO[bytes],
    *,
    raw: bool = False,
    shown: bool = False,
    bom: bool = False,
) -> int:
    """Writes all rows in one of QUERY_FORMATS, text as UTF-8; returns how many there were.

    `raw` CSV has every cell to the letter, and is not for spreadsheets; `shown` CSV goes to a person's
    terminal, and no cell leaves its line; with a `bom` Excel takes CSV for the UTF-8 that it is. The others
    are exact in any case.
    """
    writers: dict[str, Callable[[Rows, IO[bytes]], int]] = {
        "table": _table,
        "csv": partial(_csv, raw=raw, shown=shown, bom=bom),
        "json": _json,
        "parquet": _parquet,
    }
    if format not in writers:
        raise UsageError(f"no format {format!r}; there are {', '.join(QUERY_FORMATS)}")
    return writers[format](rows, out)


def _text(out: IO[bytes]) -> io.TextIOWrapper:
    return io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)


def _table(rows: Rows, out: IO[bytes]) -> int:
    text, total = _text(out), 0
    console = Console(file=text)
    heads = [printable(name) for name in rows.columns]
    for batch in batches(rows):
        cells = [[printable(plain(value)) for value in row] for row in batch]
        right = _figures(rows, batch)
        for piece in tabular.drawn(heads, cells, console.width, right=right, first=total + 1):
            console.print(piece, soft_wrap=isinstance(piece, Text))
        total += len(batch)
    if total == 0:
        console.print(Text(f"no rows ({', '.join(heads)})"), soft_wrap=True)
    text.detach()
    return total


def _figures(rows: Rows, batch: Sequence[Sequence[Any]]) -> set[int]:
    """The columns that hold numbers: by the schema's type, or by what stands in them."""
    found = set()
    for column, name in enumerate(rows.columns):
        values = [row[column] for row in batch if row[column] is not None]
        figures = all(isinstance(v, (int, float, Decimal)) and not isinstance(v, bool) for v in values)
        if rows.kinds.get(name) in ("decimal", "integer", "real") or (values and figures):
            found.add(column)
    return found


def harmless(cell: str) -> str:
    """The cell with an apostrophe before it if a spreadsheet would compute it; numbers stay numbers.

    So does one that has the apostrophe already, so that taking one away always gives back what was there.
    """
    return f"'{cell}" if _COMPUTED.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unharmed(cell: str) -> str:
    """The cell as it was before `harmless`."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell


# As OWASP lists them ("CSV injection"), full-width forms included, after anything that a reader may skip.
_COMPUTED = re.compile(rf"'*(?:[\s{HIDDEN}]*[=+\-@＝＋－＠]|[\t\r\n])")
_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?")


class _Lines:
    """Ends each of the writer's rows with a line feed alone.

    The writer itself is told CR LF, because before Python 3.13 it quotes no line end but its own, and a
    carriage return in a cell would be the end of a row.
    """

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def write(self, row: str) -> None:
        self._out.write(row.removesuffix("\r\n") + "\n")


def _csv(rows: Rows, out: IO[bytes], *, raw: bool, shown: bool, bom: bool) -> int:
    out.write(codecs.BOM_UTF8 if bom else b"")
    text, total = _text(out), 0
    writer = csv.writer(_Lines(text), lineterminator="\r\n")

    def cell(value: Any) -> str:
        cell = plain(value) if raw else harmless(plain(value))
        return printable(cell) if shown else cell

    writer.writerow(map(cell, rows.columns))
    for row in rows:
        writer.writerow(map(cell, row))
        total += 1
    text.detach()
    return total


def _json(rows: Rows, out: IO[bytes]) -> int:
    text, total = _text(out), 0
    text.write("[")
    json_columns = {name for name in rows.columns if rows.kinds.get(name) == "json"}
    for row in rows:
        item = {
            name: _parsed(value) if name in json_columns else _json_value(value)
            for name, value in zip(rows.columns, row, strict=True)
        }
        text.write(",\n " if total else "\n ")
        text.write(as_json(item))
        total += 1
    text.write("\n]\n")
    text.detach()
    return total


def _json_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return number(value)
    return value if isinstance(value, (str, int, float, bool, dict, list, type(None))) else plain(value)


def _parsed(value: Any) -> Any:
    """A column of JSON, which is text in SQLite; a column of another kind may bear its name."""
    try:
        return json.loads(value) if isinstance(value, str) else _json_value(value)
    except ValueError:
        return value


def _parquet(rows: Rows, out: IO[bytes]) -> int:
    from pipeline.store import parquet

    return parquet.write(rows, out)
