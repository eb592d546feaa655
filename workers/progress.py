"""How far a run is: a live table on a terminal, plain lines elsewhere. Counts only, nothing that was read."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console, RenderableType  # noqa: TID251  (the types alone)
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from workers.lane import LaneReport
from workers.screen import cell

_LOG = logging.getLogger(__name__)
_LINE_SECONDS = (2.0, 30.0)  # between two plain lines: when something happened, when nothing did


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, for people: counts only."""

    job: str
    phase: str  # "starting", "working", "stopping" or "ended"
    seconds: float
    listing: bool  # still finding documents
    documents: dict[str, int]  # of the whole job, by state
    reports: tuple[LaneReport, ...]
    lanes_replaced: int
    lanes_seconds: float = 0.0  # from the beginning until the lanes ended, or until now; 0 without lanes
    waiting: str | None = None  # what lanes are waited for

    @property
    def total(self) -> int:
        return sum(self.documents.values())

    @property
    def finished(self) -> int:
        return self.total - self.documents.get("pending", 0) - self.documents.get("leased", 0)

    @property
    def pages(self) -> int:
        return sum(report.pages for report in self.reports)

    @property
    def pages_known(self) -> int:
        return sum(report.pages_known for report in self.reports)

    @property
    def tokens(self) -> int:
        return sum(report.tokens for report in self.reports)

    @property
    def calls_a_page(self) -> float | None:
        """Model calls for each page that it answered: what is above 1 was computed, and paid for, twice."""
        answers = sum(report.answers for report in self.reports)
        return sum(report.calls for report in self.reports) / answers if answers else None

    @property
    def second_looks(self) -> int:
        return sum(report.looks for report in self.reports)

    @property
    def reasons(self) -> Counter[str]:
        return sum((report.reasons for report in self.reports), Counter[str]())

    @property
    def engines(self) -> dict[str, float]:
        """What lanes compute with, and the seconds of the slowest start with it."""
        slowest: dict[str, float] = {}
        for report in self.reports:
            if report.engine:
                slowest[report.engine] = max(report.start_seconds, slowest.get(report.engine, 0.0))
        return slowest

    @property
    def troubles(self) -> list[str]:
        waiting = [self.waiting] if self.waiting else []
        return waiting + sorted({report.trouble for report in self.reports if report.trouble})


class Reporter:
    """Shows the progress of one run on a console; use it as a context manager."""

    def __init__(self, console: Console, *, as_records: bool = False) -> None:
        """`as_records`: nothing is printed, each line is a log record."""
        self._console = console
        self._as_records = as_records
        live = console.is_terminal and not as_records
        self._live = Live(console=console, auto_refresh=False) if live else None
        self._rates = Rates()
        self._engines_shown: set[str] = set()
        self._printed: object = None
        self._printed_at = 0.0

    def __enter__(self) -> Reporter:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        rates = self._rates.at(progress)
        if self._live is not None:
            self._live.update(panel(progress, rates), refresh=True)
            return
        for engine, seconds in progress.engines.items():
            if engine not in self._engines_shown:
                self.print_line(f"{clock(progress.seconds)} engine: {_ready(engine, seconds)}")
                self._engines_shown.add(engine)
        now = time.monotonic()
        figures = (progress.phase, progress.documents, progress.pages, progress.tokens, progress.troubles)
        pause = _LINE_SECONDS[figures == self._printed]
        if progress.phase == "ended" or now - self._printed_at >= pause:
            self.print_line(line(progress, rates))
            self._printed, self._printed_at = figures, now

    def print_line(self, text: str) -> None:
        """One line for a person, above what is shown."""
        if self._as_records:
            _LOG.info("%s", text)
            return
        self._console.print(cell(text), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Speed:
    """Over the last minute. `left` is in seconds; None while nobody can know."""

    pages: float = 0.0
    tokens: float = 0.0
    left: float | None = None


class Rates:
    """What a run does in a second, from the snapshots of the last minute."""

    def __init__(self, window: float = 60.0) -> None:
        self._window = window
        self._seen: deque[tuple[float, int, int, int]] = deque()

    def at(self, progress: Progress) -> Speed:
        self._seen.append((progress.seconds, progress.pages, progress.tokens, progress.finished))
        while self._seen[-1][0] - self._seen[0][0] > self._window:
            self._seen.popleft()
        (start, pages, tokens, finished), (end, *newest) = self._seen[0], self._seen[-1]
        if end <= start:
            return Speed()
        span, rate = end - start, (newest[2] - finished) / (end - start)
        left = (progress.total - progress.finished) / rate if rate and not progress.listing else None
        return Speed((newest[0] - pages) / span, (newest[1] - tokens) / span, left)


def line(progress: Progress, speed: Speed) -> str:
    """One line for a log."""
    parts = [
        f"{clock(progress.seconds)} {progress.phase}",
        f"documents {progress.finished}/{progress.total}{'+' if progress.listing else ''}{_states(progress)}",
        f"pages {progress.pages} ({speed.pages:.1f}/s)",
        f"tokens {progress.tokens} ({speed.tokens:.0f}/s)",
    ]
    if progress.pages_known:
        parts.append(f"pages known before {progress.pages_known}")
    if progress.reasons:
        parts.append("failed: " + _counted(progress.reasons))
    if progress.lanes_replaced:
        parts.append(f"lanes replaced {progress.lanes_replaced}")
    if speed.left is not None and progress.phase == "working":
        parts.append(f"left {clock(speed.left)}")
    return " · ".join([*parts, *progress.troubles])


def panel(progress: Progress, speed: Speed) -> RenderableType:
    """The same for a terminal."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()

    def add(what: str, text: str) -> None:
        table.add_row(what, cell(text))

    total = progress.total
    add("job", f"{progress.job}  {progress.phase}  {clock(progress.seconds)}")
    table.add_row("documents", ProgressBar(max(total, 1), progress.finished, width=40))
    add("", f"{progress.finished} of {total}{' so far' if progress.listing else ''}{_states(progress)}")
    known = f", {progress.pages_known} known before" if progress.pages_known else ""
    add("pages", f"{progress.pages}  {speed.pages:.1f}/s{known}")
    add("tokens", f"{progress.tokens}  {speed.tokens:.0f}/s")
    lanes = Counter(report.state for report in progress.reports)
    replaced = f", {progress.lanes_replaced} replaced" if progress.lanes_replaced else ""
    add("lanes", _counted(lanes) + replaced)
    for engine, seconds in progress.engines.items():
        add("engine", _ready(engine, seconds))
    if progress.reasons:
        add("failed", _counted(progress.reasons))
    for trouble in progress.troubles:
        add("waiting", trouble)
    add("left", clock(speed.left) if speed.left is not None else "")
    return table


def clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _ready(engine: str, seconds: float) -> str:
    return f"{engine}; ready in {seconds:.1f} s"


def _states(progress: Progress) -> str:
    ended = {state: n for state, n in progress.documents.items() if n and state not in ("pending", "leased")}
    return f" ({_counted(ended)})" if ended else ""


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items())
