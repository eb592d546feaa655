"""PDF pages drawn by Poppler: one pdftoppm for each page, under this process's limits and without its rights.

The programs parse the PDF; this process only starts them and reads a size and plain rows of pixels, so that a
file may take over a program, which can start nothing and ends with its page, but not what starts programs.
"""

from __future__ import annotations

import functools
import io
import mmap
import os
import re
import subprocess

from pipeline.errors import Permanent, Reason
from pipeline.sandbox import confine
from pipeline.sandbox.drawer import Limits, within_pages, within_pixels

_DOCUMENT = "/proc/self/fd/0"  # for the programs: what their standard input is
_SIDE = r"(\d{1,20}(?:\.\d{1,20})?(?:e\+\d{1,2})?)"  # points, as printf's %g writes them


class PopplerPdf:
    """An open PDF, as a file that the programs of Poppler get as their standard input."""

    def __init__(self, document_fd: int, limits: Limits) -> None:
        self._document = document_fd
        self._limits = limits
        count = re.search(r"^Pages: +(\d{1,9})$", self._about(), re.M)
        if count is None:
            raise Permanent(Reason.pdf_damaged, "Poppler cannot tell the number of pages")
        self.pages = within_pages(int(count[1]), limits)
        if self.pages < 1:
            raise Permanent(Reason.pdf_no_pages, "the PDF has no pages")

    def draw(self, number: int, canvas: mmap.mmap) -> tuple[int, int]:
        scale = self._limits.dpi / 72
        page = ("-f", str(number), "-l", str(number))
        points = re.search(rf"^Page +{number} size: +{_SIDE} x {_SIDE} pts", self._about(*page), re.M)
        if points is None:
            raise Permanent(Reason.pdf_damaged, "Poppler cannot tell the page's size")
        within_pixels(float(points[1]) * scale, float(points[2]) * scale, self._limits)
        with self._started("pdftoppm", "-q", "-r", str(self._limits.dpi), "-cropbox", *page) as drawing:
            assert isinstance(drawing.stdout, io.BufferedReader)  # it is a PIPE
            head = [drawing.stdout.readline(40) for _ in range(3)]  # P6, width and height, 255
            sides = re.fullmatch(rb"P6\n(\d{1,9}) (\d{1,9})\n255\n", b"".join(head))
            if sides is None:
                raise Permanent(Reason.pdf_damaged, "Poppler gave up on the page without saying why")
            size = within_pixels(int(sides[1]), int(sides[2]), self._limits)
            with memoryview(canvas) as whole, whole[: 3 * size[0] * size[1]] as pixels:
                if drawing.stdout.readinto(pixels) != len(pixels):
                    raise Permanent(Reason.pdf_damaged, "Poppler gave up in the middle of the page")
        return size

    def close(self) -> None:
        os.close(self._document)

    def _about(self, *page: str) -> str:
        """What pdfinfo prints."""
        with self._started("pdfinfo", *page, stderr=subprocess.PIPE) as asked:
            told, complaints = (words.decode("utf-8", "replace") for words in asked.communicate())
        if "Pages:" in told:
            return told
        if "Incorrect password" in complaints:
            raise Permanent(Reason.pdf_encrypted, "the PDF asks for a password")
        raise Permanent(Reason.pdf_damaged, "Poppler cannot open it")

    def _started(self, program: str, *options: str, stderr: int | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [program, *options, _DOCUMENT],
            stdin=self._document,
            stdout=subprocess.PIPE,
            stderr=stderr,
            preexec_fn=functools.partial(confine.give_up_more, os.getpid()),  # this process has one thread
        )
