"""How the tests wait for their servers: for what is needed, with a bound, and with a sentence at the bound.

The bounds are for a machine with twenty times as much to do as it has cores. They tell a server that will
never come from one that is slow, and measure nothing.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import psutil

T = TypeVar("T")

PATIENCE = 300.0  # seconds for one thing to come true
STARTS = 3  # of a server whose port may be taken by somebody else before it listens there
_TAIL = 3000  # bytes of a log that stand in an error


class NotUp(RuntimeError):
    """A server did not come up; the message says what was awaited and how its log ends."""


@dataclass(frozen=True)
class Served:
    """A server process of ours and what it writes."""

    name: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def until(self, what: str, attempt: Callable[[], T | None], seconds: float = PATIENCE) -> T:
        """What `attempt` gives, as soon as it gives something. `what` ends the sentence "waited for …".

        Raises NotUp when the process has ended or the time is over.
        """
        began = time.monotonic()
        while True:
            if (found := attempt()) is not None:
                return found
            if self.process.poll() is not None:
                raise self._not_up(f"ended with {self.process.returncode}", what)
            if time.monotonic() - began > seconds:
                raise self._not_up(f"was not ready after {seconds:g} s", what)
            time.sleep(0.05)

    def until_it_listens(self, port: int | None = None) -> int:
        """The port on which this very process listens: `port`, or whichever it has chosen."""

        def listens() -> int | None:
            return next((own for own in _ports(self.process.pid) if port in (None, own)), None)

        return self.until("it listens" if port is None else f"it listens on port {port}", listens)

    def _not_up(self, how: str, what: str) -> NotUp:
        self.log.flush()
        tail = Path(self.log.name).read_bytes()[-_TAIL:].decode(errors="replace").strip()
        return NotUp(f"{self.name} {how}; waited until {what}. Its log ends:\n{tail or '(it wrote nothing)'}")


@contextmanager
def served(name: str, command: list[str]) -> Iterator[Served]:
    """A server process for this block. It ends by SIGKILL: nothing in these servers outlives the tests."""
    with tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield Served(name, process, log)
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nothing listens on now. Somebody else may have it in the next moment: let a server choose
    its own (port 0) where it can, else start it again elsewhere."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ports(pid: int) -> list[int]:
    try:
        found = psutil.Process(pid).net_connections("tcp")
    except psutil.NoSuchProcess:
        return []
    return [each.laddr.port for each in found if each.status == psutil.CONN_LISTEN]
