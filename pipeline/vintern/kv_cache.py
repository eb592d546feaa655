"""Keys and values of the requests in flight.

Memory is allotted once: `slots` places of `length` tokens each, and one more that takes what padding writes.
A request owns a slot from admission to its end, so it can never run out of memory on the way. On a CPU the
memory is address space that the system fills page by page as tokens arrive.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.errors import UsageError
from pipeline.settings import EngineSettings
from pipeline.vintern.config import LanguageConfig
from pipeline.vintern.model import Vintern


class KVCache:
    """keys and values of each layer, [slots + 1, length, kv_heads, head_dim].

    Each is a tensor of its own: what a compiler makes of a pass would copy all that shares its memory.
    """

    def __init__(
        self, config: LanguageConfig, slots: int, length: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.slots = slots
        self.length = length
        shape = (slots + 1, length, config.kv_heads, config.head_dim)
        self.keys, self.values = (
            [_zeros(shape, dtype, device) for _ in range(config.layers)] for _ in range(2)
        )
        self.put: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], None] = put
        self._free = list(range(slots - 1, -1, -1))

    @classmethod
    def for_model(cls, model: Vintern, settings: EngineSettings, free_bytes: int, most: int) -> KVCache:
        """At most `max_batch` slots, or `most` where it is None, each of the whole context, so that a slot
        serves any request.

        `kv_tokens` bounds them all together; without it, half of the free memory does. Raises UsageError when
        not even one slot fits.
        """
        language = model.config.language
        each = token_bytes(language, model.dtype)
        slots, length = fitting(settings, model.context_length, each, free_bytes, most)
        return cls(language, slots, length, model.dtype, model.device)

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def scratch(self) -> int:
        """Flat place of the slot that belongs to nobody."""
        return self.slots * self.length

    def allocate(self) -> int:
        """The lowest free slot: a GPU attends over all slots up to the highest one in use."""
        return self._free.pop()

    def release(self, slot: int, wipe: int = 0) -> None:
        """Hand a slot back, its first `wipe` tokens zero. Raises ValueError for one that is not in use.

        What is left in it is masked for whoever has it next, but zero times what is no number is no number.
        """
        if slot in self._free or not 0 <= slot < self.slots:
            raise ValueError(f"slot {slot} is not in use")
        for kept in (*self.keys, *self.values) if wipe else ():
            kept[slot, :wipe] = 0
        self._free.append(slot)
        self._free.sort(reverse=True)

    def forget(self, slot: int, start: int, stop: int, end: int) -> None:
        """Take the tokens from `start` to `stop` out of a slot; those from there to `end` take their place.

        A key keeps the position that it was rotated to, wherever it lies.
        """
        for kept in (*self.keys, *self.values):
            kept[slot, start : start + end - stop] = kept[slot, stop:end].clone()

    def write(self, layer: int, places: Tensor, key: Tensor, value: Tensor) -> None:
        """key and value [n, kv_heads, head_dim] to flat places int64 [n] (slot · length + position)."""
        self.put(self.keys[layer].flatten(0, 1), self.values[layer].flatten(0, 1), places, key, value)


def put(keys: Tensor, values: Tensor, places: Tensor, key: Tensor, value: Tensor) -> None:
    """key, value [n, kv_heads, head_dim] to places int64 [n] of keys, values [all, kv_heads, head_dim]."""
    keys.index_copy_(0, places, key)
    values.index_copy_(0, places, value)


def fitting(
    settings: EngineSettings, context: int, token_bytes: int, free_bytes: int, most: int
) -> tuple[int, int]:
    """How many slots of how many tokens `KVCache.for_model` makes."""
    slots, length = settings.max_batch or most, context
    if settings.kv_tokens is not None:
        length = min(length, settings.kv_tokens)
        return min(slots, settings.kv_tokens // length), length
    each = token_bytes * length
    slots = min(slots, free_bytes // 2 // each)
    if slots < 1:
        raise UsageError(
            f"the KV cache of one request needs {each / 2**20:.0f} MiB, and it may have half of the "
            f"{free_bytes / 2**20:.0f} MiB that are free; free memory or set engine.kv_tokens below the "
            "context"
        )
    return slots, length


def token_bytes(config: LanguageConfig, dtype: torch.dtype) -> int:
    """Bytes of keys and values of one token."""
    return 2 * config.layers * config.kv_heads * config.head_dim * dtype.itemsize


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # An anonymous map: zero pages that cost nothing until written. torch.zeros would write them all.
    count = int(torch.tensor(shape).prod())
    return torch.frombuffer(mmap.mmap(-1, count * dtype.itemsize), dtype=dtype).view(shape)
