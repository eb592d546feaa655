"""Where on the page a token looked, from the last layer's attention over the visual tokens.

The row that predicts a token looks for it, and the token's own row looks back at it; the two are averaged.
Kept are four numbers: the strongest cell's weight, its tile, and the row and column of the centre of the 3×3
cells around it. A box made of them says where to look; it is no evidence that a value is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.vintern.answer import Answer
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.model import Vintern
from pipeline.vintern.transfer import up

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

    def look(self, fed: Sequence[tuple[Answer, int]], rows: Tensor | None) -> Looks:
        """Where the tokens of a pass looked, of which so many were fed; rows as `step` takes them.

        Of a prompt only its last token matters, and what is forced after.
        """
        if rows is None:
            raise RuntimeError("the pass kept no attention")
        starts = [max(answer.cached, len(answer.prompt) - 1) for answer, _ in fed]
        counts = [answer.cached + count - start for (answer, count), start in zip(fed, starts, strict=True)]
        slots, tiles = ([getattr(answer, kind) for answer, _ in fed] for kind in ("slot", "tile_count"))
        return Looks(starts, counts, self.step(rows, counts, slots, tiles))

    @torch.inference_mode()
    def step(self, rows: Tensor, counts: Sequence[int], slots: Sequence[int], tiles: Sequence[int]) -> Tensor:
        """rows float32 [n or more, cells]: what each fed token looked at, request after request. There are as
        many cells as the largest page has, or more; what is beyond a page's own is ignored, whatever it is.

        counts, slots, tiles: of each request, how many rows are its own, its slot, its page's tiles.
        Returns the places float32 [n + requests, 4]: of the fed tokens, then of those to be chosen next.
        """
        device, total = rows.device, sum(counts)
        ends = np.cumsum(counts) - 1
        shape = [np.repeat(np.array(tiles) * CELLS, counts), ends, ends - counts + 1, np.array(slots)]
        own, last, first, slot = up(np.concatenate(shape), device).split([total, *[len(counts)] * 3])
        width = rows.shape[1]
        rows = rows[:total]
        rows = rows.where(torch.arange(width, device=device) < own[:, None], rows.new_zeros(()))
        before = rows.roll(1, 0)
        before[first] = self.last[slot, :width]
        self.last[slot] = F.pad(rows[last], (0, self.last.shape[1] - width))
        return peaks(torch.cat([(before + rows) / 2, rows[last]]))


@dataclass(frozen=True, slots=True)
class Looks:
    """Of a pass. starts, counts: of each request, the place in its slot of the first token that counts, and
    how many do; places: `Pointer.step`.
    """

    starts: Sequence[int]
    counts: Sequence[int]
    places: Tensor

    def tell(self, answers: Sequence[Answer], places: npt.NDArray[np.float32]) -> None:
        """Tell answers where their tokens looked; `places` are those here, on the host."""
        spans = [0, *accumulate(self.counts)]
        for row, answer in enumerate(answers):
            answer.look(self.starts[row], places[spans[row] : spans[row + 1]], places[spans[-1] + row])


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
