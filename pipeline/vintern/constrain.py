"""Grammars, by llguidance: which tokens may come next, and which must.

A grammar's text is compiled once and copied for each request (microseconds). llguidance reports errors as a
sticky state and never raises; here every one becomes Permanent with the code `grammar_error`.

A mask takes llguidance one or two milliseconds where most of 150,000 tokens are allowed, as in running text.
Pages of one schema come to the same states again and again, so masks, and what is forced, are remembered by
state (`following`); for a grammar that is not followed each is worked out anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from llguidance import LLExecutor, LLMatcher, LLTokenizer
from torch import Tensor

from pipeline.errors import Permanent
from pipeline.vintern.constraint import Constraint, broken
from pipeline.vintern.following import Follower, Vocabulary
from pipeline.vintern.languages import NotRead
from pipeline.vintern.masks import ALL, MaskTable
from pipeline.vintern.states import UNKNOWN, Near, States
from pipeline.vintern.tokenizer import Tokenizer
from pipeline.vintern.transfer import up
from pipeline.vintern.values import Positions

KEPT = 64  # compiled grammars
TOGETHER = 16  # grammars that are worth waking threads for


class Grammars:
    """Compiles grammars for one tokenizer and vocabulary, and computes masks.

    pool: by a thread for each core, for a GPU's many rows. To wake them takes longer than a CPU's few rows.
    device: keeps a copy of the masks there.
    """

    def __init__(
        self, tokenizer: Tokenizer, vocabulary: int, *, pool: bool = False, device: torch.device | None = None
    ) -> None:
        reach = max(vocabulary, tokenizer.size)  # `<video>` may have no row in the model
        self.words = (reach + 31) // 32  # of a mask, 32 tokens each
        self._tokenizer = LLTokenizer(
            tokenizer.backend.to_str(), n_vocab=reach, eos_token=tokenizer.end_of_turn
        )
        self._known = tokenizer.size
        added = tokenizer.backend.get_added_tokens_decoder()
        self._special = {number for number, token in added.items() if token.special}
        self.vocabulary = Vocabulary([self._bytes_of(token) for token in range(vocabulary)])
        self.positions = Positions(self.vocabulary.tokens)
        self._executor = LLExecutor() if pool else None
        self._compiled: OrderedDict[str, Constraint] = OrderedDict()
        self._masks = MaskTable(self.words, device)

    @property
    def room(self) -> int:
        """Masks that are remembered at most."""
        return self._masks.room

    def start(self, grammar: str) -> Constraint:
        """A fresh constraint. Raises Permanent when the grammar is not valid."""
        fresh = self._compiled.get(grammar)
        if fresh is None:
            fresh = self._compiled[grammar] = self._compile(grammar)
            if len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(grammar)
        return fresh.copy()

    def accept(self, chosen: Sequence[tuple[Constraint, int]]) -> dict[int, Permanent]:
        """Let each constraint take its token; the errors of those that do not allow it, by number."""
        rows = np.array([held.row for held, _ in chosen], dtype=np.int64)
        allowed = self._masks.allow(np.maximum(rows, ALL), [token for _, token in chosen]) & (rows >= 0)
        refused: dict[int, Permanent] = {}
        asked: list[tuple[int, Constraint, LLMatcher, int]] = []
        for number, ((held, token), may) in enumerate(zip(chosen, allowed.tolist(), strict=True)):
            if may:
                held.allowed(token)
                continue
            try:
                asked.append((number, held, held.matcher, token))
            except Permanent as error:
                refused[number] = error
        if self._executor is not None and len(asked) >= TOGETHER:
            found = self._executor.consume_token_par([(matcher, token) for _, _, matcher, token in asked])
        else:
            found = [matcher.consume_tokens([token]) for _, _, matcher, token in asked]
        for consumed, (number, held, matcher, token) in zip(found, asked, strict=True):
            if consumed:
                held.consumed(token)
            else:
                refused[number] = broken(matcher)
        return refused

    def _compile(self, grammar: str) -> Constraint:
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise broken(matcher)
        try:
            states = States(Follower(grammar, self.vocabulary))
        except NotRead:
            return Constraint(matcher, own=False)
        return Constraint(matcher, states, states.start(), own=False)

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a special token and for padding of the vocabulary."""
        return self.vocabulary.tokens[token] if token < len(self.vocabulary.tokens) else b""

    def _bytes_of(self, token: int) -> bytes:
        if token >= self._known or token in self._special:
            return b""
        # llguidance leaves out the byte FF, which no text in UTF-8 has.
        return bytes(self._tokenizer.decode_bytes([token])) or b"\xff"

    def fill(self, constraints: Sequence[Constraint | None], masks: Tensor) -> None:
        """Write each constraint's mask to its row of `masks`, int32 [rows, words] on the CPU: 1 is allowed.

        A row without a constraint allows every token. A broken constraint is found by `accept`, not here.
        """
        rows, apart, words = self._find(constraints)
        filled = masks.numpy()
        filled[: len(rows)] = self._masks.read(rows)
        if apart:
            filled[apart] = words

    def masks(self, constraints: Sequence[Constraint | None]) -> Tensor:
        """As `fill` writes them, on the device."""
        rows, apart, words = self._find(constraints)
        masks = self._masks.on_device(rows)
        if apart:
            masks[up(np.array(apart), masks.device)] = up(words, masks.device)
        return masks

    def _find(
        self, constraints: Sequence[Constraint | None]
    ) -> tuple[npt.NDArray[np.int64], list[int], npt.NDArray[np.int32]]:
        """Each one's row in the table; which are not in it, and the masks of these, int32 [n, words]."""
        found = [ALL if held is None else held.row for held in constraints]
        unknown = [number for number, row in enumerate(found) if row < 0]
        matchers: list[LLMatcher] = []
        asked: dict[object, list[int]] = {}  # by state, if it is to be remembered
        for number in unknown:
            held, found[number] = constraints[number], ALL
            try:
                near = held.near  # type: ignore[union-attr]
                if near is not None and near.row >= 0:
                    found[number] = near.row
                    continue
                same = asked.setdefault(number if near is None else near, [])
                if not same:
                    matchers.append(held.matcher)  # type: ignore[union-attr]
                same.append(number)
            except Permanent:
                continue  # `accept` says so
        self._masks.use(np.array(found, dtype=np.int64))
        words = np.zeros((len(matchers), self.words), dtype=np.int32)
        self._work_out([(matcher, row) for row, matcher in enumerate(matchers)], torch.from_numpy(words))
        apart: list[int] = []
        which: list[int] = []
        for each, (near_or_number, numbers) in enumerate(asked.items()):
            row = (
                self._masks.keep(near_or_number, words[each]) if isinstance(near_or_number, Near) else UNKNOWN
            )
            for number in numbers:
                if row >= 0:
                    found[number] = row
                else:
                    apart.append(number)
                    which.append(each)
        return np.array(found, dtype=np.int64), apart, words[which]

    def _work_out(self, rows: list[tuple[LLMatcher, int]], masks: Tensor) -> None:
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
