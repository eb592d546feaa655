"""The one way to a person's terminal: whatever is printed passes here, and nothing in it is obeyed.

`say` and `table` are for sentences and tables, `console` for what rich draws from `cell`s. `guard` stands
behind all of them: what reaches a terminal by another way (an argument parser's complaint, a library's
warning, rows as CSV) is made printable there.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from pipeline.printable import printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def say(text: object = "", *, err: bool = False) -> None:
    """One line, on standard output or standard error."""
    stream = sys.stderr if err else sys.stdout
    stream.write(printable(text) + "\n")
    stream.flush()


def say_lines(text: str) -> None:
    """On standard output: text whose lines are meant, such as JSON of `as_json`, to the letter."""
    sys.stdout.write(text + "\n")


def can_ask() -> bool:
    """Whether somebody sits at a terminal who sees a question and can answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str) -> bool:
    """Whether the answer is yes; nothing and the end of input mean no."""
    sys.stderr.write(printable(question) + " [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def console(*, err: bool = False) -> Console:
    """A console whose own styling reaches the terminal: give it texts from `cell` only."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(file=cast(IO[str], stream.styled if isinstance(stream, _Guarded) else stream))


def cell(value: object) -> Text:
    """A text for a rich table, without markup."""
    from rich.text import Text

    return Text(printable(value))


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Nothing in it is cut; columns of figures are aligned to the right."""
    from rich.text import Text

    from pipeline import tabular

    cells = [[printable(value) for value in row] for row in rows]
    right = {
        number
        for number in range(len(heads))
        if any(row[number] != "–" for row in cells) and all(_FIGURE.fullmatch(row[number]) for row in cells)
    }
    screen = console()
    shown = None if title is None else printable(title)
    for piece in tabular.drawn([*map(printable, heads)], cells, screen.width, right=right, title=shown):
        screen.print(piece, soft_wrap=isinstance(piece, Text))


_FIGURE = re.compile(r"-?[\d.,]+(?:/\d+)?%?|–")


def guard() -> None:
    """From here on, what is written to a terminal is printable, whoever writes it."""
    if sys.stdout.isatty():
        sys.stdout = cast(TextIO, _Guarded(sys.stdout))
    if sys.stderr.isatty():
        sys.stderr = cast(TextIO, _Guarded(sys.stderr))


def data() -> IO[bytes]:
    """Standard output for exact bytes; on a terminal they are text, and are shown printable."""
    return cast(IO[bytes], _Decoded(sys.stdout)) if sys.stdout.isatty() else sys.stdout.buffer


def is_terminal() -> bool:
    """Whether standard output is one."""
    return sys.stdout.isatty()


class _Guarded(io.TextIOBase):
    """A terminal's stream, to which lines and tabs are the only controls that can be written.

    `styled` is the stream itself, for what draws with escape sequences of its own.
    """

    def __init__(self, styled: TextIO) -> None:
        self.styled = styled

    def write(self, text: str) -> int:
        self.styled.write(printable_lines(text))
        return len(text)

    def flush(self) -> None:
        self.styled.flush()

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.styled.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.styled.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.styled.errors


class _Decoded(io.RawIOBase):
    """UTF-8 bytes as text to another stream."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._out.write(self._decoder.decode(bytes(data)))
        return len(data)
