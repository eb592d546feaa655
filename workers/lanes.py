"""All lanes of one run as the driver sees them: as many as are its share of the machines that there are now.

Machines join and leave while a run goes on, and other runs come and go. Every few seconds the driver looks at
both: it starts a lane where there is room for one more, and has a lane give back what it holds and end where
there is none any more. A lane that ends loses nothing, because its documents are in the ledger.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.settings import LaneSettings
from workers import cluster
from workers.cluster import LanePlan, Node
from workers.demand import Demand, group_of, places
from workers.lane import LaneBroken, LaneJob, LaneReport
from workers.lane_handle import LaneHandle
from workers.sharing import Presence, driver_name

_LOOK_SECONDS = 2.0  # between two looks at the cluster's machines
_SAY_SECONDS = 5  # steps in which a line tells how long it has been waited
_STOP_SPARE = 10.0  # seconds beyond the grace time, for the lane to end and say so
MACHINE_SECONDS = 1800.0  # that a run waits while no machine holds a lane, where no setting says otherwise


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run asks of its lanes: how many of which size these machines give, and what each works on."""

    fit: Callable[[Sequence[Node]], LanePlan]
    job: Callable[[LanePlan], LaneJob]
    lane: LaneSettings
    grows: bool  # machines may come that are asked for


