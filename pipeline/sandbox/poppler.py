"""PDF pages drawn by Poppler: one pdftoppm for each page, under this process's limits and rights.

The programs parse the PDF; this process starts them and reads a size, plain rows of pixels and complaints, so
that a file may take over a program, which can start nothing and ends with its page, but not what starts
programs. What a program complains of belongs to the page: Poppler leaves out what it cannot decode.
"""

from __future__ import annotations

import functools
import mmap
import os
import re
import select
import subprocess
from dataclasses import dataclass

from pipeline.errors import Permanent, Reason
from pipeline.filetype import Kind
from pipeline.flags import FlagCode
from pipeline.sandbox import confine
from pipeline.sandbox.drawer import Drawn, PageLimits, scale_of, within_pages, within_pixels

_DOCUMENT = "/proc/self/fd/0"  # for the programs: what their standard input is
_ABOUT_BYTES = 2**20  # of what pdfinfo prints
_HEAD_BYTES = 64  # of a picture: its form, size and depth (https://netpbm.sourceforge.net/doc/ppm.html)
_COMPLAINT_BYTES = 2**16  # kept of a program's complaints, which may be hundreds of megabytes
_PIECE = 2**16  # bytes read at once
_PPM = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")
# What loses nothing is a "Syntax Warning".
_COMPLAINT = re.compile(
    r"^(?:(?:Syntax|Internal|I/O|Config) Error|Unimplemented Feature)(?: \(\d+\))?: *(.+)$", re.M
)


class PopplerPdf:
    """An open PDF, as a file that the programs of Poppler get as their standard input."""

    def __init__(self, file: int, _kind: Kind, limits: PageLimits) -> None:
        self._document = file
        self._limits = limits
        self.pages = within_pages(int(self._about().get("Pages", "0")), limits)
        if self.pages < 1:
            raise Permanent(Reason.pdf_no_pages, "the PDF has no pages")

    def draw(self, number: int, canvas: mmap.mmap, unit: float = 1.0) -> Drawn:
        only = ["-f", str(number), "-l", str(number)]
        printed = self._about(*only).get(f"Page {number} size", "")
        points = re.match(r"([\d.]+) x ([\d.]+) pts", printed)
        if points is None:
            raise Permanent(Reason.pdf_damaged, "Poppler cannot tell the page's size")
        dpi = self._dpi(float(points[1]), float(points[2]), unit)
        done = self._run(["pdftoppm", "-r", dpi, *only, "-cropbox", _DOCUMENT], canvas)
        head = _PPM.match(done.head)
        size = within_pixels(int(head[1]), int(head[2]), self._limits) if head else (0, 0)
        if head is None or done.status != 0 or done.length != head.end() + 3 * size[0] * size[1]:
            said = f": {done.complaints[0]}" if done.complaints else " without saying why"
            raise Permanent(Reason.pdf_damaged, f"Poppler gave up on the page{said}")
        canvas.move(0, head.end(), 3 * size[0] * size[1])
        return Drawn(size, tuple(self._flags(done.complaints)))

    def close(self) -> None:
        os.close(self._document)

    def _dpi(self, width: float, height: float, unit: float) -> str:
        """The resolution of a page of this size, as pdftoppm's argument, which knows of no units."""
        dpi = 72 * scale_of(width * unit, height * unit, self._limits)
        usual = unit == 1 and dpi > self._limits.dpi * (1 - 1e-3)
        return str(self._limits.dpi) if usual else f"{dpi * unit:.6f}"

    def _flags(self, complaints: tuple[str, ...]) -> list[tuple[FlagCode, str]]:
        if not complaints:
            return []
        more = f" and {len(complaints) - 1} more" if len(complaints) > 1 else ""
        return [(FlagCode.renderer_complained, f"Poppler says: {complaints[0]}{more}")]

    def _about(self, *options: str) -> dict[str, str]:
        """What pdfinfo prints, with the spaces in its keys made single."""
        page = mmap.mmap(-1, _ABOUT_BYTES)
        done = self._run(["pdfinfo", *options, _DOCUMENT], page)
        if done.status != 0:
            if "Incorrect password" in done.said:
                raise Permanent(Reason.pdf_encrypted, "the PDF asks for a password")
            raise Permanent(Reason.pdf_damaged, "Poppler cannot open it")
        lines = page[: min(done.length, _ABOUT_BYTES)].decode("utf-8", "replace").splitlines()
        pairs = (line.partition(":") for line in lines)
        return {" ".join(key.split()): value.strip() for key, _, value in pairs}

    def _run(self, command: list[str], onto: mmap.mmap) -> _Done:
        """Run a program to its end; what it prints goes onto `onto`, as far as there is room."""
        program = subprocess.Popen(
            command,
            stdin=self._document,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            preexec_fn=functools.partial(confine.give_up_more, os.getpid()),
        )
        assert program.stdout is not None and program.stderr is not None  # they are PIPEs
        length, said = 0, bytearray()
        ready = select.poll()
        output, complaints = program.stdout.fileno(), program.stderr.fileno()
        for file in (output, complaints):
            ready.register(file, select.POLLIN)
        open_files = 2
        while open_files:
            for file, _ in ready.poll():
                part = os.read(file, _PIECE)
                if not part:
                    ready.unregister(file)
                    open_files -= 1
                elif file == output:
                    room = part[: max(0, len(onto) - length)]
                    onto[length : length + len(room)] = room
                    length += len(part)
                else:
                    said += part[: _COMPLAINT_BYTES - len(said)]
        status = program.wait()
        program.stdout.close()
        program.stderr.close()
        return _Done(status, onto[:_HEAD_BYTES], length, said.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class _Done:
    """A program that has ended: `head` is the first of what it printed, `length` all that it printed."""

    status: int
    head: bytes
    length: int
    said: str

    @property
    def complaints(self) -> tuple[str, ...]:
        """What it complained of, each once, in the order in which it did."""
        return tuple(dict.fromkeys(_COMPLAINT.findall(self.said)))
