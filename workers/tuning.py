"""Fine-tuning by several workers: Ray actors, each with a GPU, or with its share of a machine's cores.

They wait for each other in every step, so that one that dies leaves the others waiting: the driver ends them
all at the first end that is not good, and the same command goes on from what was saved.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError, VinbatchError
from pipeline.settings import Settings
from pipeline.tuning.run import SAVE_SECONDS, Outcome
from pipeline.tuning.wish import Wish, must_share
from pipeline.vintern.ranks import PeerGone, Seat
from workers import cluster
from workers.cluster import Node
from workers.tuning_worker import CALLS, Schemas, TuningWorker

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 3.0  # after a first bad end, for the one that was its cause to be seen
_WAITING_SECONDS = 10.0  # until a person is told what is waited for
_AGAIN = f"the same command goes on from what was saved last (every {SAVE_SECONDS:.0f} s)"

Tell = Callable[[str], None]


class WorkerLost(VinbatchError):
    """One of the workers died."""


@dataclass(frozen=True, slots=True)
class Team:
    """How many workers, and the cores and GPUs of each."""

    workers: int
    cpus: int
    gpus: int

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    @property
    def bundle(self) -> dict[str, float]:
        return {"CPU": float(self.cpus)} | ({"GPU": float(self.gpus)} if self.gpus else {})


def team(machines: Sequence[Node], workers: int, device: str) -> Team:
    """As many cores for each worker as the machines have for all of them, and a GPU unless `device` is "cpu",
    or is "auto" and no machine has one. Raises UsageError where there is no room for so many.
    """
    found = sum(int(machine.gpus) for machine in machines)
    gpus = int(device == "cuda" or (device == "auto" and found > 0))
    where = "the machine has" if len(machines) == 1 else f"the cluster's {len(machines)} machines have"
    if gpus and found < workers:
        raise UsageError(
            f"--workers {workers} needs a GPU for each, and {where} {found}: give fewer, or --device cpu"
        )
    machines = [machine for machine in machines if machine.gpus >= gpus]
    for cpus in range(int(max((machine.cpus for machine in machines), default=0)), 0, -1):
        rooms = [int(machine.cpus) // cpus for machine in machines]
        if gpus:
            rooms = [min(room, int(machine.gpus)) for room, machine in zip(rooms, machines, strict=True)]
        if sum(rooms) >= workers:
            return Team(workers, cpus, gpus)
    cores = sum(int(machine.cpus) for machine in machines)
    beside = " beside their GPUs" if gpus else ""
    raise UsageError(f"--workers {workers} needs a core for each, and {where} {cores}{beside}: give fewer")


def tune(
    wish: Wish,
    settings: Settings,
    moved: str | None,
    workers: int,
    address: str | None,
    tell: Tell,
    stop: threading.Event,
) -> Outcome:
    """The run of `pipeline.tuning.run.tune`, made by so many workers on the cluster at `address`, or on a Ray
    of its own.

    `moved`: where the schema file of the sets is now. Raises what a worker raised, WorkerLost when one died,
    and UsageError before any is started where the cluster has no room for them.
    """
    if wish.changes.get("batch"):
        must_share(wish.changes["batch"], workers)
    schemas = Schemas(Path.cwd(), moved, settings.law)
    with cluster.joined(address, 0, tell) as check:
        selector = settings.lane.label_selector
        planned = team(cluster.suited(cluster.nodes(), selector), workers, wish.device)
        if settings.engine.threads is None:
            engine = settings.engine.model_copy(update={"threads": planned.cpus})
            settings = settings.model_copy(update={"engine": engine})
        with _placed(planned, selector, tell, stop, check) as group:
            if group is None:
                return Outcome(0, 0, 0.0)
            with _Workers(planned, group, settings.engine.threads or 1, check, tell, stop) as all_of_them:
                return all_of_them.tune(wish.from_anywhere(planned.device), settings, schemas)


@contextmanager
def _placed(
    planned: Team, selector: dict[str, str], tell: Tell, stop: threading.Event, check: Callable[[], None]
) -> Iterator[Any]:
    """A placement group, once the cluster has room for it; None where that was stopped."""
    import ray
    from ray.exceptions import RayError

    group = ray.util.placement_group(
        [planned.bundle] * planned.workers,
        strategy="PACK",
        bundle_label_selector=[dict(selector)] * planned.workers,
    )
    began, told = time.monotonic(), False
    try:
        while not stop.is_set() and not group.wait(_POLL_SECONDS):
            check()
            if time.monotonic() - began > _WAITING_SECONDS and not told:
                told = True
                what = "a GPU" if planned.gpus else f"{planned.cpus} cores"
                tell(f"waiting until the cluster has {what} free for each of {planned.workers} workers")
        yield None if stop.is_set() else group
    finally:
        with suppress(RayError):
            ray.util.remove_placement_group(group)


class _Workers:
    """The actors, from their start to their end."""

    def __init__(
        self,
        planned: Team,
        group: Any,
        threads: int,
        check: Callable[[], None],
        tell: Tell,
        stop: threading.Event,
    ) -> None:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self._check, self._tell, self._stop = check, tell, stop
        self._hosts: list[str] = []
        self._lines: Any = None  # those that the first worker was asked for and has not given yet
        self._actors: list[Any] = []
        for number in range(planned.workers):
            options: dict[str, Any] = {
                "num_cpus": planned.cpus,
                "num_gpus": planned.gpus,
                "max_concurrency": CALLS,
                "scheduling_strategy": PlacementGroupSchedulingStrategy(group, number),
            }
            kind: Any = ray.remote(**options)(TuningWorker)
            self._actors.append(kind.remote(threads))

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        import ray
        from ray.exceptions import RayError

        for actor in self._actors:
            with suppress(RayError):
                ray.kill(actor)

    def tune(self, wish: Wish, settings: Settings, schemas: Schemas) -> Outcome:
        """The outcome of the first of them. Raises what the one that failed raised, and WorkerLost."""
        found = self._all([actor.node.remote() for actor in self._actors])
        addresses = {node.id: node.address for node in cluster.nodes()}
        if not addresses.keys() >= set(found):
            raise WorkerLost("a machine of the workers is leaving the cluster; try again")
        self._hosts = [addresses[node] for node in found]
        [port] = self._all([self._actors[0].listen.remote(self._hosts[0])])
        seats = [
            Seat(number, len(self._actors), host, (self._hosts[0], port))
            for number, host in enumerate(self._hosts)
        ]
        runs = [
            actor.tune.remote(seat, wish, settings, schemas)
            for actor, seat in zip(self._actors, seats, strict=True)
        ]
        outcome: Outcome = self._all(runs)[0]
        self._say(whole=True)
        return outcome

    def _all(self, calls: Sequence[Any]) -> list[Any]:
        """What these calls of the workers, in order, return. Raises for the first that fails."""
        import ray

        waiting, asked = list(calls), False
        while waiting:
            ready, waiting = ray.wait(waiting, timeout=_POLL_SECONDS)
            self._check()
            if self._stop.is_set() and not asked:
                asked = True
                for actor in self._actors:
                    actor.stop.remote()
            if any(_failure(call) for call in ready):
                if waiting:
                    ray.wait(waiting, num_returns=len(waiting), timeout=_GRACE_SECONDS)
                failed = {self._who(at): why for at, call in enumerate(calls) if (why := _failure(call))}
                raise cause(failed)
            self._say()
        return list(ray.get(list(calls)))

    def _who(self, number: int) -> str:
        host = f" (on {self._hosts[number]})" if self._hosts else ""
        return f"worker {number + 1} of {len(self._actors)}{host}"

    def _say(self, *, whole: bool = False) -> None:
        """Passes on what the first worker has told by now; `whole`: to its last line."""
        import ray
        from ray.exceptions import RayError

        with suppress(RayError):  # whoever waits for its run sees its end
            for _ in range(2 if whole else 1):  # the first of two may have been asked before the last line
                if self._lines is not None and (whole or ray.wait([self._lines], timeout=0)[0]):
                    for line in ray.get(self._lines):
                        self._tell(line)
                    self._lines = None
                if self._lines is None:
                    self._lines = self._actors[0].lines.remote()


def _failure(call: Any) -> Exception | None:
    """Why a call failed; None where it has not, or has not ended."""
    import ray
    from ray.exceptions import GetTimeoutError, RayError

    try:
        ray.get(call, timeout=0)
    except GetTimeoutError:
        return None
    except RayError as error:
        return error
    return None


def cause(failed: Mapping[str, Exception]) -> Exception:
    """Of what Ray says of workers that failed, by their names: the cause of it all, as an error of ours.

    One that is gone is missed by the others, so that their complaints are only its consequences.
    """
    ours = [_translated(who, error) for who, error in failed.items()]
    return min(
        ours,
        key=lambda error: 2 if isinstance(error, PeerGone) else 0 if isinstance(error, VinbatchError) else 1,
    )


def _translated(who: str, error: Exception) -> Exception:
    """What the worker raised; a fault of ours too, which is shown with the traceback of its process."""
    from ray.exceptions import OutOfMemoryError, RayTaskError

    if not isinstance(error, RayTaskError):
        how = "was killed for want of memory" if isinstance(error, OutOfMemoryError) else "died"
        return WorkerLost(f"{who} {how}; {_AGAIN}")
    raised: Exception = error.cause
    if isinstance(raised, PeerGone):
        return PeerGone(f"{who}: {raised.message}; {_AGAIN}")
    if not isinstance(raised, VinbatchError):
        raised.__cause__ = error
    return raised
