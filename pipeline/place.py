"""Where on the page a value stands: from where the model looked while it wrote it.

The engine reports for each token the visual cell that the last layer's attention weighs most. Tokens that are
predictable from the text alone look elsewhere, so the box is drawn around the largest cluster of cells that
hang together. A box says where to look; it is no evidence that the value is right (wrong readings are placed
as well as right ones).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.records import Box

CELLS = 16  # visual cells along a side of a tile
_NEAR = 1.5  # cells of empty space that a chain may bridge


def box(place: npt.NDArray[np.float32], grid: tuple[int, int], tiles: int) -> Box | None:
    """The box of one value, as shares of the page; None where no token looked at the page.

    place  float32 [tokens, 4]: weight, tile, row, column of each token's strongest cell (`Generation.place`)
    grid   columns and rows of tiles on the page
    tiles  how many tiles the page has; when there is one more than the grid holds, the last is the thumbnail
    """
    seen = place[np.isfinite(place).all(axis=1) & (place[:, 0] > 0)]
    if not len(seen):
        return None
    corners = np.stack([_cell(int(tile), row, column, grid, tiles) for _, tile, row, column in seen])
    chain = _largest_chain(corners, seen[:, 0], _NEAR / (CELLS * np.array(grid, dtype=np.float64)))
    left, top = corners[chain, :2].min(axis=0)
    right, bottom = corners[chain, 2:].max(axis=0)
    return (float(left), float(top), float(right), float(bottom))


def _cell(tile: int, row: float, column: float, grid: tuple[int, int], tiles: int) -> npt.NDArray[np.float64]:
    """Left, top, right, bottom of one cell, as shares of the page."""
    columns, rows = grid
    if tile == columns * rows and tiles > columns * rows:  # the thumbnail shows the whole page
        across, down, x, y = CELLS, CELLS, column, row
    else:
        across, down = CELLS * columns, CELLS * rows
        x, y = column + CELLS * (tile % columns), row + CELLS * (tile // columns)
    return np.array([x / across, y / down, (x + 1) / across, (y + 1) / down])


def _largest_chain(
    corners: npt.NDArray[np.float64], weight: npt.NDArray[np.float32], near: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Indices of the heaviest cluster of cells; cells no further apart than `near` hang together."""
    low, high = corners[:, :2], corners[:, 2:]
    gap = np.maximum(low[:, None] - high[None], low[None] - high[:, None])  # negative where they overlap
    touching = np.all(gap <= near, axis=2)
    unseen, best = set(range(len(corners))), np.zeros(0, dtype=np.intp)
    while unseen:
        frontier = [unseen.pop()]
        cluster = list(frontier)
        while frontier:
            reached = {int(i) for i in np.flatnonzero(touching[frontier.pop()])} & unseen
            unseen -= reached
            frontier += reached
            cluster += reached
        if weight[cluster].sum() > weight[best].sum():
            best = np.array(sorted(cluster), dtype=np.intp)
    return best
