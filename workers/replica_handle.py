"""The replica of a lane as its scheduler calls it, kept alive.

Imports little: the replica is the first thing that a lane starts.
"""

from __future__ import annotations

from typing import Any

import ray

from pipeline.errors import ReplicaLost
from pipeline.keys import ModelFacts
from pipeline.records import Generation
from workers.flow_control import Prepared
from workers.lane import LaneBroken, LaneJob
from workers.replica import Health, Replica
from workers.supervisor import STARTS, Actor, Supervisor


class ReplicaHandle(Supervisor):
    """The lane's model. The methods raise ReplicaLost when it dies."""

    def __init__(self, job: LaneJob) -> None:
        super().__init__("replica", lambda: start_replica(job), ReplicaLost, STARTS)
        self._stall_seconds = job.settings.lane.stall_seconds
        self._facts: ModelFacts | None = None

    async def prepare(self, actor: Actor) -> None:
        await actor.ignore_sigterm.remote()
        facts = await actor.load.remote()
        if self._facts is not None and facts != self._facts:  # the lane's keys are for the one before
            raise LaneBroken(f"the replica came back as another: {facts.numerics}")
        self._facts = facts
        self.progressed()

    async def facts(self) -> ModelFacts:
        """Of the model, once it is loaded."""
        async with self.alive():
            if self._facts is None:
                raise RuntimeError("the replica is loaded and gave no facts")
            return self._facts

    async def generate(self, id: str, prepared: Prepared) -> Generation:
        """The answer to the request of this id, however long the queue; its tiles are let go of meanwhile."""
        async with self.alive() as replica:
            await replica.take.remote(prepared.request)
            prepared.let_go()
            answer: Generation = await replica.answer.remote(id)
            return answer

    async def health(self) -> Health:
        """Also replaces a replica whose engine stands still."""
        async with self.alive(self._stall_seconds) as replica:
            health: Health = await replica.health.remote()
            if health.still_seconds > self._stall_seconds:
                self.replace(replica, f"its engine has stood still for {health.still_seconds:.0f} s")
            return health


def start_replica(job: LaneJob) -> Actor:
    """In the caller's placement group, which has reserved the CPUs for all of the lane."""
    # All pages of the lane, and questions after its health.
    concurrency = job.sizes.pages_in_flight + 16
    options: dict[str, Any] = {"num_cpus": 0, "num_gpus": job.gpus, "max_concurrency": concurrency}
    if job.settings.server.url is not None:
        from workers.remote_replica import RemoteReplica

        remote: Any = ray.remote(**options)(RemoteReplica)
        return remote.remote(job.model, job.settings, job.schema, job.server_key)
    actor: Any = ray.remote(**options)(Replica)
    return actor.remote(job.model, job.settings.engine, job.schema)
