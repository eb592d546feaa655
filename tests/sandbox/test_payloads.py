"""A decoder that a file has taken over gets nowhere: each payload works without the sandbox and not in it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.payloads import PAYLOADS, ROOT_ONLY

pytestmark = pytest.mark.slow

_PROJECT = Path(__file__).parents[2]
_NOBODY = 65534
_HOLLOW = 0.6  # of the payloads must work without a sandbox, else the machine itself leaves nothing to test


def _interpreter() -> str | None:
    """One that an unprivileged user may run: it needs no more than the standard library."""
    asked = "import sys; assert sys.version_info >= (3, 11)"
    for candidate in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin")):
        if candidate is None:
            continue
        try:
            subprocess.run([candidate, "-c", asked], check=True, capture_output=True, **_as_nobody())
        except (PermissionError, subprocess.CalledProcessError):
            continue
        return candidate
    return None


def _as_nobody() -> dict[str, object]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


@functools.cache
def _results(who: str, how: str) -> dict[str, tuple[str, list[str]]]:
    """What became of every payload: tried by "root" or "user", in the role `how`."""
    interpreter, options = sys.executable, {}
    if who == "user":
        found = _interpreter()
        if found is None:
            pytest.skip("no interpreter that an unprivileged user may run")
        interpreter, options = found, _as_nobody()
    names = [name for name in PAYLOADS if who == "root" or name not in ROOT_ONLY]
    done = subprocess.run(
        [interpreter, "-m", "tests.sandbox.actor", how, *names],
        cwd=_PROJECT,
        env={"PYTHONPATH": str(_PROJECT), "PATH": os.environ["PATH"], "SECRET": "s3cret-0123456789abcdef",
             "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        **options,  # type: ignore[call-overload]
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results: dict[str, tuple[str, list[str]]] = json.loads(done.stdout)
    return results


WHO = [
    pytest.param("root", marks=pytest.mark.skipif(os.getuid() != 0, reason="only root can be root")),
    "user",
]


@pytest.mark.parametrize("who", WHO)
def test_without_a_sandbox_payloads_work(who: str) -> None:
    """The control. A machine may refuse some by itself (containers, hardened kernels), but not most."""
    results = _results(who, "bare")
    refused = {name: said for name, (said, _) in results.items() if said != "worked"}
    assert len(refused) < (1 - _HOLLOW) * len(results), refused
    print(f"{len(results) - len(refused)} of {len(results)} work; refused by the machine: {refused}")  # noqa: T201


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("how", ["decoder", "program"])
@pytest.mark.parametrize("who", WHO)
def test_a_payload_is_stopped(who: str, how: str, name: str) -> None:
    results = _results(who, how)
    if name not in results:
        pytest.skip("nobody but root gets so far")
    said, changed = results[name]
    assert said != "worked" and not changed
    if _results(who, "bare")[name][0] != "worked":
        pytest.skip(f"the machine itself refuses it: {_results(who, 'bare')[name][0]}")
