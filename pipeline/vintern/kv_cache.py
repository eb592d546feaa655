"""Keys and values of the requests in flight, and the attentions that use them.

Memory is allotted once: `slots` places of `length` tokens each, and one more that takes what padding writes.
A request owns a slot from admission to its end, so it can never run out of memory on the way. On a CPU the
memory is address space that the system fills page by page as tokens arrive.

Each class with a `__call__` is the `Attend` of one pass over the language model. A CPU decodes token by
token: what a token sees then has the same shape whatever shares its pass, and so the same result to the last
bit. A GPU decodes in one rectangle, slots by columns.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import UsageError
from pipeline.vintern.config import LanguageConfig
from pipeline.vintern.kernels import Kernels, Span


class KVCache:
    """keys and values [layers, slots + 1, length, kv_heads, head_dim]."""

    def __init__(
        self, config: LanguageConfig, slots: int, length: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.slots = slots
        self.length = length
        shape = (2, config.layers, slots + 1, length, config.kv_heads, config.head_dim)
        self.keys, self.values = _zeros(shape, dtype, device)
        self._free = list(range(slots - 1, -1, -1))

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def scratch(self) -> int:
        """Flat place of the slot that belongs to nobody."""
        return self.slots * self.length

    def take(self) -> int:
        """The lowest free slot: a GPU attends over all slots up to the highest one in use."""
        return self._free.pop()

    def give(self, slot: int, wipe: int = 0) -> None:
        """Hand a slot back, its first `wipe` tokens zero.

        What is left in it is masked for whoever has it next, but zero times what is no number is no number.
        """
        self.keys[:, slot, :wipe] = 0
        self.values[:, slot, :wipe] = 0
        if slot in self._free or not 0 <= slot < self.slots:
            raise ValueError(f"slot {slot} is not in use")
        self._free.append(slot)
        self._free.sort(reverse=True)

    def copy(self, source: int, target: int, count: int) -> None:
        """The first `count` tokens of one slot to another."""
        for kept in (self.keys, self.values):
            kept[:, target, :count] = kept[:, source, :count]

    def write(self, layer: int, places: Tensor, key: Tensor, value: Tensor) -> None:
        """key and value [n, kv_heads, head_dim] to flat places int64 [n] (slot · length + position)."""
        self.keys[layer].flatten(0, 1).index_copy_(0, places, key)
        self.values[layer].flatten(0, 1).index_copy_(0, places, value)


def token_bytes(config: LanguageConfig, dtype: torch.dtype) -> int:
    """Bytes of keys and values of one token."""
    return 2 * config.layers * config.kv_heads * config.head_dim * dtype.itemsize


def cache_size(
    config: LanguageConfig,
    context: int,
    dtype: torch.dtype,
    device: torch.device,
    requests: int,
    tokens: int | None,
) -> tuple[int, int]:
    """Slots, at most `requests`, and tokens of each: the whole context, so that a slot serves any request.

    `tokens` bounds them all together; None: half of the free memory does. Raises UsageError when not even one
    slot fits.
    """
    if tokens is not None:
        length = min(context, tokens)
        return min(requests, tokens // length), length
    each = token_bytes(config, dtype) * context
    on_gpu = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    slots = min(requests, free // 2 // each)
    if slots < 1:
        raise UsageError(
            f"the KV cache of one request needs {each / 2**20:.0f} MiB, and it may have half of the "
            f"{free / 2**20:.0f} MiB that are free; free memory or set engine.kv_tokens below the context"
        )
    return slots, context


class Prefill:
    """Attend: whole prompts [b, t], padded on the right; keys and values go to `places` int64 [b · t].

    Nothing to the right of a token is looked at, so padding disturbs no one. The last layer is asked for the
    tokens at `asked` int64 [b, m] alone; if `page` says where the visual tokens are, it fills `looked` with
    what they saw of them, float32 [m, cells] for each prompt.
    """

    def __init__(self, cache: KVCache, places: Tensor, asked: Tensor, page: slice | None = None) -> None:
        self.cache = cache
        self.places = places
        self.asked = asked
        self.page = page
        self.looked: list[Tensor] = []

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.write(layer, self.places, *(part.transpose(1, 2).flatten(0, 1) for part in (key, value)))
        if layer < len(self.cache.keys) - 1:
            return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        if self.page is not None:
            self.looked = list(page_weights(query, key, self.asked, self.page))
        mask = torch.arange(key.shape[2], device=key.device) <= self.asked[:, None, :, None]
        return F.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)


@dataclass(frozen=True, slots=True)
class Part:
    """The tokens of one request in a packed pass: `count` of them from `start`, the first at `position`."""

    slot: int
    position: int
    start: int
    count: int


class DecodeByToken:
    """Attend: packed tokens [1, n], each over its own slot. The tokens after the last part are padding.

    The requests' first tokens are one call where their slots are neighbours, then their second ones, as far
    as they have any: each token is a row of its own. A call looks at whole blocks of keys, of which those
    beyond a row's token weigh nothing: that does not change a bit of it.
    """

    BLOCK = 512  # keys at once in PyTorch's kernel for CPUs (FlashAttentionKernel.cpp); others are as exact

    def __init__(
        self, cache: KVCache, places: Tensor, parts: Sequence[Part], page: slice | None = None
    ) -> None:
        self.cache = cache
        self.places = places
        self.parts = parts
        self.page = page
        self.looked: list[Tensor] = []
        self._calls: list[tuple[slice, Tensor, Tensor]] = []
        self._back = torch.zeros(len(places), dtype=torch.int64)
        rows = 0
        for turn in range(max(part.count for part in parts)):
            for run in _neighbours([part for part in parts if part.count > turn]):
                tokens = torch.tensor([part.start + turn for part in run])
                lengths = torch.tensor([part.position + turn + 1 for part in run])
                reach = min(-(-int(lengths.max()) // self.BLOCK) * self.BLOCK, cache.length)
                beyond = torch.arange(reach) >= lengths[:, None, None, None]
                mask = torch.zeros(beyond.shape, dtype=cache.keys.dtype).masked_fill_(beyond, -torch.inf)
                self._calls.append((slice(run[0].slot, run[0].slot + len(run)), tokens, mask))
                self._back[tokens] = torch.arange(rows, rows := rows + len(run))

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.write(layer, self.places, key[0].transpose(0, 1), value[0].transpose(0, 1))
        heads, kv_heads = query.shape[1], key.shape[1]
        asked = query[0].transpose(0, 1)  # [n, heads, d]
        mixed = []
        for slots, tokens, mask in self._calls:
            keys, values = (
                kept[layer, slots, : mask.shape[3]].transpose(1, 2)
                for kept in (self.cache.keys, self.cache.values)
            )
            # [slots, kv_heads, shared, d]: the queries of one key head are rows of a product
            grouped = asked[tokens].unflatten(1, (kv_heads, heads // kv_heads))
            mixed.append(F.scaled_dot_product_attention(grouped, keys, values, mask))
        if self.page is not None and layer == len(self.cache.keys) - 1:
            self.looked = _looked(self.cache.keys[layer], query, self.parts, self.page)
        return torch.cat(mixed).flatten(1, 2)[self._back].transpose(0, 1)[None]


class InPlace:
    """Attend by our own kernels: tokens [1, n] of requests, each over its own slot, where its keys lie.

    It serves prompts and decode steps alike. Of a prompt the last layer is asked for its last tokens alone:
    those are then the `asked` parts. A token's bits do not depend on what else is in the pass.
    """

    def __init__(
        self,
        kernels: Kernels,
        cache: KVCache,
        places: Tensor,
        parts: Sequence[Part],
        asked: Sequence[Part] | None = None,
        page: slice | None = None,
    ) -> None:
        self.kernels = kernels
        self.cache = cache
        self.places = places
        self.page = page
        self.looked: list[Tensor] = []
        self._asked = parts if asked is None else asked
        self._spans, self._last = (
            [Span(p.start, p.count, p.slot * cache.length, p.position + 1, 1) for p in those]
            for those in (parts, self._asked)
        )

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.write(layer, self.places, key[0].transpose(0, 1), value[0].transpose(0, 1))
        last = layer == len(self.cache.keys) - 1
        if last and self.page is not None:
            self.looked = _looked(self.cache.keys[layer], query, self._asked, self.page)
        mixed = self.kernels.attend(
            query[0].transpose(0, 1),
            self.cache.keys[layer].flatten(0, 1),
            self.cache.values[layer].flatten(0, 1),
            self._last if last else self._spans,
        )
        return mixed.transpose(0, 1)[None]


class DecodeByRectangle:
    """Attend: packed tokens [1, n] laid out as [slots in use, columns] for one product over the cache.

    cells      int64 [n]             each token's cell, row · columns + column; one past the last: padding
    positions  int64 [rows, columns] of the token in each cell, 0 where there is none
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
        self.looked: Tensor | None = None
        reach = torch.arange(length, device=positions.device)
        self.mask = reach <= positions[:, None, :, None]  # [rows, 1, columns, length]

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.write(layer, self.places, key[0].transpose(0, 1), value[0].transpose(0, 1))
        rows, columns = self.positions.shape
        heads, kv_heads = query.shape[1], key.shape[1]
        laid = query.new_zeros(rows * columns + 1, heads, query.shape[3])
        laid.index_copy_(0, self.cells, query[0].transpose(0, 1))
        asked = laid[:-1].view(rows, columns, heads, -1).transpose(1, 2)  # [rows, heads, columns, d]
        seen_keys = self.cache.keys[layer, :rows, : self.length].transpose(1, 2)
        seen_values = self.cache.values[layer, :rows, : self.length].transpose(1, 2)
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
            self.looked = page_weights(asked, seen_keys, self.positions, self.page)
        out = torch.cat([mixed, mixed.new_zeros(1, *mixed.shape[1:])])[self.cells]
        return out.transpose(0, 1)[None]


