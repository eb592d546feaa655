"""Requests for the engine's tests, and the slow way to answer them: no cache, no batch, one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from llguidance import LLMatcher

from pipeline.records import Generation, Request
from pipeline.vintern import Vintern
from pipeline.vintern.constrain import Grammars, unpack

COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
CARD = LLMatcher.grammar_from_json_schema(
    {
        "type": "object",
        "properties": {
            "Số": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[0-9]{3,6}$"}]},
            "Họ và tên": {
                "anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[A-ZĐa-zạảấầ ]{1,12}$"}]
            },
            "Hàng": {"type": "array", "items": {"type": "string", "pattern": "^[a-e]{1,4}$"}, "maxItems": 3},
        },
        "required": ["Số", "Họ và tên", "Hàng"],
        "additionalProperties": False,
    },
    overrides=COMPACT,
)
WORDS = LLMatcher.grammar_from_regex(r"(Số|Ngày|Đông)( [0-9]{1,3}){1,8}")
FIXED = LLMatcher.grammar_from_regex(r"không có gì")
# A table that takes several passes in a room of some hundred tokens.
LONG = LLMatcher.grammar_from_json_schema(
    {
        "type": "object",
        "properties": {
            "Số": {"type": "string", "pattern": "^[0-9]{2,9}$"},
            "Hàng": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "Đ": {"type": "string", "pattern": "^[a-eạả]{1,6}$"},
                        "b": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[0-9]{1,3}$"}]},
                    },
                    "required": ["Đ", "b"],
                    "additionalProperties": False,
                },
                "minItems": 12,
                "maxItems": 16,
            },
            "Cuối": {"type": "string", "pattern": "^[a-e]{3,5}$"},
        },
        "required": ["Số", "Hàng", "Cuối"],
        "additionalProperties": False,
    },
    overrides=COMPACT,
)
# The same as rows: lines that begin with a value, or with null.
LONG_ROWS = LLMatcher.grammar_from_json_schema(
    {
        "type": "object",
        "properties": {
            "Số": {"type": "string", "pattern": "^[0-9]{2,9}$"},
            "Hàng: Đ; b": {
                "type": "array",
                "items": {
                    "type": "array",
                    "prefixItems": [
                        {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[0-9]{1,3}$"}]},
                        {"type": "string", "pattern": "^[a-eạả]{1,6}$"},
                    ],
                    "items": False,
                    "minItems": 2,
                    "maxItems": 2,
                },
                "minItems": 16,
                "maxItems": 24,
            },
            "Cuối": {"type": "string", "pattern": "^[a-e]{3,5}$"},
        },
        "required": ["Số", "Hàng: Đ; b", "Cuối"],
        "additionalProperties": False,
    },
    overrides=COMPACT,
)
CONTEXT = 1000
GRAMMARS = (CARD, WORDS, None, CARD, FIXED)


def page(number: int, tiles: int, grammar: str | None, max_new_tokens: int = 40) -> Request:
    pixels = np.random.default_rng(number).integers(0, 256, (tiles, 448, 448, 3), dtype=np.uint8)
    return Request(f"page {number}", pixels, f"Đọc trang {number}.", grammar, max_new_tokens)


def of_context(model: Vintern) -> Vintern:
    """The model with a context of CONTEXT."""
    return Vintern(model.network, replace(model.config, context_length=CONTEXT), model.tokenizer, "")


def long_page(model: Vintern, number: int, room: int, grammar: str = LONG) -> Request:
    """A page with a long table whose question leaves it `room` tokens of CONTEXT, or one less."""
    asked = page(number, 1, grammar, 10_000)
    one, more = (len(model.prompt_ids(asked.question + " a" * count, 1)) for count in (1, 11))
    rest = CONTEXT - room - one
    return replace(asked, question=asked.question + " a" * (1 + -(-10 * rest // (more - one))))


@dataclass(frozen=True)
class Slow:
    tokens: list[int]
    logits: torch.Tensor  # float32 [tokens, vocab], before the mask
    allowed: torch.Tensor  # bool [tokens, vocab]
    finish: str


@torch.inference_mode()
def answer_slowly(model: Vintern, request: Request, penalty: float = 1.0) -> Slow:
    """Greedy under the grammar's masks; every token, forced or not, is chosen from a whole forward pass."""
    grammars = Grammars(model.tokenizer, model.config.language.vocab)
    constraint = None if request.grammar is None else grammars.start(request.grammar)
    ids = model.prompt_ids(request.question, len(request.tiles))
    visual = model.vision(torch.from_numpy(request.tiles)) if len(request.tiles) else None
    embeds = model.embed(ids, visual)
    tokens: list[int] = []
    rows, masks, finish = [], [], "length"
    while len(tokens) < request.max_new_tokens:
        hidden = model.language(embeds[None], torch.arange(len(embeds))[None])
        logits = model.language.head(hidden)[0, -1].float()
        mask = torch.full((1, grammars.words), -1, dtype=torch.int32)
        grammars.fill([constraint], mask)
        allowed = unpack(mask, len(logits))[0]
        scores = logits.clone()
        for token in set(tokens):
            scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
        token = int(scores.masked_fill(~allowed, -torch.inf).argmax())
        if constraint is not None:
            constraint.accept(token)
        if token == model.tokenizer.end_of_turn:
            finish = "stop"
            break
        tokens.append(token)
        rows.append(logits)
        masks.append(allowed)
        embeds = torch.cat([embeds, model.language.embed(torch.tensor([token]))])
        if constraint is not None and constraint.complete:
            finish = "stop"
            break
    return Slow(tokens, torch.stack(rows), torch.stack(masks), finish)


def text_of(model: Vintern, tokens: list[int]) -> str:
    return model.tokenizer.decode(tokens)


def same(one: Generation, other: Generation) -> bool:
    """Equal to the last bit."""
    arrays = ("spans", "probability", "unmasked", "forced")
    return (
        (one.text, one.finish, one.attempts) == (other.text, other.finish, other.attempts)
        and all(np.array_equal(getattr(one, a), getattr(other, a), equal_nan=a == "unmasked") for a in arrays)
        and ((one.place is None and other.place is None) or np.array_equal(one.place, other.place))
    )
