"""A server on this machine that speaks a teacher's protocols, and says what a function of ours says.

For tests and for `infra.benchmarks.teacher`: the HTTP, the JSON and the waiting are real, the teacher is not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from infra.benchmarks.serving import Quiet, answering


@dataclass(frozen=True)
class Said:
    """What the teacher answers to one request; `status` other than 200 is an error with `text`."""

    text: str
    finish: str = "stop"  # or "length", "content_filter"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Says = Callable[[str, str], Said]  # sha256 of the picture, question → answer


@dataclass
class Stub:
    """A running one. `asked` has (sha256 of the picture, question, body) of each request, in order."""

    url: str
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    most_at_once: int = 0

    @property
    def gemini(self) -> str:
        return self.url.removesuffix("/v1") + "/v1beta"


@contextmanager
def serving(says: Says, *, key: str | None = None, seconds: float = 0.0) -> Iterator[Stub]:
    """`seconds` is how long each answer takes."""
    lock = threading.Lock()
    under_way = 0

    class Handler(Quiet):
        def do_POST(self) -> None:
            nonlocal under_way
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            gemini = self.path.startswith("/v1beta/models/")
            picture, question = _of_gemini(body) if gemini else _of_openai(body)
            name = hashlib.sha256(base64.b64decode(picture)).hexdigest()
            with lock:
                stub.asked.append((name, question, body))
                under_way += 1
                stub.most_at_once = max(stub.most_at_once, under_way)
            time.sleep(seconds)
            given = self.headers.get("x-goog-api-key") if gemini else self.headers.get("Authorization")
            wanted = key if gemini or key is None else f"Bearer {key}"
            if key is not None and given != wanted:
                said = Said("Incorrect API key provided", status=401)
            elif not gemini and self.path != "/v1/chat/completions":
                said = Said("no such path", status=404)
            else:
                said = says(name, question)
            with lock:
                under_way -= 1
            self._send(said, gemini)

        def _send(self, said: Said, gemini: bool) -> None:
            if said.status != 200:
                answer: dict[str, Any] = {"error": {"message": said.text, "code": said.status}}
            else:
                answer = _as_gemini(said) if gemini else _as_openai(said)
            data = json.dumps(answer).encode()
            self.send_response(said.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    with answering(Handler) as port:
        stub = Stub(f"http://127.0.0.1:{port}/v1")
        yield stub


def _of_openai(body: dict[str, Any]) -> tuple[str, str]:
    shown, asked = body["messages"][0]["content"]
    return shown["image_url"]["url"].removeprefix("data:image/jpeg;base64,"), asked["text"]


def _of_gemini(body: dict[str, Any]) -> tuple[str, str]:
    shown, asked = body["contents"][0]["parts"]
    return shown["inline_data"]["data"], asked["text"]


def _as_openai(said: Said) -> dict[str, Any]:
    message = {"role": "assistant", "content": said.text}
    return {
        "model": "stub-1",
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": len(said.text) // 3},
    }


def _as_gemini(said: Said) -> dict[str, Any]:
    finish = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}[said.finish]
    return {
        "modelVersion": "stub-1",
        "candidates": [
            {"content": {"parts": [{"text": said.text}], "role": "model"}, "finishReason": finish}
        ],
        "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": len(said.text) // 3},
    }
