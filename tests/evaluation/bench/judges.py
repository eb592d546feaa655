"""A server on this machine that speaks chat completions, and marks by a rule of the test's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[str, dict[str, Any]], str | int]  # model and case → what it says, or an HTTP status


class Judges:
    """What it was asked, and under which key; `fail_first` answers so many times with 503 before."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.keys: set[str | None] = set()
        self.fail_first = 0
        self.url = ""


@contextmanager
def served(reply: Reply) -> Iterator[Judges]:
    held = Judges(reply)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            held.keys.add(self.headers.get("Authorization"))
            if self.path != "/v1/chat/completions" or body["temperature"] != 0:
                return self._send(404, {})
            if held.fail_first:
                held.fail_first -= 1
                return self._send(503, {})
            system, user = body["messages"]
            assert system["role"] == "system" and user["role"] == "user"
            case = json.loads(user["content"])
            held.asked.append((body["model"], case))
            said = held.reply(body["model"], case)
            if isinstance(said, int):
                return self._send(said, {})
            self._send(200, {"choices": [{"message": {"role": "assistant", "content": said}}]})

        def _send(self, status: int, held: Any) -> None:
            data = json.dumps(held).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
