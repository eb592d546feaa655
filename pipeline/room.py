"""How the tokens of a context are shared out between a page's tiles, the question and the answer.

A page that is cut as the checkpoint was trained may leave too little for the lines that stand on it. Then it
takes fewer tiles, as long as its letters stay readable; what does not fit even so is answered in several
passes over the same tiles.

What an answer will need is estimated: from the schema (`Room`), and from the page (`pipeline.textlines`). The
estimate decides how many tiles a page gets, never what may be answered. It follows from the page's pixels and
from what is in the job's key, so that a page is always cut the same way under one key.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pipeline import tiles
from pipeline.records import Pixels
from pipeline.textlines import TextLines, look

Grid = tuple[int, int]  # columns, rows of tiles

# Height of a usual line of print in its tile, pixels, below which letters run together: see the figures of
# `infra.benchmarks.room`. Type of 9 points on A4 has 11 in 2×3 tiles and 8 in 2×2.
READABLE = 9.0
# How much of the room stays in sight at most where a further pass begins, if that leaves a line.
STAY = 0.75
# How much flatter or narrower than on paper a page may become. The reference's own grids go as far as 1.25
# with at most 6 tiles and 1.5 with at most 4.
SQUEEZE = 1.35


@dataclass(frozen=True, slots=True)
class Room:
    """A context, and what the parts of a request of one schema take of it. In tokens."""

    context: int  # of prompt and answer together
    tile: int  # of a tile
    prompt: int  # of a prompt, its tiles apart
    header: int  # of an answer whose lists are empty
    before: int = 0  # of them, before the first line
    line: int = 0  # of one item of a list; 0: the schema has none
    most_lines: int = 0  # that the schema allows on a page

    def left(self, count: int) -> int:
        """What `count` tiles leave for the answer."""
        return self.context - self.prompt - self.tile * count

    def passes(self, count: int, lines: int) -> int | None:
        """How many passes an answer with so many lines takes beside `count` tiles; None: it has no room.

        As `vintern.passes` has them: where the room is used up, the oldest whole lines leave, until what
        stays takes no more than `STAY` of it, but never the last one.
        """
        limit = self.left(count)
        table = lines * self.line
        whole = self.header + table  # tokens of the answer
        passes, written, left = 1, min(whole, limit), 0  # lines that have left
        while written < whole:
            # A line is over where something follows it.
            there = max(0, min(written - self.before, table + 1) - 1) // self.line - left if lines else 0
            sight = written - left * self.line
            leave = min(math.ceil((sight - STAY * limit) / self.line), there - 1) if lines else 0
            if leave < 1:
                return None
            left += leave
            passes, written = passes + 1, min(whole, written + leave * self.line)
        return passes if whole else None


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a page is cut into tiles.

    passes  that its answer is estimated to take; None: there is no room for it, or nothing is known of that
    tight   cut as the checkpoint was trained, its answer would not fit
    fewer   it has fewer tiles than that
    """

    grid: Grid
    passes: int | None
    tight: bool = False
    fewer: bool = False


def tile_count(grid: Grid) -> int:
    """Tiles of a page with this grid, its thumbnail among them."""
    columns, rows = grid
    return columns * rows + (columns * rows > 1)


def page_tiling(pixels: Pixels, max_tiles: int, room: Room | None) -> Tiling:
    """How a page, uint8 [height, width, 3], is cut: see `tiling`."""
    height, width, _ = pixels.shape
    return tiling(width, height, max_tiles, room, lambda: look(pixels))


def tiling(
    width: int, height: int, max_tiles: int, room: Room | None, look: Callable[[], TextLines]
) -> Tiling:
    """How a page of so many pixels is cut: as trained, or into fewer tiles so that its answer fits.

    Of the grids in which letters stay readable it is the one that takes the fewest passes, and of those the
    one that shows letters the largest. Where none leaves room for an answer, letters become as small as they
    must.
    `look` is asked for what is on the page only if that may matter. Without `room` a page is cut as trained.
    """
    trained = tiles.grid(width, height, max_tiles)
    if room is None:
        return Tiling(trained, None)
    if room.passes(tile_count(trained), room.most_lines) == 1:
        return Tiling(trained, 1)
    seen = look()
    lines = min(max(0, seen.rows - 1), room.most_lines)  # the heading is none
    if room.passes(tile_count(trained), lines) == 1:
        return Tiling(trained, 1)
    smaller = _smaller(trained, width, height)
    found = [
        Tiling(grid, room.passes(tile_count(grid), lines), tight=True, fewer=grid != trained)
        for grid in [trained, *smaller]
    ]
    possible = [tiling for tiling in found if tiling.passes is not None]
    readable = [
        tiling
        for tiling in possible
        if not tiling.fewer or seen.height * _scale(tiling.grid, width, height) >= READABLE
    ]
    if readable:
        return min(readable, key=lambda t: (t.passes, -_scale(t.grid, width, height), t.grid))
    if possible:
        return max(possible, key=lambda t: _scale(t.grid, width, height))
    return min(found, key=lambda t: tile_count(t.grid))


def _smaller(trained: Grid, width: int, height: int) -> list[Grid]:
    """Grids of fewer tiles: the reference's own for such a page, and those that keep its shape."""
    most = trained[0] * trained[1] - 1
    found = {tiles.grid(width, height, limit) for limit in range(1, most + 1)}
    found |= {
        (columns, rows)
        for columns in range(1, most + 1)
        for rows in range(1, most // columns + 1)
        if 1 / SQUEEZE <= (width / height) / (columns / rows) <= SQUEEZE
    }
    return sorted(found)


def _scale(grid: Grid, width: int, height: int) -> float:
    """Of a page's pixels to those of its tiles, in the direction in which it is squeezed more."""
    columns, rows = grid
    return tiles.SIDE * min(columns / width, rows / height)
