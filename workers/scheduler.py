"""The actor at the head of a lane."""

from __future__ import annotations

from workers.lane import LaneJob, LaneReport
from workers.replica_handle import ReplicaHandle


class Scheduler:
    """Starts the replica, which takes longest, before it imports what the lane's work needs.

    `work` is its life; the other methods may be called meanwhile.
    """

    def __init__(self, name: str, job: LaneJob) -> None:
        replica = ReplicaHandle(job)
        from workers.lane_work import LaneWork

        self._lane = LaneWork(name, job, replica)

    async def work(self) -> LaneReport:
        """As `LaneWork.work`."""
        return await self._lane.work()

    async def listed(self) -> None:
        """The listing is complete: when nothing is unfinished, the lane may end."""
        await self._lane.listed()

    async def stop(self) -> None:
        """Claim nothing more; finish or give back what is held within the grace time."""
        await self._lane.stop()

    async def report(self, after: int = 0) -> LaneReport:
        """As it is now, with what was logged after event number `after`."""
        return await self._lane.report(after)
