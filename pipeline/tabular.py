"""Tables for a terminal in which nothing is cut: no word, identifier, path or figure is ever broken in two.

Sentences wrap between their words. What is too wide for that becomes a list: one value under the other, each
in a line that the terminal may wrap and that a person copies whole.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

_PROSE = 16  # characters that a column of sentences has at least
_BETWEEN = 3  # characters between two columns, and one more at the edge
_ONE_PIECE = re.compile(r"/|[A-Za-z]:\\|\w+://")  # the beginning of a path or address, which may have blanks

Rows = Sequence[Sequence[str]]


def drawn(
    heads: Sequence[str],
    rows: Rows,
    width: int,
    *,
    right: Collection[int] = (),
    title: str | None = None,
    first: int = 1,
) -> Iterator[Table | Text]:
    """What to print for these printable texts on `width` columns: one table, or the lines of a list.

    `right` are the columns whose figures are aligned to the right, `first` is the number of the first row. A
    Text must be printed with `soft_wrap`.
    """
    narrowest, natural = _widths(heads, rows)
    room = width - 1 - _BETWEEN * len(heads) - sum(narrowest)
    if room >= 0:
        yield _table(heads, rows, _shared_out(narrowest, natural, room), right, title)
        return
    if title is not None:
        yield Text(title, style="italic")
    yield from _listed(heads, rows, first)


def _widths(heads: Sequence[str], rows: Rows) -> tuple[list[int], list[int]]:
    """Of each column: the least that cuts no word, and what it takes without wrapping."""
    narrowest, natural = [], []
    for number, head in enumerate(heads):
        cells = [head, *(row[number] for row in rows)]
        widest = max(cell_len(cell) for cell in cells)
        word = max((cell_len(piece) for cell in cells for piece in _pieces(cell)), default=0)
        narrowest.append(max(word, min(widest, _PROSE)))
        natural.append(widest)
    return narrowest, natural


def _pieces(cell: str) -> Sequence[str]:
    return (cell,) if _ONE_PIECE.match(cell) else cell.split()


def _shared_out(narrowest: Sequence[int], natural: Sequence[int], room: int) -> list[int]:
    """The widths of the columns: those that want least are served first."""
    widths = list(narrowest)
    wanting = sorted(range(len(widths)), key=lambda number: natural[number] - widths[number])
    for served, number in enumerate(wanting):
        more = min(natural[number] - widths[number], room // (len(wanting) - served))
        widths[number] += more
        room -= more
    return widths


def _table(
    heads: Sequence[str], rows: Rows, widths: Sequence[int], right: Collection[int], title: str | None
) -> Table:
    table = Table(title=None if title is None else Text(title), title_justify="left")
    if title is not None:
        table.box = box.SIMPLE_HEAD
    for number, (head, width) in enumerate(zip(heads, widths, strict=True)):
        table.add_column(Text(head), width=width, justify="right" if number in right else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _listed(heads: Sequence[str], rows: Rows, first: int) -> Iterator[Text]:
    indent = max(map(cell_len, heads))
    for number, row in enumerate(rows, first):
        yield Text(f"─── {number}", style="dim")
        for head, cell in zip(heads, row, strict=True):
            yield Text(f"{head}{' ' * (indent - cell_len(head))}  {cell}")
