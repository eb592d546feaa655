"""All lanes of one run as the driver sees them: started, watched, replaced, stopped."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipeline.errors import UsageError, VinbatchError
from workers import cluster
from workers.cluster import LanePlan
from workers.lane import LaneBroken, LaneJob, LaneReport
from workers.scheduler import Scheduler, StoreAway

_RESTARTS = 5  # of a lane that got nothing done in between
_LONGEST_PAUSE = 30.0  # seconds before a lane is started again
_LOOK_SECONDS = 10.0  # between two looks at the cluster's machines
_NO_MACHINE_SECONDS = 60.0
_STOP_SPARE = 10.0  # seconds beyond the grace time, for the lane to end and say so


@dataclass
class _Berth:
    """The place of one lane in the cluster, and the lane that is there now."""

    name: str
    group: PlacementGroup
    scheduler: Any = None
    work: Any = None  # reference to the end of the lane's life
    asked: Any = None  # reference to a report on its way
    report: LaneReport | None = None
    past: list[LaneReport] = field(default_factory=list)  # of the lanes that were here before
    barren: int = 0  # deaths in a row with nothing done
    away: bool = False  # the lane here ended because the store stayed away, and none has worked since
    start_at: float = 0.0
    why: str = ""


class Fleet:
    """Lanes work on their own; this only sees that there are lanes. On leaving its block, all are gone."""

    def __init__(self, job: LaneJob, plan: LanePlan, check: Callable[[], None]) -> None:
        """`check` raises LaneBroken when the Ray under the lanes is gone."""
        self._job = job
        self._check = check
        host = f"{socket.gethostname()}-{os.getpid()}"  # two runs of one job are told apart in the ledger
        self._berths = [
            _Berth(f"{host}-lane-{number}", placement_group([plan.bundle], strategy="STRICT_PACK"))
            for number in range(plan.lanes)
        ]
        self._listed = False
        self._finished = False  # a lane found that no document is left
        self._stop_at: float | None = None
        self._look_at = self._machines_at = time.monotonic()

    def __enter__(self) -> Fleet:
        for berth in self._berths:
            self._start(berth)
        return self

    def __exit__(self, *_: object) -> None:
        for berth in self._berths:
            remove_placement_group(berth.group)

    @property
    def working(self) -> bool:
        """Whether any lane is alive or will be started again.

        When one lane found everything finished, those that have not begun are not waited for: there may be
        no machine for them any more.
        """
        if self._finished:
            return any(berth.report and berth.report.state != "starting" for berth in self._living())
        return any(berth.work is not None or self._to_start(berth) for berth in self._berths)

    @property
    def replaced(self) -> int:
        """Schedulers that died and were replaced."""
        return sum(len(berth.past) for berth in self._berths)

    def reports(self) -> list[LaneReport]:
        """The newest from every lane there is or was."""
        return [
            report
            for berth in self._berths
            for report in [*berth.past, *([berth.report] if berth.report is not None else [])]
        ]

    def listed(self) -> None:
        """The listing is complete: lanes may end when nothing is left."""
        self._listed = True
        for berth in self._living():
            berth.scheduler.listed.remote()

    def stop(self) -> None:
        """Have every lane finish or give back what it holds, within its grace time."""
        self._stop_at = time.monotonic() + self._job.settings.lane.grace_seconds + _STOP_SPARE
        for berth in self._living():
            berth.scheduler.stop.remote()

    def watch(self, seconds: float) -> None:
        """Wait a while for something to happen; replace lanes that died.

        Raises UsageError when a lane finds that nothing can work as asked, LaneBroken when none stays alive
        or Ray itself is gone.
        """
        self._check()
        for berth in self._berths:
            if berth.work is None and self._to_start(berth) and time.monotonic() >= berth.start_at:
                self._start(berth)
        working = [berth.work for berth in self._living()]
        if not working:
            time.sleep(seconds)
        ended = set(ray.wait(working, num_returns=len(working), timeout=seconds)[0]) if working else set()
        for berth in self._living():
            if berth.work in ended:
                self._end(berth)
            else:
                self._ask(berth)
        if self._stop_at is not None and time.monotonic() > self._stop_at:
            for berth in self._living():  # its leases run out by themselves
                ray.kill(berth.scheduler)
                berth.work = None
        self._look_for_machines()
        broken = [berth for berth in self._berths if berth.barren >= _RESTARTS or berth.away]
        if len(broken) == len(self._berths):  # one lane alone may have lost its way to the store
            why = next(berth.why for berth in broken if berth.why)  # a lane that was just started has none
            raise LaneBroken(f"no lane stays alive; the last one ended with: {why}")

    def _look_for_machines(self) -> None:
        """Lanes without a machine would be waited for without end. Raises LaneBroken."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        if cluster.nodes():
            self._machines_at = now
        elif now - self._machines_at > _NO_MACHINE_SECONDS:
            raise LaneBroken(f"the Ray cluster has had no living machine for {_NO_MACHINE_SECONDS:g} s")

    def _living(self) -> Iterator[_Berth]:
        return (berth for berth in self._berths if berth.work is not None)

    def _to_start(self, berth: _Berth) -> bool:
        return bool(berth.why) and berth.barren < _RESTARTS and self._stop_at is None

    def _start(self, berth: _Berth) -> None:
        berth.why = ""
        strategy = PlacementGroupSchedulingStrategy(
            berth.group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
        )
        actor: Any = ray.remote(num_cpus=0, scheduling_strategy=strategy)(Scheduler)
        berth.scheduler = actor.remote(berth.name, self._job)
        berth.work = berth.scheduler.work.remote()
        berth.asked = None
        if self._listed:
            berth.scheduler.listed.remote()

    def _ask(self, berth: _Berth) -> None:
        """Take the report that has come, and ask for the next; never wait for one."""
        if berth.asked is not None:
            ready, _ = ray.wait([berth.asked], timeout=0)
            if not ready:
                return
            try:
                report: LaneReport = ray.get(berth.asked)
                berth.report = report
                berth.away &= report.state != "working"
            except RayError:  # the lane has died: seen at its work in the next round
                return
        berth.asked = berth.scheduler.report.remote()

    def _end(self, berth: _Berth) -> None:
        """A lane's work is over: because all is done, or because it died."""
        try:
            berth.report = ray.get(berth.work)
        except RayTaskError as error:
            if isinstance(error.cause, UsageError):
                raise error.cause from error
            known = isinstance(error.cause, VinbatchError)
            berth.away = isinstance(error.cause, StoreAway) and self._stop_at is None
            berth.why = error.cause.message if known else str(error).strip().splitlines()[-1]
        except RayError as error:
            berth.why = f"{type(error).__name__}: the lane's scheduler died"
        berth.work = None
        told = not berth.why and berth.report is not None and berth.report.told_to_end
        if told:
            berth.why = "it was told to end (SIGTERM)"
        if not berth.why:
            self._finished |= self._stop_at is None and berth.report is not None and not berth.report.refused
        else:
            report = berth.report
            fruitful = report is not None and bool(report.pages or report.pages_known or report.documents)
            berth.barren = 0 if fruitful or told else berth.barren + 1
            pause = min(2.0**berth.barren - 1, _LONGEST_PAUSE)
            if told:  # the machine will be gone by then, or stays after all
                pause = self._job.settings.lane.grace_seconds
            berth.start_at = time.monotonic() + pause
            if report is not None:
                berth.past.append(report)
                berth.report = None
