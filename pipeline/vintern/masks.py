"""The masks of grammars' states in one table, on the host and on the device: a step sends row numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.vintern.states import UNKNOWN, Near
from pipeline.vintern.transfer import up

ALL = 0  # the row that allows every token
REMEMBERED = 64 << 20  # bytes of masks: 3,500 at a vocabulary of 151,674; an invoice's pages need some 800
MOST = 1 << 15  # masks, at a small vocabulary
_AT_ONCE = 256  # masks sent to the device in one piece


class MaskTable:
    """A row of int32 [words] for each remembered mask; which were not asked for longest make room."""

    def __init__(self, words: int, device: torch.device | None = None) -> None:
        """device: keeps a copy there, of which `on_device` takes rows."""
        self.room = max(1, min(MOST, REMEMBERED // (4 * words)))  # masks
        # Memory that the system gives as it is filled.
        self._rows = np.zeros((1 + self.room, words), dtype=np.int32)
        self._rows[ALL] = -1
        self._owners: list[Near | None] = [None]  # by row
        self._used = np.zeros(1 + self.room, dtype=np.int64)  # the step that asked for a row last
        self._step = 0
        self._changed: list[int] = [ALL]
        self._there: Tensor | None = None
        if device is not None:
            self._there = torch.zeros(1 + self.room, words, dtype=torch.int32, device=device)

    def __len__(self) -> int:
        return len(self._owners) - 1

    def clear(self) -> None:
        for near in self._owners[1:]:
            if near is not None:
                near.row = UNKNOWN
        del self._owners[1:]

    def use(self, rows: npt.NDArray[np.int64]) -> None:
        """A step asks for these, which stay as they are until the next one."""
        self._step += 1
        self._used[rows] = self._step

    def keep(self, near: Near, mask: npt.NDArray[np.int32]) -> int:
        """The row where a state's mask is now, or UNKNOWN: this step needs all that there are."""
        row = len(self._owners)
        if row > self.room:
            row = 1 + int(self._used[1 : 1 + self.room].argmin())
            if self._used[row] == self._step:
                return UNKNOWN
            last = self._owners[row]
            if last is not None:
                last.row = UNKNOWN
        else:
            self._owners.append(None)
        self._owners[row], near.row = near, row
        self._rows[row] = mask
        self._used[row] = self._step
        if self._there is not None:
            self._changed.append(row)
        return row

    def allow(self, rows: npt.NDArray[np.int64], tokens: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Of each row, whether it allows the token beside it."""
        token = np.array(tokens, dtype=np.int64)
        words: npt.NDArray[np.int32] = self._rows[rows, token >> 5]
        return (words >> (token & 31).astype(np.int32) & 1).astype(np.bool_)

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """A copy."""
        found: npt.NDArray[np.int32] = self._rows.take(rows, axis=0)
        return found

    def on_device(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """int32 [n, words], of the copy there, to which goes first what is new."""
        if self._there is None:
            return torch.from_numpy(self.read(rows))
        changed = list(dict.fromkeys(self._changed))
        self._changed.clear()
        for at in range(0, len(changed), _AT_ONCE):
            some = np.array(changed[at : at + _AT_ONCE])
            self._there[up(some, self._there.device)] = up(self.read(some), self._there.device)
        return self._there[up(rows, self._there.device)]
