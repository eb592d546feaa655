"""A run whose Ray has gone ends with 4 and a sentence, and one that leaves in time is left alone."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from workers import guard

STUCK = """
import time
from workers import guard
guard._LEAVE_SECONDS = 0.1
with guard.guarded(lambda: "Ray is gone", print, lambda: print("cleared", flush=True)):
    time.sleep(60)
"""


@pytest.mark.medium
def test_a_run_that_is_stuck_is_ended_with_4() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4 and done.stdout == "vinbatch: Ray is gone\ncleared\n", done.stderr


@pytest.mark.medium
def test_a_run_that_leaves_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_LEAVE_SECONDS", 60.0)
    told: list[str] = []
    with guard.guarded(lambda: "Ray is gone", told.append):
        time.sleep(1.5)  # the guard has seen it
    assert not told


@pytest.mark.medium
def test_a_head_that_does_not_answer_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_PROBE_SECONDS", 0.01)
    monkeypatch.setattr(guard, "_SILENCE_SECONDS", 0.3)
    server = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{server.getsockname()[1]}"
    silence = guard.Silence(address)
    time.sleep(0.5)
    assert silence() is None  # it was not asked for a while, which is not its fault
    server.close()
    time.sleep(0.02)
    assert silence() is None  # it may come back
    time.sleep(0.5)
    assert f"the Ray cluster at {address} has not answered" in (silence() or "")
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        time.sleep(0.02)
        assert silence() is None
