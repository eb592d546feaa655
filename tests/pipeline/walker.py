"""A hand-written stand-in for the model: it walks a grammar with a real tokenizer and answers as told.

It obeys the same rules as the engine (masks, forced tokens, one entry for each token), so that what is tested
on its generations is tested on the form that the engine gives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from pydantic import BaseModel
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from pipeline.records import Generation, Request
from schemas.registry import BUILT_IN, SchemaSpec, resolve
from schemas.shape import Group, Node

END = "<|im_end|>"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@cache
def bpe() -> Tokenizer:
    """A small byte-level BPE that cuts as Qwen2 does, its merges learned from the built-in labels."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    labels = [leaf.label for name in BUILT_IN for _, leaf in resolve(name).shape.leaves()]
    text = [f'{{"{label}":"Nguyễn Văn An","Tổng cộng":null}},' for label in labels for _ in range(4)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=480, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    return tokenizer


class _Nothing(BaseModel):
    """A model without fields and without rules."""


def spec_of(*fields: Node, title: str = "Phiếu") -> SchemaSpec:
    """A schema of just this shape, without a model and without rules."""
    return SchemaSpec(
        reference="note@1",
        name="note",
        version=1,
        title=title,
        model=_Nothing,
        shape=Group("note", "note", fields),
        hash="0" * 64,
    )


@cache
def vocabulary() -> LLTokenizer:
    tokenizer = bpe()
    return LLTokenizer(tokenizer.to_str(), eos_token=tokenizer.token_to_id(END))


def matcher(grammar: str) -> LLMatcher:
    made = LLMatcher(vocabulary(), grammar, log_level=0)
    assert not made.is_error(), made.get_error()
    return made


def accepts(grammar: str, text: str) -> bool:
    walking = matcher(grammar)
    return bool(walking.consume_tokens(vocabulary().tokenize_str(text))) and walking.is_accepting()


def walk(
    grammar: str,
    choose: Callable[[list[int]], int],
    request_id: str = "page",
    longest: int = 4000,
) -> Generation:
    """Lets `choose` pick among the allowed tokens to the end; each choice has probability 1/allowed."""
    walking = matcher(grammar)
    ids: list[int] = []
    probability: list[float] = []
    forced: list[bool] = []
    while len(ids) < longest:
        ahead = walking.compute_ff_tokens()
        if ahead:
            took, chance, no_choice = ahead, 1.0, True
        else:
            bits = np.frombuffer(walking.compute_bitmask(), np.uint8)
            allowed = [int(i) for i in np.flatnonzero(np.unpackbits(bits, bitorder="little"))]
            took, chance, no_choice = [choose(allowed)], 1 / len(allowed), len(allowed) == 1
        if took == [bpe().token_to_id(END)]:
            return _generation(request_id, ids, probability, forced, "stop")
        assert walking.consume_tokens(took), walking.get_error()
        ids += took
        probability += [chance] * len(took)
        forced += [no_choice] * len(took)
        if walking.is_stopped():
            return _generation(request_id, ids, probability, forced, "stop")
    return _generation(request_id, ids, probability, forced, "length")


def recite(
    text: str, request_id: str = "page", sure: float = 1.0, doubts: dict[str, float] | None = None
) -> Generation:
    """The generation of exactly `text`, each token `sure`, except those that hold one of the `doubts`."""
    ids = vocabulary().tokenize_str(text)
    made = _generation(request_id, ids, [sure] * len(ids), [False] * len(ids), "stop")
    probability = made.probability.copy()
    for part, chance in (doubts or {}).items():
        at = text.index(part)
        holding = (made.spans[:, 0] < at + len(part)) & (made.spans[:, 1] > at)
        probability[np.flatnonzero(holding)[0]] = chance
    return Generation(
        request_id, text, "stop", made.spans, probability, made.unmasked, made.forced, made.prompt_tokens
    )


def reciter(answers: dict[str, str]) -> Callable[[Iterable[Request]], Iterator[Generation]]:
    """A `generate` that knows each request's answer, holds it against the grammar, and answers last-first."""

    def generate(requests: Iterable[Request]) -> Iterator[Generation]:
        for request in reversed(list(requests)):
            text = answers[request.id]
            assert request.grammar is not None and accepts(request.grammar, text), text
            yield recite(text, request.id)

    return generate


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _generation(
    request_id: str, ids: Sequence[int], probability: list[float], forced: list[bool], finish: str
) -> Generation:
    said = [vocabulary().decode_bytes([i]) for i in ids]
    text = b"".join(said).decode()
    # Spans in characters: a token that ends inside a character spans up to that character's start.
    spans, seen = [], b""
    for part in said:
        start = len(seen.decode(errors="ignore"))
        seen += part
        spans.append((start, len(seen.decode(errors="ignore"))))
    return Generation(
        request_id=request_id,
        text=text,
        finish=finish,  # type: ignore[arg-type]
        spans=np.array(spans, np.int32).reshape(-1, 2),
        probability=np.array(probability, np.float32),
        unmasked=np.array(probability, np.float32),
        forced=np.array(forced, bool),
        prompt_tokens=1,
    )
