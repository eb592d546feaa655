"""Where on the page a value stands: from where the model looked while it wrote it.

The engine reports for each token the visual cell that the last layer's attention weighs most. Tokens that are
predictable from the text alone look elsewhere, so only the largest cluster of cells that hang together
counts, with the lines that it goes on in. A cell is higher than a line of print and wider than a letter:
where the page's ink is at hand, the box is drawn around the print that the cells mean (`pipeline.snap`), else
around the cells. A box says where to look; it is no evidence that the value is right (wrong readings are
placed as well as right ones).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.records import Box

CELLS = 16  # visual cells along a side of a tile
_NEAR = 1.5  # cells of empty space that a chain may bridge
_IN_A_ROW = 3  # tokens at least that make a line of their own
_BEHIND = 0.2  # of a cell: a token's two rows look at its own print and already at what comes after it


@dataclass(frozen=True, slots=True)
class Cells:
    """Those at which a value's tokens looked, in the order of the tokens.

    corners  float64 [n, 4]: left, top, right, bottom of each, as shares of the page
    along    float64 [n]: where in the text each token stands, from 0 to 1
    """

    corners: npt.NDArray[np.float64]
    along: npt.NDArray[np.float64]

    @property
    def box(self) -> Box:
        """Around all of them."""
        left, top = self.corners[:, :2].min(axis=0)
        right, bottom = self.corners[:, 2:].max(axis=0)
        return (float(left), float(top), float(right), float(bottom))


def cells(
    place: npt.NDArray[np.float32], along: npt.NDArray[np.float64], grid: tuple[int, int], tiles: int
) -> Cells | None:
    """The cells of one value; None where no token looked at the page.

    place  float32 [tokens, 4]: weight, tile, row, column of each token's strongest cell (`Generation.place`)
    along  float64 [tokens]: where in the value's text each stands, from 0 to 1
    grid   columns and rows of tiles on the page
    tiles  how many tiles the page has; when there is one more than the grid holds, the last is the thumbnail
    """
    looked = np.isfinite(place).all(axis=1) & (place[:, 0] > 0)
    seen = place[looked]
    if not len(seen):
        return None
    corners = np.stack([_cell(int(tile), row, column, grid, tiles) for _, tile, row, column in seen.tolist()])
    chain = _chain(corners, seen[:, 0], 1 / (CELLS * np.array(grid, dtype=np.float64)))
    return Cells(np.clip(corners[chain], 0, 1), along[looked][chain])


def _cell(tile: int, row: float, column: float, grid: tuple[int, int], tiles: int) -> npt.NDArray[np.float64]:
    """Left, top, right, bottom of one cell, as shares of the page."""
    columns, rows = grid
    column -= _BEHIND
    if tile == columns * rows and tiles > columns * rows:  # the thumbnail shows the whole page
        across, down, x, y = CELLS, CELLS, column, row
    else:
        across, down = CELLS * columns, CELLS * rows
        x, y = column + CELLS * (tile % columns), row + CELLS * (tile // columns)
    return np.array([x / across, y / down, (x + 1) / across, (y + 1) / down])


def _chain(
    corners: npt.NDArray[np.float64], weight: npt.NDArray[np.float32], cell: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Indices, in order, of the heaviest cluster of cells that hang together, and of those lines that the
    value goes on in: tokens in a row, in a cluster of their own right above or below. `cell`: its size.
    """
    clusters = _clusters(corners, _NEAR * cell)
    heaviest = max(clusters, key=lambda cluster: float(weight[cluster].sum()))
    low, high = corners[heaviest, 1].min(), corners[heaviest, 3].max()
    kept = [heaviest]
    for cluster in clusters:
        if cluster is heaviest or len(cluster) < max(_IN_A_ROW, len(corners) / 8):
            continue
        in_a_row = cluster[-1] - cluster[0] < 1.5 * len(cluster)
        apart = cluster[-1] < heaviest[0] + len(cluster) / 4 or cluster[0] > heaviest[-1] - len(cluster) / 4
        away = max(corners[cluster, 1].min() - high, low - corners[cluster, 3].max())
        if in_a_row and apart and away <= cell[1]:
            kept.append(cluster)
    return np.sort(np.concatenate(kept))


def _clusters(corners: npt.NDArray[np.float64], near: npt.NDArray[np.float64]) -> list[npt.NDArray[np.intp]]:
    """Cells no further apart than `near` hang together."""
    low, high = corners[:, :2], corners[:, 2:]
    gap = np.maximum(low[:, None] - high[None], low[None] - high[:, None])  # negative where they overlap
    touching = np.all(gap <= near, axis=2)
    unseen, found = set(range(len(corners))), []
    while unseen:
        frontier = [unseen.pop()]
        cluster = list(frontier)
        while frontier:
            reached = {int(i) for i in np.flatnonzero(touching[frontier.pop()])} & unseen
            unseen -= reached
            frontier += reached
            cluster += reached
        found.append(np.array(sorted(cluster), dtype=np.intp))
    return found
