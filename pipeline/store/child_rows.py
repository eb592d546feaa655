"""Rows that hang on a document and are put with its result, by the quickest way of either database.

PostgreSQL unpacks one JSON list in the statement that ends the document. SQLite is in this process, and takes
them as they are, several by one statement: a fifth of the time that it needs to take JSON apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from pipeline.store import rows

_AT_ONCE = 32  # rows a statement; those that are left go by halves of it, so that few statements are prepared


class ChildTable:
    """A table whose rows have the `document_id` of a document, and `columns`, with PostgreSQL's types.

    `lists` are those that hold lists, as JSON text.
    """

    def __init__(self, name: str, columns: str, lists: Collection[str]) -> None:
        names, types = zip(*(column.split(maxsplit=1) for column in columns.split(", ")), strict=True)
        self.name = name
        self.put = f"""
INSERT INTO {name} (document_id, {", ".join(names)})
SELECT held.id, {", ".join(names)}
FROM held, json_to_recordset(CAST(:{name} AS json)) AS given({columns})
"""  # to the document that `held` has
        self._names, self._values = names, itemgetter(*names)
        self._lists = [number for number, name in enumerate(names) if name in lists]
        self._texts = [n for n, kind in enumerate(types) if kind == "text" and n not in self._lists]

    def insert(self, connection: Connection, document: int, given: Sequence[Mapping[str, Any]]) -> None:
        """Puts rows to a document, in SQLite."""
        flat = self._flat(document, given)
        width, start = len(self._names) + 1, 0
        cursor = connection.connection.cursor()
        for count in _portions(len(given)):
            end = start + count * width
            cursor.execute(_statement(self.name, self._names, count), flat[start:end])
            start = end
        cursor.close()

    def _flat(self, document: int, given: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The values of all rows, one after the other."""
        flat: list[Any] = []
        for row in given:
            begins = len(flat) + 1
            flat += (document, *self._values(row))
            for number in self._lists:
                if (value := flat[begins + number]) is not None:
                    flat[begins + number] = rows.dump(value)
        width = len(self._names) + 1
        texts = chain.from_iterable(flat[column + 1 :: width] for column in self._texts)
        if rows.storable("".join(filter(None, texts))):
            return flat
        return [rows.clean(value) if isinstance(value, str) else value for value in flat]


def _portions(count: int) -> Iterator[int]:
    size = _AT_ONCE
    while count:
        while size > count:
            size //= 2
        yield size
        count -= size


@lru_cache(maxsize=64)
def _statement(table: str, names: tuple[str, ...], count: int) -> str:
    row = f"(?{', ?' * len(names)})"
    return f"INSERT INTO {table} (document_id, {', '.join(names)}) VALUES {', '.join([row] * count)}"
