"""The child: opens one document at a time and draws one page at a time, until its input ends.

    python -P -m pipeline.sandbox '{"renderer": …, "document": FD, "canvas": FD, …}'

A line on standard input is a command: {"kind": "pdf"} opens what lies in the document file, {"page": 3} draws
a page. A line on standard output is the answer: {"pages": 7}, {"size": [w, h]} or {"reason": …, "message": …}
and the first one says {"confined": true} when the network is closed.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import sys
from typing import Any, TextIO

from pipeline.errors import Permanent, Reason
from pipeline.filetype import Kind
from pipeline.sandbox import confine
from pipeline.sandbox.drawer import Drawer, Limits


def main(orders: dict[str, Any], commands: TextIO, answers: TextIO) -> None:
    limits = Limits(orders["dpi"], orders["max_pages"], orders["max_pixels"])
    confine.limit_resources(orders["memory_bytes"])
    canvas = mmap.mmap(orders["canvas"], 3 * limits.max_pixels)
    confined = confine.close_network(programs=orders["renderer"] == "poppler")
    _say(answers, {"confined": confined})
    document: Drawer | None = None
    for line in commands:
        command = json.loads(line)
        confine.allow_cpu(orders["seconds"])
        try:
            if "page" in command:
                if document is None:
                    raise RuntimeError("a page was asked for before a document")
                _say(answers, {"size": document.draw(command["page"], canvas)})
            else:
                if document is not None:
                    document.close()
                document = None
                document = _open(orders["renderer"], command["kind"], orders["document"], limits)
                _say(answers, {"pages": document.pages})
        except Permanent as error:
            _say(answers, {"reason": error.reason, "message": error.message, "details": error.details})
        except MemoryError:
            message = f"needs more than {orders['memory_bytes']:,} bytes (render.memory_bytes)"
            _say(answers, {"reason": Reason.render_memory, "message": message, "details": {}})


def _open(renderer: str, kind: Kind, file: int, limits: Limits) -> Drawer:
    """Imports wait until they are needed: a child that draws PDFs starts in half the time without numpy."""
    if renderer == "poppler":
        from pipeline.sandbox.poppler import PopplerPdf

        return PopplerPdf(file, limits)
    data = mmap.mmap(file, 0, access=mmap.ACCESS_COPY)
    if kind == "pdf":
        from pipeline.sandbox.pdfium import PdfiumPdf

        return PdfiumPdf(data, limits)
    from pipeline.sandbox.images import Picture

    return Picture(data, kind, limits)


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w")
    faulthandler.enable()  # if a library crashes: where
    os.dup2(2, 1)  # a library that prints does not get into the answers
    main(json.loads(sys.argv[1]), sys.stdin, channel)
