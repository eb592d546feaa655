"""Counts what PyTorch is asked to do, operation by operation."""

from __future__ import annotations

import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# They allot memory, or look at it differently; nothing runs on the device.
_FREE = {
    f"aten::{name}"
    for name in (
        "detach", "alias", "lift_fresh", "lift_fresh_copy", "empty", "empty_like", "empty_strided",
        "new_empty", "new_empty_strided", "_unsafe_view", "_reshape_alias",
    )
}  # fmt: skip
_FILLS = {
    f"aten::{name}" for name in ("zeros", "new_zeros", "zeros_like", "fill_", "zero_", "full", "arange")
}
_LOOKED_UP = {f"aten::{name}" for name in ("embedding", "index", "gather", "index_select")}
_PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm"}
_COPIES = {"aten::_to_copy", "aten::copy_", "aten::clone"}
_WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero"}


@dataclass
class Kernel:
    """Of one kind: how many were launched, what they computed and moved."""

    launched: int = 0
    flops: float = 0.0
    bytes: float = 0.0


@dataclass
class Phase:
    """kernels by name; `waits` by the line of ours that waited for the device."""

    kernels: dict[str, Kernel] = field(default_factory=lambda: defaultdict(Kernel))
    waits: Counter[str] = field(default_factory=Counter)
    uploads: int = 0  # that nothing waits for
    replays: int = 0

    @property
    def launched(self) -> int:
        return sum(kernel.launched for kernel in self.kernels.values())

    @property
    def flops(self) -> float:
        return sum(kernel.flops for kernel in self.kernels.values())

    @property
    def bytes(self) -> float:
        return sum(kernel.bytes for kernel in self.kernels.values())


