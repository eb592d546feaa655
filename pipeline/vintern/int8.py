"""8-bit weights and activations on a CPU: `int8.cpp`, and the modules that multiply by it.

A weight's rows and a product's rows have a scale each; both are rounded to whole numbers of 8 bits, and their
product is exact. Everything between the products stays in the model's own type. That halves what a step reads
from memory, and the processor multiplies twice as many numbers at once as in bfloat16.
"""

from __future__ import annotations

import ctypes
import mmap
from ctypes import c_int64, c_void_p
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.vintern import compiling, language, vision
from pipeline.vintern.compiling import KernelsMissing
from pipeline.vintern.language import Language

SOURCE = Path(__file__).with_suffix(".cpp")
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vnni", "fma")
NEEDED = ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq", "avx512_vnni")  # the same as PyTorch names them
PANEL = 32  # outputs that lie together, `COLUMNS` of int8.cpp
ZERO = 128  # what an activation of 0 is, as there
MOST = 127
BLOCK = 512  # rows that go through an MLP together: its insides are four to eleven times as wide as its ends
AT_ONCE = 4 * PANEL  # rows of a weight that are rounded together


class Products:
    """What `int8.cpp` gives to a model of this type."""

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype, version: str) -> None:
        """version: of the source and how it was compiled."""
        self.version = version
        name = str(dtype).removeprefix("torch.")
        self._product = getattr(library, f"product_{name}")
        self._product.argtypes = [*[c_void_p] * 8, *[c_int64] * 3]
        self._rows = getattr(library, f"rows_{name}")
        self._rows.argtypes = [*[c_void_p] * 4, *[c_int64] * 2]

    def product(self, given: Tensor, weight: Weight, bias: Tensor | None) -> Tensor:
        """[..., inputs] → [..., outputs]."""
        given = given.contiguous()
        rows = given.shape[:-1].numel()
        found = given.new_empty(*given.shape[:-1], weight.outputs)
        numbers = torch.empty(rows * weight.inputs, dtype=torch.uint8)
        scales = torch.empty(rows)
        self._product(
            given.data_ptr(),
            numbers.data_ptr(),
            scales.data_ptr(),
            weight.panels.data_ptr(),
            weight.scales.data_ptr(),
            weight.zeros.data_ptr(),
            None if bias is None else bias.data_ptr(),
            found.data_ptr(),
            rows,
            weight.outputs,
            weight.inputs,
        )
        return found

    def rows(self, ids: Tensor, weight: Weight, dtype: torch.dtype) -> Tensor:
        """int64 [...] → [..., inputs]."""
        ids = ids.contiguous()
        found = torch.empty(*ids.shape, weight.inputs, dtype=dtype)
        self._rows(
            ids.data_ptr(),
            weight.panels.data_ptr(),
            weight.scales.data_ptr(),
            found.data_ptr(),
            ids.numel(),
            weight.inputs,
        )
        return found


