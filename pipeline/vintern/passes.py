"""Long answers: a table that does not fit beside its page is written in several passes over the same page.

Tiles, question and answer share the cache's slot of one context. When it is full within a table, the oldest
lines leave it: their keys and values make room, and the model goes on from where it was. It sees its page,
its question, the answer's beginning up to the table, the last lines and what it had begun to write. Nothing
is computed anew: what stays keeps the positions that it was computed at, so that the model is as far down the
page as it was. (To move the last lines up instead, fed anew or with their keys turned back, loses the place:
see `infra/LOG.md`.) So positions run on beyond the context, up to those that the model was made for.

The answer is one text: the grammar's state and the watch for loops know nothing of passes.

The page is not cut into bands. Each would cost its own tiles, and lines in their overlap would have to be
told from lines that are printed twice; here every line is read once.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pipeline.room import STAY

_PARTS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{},]', re.DOTALL)
_ROUNDS = 3  # of the same lines one after the other are a loop ...
_LINES = 30  # ... if they make at least so many


@dataclass(frozen=True, slots=True)
class Table:
    """A list in a JSON text, by offsets in bytes."""

    opens: int  # behind its bracket
    lines: tuple[tuple[int, int], ...]  # start and end of each item that is whole


def leaving(pieces: Sequence[bytes], room: int, cached: int) -> tuple[int, int] | None:
    """Which of the tokens in sight leave so that there is room to go on: from, and up to but not.

    `pieces` are the bytes of each, of which the first `cached` are in the cache, and `room` is how many there
    may be. Of the table that has most to give, the oldest whole lines leave that can, and the last one always
    stays.
    None where there is no such table, or where too little would leave.
    """
    text = b"".join(pieces)
    table = max(tables(text), key=_most, default=None)
    if table is None:
        return None
    edges = [0, *accumulate(map(len, pieces))]
    starts = [start for start, _ in table.lines]
    best = (0, 0)
    for number, later in enumerate(starts[1:], 1):
        cuts = (_aligned(text, edges, first, later) for first in starts[:number])
        found = next((cut for cut in cuts if cut is not None), best)
        if found[1] <= cached and found[1] - found[0] > best[1] - best[0]:
            best = found
        if len(pieces) - (best[1] - best[0]) <= STAY * room:
            break
    return best if best[0] < best[1] and len(pieces) - (best[1] - best[0]) < room else None


def _aligned(text: bytes, edges: Sequence[int], first: int, later: int) -> tuple[int, int] | None:
    """The tokens between the lines that begin at `first` and `later`, as near as tokens are cut alike.

    A token may hold the end of one line and the beginning of the next. So both are cut at some place that is
    equally far behind, with the same bytes up to it. Lines with keys all begin alike; those of bare values
    may not, so that the very first line cannot leave with every later one.
    """
    for token in range(bisect_left(edges, first), len(edges) - 1):
        behind = edges[token] - first
        if text[first : first + behind] != text[later : later + behind]:
            return None
        other = bisect_left(edges, later + behind)
        if other < len(edges) - 1 and edges[other] == later + behind:
            return token, other
    return None


def goes_round(text: bytes) -> bool:
    """The last lines of a table are the same ones again and again, though none by itself makes a loop.

    One line again and again is not meant here; that is seen much earlier (`loops`), or printed so.
    """
    for table in tables(text):
        lines = [text[start:end] for start, end in table.lines]
        for period in range(2, len(lines) // _ROUNDS + 1):
            tail = lines[-max(_ROUNDS * period, _LINES) :]
            if len(tail) < _LINES:
                break
            if tail[period:] == tail[:-period] and len(set(tail)) > 1:
                return True
    return False


def tables(text: bytes) -> Iterator[Table]:
    """The lists in the beginning of a JSON object that are in no other list, in order."""
    if not text.startswith(b"{"):
        return
    depth = inside = opens = begins = 0  # `inside`: the depth of the list where we are, 0 for none
    lines: list[tuple[int, int]] = []
    for part in _PARTS.finditer(text):
        match part[0]:
            case b"{" | b"[":
                depth += 1
                if part[0] == b"[" and not inside:
                    inside, opens, begins, lines = depth, part.end(), part.end(), []
            case b"," if depth == inside:
                lines.append((begins, part.start()))
                begins = part.end()
            case b"}" | b"]":
                if depth == inside:
                    if begins < part.start():
                        lines.append((begins, part.start()))
                    yield Table(opens, tuple(lines))
                    inside = 0
                depth -= 1
    if inside:
        yield Table(opens, tuple(lines))


def _most(table: Table) -> int:
    """Bytes of all whole lines but the last."""
    return table.lines[-1][0] - table.opens if len(table.lines) > 1 else 0
