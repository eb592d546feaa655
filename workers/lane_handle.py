"""One lane as the driver sees it: placed, watched, its scheduler replaced, stopped."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pipeline.errors import Transient, UsageError, VinbatchError
from workers.cluster import LanePlan
from workers.lane import LaneJob, LaneReport, StaysAway
from workers.logs import relay
from workers.scheduler import Scheduler
from workers.supervisor import Actor, Supervisor

_STARTS = 5  # of a lane that got nothing done in between
_REPORT_SECONDS = 0.5  # between two reports of a lane


class LaneLost(Transient):
    """The lane's scheduler is gone; what it held is free again when its leases run out."""


class LaneHandle(Supervisor):
    """One lane: its place in the cluster, and the scheduler that is there now."""

    def __init__(self, name: str, job: LaneJob, group: PlacementGroup, plan: LanePlan) -> None:
        super().__init__(
            "scheduler", lambda: start_scheduler(name, job, group), LaneLost, _STARTS, job=job.name, lane=name
        )
        self.group, self.plan = group, plan
        self.retired = False  # it is to end though documents are left
        self._job, self._name = job.name, name
        self._event = 0  # the number of the last one that was logged
        self.report: LaneReport | None = None  # the newest
        self.past: list[LaneReport] = []  # the last ones of the schedulers that were here before
        self.why = ""  # why its last scheduler ended
        self.away = False  # that was because the store, or a server, stayed away, and none has worked since
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
                self.away |= isinstance(error, StaysAway)
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

    def retire(self) -> None:
        """The same, because another has better use for its place, or its machine is to go."""
        self.retired = self._stopping = True
        if self.begun:
            self.stop()
        else:
            self.abandon()  # it holds nothing, and a model may take minutes to load

    def abandon(self) -> None:
        """End the lane as it is: its leases run out by themselves."""
        if self._keeping is not None:
            self._keeping.cancel()
        self.end()

    def leave(self) -> None:
        """Nothing of the lane is left in the cluster from now on, and its place is free."""
        self.end()
        with suppress(RayError):
            remove_placement_group(self.group)

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


def start_scheduler(name: str, job: LaneJob, group: PlacementGroup) -> Actor:
    strategy = PlacementGroupSchedulingStrategy(
        group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
    )
    actor: Any = ray.remote(num_cpus=0, scheduling_strategy=strategy)(Scheduler)
    return actor.remote(name, job)
