"""A page's request as a chat: one picture, the question, and the schema that the answer must keep to.

The picture is that of the request's tiles laid side by side, without the thumbnail: a server of the InternVL
family cuts it into the same tiles again, and puts a thumbnail of its own behind them.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from pipeline.records import Pixels, Request

SIDE = 448  # pixels of a tile's edge
_STYLE = "x-guidance"  # llguidance's keyword
VERSION = 2  # of the way in which a page is asked; a page's key names it


@dataclass(frozen=True, slots=True)
class Dialect:
    """What of the protocol a server takes."""

    logprobs: bool = True
    limit: str = "max_tokens"
    compact: bool = True  # whether a schema may say, in llguidance's words, that answers have no white space

    def after(self, complaint: str) -> Dialect | None:
        """What to ask instead, once a request was refused with this complaint; None: nothing is left."""
        if self.limit == "max_tokens" and "max_completion_tokens" in complaint:
            return replace(self, limit="max_completion_tokens")
        if self.logprobs and "logprobs" in complaint:
            return replace(self, logprobs=False)
        # Servers that are strict about schemas do not all name what they do not know.
        return replace(self, compact=False) if self.compact else None


def body(request: Request, model: str, dialect: Dialect, system: str | None = None) -> bytes:
    """The JSON of one request, by greedy choice."""
    shown = f"data:image/png;base64,{base64.b64encode(png(request)).decode()}"
    asked: dict[str, Any] = {
        "model": model,
        "messages": [
            *([] if system is None else [{"role": "system", "content": system}]),
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": shown}},
                    {"type": "text", "text": request.question},
                ],
            },
        ],
        "temperature": 0,
    }
    if dialect.logprobs:
        asked["logprobs"] = True
    if request.max_new_tokens is not None:
        asked[dialect.limit] = request.max_new_tokens
    if request.grammar is not None:
        form = {"name": "page", "strict": True, "schema": schema(request.grammar, compact=dialect.compact)}
        asked["response_format"] = {"type": "json_schema", "json_schema": form}
    return json.dumps(asked, ensure_ascii=False).encode()


def png(request: Request) -> bytes:
    """The page as its tiles show it; PNG, so that every pixel arrives as it is."""
    file = io.BytesIO()
    Image.fromarray(picture(request.tiles, request.grid)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def picture(tiles: Pixels, grid: tuple[int, int]) -> Pixels:
    """uint8 [n, 448, 448, 3] → [448 · rows, 448 · columns, 3], the thumbnail left out."""
    columns, rows = grid
    laid = tiles[: columns * rows].reshape(rows, columns, SIDE, SIDE, 3)
    whole: Pixels = np.ascontiguousarray(laid.swapaxes(1, 2)).reshape(rows * SIDE, columns * SIDE, 3)
    return whole


def schema(grammar: str, *, compact: bool) -> dict[str, Any]:
    """The JSON schema within a grammar of `pipeline.grammar`, in words that servers know.

    Of two patterns for one text only the value's own stays: some servers keep to neither of two. What the
    other one forbids (blanks in a row, invisible signs) is taken out of the answer (`pipeline.remote.reply`).
    With `compact` it says how llguidance, which vLLM takes for such patterns, is to write: else white space
    is allowed between the parts, and a model in doubt writes it until its room is full.
    """
    whole = json.loads(grammar)["grammars"][0]["json_schema"]
    found: dict[str, Any] = _plain(whole)
    return found | {_STYLE: whole[_STYLE]} if compact and _STYLE in whole else found


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    plain = {name: _plain(value) for name, value in node.items() if name not in ("allOf", _STYLE)}
    own = node.get("allOf")
    return plain | {"pattern": own[0]["pattern"]} if own and node.get("type") == "string" else plain
