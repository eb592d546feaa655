"""A server that speaks the part of the Hugging Face hub's interface that a download needs, over folders.

It holds one repository whose branches and tags lead to commits, and breaks a download off where it is told.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REPOSITORY = "somebody/tiny-vintern"


@dataclass
class Hub:
    """`refs` lead to commits, `commits` to the folders with their files; `log` has every path asked for."""

    commits: dict[str, Path]
    refs: dict[str, str]
    url: str = ""
    break_after: int | None = None  # bytes of weights that are sent before the line breaks
    mends: bool = True  # whether a client that asks for the rest gets it, or finds the line dead
    log: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)

    def folder(self, revision: str) -> tuple[str, Path] | None:
        commit = self.refs.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else None


def commit_of(number: int) -> str:
    return hashlib.sha1(str(number).encode()).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(_Handler):
        serves = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join(30)


class _Handler(BaseHTTPRequestHandler):
    serves: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.serves.log.append(path)
        name = re.escape(REPOSITORY)
        if info := re.fullmatch(rf"/api/models/{name}(?:/revision/([^/]+))?", path):
            self._info(info[1] or "main")
        elif tree := re.fullmatch(rf"/api/models/{name}/tree/([^/]+)", path):
            self._tree(tree[1])
        elif file := re.fullmatch(rf"/{name}/resolve/([^/]+)/([\w.-]+)", path):
            self._file(file[1], file[2], with_body)
        else:
            self._missing("RepoNotFound")

    def _info(self, revision: str) -> None:
        if found := self.serves.folder(revision):
            files = [{"rfilename": path.name} for path in sorted(found[1].iterdir())]
            self._json(
                {"id": REPOSITORY, "modelId": REPOSITORY, "sha": found[0], "siblings": files, "tags": []}
            )
        else:
            self._missing("RevisionNotFound")

    def _tree(self, revision: str) -> None:
        if found := self.serves.folder(revision):
            paths = sorted(found[1].iterdir())
            self._json(
                [
                    {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _etag(path)[:40]}
                    for path in paths
                ]
            )
        else:
            self._missing("RevisionNotFound")

    def _file(self, revision: str, name: str, with_body: bool) -> None:
        found = self.serves.folder(revision)
        if found is None or not (found[1] / name).is_file():
            return self._missing("EntryNotFound" if found else "RevisionNotFound")
        data = (found[1] / name).read_bytes()
        start = 0
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(wanted[1])
            self.serves.ranges.append(f"{name} {start}")
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{_etag(found[1] / name)}"')
        self.send_header("X-Repo-Commit", found[0])
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if with_body:
            self._send(name, data[start:])

    def _send(self, name: str, data: bytes) -> None:
        cut = self.serves.break_after
        if cut is not None and name.endswith(".safetensors"):
            self.wfile.write(data[:cut])
            self.serves.break_after = None if self.serves.mends else 0
            self.close_connection = True
            return
        self.wfile.write(data)

    def _json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _missing(self, code: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _etag(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
