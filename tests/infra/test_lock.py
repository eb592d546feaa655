"""Every package is pinned, for every machine alike; `make audit` finds what is known, or says it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from typing import Any

import pytest

from infra import lock

NOT_OURS = {"pip", "vinbatch"}  # a virtual environment's own, and this checkout
FLASK = ("flask", "3.1.3")
LOCKS = (*lock.LOCKS, lock.VOCABULARY_LOCK)


def locked() -> dict[str, set[str]]:
    return {name: found for path in LOCKS for name, found in lock.pins(path.read_text("utf-8")).items()}


def test_every_installed_package_is_pinned() -> None:
    installed = {lock.normalised(one.metadata["Name"]): one.version for one in metadata.distributions()}
    ours = {name: version for name, version in installed.items() if not lock.of_torch(name)}
    pinned = locked()
    assert {name: v for name, v in ours.items() if v not in pinned.get(name, ())}.keys() == NOT_OURS
    torch = lock.pins(lock.CONSTRAINTS.read_text("utf-8"))
    assert torch == {"torch": {installed["torch"].partition("+")[0]}}


def test_every_dependency_is_in_its_lock() -> None:
    project = tomllib.loads((lock.ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {lock.normalised(one.split("[")[0].split(">")[0]) for one in requirements}

    job, extras, test = (lock.pins(path.read_text("utf-8")).keys() for path in lock.LOCKS)
    # One that the job needs on Windows alone, and an extra everywhere, stands in both.
    extras -= {"colorama"}
    optional = project["optional-dependencies"]
    assert names(project["dependencies"]) - job == {"torch"}
    told = [one for extra in lock.LOCKS[lock.EXTRAS_LOCK] for one in optional[extra]]
    assert names(told) - extras == set()
    assert names(optional["teacher"]) - job == set()  # the hub's package needs it too
    # A GPU's build of torch names the Triton that it was made with.
    assert names([*optional["test"], *optional["second-reader"]]) - job - extras - test == {"triton"}
    assert not job & extras and not job & test and not extras & test and {"uv", "setuptools"} <= job


def test_the_package_with_the_vocabulary_brings_no_others() -> None:
    wanted = tomllib.loads((lock.ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"][
        "vocabulary"
    ]
    pinned = lock.pins(lock.VOCABULARY_LOCK.read_text("utf-8")).keys()
    assert [one.split(">")[0] for one in wanted] == list(pinned) == ["dashscope"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_is_for_every_machine(path: Any) -> None:
    text = path.read_text("utf-8")
    found = lock.blocks(text)
    assert len(found) == sum("==" in line for line in text.splitlines() if not line.startswith(" ")) > 0
    for block in found:
        first, *hashes = block.splitlines()
        assert hashes and all(one.strip().startswith("--hash=sha256:") for one in hashes), first
        assert "+" not in first.split(";")[0], f"{first}: a build of one machine's own"
    for told in ("://", "file:", "--index", "--find-links", "--extra-index", "@ "):
        assert told not in text


class Osv(BaseHTTPRequestHandler):
    """Speaks OSV's querybatch: one vulnerability of Flask, on a second page."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        results = [self._result(one) for one in asked]
        body = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def _result(asked: dict[str, Any]) -> dict[str, Any]:
        if (asked["package"]["name"], asked["version"]) != FLASK:
            return {}
        return {"vulns": [{"id": "GHSA-test"}]} if "page_token" in asked else {"next_page_token": "2"}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def audit(url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.audit"]
    return subprocess.run(
        command, cwd=lock.ROOT, env={"OSV_URL": url}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.medium
def test_a_known_vulnerability_is_named(osv: str) -> None:
    assert FLASK[1] in locked()["flask"]
    found = audit(osv)
    assert found.returncode == 1, found.stderr
    assert found.stdout.startswith("flask 3.1.3: GHSA-test") and "1 known vulnerabilities" in found.stderr


@pytest.mark.medium
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "not-a-url"])
def test_without_the_data_it_says_so(url: str) -> None:
    found = audit(url)
    assert found.returncode == 2 and found.stdout == ""
    assert "NOT CHECKED" in found.stderr and "Traceback" not in found.stderr
