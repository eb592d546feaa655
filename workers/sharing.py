"""How the runs of one store divide the lanes of a cluster: each works out its own share, there is no centre.

Every run says in the store, every few seconds, that it lives, how many lanes its machines would hold and how
many it has use for. All see the same figures and come to the same division: the highest priority first, by
weight within it. A run that vanished counts no more when it has said nothing for STALE_SECONDS.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.errors import VinbatchError
from pipeline.settings import ShareSettings
from pipeline.store import Job, Run, Store
from workers.logs import fields
from workers.patience import Patience, until

_LOG = logging.getLogger(__name__)
_BEAT_SECONDS = 3.0  # between two signs of life; a cancelled run notices within as many


def driver_name() -> str:
    """This process among all that may work on the jobs of a store."""
    return f"{socket.gethostname()}-{os.getpid()}"


def divided(room: int, runs: Sequence[Run]) -> dict[int, int]:
    """How many of `room` lanes each of these runs gets, by its number.

    Lanes are given one by one, to the run of the highest priority that wants more; among those of one
    priority to the one that would then have the fewest for its weight (as D'Hondt divided seats). Runs of one
    job have its weight between them. What others want is reckoned in lanes of the size that `room` is.
    """
    of_job = Counter(run.job_id for run in runs)
    weight = {run.id: run.weight / of_job[run.job_id] for run in runs}
    wanted = {run.id: -(-run.wanted * room // run.room) if run.room else run.wanted for run in runs}
    given = dict.fromkeys(weight, 0)
    for _ in range(room):
        hungry = [run for run in runs if given[run.id] < wanted[run.id]]
        if not hungry:
            break
        taker = min(hungry, key=lambda run: (-run.priority, (given[run.id] + 1) / weight[run.id], run.id))
        given[taker.id] += 1
    return given


@dataclass(frozen=True, slots=True)
class _Said:
    """What the next sign of life says."""

    pool: str | None = None
    room: int = 0
    wanted: int = 0
    lanes: int = 0


class Presence:
    """This run as the others of its store see it; use it as a context manager.

    When the job is cancelled, `stop` is set and `cancelled` is true.
    """

    def __init__(
        self, store: Store, job: Job, share: ShareSettings, stop: threading.Event, limit: float
    ) -> None:
        """`limit`: seconds that the store may be away at the beginning."""
        self.cancelled = False
        self.resumed = job.cancelled_at is not None  # the job was cancelled before
        self.others: tuple[Run, ...] = ()  # alive in the same pool
        self._store, self._job = store, job
        self._stop = stop
        self._said = _Said()
        self._over = threading.Event()
        begin = Patience(until(stop, limit), interrupt=stop, job=job.name).call
        self._mine = begin(store.runs.begin, job, driver_name(), share.weight, share.priority)
        self._thread = threading.Thread(target=self._work, name="presence", daemon=True)

    def __enter__(self) -> Presence:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        try:
            self._store.runs.end(self._mine.id)
        except VinbatchError as error:  # it counts no more when it has said nothing for a while
            _LOG.warning("the end of this run is not noted: %s", error.message)

    def say(self, pool: str, room: int, wanted: int, lanes: int) -> None:
        """What the others are to know from the next sign of life on."""
        self._said = _Said(pool, room, wanted, lanes)

    def share(self, room: int, wanted: int) -> int:
        """How many of `room` lanes are this run's, by what was last seen of the others."""
        mine = replace(self._mine, room=room, wanted=wanted)
        return divided(room, sorted((*self.others, mine), key=lambda run: run.id))[mine.id]

    def asks(self, room: int, wanted: int) -> int:
        """For how many more lanes this run is to ask the cluster to grow: of a pool, the run asks that wants
        most.
        """
        runs = [*self.others, replace(self._mine, room=room, wanted=wanted)]
        most = min(runs, key=lambda run: (-run.wanted, run.id))
        return max(0, wanted - room) if most.id == self._mine.id else 0

    def beat(self) -> None:
        """Say it now, and see the others. An absent store changes nothing of what is known."""
        said = self._said
        try:
            seen = self._store.runs.beat(
                self._mine.id, pool=said.pool, room=said.room, wanted=said.wanted, lanes=said.lanes
            )
        except VinbatchError:  # whoever needs the store says so
            return
        others = tuple(run for run in seen if run.id != self._mine.id)
        for mine in (run for run in seen if run.id == self._mine.id):
            self._mine = mine
            if mine.cancelled and not self.cancelled:
                self.cancelled = True
                _LOG.info("the job was cancelled", extra=fields(job=self._job.name))
                self._stop.set()
        self.others = others

    def _work(self) -> None:
        while not self._over.wait(_BEAT_SECONDS):
            self.beat()
