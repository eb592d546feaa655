"""A decoder that a file has taken over: confined as `pipeline.sandbox` confines it, then runs one payload.

    python -m tests.sandbox.captive '{"payload": …, "as": "decoder" | "program" | "bare", "world": …}'

Prints "worked" or why not. As a program it is what the supervisor of Poppler starts; bare, the control.
"""

from __future__ import annotations

import json
import os
import resource
import sys

from pipeline.sandbox import confine
from tests.sandbox.payloads import PAYLOADS, World


def main() -> None:
    orders = json.loads(sys.argv[1])
    world = World(**orders["world"])
    if orders["as"] == "bare":
        resource.setrlimit(resource.RLIMIT_CPU, (100, 200))
    else:
        confine.begin(world.actor, 2**31, 3600)
        held = confine.give_up("supervisor" if orders["as"] == "program" else "decoder")
        print(json.dumps([held.landlock, held.seccomp]), flush=True)  # noqa: T201
    if orders["as"] == "program":
        supervisor = os.getpid()
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            return
        confine.give_up_more(supervisor)
    try:
        PAYLOADS[orders["payload"]](world)
    except BaseException as error:  # noqa: BLE001  it is what the test looks at
        said = f"{type(error).__name__}: {error}"
    else:
        said = "worked"
    print(json.dumps(said), flush=True)  # noqa: T201
    os._exit(0)


if __name__ == "__main__":
    main()
