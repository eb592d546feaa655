"""What a run shows and logs on standard error, and how a signal stops it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

from pipeline.errors import UsageError
from pipeline.sandbox import confine
from workers import screen

if TYPE_CHECKING:
    from pipeline.settings import Settings
    from workers.job import JobRequest, Outcome
    from workers.progress import Reporter


def ran(request: JobRequest) -> Outcome:
    """The job, run to its end or until a signal comes; its progress and log go to standard error."""
    import asyncio

    from workers.job import run_job

    with reported(request) as reporter:
        return asyncio.run(run_job(request, reporter, stop_on_signal()))


@contextmanager
def reported(request: JobRequest) -> Iterator[Reporter]:
    """Shows the progress of a run on standard error, and what it logs."""
    from workers import logs
    from workers.progress import Reporter

    check_sandbox(request.settings, elsewhere=request.address is not None)
    settings = request.settings.log
    json = settings.format == "json"
    with Reporter(screen.console(err=True), as_records=json) as reporter:
        write = partial(screen.say, err=True) if json else reporter.print_line
        with logs.handled(logs.LineHandler(write, settings.format), settings):
            yield reporter


def check_sandbox(settings: Settings, *, elsewhere: bool = False) -> None:
    """Say once where files would be decoded less confined than they could be, or refuse if the settings do.

    With documents read `elsewhere`, each machine refuses for itself.
    """
    held = confine.possible()
    if held.complete:
        return
    if settings.render.require_sandbox and not elsewhere:
        raise UsageError(held.words)
    screen.say(held.words, err=True)


def stop_on_signal() -> threading.Event:
    """Set by the first Ctrl-C or SIGTERM; a second one ends the process at once."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        screen.say(
            "stopping: what is being read is finished or given back; once more to stop at once", err=True
        )

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    return stop
