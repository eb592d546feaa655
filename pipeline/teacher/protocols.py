"""How a teacher is asked over HTTP: OpenAI's chat completions, which most servers speak, and Gemini's own.

Only shapes are here; `asking` sends them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Finish = Literal["stop", "length", "blocked"]
PICTURE = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a teacher is to answer; None: as it does by itself."""

    max_tokens: int
    temperature: float | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a teacher said. `version` is the model as the server names it; tokens are None if untold."""

    text: str
    finish: Finish
    version: str | None
    tokens_in: int | None
    tokens_out: int | None


class NotUnderstood(ValueError):
    """An answer that is not of the protocol's shape."""


class Shape(Protocol):
    """One way to ask. Paths are below the teacher's URL."""

    name: str

    def path(self, model: str) -> str: ...

    def headers(self, key: str | None) -> dict[str, str]: ...

    def body(self, model: str, question: str, picture: bytes, decoding: Decoding) -> dict[str, Any]: ...

    def reply(self, answer: Any) -> Reply:
        """Raises NotUnderstood."""


class OpenAI:
    """POST {URL}/chat/completions. `limit` is the word for the most tokens, which newer models changed."""

    name = "openai"

    def __init__(self) -> None:
        self.limit = "max_tokens"

    def path(self, model: str) -> str:  # noqa: ARG002
        return "/chat/completions"

    def headers(self, key: str | None) -> dict[str, str]:
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def body(self, model: str, question: str, picture: bytes, decoding: Decoding) -> dict[str, Any]:
        shown = {"url": f"data:{PICTURE};base64,{base64.b64encode(picture).decode()}"}
        content = [{"type": "image_url", "image_url": shown}, {"type": "text", "text": question}]
        return {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            self.limit: decoding.max_tokens,
            **_given(temperature=decoding.temperature, seed=decoding.seed),
        }

    def reply(self, answer: Any) -> Reply:
        choice = _first(_get(answer, "choices"))
        message, usage = _get(choice, "message"), _mapping(answer.get("usage"))
        text = _text(message.get("content"))
        finish = choice.get("finish_reason")
        blocked = finish == "content_filter" or bool(message.get("refusal"))
        return Reply(
            text or _text(message.get("refusal")),
            "blocked" if blocked else "length" if finish == "length" else "stop",
            _version(answer.get("model"), answer.get("system_fingerprint")),
            _count(usage.get("prompt_tokens")),
            _count(usage.get("completion_tokens")),
        )


class Gemini:
    """POST {URL}/models/MODEL:generateContent."""

    name = "gemini"

    def path(self, model: str) -> str:
        return f"/models/{model.removeprefix('models/')}:generateContent"

    def headers(self, key: str | None) -> dict[str, str]:
        return {} if key is None else {"x-goog-api-key": key}

    def body(self, model: str, question: str, picture: bytes, decoding: Decoding) -> dict[str, Any]:  # noqa: ARG002
        shown = {"mime_type": PICTURE, "data": base64.b64encode(picture).decode()}
        given = _given(
            maxOutputTokens=decoding.max_tokens, temperature=decoding.temperature, seed=decoding.seed
        )
        return {
            "contents": [{"role": "user", "parts": [{"inline_data": shown}, {"text": question}]}],
            "generationConfig": given,
        }

    def reply(self, answer: Any) -> Reply:
        usage = _mapping(_mapping(answer).get("usageMetadata"))
        out = [_count(usage.get(name)) for name in ("candidatesTokenCount", "thoughtsTokenCount")]
        counts = (
            _count(usage.get("promptTokenCount")),
            (None if out == [None, None] else sum(map(_or_0, out))),
        )
        version = _version(_mapping(answer).get("modelVersion"), None)
        if not answer.get("candidates"):
            why = _mapping(answer.get("promptFeedback")).get("blockReason")
            if why is None:
                raise NotUnderstood("it has neither candidates nor a reason for that")
            return Reply("", "blocked", version, *counts)
        candidate = _first(answer["candidates"])
        parts = _mapping(candidate.get("content")).get("parts") or []
        text = "".join(
            _text(_mapping(part).get("text")) for part in parts if not _mapping(part).get("thought")
        )
        finish = candidate.get("finishReason", "STOP")
        ended: Finish = "stop" if finish == "STOP" else "length" if finish == "MAX_TOKENS" else "blocked"
        return Reply(text, ended, version, *counts)


SHAPES: Mapping[str, type[OpenAI] | type[Gemini]] = {"openai": OpenAI, "gemini": Gemini}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _get(value: Any, name: str) -> Any:
    if not isinstance(value, dict) or not value.get(name):
        raise NotUnderstood(f"it has no {name}")
    return value[name]


def _first(value: Any) -> dict[str, Any]:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        raise NotUnderstood("it holds no answer")
    return value[0]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(value, list):
        return "".join(_text(_mapping(part).get("text")) for part in value)
    # JSON may escape half of a pair, which no encoding has.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _or_0(value: int | None) -> int:
    return value or 0


def _version(model: Any, fingerprint: Any) -> str | None:
    return " ".join(str(part) for part in (model, fingerprint) if part) or None
