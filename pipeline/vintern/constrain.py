"""Grammars, by llguidance: which tokens may come next, and which must.

A grammar's text is compiled once and copied for each request (microseconds). llguidance reports errors as a
sticky state and never raises; here every one becomes Permanent with the code `grammar_error`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from llguidance import LLExecutor, LLMatcher, LLTokenizer
from torch import Tensor

from pipeline.errors import Permanent, Reason
from pipeline.vintern.tokenizer import Tokenizer

KEPT = 64  # compiled grammars


class Constraint:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        self.matcher = matcher

    @property
    def complete(self) -> bool:
        """Nothing may follow."""
        return bool(self.matcher.is_stopped())

    def forced(self) -> list[int]:
        """The tokens that the grammar leaves no choice about, now consumed. Often none."""
        tokens: list[int] = self.matcher.compute_ff_tokens()
        if tokens:
            self.accept(*tokens)
        return tokens

    def accept(self, *tokens: int) -> None:
        """Consume tokens. Raises Permanent when the grammar does not allow them."""
        if not self.matcher.consume_tokens(list(tokens)):
            raise _error(self.matcher)

    def copy(self) -> Constraint:
        return Constraint(self.matcher.deep_copy())


class Grammars:
    """Compiles grammars for one tokenizer and vocabulary, and computes masks.

    pool: by a thread for each core, for a GPU's many rows. To wake them takes longer than a CPU's few rows.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, *, pool: bool = False) -> None:
        reach = max(vocabulary, tokenizer.size)  # `<video>` may have no row in the model
        self.words = (reach + 31) // 32  # of a mask, 32 tokens each
        self._tokenizer = LLTokenizer(
            tokenizer.backend.to_str(), n_vocab=reach, eos_token=tokenizer.end_of_turn
        )
        self._known = tokenizer.size
        added = tokenizer.backend.get_added_tokens_decoder()
        self._special = {number for number, token in added.items() if token.special}
        self._executor = LLExecutor() if pool else None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()

    def start(self, grammar: str) -> Constraint:
        """A fresh constraint. Raises Permanent when the grammar is not valid."""
        matcher = self._compiled.get(grammar)
        if matcher is None:
            matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
            if matcher.is_error():
                raise _error(matcher)
            self._compiled[grammar] = matcher
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(grammar)
        return Constraint(matcher.deep_copy())

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a special token and for padding of the vocabulary."""
        if token >= self._known or token in self._special:
            return b""
        # llguidance leaves out the byte FF, which no text in UTF-8 has.
        return bytes(self._tokenizer.decode_bytes([token])) or b"\xff"

    def fill(self, constraints: Sequence[Constraint | None], masks: Tensor) -> None:
        """Write each constraint's mask to its row of `masks`, int32 [rows, words] on the CPU: 1 is allowed.

        A row without a constraint allows every token. A broken constraint is found by `accept`, not here.
        """
        for row, constraint in enumerate(constraints):
            if constraint is None:
                masks[row] = -1
        rows = [(found.matcher, row) for row, found in enumerate(constraints) if found is not None]
        if self._executor is None:
            for matcher, row in rows:
                matcher.unsafe_compute_mask_ptr(masks[row].data_ptr(), self.words * 4)
        elif rows:
            self._executor.unsafe_compute_mask_ptr(rows, masks.data_ptr(), self.words * 4, len(masks))


def unpack(masks: Tensor, vocabulary: int) -> Tensor:
    """int32 [rows, words] → bool [rows, vocabulary], True where the token is allowed."""
    if masks.device.type == "cpu":
        bytes_ = masks.contiguous().numpy().view(np.uint8)
        return torch.from_numpy(np.unpackbits(bytes_, axis=1, count=vocabulary, bitorder="little")).bool()
    bits = masks[:, :, None] >> torch.arange(32, dtype=torch.int32, device=masks.device)
    return (bits & 1).bool().flatten(1)[:, :vocabulary]


def _error(matcher: LLMatcher) -> Permanent:
    complaint = matcher.get_error().strip().splitlines()
    return Permanent(
        Reason.grammar_error, f"grammar: {complaint[0] if complaint else 'token not allowed here'}"
    )
