"""Where the time of a run went, lane by lane, and what would make it quicker: `vinbatch run --profile`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workers.activity import BOUNDS, Bound
from workers.lane import LaneReport
from workers.progress import Progress

_ROWS: Mapping[Bound, str] = {
    "start": "start-up",
    "documents": "waiting for documents",
    "fetch": "fetching",
    "draw": "drawing, preparing",
    "room": "waiting for room",
    "model": "the model",
    "store": "claims and commits",
    "other": "idle, between these",
}
_PHASES = {"vision": "the model: vision", "prefill": "the model: prefill", "decode": "the model: decode"}
# What went on side by side, in the row of what it is.
_BESIDE: Mapping[Bound, tuple[str, ...]] = {
    "fetch": ("fetch",),
    "draw": ("draw",),
    "room": ("room",),
    "model": ("model",),
    "store": ("claim", "save", "commit"),
}


@dataclass(frozen=True, slots=True)
class LaneTime:
    """One lane's time. `clock` and `beside` are seconds by what it was bound by, `phases` those of its model.

    Those of `clock` add up to its whole time, those of `beside` are of all that went on side by side.
    """

    lane: str
    clock: Mapping[Bound, float]
    beside: Mapping[Bound, float]
    phases: Mapping[str, float]
    readers: int = 1
    batch: int = 0

    @property
    def working(self) -> float:
        return sum(self.clock.values()) - self.clock.get("start", 0.0)


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What the lanes were bound by most of their time."""

    bound: Bound
    share: float  # of all lanes' time, 0 to 1
    words: str  # and what would mend it
    then: Bottleneck | None = None  # the next one, where that was the start


class Profile:
    """Of a run, from its last reports."""

    def __init__(self, lanes: Sequence[LaneTime]) -> None:
        self.lanes = tuple(lanes)
        self.total = LaneTime(
            "all",
            _sum(lane.clock for lane in lanes),
            _sum(lane.beside for lane in lanes),
            _sum(lane.phases for lane in lanes),
            max((lane.readers for lane in lanes), default=1),
            max((lane.batch for lane in lanes), default=0),
        )

    @classmethod
    def of(cls, progress: Progress) -> Profile:
        """A lane whose scheduler was replaced is one lane; the time between two counts as start-up."""
        by_lane: dict[str, list[LaneReport]] = defaultdict(list)
        for report in progress.reports:
            by_lane[report.lane].append(report)
        return cls([_lane(name, reports, progress.lanes_seconds) for name, reports in by_lane.items()])

    @property
    def bottleneck(self) -> Bottleneck | None:
        """None where nothing was done."""
        clock = self.total.clock
        whole = sum(clock.values())
        if whole <= 0:
            return None
        first, second = sorted(BOUNDS, key=lambda one: -clock.get(one, 0.0))[:2]
        then = None
        if first == "start" and clock.get(second):
            then = Bottleneck(second, clock[second] / whole, _WORDS[second](self.total))
        return Bottleneck(first, clock[first] / whole, _WORDS[first](self.total), then)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heads and rows: seconds of each lane and of all, their share, and how many went on at a time."""
        several = len(self.lanes) > 1
        columns = [*self.lanes, self.total] if several else [self.total]
        heads = ["where the time went, s", *(lane.lane.rpartition("-")[2] for lane in columns[:-1]), "all"]
        if several:
            heads[1:-1] = [f"lane {name}" for name in heads[1:-1]]
        whole = sum(self.total.clock.values()) or 1.0
        rows = []
        for bound in BOUNDS:
            beside = self._at_a_time(bound)
            for name, seconds in self._lines(bound, columns):
                rows.append([name, *(f"{one:.1f}" for one in seconds), f"{seconds[-1] / whole:.0%}", beside])
                beside = "–"
        sums = [sum(lane.clock.values()) for lane in columns]
        rows.append(["together", *(f"{one:.1f}" for one in sums), "100%", "–"])
        return [*heads, "share", "at a time"], rows

    def record(self) -> dict[str, Any]:
        """For machines."""
        found = self.bottleneck
        return {
            "lanes": {
                lane.lane: {
                    "clock": _rounded(lane.clock),
                    "side_by_side": _rounded(lane.beside),
                    "model": _rounded(lane.phases),
                }
                for lane in self.lanes
            },
            "bottleneck": None
            if found is None
            else {"bound": found.bound, "share": round(found.share, 3), "words": found.words},
        }

    def _lines(self, bound: Bound, columns: Sequence[LaneTime]) -> list[tuple[str, list[float]]]:
        """The rows of what lanes are bound by; the model's are divided as its own clock says."""
        seconds = [lane.clock.get(bound, 0.0) for lane in columns]
        if bound != "model" or not self.total.phases:
            return [(_ROWS[bound], seconds)]
        of_phases = sum(self.total.phases.values()) or 1.0
        return [
            (words, [one * self.total.phases.get(phase, 0.0) / of_phases for one in seconds])
            for phase, words in _PHASES.items()
        ]

    def _at_a_time(self, bound: Bound) -> str:
        """How many went on at a time while lanes worked, on average, in each of them."""
        if bound not in _BESIDE or not self.total.working:
            return "–"
        number = f"{self.total.beside.get(bound, 0.0) / self.total.working:.1f}"
        of = {"draw": self.total.readers, "model": self.total.batch}.get(bound, 0)
        return f"{number}/{of}" if of else number