class Weight:
    """A weight [outputs, inputs] in 8 bits, in the order that `int8.cpp` wants.

    panels  int8 [outputs / PANEL, inputs / 4, PANEL, 4], outputs rounded up
    scales  float32 of each output
    zeros   int32 of each output: what the activations' ZERO would add to it, negative
    """

    def __init__(self, plain: Tensor) -> None:
        self.outputs, self.inputs = plain.shape
        padded = -(-self.outputs // PANEL) * PANEL
        self.panels = _pages(padded * self.inputs).view(-1, self.inputs // 4, PANEL, 4)
        self.scales = torch.zeros(padded)
        self.zeros = torch.zeros(padded, dtype=torch.int32)
        for start in range(0, self.outputs, AT_ONCE):
            self._fill(start, plain[start : start + AT_ONCE].detach().float())

    def _fill(self, start: int, wide: Tensor) -> None:
        """Rows from `start` on, a multiple of PANEL, float32."""
        scales = wide.abs().amax(1) / MOST
        numbers = (wide / scales.clamp_min(torch.finfo().tiny)[:, None]).round_().to(torch.int8)
        rows = -(-len(wide) // PANEL) * PANEL
        whole = numbers.new_zeros(rows, self.inputs)
        whole[: len(wide)] = numbers
        panels = whole.view(-1, PANEL, self.inputs // 4, 4).transpose(1, 2)
        self.panels[start // PANEL : (start + rows) // PANEL] = panels
        self.scales[start : start + len(wide)] = scales
        self.zeros[start : start + len(wide)] = -ZERO * numbers.sum(1, dtype=torch.int32)


class Int8Linear(nn.Module):
    """A Linear for inference. Its weight is not in the state dict."""

    def __init__(self, weight: Weight, bias: Tensor | None, products: Products) -> None:
        super().__init__()
        self.weight = weight
        self.products = products
        self.bias = None
        if bias is not None:
            self.bias = torch.zeros_like(weight.scales)
            self.bias[: len(bias)] = bias

    def forward(self, hidden: Tensor) -> Tensor:
        return self.products.product(hidden, self.weight, self.bias)


class Int8Embedding(nn.Module):
    """An embedding table in 8 bits, which may be the head's weight too."""

    def __init__(self, weight: Weight, dtype: torch.dtype, products: Products) -> None:
        super().__init__()
        self.weight = weight
        self.dtype = dtype
        self.products = products

    def forward(self, ids: Tensor) -> Tensor:
        return self.products.rows(ids, self.weight, self.dtype)


class InBlocks(nn.Module):
    """An MLP over some rows at a time. Each comes out the same to the last bit, and the insides of all of
    them are never held at once.
    """

    def __init__(self, mlp: nn.Module) -> None:
        super().__init__()
        self.mlp = mlp

    def forward(self, hidden: Tensor) -> Tensor:
        rows = hidden.flatten(0, -2)
        if len(rows) <= BLOCK:
            plain: Tensor = self.mlp(hidden)
            return plain
        found = torch.empty_like(rows)
        for start in range(0, len(rows), BLOCK):
            found[start : start + BLOCK] = self.mlp(rows[start : start + BLOCK])
        return found.view(hidden.shape)


def load(network: nn.Module, dtype: torch.dtype) -> Products:
    """The products for this network, compiled now if this machine has not yet.

    Raises KernelsMissing where this processor, model or machine cannot have them.
    """
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    missing = [name for name in NEEDED if not found.get(name)]
    if missing:
        raise KernelsMissing(f"this processor has no {missing[-1].upper().replace('AVX512_', 'AVX-512 ')}")
    if dtype not in (torch.bfloat16, torch.float32):
        raise KernelsMissing(f"they are for bfloat16 and float32, not for {dtype}")
    odd = [
        part.in_features
        for part in network.modules()
        if isinstance(part, nn.Linear) and part.in_features % 16
    ]
    if odd:
        raise KernelsMissing(f"they are for widths by 16, not for {odd[0]}")
    library = compiling.library(SOURCE, INSTRUCTIONS)
    return Products(compiling.opened(library), dtype, library.stem)


def pack(network: nn.Module, dtype: torch.dtype, products: Products) -> None:
    """Replace every Linear and the embedding table by their likes in 8 bits, one after the other."""
    # No list of the Linears themselves, which would hold every weight in both forms until the last is done.
    for module in [part for part in network.modules() if not isinstance(part, nn.Linear)]:
        if isinstance(module, Language):
            _pack_tables(module, dtype, products)
        for name, part in module.named_children():
            if isinstance(part, nn.Linear):
                setattr(module, name, Int8Linear(Weight(part.weight), part.bias, products))
            elif isinstance(part, (language.Mlp, vision.Mlp)):
                setattr(module, name, InBlocks(part))


def _pack_tables(language: Language, dtype: torch.dtype, products: Products) -> None:
    """A head that is the embedding table stays one with it."""
    table = Weight(language.embed_tokens.weight)
    setattr(language, "embed_tokens", Int8Embedding(table, dtype, products))  # noqa: B010  (no Embedding)
    if language.lm_head is None:
        setattr(language, "lm_head", Int8Linear(table, None, products))  # noqa: B010  (no Linear)


def _pages(count: int) -> Tensor:
    """int8 zeros in memory pages of their own, which begin where an instruction may load 64 bytes at once.

    Among what is freed after packing, the C library could not give the rest of its memory back.
    """
    return torch.frombuffer(mmap.mmap(-1, count), dtype=torch.int8)
