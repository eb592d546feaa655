"""Which tokens of an answer in JSON have a part in a value, and what the model gave them without the mask.

A mask leaves out what the model may have wanted: a thirteenth digit, a letter that the pattern has not, one
line more. Under the mask what is left is sure. So each value's tokens have their probability without the mask
beside that under it. How an answer goes on behind a value is a matter of form, so tokens that are equal up to
a closing quote count as one: `"`, `",` and `"` with a line's end, or `)` and `)",`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from pipeline.vintern import fused
from pipeline.vintern.tokenizer import Tokenizer

_QUOTE, _BACKSLASH = b'"\\'


class ValueText:
    """Follows the bytes of one answer."""

    def __init__(self) -> None:
        self._nesting: list[int] = []
        self._inside = ""  # "key" or "value"
        self._escaped = False
        self._last = 0  # byte outside of strings

    @property
    def inside(self) -> bool:
        """The text so far ends within a string."""
        return bool(self._inside)

    @property
    def stays(self) -> tuple[bool, bool]:
        """Whether it ends within a value; and within a string, where text without signs of JSON's own is only
        more of it.
        """
        return self._inside == "value", bool(self._inside) and not self._escaped

    @property
    def state(self) -> Hashable:
        """All that counts of the text so far."""
        return tuple(self._nesting), self._inside, self._escaped, self._last

    def copy(self) -> ValueText:
        copied = ValueText()
        copied._nesting = self._nesting.copy()
        copied._inside, copied._escaped, copied._last = self._inside, self._escaped, self._last
        return copied

    def holds(self, text: bytes) -> bool:
        """Take in the next token; True if it has a part of a value, or ends a value or a list."""
        found = False
        for byte in text:
            if self._inside:
                found |= self._inside == "value"
                if byte == _QUOTE and not self._escaped:
                    self._inside, self._last = "", byte
                self._escaped = byte == _BACKSLASH and not self._escaped
            elif byte == _QUOTE:
                in_object = self._nesting[-1:] == [ord("{")]
                self._inside = "key" if in_object and self._last in b"{," else "value"
            else:
                found |= byte == ord("]")
                if byte in b"{[":
                    self._nesting.append(byte)
                elif byte in b"}]":
                    del self._nesting[-1:]
                self._last = byte
        return found


class Position:
    """Where an answer's text stands, and what tokens do there: see `Positions.after`."""

    __slots__ = ("inside", "stays", "text", "value", "ways")

    def __init__(self, text: ValueText) -> None:
        self.text = text  # never changed
        self.inside = text.inside
        self.value, self.stays = text.stays
        self.ways: dict[int, tuple[Position, bool, bool]] = {}


class Positions:
    """Follows answers token by token as `ValueText` does, and remembers what came of it, up to `most`."""

    def __init__(self, tokens: Sequence[bytes], most: int = 1 << 15) -> None:
        """tokens: the bytes of each."""
        self._tokens = tokens
        self._most = most
        # Of a text in a string these change nothing.
        self.plain = bytearray(
            bool(text) and _QUOTE not in text and _BACKSLASH not in text for text in tokens
        )
        self._made: dict[Hashable, Position] = {}
        self._ways = 0
        self.start = self._at(ValueText())

    def after(self, position: Position, token: int) -> tuple[Position, bool, bool]:
        """The position behind a token; whether it has a part of a value, or ends a value or a list; whether
        it breaks a run: a quote is in it, or it ends outside of strings.
        """
        if position.stays and token < len(self.plain) and self.plain[token]:
            return position, position.value, False
        found = position.ways.get(token)
        if found is None:
            piece = self._tokens[token] if token < len(self._tokens) else b""
            text = position.text.copy()
            holds = text.holds(piece)
            if self._ways >= self._most:
                for one in self._made.values():
                    one.ways.clear()
                self._made.clear()
                self._ways = 0
            self._ways += 1
            found = position.ways[token] = (self._at(text), holds, _QUOTE in piece or not text.inside)
        return found

    def _at(self, text: ValueText) -> Position:
        found = self._made.get(text.state)
        if found is None:
            found = self._made[text.state] = Position(text)
        return found


class Unmasked:
    """The probabilities of tokens among all, before the mask."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, device: torch.device) -> None:
        # In a byte-level vocabulary the signs of ASCII stand for themselves.
        pieces = tokenizer.backend.get_vocab(with_added_tokens=False)
        parts = {number: piece.partition('"') for piece, number in pieces.items()}
        quoted = sorted({text for text, quote, _ in parts.values() if quote and not text.endswith("\\")})
        groups = {text: group for group, text in enumerate(quoted, start=1)}
        # By token: which text it brings up to a quote; 0 for all that no other token brings with one.
        self._group = torch.zeros(vocabulary, dtype=torch.int32, device=device)
        # With a list's end in it a token says more than that its value is at an end.
        self._counts_alone = torch.ones(vocabulary, dtype=torch.bool, device=device)
        for number, (text, _, rest) in parts.items():
            if text in groups:
                self._group[number] = groups[text]
                self._counts_alone[number] = "]" in rest

    def among_all(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """logits [rows, vocabulary], tokens int64 [rows] → float64 [rows]."""
        scores = logits.float()
        others = self._group[: scores.shape[1]] != self._group[tokens][:, None]
        together = scores.masked_fill(others, -torch.inf).logsumexp(1)
        alone = scores.gather(1, tokens[:, None])[:, 0]
        wanted = torch.where(self._counts_alone[tokens], alone, together)
        # Of two sums that are equal but for rounding the part may come out as the greater one.
        return (wanted - scores.logsumexp(1)).exp().clamp(max=1.0).double()

    def beside(self, logits: Tensor, chosen: Tensor, constrained: Tensor) -> Tensor:
        """`chosen` (`sampler.choose`) with these probabilities for tokens that do not count alone.

        constrained bool [rows]: the row's answer is held to a grammar. What `fused.choose` gave has a fourth
        row, by which its own kernel goes on.
        """
        if len(chosen) == 4:
            return fused.together(logits, chosen, constrained, self._group, self._counts_alone)
        tokens = chosen[0].long()
        grouped = ~self._counts_alone[tokens] & constrained
        if logits.device.type != "cpu":  # all rows: to ask which are needed would wait for the device
            unmasked = torch.where(grouped, self.among_all(logits, tokens), chosen[2])
            return torch.stack([chosen[0], chosen[1], unmasked])
        for row in grouped.nonzero()[:, 0].tolist():
            chosen[2, row] = self.among_all(logits[row : row + 1], tokens[row : row + 1])[0]
        return chosen
