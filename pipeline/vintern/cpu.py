"""What a CPU needs to be quick: its weights in the order in which it multiplies, and memory that it keeps."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor, nn

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


class PackedLinear(nn.Module):
    """A Linear for inference. Its weight can no longer be read, and is not in the state dict."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(plain.weight.detach(), None)
        self.bias = plain.bias

    def forward(self, hidden: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self.packed, self.bias, "none", [], "")
        return found
