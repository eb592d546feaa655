"""Files within a PDF: which of them are documents of a kind that is read, and their bytes."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

import pikepdf
from pikepdf import Dictionary

from pipeline.filetype import HEAD, sniff
from pipeline.sandbox.drawer import LONGEST_NAME, MOST_ATTACHED, MOST_ATTACHED_BYTES


class Attachments:
    """What is attached to an open PDF as a whole, then what annotations of its pages hold (`hung`: their file
    specifications), each file once: many programs name such a file in both places.
    """

    def __init__(self, pdf: pikepdf.Pdf, hung: Iterable[Dictionary] = ()) -> None:
        self.portfolio = "/Collection" in pdf.Root
        whole = ((spec.filename or name, stream(spec.obj)) for name, spec in pdf.attachments.items())
        single = ((_name(spec), stream(spec)) for spec in hung)
        self._files: list[tuple[str, pikepdf.Stream | None]] = []
        seen: set[tuple[int, int]] = set()
        for name, file in islice(chain(whole, single), MOST_ATTACHED):
            if file is None or file.objgen not in seen:
                self._files.append((plain(name), file))
            if file is not None:
                seen.add(file.objgen)

    def listed(self) -> list[tuple[str, bool]]:
        """(name, whether it is a document) of each."""
        return [(name, is_document(file)) for name, file in self._files]

    def onto(self, canvas: mmap.mmap, number: int) -> int:
        """Writes the bytes of number `number` (from 0) to the start of `canvas`; how many, 0 for too many."""
        file = self._files[number][1]
        data = b"" if file is None else file.read_bytes()
        if len(data) > min(len(canvas), MOST_ATTACHED_BYTES):
            return 0
        canvas[: len(data)] = data
        return len(data)


def stream(specification: Any) -> pikepdf.Stream | None:
    """The file that a file specification holds within itself."""
    files = specification.get("/EF")
    file = (files.get("/F") or files.get("/UF")) if isinstance(files, Dictionary) else None
    return file if isinstance(file, pikepdf.Stream) else None


def is_document(file: pikepdf.Stream | None) -> bool:
    """Whether it is of a kind that is read, by its first bytes."""
    return file is not None and sniff(file.read_bytes()[:HEAD]) is not None


def _name(specification: Dictionary) -> str:
    return str(specification.get("/UF") or specification.get("/F") or "without a name")


def plain(words: str) -> str:
    return " ".join(words.split())[:LONGEST_NAME]
