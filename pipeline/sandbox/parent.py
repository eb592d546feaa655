"""The handle of one child process: ask it, and know for certain when it will answer or how it died."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from pipeline.einvoice.tree import Element
from pipeline.errors import Coded, Permanent, Reason, Transient
from pipeline.records import Code, Flag, Pixels, Signature, TextLayer
from pipeline.sandbox import answers, channel, limits
from pipeline.sandbox.confine import Confinement
from pipeline.sandbox.drawer import ANSWER_BYTES
from pipeline.sandbox.keeper import Keeper
from pipeline.settings import RenderSettings

_START_SECONDS = 60.0  # importing on a busy machine; not part of any page's time
_DYING_SECONDS = 5.0  # from the end of its output to the end of the process
_GLANCE_SECONDS = 0.05  # between two looks at how much memory a busy child uses
_FULL = 0.75  # of the allowed memory in use before a signal ended it: then memory was the cause
_LAST_WORDS = 400  # characters of its stderr that go into a failure
_KEPT_CANVAS = 32 * 2**20  # bytes of shared memory that stay allotted between pages
_LIFE = (3600.0, 20)  # CPU seconds that a child may use in all: so many, and so many times those of a page

Judged = TypeVar("Judged")


class Child:
    """A running child. Not for two threads at once. `close` is safe at any moment and any number of times."""

    def __init__(
        self, renderer: str, settings: RenderSettings, section: str = "render", anchors: bytes = b""
    ) -> None:
        """`section` is that of the settings which bound its time and memory. `anchors`: trusted certificates,
        as `einvoice.anchors` packs them, by which it judges signatures.
        """
        limits.hide_memory()  # of this process, before there is one that might look into it
        self._settings = settings
        self._section = section
        self._life = max(_LIFE[0], _LIFE[1] * settings.seconds)
        self._canvas = _canvas(3 * settings.max_pixels)
        self._pixels = mmap.mmap(self._canvas, 3 * settings.max_pixels)
        self._shown: Pixels | None = None  # what the canvas holds
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the child)
        self._commands, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        orders = settings.model_dump(include={"dpi", "max_pages", "max_pixels", "memory_bytes"})
        orders |= {"renderer": renderer, "canvas": self._canvas, "parent": os.getpid()}
        self._anchored = bool(anchors)
        trusted = [channel.sealed(anchors)] if anchors else []
        with theirs:
            self._keeper = Keeper(
                _command(orders | {"cpu_seconds": int(self._life), "anchors": trusted}),
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                pass_fds=(self._canvas, *trusted),
                env=_bare_environment(),
                start_new_session=True,  # so that its own children can be killed with it
                bufsize=0,
            )
            self._process = self._keeper.process()
        for file in trusted:
            os.close(file)
        assert self._process.stdout is not None  # it is a PIPE
        self._answers = self._process.stdout.fileno()
        self._ready = select.poll()  # select() cannot watch a file number over 1023
        self._ready.register(self._answers, select.POLLIN)
        self._used = 0  # bytes of address space, as last seen
        self.served = 0  # documents opened
        self.open_document: object = None  # whatever the caller opened last
        self.pages = 0  # of that document
        self._told: tuple[Element, Signature] | None = None  # of that document, where it is XML
        try:
            self.confinement: Confinement = self._judged(answers.confinement, self._answer(_START_SECONDS))
        except Coded as error:
            self.close()
            message = f"the rendering process did not start: {error.message}"
            raise Transient(Reason.render_crashed, message) from error

    def open(self, document: object, kind: str, data: bytes) -> int:
        """Open `data` and return its number of pages; `document` is remembered as `open_document`.

        Raises Permanent or Transient; after a render_… reason the child is dead.
        """
        self.open_document = self._told = None
        file = channel.sealed(data)
        try:
            answer = self._ask({"kind": kind}, file)
        finally:
            os.close(file)
        self.served += 1
        if kind == "xml":
            self._told, self.pages = self._judged(answers.xml, answer, self._anchored), 1
        else:
            self.pages = self._judged(answers.pages, answer, self._settings.max_pages)
        self.open_document = document
        return self.pages

    def look(self, page: int) -> tuple[float, tuple[Flag, ...]]:
        """The unit in points, and the flags, of page `page` (from 1), which is not drawn for it.

        Raises as `open` does.
        """
        return self._judged(answers.look, self._ask({"look": page}))

    def draw(self, page: int, unit: float = 1.0) -> tuple[Pixels, tuple[Flag, ...]]:
        """Page `page` (from 1) of the open document, uint8 [height, width, 3], with its flags.

        `unit` is the length of the page's unit in points, for a renderer that cannot tell. Raises as `open`
        does.
        """
        self._clear()
        answer = self._ask({"page": page, "unit": unit})
        (width, height), flags = self._judged(answers.drawing, answer, self._settings.max_pixels)
        pixels = np.frombuffer(self._pixels, np.uint8, width * height * 3).reshape(height, width, 3).copy()
        self._shown = pixels
        return pixels, flags

    def attachments(self) -> tuple[list[tuple[str, bool]], bool]:
        """(name, whether it is a document of a kind that is read) of each file that the open document holds,
        and whether it is there for nothing else. Raises as `open` does.
        """
        return self._judged(answers.attachments, self._ask({"attachments": 1}))

    def attachment(self, number: int) -> bytes | None:
        """The bytes of file `number` (from 0) of them; None if it has too many. Raises as `open` does."""
        self._clear()
        count = self._judged(answers.attachment, self._ask({"attachment": number}), len(self._pixels))
        data = bytes(self._pixels[:count])
        self._pixels.madvise(mmap.MADV_REMOVE)
        return data or None

    def read(self) -> tuple[Element, Signature]:
        """The open document, which is XML, and what its signatures are worth: it told so when opened."""
        if self._told is None:
            raise RuntimeError("no XML is open")
        return self._told

    def codes(self, pixels: Pixels) -> tuple[Code, ...]:
        """The QR codes on a page's pixels, which need not be this child's own. Raises as `open` does."""
        found = self._judged(answers.codes, self._ask({"codes": self._show(pixels)}))
        self._clear()
        return found

    def words(self, page: int, size: tuple[int, int]) -> TextLayer | None:
        """The text of page `page` (from 1) of the open document, which has been drawn in `size` pixels.

        None if it has none. Raises as `open` does.
        """
        return self._judged(answers.words, self._ask({"words": page, "size": size}))

    def recognise(self, pixels: Pixels) -> TextLayer:
        """The words on a page's pixels, of a child that is a second reader. Raises as `open` does."""
        found = self._judged(answers.words, self._ask({"recognise": self._show(pixels)}))
        self._clear()
        return found or TextLayer((), True)

    @property
    def spent(self) -> bool:
        """It has ended, or soon will for having used up the CPU time of its life, or what it may say."""
        if not self.alive or 2 * os.fstat(self._stderr.fileno()).st_size > limits.FILE_BYTES:
            return True
        return self._life - limits.cpu_seconds(self._process.pid) < 3 * self._settings.seconds

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
        self._keeper.join()
        self._shown = None
        for stream in (self._commands, self._process.stdout, self._stderr, self._pixels):
            if stream is not None:
                stream.close()
        os.close(self._canvas)

    def _show(self, pixels: Pixels) -> tuple[int, int]:
        """Lay a page's pixels on the canvas, if it does not hold them; their width and height."""
        if pixels is not self._shown:
            self._clear()
            np.frombuffer(self._pixels, np.uint8, pixels.size)[:] = pixels.ravel()
            self._shown = pixels
        height, width, _ = pixels.shape
        return width, height

    def _clear(self) -> None:
        """Give back what a large page has taken of the canvas."""
        if self._shown is not None and self._shown.nbytes > _KEPT_CANVAS:
            self._pixels.madvise(mmap.MADV_REMOVE)
        self._shown = None

    def _ask(self, command: dict[str, Any], file: int | None = None) -> dict[str, Any]:
        for _, event in self._ready.poll(0):
            if event & select.POLLIN:
                self._lied("it answered before it was asked")
            raise self._obituary()
        with suppress(BrokenPipeError, ConnectionResetError):  # just died: how, `_answer` finds out
            limits.allow_cpu(self._process.pid, self._settings.seconds)
            channel.send(self._commands, command, file)
        answer = self._answer(self._settings.seconds)
        complaint = self._judged(answers.complaint, answer)
        if complaint is not None:
            if complaint.reason is Reason.render_memory:
                self.close()  # a library that ran out of memory may be left in any state
            raise complaint
        return answer

    def _answer(self, seconds: float) -> dict[str, Any]:
        """The child's next line, within `seconds`; else the child is killed and its end raised."""
        line, part = bytearray(), b""
        deadline = time.monotonic() + seconds
        while b"\n" not in part:
            left = deadline - time.monotonic()
            if left <= 0:
                self.close()
                message = f"not finished after {seconds:g} s ({self._section}.seconds)"
                raise Permanent(Reason.render_timeout, message, seconds=seconds)
            if not self._ready.poll(1000 * min(left, _GLANCE_SECONDS)):
                self._used = max(self._used, _address_space(self._process.pid))
                continue
            part = os.read(self._answers, 65536)
            if not part:
                raise self._obituary()
            line += part
            if len(line) > ANSWER_BYTES:
                self._lied("an answer without end")
        return self._judged(answers.parsed, bytes(line))

    def _judged(self, judge: Callable[..., Judged], *answer: Any) -> Judged:
        """What `judge` makes of an answer; a child that lied is closed."""
        try:
            return judge(*answer)
        except answers.Lie as lie:
            self._lied(str(lie))

    def _lied(self, how: str) -> NoReturn:
        self.close()
        raise Permanent(Reason.render_crashed, f"the rendering process gave a wrong answer: {how}")

    def _obituary(self) -> Coded:
        """How the child died, as the error to raise."""
        until = time.monotonic() + _DYING_SECONDS
        while self.alive and time.monotonic() < until:
            time.sleep(0.002)  # its end of the pipe closes a moment before it is gone
        self._kill()
        code = self._process.returncode
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4 * _LAST_WORDS))
        words = answers.plain(self._stderr.read().decode("utf-8", "replace"))[-_LAST_WORDS:]
        self.close()
        limit = f"{self._settings.memory_bytes:,} bytes ({self._section}.memory_bytes)"
        if code == -signal.SIGXCPU:
            message = f"used more than {self._settings.seconds:g} s of CPU time ({self._section}.seconds)"
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


def _command(orders: dict[str, Any]) -> list[str]:
    return [sys.executable, "-P", "-m", "pipeline.sandbox", json.dumps(orders)]


def _canvas(size: int) -> int:
    """A file in memory that nobody can cut short: reading what was cut off would end the reader (SIGBUS)."""
    file = os.memfd_create("canvas", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(file, size)  # only touched pages of it cost memory
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return file


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
