"""PDF pages drawn by Poppler (pdf2image): one pdftoppm for each page, under the limits of this process."""

from __future__ import annotations

import mmap
import os
import re
from typing import Any

import pdf2image
from pdf2image.exceptions import PDFPageCountError
from PIL import Image

from pipeline.errors import Permanent, Reason
from pipeline.sandbox.drawer import Limits, within_pages, within_pixels


class PopplerPdf:
    """An open PDF, as a path that the programs of Poppler can read."""

    def __init__(self, document_fd: int, limits: Limits) -> None:
        self._path = f"/proc/{os.getpid()}/fd/{document_fd}"
        self._limits = limits
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
        drawn = pdf2image.convert_from_path(
            self._path, self._limits.dpi, first_page=number, last_page=number, use_cropbox=True
        )
        if len(drawn) != 1:
            raise Permanent(Reason.pdf_damaged, "Poppler gave up on the page without saying why")
        page: Image.Image = drawn[0].convert("RGB")
        size = within_pixels(*page.size, self._limits)
        canvas[: size[0] * size[1] * 3] = page.tobytes()
        return size

    def close(self) -> None:
        """Nothing is held open between pages."""

    def _about(self, **pages: Any) -> dict[str, Any]:
        """What pdfinfo prints, with the spaces in its keys made single."""
        try:
            about = pdf2image.pdfinfo_from_path(self._path, **pages)
        except (PDFPageCountError, ValueError) as error:
            if "Incorrect password" in str(error):
                raise Permanent(Reason.pdf_encrypted, "the PDF asks for a password") from error
            raise Permanent(Reason.pdf_damaged, "Poppler cannot open it") from error
        return {" ".join(key.split()): value for key, value in about.items()}
