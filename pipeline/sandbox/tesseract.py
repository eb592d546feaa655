"""Tesseract with Debian's Vietnamese data: a program for each page, under this process's limits and rights.

It gets plain pixels on its standard input and answers in a table. It can start nothing, and ends with its
page.
"""

from __future__ import annotations

import functools
import mmap
import os
import subprocess
from collections.abc import Iterator

from pipeline.errors import Permanent, Reason
from pipeline.sandbox import confine
from pipeline.sandbox.drawer import Layer
from pipeline.sandbox.recogniser import Place, layer

_COMMAND = ("tesseract", "stdin", "stdout", "-l", "vie", "tsv")
_WORD = "5"  # the level of a row
_LEAST = 30.0  # of 100: what it is less sure of is mostly no letter
_SAID = 200  # characters of its complaints


class Tesseract:
    """Reads Vietnamese words."""

    def read(self, canvas: mmap.mmap, width: int, height: int) -> Layer:
        picture = b"P6 %d %d 255\n" % (width, height) + canvas[: 3 * width * height]
        give_up = functools.partial(confine.give_up_more, os.getpid())
        done = subprocess.run(
            _COMMAND,
            input=picture,
            capture_output=True,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            preexec_fn=give_up,  # this process has one thread
        )
        if done.returncode != 0:
            said = " ".join(done.stderr.decode("utf-8", "replace").split())[:_SAID]
            raise Permanent(Reason.image_damaged, f"tesseract ended with {done.returncode}: {said}")
        return layer(_words(done.stdout.decode("utf-8", "replace")), width, height)


def _words(table: str) -> Iterator[tuple[str, Place]]:
    for row in table.splitlines()[1:]:
        cells = row.split("\t", 11)
        if len(cells) == 12 and cells[0] == _WORD and float(cells[10]) >= _LEAST:
            left, top, width, height = map(float, cells[6:10])
            yield cells[11], (left, top, left + width, top + height)
