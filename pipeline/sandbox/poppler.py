"""PDF pages drawn by Poppler (pdf2image): one pdftoppm for each page, under this process's limits and rights.

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
from typing import Any

import pdf2image
from pdf2image import pdf2image as starter  # the module that starts Poppler's programs, by its name `Popen`
from pdf2image.exceptions import PDFPageCountError
from PIL import Image

from pipeline.errors import Permanent, Reason
from pipeline.filetype import Kind
from pipeline.flags import FlagCode
from pipeline.sandbox import confine
from pipeline.sandbox.drawer import Drawn, PageLimits, scale_of, within_pages, within_pixels

_DOCUMENT = "/proc/self/fd/0"  # for the programs: what their standard input is
_ABOUT_BYTES = 2**20  # of what a program prints, beside pixels
_COMPLAINT_BYTES = 2**16  # kept of a program's complaints, which may be hundreds of megabytes
_PIECE = 2**16  # bytes read at once
# What loses nothing is a "Syntax Warning".
_COMPLAINT = re.compile(
    r"^(?:(?:Syntax|Internal|I/O|Config) Error|Unimplemented Feature)(?: \(\d+\))?: *(.+)$", re.M
)


class PopplerPdf:
    """An open PDF, as a file that the programs of Poppler get as their standard input."""

    def __init__(self, file: int, _kind: Kind, limits: PageLimits) -> None:
        self._document = file
        self._limits = limits
        self._program: _Program | None = None  # the last one
        starter.Popen = self._start  # type: ignore[attr-defined, assignment]
        Image.init()
        Image.ID[:] = ["PPM"]  # a program that was taken over must not choose one of Pillow's decoders
        self.pages = within_pages(int(self._about().get("Pages", 0)), limits)
        if self.pages < 1:
            raise Permanent(Reason.pdf_no_pages, "the PDF has no pages")

    def draw(self, number: int, canvas: mmap.mmap, unit: float = 1.0) -> Drawn:
        only = {"first_page": number, "last_page": number}
        points = re.match(r"([\d.]+) x ([\d.]+) pts", self._about(**only).get(f"Page {number} size", ""))
        if points is None:
            raise Permanent(Reason.pdf_damaged, "Poppler cannot tell the page's size")
        dpi = self._dpi(float(points[1]), float(points[2]), unit)
        try:
            drawn = pdf2image.convert_from_path(_DOCUMENT, dpi, use_cropbox=True, **only)  # type: ignore[arg-type]
            page = drawn[0].convert("RGB")
        except (IndexError, OSError, ValueError, PDFPageCountError):
            page = None
        complaints, status = self._heard()
        if page is None or status != 0:
            said = f": {complaints[0]}" if complaints else " without saying why"
            raise Permanent(Reason.pdf_damaged, f"Poppler gave up on the page{said}")
        size = within_pixels(*page.size, self._limits)
        canvas[: 3 * size[0] * size[1]] = page.tobytes()
        return Drawn(size, tuple(_flags(complaints)))

    def close(self) -> None:
        os.close(self._document)

    def _dpi(self, width: float, height: float, unit: float) -> float:
        """The resolution of a page of this size, as pdftoppm's argument, which knows of no units."""
        dpi = 72 * scale_of(width * unit, height * unit, self._limits)
        usual = unit == 1 and dpi > self._limits.dpi * (1 - 1e-3)
        return self._limits.dpi if usual else round(dpi * unit, 6)

    def _about(self, **pages: Any) -> dict[str, Any]:
        """What pdfinfo prints, with the spaces in its keys made single."""
        try:
            about = pdf2image.pdfinfo_from_path(_DOCUMENT, **pages)
        except (PDFPageCountError, ValueError) as error:
            if "Incorrect password" in str(error):
                raise Permanent(Reason.pdf_encrypted, "the PDF asks for a password") from error
            raise Permanent(Reason.pdf_damaged, "Poppler cannot open it") from error
        return {" ".join(key.split()): value for key, value in about.items()}

    def _start(self, command: list[str], **options: Any) -> _Program:
        """What pdf2image starts a program by. This process has one thread."""
        most = _ABOUT_BYTES + (3 * self._limits.max_pixels if command[0] == "pdftoppm" else 0)
        give_up = functools.partial(confine.give_up_more, os.getpid())
        self._program = _Program(command, most, stdin=self._document, preexec_fn=give_up, **options)
        return self._program

    def _heard(self) -> tuple[tuple[str, ...], int]:
        """What the last program complained of, each once, and its exit status."""
        if self._program is None:
            raise RuntimeError("no program was started")
        said = self._program.said.decode("utf-8", "replace")
        return tuple(dict.fromkeys(_COMPLAINT.findall(said))), self._program.returncode


class _Program(subprocess.Popen[bytes]):
    """A program of whose output and complaints no more is kept than there is a use for."""

    def __init__(self, command: list[str], most: int, **options: Any) -> None:
        super().__init__(command, bufsize=0, **options)
        self._most = most
        self.said = bytearray()

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:  # noqa: ARG002
        """To the program's end, for which the child's own limits of time stand. It gets no input here."""
        if self.stdout is None or self.stderr is None:
            raise RuntimeError("pdf2image no longer asks for the program's output")
        printed = bytearray()
        kept = {
            self.stdout.fileno(): (printed, self._most),
            self.stderr.fileno(): (self.said, _COMPLAINT_BYTES),
        }
        ready = select.poll()
        for file in kept:
            ready.register(file, select.POLLIN)
        still_open = len(kept)
        while still_open:
            for file, _ in ready.poll():
                part = os.read(file, _PIECE)
                if not part:
                    ready.unregister(file)
                    still_open -= 1
                onto, most = kept[file]
                onto += part[: most - len(onto)]
        self.wait()
        self.stdout.close()
        self.stderr.close()
        return bytes(printed), bytes(self.said)


def _flags(complaints: tuple[str, ...]) -> list[tuple[FlagCode, str]]:
    if not complaints:
        return []
    more = f" and {len(complaints) - 1} more" if len(complaints) > 1 else ""
    return [(FlagCode.renderer_complained, f"Poppler says: {complaints[0]}{more}")]
