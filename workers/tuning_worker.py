"""The actor that learns: one rank of a run of fine-tuning."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.tuning import run
from pipeline.tuning.run import Outcome
from pipeline.tuning.wish import Wish
from pipeline.vintern import ranks
from pipeline.vintern.ranks import Seat
from workers.lane import schema_of

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from schemas.law import Law
    from schemas.registry import SchemaSpec

CALLS = 3  # at once: a run takes one for its whole time


@dataclass(frozen=True, slots=True)
class Schemas:
    """Finds schemas by the names that a data set has for them, as the command would in its own folder; those
    of a file at `moved`, if that is given. Raises UsageError.
    """

    folder: Path
    moved: str | None
    law: Law

    def __call__(self, name: str) -> SchemaSpec:
        path, colon, model = (self.moved or name if ":" in name else name).rpartition(":")
        here = self.folder / path
        return schema_of(f"{here if here.exists() else path}{colon}{model}" if colon else name, self.law)


class TuningWorker:
    """Waits for nobody but the other ranks; whoever started it ends it when one of them is gone."""

    def __init__(self, threads: int) -> None:
        # torch reads these when it is imported. Threads that wait must sleep: others want the cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self._stop = threading.Event()
        self._lines: deque[str] = deque()
        self._listener: socket.socket | None = None

    def node(self) -> str:
        """The id of the machine that this is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def listen(self, address: str) -> int:
        """The port at which the other ranks will meet this one, the first."""
        self._listener = ranks.listening(address)
        return int(self._listener.getsockname()[1])

    def tune(self, seat: Seat, wish: Wish, settings: Settings, schemas: Schemas) -> Outcome:
        """Raises UsageError, and PeerGone where another rank's end is seen here."""
        with ranks.joined(seat, wish.device, self._listener) as group:
            return run.tune(wish, settings, schemas, self._lines.append, self._stop.is_set, group)

    def lines(self) -> list[str]:
        """What was told since the last call."""
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def stop(self) -> None:
        """Have the run end after the step that it is in."""
        self._stop.set()
