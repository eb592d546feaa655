"""PDF pages drawn by Poppler (pdf2image): one pdftoppm for each page, under this process's limits and rights.

The programs parse the PDF; this process starts them and reads a size and plain rows of pixels, so that a file
may take over a program, which can start nothing and ends with its page, but not what starts programs.
"""

from __future__ import annotations

import functools
import mmap
import os
import re
import subprocess
from typing import Any

import pdf2image
from pdf2image import pdf2image as starter  # the module that starts Poppler's programs, by its name `Popen`
from pdf2image.exceptions import PDFPageCountError
from PIL import Image

from pipeline.errors import Permanent, Reason
from pipeline.filetype import Kind
from pipeline.sandbox import confine
from pipeline.sandbox.drawer import PageLimits, within_pages, within_pixels

_DOCUMENT = "/proc/self/fd/0"  # for the programs: what their standard input is


class PopplerPdf:
    """An open PDF, as a file that the programs of Poppler get as their standard input."""

    def __init__(self, file: int, _kind: Kind, limits: PageLimits) -> None:
        self._document = file
        self._limits = limits
        starter.Popen = functools.partial(_confined, file, os.getpid())  # type: ignore[attr-defined, assignment]
        Image.init()
        Image.ID[:] = ["PPM"]  # a program that was taken over must not choose one of Pillow's decoders
        self.pages = within_pages(int(self._about()["Pages"]), limits)
        if self.pages < 1:
            raise Permanent(Reason.pdf_no_pages, "the PDF has no pages")

    def draw(self, number: int, canvas: mmap.mmap) -> tuple[int, int]:
        scale = self._limits.dpi / 72
        printed = self._about(first_page=number, last_page=number).get(f"Page {number} size", "")
        points = re.match(r"([\d.]+) x ([\d.]+) pts", printed)
        if points is None:
            raise Permanent(Reason.pdf_damaged, "Poppler cannot tell the page's size")
        within_pixels(float(points[1]) * scale, float(points[2]) * scale, self._limits)
        try:
            drawn = pdf2image.convert_from_path(
                _DOCUMENT, self._limits.dpi, first_page=number, last_page=number, use_cropbox=True
            )
            page: Image.Image = drawn[0].convert("RGB")
        except (IndexError, OSError, ValueError) as error:
            raise Permanent(Reason.pdf_damaged, "Poppler gave up on the page without saying why") from error
        size = within_pixels(*page.size, self._limits)
        canvas[: size[0] * size[1] * 3] = page.tobytes()
        return size

    def close(self) -> None:
        os.close(self._document)

    def _about(self, **pages: Any) -> dict[str, Any]:
        """What pdfinfo prints, with the spaces in its keys made single."""
        try:
            about = pdf2image.pdfinfo_from_path(_DOCUMENT, **pages)
        except (PDFPageCountError, ValueError) as error:
            if "Incorrect password" in str(error):
                raise Permanent(Reason.pdf_encrypted, "the PDF asks for a password") from error
            raise Permanent(Reason.pdf_damaged, "Poppler cannot open it") from error
        return {" ".join(key.split()): value for key, value in about.items()}


def _confined(document: int, supervisor: int, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """A program of Poppler's with the document as its standard input. This process has one thread."""
    quiet = (
        ["-q"] if command[0] == "pdftoppm" else []
    )  # complaints by the hundred megabyte are kept in memory
    give_up = functools.partial(confine.give_up_more, supervisor)
    return subprocess.Popen([command[0], *quiet, *command[1:]], stdin=document, preexec_fn=give_up, **options)
