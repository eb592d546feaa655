"""What goes on in a lane, and what it waits for: each second of its clock is counted once.

Documents go through their stages side by side, so sums of their seconds do not say what holds a lane up. At
every moment one thing does (`Activity.bound`), and the time until the next change is put down to it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Stage = Literal["fetch", "draw", "room", "model", "commit", "save", "claim", "documents"]
Bound = Literal["start", "documents", "fetch", "draw", "room", "model", "store", "other"]
BOUNDS: tuple[Bound, ...] = ("start", "documents", "fetch", "draw", "room", "model", "store", "other")


@dataclass(slots=True)
class Activity:
    """Of one lane, since it was made; of its event loop's thread alone.

    seconds   by stage, added up over all that went on side by side
    clock     seconds of the lane's own clock, by what it was bound by
    readers   how many documents can be drawn at once
    batch     how many pages the model decodes together; 0 while nobody knows
    """

    seconds: dict[str, float] = field(default_factory=dict)
    clock: dict[str, float] = field(default_factory=dict)
    readers: int = 1
    batch: int = 0
    started: bool = False
    now: Callable[[], float] = time.monotonic
    _going_on: Counter[str] = field(default_factory=Counter)
    _since: float | None = None

    def __post_init__(self) -> None:
        self._since = self.now()

    @contextmanager
    def during(self, stage: Stage) -> Iterator[None]:
        """Counts the time of this block to the stage."""
        began = self._change(stage, 1)
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + self._change(stage, -1) - began

    def start(self) -> None:
        """The lane's processes are ready: what it waits for from here on is work."""
        self.charge()
        self.started = True

    def charge(self) -> float:
        """Put the time since the last change down to what the lane is bound by; returns the clock."""
        at = self.now()
        if self._since is not None:
            bound = self.bound
            self.clock[bound] = self.clock.get(bound, 0.0) + at - self._since
        self._since = at
        return at

    @property
    def bound(self) -> Bound:
        """What would have to be quicker just now for the lane to be quicker.

        The model, when its batch is full. Else what keeps the next page from it: a reader that draws, bytes
        on their way, room, the ledger, documents that are not listed yet. Where no page is to come, the last
        answers and then the last commits.
        """
        on = self._going_on
        if not self.started:
            return "start"
        if self.batch and on["model"] >= self.batch:
            return "model"
        if on["draw"] >= self.readers:
            return "draw"
        for stage in ("fetch", "draw", "room"):
            if on[stage]:
                return stage
        if on["claim"]:
            return "store"
        if on["documents"]:
            return "documents"
        if on["model"]:
            return "model"
        return "store" if on["commit"] or on["save"] else "other"

    def _change(self, stage: Stage, by: int) -> float:
        at = self.charge()
        self._going_on[stage] += by
        return at
