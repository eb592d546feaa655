"""Matrix products on a CPU: weights in the order in which oneDNN multiplies, memory kept between passes."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.vintern.model import Vintern

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3), in glibc's malloc.h
_KEPT = 2**30  # bytes; more than any tensor of a pass


def keep_memory() -> bool:
    """Let the C library keep what a pass frees for the next one; False where it has no such setting.

    As it comes, it gives large blocks back to the system, which fills them with zeros again, page by page,
    for the next tensor: 30% of a prefill's time. The process then stays as large as its largest pass.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _KEPT)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))


def give_back() -> None:
    """Hand what was freed back to the system, where the C library can: what was loaded only to be packed."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def pack(network: nn.Module) -> None:
    """Replace every bfloat16 Linear by one with its weight in oneDNN's own order.

    A plain Linear puts its weight in that order again in every pass, which costs a decode step more than the
    product itself. Nothing where oneDNN has no bfloat16. The operators are those that `torch.compile` emits.
    """
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return
    for module in list(network.modules()):
        for name, part in module.named_children():
            if isinstance(part, nn.Linear) and part.weight.dtype == torch.bfloat16:
                setattr(module, name, PackedLinear(part))


@torch.inference_mode()
def any_rows(model: Vintern, most: int) -> bool:
    """Whether a product here gives each row the same bits with 1 row as with `most`, or any number between.

    It depends on the processor and on the library that multiplies, so the model's own products are tried. In
    float32 it was never so below 16 rows; in bfloat16 it is with AVX-512 and was not with AMX.
    """
    packed = [part for part in model.language.layers[0].modules() if isinstance(part, PackedLinear)]
    if not packed:
        return False
    products: list[tuple[Callable[[Tensor], Tensor], int]] = [(part, part.width) for part in packed]
    products.append((model.language.head, model.config.language.hidden))
    draw = torch.Generator().manual_seed(0)
    for product, width in products:
        given = torch.randn(most, width, generator=draw).to(model.dtype)
        whole = product(given)
        if not all(torch.equal(product(given[:rows]), whole[:rows]) for rows in range(1, most)):
            return False
    return True


class PackedLinear(nn.Module):
    """A Linear for inference. Its weight can no longer be read, and is not in the state dict."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.width = plain.in_features
        self.packed = torch.ops.mkldnn._reorder_linear_weight(plain.weight.detach(), None)
        self.bias = plain.bias

    def forward(self, hidden: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self.packed, self.bias, "none", [], "")
        return found
