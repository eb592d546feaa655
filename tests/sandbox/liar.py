"""A rendering process that a file has taken over as far as its answers go: it says what it is told to say.

    python liar.py ORDERS SAYINGS

The first saying answers the start, and each further one a command; "LONG" is 32 MiB of one line, "TWICE x"
says x twice, "EARLY x" says x and then, before it is asked again, something more; "DIE x" says x and ends.
"""

from __future__ import annotations

import json
import os
import sys
import time

from pipeline.sandbox.channel import Commands


def say(what: str) -> None:
    os.write(1, what.encode())


def main() -> None:
    first, *others = json.loads(sys.argv[2])
    say(first + "\n")
    for (_, file), saying in zip(Commands(0), others, strict=False):
        if file >= 0:
            os.close(file)
        how, _, what = saying.partition(" ")
        if how == "LONG":
            for _ in range(512):
                say("x" * 65536)
        elif how == "TWICE":
            say(f"{what}\n{what}\n")
        elif how == "EARLY":
            say(f"{what}\n")
            time.sleep(0.2)
            say(f"{what}\n")
        elif how == "DIE":
            say(f"{what}\n")
            return
        else:
            say(f"{saying}\n")
    time.sleep(60)


if __name__ == "__main__":
    main()
