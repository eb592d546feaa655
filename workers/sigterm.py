"""SIGTERM in an actor's process: its machine or its placement will soon be gone.

Ray leaves no way to a handler here: those of Python are set and run in the main thread, where Ray's own loop
is and where no method of these actors runs. faulthandler's are in C, may be set in any thread, and write to a
file: here a pipe, which an event loop can wait for.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_sigterm(react: Callable[[], None]) -> Iterator[None]:
    """In this block SIGTERM calls `react` in the running event loop and does nothing else."""
    loop = asyncio.get_running_loop()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)

    def received() -> None:
        os.read(reading, 65536)
        react()

    loop.add_reader(reading, received)
    faulthandler.register(signal.SIGTERM, file=writing, all_threads=False, chain=False)
    try:
        yield
    finally:
        faulthandler.unregister(signal.SIGTERM)
        loop.remove_reader(reading)
        os.close(reading)
        os.close(writing)


def ignore_sigterm() -> None:
    """From now on SIGTERM does nothing to this process: its lane's scheduler receives it too, and ends both.

    What must end it ends it by SIGKILL, as Ray does with an actor whose owner is gone.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)  # stays open as long as the process
    faulthandler.register(signal.SIGTERM, file=nowhere, all_threads=False, chain=False)
