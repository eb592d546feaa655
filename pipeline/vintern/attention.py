"""Attention over the KV cache, as far as both back ends share it.

Each class with a `__call__`, here and in `cpu` and `gpu`, is the `Attend` of one pass over the language
model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.vintern.kv_cache import KVCache


@dataclass(frozen=True, slots=True)
class Chunk:
    """The tokens of one request in a packed pass: `count` of them from `start`, the first at `position` of
    its slot.
    """

    slot: int
    position: int
    start: int
    count: int


class PromptAttention:
    """Attend: whole prompts [b, t], padded on the right; keys and values go to `places` int64 [b · t].

    Nothing to the right of a token is looked at, so padding disturbs no one. The last layer is asked for the
    tokens at `keep` int64 [b, m] alone; if `page` says where the visual tokens are, it fills `page_attention`
    with how they attended to them, float32 [m, cells] for each prompt.
    """

    def __init__(self, cache: KVCache, places: Tensor, keep: Tensor, page: slice | None = None) -> None:
        self.cache = cache
        self.places = places
        self.keep = keep
        self.page = page
        self.page_attention: list[Tensor] = []

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.cache.write(layer, self.places, *(part.transpose(1, 2).flatten(0, 1) for part in (key, value)))
        if layer < len(self.cache.keys) - 1:
            return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        if self.page is not None:
            self.page_attention = list(page_weights(query, key, self.keep, self.page))
        mask = torch.arange(key.shape[2], device=key.device) <= self.keep[:, None, :, None]
        return F.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)


def _wide_product(rows: Tensor, keys: Tensor) -> Tensor:
    """rows [b, heads, r, d], keys [b, heads, n, d] → float32 [b, heads, r, n].

    A CUDA product of 16 bits is summed in float32 and may be left so (since PyTorch 2.8): else all keys would
    be written out in float32 first.
    """
    wanted = keys.device.type == "cuda" and keys.dtype in (torch.bfloat16, torch.float16)
    if not wanted or "dtype" not in torch.ops.aten.bmm.overloads():
        return rows.float() @ keys.float().transpose(2, 3)
    across = keys.flatten(0, 1).transpose(1, 2)
    product = torch.bmm(rows.flatten(0, 1), across, out_dtype=torch.float32)
    found: Tensor = product.unflatten(0, keys.shape[:2])
    return found


def page_weights(query: Tensor, keys: Tensor, positions: Tensor, page: slice) -> Tensor:
    """How much each query attends to the visual tokens at `page`, the mean over heads: float32 [b, t, cells].

    query [b, heads, t, d], keys [b, kv_heads, n, d], positions int64 [b, t]: a row sees keys up to its own.
    Of cells beyond the n keys nothing is seen.
    """
    # The heads that share a key head become rows of one product: no key is copied for each of them.
    grouped = query.unflatten(1, (keys.shape[1], -1))
    scores = _wide_product(grouped.flatten(2, 3), keys) / query.shape[3] ** 0.5
    scores = scores.unflatten(2, grouped.shape[2:4]).flatten(1, 2)
    beyond = torch.arange(keys.shape[2], device=query.device) > positions[:, None, :, None]
    weights = scores.masked_fill(beyond, -torch.inf).softmax(-1)[..., page].mean(1)
    return F.pad(weights, (0, page.stop - page.start - weights.shape[2]))
