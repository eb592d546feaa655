"""The child: opens one document at a time and draws one page at a time, until its input ends.

    python -P -m pipeline.sandbox '{"renderer": …, "canvas": FD, "anchors": [FD], "parent": PID, …}'

Standard input is a socket; a message on it is a command. {"kind": "pdf"} opens the document whose file comes
with it, {"page": 3, "unit": 1} draws a page, {"look": 3} says what is on it, {"attachments": 1} what files
the document holds, {"attachment": 0} puts the bytes of one on the canvas, {"codes": [w, h]} looks for QR
codes on the pixels that the canvas holds, {"words": 3, "size": [w, h]} reads the text of the page it shows.
A line on standard output is the answer: {"pages": 7}, {"size": [w, h], "flags": [[code, message], …]},
{"unit": 1, "flags": …}, {"attachments": [[name, true], …], "portfolio": false}, {"bytes": 9},
{"codes": [[text, box], …]}, {"words": [[text, box], …], "trusted": true, "why": null},
or {"reason": …, "message": …, "details": …}. A document that is no picture has one page, and is told when it
is opened: {"xml": [names, texts, counts], "signature": […]}. The first line says what holds the process:
{"landlock": 7, "seccomp": true}.

A child that is a second reader opens no document. It knows {"recognise": [w, h]}, which reads the page that
the canvas shows, and answers as to "words".
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import math
import mmap
import os
import sys
from pathlib import Path
from typing import Any, TextIO, cast

from pipeline.errors import Permanent, Reason
from pipeline.flags import MOST_FLAGS
from pipeline.sandbox import channel, confine
from pipeline.sandbox.drawer import ANSWER_BYTES, Drawer, Holder, Looker, PageLimits, Speller, Written, mapped
from pipeline.sandbox.drawers import DRAWERS
from pipeline.sandbox.recogniser import Recogniser
from pipeline.sandbox.recognisers import RECOGNISERS


def main(orders: dict[str, Any], commands: channel.Commands, answers: TextIO) -> None:
    limits = PageLimits(orders["dpi"], orders["max_pages"], orders["max_pixels"])
    confine.begin(orders["parent"], orders["memory_bytes"], orders["cpu_seconds"])
    canvas = mmap.mmap(orders["canvas"], 3 * limits.max_pixels)
    if orders["renderer"] in RECOGNISERS:
        _recognise(orders, canvas, commands, answers)
        return
    entry = DRAWERS[orders["renderer"]]
    # Imported before the child confines itself, so that it need not find them later.
    drawer = getattr(importlib.import_module(f"pipeline.sandbox.{entry.module}"), entry.drawer)
    codes = importlib.import_module("pipeline.sandbox.codes") if entry.codes else None
    anchors = b"".join(bytes(mapped(file)) for file in orders["anchors"])
    held = confine.give_up(entry.role)
    _say(answers, {"landlock": held.landlock, "seccomp": held.seccomp})
    gc.freeze()  # what is there stays: no look for garbage need go through it
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
            elif "attachments" in command or "attachment" in command:
                if not entry.looks:
                    raise RuntimeError("this child knows of no files within files")
                holder = cast(Holder, document)
                if "attachments" in command:
                    _say(answers, holder.attachments())
                else:
                    _say(answers, {"bytes": holder.attachment(command["attachment"], canvas)})
            elif "codes" in command:
                if codes is None:
                    raise RuntimeError("this child searches for no codes")
                _say(answers, {"codes": codes.find(canvas, *command["codes"])})
            elif "words" in command:
                if not entry.words:
                    raise RuntimeError("this child reads no text")
                layer = cast(Speller, document).words(command["words"], command["size"])
                _say(answers, {"words": layer.words, "trusted": layer.trusted, "why": layer.why})
            else:
                if document is not None:
                    document.close()
                document = None
                document = drawer(file, command["kind"], limits)
                if entry.reads:
                    _say(answers, cast(Written, document).read(anchors), ANSWER_BYTES)
                else:
                    _say(answers, {"pages": document.pages})
        except Permanent as error:
            _say(answers, {"reason": error.reason, "message": error.message, "details": error.details})
        except MemoryError:
            message = f"needs more than {orders['memory_bytes']:,} bytes (render.memory_bytes)"
            _say(answers, {"reason": Reason.render_memory, "message": message, "details": {}})


def _recognise(
    orders: dict[str, Any], canvas: mmap.mmap, commands: channel.Commands, answers: TextIO
) -> None:
    entry = RECOGNISERS[orders["renderer"]]
    maker = getattr(importlib.import_module(f"pipeline.sandbox.{entry.module}"), entry.recogniser)
    # A thread that a library has started by now would not be confined with this one.
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise RuntimeError("there is more than one thread before the child is confined")
    held = confine.give_up(entry.role, entry.programs)
    recogniser: Recogniser = maker()
    _say(answers, {"landlock": held.landlock, "seccomp": held.seccomp})
    for command, _ in commands:
        try:
            layer = recogniser.read(canvas, *command["recognise"])
            _say(answers, {"words": layer.words, "trusted": layer.trusted, "why": layer.why})
        except Permanent as error:
            _say(answers, {"reason": error.reason, "message": error.message, "details": error.details})
        except MemoryError:
            message = f"needs more than {orders['memory_bytes']:,} bytes (second_reader.memory_bytes)"
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
