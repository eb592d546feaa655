"""What a lane tells Prometheus through Ray: every name there is, and who makes them.

A figure is made when it is first counted: Ray is imported then, and must be connected. In Prometheus Ray puts
`ray_` before each name and `_total` after a counter's (`Figure.exported`), and adds labels of its own beside
`job` and `lane`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pipeline.printable import printable

if TYPE_CHECKING:
    from workers.lane import LaneReport

_EVERYWHERE = ("job", "lane")


@dataclass(frozen=True, slots=True)
class Figure:
    """One name, what it counts, and its labels beside `job` and `lane`."""

    name: str
    kind: Literal["counter", "gauge"]
    words: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """The name in Prometheus."""
        return f"ray_{self.name}_total" if self.kind == "counter" else f"ray_{self.name}"


FIGURES = (
    Figure("vinbatch_pages", "counter", "pages with a record; how: read, known, direct", ("how",)),
    Figure("vinbatch_tiles", "counter", "tiles that the model was shown"),
    Figure("vinbatch_tokens", "counter", "tokens that the model wrote"),
    Figure("vinbatch_documents", "counter", "documents that ended in this state", ("state",)),
    Figure("vinbatch_failures", "counter", "documents and pages that failed, by reason code", ("reason",)),
    Figure("vinbatch_claims", "counter", "documents claimed from the ledger"),
    Figure("vinbatch_leases_lost", "counter", "documents that another lane had taken over meanwhile"),
    Figure("vinbatch_retries", "counter", "documents given back, to be tried again"),
    Figure("vinbatch_model_calls", "counter", "answers asked of the model; by pages read, the double bill"),
    Figure("vinbatch_second_looks", "counter", "second looks at doubtful pages, beside the model calls"),
    Figure("vinbatch_stage_seconds", "counter", "seconds by stage, of all that goes on at once", ("stage",)),
    Figure("vinbatch_bound_seconds", "counter", "seconds of a lane, by what held it up", ("bound",)),
    Figure("vinbatch_queue_documents", "gauge", "documents that the lane holds"),
    Figure("vinbatch_queue_pages", "gauge", "prepared pages that wait for the model"),
    Figure("vinbatch_batch_fill", "gauge", "share of the batch that is decoding, 0 to 1"),
    Figure("vinbatch_kv_use", "gauge", "share of the KV cache that is taken, 0 to 1"),
    Figure("vinbatch_unfinished", "gauge", "documents of the job that are not finished"),
)  # fmt: skip
_BY_NAME = {figure.name: figure for figure in FIGURES}


class LaneMetrics:
    """The figures of one lane of one job."""

    def __init__(self, job: str, lane: str) -> None:
        self._tags = {"job": _label(job), "lane": lane}
        self._published: dict[tuple[str, ...], float] = {}

    def count(self, name: str, by: float = 1.0, **labels: str) -> None:
        """Add to a counter; nothing where `by` is 0. Raises KeyError for a name that is not listed."""
        figure = _BY_NAME[name]
        if by:
            _made(figure).inc(by, tags=self._tags | labels)

    def publish(self, report: LaneReport) -> None:
        """What a lane has done since the last report, and how it stands now."""
        for (name, *labels), total in _totals(report).items():
            done = self._published.get((name, *labels), 0)
            self.count(name, total - done, **dict(zip(_BY_NAME[name].labels, labels, strict=True)))
            self._published[name, *labels] = total
        for name, value in (
            ("vinbatch_queue_documents", report.held),
            ("vinbatch_queue_pages", report.waiting),
            ("vinbatch_batch_fill", report.batch_fill),
            ("vinbatch_kv_use", report.kv_use),
            ("vinbatch_unfinished", report.unfinished),
        ):
            self.show(name, value)

    def show(self, name: str, value: float) -> None:
        """Set a gauge. Raises KeyError for a name that is not listed."""
        _made(_BY_NAME[name]).set(value, tags=self._tags)


def _totals(report: LaneReport) -> dict[tuple[str, ...], float]:
    """Each counter with its labels' values."""
    return {
        ("vinbatch_pages", "read"): report.answers,
        ("vinbatch_pages", "known"): report.pages_known,
        ("vinbatch_pages", "direct"): report.pages - report.answers,
        ("vinbatch_tiles",): report.tiles,
        ("vinbatch_tokens",): report.tokens,
        ("vinbatch_claims",): report.claims,
        ("vinbatch_leases_lost",): report.late,
        ("vinbatch_retries",): report.given_back,
        ("vinbatch_model_calls",): report.calls,
        ("vinbatch_second_looks",): report.looks,
        **{("vinbatch_documents", state): number for state, number in report.documents.items()},
        **{("vinbatch_failures", reason): number for reason, number in report.reasons.items()},
        **{("vinbatch_stage_seconds", stage): seconds for stage, seconds in report.activity.seconds.items()},
        **{("vinbatch_bound_seconds", bound): seconds for bound, seconds in report.activity.clock.items()},
    }


def _label(text: str) -> str:
    """What Ray takes as a label's value, ASCII: every other character, and each that steers, is escaped."""
    return printable(text).encode("ascii", "backslashreplace").decode()


@cache
def _made(figure: Figure) -> Any:
    """One object a process: Ray complains of a second one of the same name."""
    from ray.util import metrics

    kind = metrics.Counter if figure.kind == "counter" else metrics.Gauge
    return kind(figure.name, description=figure.words, tag_keys=(*_EVERYWHERE, *figure.labels))
