"""Samples that the training may show, on the device that learns; new ones take the place of the oldest."""

from __future__ import annotations

import math
import random
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infra.demo_model.drawing import FORMS, Drawing, Drawn, Failed, Form

_TYPES = {np.uint8: torch.uint8, np.int8: torch.int8, np.int16: torch.int16, np.int64: torch.int64}
SHARES = {"crop": 0.03, "one": 0.25, "seven": 0.72}  # of the memory
AT_ONCE = 256  # slots that are taken between two steps at most
MOST_TOLD = 5  # failures that are printed


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one form.

    pixels   uint8 [n, tiles, side, side, 3]
    cells    int64 [n, tiles, cells, SLOTS]
    offsets  int64 [n, 2]
    ids      int64 [n, t]: question and answer, behind the picture
    kinds    int64 [n, t]: ASKED, FORCED, DECIDED or VALUE
    """

    pixels: Tensor
    cells: Tensor
    offsets: Tensor
    ids: Tensor
    kinds: Tensor


class Shelf:
    """The samples of one form, in a ring."""

    def __init__(self, form: Form, capacity: int, device: str) -> None:
        self.capacity, self.device = capacity, device
        self.parts = {
            name: torch.empty(capacity, *shape, dtype=_TYPES[kind], device=device)
            for name, (kind, shape) in form.parts().items()
        }
        self.lengths = [0] * capacity
        self.count = self.next = 0

    def put(self, shared: dict[str, Tensor], drawn: Drawn) -> None:
        for name, part in self.parts.items():
            part[self.next].copy_(shared[name][drawn.slot], non_blocking=True)
        self.lengths[self.next] = drawn.length
        self.next = (self.next + 1) % self.capacity
        self.count = min(self.count + 1, self.capacity)

    def batch(self, numbers: list[int]) -> Batch:
        chosen = torch.tensor(numbers, device=self.device)
        length = -(-max(self.lengths[number] for number in numbers) // 64) * 64
        take = {name: part[chosen] for name, part in self.parts.items()}
        return Batch(
            take["pixels"],
            take["cells"].long(),
            take["offset"],
            take["ids"][:, :length].long(),
            take["kinds"][:, :length].long(),
        )

    def any(self, rng: random.Random, size: int) -> Batch:
        return self.batch(rng.sample(range(self.count), min(size, self.count)))


class Pool:
    """A shelf for each form, and the held-out pages by set."""

    def __init__(self, drawing: Drawing, device: str, gigabytes: float, heldout: int) -> None:
        """`heldout`: pages of each held-out set."""
        self.drawing, self.device = drawing, device
        self.seen: dict[str, int] = defaultdict(int)
        self.failures = 0
        self.shelves = {
            name: Shelf(form, max(64, int(SHARES[name] * gigabytes * 1e9 / _bytes(form))), device)
            for name, form in FORMS.items()
        }
        self.heldout: dict[str, Shelf] = {}
        self._kept = heldout
        self._shared = {
            name: {part: torch.from_numpy(array) for part, array in arrays.items()}
            for name, arrays in drawing.shared.items()
        }
        self._copying: deque[tuple[Any, list[Drawn]]] = deque()
        if device.startswith("cuda"):
            self._pin()

    def take(self) -> None:
        """Puts onto the shelves what has been drawn since."""
        while self._copying and (self._copying[0][0] is None or self._copying[0][0].query()):
            for drawn in self._copying.popleft()[1]:
                self.drawing.release(drawn)
        taken = []
        for drawn in self.drawing.ready(AT_ONCE):
            if isinstance(drawn, Failed):
                self.failures += 1
                if self.failures <= MOST_TOLD:
                    print(f"a sample could not be drawn:\n{drawn.text}", flush=True)
                continue
            shelf = self.shelves[drawn.form]
            if drawn.heldout:
                shelf = self.heldout.setdefault(
                    drawn.heldout, Shelf(FORMS[drawn.form], self._kept, self.device)
                )
            else:
                self.seen[drawn.kind] += 1
            shelf.put(self._shared[drawn.form], drawn)
            taken.append(drawn)
        if taken:
            event = None
            if self.device.startswith("cuda"):
                event = torch.cuda.Event()
                event.record()
            self._copying.append((event, taken))

    def _pin(self) -> None:
        """Registers the slots with the driver: copies from them then run beside the learning."""
        runtime = torch.cuda.cudart()
        for parts in self._shared.values():
            for tensor in parts.values():
                error = runtime.cudaHostRegister(tensor.data_ptr(), tensor.nbytes, 0)
                if int(error):
                    print(f"slots are not pinned ({error}): copies will wait for the learning", flush=True)
                    return


def _bytes(form: Form) -> int:
    return sum(math.prod(shape) * _TYPES[kind].itemsize for kind, shape in form.parts().values())
