"""The thread that a child process belongs to."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any


class Keeper(threading.Thread):
    """Starts a process and lives as long as it does.

    The kernel ends a child that asked for it with the *thread* that started it (PR_SET_PDEATHSIG), and the
    caller's thread may end while its child is still wanted.
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        super().__init__(name="keeper of a rendering process", daemon=True)
        self._command = command
        self._options = options
        self._started_or_failed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._failed: BaseException | None = None
        self.start()

    def process(self) -> subprocess.Popen[bytes]:
        """The process, started. Raises what starting it raised."""
        self._started_or_failed.wait()
        if self._process is None:
            raise self._failed or RuntimeError("the process was not started")
        return self._process

    def run(self) -> None:
        try:
            self._process = subprocess.Popen(self._command, **self._options)
            exits = os.pidfd_open(self._process.pid)
        except BaseException as error:  # noqa: BLE001  it is raised where it was asked for
            self._failed = error
            return
        finally:
            self._started_or_failed.set()
        with suppress(ChildProcessError):  # it has been waited for already
            os.waitid(os.P_PIDFD, exits, os.WEXITED | os.WNOWAIT)
        os.close(exits)