class Lanes:
    """Lanes work on their own; this only sees that there are lanes, and how many."""

    def __init__(self, wanted: Wanted, presence: Presence, check_ray: Callable[[], None]) -> None:
        """`check_ray` raises LaneBroken when the Ray under the lanes is gone."""
        self.waiting: str | None = None  # what is waited for, for people
        self._wanted = wanted
        self._presence = presence
        self._check_ray = check_ray
        self._demand = Demand(wanted.lane.label_selector)
        self._lanes: list[LaneHandle] = []
        self._keeping: dict[LaneHandle, asyncio.Task[None]] = {}
        self._overdue: dict[LaneHandle, float] = {}  # when lanes that were told to end are ended
        self._gone: list[LaneReport] = []  # the last ones of lanes that were retired
        self._replaced = 0  # of those
        self._started = 0
        self._listed = self._stopping = self._closing = False
        self._pool = cluster.identity()
        self._began = self._held_at = time.monotonic()
        self._look_at = 0.0

    @property
    def replaced(self) -> int:
        """Schedulers that died and were replaced."""
        return self._replaced + sum(len(lane.past) for lane in self._lanes)

    @property
    def working(self) -> bool:
        """A lane is ready, and has not ended."""
        return any(lane.begun for lane in self._keeping)

    @property
    def over(self) -> bool:
        """Nothing more is to come of these lanes.

        When one lane found everything finished, those that have not begun are not waited for: there may be
        no machine for them any more.
        """
        if not (self._stopping or self._closing):
            return False
        return not any(lane.begun or self._stopping for lane in self._keeping)

    def reports(self) -> list[LaneReport]:
        """The newest from every lane there is or was."""
        newest = (report for lane in self._lanes for report in (*lane.past, lane.report))
        return [*self._gone, *(report for report in newest if report is not None)]

    async def introduce(self) -> None:
        """Say to the other runs that this one wants lanes, and see what they have."""
        plan = self._wanted.fit(self._machines())
        self._say(plan, plan.lanes)
        await asyncio.to_thread(self._presence.beat)

    async def tend(self, unfinished: int | None, seconds: float) -> None:
        """Watch the lanes for so long, or until one ends; now and then see that they are as many as can be.

        `unfinished`: documents that are left; None: nobody knows. Raises what a lane raised, and LaneBroken
        when no lane stays alive, no machine is there for any for too long, or Ray itself is gone.
        """
        now = time.monotonic()
        if now >= self._look_at and not self._stopping:
            self._look_at = now + _LOOK_SECONDS
            self._aim(unfinished, now)
        if self._keeping:
            await asyncio.wait(self._keeping.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(seconds)
        self._check_ray()
        self._settle()
        for lane, when in self._overdue.items():
            if lane in self._keeping and time.monotonic() > when:
                lane.abandon()
        # While any lane works, one that has lost its way to the store is only started again.
        kept = [lane for lane in self._lanes if not lane.retired]
        if kept and all(lane.hopeless for lane in kept):
            why = next(lane.why for lane in kept if lane.why)
            raise LaneBroken(f"no lane stays alive; the last one ended with: {why}")

    def listed(self) -> None:
        """The listing is complete: lanes may end when nothing is left."""
        self._listed = True
        for lane in self._lanes:
            lane.listed()

    def stop(self) -> None:
        """Have every lane finish or give back what it holds, within its grace time."""
        self._stopping = True
        self.waiting = None
        self._demand.withdraw()
        for lane in self._keeping:
            self._end_by(lane)
            lane.stop()

    async def abandon(self) -> None:
        """Nothing of the lanes is left; what they held is free when its lease runs out."""
        self._demand.withdraw()
        for lane in self._lanes:
            lane.abandon()
        await asyncio.gather(*self._keeping.values(), return_exceptions=True)
        for lane in self._lanes:
            lane.leave()

    # how many

    def _machines(self) -> list[Node]:
        return cluster.suited(cluster.nodes(), self._wanted.lane.label_selector, grows=True)

    def _aim(self, unfinished: int | None, now: float) -> None:
        """Have as many lanes as are this run's share of the room that there is now."""
        machines = self._machines()
        plan, where = self._wanted.fit(machines), places()
        if plan.room:
            self._held_at = now
        wanted = plan.lanes if unfinished is None else min(plan.lanes, max(1, unfinished))
        busy = sum(bool(lane.report and lane.report.held) for lane in self._lanes if not lane.retired)
        wanted = max(wanted, min(busy, plan.lanes))
        self._say(plan, wanted)
        share = min(wanted, self._presence.share(plan.room, wanted))
        kept = self._kept(plan, where, {machine.id for machine in machines}, share)
        if len(kept) < share and not self._closing:
            self._demand.withdraw()  # else its groups would stand before those of the lanes
            kept += [self._start(plan) for _ in range(share - len(kept))]
        asked = self._presence.asks(plan.room, wanted) if self._wanted.grows and not self._closing else 0
        self._demand.state(asked, plan.bundle, where)
        self.waiting = self._awaited(plan, share, where, now)

    def _kept(
        self, plan: LanePlan, where: Mapping[str, str | None], machines: set[str], share: int
    ) -> list[LaneHandle]:
        """The lanes that stay; the others end. Those go first that lose least: without a place, idle, new."""
        kept = []
        for lane in self._lanes:
            if lane.retired:
                continue
            place = where.get(lane.group.id.hex())
            leaves = place is not None and place not in machines
            misfit = place is None and lane in self._keeping and lane.plan.bundle != plan.bundle
            if lane in self._keeping and (leaves or misfit):
                self._retire(lane)
            else:
                kept.append(lane)

        def worth(lane: LaneHandle) -> tuple[bool, bool, bool, int]:
            placed = where.get(lane.group.id.hex()) is not None
            return placed, lane.begun, bool(lane.report and lane.report.held), -self._lanes.index(lane)

        kept.sort(key=worth, reverse=True)
        for lane in kept[share:]:
            if lane in self._keeping:
                self._retire(lane)
        return kept[:share]

    def _start(self, plan: LanePlan) -> LaneHandle:
        group = group_of(plan.bundle, self._wanted.lane.label_selector)
        # The ledger names two runs of one job apart, and two lanes of a run.
        lane = LaneHandle(f"{driver_name()}-lane-{self._started}", self._wanted.job(plan), group, plan)
        self._started += 1
        if self._listed:
            lane.listed()
        self._lanes.append(lane)
        self._keeping[lane] = asyncio.create_task(lane.keep())
        return lane

    def _retire(self, lane: LaneHandle) -> None:
        self._end_by(lane)
        lane.retire()

    def _end_by(self, lane: LaneHandle) -> None:
        self._overdue[lane] = time.monotonic() + self._wanted.lane.grace_seconds + _STOP_SPARE

    def _settle(self) -> None:
        """Lanes that have ended give their places back."""
        for lane, task in list(self._keeping.items()):
            if not task.done():
                continue
            del self._keeping[lane]
            lane.leave()
            if not task.cancelled():
                task.result()
            if lane.retired:
                self._lanes.remove(lane)
                self._gone += [report for report in (*lane.past, lane.report) if report is not None]
                self._replaced += len(lane.past)
            elif lane.finished or (lane.report is not None and lane.report.refused):
                self._closing = True

    def _say(self, plan: LanePlan, wanted: int) -> None:
        kind = "gpu" if plan.gpus else "cpu"
        selector = json.dumps(self._wanted.lane.label_selector, sort_keys=True)
        working = sum(lane.begun for lane in self._keeping)
        self._presence.say(f"{self._pool} {kind} {selector}", plan.room, wanted, working)

    # in words

    def _awaited(self, plan: LanePlan, share: int, where: Mapping[str, str | None], now: float) -> str | None:
        """What is waited for. Raises LaneBroken when that was for too long."""
        need = " and ".join(f"{size:g} {what}" for what, size in plan.bundle.items())
        if not plan.room:
            limit = self._wanted.lane.machine_seconds or MACHINE_SECONDS
            if now - self._held_at > limit:
                raise LaneBroken(
                    f"the cluster has had no machine with {need} free for a lane for {limit:g} s "
                    "(lane.machine_seconds); the same command goes on where this one stopped"
                )
            asked = f", the cluster is asked for {self._demand.size}" if self._demand.size else ""
            return f"waiting for a machine with {need}{asked}: {_steps(now - self._held_at)} of {limit:g} s"
        if not share:
            others = sorted({run.job for run in self._presence.others if run.wanted})
            return f"no lane is left for this job by {', '.join(others)}: {_steps(now - self._began)} s"
        here = [lane for lane in self._keeping if not lane.retired]
        seeking = sum(where.get(lane.group.id.hex()) is None for lane in here)
        if not any(lane.begun for lane in here):
            if now - self._began < _SAY_SECONDS or not here:
                return None
            if seeking == len(here):
                return f"waiting for {need} on the cluster's machines: {_steps(now - self._began)} s"
            return f"lanes that are starting: {len(here) - seeking}, {_steps(now - self._began)} s"
        missing = max(seeking, self._demand.size)
        return f"lanes that wait for another machine with {need}: {missing}" if missing else None


def _steps(seconds: float) -> int:
    return int(seconds) // _SAY_SECONDS * _SAY_SECONDS
