"""The child: opens one document at a time and draws one page at a time, until its input ends.

    python -P -m pipeline.sandbox '{"renderer": …, "canvas": FD, "parent": PID, …}'

Standard input is a socket; a message on it is a command. {"kind": "pdf"} opens the document whose file comes
with it, {"page": 3, "unit": 1} draws a page, {"look": 3} says what is on it, {"codes": [w, h]} looks for QR
codes on the pixels that the canvas holds, {"words": 3, "size": [w, h]} reads the text of the page it shows,
{"read": 1} asks what a document says that is no picture. A line on standard output is the answer: {"pages":
7}, {"size": [w, h], "flags": [[code, message], …]}, {"unit": 1, "flags": …}, {"codes": [[text, box], …]},
{"words": [[text, box], …], "trusted": true, "why": null}, {"xml": [name, text, […]]} or {"reason": …,
"message": …, "details": …}. The first line says what holds the process: {"landlock": 7, "seccomp": true}.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import math
import mmap
import os
import sys
from typing import Any, TextIO, cast

from pipeline.errors import Permanent, Reason
from pipeline.flags import MOST_FLAGS
from pipeline.sandbox import channel, confine
from pipeline.sandbox.drawer import ANSWER_BYTES, Drawer, Looker, PageLimits, Speller, Written
from pipeline.sandbox.drawers import DRAWERS


def main(orders: dict[str, Any], commands: channel.Commands, answers: TextIO) -> None:
    limits = PageLimits(orders["dpi"], orders["max_pages"], orders["max_pixels"])
    confine.begin(orders["parent"], orders["memory_bytes"], orders["cpu_seconds"])
    canvas = mmap.mmap(orders["canvas"], 3 * limits.max_pixels)
    entry = DRAWERS[orders["renderer"]]
    # Imported before the child confines itself, so that it need not find them later.
    drawer = getattr(importlib.import_module(f"pipeline.sandbox.{entry.module}"), entry.drawer)
    codes = importlib.import_module("pipeline.sandbox.codes") if entry.codes else None
    held = confine.give_up(entry.role)
    _say(answers, {"landlock": held.landlock, "seccomp": held.seccomp})
    document: Drawer | None = None
    for command, file in commands:
        try:
            if "page" in command:
                if document is None:
                    raise RuntimeError("a page was asked for before a document")
                drawn = document.draw(command["page"], canvas, command["unit"])
                _say(answers, {"size": drawn.size, "flags": drawn.flags[:MOST_FLAGS]})
            elif "look" in command:
                if not entry.looks:
                    raise RuntimeError("this child looks at no pages")
                unit, flags = cast(Looker, document).look(command["look"])
                _say(answers, {"unit": unit, "flags": flags[:MOST_FLAGS]})
            elif "read" in command:
                if not entry.reads or document is None:
                    raise RuntimeError("this child has no document to read")
                _say(answers, {"xml": cast(Written, document).read()}, ANSWER_BYTES)
            elif "codes" in command:
                if codes is None:
                    raise RuntimeError("this child searches for no codes")
                _say(answers, {"codes": codes.find(canvas, *command["codes"])})
            elif "words" in command:
                if not entry.words:
                    raise RuntimeError("this child reads no text")
                layer = cast(Speller, document).words(command["words"], canvas, command["size"])
                _say(answers, {"words": layer.words, "trusted": layer.trusted, "why": layer.why})
            else:
                if document is not None:
                    document.close()
                document = None
                document = drawer(file, command["kind"], limits)
                _say(answers, {"pages": document.pages})
        except Permanent as error:
            _say(answers, {"reason": error.reason, "message": error.message, "details": error.details})
        except MemoryError:
            message = f"needs more than {orders['memory_bytes']:,} bytes (render.memory_bytes)"
            _say(answers, {"reason": Reason.render_memory, "message": message, "details": {}})


def _say(answers: TextIO, answer: dict[str, Any], most: float = math.inf) -> None:
    line = json.dumps(answer)
    if len(line) >= most:
        raise Permanent(Reason.xml_too_large, "the XML holds more text than is told of a document")
    answers.write(line + "\n")
    answers.flush()


if __name__ == "__main__":
    stdout = os.fdopen(os.dup(1), "w")
    faulthandler.enable()  # if a library crashes: where
    os.dup2(2, 1)  # a library that prints does not get into the answers
    main(json.loads(sys.argv[1]), channel.Commands(0), stdout)