class Meter(TorchDispatchMode):
    """Counts while it is entered. `problems` are what a recorded pass must not do.

    `attended` is the number of keys that attention over slots looks at in the passes to come, `pairs` that of
    tokens and keys: on tensors without contents they cannot be seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.phases: dict[str, Phase] = defaultdict(Phase)
        self.problems: Counter[str] = Counter()
        self.attended = self.pairs = 0
        self.lasting: set[int] = set()  # storages that outlive a pass: weights, cache, a graph's input
        self._phase = "other"
        self._made: dict[int, Tensor] | None = None  # in the recording that goes on
        self._pinned: set[int] = set()

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        before, self._phase = self._phase, name
        try:
            yield self.phases[name]
        finally:
            self._phase = before

    @property
    def now(self) -> Phase:
        return self.phases[self._phase]

    def keep(self, *tensors: Tensor) -> None:
        """They stay where they are for as long as the engine lives."""
        self.lasting.update(_storage(tensor) for tensor in tensors)

    def pin(self, tensor: Tensor) -> Tensor:
        copy = tensor.clone()
        copy.pinned = True  # type: ignore[attr-defined]
        return copy

    @contextmanager
    def recording(self) -> Iterator[None]:
        if self._made is not None:
            self.problem("a recording within a recording")
        self._made = {}
        try:
            yield
        finally:
            self._made = None

    def problem(self, what: str) -> None:
        self.problems[f"{what}, at {_our_line()}"] += 1

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function.namespace == "aten" and function.has_kernel_for_dispatch_key(
            torch._C.DispatchKey.CompositeImplicitAutograd
        ):
            with self:
                found = function.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        result = function(*args, **kwargs)
        if function.namespace == "prim":  # a question about a tensor
            return result
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self._look(function, given, made, args, kwargs)
        return result

    def _look(
        self, function: Any, given: Sequence[Tensor], made: Sequence[Tensor], args: Any, kwargs: Any
    ) -> None:
        name = function._schema.name
        devices = {tensor.device.type for tensor in (*given, *made)}
        if name in _WAITS and "cuda" in devices:
            self._wait(name)
        if "cuda" not in devices:
            if self._made is not None and given:
                self.problem(f"{name} of the host is not part of a recording")
            return
        if "cpu" in devices and name in _COPIES:
            self._copy(given, made, args, kwargs)
            return
        if self._made is not None:
            self._record(name, given, made)
        if not function.is_view and name not in _FREE:
            kernel = self.now.kernels[name]
            flops, moved = self._cost(name, args, given, made)
            kernel.launched += 2 if name == "vintern::attend" and args[7] > 1 else 1
            kernel.flops += flops
            kernel.bytes += moved

    def _copy(self, given: Sequence[Tensor], made: Sequence[Tensor], args: Any, kwargs: Any) -> None:
        if self._made is not None:
            self.problem("a copy between host and device within a recording")
        down = made[0].device.type == "cpu"
        on_host = made[0] if down else next(tensor for tensor in given if tensor.device.type == "cpu")
        pinned = getattr(on_host, "pinned", False)
        if pinned and (kwargs.get("non_blocking") or (len(args) > 2 and args[2])):
            self.now.uploads += not down
        elif on_host.ndim or down:
            self._wait("a copy down" if down else "a copy up from memory that is not pinned")

    def _wait(self, what: str) -> None:
        self.now.waits[f"{what}, at {_our_line()}"] += 1
        if self._made is not None:
            self.problem(f"{what} within a recording")

    def _record(self, name: str, given: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        recorded = {} if self._made is None else self._made
        for tensor in given:
            at = _storage(tensor)
            if tensor.device.type == "cpu" and tensor.ndim:
                self.problem(f"{name} takes a tensor of the host within a recording")
            elif tensor.device.type == "cuda" and at not in recorded and at not in self.lasting:
                self.problem(f"{name} reads {list(tensor.shape)} that a replay will not find again")
        # Kept until the end, so that no other storage gets the same address.
        recorded.update((_storage(tensor), tensor) for tensor in made)

    def _cost(
        self, name: str, args: Any, given: Sequence[Tensor], made: Sequence[Tensor]
    ) -> tuple[float, float]:
        """FLOPs and bytes moved, of a kernel that reads and writes each tensor once."""
        if name == "meter::attention":
            return _attention(*args)
        if name == "vintern::attend":
            query, key = args[:2]
            width = 2 * key.shape[1] * key.shape[2] * key.dtype.itemsize
            flops = 4 * self.pairs * query.shape[1] * query.shape[2]
            parts = 8 * query.numel() * args[7] if args[7] > 1 else 0  # written, and put together
            return flops, 2 * size(query) + self.attended * width + parts
        if name == "vintern::write":
            return 0, 2 * sum(map(size, given[3:])) + size(given[2])
        if name == "vintern::rotate":
            return 0, 2 * size(made[0]) + sum(map(size, given[1:]))
        if name in _PRODUCTS:
            first, second = [tensor for tensor in given if tensor.ndim == (3 if name == "aten::bmm" else 2)][
                -2:
            ]
            return 2 * first.numel() * second.shape[-1], size(first) + size(second) + size(made[0])
        if name in _LOOKED_UP:
            return 0, 2 * sum(map(size, made)) + sum(map(size, given[1:]))
        if name == "aten::index_copy_":
            return 0, 2 * size(given[2]) + size(given[1])
        if name in _FILLS:
            return 0, sum(map(size, made))
        if name == "aten::copy_":
            return 0, sum(map(size, given))
        return 0, sum(map(size, given)) + sum(map(size, made))


def size(tensor: Tensor) -> int:
    """Bytes that a kernel touches: what is spread out by a stride of 0 is one."""
    count = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= length if stride or length == 1 else 1
    return count * tensor.dtype.itemsize


def _attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool
) -> tuple[float, float]:
    batch, heads, tokens, width = query.shape
    keys = key.shape[2]
    extra = 0
    if mask is not None:
        # A mask of bools becomes one to add (1 byte read, 2 written), which every key head reads.
        extra = (3 if mask.dtype == torch.bool else 0) * mask.numel() + 2 * batch * tokens * keys * key.shape[
            1
        ]
    flops = 4 * batch * heads * tokens * keys * width * (0.5 if causal else 1)
    return flops, 2 * size(query) + size(key) + size(value) + extra


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _our_line() -> str:
    ours = [frame for frame in traceback.extract_stack() if "/pipeline/" in frame.filename]
    return f"{ours[-1].filename.rpartition('/pipeline/')[2]}:{ours[-1].lineno}" if ours else "elsewhere"
