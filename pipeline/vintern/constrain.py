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

from pipeline.errors import Permanent, Reason
from pipeline.vintern.following import Follower, Place, Vocabulary
from pipeline.vintern.languages import NotRead
from pipeline.vintern.tokenizer import Tokenizer

KEPT = 64  # compiled grammars
TOGETHER = 16  # grammars that are worth waking threads for
REMEMBERED = 64 << 20  # bytes of masks: 3,500 at a vocabulary of 151,674; an invoice's pages need some 800
_NOTHING: dict[int | None, list[int]] = {}  # is forced, whatever the token before it


class Forced:
    """What one grammar forces, by place and by the token before it, which llguidance may join to it."""

    def __init__(self) -> None:
        self._known: dict[Place, dict[int | None, list[int]]] = {}

    def get(self, place: Place, last: int | None, matcher: LLMatcher) -> list[int]:
        by_last = self._known.get(place)
        if by_last is None:
            by_last = self._known[place] = {} if matcher.compute_ff_bytes() else _NOTHING
        if by_last is _NOTHING:
            return []
        found = by_last.get(last)
        if found is None:
            found = by_last[last] = matcher.compute_ff_tokens()
        return found


class Constraint:
    """Where one answer stands in its grammar."""

    def __init__(
        self,
        matcher: LLMatcher,
        follower: Follower | None = None,
        forced: Forced | None = None,
        place: Place | None = None,
        last: int | None = None,
    ) -> None:
        """`follower`, `forced` and `place` (`at`) are None where the grammar is not followed."""
        self.matcher = matcher
        self.follower = follower
        self._forced = forced
        self.at = place
        self._last = last
        self._coming: list[int] | None = None  # forced tokens, once they are asked for
        self._see()

    @property
    def complete(self) -> bool:
        """Nothing may follow."""
        return bool(self.matcher.is_stopped())

    @property
    def place(self) -> Place | None:
        """By which its mask is remembered; None where it is not."""
        # Where tokens are still forced, the mask is the first of them, which depends on the token before it.
        return None if self._near is None or self._ahead() else self._near

    def forced(self) -> list[int]:
        """The tokens that the grammar leaves no choice about, now consumed. Often none."""
        tokens = self._ahead()
        if tokens:
            self.accept(*tokens)
        return list(tokens)

    def accept(self, *tokens: int) -> None:
        """Consume tokens. Raises Permanent when the grammar does not allow them."""
        if not self.matcher.consume_tokens(list(tokens)):
            raise _error(self.matcher)
        self.go_on(*tokens)

    def go_on(self, *tokens: int) -> None:
        """The matcher has consumed tokens."""
        self._coming = None
        if self.follower is not None:
            for token in tokens:
                self.at = None if self.at is None else self.follower.follow(self.at, token)
            self._last = tokens[-1] if tokens else self._last
            self._see()

    def copy(self) -> Constraint:
        return Constraint(self.matcher.deep_copy(), self.follower, self._forced, self.at, self._last)

    def _see(self) -> None:
        followed = self.follower is not None and self.at is not None
        self._near = self.follower.near(self.at) if followed else None  # type: ignore[union-attr,arg-type]

    def _ahead(self) -> list[int]:
        if self._coming is None:
            if self._near is None or self._forced is None:
                self._coming = self.matcher.compute_ff_tokens()
            else:
                self._coming = self._forced.get(self._near, self._last, self.matcher)
        return self._coming


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
        self.vocabulary = Vocabulary([self._bytes_of(token) for token in range(vocabulary)])
        self._executor = LLExecutor() if pool else None
        self._compiled: OrderedDict[str, Constraint] = OrderedDict()
        self._masks: OrderedDict[Place, npt.NDArray[np.int32]] = OrderedDict()
        self.room = max(1, REMEMBERED // (4 * self.words))  # masks that are remembered

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
        """Let each constraint consume its token; the errors of those that do not allow it, by number."""
        if self._executor is not None and len(chosen) >= TOGETHER:
            found = self._executor.consume_token_par([(held.matcher, token) for held, token in chosen])
        else:
            found = [held.matcher.consume_tokens([token]) for held, token in chosen]
        refused: dict[int, Permanent] = {}
        for number, (allowed, (held, token)) in enumerate(zip(found, chosen, strict=True)):
            if allowed:
                held.go_on(token)
            else:
                refused[number] = _error(held.matcher)
        return refused

    def _compile(self, grammar: str) -> Constraint:
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise _error(matcher)
        try:
            follower = Follower(grammar, self.vocabulary)
        except NotRead:
            return Constraint(matcher)
        return Constraint(matcher, follower, Forced(), follower.start)

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
        rows = masks.numpy()
        missing: list[tuple[LLMatcher, int]] = []
        places: list[tuple[Place, int]] = []
        for row, constraint in enumerate(constraints):
            if constraint is None:
                rows[row] = -1
                continue
            place = constraint.place
            known = None if place is None else self._masks.get(place)
            if place is not None and known is not None:
                rows[row] = known
                self._masks.move_to_end(place)
                continue
            missing.append((constraint.matcher, row))
            if place is not None:
                places.append((place, row))
        self._work_out(missing, masks)
        for place, row in places:
            self._masks[place] = rows[row].copy()
        while len(self._masks) > self.room:
            self._masks.popitem(last=False)

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


def _error(matcher: LLMatcher) -> Permanent:
    complaint = matcher.get_error().strip().splitlines()
    return Permanent(
        Reason.grammar_error, f"grammar: {complaint[0] if complaint else 'token not allowed here'}"
    )
