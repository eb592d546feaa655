"""What ends a run whose Ray has gone away: with a sentence, and an exit code of our own."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LEAVE_SECONDS = 10.0  # that a run has to notice by itself that Ray is gone
_SILENCE_SECONDS = 40.0  # without an answer; Ray itself ends the process after 60
_PROBE_SECONDS = 2.0

Gone = Callable[[], str | None]  # why Ray will not come back; None while it is there


@contextmanager
def guarded(
    gone: Gone, notify: Callable[[str], None], clear: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Inside this block the process outlives its Ray by seconds only.

    When Ray is gone, its calls in this process may never return, and after a minute it ends the process with
    code 1. Whoever has not left this block by then is ended here, after `clear` has taken away what is left.
    """
    left = threading.Event()

    def guard() -> None:
        while not left.wait(1.0):
            why = gone()
            if why is not None and not left.wait(_LEAVE_SECONDS):
                notify(f"vinbatch: {why}")
                clear()
                os._exit(4)  # as the command line says it: the run could not go on

    thread = threading.Thread(target=guard, name="guard", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


class Silence:
    """How long the head of a cluster that was joined has not answered. `address` is HOST:PORT."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._heard = self._asked = time.monotonic()

    def __call__(self) -> str | None:
        """Why the cluster is given up, else None. A head may restart meanwhile, as one on Kubernetes does."""
        now = time.monotonic()
        if now - self._asked >= _PROBE_SECONDS:
            self._asked = now
            if self._answers():
                self._heard = time.monotonic()
        silent = time.monotonic() - self._heard
        if silent < _SILENCE_SECONDS:
            return None
        return (
            f"the Ray cluster at {self._address} has not answered for {silent:.0f} s; "
            "the same command goes on where this one stopped"
        )

    def _answers(self) -> bool:
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS).close()
        except OSError:
            return False
        return True
