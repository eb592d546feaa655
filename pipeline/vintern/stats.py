"""What an engine has done, and how long each phase took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch

Phase = Literal["vision", "prefill", "decode"]


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counts since the engine was made. Phases are seconds of the device (of the process, on a CPU)."""

    requests: int = 0  # answered
    failed: int = 0  # of them, with finish "error"
    retried: int = 0  # tried a second time after a loop
    passes: int = 0  # that the answers took, at least one each
    tiles: int = 0  # through the vision tower
    prompt_tokens: int = 0  # prefilled, forced beginnings included
    decoded_tokens: int = 0  # chosen by the model
    forced_tokens: int = 0  # appended because the grammar left no choice
    steps: int = 0  # decode steps
    vision_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    start_seconds: float = 0.0  # to allot the cache, compile and warm

    def plus(self, **more: int | float) -> EngineStats:
        return replace(self, **{name: getattr(self, name) + value for name, value in more.items()})


class Clock:
    """Adds up the time of phases. On a GPU by events, so that measuring waits for nothing."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._seconds: dict[Phase, float] = {"vision": 0.0, "prefill": 0.0, "decode": 0.0}
        self._open: list[tuple[Phase, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def measure(self, phase: Phase) -> Iterator[None]:
        if self._on_gpu:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            yield
            end.record()
            self._open.append((phase, start, end))
            if len(self._open) > 1000:
                self.seconds()
        else:
            began = time.perf_counter()
            yield
            self._seconds[phase] += time.perf_counter() - began

    def seconds(self) -> dict[Phase, float]:
        """So far, of the passes that the device has ended."""
        while self._open and self._open[0][2].query():
            phase, start, end = self._open.pop(0)
            self._seconds[phase] += start.elapsed_time(end) / 1000
        return dict(self._seconds)
