"""A decode step as one padded batch, slots by columns: for where our own kernels (`fused`) cannot be had.

One request's forced tokens make the batch wider for all, and a slot is looked at up to the longest one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.vintern.answer import Answer
from pipeline.vintern.attention import PromptAttention, page_weights
from pipeline.vintern.backend import Fed
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.plan import Laid, Plan, Prompts, power, together
from pipeline.vintern.transfer import up

STRIDE = 1024  # so many tokens of every slot are attended over, or a multiple


class Rectangle:
    """`plan.Layout` by slots and columns, padded."""

    about = "attention in a rectangle"

    def __init__(self, cache: KVCache, page: slice | None) -> None:
        self.cache = cache
        self.page = page

    def decode(self, fed: Sequence[Fed]) -> Plan:
        laid, cache = Laid.of(fed), self.cache
        rows = min(power(int(laid.slots.max()) + 1), cache.slots)
        columns = power(int(laid.counts.max()))
        n = max(power(len(laid.tokens)), rows)
        length = min(-(-int(laid.seen.max() + 1) // STRIDE) * STRIDE, cache.length)
        cells = laid.owner_slots * columns + laid.within
        grid = np.zeros(rows * columns, dtype=np.int64)
        grid[cells] = laid.seen
        given = together(
            (laid.tokens, n, 0),
            (laid.positions, n, 0),
            (laid.places(cache), n, cache.scratch),
            (cells, n, rows * columns),
            (grid, len(grid), 0),
        )

        def read(given: Tensor) -> tuple[Tensor, Tensor, PaddedAttention]:
            ids, positions, places, cells, grid = given.split([n, n, n, n, rows * columns])
            attend = PaddedAttention(cache, places, cells, grid.view(rows, columns), length, self.page)
            return ids, positions, attend

        return Plan((rows, columns, n, length), given, read, laid.lasts, cells)

    def prefill(self, answers: Sequence[Answer], device: torch.device) -> Prompts:
        lengths = np.array([len(answer.pending) for answer in answers])
        longest = int(lengths.max())
        ids = np.zeros((len(answers), longest), dtype=np.int64)
        for row, answer in enumerate(answers):
            ids[row, : lengths[row]] = answer.pending
        positions = np.arange(longest)
        slots = np.array([[answer.slot] for answer in answers])
        places = np.where(
            positions < lengths[:, None], slots * self.cache.length + positions, self.cache.scratch
        )
        # The last token of each prompt and those that are forced after it, the last of them again as padding.
        counts = lengths - np.array([len(answer.prompt) for answer in answers]) + 1
        keep = np.minimum(lengths[:, None] - counts[:, None] + np.arange(counts.max()), lengths[:, None] - 1)
        kept = up(keep, device)
        return Prompts(
            up(ids, device),
            up(positions, device).expand(len(answers), -1),
            [(row, 0) for row in range(len(answers))],
            PromptAttention(self.cache, up(places.ravel(), device), kept, self.page),
            kept,
            [(row, slice(int(count))) for row, count in enumerate(counts)],
            [(row, -1) for row in range(len(answers))],
        )


class PaddedAttention:
    """Attend: packed tokens [1, n] laid out as [slots in use, columns] for one product over the cache.

    cells      int64 [n]             each token's cell, row · columns + column; one past the last: padding
    positions  int64 [rows, columns] in its slot of the token in each cell, 0 where there is none
    length     tokens of each slot that are looked at
    All tensors keep their place in memory from pass to pass, so that the pass can be a CUDA graph.
    """

    def __init__(
        self,
        cache: KVCache,
        places: Tensor,
        cells: Tensor,
        positions: Tensor,
        length: int,
        page: slice | None = None,
    ) -> None:
        self.cache = cache
        self.places = places
        self.cells = cells
        self.positions = positions
        self.length = length
        self.page = page
        self.page_attention: Tensor | None = None
        reach = torch.arange(length, device=positions.device)
        self.mask = reach <= positions[:, None, :, None]  # [rows, 1, columns, length]

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.write(layer, self.places, key[0].transpose(0, 1), value[0].transpose(0, 1))
        rows, columns = self.positions.shape
        heads, kv_heads = query.shape[1], key.shape[1]
        laid = query.new_zeros(rows * columns + 1, heads, query.shape[3])
        laid.index_copy_(0, self.cells, query[0].transpose(0, 1))
        asked = laid[:-1].view(rows, columns, heads, -1).transpose(1, 2)  # [rows, heads, columns, d]
        seen_keys = self.cache.keys[layer][:rows, : self.length].transpose(1, 2)
        seen_values = self.cache.values[layer][:rows, : self.length].transpose(1, 2)
        # The heads that share a key head become rows of one product: no key is copied, any kernel serves.
        shared = heads // kv_heads
        mixed = F.scaled_dot_product_attention(
            asked.unflatten(1, (kv_heads, shared)).flatten(2, 3),
            seen_keys,
            seen_values,
            attn_mask=self.mask.expand(-1, shared, -1, -1).flatten(1, 2)[:, None],
        )
        mixed = (
            mixed.unflatten(2, (shared, columns)).permute(0, 3, 1, 2, 4).reshape(rows * columns, heads, -1)
        )
        if self.page is not None and layer == len(self.cache.keys) - 1:
            self.page_attention = page_weights(asked, seen_keys, self.positions, self.page)
        out = torch.cat([mixed, mixed.new_zeros(1, *mixed.shape[1:])])[self.cells]
        return out.transpose(0, 1)[None]