def _lane(name: str, reports: Sequence[LaneReport], whole: float) -> LaneTime:
    clock: dict[str, float] = _sum(report.activity.clock for report in reports)
    if any(report.engine for report in reports):  # else no lane of the cluster's: it began with the run
        clock["start"] = clock.get("start", 0.0) + max(0.0, whole - sum(clock.values()))
    seconds: dict[str, float] = _sum(report.activity.seconds for report in reports)
    beside = {bound: sum(seconds.get(stage, 0.0) for stage in stages) for bound, stages in _BESIDE.items()}
    last = reports[-1].activity
    phases: dict[str, float] = _sum(report.phases for report in reports)
    return LaneTime(name, clock, beside, phases, last.readers, last.batch)  # type: ignore[arg-type]


def _sum(several: Iterable[Mapping[Any, float]]) -> dict[Any, float]:
    total: dict[Any, float] = defaultdict(float)
    for one in several:
        for name, seconds in one.items():
            total[name] += seconds
    return dict(total)


def _rounded(seconds: Mapping[Any, float]) -> dict[str, float]:
    return {name: round(spent, 3) for name, spent in seconds.items()}


def _start(_: LaneTime) -> str:
    return "start-up: more documents in one run, or several sources in one job, are what spreads it"


def _documents(_: LaneTime) -> str:
    return (
        "documents: lanes waited for the listing or for each other's last ones; fewer lanes would do as much"
    )


def _fetch(total: LaneTime) -> str:
    return (
        "fetching: readers waited for bytes; be nearer to the source, or let more readers fetch "
        f"(lane.readers, {total.readers} now)"
    )


def _draw(total: LaneTime) -> str:
    return (
        f"readers: the model waited for pages while {total.readers} of them drew; "
        f"add readers (lane.readers = {2 * total.readers}), and a core for each"
    )


def _room(_: LaneTime) -> str:
    return (
        "room: the model had less than its batch, and no more pages were let in; raise lane.bytes_in_flight"
    )


def _model(total: LaneTime) -> str:
    phase = max(total.phases, key=lambda one: total.phases[one], default="")
    most = f", most of it in {phase}" if phase else ""
    return f"the model{most}; more lanes (--replicas, or more machines) or a quicker card are what helps"


def _store(_: LaneTime) -> str:
    return "the store's claims and commits: a quicker or nearer PostgreSQL, with more cores, is what helps"


def _other(_: LaneTime) -> str:
    return "the processes shared too few cores: nothing was waited for, and little was done"


_WORDS = {
    "start": _start,
    "documents": _documents,
    "fetch": _fetch,
    "draw": _draw,
    "room": _room,
    "model": _model,
    "store": _store,
    "other": _other,
}
