"""All lanes of one run as the driver sees them: started, watched, replaced, stopped."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipeline.errors import Transient, UsageError, VinbatchError
from workers import cluster
from workers.cluster import LanePlan
from workers.lane import LaneBroken, LaneJob, LaneReport
from workers.logs import relay
from workers.patience import StoreAway
from workers.scheduler import Scheduler
from workers.supervisor import Actor, Supervisor

_STARTS = 5  # of a lane that got nothing done in between
_REPORT_SECONDS = 0.5  # between two reports of a lane
_LOOK_SECONDS = 10.0  # between two looks at the cluster's machines
_NO_MACHINE_SECONDS = 60.0
_STOP_SPARE = 10.0  # seconds beyond the grace time, for the lane to end and say so


class LaneLost(Transient):
    """The lane's scheduler is gone; what it held is free again when its leases run out."""


class LaneHandle(Supervisor):
    """One lane: its place in the cluster, and the scheduler that is there now."""

    def __init__(self, name: str, job: LaneJob, group: PlacementGroup) -> None:
        super().__init__(
            "scheduler", lambda: start_scheduler(name, job, group), LaneLost, _STARTS, job=job.name, lane=name
        )
        self._job, self._name = job.name, name
        self._event = 0  # the number of the last one that was logged
        self.report: LaneReport | None = None  # the newest
        self.past: list[LaneReport] = []  # the last ones of the schedulers that were here before
        self.why = ""  # why its last scheduler ended
        self.away = False  # that was because the store stayed away, and none has worked since
        self.finished = False  # it found that no document is left
        self._grace_seconds = job.settings.lane.grace_seconds
        self._scheduler: Actor | None = None  # at work
        self._keeping: asyncio.Task[None] | None = None
        self._listed = False
        self._stopping = False

    async def prepare(self, actor: Actor) -> None:
        if self._listed:
            actor.listed.remote()

    async def keep(self) -> None:
        """Have a scheduler work, and another when that one dies, until nothing is left to do, the lane is
        stopped, or its starts are used up.

        Raises UsageError when the lane finds that nothing can work as asked.
        """
        self._keeping = asyncio.current_task()
        while not (self._stopping or self.exhausted):
            pause = None
            try:
                async with self.alive() as self._scheduler:
                    following = asyncio.create_task(self._follow(self._scheduler))
                    try:
                        report = self._take(await self._scheduler.work.remote())
                    finally:
                        following.cancel()
            except UsageError:
                raise
            except Exception as error:  # noqa: BLE001  whatever it was: the next scheduler may do better
                if isinstance(error, VinbatchError):
                    self.why = logged = error.message
                else:  # its text may hold what was read
                    self.why, logged = str(error).strip().splitlines()[-1], type(error).__name__
                self.away |= isinstance(error, StoreAway)
            else:
                if not report.sigterm_received:
                    self.finished = not (self._stopping or report.refused)
                    return
                self.why = logged = "it received SIGTERM"
                self.progressed()
                # By then the machine is gone, or stays after all.
                pause = self._grace_seconds
            self._ended(logged, pause)

    def listed(self) -> None:
        """The listing is complete: the lane may end when nothing is left."""
        self._listed = True
        if self._scheduler is not None:
            self._scheduler.listed.remote()

    def stop(self) -> None:
        """Have the lane finish or give back what it holds, and start it no more."""
        self._stopping = True
        if self._scheduler is not None:
            self._scheduler.stop.remote()
        else:
            self.abandon()

    def abandon(self) -> None:
        """End the lane as it is: its leases run out by themselves."""
        if self._keeping is not None:
            self._keeping.cancel()
        self.end()

    @property
    def begun(self) -> bool:
        """It has a place, and its processes are ready."""
        return self.report is not None and self.report.state != "starting"

    @property
    def hopeless(self) -> bool:
        return self.exhausted or self.away

    async def _follow(self, scheduler: Actor) -> None:
        """Have it report, as long as it lives."""
        with suppress(RayError):  # `keep` sees its end
            while True:
                self._take(await scheduler.report.remote(self._event))
                await asyncio.sleep(_REPORT_SECONDS)

    def _take(self, report: LaneReport) -> LaneReport:
        self.report = report
        self._event = relay(report.events, self._event, job=self._job, lane=self._name)
        self.away &= report.state != "working"
        if report.pages or report.pages_known or report.documents:
            self.progressed()
        return report

    def _ended(self, why: str, pause: float | None) -> None:
        scheduler, self._scheduler = self._scheduler, None
        if self.report is not None:
            self.past.append(self.report)
            self.report = None
        self._event = 0
        self.replace(scheduler, why, pause)


class Lanes:
    """Lanes work on their own; this only sees that there are lanes."""

    def __init__(self, lanes: Sequence[LaneHandle], job: LaneJob, check_ray: Callable[[], None]) -> None:
        """`check_ray` raises LaneBroken when the Ray under the lanes is gone."""
        self.handles = tuple(lanes)
        self._grace_seconds = job.settings.lane.grace_seconds
        self._check_ray = check_ray
        self._stop_at: float | None = None
        self._look_at = self._machines_at = time.monotonic()

    @property
    def replaced(self) -> int:
        """Schedulers that died and were replaced."""
        return sum(len(lane.past) for lane in self.handles)

    def reports(self) -> list[LaneReport]:
        """The newest from every lane there is or was."""
        return [report for lane in self.handles for report in (*lane.past, lane.report) if report is not None]

    def listed(self) -> None:
        """The listing is complete: lanes may end when nothing is left."""
        for lane in self.handles:
            lane.listed()

    def stop(self) -> None:
        """Have every lane finish or give back what it holds, within its grace time."""
        self._stop_at = time.monotonic() + self._grace_seconds + _STOP_SPARE
        for lane in self.handles:
            lane.stop()

    def abandon(self) -> None:
        for lane in self.handles:
            lane.abandon()

    def check(self) -> None:
        """Raises LaneBroken when no lane stays alive, no machine is left for them, or Ray itself is gone."""
        self._check_ray()
        if self._stop_at is not None and time.monotonic() > self._stop_at:
            self.abandon()
        self._look_for_machines()
        # While any lane works, one that has lost its way to the store is only started again.
        if all(lane.hopeless for lane in self.handles):
            why = next(lane.why for lane in self.handles if lane.why)
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


@contextmanager
def placed(job: LaneJob, plan: LanePlan, check_ray: Callable[[], None]) -> Iterator[Lanes]:
    """The lanes of a run, each with its own place in the cluster; after this block all are gone."""
    host = f"{socket.gethostname()}-{os.getpid()}"  # so that the ledger names two runs of one job apart
    wanted = [dict(job.settings.lane.label_selector)]
    groups = [
        placement_group([plan.bundle], strategy="STRICT_PACK", bundle_label_selector=wanted)
        for _ in range(plan.lanes)
    ]
    try:
        yield Lanes(
            [LaneHandle(f"{host}-lane-{number}", job, group) for number, group in enumerate(groups)],
            job,
            check_ray,
        )
    finally:
        for group in groups:
            remove_placement_group(group)


def start_scheduler(name: str, job: LaneJob, group: PlacementGroup) -> Actor:
    strategy = PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
    )
    actor: Any = ray.remote(num_cpus=0, scheduling_strategy=strategy)(Scheduler)
    return actor.remote(name, job)
