"""A chat's answer as a `Generation`: its text in our form, its tokens' probabilities where they are given.

Servers write white space between the parts of JSON, and some keep to a schema only in the rough. So the text
is written anew in the compact form of `pipeline.grammar`, and every token's place is moved along with it.

Whose probabilities they are differs: vLLM's are those after the schema's mask, so of what the model wanted to
write against the schema nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from json import JSONDecodeError, JSONDecoder
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipeline.errors import Reason
from pipeline.grammar import canonical
from pipeline.printable import printable
from pipeline.records import Generation, Request
from pipeline.transcript import transcript

_JSON = JSONDecoder(strict=False)  # a control sign within a string is taken out below
_BLANK = " \t\r\n"
_PART = "\ufffd"
_FINISHES: Mapping[str | None, Literal["stop", "length"]] = {
    "stop": "stop",
    "length": "length",
    "eos": "stop",
    None: "stop",
}


class NotUnderstood(Exception):
    """What came is not of the shape of a chat's answer."""


def generation(request: Request, said: Any) -> Generation:
    """What `said`, the JSON of a whole answer, is to a page's request. Raises NotUnderstood."""
    try:
        choice = said["choices"][0]
        message = choice["message"]
        text, finish, refusal = message.get("content"), choice.get("finish_reason"), message.get("refusal")
        told = (choice.get("logprobs") or {}).get("content")
        usage = said.get("usage") or {}
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    except (KeyError, IndexError, TypeError, AttributeError):
        raise NotUnderstood("it answers otherwise than chat completions do") from None
    prompt_tokens, tokens = (count if isinstance(count, int) and count > 0 else 0 for count in counts)
    ended = _FINISHES.get(finish)
    if ended is None or refusal or not isinstance(text, str):
        why = "there is no text in it" if ended else f"it ended with {printable(str(finish)[:40])}"
        message = f"the server gave no answer: {'the model refuses' if refusal else why}"
        return Generation.failed(request, Reason.server_refused, message, prompt_tokens, held=False)
    spans, chances = _tokens(text, told, tokens)
    if request.grammar is not None:
        text, moved = compact(text)
        spans = moved[spans].astype(np.int32)
    return Generation(
        request_id=request.id,
        text=text,
        finish=ended,
        spans=spans,
        probability=chances,
        unmasked=chances.copy(),
        forced=np.zeros(len(chances), dtype=np.bool_),
        prompt_tokens=prompt_tokens,
        held=False,
    )


def has_logprobs(said: Any) -> bool:
    """Whether an answer says how sure its tokens are."""
    try:
        return bool(list(_pieces(said["choices"][0]["logprobs"]["content"])))
    except (KeyError, IndexError, TypeError, ValueError):
        return False


def _tokens(text: str, told: Any, count: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Where each token stands in `text`, and its probability.

    Where that is not told, or told of another text, there are `count` tokens that each stand for all of it,
    and of which nothing is known.
    """
    try:
        found = list(_pieces(told))
    except (KeyError, TypeError, ValueError):
        found = []
    spans = _placed(text, [piece for piece, _ in found]) if found and text else None
    if spans is None:
        most = max(1, min(count, len(text.encode()) + 1))
        everywhere = np.tile(np.array([0, len(text)], dtype=np.int32), (most, 1))
        return everywhere, np.full(most, np.nan, dtype=np.float32)
    return spans, np.array([chance for _, chance in found[: len(spans)]], dtype=np.float32)


def _placed(text: str, pieces: Sequence[bytes]) -> npt.NDArray[np.int32] | None:
    """Where the first tokens, which make up `text`, stand in it, int32 [n, 2]; those behind it are left out.

    None where they make another text. vLLM shows a token that is a part of a letter as nothing, and the one
    that completes it as the letter: all of them count for it. Others show U+FFFD: such tokens stand together
    for what is between their neighbours.
    """
    whole, spans = transcript(pieces)
    if whole.startswith(text):
        inside = int(np.searchsorted(spans[:, 0], len(text)))
        return np.minimum(spans[:inside], len(text))
    spans, at, parts = np.zeros((len(pieces), 2), dtype=np.int32), 0, 0  # `parts` of letters, just before
    for number, piece in enumerate(pieces):
        token = piece.decode("utf-8", "replace")
        if at == len(text) and not parts:
            return spans[:number]
        if _PART in token:
            parts += 1
            continue
        if parts:
            before = [pieces[one].decode("utf-8", "replace") for one in range(number - parts, number)]
            least = at + max(1, sum(len(one.replace(_PART, "")) for one in before))
            ends = range(least, least + sum(one.count(_PART) for one in before) + 1)
            end = next((end for end in ends if text.startswith(token, end)), None)
            if end is None:
                return None
            spans[number - parts : number] = at, end
            at, parts = end, 0
        if not text.startswith(token, at):
            return None
        spans[number] = at, at + len(token)
        at += len(token)
    spans[len(pieces) - parts :] = at, len(text)
    return spans if parts or at == len(text) else None


def _pieces(told: Any) -> Iterator[tuple[bytes, float]]:
    """Bytes and probability of each token. Raises what JSON of another shape does."""
    for token in told:
        held = token.get("bytes")
        piece = token["token"].encode("utf-8", "replace") if held is None else bytes(held)
        logprob = float(token["logprob"])
        # A server may say -inf, or -9999, of what it does not tell.
        yield piece, float(np.exp(min(0.0, max(logprob, -1e4)))) if logprob == logprob else float("nan")


def compact(text: str) -> tuple[str, npt.NDArray[np.int64]]:
    """JSON without white space between its parts, each string as the grammar would have it, and for each
    place in `text` (its end included) the place there.

    What is no JSON stays as it is, from where it is none. A string without a sign in it is null.
    """
    parts: list[str] = []
    places = np.zeros(len(text) + 1, dtype=np.int64)
    at = written = 0
    while at < len(text):
        places[at] = written
        if text[at] in _BLANK:
            at += 1
            continue
        part, end = text[at], at + 1
        if part == '"':
            try:
                value, end = _JSON.raw_decode(text, at)
            except JSONDecodeError:
                part, end = text[at:], len(text)
            else:
                part = _string(value, is_key=text[end:].lstrip(_BLANK).startswith(":"))
        inner = np.minimum(np.arange(end - at), max(0, len(part) - 1))
        if part != text[at:end] and end - at > 1:
            inner[-1] = max(0, len(part) - 1)  # the closing quote stays one
        places[at:end] = written + inner
        parts.append(part)
        written += len(part)
        at = end
    places[len(text)] = written
    return "".join(parts), places


def _string(value: str, *, is_key: bool) -> str:
    clean = canonical(value.encode("utf-8", "replace").decode())  # without lone surrogates
    return json.dumps(clean, ensure_ascii=False) if clean or is_key else "null"
