"""Matrix products on a CPU: weights in the order in which oneDNN multiplies."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.vintern.model import Vintern


def pack(network: nn.Module) -> bool:
    """Replace every bfloat16 Linear by one with its weight in oneDNN's own order.

    A plain Linear puts its weight in that order again in every pass, which costs a decode step more than the
    product itself. False, and nothing, where oneDNN has no bfloat16 or the model is in another type. The
    operators are those that `torch.compile` emits.
    """
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    packed = False
    # No list of the Linears themselves, which would hold every weight in both forms until the last is done.
    for module in [part for part in network.modules() if not isinstance(part, nn.Linear)]:
        for name, part in module.named_children():
            if isinstance(part, nn.Linear) and part.weight.dtype == torch.bfloat16:
                setattr(module, name, PackedLinear(part))
                packed = True
    return packed


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
