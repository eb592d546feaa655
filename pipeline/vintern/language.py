"""Qwen2 and Qwen3: embeddings of text and image in, hidden states out.

How queries meet keys is not decided here but by the `Attend` that the caller hands in: plain causal
attention (`causal`, below), or one that keeps keys and values in a cache (`kv_cache.py`). Parameter names are
those of the published checkpoint below `language_model.model.` and `language_model.lm_head.`, except that
weights which multiply the same states are one: `qkv_proj` and `gate_up_proj`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.vintern.config import LanguageConfig


class Attend(Protocol):
    """Attention of one layer.

    query [b, heads, t, head_dim], key and value [b, kv_heads, t, head_dim], all of the tokens of this pass,
    query and key already rotated to their positions; in the last layer, query only of the tokens that are
    kept. Returns what query is like. An implementation with a cache writes key and value there and
    attends over what it holds of that row.
    """

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor: ...


def causal(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:  # noqa: ARG001
    """Attend: whole sequences without a cache; each token sees itself and what is before it."""
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)


class Language(nn.Module):
    """The decoder, with its embedding table and its head."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        table = torch.empty(config.vocab, config.hidden)
        if not table.is_meta:  # to fill it with nothing there PyTorch would load its compiler, 150 MB
            nn.init.normal_(table)
        self.embed_tokens = nn.Embedding.from_pretrained(table, freeze=False)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.hidden, config.eps)
        self.lm_head = None if config.tied else nn.Linear(config.hidden, config.vocab, bias=False)

    def embed(self, ids: Tensor) -> Tensor:
        """int64 [...] → [..., hidden]."""
        found: Tensor = self.embed_tokens(ids)
        return found

    def forward(
        self, embeds: Tensor, positions: Tensor, attend: Attend = causal, keep: Tensor | None = None
    ) -> Tensor:
        """embeds [b, t, hidden], positions int64 [b, t] from 0 → [b, t, hidden] after the last norm.

        keep int64 [b, m]: only these of the t tokens are returned, [b, m, hidden], and `attend` knows it.
        """
        rotation = rotary(positions, self.config.head_dim, self.config.rope_theta, embeds.dtype)
        hidden, mixed = embeds, None
        for number, layer in enumerate(self.layers):
            last = number == len(self.layers) - 1
            hidden, mixed = layer(number, hidden, mixed, rotation, attend, keep if last else None)
        return self.norm.added(hidden, mixed)[1]

    def head(self, hidden: Tensor) -> Tensor:
        """[..., hidden] → logits [..., vocab]."""
        if self.lm_head is None:
            return F.linear(hidden, self.embed_tokens.weight)
        found: Tensor = self.lm_head(hidden)
        return found


def rotary(positions: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine [b, 1, t, head_dim] of rotary positions, computed in float32."""
    steps = torch.arange(0, head_dim, 2, dtype=torch.int64, device=positions.device).float() / head_dim
    angles = positions[:, None, :, None].float() * (1.0 / theta**steps)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([cosine, cosine], -1).to(dtype), torch.cat([-sine, sine], -1).to(dtype)


def rotate(states: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair (i, i + head_dim / 2) of [b, heads, t, head_dim] by its position's angle."""
    cosine, sine = rotation
    first, second = states.chunk(2, -1)
    return torch.addcmul(states * cosine, torch.cat([second, first], -1), sine)


def gate(both: Tensor) -> Tensor:
    """[..., 2 · ffn] → silu of the first half times the second, [..., ffn]."""
    first, second = both.chunk(2, -1)
    return F.silu(first) * second


class Layer(nn.Module):
    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden, config.eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden, config.eps)
        self.mlp = Mlp(config)

    def forward(
        self,
        number: int,
        hidden: Tensor,
        mixed: Tensor | None,
        rotation: tuple[Tensor, Tensor],
        attend: Attend,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The hidden states and what is still to be added to them, before and after.

        keep int64 [b, m]: the tokens that go on from here; all of them are seen.
        """
        hidden, normed = self.input_layernorm.added(hidden, mixed)
        mixed = self.self_attn(number, normed, rotation, attend, keep)
        if keep is not None:
            hidden = hidden.take_along_dim(keep[:, :, None], 1)
        hidden, normed = self.post_attention_layernorm.added(hidden, mixed)
        return hidden, self.mlp(normed)


class Attention(nn.Module):
    """Grouped-query attention: several query heads share one key and value head.

    Qwen3 normalises each head of queries and keys before they are turned.
    """

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.heads = [config.heads, config.kv_heads, config.kv_heads]
        self.qkv_proj = nn.Linear(config.hidden, sum(self.heads) * config.head_dim, bias=config.qkv_bias)
        self.q_norm, self.k_norm = (
            RMSNorm(config.head_dim, config.eps) if config.qk_norm else None for _ in range(2)
        )
        self.o_proj = nn.Linear(config.heads * config.head_dim, config.hidden, bias=False)
        self.rotate: Callable[[Tensor, tuple[Tensor, Tensor]], Tensor] = rotate

    def forward(
        self,
        number: int,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        attend: Attend,
        keep: Tensor | None = None,
    ) -> Tensor:
        heads, kv_heads, _ = self.heads
        states = self.qkv_proj(hidden).unflatten(-1, (-1, self.head_dim))  # [b, t, all heads, head_dim]
        if self.q_norm is not None and self.k_norm is not None:
            query, key, value = states.split(self.heads, 2)
            states = torch.cat([self.q_norm(query), self.k_norm(key), value], 2)
        turned, value = states.transpose(1, 2).split([heads + kv_heads, kv_heads], 1)
        query, key = self.rotate(turned, rotation).split([heads, kv_heads], 1)
        if keep is not None:
            query = query.take_along_dim(keep[:, None, :, None], 2)
        mixed = attend(number, query, key, value)
        found: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return found


class Mlp(nn.Module):
    """Gated: silu(gate) · up, then down."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden, 2 * config.ffn, bias=False)
        self.down_proj = nn.Linear(config.ffn, config.hidden, bias=False)
        self.gate: Callable[[Tensor], Tensor] = gate

    def forward(self, hidden: Tensor) -> Tensor:
        found: Tensor = self.down_proj(self.gate(self.gate_up_proj(hidden)))
        return found


def norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide by the root mean square in float32; the weight comes in the model's dtype, as in Qwen."""
    wide = hidden.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return weight * wide.to(hidden.dtype)


class RMSNorm(nn.Module):
    def __init__(self, hidden: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))
        self.eps = eps
        self.norm: Callable[[Tensor, Tensor, float], Tensor] = norm
        self.add_norm: Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]] | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        return self.norm(hidden, self.weight, self.eps)

    def added(self, hidden: Tensor, more: Tensor | None) -> tuple[Tensor, Tensor]:
        """The sum of both, and what `forward` makes of it."""
        if more is not None and self.add_norm is not None:
            return self.add_norm(hidden, more, self.weight, self.eps)
        total = hidden if more is None else hidden + more
        return total, self.norm(total, self.weight, self.eps)
