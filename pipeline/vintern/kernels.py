"""Our own kernels for a CPU: `kernels.cpp`, compiled once on each machine, called through ctypes.

PyTorch's attention uses a third of what a processor with AVX-512 BF16 can do, and a decode step of a small
model goes into hundreds of small operations. These kernels are for that, and for bfloat16 alone; without them
the same is computed by PyTorch's operations, more slowly.

    attend       attention of query rows, each over its own run of keys, where these lie in the cache
    page_weights how much such rows see of a page's visual tokens (`attention.page_weights`)
    full         the vision tower's attention (`vision.Attention.attend`)
    rms_norm, gate, rotate       what stands between a layer's matrix products (`language`)
    choose       the next token under a grammar's mask (`sampler`)
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from ctypes import c_float, c_int64, c_void_p
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.vintern import compiling, language, vision
from pipeline.vintern.compiling import KernelsMissing
from pipeline.vintern.config import Config

SOURCE = Path(__file__).with_suffix(".cpp")
INSTRUCTIONS = ("avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512bf16", "fma")


class Span(NamedTuple):
    """`rows` query rows from row `query`; row i sees the keys from row `key` on, seen + i · step of them."""

    query: int
    rows: int
    key: int
    seen: int
    step: int


class Row(NamedTuple):
    """A query row, and that it sees the keys from row `key` on, `seen` of them."""

    query: int
    key: int
    seen: int


class Kernels:
    """What `kernels.cpp` gives. Tensors are bfloat16 on the CPU."""

    def __init__(self, library: ctypes.CDLL, version: str, *, long_queries: bool = True) -> None:
        """version: of the source and how it was compiled.

        long_queries: many query rows at once are ours too. PyTorch is quicker where it has AMX.
        """
        self.version = version
        self.long_queries = long_queries
        self._attend = library.attend
        self._attend.argtypes = [*[c_void_p] * 5, *[c_int64] * 4]
        self._page_weights = library.page_weights
        self._page_weights.argtypes = [*[c_void_p] * 4, *[c_int64] * 6]
        self._rms_norm = library.rms_norm
        self._rms_norm.argtypes = [*[c_void_p] * 3, *[c_int64] * 2, c_float]
        self._gate = library.gate
        self._gate.argtypes = [*[c_void_p] * 2, *[c_int64] * 2]
        self._rotate = library.rotate
        self._rotate.argtypes = [c_void_p, c_int64, *[c_void_p] * 2, *[c_int64] * 3]
        self._choose = library.choose
        self._choose.argtypes = [*[c_void_p] * 3, *[c_int64] * 3]

    def put_into(self, network: nn.Module) -> None:
        """From now on the model's own layers use them too."""
        for module in network.modules():
            if isinstance(module, vision.Attention) and self.long_queries:
                module.attend = self.full
            elif isinstance(module, language.Attention):
                module.rotate = self.rotate
            elif isinstance(module, language.Mlp):
                module.gate = self.gate
            elif isinstance(module, language.RMSNorm):
                module.norm = self.rms_norm

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, spans: Iterable[Span]) -> Tensor:
        """query [n, heads, d], keys and values [m, kv_heads, d] → like query. Rows in no span are not set."""
        mixed = torch.empty(query.shape, dtype=query.dtype)
        given = torch.tensor([*spans], dtype=torch.int64)
        sides = map(_side, (query, keys, values, mixed))
        self._attend(
            *map(ctypes.byref, sides),
            given.data_ptr(),
            len(given),
            query.shape[1],
            keys.shape[1],
            query.shape[2],
        )
        return mixed

    def page_weights(self, query: Tensor, keys: Tensor, rows: Sequence[Row], page: slice) -> Tensor:
        """query [n, heads, d], keys [m, kv_heads, d] → float32 [rows, cells]: what each of these rows sees of
        its keys at `page`, the mean over heads.
        """
        cells = page.stop - page.start
        found = torch.empty(len(rows), cells, dtype=torch.float32)
        given = torch.tensor(rows, dtype=torch.int64)
        self._page_weights(
            *(ctypes.byref(_side(part)) for part in (query, keys)),
            given.data_ptr(),
            found.data_ptr(),
            len(rows),
            query.shape[1],
            keys.shape[1],
            query.shape[2],
            page.start,
            cells,
        )
        return found

    def full(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[b, heads, n, d] each, every row sees all keys of its own b → like query."""
        batch, _, n, _ = query.shape
        queries, keys, values = (part.transpose(1, 2).flatten(0, 1) for part in (query, key, value))
        mixed = self.attend(queries, keys, values, (Span(n * b, n, n * b, n, 0) for b in range(batch)))
        return mixed.view(batch, n, *mixed.shape[1:]).transpose(1, 2)

    def rotate(self, states: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """As `language.rotate`, but in place: [b, heads, t, d] whose heads of a token lie side by side."""
        cosine, sine = rotation
        batch, heads, length, dim = states.shape
        self._rotate(
            states.data_ptr(),
            states.stride(2),
            cosine.data_ptr(),
            sine.data_ptr(),
            batch * length,
            heads,
            dim,
        )
        return states

    def gate(self, both: Tensor) -> Tensor:
        """As `language.gate`: [..., 2 · ffn] → [..., ffn]."""
        gated = both.new_empty(*both.shape[:-1], both.shape[-1] // 2)
        self._gate(both.data_ptr(), gated.data_ptr(), gated.shape[:-1].numel(), gated.shape[-1])
        return gated

    def rms_norm(self, hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
        """As `language.norm`: [..., hidden] → the same."""
        hidden = hidden.contiguous()
        normed = torch.empty_like(hidden)
        rows, width = hidden.shape[:-1].numel(), hidden.shape[-1]
        self._rms_norm(hidden.data_ptr(), weight.data_ptr(), normed.data_ptr(), rows, width, eps)
        return normed

    def choose(self, logits: Tensor, masks: Tensor | None) -> Tensor:
        """As `sampler.choose` without penalties: the masks are used as they are, bit by bit."""
        logits = logits.contiguous()
        rows, vocabulary = logits.shape
        chosen = torch.empty(3, rows, dtype=torch.float64)
        allowed, words = (None, 0) if masks is None else (masks.data_ptr(), masks.shape[1])
        self._choose(logits.data_ptr(), allowed, chosen.data_ptr(), rows, vocabulary, words)
        return chosen


class _Side(ctypes.Structure):
    """`Side` of kernels.cpp: a tensor [rows, heads, d] with d contiguous; strides in elements."""

    _fields_ = (("data", c_void_p), ("row", c_int64), ("head", c_int64))


def _side(part: Tensor) -> _Side:
    return _Side(part.data_ptr(), part.stride(0), part.stride(1))


def load(config: Config, dtype: torch.dtype) -> Kernels:
    """The kernels, compiled now if this machine has not yet: some seconds.

    Raises KernelsMissing where this processor, model or machine cannot have them.
    """
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if dtype != torch.bfloat16 or not found.get("avx512_bf16"):
        raise KernelsMissing("they are for bfloat16 on a processor with AVX-512 BF16")
    text = config.language
    if text.head_dim % 32 or text.head_dim > 256 or text.hidden % 16 or text.ffn % 16:
        raise KernelsMissing("they are for head sizes by 32 up to 256, and for widths by 16")
    head = config.vision.hidden // config.vision.heads
    long_queries = not found.get("amx_bf16") and head % 16 == 0 and head <= 256
    library = compiling.library(SOURCE, INSTRUCTIONS)
    return Kernels(compiling.opened(library), library.stem, long_queries=long_queries)
