"""An actor with secrets, and one captive after the other that wants them.

    python -m tests.sandbox.actor decoder|program|bare PAYLOAD…

Prints {payload: [what the captive said, what the actor found changed]}.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pipeline.sandbox import limits
from tests.sandbox.payloads import SECRET, World

_FILES = {
    ".aws/credentials": SECRET,
    ".bashrc": b"# kept\n",
    "store.db": b"rows\n" * 1000,
    "code.py": b"pass\n",
}


def main() -> None:
    how, *names = sys.argv[1:]
    if how != "bare":
        limits.hide_memory()  # as `Child` does before there is one
    print(json.dumps({name: _tried(how, name) for name in names}))  # noqa: T201


def _tried(how: str, name: str) -> tuple[str, list[str]]:
    memory = ctypes.create_string_buffer(SECRET, len(SECRET))
    with _laid_out(memory) as (world, victim):
        before = _found(world)
        orders = {"payload": name, "as": how, "world": asdict(world)}
        done = subprocess.run(
            [sys.executable, "-m", "tests.sandbox.captive", json.dumps(orders)],
            capture_output=True,
            text=True,
            start_new_session=True,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
            timeout=60,
        )
        said = done.stdout.splitlines()
        changed = [] if _found(world) == before else ["files"]
        if memory.raw != SECRET:
            changed.append("memory")
        if victim.poll() is not None:
            changed.append("victim")
    if how != "bare" and (not said or json.loads(said[0]) == [0, False]):
        raise RuntimeError(f"the captive was not confined: {done.stderr}")
    last = said[-1] if said and (how == "bare" or len(said) > 1) else json.dumps(f"ended {done.returncode}")
    return json.loads(last), changed


def _found(world: World) -> list[object]:
    found: list[object] = []
    for place in sorted(world.at.rglob("*")):
        about = place.lstat()
        content = place.read_bytes() if place.is_file() and not place.is_symlink() else None
        found.append((str(place), about.st_mode, about.st_uid, about.st_mtime, about.st_nlink, content))
    return found


@contextmanager
def _laid_out(memory: ctypes.Array[ctypes.c_char]) -> Iterator[tuple[World, subprocess.Popen[bytes]]]:
    home = Path(tempfile.mkdtemp(prefix="home-"))
    for name, content in _FILES.items():
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_bytes(content)
    victim = subprocess.Popen(["sleep", "60"])
    reading, writing = os.pipe()
    os.write(writing, SECRET)
    listening = socket.create_server(("127.0.0.1", 0))
    local, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    local.bind(str(home / "socket"))
    abstract.bind(f"\0vinbatch-test-{os.getpid()}")
    local.listen()
    abstract.listen()
    try:
        yield (
            World(
                actor=os.getpid(),
                victim=victim.pid,
                address=ctypes.addressof(memory),
                connection=reading,
                home=str(home),
                port=listening.getsockname()[1],
                abstract=f"vinbatch-test-{os.getpid()}",
            ),
            victim,
        )
    finally:
        victim.kill()
        victim.wait()
        for one in (listening, local, abstract):
            one.close()
        os.close(reading)
        os.close(writing)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
