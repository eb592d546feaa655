"""Who is to be told of a run's end is told, in spite of passing troubles, and can check who says so."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from workers.on_finish import SECRET, OnFinish, signature

KEY = "whsec_" + base64.b64encode(b"k" * 24).decode()


class Hook(ThreadingHTTPServer):
    """Answers with these codes in turn, and keeps what it got."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.got: list[tuple[dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/hook/of-ours?token=hidden"


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.codes.pop(0))
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook(request: pytest.FixtureRequest) -> Iterator[Hook]:
    with Hook(*request.param) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def tell(target: str, environment: dict[str, str]) -> tuple[bool, list[str], list[float]]:
    said: list[str] = []
    pauses: list[float] = []
    arrived = OnFinish(target, environment).tell({"job": "cards"}, said.append, pauses.append)
    return arrived, said, pauses


@pytest.mark.parametrize("hook", [(503, 429, 200)], indirect=True)
def test_a_url_is_told_again_until_it_takes_it_and_can_check_the_sender(hook: Hook) -> None:
    assert tell(hook.url, {SECRET: KEY}) == (True, [], [1.0, 4.0])
    (first, body), _, (last, same) = hook.got
    assert body == same and json.loads(body)["job"] == "cards"
    assert first["webhook-id"] == last["webhook-id"] == json.loads(body)["id"]
    signed = f"{last['webhook-id']}.{last['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"k" * 24, signed, hashlib.sha256).digest()).decode()
    assert last["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("hook", [(404,), (307,)], indirect=True)
def test_what_another_try_would_not_change_is_said_once_without_secrets(hook: Hook) -> None:
    arrived, said, pauses = tell(hook.url, {})
    assert not arrived and pauses == [] and len(hook.got) == 1
    assert len(said) == 1 and "127.0.0.1" in said[0] and "hidden" not in said[0] and "of-ours" not in said[0]
    assert "webhook-signature" not in hook.got[0][0]  # there was no secret


def test_nobody_there_is_said_after_all_tries() -> None:
    arrived, said, pauses = tell("http://127.0.0.1:1/", {})
    assert not arrived and len(pauses) == 4 and "could not be told" in said[0]


@pytest.mark.medium
def test_a_command_gets_the_record_and_not_the_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "told.py"
    script.write_text(
        "import os, pathlib, sys\n"
        f"assert {SECRET!r} not in os.environ\n"
        "pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())\nprint('told')\n",
        "utf-8",
    )
    out = tmp_path / "out put.json"
    assert tell(f"{sys.executable} {script} '{out}'", {SECRET: "x"}) == (True, [], [])
    assert json.loads(out.read_text("utf-8"))["job"] == "cards"
    assert capfd.readouterr().out == ""  # standard output is the run's own
    arrived, said, _ = tell(f"{sys.executable} -c 'raise SystemExit(3)' secret-word", {})
    assert not arrived and "it ended with 3" in said[0] and "secret-word" not in said[0]


@pytest.mark.parametrize("target", ["", "  ", "ftp://x/y", "https://", "echo 'open"])
def test_what_cannot_be_told_is_refused_before_anything_starts(target: str) -> None:
    with pytest.raises(UsageError):
        OnFinish(target, {})
    with pytest.raises(UsageError, match="base64"):
        OnFinish("https://example.com", {SECRET: "whsec_###"})


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of standardwebhooks.com."""
    key = base64.b64decode("plJ3nmyCDGBKInavdOK15jsl")
    body = b'{"event_type":"ping","data":{"success":true}}'
    found = signature(key, "msg_loFOjxBNrRLzqYUf", 1731705121, body)
    assert found == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