def _neighbours(parts: Sequence[Part]) -> list[list[Part]]:
    """Parts of adjacent slots together, in the order of slots."""
    runs: list[list[Part]] = []
    for part in sorted(parts, key=lambda part: part.slot):
        if runs and runs[-1][-1].slot + 1 == part.slot:
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs


def _looked(keys: Tensor, query: Tensor, parts: Sequence[Part], page: slice) -> list[Tensor]:
    """What each part's tokens see of the page: query [1, heads, n, d], keys [slots, length, kv_heads, d]."""
    found = []
    for part in parts:
        positions = part.position + torch.arange(part.count)[None]
        rows = query[:, :, part.start : part.start + part.count]
        seen = keys[part.slot, None, : part.position + part.count].transpose(1, 2)
        found.append(page_weights(rows, seen, positions, page)[0])
    return found


def page_weights(query: Tensor, keys: Tensor, positions: Tensor, page: slice) -> Tensor:
    """How much each query attends to the visual tokens at `page`, the mean over heads: float32 [b, t, cells].

    query [b, heads, t, d], keys [b, kv_heads, n, d], positions int64 [b, t]: a row sees keys up to its own.
    Of cells beyond the n keys nothing is seen.
    """
    shared = query.shape[1] // keys.shape[1]
    scores = query.float() @ keys.float().repeat_interleave(shared, 1).transpose(2, 3) / query.shape[3] ** 0.5
    beyond = torch.arange(keys.shape[2], device=query.device) > positions[:, None, :, None]
    weights = scores.masked_fill(beyond, -torch.inf).softmax(-1)[..., page].mean(1)
    return F.pad(weights, (0, page.stop - page.start - weights.shape[2]))


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # An anonymous map: zero pages that cost nothing until written. torch.zeros would write them all.
    count = int(torch.tensor(shape).prod())
    return torch.frombuffer(mmap.mmap(-1, count * dtype.itemsize), dtype=dtype).view(shape)
