"""Where on the page a token looked, from the last layer's attention over the visual tokens.

The row that predicts a token looks for it, and the token's own row looks back at it; the two are averaged.
Kept are four numbers: the strongest cell's weight, its tile, and the row and column of the centre of the 3×3
cells around it. A box made of them says where to look; it is no evidence that a value is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.vintern.answer import Answer
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.model import Vintern

SIDE = 16  # visual tokens along a side of a tile
CELLS = SIDE * SIDE


class Pointer:
    """Remembers each slot's last row between steps."""

    def __init__(self, slots: int, tiles: int, device: torch.device) -> None:
        """For pages of up to `tiles` tiles, thumbnail included."""
        self.last = torch.zeros(slots, tiles * CELLS, device=device)

    @classmethod
    def for_model(cls, model: Vintern, cache: KVCache) -> Pointer:
        return cls(cache.slots, page_tiles(model, cache), model.device)

    def look(self, fed: Sequence[tuple[Answer, int]], rows: Tensor | None) -> None:
        """Tell answers where their tokens looked, of which so many were fed; rows as `step` takes them.

        Of a prompt only its last token matters, and what is forced after.
        """
        if rows is None:
            raise RuntimeError("the pass kept no attention")
        starts = [max(answer.cached, len(answer.prompt) - 1) for answer, _ in fed]
        counts = [answer.cached + count - start for (answer, count), start in zip(fed, starts, strict=True)]
        shape = [counts, [answer.slot for answer, _ in fed], [answer.tile_count for answer, _ in fed]]
        fed_places, next_places = self.step(rows, *torch.tensor(shape, device=self.last.device))
        spans = np.cumsum([0, *counts])
        found, coming = fed_places.cpu().numpy(), next_places.cpu().numpy()
        for row, (answer, _) in enumerate(fed):
            answer.look(starts[row], found[spans[row] : spans[row + 1]], coming[row])

    def step(self, rows: Tensor, counts: Tensor, slots: Tensor, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """rows float32 [n, cells]: what each fed token looked at, request after request. There are as many
        cells as the largest page has, or more.

        counts, slots, tiles int64 [requests]: how many rows are a request's, its slot, its page's tiles.
        Returns the places float32 [n, 4] of the fed tokens, and [requests, 4] of the ones to be chosen next.
        """
        n, width = rows.shape
        cells = torch.arange(width, device=rows.device)
        rows = rows * (cells < (tiles * CELLS).repeat_interleave(counts)[:, None])
        ends = counts.cumsum(0) - 1
        before = rows.roll(1, 0)
        before[ends - counts + 1] = self.last[slots, :width]
        self.last[slots] = F.pad(rows[ends], (0, self.last.shape[1] - width))
        found = peaks(torch.cat([(before + rows) / 2, rows[ends]]))
        return found[:n], found[n:]


def page_tiles(model: Vintern, cache: KVCache) -> int:
    """Tiles of the largest page that has room in the cache, rounded up."""
    return -(-cache.length // model.config.tokens_per_tile)


def peaks(weights: Tensor) -> Tensor:
    """float32 [n, tiles · 256] → [n, 4]: weight, tile, row, column of the strongest cell."""
    n = len(weights)
    weight, cell = weights.max(1)
    tile, own = cell // CELLS, cell % CELLS
    # A border of nothing around each tile, so that every cell has eight neighbours.
    tiles = F.pad(weights.view(n, -1, SIDE, SIDE)[torch.arange(n, device=weights.device), tile], (1, 1, 1, 1))
    row, column = own // SIDE, own % SIDE
    offsets, steps = _around(weights.device)
    first = row * (SIDE + 2) + column
    around = tiles.flatten(1).gather(1, first[:, None] + offsets)
    total, down, across = (around[:, None] * steps).sum(2).unbind(1)
    total = total.clamp_min(torch.finfo(torch.float32).tiny)
    return torch.stack([weight, tile, row + down / total, column + across / total], 1)


@lru_cache
def _around(device: torch.device) -> tuple[Tensor, Tensor]:
    """Of the 3×3 cells around one: int64 [9] how far they lie behind the first of them in a tile with its
    border, and float32 [3, 9]: ones, and their steps down and across from the one in the middle.
    """
    near = torch.arange(-1, 2, device=device)
    down, across = near.repeat_interleave(3), near.repeat(3)
    offsets = (down + 1) * (SIDE + 2) + across + 1
    return offsets, torch.stack([torch.ones_like(down), down, across]).float()
