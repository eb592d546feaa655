"""CUDA graphs: a pass is recorded once for each shape, and replaying it costs one launch."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

Out = TypeVar("Out")
WARM = 2  # passes before recording, so that every library has chosen its kernels


class _Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    given: Tensor
    result: object


class Graphs:
    """Runs a function of one tensor, by a graph where `enabled`.

    What a recorded pass returns is overwritten by the next pass of the same key.
    """

    def __init__(self, device: torch.device, enabled: bool) -> None:
        self.device = device
        self.enabled = enabled
        self._recorded: dict[Hashable, _Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle() if enabled else None

    def run(self, key: Hashable, function: Callable[[Tensor], Out], given: Tensor) -> Out:
        """`function(given)`. Passes of one key have the same function, and `given` of one shape and dtype."""
        if not self.enabled:
            return function(given)
        # Recorded and replayed is what the current device's stream is given: elsewhere it would be nothing.
        with torch.cuda.device(self.device):
            found = self._recorded.get(key)
            if found is None:
                found = self._recorded[key] = self._record(function, given)
            found.given.copy_(given, non_blocking=True)
            found.graph.replay()
        return found.result  # type: ignore[return-value]

    @staticmethod
    def clone(given: Tensor) -> Tensor:
        """Where a graph finds what it is given."""
        return given.clone()

    def _record(self, function: Callable[[Tensor], object], given: Tensor) -> _Recorded:
        static = self.clone(given)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM):
                function(static)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            result = function(static)
        return _Recorded(graph, static, result)
