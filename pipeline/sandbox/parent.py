"""The handle of one child process: ask it, and know for certain when it will answer or how it died."""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import Coded, Permanent, Reason, Transient
from pipeline.records import Pixels
from pipeline.settings import RenderSettings

_START_SECONDS = 60.0  # importing on a busy machine; not part of any page's time
_ANSWER_BYTES = 65536  # the longest line that a child may say
_DYING_SECONDS = 5.0  # from the end of its output to the end of the process
_GLANCE_SECONDS = 0.05  # between two looks at how much memory a busy child uses
_FULL = 0.75  # of the allowed memory in use before a signal ended it: then memory was the cause
_LAST_WORDS = 400  # characters of its stderr that go into a failure
_KEPT_CANVAS = 32 * 2**20  # bytes of shared memory that stay allotted between pages


class Child:
    """A running child. Not for two threads at once. `close` is safe at any moment and any number of times."""

    def __init__(self, renderer: str, settings: RenderSettings) -> None:
        self._settings = settings
        self._document = os.memfd_create("document")
        self._canvas = os.memfd_create("canvas")
        os.ftruncate(self._canvas, 3 * settings.max_pixels)  # only touched pages of it cost memory
        self._pixels = mmap.mmap(self._canvas, 3 * settings.max_pixels)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the child)
        orders = settings.model_dump(include={"dpi", "max_pages", "max_pixels", "seconds", "memory_bytes"})
        orders |= {"renderer": renderer, "document": self._document, "canvas": self._canvas}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.sandbox", json.dumps(orders)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            pass_fds=(self._document, self._canvas),
            env=_bare_environment(),
            start_new_session=True,  # so that its own children can be killed with it
            bufsize=0,
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # both are PIPE
        self._commands, self._answers = self._process.stdin, self._process.stdout.fileno()
        self._ready = select.poll()  # select() cannot watch a file number over 1023
        self._ready.register(self._answers, select.POLLIN)
        self._used = 0  # bytes of address space, as last seen
        self.served = 0  # documents opened
        self.open_document: object = None  # whatever the caller opened last
        self.pages = 0  # of that document
        try:
            self.confined: bool = self._answer(_START_SECONDS)["confined"]
        except Coded as error:
            self.close()
            message = f"the rendering process did not start: {error.message}"
            raise Transient(Reason.render_crashed, message) from error

    def open(self, document: object, kind: str, data: bytes) -> int:
        """Open `data` and return its number of pages; `document` is remembered as `open_document`.

        Raises Permanent or Transient; after a render_… reason the child is dead.
        """
        self.open_document = None
        os.ftruncate(self._document, 0)
        os.lseek(self._document, 0, os.SEEK_SET)
        with open(self._document, "wb", closefd=False) as file:
            file.write(data)
        self.served += 1
        self.pages = int(self._ask({"kind": kind})["pages"])
        self.open_document = document
        return self.pages

    def draw(self, page: int) -> Pixels:
        """Page `page` (from 1) of the open document, uint8 [height, width, 3]. Raises as `open` does."""
        width, height = self._ask({"page": page})["size"]
        count = width * height * 3
        if not (isinstance(count, int) and 0 < count <= len(self._pixels) and width > 0):
            self.close()
            raise Permanent(
                Reason.render_crashed, f"the rendering process answered a size of {width}×{height}"
            )
        pixels = np.frombuffer(self._pixels, np.uint8, count).reshape(height, width, 3).copy()
        if count > _KEPT_CANVAS:
            self._pixels.madvise(mmap.MADV_REMOVE)
        return pixels

    @property
    def alive(self) -> bool:
        """False once it has ended, for whatever reason. It is not reaped: its group must keep its number."""
        if self._stderr.closed:
            return False
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def close(self) -> None:
        if self._stderr.closed:
            return
        if self._process.returncode is None:
            self._kill()
        for stream in (self._process.stdin, self._process.stdout, self._stderr, self._pixels):
            if stream is not None:
                stream.close()
        os.close(self._document)
        os.close(self._canvas)

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        with suppress(BrokenPipeError):  # it died since its last answer: how, `_answer` finds out
            self._commands.write(json.dumps(command).encode() + b"\n")
        answer = self._answer(self._settings.seconds)
        if "reason" in answer:
            reason = Reason(answer["reason"])
            if reason is Reason.render_memory:
                self.close()  # a library that ran out of memory may be left in any state
            raise Permanent(reason, str(answer["message"]), **answer["details"])
        return answer

    def _answer(self, seconds: float) -> dict[str, Any]:
        """The child's next line, within `seconds`; else the child is killed and its end raised."""
        line = b""
        deadline = time.monotonic() + seconds
        while not line.endswith(b"\n") and len(line) < _ANSWER_BYTES:
            left = deadline - time.monotonic()
            if not self._ready.poll(1000 * max(0.0, min(left, _GLANCE_SECONDS))):
                if left > _GLANCE_SECONDS:
                    self._used = max(self._used, _address_space(self._process.pid))
                    continue
                self.close()
                message = f"not finished after {seconds:g} s (render.seconds)"
                raise Permanent(Reason.render_timeout, message, seconds=seconds)
            part = os.read(self._answers, _ANSWER_BYTES)
            if not part:
                raise self._obituary()
            line += part
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            self.close()
            raise Permanent(Reason.render_crashed, "the rendering process answered nonsense")
        return answer

    def _obituary(self) -> Coded:
        """How the child died, as the error to raise."""
        until = time.monotonic() + _DYING_SECONDS
        while self.alive and time.monotonic() < until:
            time.sleep(0.002)  # its end of the pipe closes a moment before it is gone
        self._kill()
        code = self._process.returncode
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4 * _LAST_WORDS))
        words = " ".join(self._stderr.read().decode("utf-8", "replace").split())[-_LAST_WORDS:]
        self.close()
        limit = f"{self._settings.memory_bytes:,} bytes (render.memory_bytes)"
        if code == -signal.SIGXCPU:
            message = f"used more than {self._settings.seconds:g} s of CPU time (render.seconds)"
            return Permanent(Reason.render_timeout, message)
        if code == -signal.SIGKILL:
            message = "the system killed the rendering process: the machine may be out of memory"
            return Transient(Reason.render_memory, message)
        starved = code < 0 and self._used > _FULL * self._settings.memory_bytes
        if starved or "memory" in words.lower() or "bad_alloc" in words:
            message = f"the rendering process ended for want of memory, having used {self._used:,} of {limit}"
            return Permanent(Reason.render_memory, message)
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Permanent(Reason.render_crashed, f"the rendering process died ({how})", last_words=words)

    def _kill(self) -> None:
        """End the child and what it started. Its group is surely ours as long as it was not waited for."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _address_space(pid: int) -> int:
    """The most address space that the process has had, in bytes; 0 if it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.partition("VmPeak:")[2].split()[0]) if "VmPeak:" in status else 0


def _bare_environment() -> dict[str, str]:
    """No credentials; the same modules as this process has."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ
    }
    return kept | {
        "PYTHONPATH": os.pathsep.join(entry or os.curdir for entry in sys.path),
        "OPENBLAS_NUM_THREADS": "1",  # its threads would reserve address space
        "OMP_NUM_THREADS": "1",
    }
