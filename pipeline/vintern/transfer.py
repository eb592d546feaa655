"""Numbers from the host to the device and back, without waiting before one must."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor


def up(numbers: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Start moving an array, which may be changed right afterwards."""
    given = torch.from_numpy(numbers)
    if device.type == "cpu":
        return given.clone()
    return given.pin_memory().to(device, non_blocking=True)


class Download:
    """What the device is still computing, on its way to the host."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        """All of one device, or none at all."""
        self._tensors = [tensor.to("cpu", non_blocking=True) for tensor in tensors]
        self._done: torch.cuda.Event | None = None
        if tensors and tensors[0].device.type != "cpu":
            self._done = torch.cuda.Event()
            self._done.record(torch.cuda.current_stream(tensors[0].device))

    @property
    def here(self) -> bool:
        return self._done is None or self._done.query()

    def wait(self) -> list[npt.NDArray[Any]]:
        """The arrays, once they are there."""
        if self._done is not None:
            self._done.synchronize()
        return [tensor.numpy() for tensor in self._tensors]
