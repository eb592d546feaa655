"""CUDA tensors without a GPU: they have shape, type and device, and no contents.

PyTorch's FakeTensorMode computes shapes; what the engine takes from `torch.cuda` beside tensors is stood in
for here. Attention is one operation, as it is one kernel on a card.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from infra.meter.counting import Meter
from pipeline.vintern.graphs import Graphs

FREE = 60 << 30  # bytes of the card's memory, before the cache
_CPU, _CUDA = 0, 1  # c10::DeviceType
_library = torch.library.Library("meter", "DEF")
_library.define("attention(Tensor query, Tensor key, Tensor value, Tensor? mask, bool causal) -> Tensor")
_plain_attention = F.scaled_dot_product_attention


@torch.library.impl(_library, "attention", "CompositeExplicitAutograd")
def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:  # noqa: ARG001
    batch, heads, tokens, width = query.shape
    return query.new_empty(batch, tokens, heads, width).transpose(1, 2)  # as the fast kernels lay it


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **more: Any,
) -> Tensor:
    """`F.scaled_dot_product_attention`, on a fake device one kernel."""
    if query.device.type == "cuda":
        found: Tensor = torch.ops.meter.attention(query, key, value, attn_mask, is_causal)
        return found
    return _plain_attention(query, key, value, attn_mask, dropout_p, is_causal, **more)


class Device:
    """What the stand-ins saw. `current` is the device that a kernel without one would go to."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.current = 0
        self.recorded_on: list[int] = []
        self.replayed_on: list[int] = []

    @contextmanager
    def use(self, device: torch.device | int | None) -> Iterator[None]:
        """`torch.cuda.device`."""
        index = device if isinstance(device, int) else None if device is None else device.index
        before = self.current
        self.current = before if index is None else index
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def record(self, graph: Any, **_: Any) -> Iterator[None]:
        """`torch.cuda.graph`."""
        self.recorded_on.append(self.current)
        graph.device = self
        with self.meter.recording():
            yield


class Graph:
    device: Device

    def replay(self) -> None:
        self.device.meter.now.replays += 1
        self.device.replayed_on.append(self.device.current)


class _Event:
    def __init__(self, **_: Any) -> None:
        pass

    def record(self, *_: Any) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, other: _Event) -> float:  # noqa: ARG002
        return 1.0


def _guard() -> None:
    """A PyTorch without CUDA has nobody who changes to a CUDA device, and refuses to index a tensor of one.

    Whoever does that for the CPU does nothing, which suits a device that is not there; but asked for the
    current one he says the CPU, so that a device must be named with its number, as a model's is.
    """
    devices = ctypes.c_void_p * (_CUDA + 1)
    core = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = devices.in_dll(core, "_ZN3c104impl26device_guard_impl_registryE")
    if not guards[_CUDA]:
        guards[_CUDA] = guards[_CPU]


@contextmanager
def cuda(free: int = FREE) -> Iterator[tuple[Meter, Device]]:
    """Within it CUDA tensors are fake, and the meter counts what is done to them."""
    _guard()
    meter = Meter()
    device = Device(meter)
    stream = SimpleNamespace(wait_stream=lambda _: None, synchronize=lambda: None)
    stand_ins = {
        "Event": _Event,
        "CUDAGraph": Graph,
        "graph": device.record,
        "device": device.use,
        "graph_pool_handle": lambda: None,
        "Stream": lambda *_, **__: stream,
        "current_stream": lambda *_: stream,
        "stream": lambda _: nullcontext(),
        "mem_get_info": lambda *_: (free, free),
        "get_device_properties": lambda *_: SimpleNamespace(major=9, minor=0, multi_processor_count=132),
    }
    plain_clone = Graphs.clone

    def clone(given: Tensor) -> Tensor:
        static = plain_clone(given)
        meter.keep(static)
        return static

    with ExitStack() as stack:
        for name, value in stand_ins.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", lambda tensor: meter.pin(tensor)))
        stack.enter_context(mock.patch.object(F, "scaled_dot_product_attention", attention))
        stack.enter_context(mock.patch.object(Graphs, "clone", staticmethod(clone)))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(meter)
        yield meter, device
