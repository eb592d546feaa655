"""What a pass spends beside its products, in few kernels of our own (`triton_kernels`).

They are operations of PyTorch (`torch.ops.vintern`), so that whatever watches a pass sees them: a compiler,
or the meter that counts what is launched.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from pipeline.vintern import language, vision

_KEYS = 64  # of a slot that one step of attention looks at
_LONG = 64  # query rows of a program, for prompts
_SHORT = 16  # and for decode steps: the fewest that matrix units take
_VOCABULARY = 4096  # logits of a row that are looked at together
_PROGRAMS = 512  # of attention: as many as a large card runs at once
_MOST_SPLITS = 16

_library = torch.library.Library("vintern", "DEF")


@cache
def available(device: torch.device) -> bool:
    """Whether Triton is there and compiles for this device. (Its interpreter serves a CPU, for tests.)"""
    if find_spec("triton") is None:
        return False
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def install(model: nn.Module) -> None:
    """Let the model's modules compute by these operations from now on."""
    for module in model.modules():
        match module:
            case language.RMSNorm():
                module.norm, module.add_norm = norm, add_norm
            case language.Attention():
                module.rotate = rotate
            case language.Mlp():
                module.gate = gate
            case vision.Layer():
                module.add_norm = scale_add_norm
            case vision.Mlp():
                module.act = gelu


def norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """As `language.norm`."""
    found: Tensor = torch.ops.vintern.norm(hidden.contiguous(), weight, eps)
    return found


