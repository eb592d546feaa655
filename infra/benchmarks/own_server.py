"""A server on this machine that speaks OpenAI's chat completions, with our own engine behind it.

    python -m infra.benchmarks.own_server --model demo --port 8000

For tests and for `infra.benchmarks.served`: what it answers can be held against the embedded engine. It
answers one request at a time, keeps to the schema that it is sent, and tells each token's probability. It is
no product: no TLS, no limits, and it listens on this machine alone.
"""

from __future__ import annotations

import argparse
import base64
import io
import itertools
import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from llguidance import LLMatcher
from PIL import Image

from infra.benchmarks.serving import Quiet, answering
from pipeline import tiles
from pipeline.records import Generation, Request
from pipeline.settings import EngineSettings

Answer = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """An HTTP status with a body, or with None a connection that breaks."""

    status: int | None
    body: bytes = b'{"error": {"message": "out of order"}}'
    headers: dict[str, str] = field(default_factory=dict)


# The body of a request → what comes instead of an answer, or what is changed in it; None: it is answered.
Interfere = Callable[[dict[str, Any]], "Reply | Callable[[Answer], Answer] | None"]


@dataclass
class Served:
    """A running server."""

    url: str
    port: int
    asked: list[dict[str, Any]] = field(default_factory=list)  # bodies, the newest last
    keys: set[str | None] = field(default_factory=set)  # the headers with which it was asked


class Chat:
    """The engine behind it."""

    def __init__(self, model: str) -> None:
        from pipeline.vintern import load
        from pipeline.vintern.engine import Engine

        loaded = load(model)
        self._engine = Engine(loaded, EngineSettings(place=False))
        # Which paper a picture shows is not known: it keeps the tiles of which it is laid together.
        self._max_tiles = max(loaded.max_tiles, *loaded.config.tiles_of.values(), 1)
        self._lock = threading.Lock()
        self._ids = itertools.count()

    def answer(self, body: dict[str, Any]) -> Answer:
        shown, asked = body["messages"][-1]["content"]
        data = base64.b64decode(shown["image_url"]["url"].partition(",")[2])
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        cut = tiles.cut(picture, tiles.grid(*picture.size, self._max_tiles))
        rules = None
        if form := body.get("response_format"):
            rules = LLMatcher.grammar_from_json_schema(
                form["json_schema"]["schema"],
                overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"},
            )
        request = Request(str(next(self._ids)), cut, asked["text"], rules, body.get("max_tokens"))
        with self._lock:
            [said] = self._engine.generate([request])
        if said.finish == "error":
            raise ValueError(said.message)
        return _as_chat(body, said)


def _as_chat(body: dict[str, Any], said: Generation) -> Answer:
    choice: Answer = {
        "index": 0,
        "message": {"role": "assistant", "content": said.text},
        "finish_reason": "stop" if said.finish == "stop" else "length",
    }
    if body.get("logprobs"):
        choice["logprobs"] = {"content": list(_told(said))}
    return {
        "object": "chat.completion",
        "model": body["model"],
        "choices": [choice],
        "usage": {"prompt_tokens": said.prompt_tokens, "completion_tokens": len(said.spans)},
    }


def _told(said: Generation) -> Iterator[Answer]:
    """Each token with its text; of one that shares a character the first has it."""
    at = 0
    for (_, end), chance in zip(said.spans.tolist(), np.fmin(said.probability, said.unmasked), strict=True):
        text, at = said.text[at:end], max(at, end)
        yield {"token": text, "logprob": math.log(max(float(chance), 1e-9)), "bytes": list(text.encode())}


@contextmanager
def serving(
    answer: Callable[[dict[str, Any]], Answer],
    *,
    name: str = "demo",
    key: str | None = None,
    interfere: Interfere | None = None,
    port: int = 0,
) -> Iterator[Served]:
    """`name` is the model that it has, `key` what it wants to be asked with."""

    class Handler(Quiet):
        def do_GET(self) -> None:
            if self.path == "/v1/models":
                return self._send(200, _json({"object": "list", "data": [{"id": name}]}))
            self._send(404, _json({"detail": "Not Found"}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.keys.add(self.headers.get("Authorization"))
            served.asked.append(body)
            found = self._found(body)
            if found.status is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._send(found.status, found.body, found.headers)

        def _found(self, body: dict[str, Any]) -> Reply:
            if self.path != "/v1/chat/completions":
                return Reply(404, _json({"detail": "Not Found"}))
            if key is not None and self.headers.get("Authorization") != f"Bearer {key}":
                return _error(401, f"Incorrect API key provided: {self.headers.get('Authorization')}")
            if body["model"] != name:
                return _error(404, f"The model `{body['model']}` does not exist.")
            change = None if interfere is None else interfere(body)
            if isinstance(change, Reply):
                return change
            try:
                said = answer(body)
            except ValueError as error:
                return _error(400, str(error))
            return Reply(200, _json(said if change is None else change(said)))

        def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for header, value in (headers or {}).items():
                self.send_header(header, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with answering(Handler, port) as at:
        served = Served(f"http://127.0.0.1:{at}/v1", at)
        yield served


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _error(status: int, message: str) -> Reply:
    return Reply(status, _json({"error": {"message": message}}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo", help="demo, a hub id or a directory")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    with serving(Chat(given.model).answer, name=given.model, port=given.port) as served:
        print(f"{given.model} is at {served.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
