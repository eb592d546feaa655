"""A server of a benchmark's own on the loopback interface, for as long as a block lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, address: object) -> None:
        """A client that leaves before its answer, as one that is killed does, is no fault of ours."""


class Quiet(BaseHTTPRequestHandler):
    """Says nothing of its requests on standard error."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def answering(handler: type[Quiet], port: int = 0) -> Iterator[int]:
    """Inside this block `handler` answers at the port that is given; at any free one for 0."""
    server = Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
