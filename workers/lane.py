"""The records between the driver and its lanes: the job that they work on, and their reports."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.errors import UsageError, VinbatchError
from pipeline.records import Failure
from pipeline.settings import Settings
from schemas import registry
from schemas.law import Law
from workers.activity import Activity, Stage
from workers.logs import Event
from workers.sizing import Sizes, sizes

if TYPE_CHECKING:
    from pipeline.store import State  # with SQLAlchemy, which readers and replicas need not load
    from schemas.registry import SchemaSpec


class LaneBroken(VinbatchError):
    """The lane cannot go on, through no document's fault; what it held is given back."""


class StaysAway(LaneBroken):
    """What the lane needs, the store or a server, was away for longer than it has patience."""


class SourceRefuses(LaneBroken):
    """Document after document is refused by its source: the rest is better left as it is."""


@dataclass(frozen=True, slots=True)
class LaneJob:
    """Everything that a lane's processes need to know of the job."""

    name: str
    store: str = field(repr=False)  # may hold a password
    schema: str  # as registry.resolve takes it
    model: str  # as vintern.load takes it
    checkpoint: str  # the hash that the loaded weights must have
    gpus: float  # of the replica; 0 for a CPU lane
    settings: Settings = field(repr=False)
    cores: float = 1.0  # of its machine, the lane's share
    server_key: str | None = field(default=None, repr=False)
    sources: tuple[str, ...] = ()  # as they were typed, paths made absolute

    @property
    def sizes(self) -> Sizes:
        served = self.settings.server if self.settings.server.url is not None else None
        return sizes(self.settings.lane, gpu=self.gpus > 0, cores=self.cores, served=served)


@dataclass(slots=True)
class LaneReport:
    """What a lane has done since it was started. Counts only: nothing that was read."""

    lane: str
    state: str = "starting"
    engine: str | None = None  # what its replica computes with, in words
    start_seconds: float = 0.0  # of its replica
    held: int = 0  # documents leased now
    documents: Counter[str] = field(default_factory=Counter)  # by the state they ended in
    reasons: Counter[str] = field(default_factory=Counter)  # of quarantined documents and failed pages
    pages: int = 0  # read now, by the model or without it
    pages_known: int = 0  # found in the store, not read again
    calls: int = 0  # of the model, second looks too; where a replica dies, a page is asked again
    answers: int = 0  # pages that the model answered
    tiles: int = 0  # that the model was shown
    tokens: int = 0  # generated
    claims: int = 0  # documents
    activity: Activity = field(default_factory=Activity)  # where its time went
    phases: dict[str, float] = field(default_factory=dict)  # seconds of the model: vision, prefill, decode
    waiting: int = 0  # pages that are prepared, and that the model does not hold yet
    unfinished: int = 0  # documents of the whole job, when the lane last asked
    batch_fill: float = 0.0  # share of the batch that is decoded
    kv_use: float = 0.0  # share of the KV cache that is taken
    given_back: int = 0  # documents to be tried again
    late: int = 0  # documents that somebody else had taken over
    reader_deaths: int = 0
    replica_deaths: int = 0
    sigterm_received: bool = False
    refused: str | None = None  # why the lane stopped before the end
    trouble: str | None = None  # what the lane is waiting for, if anything is wrong
    peak_bytes: dict[str, int] = field(default_factory=dict)  # largest resident memory, by process
    events: tuple[Event, ...] = ()  # what was logged since the last report

    def timed(self, stage: Stage) -> AbstractContextManager[None]:
        """Counts the time of this block to the stage; blocks of several documents go on side by side."""
        return self.activity.during(stage)

    def ended(self, state: State, failures: Iterable[Failure] = ()) -> None:
        """An attempt is over: the ledger has left its document in `state`, with these failures."""
        if state == "pending":
            self.given_back += 1
        else:
            self.documents[state] += 1
            self.reasons.update(str(failure.reason) for failure in failures)


def schema_of(name: str, law: Law | None = None) -> SchemaSpec:
    """`law` is the setting of that name; what a page is asked does not depend on it. Raises UsageError."""
    try:
        return registry.resolve(name, law)
    except registry.SchemaError as error:
        raise UsageError(str(error)) from error


def peak_bytes() -> int:
    """Largest resident memory of this process so far, bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
