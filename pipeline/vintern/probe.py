"""Whether the GPU's own kernels can be had, and compute on this device what they stand for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.vintern import fused, language, sampler, slots, vision
from pipeline.vintern.model import Vintern
from pipeline.vintern.slots import Rows

_log = logging.getLogger(__name__)
_NEAR = 0.03  # in 16 bits, of numbers about as large as 1


@torch.inference_mode()
def sound(model: Vintern) -> bool:
    """Each kernel is tried out on a few numbers of the model's sizes; a warning names one that fails."""
    if model.dtype == torch.float32 or not fused.available(model.device):
        return False  # without matrix units PyTorch's own are as quick
    for name, check in _checks(model):
        try:
            wrong = None if check() else "it computes something else than PyTorch does"
        except Exception as error:  # noqa: BLE001 a compiler fails in many ways
            wrong = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        if wrong is not None:
            _log.warning("the GPU's own kernels are not used, PyTorch's are: %s: %s", name, wrong)
            return False
    return True


def _checks(model: Vintern) -> Iterator[tuple[str, Callable[[], bool]]]:
    config, tower, device = model.config.language, model.config.vision, model.device
    draw = torch.Generator().manual_seed(0)

    def some(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw).to(device, model.dtype)

    hidden, added, weight = some(1, 3, config.hidden), some(1, 3, config.hidden), some(config.hidden)
    plain = language.RMSNorm(config.hidden, config.eps)
    plain.weight = nn.Parameter(weight, requires_grad=False)
    yield "norm", lambda: _near(fused.norm(hidden, weight, config.eps), plain(hidden))
    yield (
        "add_norm",
        lambda: _near(fused.add_norm(hidden, added, weight, config.eps)[1], plain(hidden + added)),
    )
    states = some(1, 3, config.heads + 2 * config.kv_heads, config.head_dim).transpose(1, 2)
    turned = states[:, : config.heads + config.kv_heads]
    rotation = language.rotary(
        torch.arange(3, device=device)[None], config.head_dim, config.rope_theta, model.dtype
    )
    yield "rotate", lambda: _near(fused.rotate(turned, rotation), language.rotate(turned, rotation))
    both = some(1, 3, 2 * config.ffn)
    yield "gate", lambda: _near(fused.gate(both), language.gate(both))
    yield "gelu", lambda: _near(fused.gelu(both), F.gelu(both))
    norm = nn.LayerNorm(tower.hidden, eps=tower.eps, device=device, dtype=model.dtype)
    tiles, mixed, scale = some(1, 3, tower.hidden), some(1, 3, tower.hidden), some(tower.hidden)
    yield (
        "scale_add_norm",
        lambda: all(
            map(
                _near,
                fused.scale_add_norm(tiles, mixed, scale, norm),
                vision.add_norm(tiles, mixed, scale, norm),
            )
        ),
    )
    logits = some(3, config.vocab)
    masks = torch.randint(-(2**31), 2**31, (3, -(-config.vocab // 32)), generator=draw).int().to(device)
    yield (
        "choose",
        lambda: all(
            torch.equal(fused.choose(logits, given)[0], sampler.choose(logits, given)[0])
            and _near(fused.choose(logits, given)[1:3], sampler.choose(logits, given)[1:])
            for given in (None, masks)
        ),
    )
    yield "attend", lambda: _attends(model, some)


def _near(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found.float(), expected.float(), atol=_NEAR, rtol=_NEAR)


def _attends(model: Vintern, some: Callable[..., Tensor]) -> bool:
    """Attention of three requests over slots, of which one has no token, and what it says of a page."""
    config, device, length = model.config.language, model.device, 256
    query = some(5, config.heads, config.head_dim)
    keys, values = (some(3, length, config.kv_heads, config.head_dim) for _ in range(2))
    starts, owners, filled = [0, 3, 3, 5], [1, 2, 0], [200, 1, 77]
    first, where, full = (
        torch.tensor(n, dtype=torch.int32, device=device)
        for n in (starts, [n * length for n in owners], filled)
    )
    page = slice(7, 20)
    slot_of = torch.tensor([1, 1, 1, 0, 0], device=device)
    for splits in (1, 2):
        found, sums = slots.attend(
            query, keys.flatten(0, 1), values.flatten(0, 1), Rows(first, where, full, 3, splits)
        )
        seen = slots.look(query, sums, keys, slot_of, page)
        for row, count in ((0, 3), (2, 2)):
            asked = query[starts[row] : starts[row + 1]].float().transpose(0, 1)
            shared = config.heads // config.kv_heads
            here, carried = (
                each[owners[row], : filled[row]].float().transpose(0, 1).repeat_interleave(shared, 0)
                for each in (keys, values)
            )
            scores = asked @ here.transpose(1, 2) / config.head_dim**0.5
            own = torch.arange(filled[row] - count, filled[row], device=device)[:, None]
            scores = scores.masked_fill(torch.arange(filled[row], device=device) > own, -torch.inf)
            weights, tokens = scores.softmax(-1), slice(starts[row], starts[row + 1])
            if not (
                _near(found[tokens], (weights @ carried).transpose(0, 1))
                and _near(sums[tokens], scores.logsumexp(-1).T)
                and _near(seen[tokens], weights[..., page].mean(0))
            ):
                return False
    return True