def add_norm(hidden: Tensor, added: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The sum of the first two, and `norm` of it."""
    total, normed = torch.ops.vintern.add_norm(hidden.contiguous(), added.contiguous(), weight, eps)
    return total, normed


def scale_add_norm(
    hidden: Tensor, added: Tensor | None, scale: Tensor | None, norm: nn.LayerNorm
) -> tuple[Tensor, Tensor]:
    """As `vision.add_norm`."""
    if added is None or scale is None:
        return hidden, norm(hidden)
    total, normed = torch.ops.vintern.scale_add_norm(
        hidden.contiguous(), added.contiguous(), scale, norm.weight, norm.bias, norm.eps
    )
    return total, normed


def gelu(given: Tensor) -> Tensor:
    """As `F.gelu`."""
    found: Tensor = torch.ops.vintern.gelu(given.contiguous())
    return found


def rotate(states: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """As `language.rotate`, for states [b, heads, t, head_dim] whose last dimension lies together."""
    found: Tensor = torch.ops.vintern.rotate(states.transpose(1, 2), *rotation)
    return found.transpose(1, 2)


def gate(both: Tensor) -> Tensor:
    """As `language.gate`."""
    found: Tensor = torch.ops.vintern.gate(both.contiguous())
    return found


def write(keys: Tensor, values: Tensor, places: Tensor, key: Tensor, value: Tensor) -> None:
    """As `kv_cache.put`. Of padding, whose places are equal, any may win."""
    torch.ops.vintern.write(keys, values, places, key, value)


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    starts: Tensor,
    slots: Tensor,
    filled: Tensor,
    most: int,
    splits: int,
) -> tuple[Tensor, Tensor]:
    """query [n, heads, d] over keys and values [all places, kv_heads, d]; a request's tokens are the last of
    those in its slot.

    starts int32 [requests + 1]: cumulative counts of tokens; slots int32 [requests]: where a slot begins;
    filled int32 [requests]: how much of it there is; most: the largest count; splits: into how many parts
    keys are cut. Returns what query is like and float32 [n, heads], the logarithm of the sum of weights.
    """
    mixed, sums = torch.ops.vintern.attend(query, keys, values, starts, slots, filled, most, splits)
    return mixed, sums


def seen(query: Tensor, sums: Tensor, keys: Tensor, owners: Tensor, start: int, cells: int) -> Tensor:
    """How much each token attended to `cells` places of its slot from `start`, the mean over heads.

    query [n, heads, d] and sums [n, heads] as of `attend`, keys [slots, length, kv_heads, d], owners int64
    [n].
    Returns float32 [n, cells], 0 beyond a slot's end.
    """
    found: Tensor = torch.ops.vintern.seen(query, sums, keys, owners, start, cells)
    return found


def splits(requests: int, kv_heads: int) -> int:
    """Into how many parts a slot's keys are cut, so that a card has enough to do; a power of two."""
    wanted = min(_MOST_SPLITS, max(1, _PROGRAMS // (requests * kv_heads)))
    return 1 << (wanted.bit_length() - 1)


def choose(logits: Tensor, masks: Tensor | None) -> Tensor:
    """As `sampler.choose` without penalties; float64 [4, rows], the last for `together`."""
    found: Tensor = torch.ops.vintern.choose(logits, masks)
    return found


def together(logits: Tensor, chosen: Tensor, held: Tensor, group: Tensor, alone: Tensor) -> Tensor:
    """`values.Unmasked.beside` for what `choose` returned; float64 [3, rows]."""
    found: Tensor = torch.ops.vintern.together(logits, chosen, held, group, alone)
    return found


def _operation(schema: str, shape: Callable[..., object]) -> Callable[[Callable[..., object]], object]:
    """Registers a function as the operation of this schema; `shape` says what it returns."""
    name = schema.partition("(")[0]
    _library.define(schema)
    torch.library.register_fake(f"vintern::{name}", shape, lib=_library)

    def register(function: Callable[..., object]) -> object:
        for device in ("CUDA", "CPU"):
            _library.impl(name, function, device)
        return function

    return register


def _like(first: Tensor, *_: object) -> Tensor:
    return first.new_empty(first.shape)


def _two_like(first: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return _like(first), _like(first)


@_operation(
    "norm(Tensor hidden, Tensor weight, float eps) -> Tensor",
    _like,
)
def _norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    return _normed(hidden, None, weight, eps)[1]


@_operation(
    "add_norm(Tensor hidden, Tensor added, Tensor weight, float eps) -> (Tensor, Tensor)",
    _two_like,
)
def _add_norm(hidden: Tensor, added: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return _normed(hidden, added, weight, eps)


def _normed(hidden: Tensor, added: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    from pipeline.vintern import triton_kernels

    width = hidden.shape[-1]
    normed = torch.empty_like(hidden)
    total = hidden if added is None else torch.empty_like(hidden)
    triton_kernels.add_norm[(hidden.numel() // width,)](
        hidden, hidden if added is None else added, weight, total, normed, width, eps,
        ADD=added is not None, BLOCK=triton_kernels.power(width),
    )  # fmt: skip
    return total, normed


@_operation(
    "scale_add_norm(Tensor hidden, Tensor added, Tensor scale, Tensor weight, Tensor bias, float eps) "
    "-> (Tensor, Tensor)",
    _two_like,
)
def _scale_add_norm(
    hidden: Tensor, added: Tensor, scale: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    from pipeline.vintern import triton_kernels

    width = hidden.shape[-1]
    total, normed = torch.empty_like(hidden), torch.empty_like(hidden)
    triton_kernels.scale_add_norm[(hidden.numel() // width,)](
        hidden, added, scale, weight, bias, total, normed, width, eps, BLOCK=triton_kernels.power(width)
    )
    return total, normed


@_operation("gelu(Tensor given) -> Tensor", _like)
def _gelu(given: Tensor) -> Tensor:
    from pipeline.vintern import triton_kernels

    out, block = torch.empty_like(given), 2048
    triton_kernels.gelu[(-(-given.numel() // block),)](given, out, given.numel(), BLOCK=block)
    return out


@_operation(
    "seen(Tensor query, Tensor sums, Tensor keys, Tensor owners, int start, int cells) -> Tensor",
    lambda query, sums, keys, owners, start, cells: sums.new_empty(len(query), cells),  # noqa: ARG005
)
def _seen(query: Tensor, sums: Tensor, keys: Tensor, owners: Tensor, start: int, cells: int) -> Tensor:
    from pipeline.vintern import triton_kernels

    tokens, heads, width = query.shape
    _, length, kv_heads, _ = keys.shape
    shared, block = heads // kv_heads, 128
    out = torch.empty((tokens, cells), dtype=torch.float32, device=query.device)
    triton_kernels.seen[(tokens, -(-cells // block))](
        query, sums, keys, owners, out, width**-0.5, query.stride(0), query.stride(1), kv_heads, length,
        start, cells,
        SHARED=shared, ROWS=max(_SHORT, triton_kernels.power(shared)), WIDTH=width, BLOCK=block,
    )  # fmt: skip
    return out


@_operation(
    "rotate(Tensor states, Tensor cosine, Tensor sine) -> Tensor",
    _like,
)
def _rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """states [b, t, heads, d], where tokens lie at one distance from each other."""
    from pipeline.vintern import triton_kernels

    batch, tokens, heads, width = states.shape
    states = states if batch == 1 or states.stride(0) == tokens * states.stride(1) else states.contiguous()
    turned = torch.empty((batch, tokens, heads, width), dtype=states.dtype, device=states.device)
    triton_kernels.rotate[(batch * tokens,)](
        states, cosine.contiguous(), sine.contiguous(), turned, heads, states.stride(1), states.stride(2),
        HALF=width // 2, BLOCK=triton_kernels.power(heads),
    )  # fmt: skip
    return turned


@_operation("gate(Tensor both) -> Tensor", lambda both: both.new_empty(*both.shape[:-1], both.shape[-1] // 2))
def _gate(both: Tensor) -> Tensor:
    from pipeline.vintern import triton_kernels

    width = both.shape[-1] // 2
    out = both.new_empty(*both.shape[:-1], width)
    block = min(1024, triton_kernels.power(width))
    triton_kernels.gate[(both.numel() // (2 * width), -(-width // block))](both, out, width, BLOCK=block)
    return out


@_operation(
    "write(Tensor(a!) keys, Tensor(b!) values, Tensor places, Tensor key, Tensor value) -> ()",
    lambda *_: None,
)
def _write(keys: Tensor, values: Tensor, places: Tensor, key: Tensor, value: Tensor) -> None:
    from pipeline.vintern import triton_kernels

    _, kv_heads, width = keys.shape
    triton_kernels.write[(len(places),)](
        keys, values, places, key, value,
        key.stride(0), key.stride(1), value.stride(0), value.stride(1), kv_heads,
        WIDTH=width, BLOCK=triton_kernels.power(kv_heads),
    )  # fmt: skip


def _attend_shape(query: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return query.new_empty(query.shape), query.new_empty(query.shape[:2], dtype=torch.float32)


@_operation(
    "attend(Tensor query, Tensor keys, Tensor values, Tensor starts, Tensor slots, Tensor filled, int most, "
    "int splits) -> (Tensor, Tensor)",
    _attend_shape,
)
def _attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    starts: Tensor,
    slots: Tensor,
    filled: Tensor,
    most: int,
    splits: int,
) -> tuple[Tensor, Tensor]:
    from pipeline.vintern import triton_kernels

    tokens, heads, width = query.shape
    kv_heads = keys.shape[1]
    shared = heads // kv_heads
    rows = _SHORT if most * shared <= 8 * _SHORT else _LONG
    mixed = torch.empty((tokens, heads, width), dtype=query.dtype, device=query.device)
    sums = torch.empty((tokens, heads), dtype=torch.float32, device=query.device)
    parts, part_sums = mixed, sums
    if splits > 1:
        parts = torch.empty((splits, *mixed.shape), dtype=torch.float32, device=query.device)
        part_sums = torch.empty((splits, *sums.shape), dtype=torch.float32, device=query.device)
    triton_kernels.attend[(len(filled), -(-most * shared // rows), kv_heads * splits)](
        query, keys, values, parts, part_sums, starts, slots, filled, width**-0.5, tokens, query.stride(0),
        query.stride(1), kv_heads,
        SHARED=shared, WIDTH=width, SPLITS=splits, ROWS=rows, KEYS=_KEYS,
    )  # fmt: skip
    if splits > 1:
        block = 16
        triton_kernels.combine[(-(-tokens * heads // block),)](
            parts, part_sums, mixed, sums, tokens * heads, SPLITS=splits, WIDTH=width, BLOCK=block
        )
    return mixed, sums


@_operation(
    "choose(Tensor logits, Tensor? masks) -> Tensor",
    lambda logits, _: logits.new_empty(4, len(logits), dtype=torch.float64),
)
def _choose(logits: Tensor, masks: Tensor | None) -> Tensor:
    from pipeline.vintern import triton_kernels

    rows, vocabulary = logits.shape
    out = torch.empty((4, rows), dtype=torch.float64, device=logits.device)
    triton_kernels.choose[(rows,)](
        logits, logits if masks is None else masks, out, logits.stride(0), rows, vocabulary,
        0 if masks is None else masks.shape[1],
        MASKED=masks is not None, BLOCK=_VOCABULARY, num_warps=8,
    )  # fmt: skip
    return out


@_operation(
    "together(Tensor logits, Tensor chosen, Tensor held, Tensor group, Tensor alone) -> Tensor",
    lambda _, chosen, *__: chosen.new_empty(3, chosen.shape[1]),
)
def _together(logits: Tensor, chosen: Tensor, held: Tensor, group: Tensor, alone: Tensor) -> Tensor:
    from pipeline.vintern import triton_kernels

    rows, vocabulary = logits.shape
    out = chosen[:3].clone()
    triton_kernels.together[(rows,)](
        logits,
        chosen,
        held,
        group,
        alone,
        out,
        logits.stride(0),
        rows,
        vocabulary,
        BLOCK=_VOCABULARY,
        num_warps=8,
    )
    return out
