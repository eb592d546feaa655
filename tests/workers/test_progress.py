"""What a person sees of a run."""

from __future__ import annotations

import io
from collections import Counter

from rich.console import Console

from workers.lane import LaneReport
from workers.progress import Progress, Rates, Reporter, Speed, clock, line


def progress(seconds: float, finished: int, pages: int, *, listing: bool = False) -> Progress:
    report = LaneReport("lane-0", state="working", pages=pages, tokens=10 * pages)
    report.reasons = Counter({"pdf_damaged": 2})
    documents = {"pending": 100 - finished, "leased": 0, "done": finished, "quarantined": 0}
    return Progress("june", "working", seconds, listing, documents, (report,), 0)


def test_a_line_has_the_figures() -> None:
    said = line(progress(75, 20, 40), Speed(pages=2, tokens=20, left=3661))
    assert said == (
        "1:15 working · documents 20/100 (done 20) · pages 40 (2.0/s) · tokens 400 (20/s) · "
        "failed: pdf_damaged 2 · left 1:01:01"
    )


def test_rates_are_those_of_the_last_minute_and_time_left_waits_for_the_listing() -> None:
    rates = Rates()
    assert rates.at(progress(0, 0, 0)) == Speed()
    assert rates.at(progress(10, 10, 20)) == Speed(2.0, 20.0, 90.0)
    assert rates.at(progress(100, 19, 29)).pages == 0.0  # all else is too long ago
    assert rates.at(progress(110, 29, 49)) == Speed(2.0, 20.0, 71.0)
    assert rates.at(progress(120, 39, 69, listing=True)).left is None


def test_plain_lines_only_when_something_happened() -> None:
    out = io.StringIO()
    with Reporter(Console(file=out, width=40)) as reporter:
        for second in range(5):
            reporter.show(progress(second, 1, 1))
    assert len(out.getvalue().splitlines()) == 1


def test_what_the_lanes_compute_with_is_said_once() -> None:
    out = io.StringIO()
    now = progress(1, 1, 1)
    with Reporter(Console(file=out, width=40)) as reporter:
        reporter.show(now)
        for engine, seconds in (("float32 on cpu", 2.0), ("float32 on cpu", 3.0), ("bfloat16 on cuda", 9.04)):
            now.reports[0].engine, now.reports[0].start_seconds = engine, seconds
            reporter.show(now)
    assert out.getvalue().splitlines()[1:] == [
        "0:01 engine: float32 on cpu; ready in 2.0 s",
        "0:01 engine: bfloat16 on cuda; ready in 9.0 s",
    ]


def test_clock() -> None:
    assert [clock(s) for s in (0, 59.9, 60, 3600)] == ["0:00", "0:59", "1:00", "1:00:00"]
