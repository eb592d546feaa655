"""A CSV of answers, as Excel or LibreOffice saved it: with commas, semicolons or tabs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from pipeline.corrections import grid
from pipeline.corrections.entry import Entry
from pipeline.errors import UsageError
from pipeline.store.formats import unharmed

_MOST_ROWS = 1_048_576  # as of a sheet
_SEPARATORS = ",;\t"


def entries(data: bytes, name: str) -> Sequence[Entry]:
    """The rows in which a person has written something. Raises UsageError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not UTF-8; save it as “CSV UTF-8”") from None
    try:
        return tuple(grid.entries(_rows(text)))
    except csv.Error as error:
        raise UsageError(f"{name} is no CSV: {error}") from None
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}") from None


def _rows(text: str) -> Iterator[list[str]]:
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for number, row in enumerate(reader, 1):
        if number > _MOST_ROWS:
            raise UsageError(f"it has more than {_MOST_ROWS:,} rows")
        yield list(map(unharmed, row))
