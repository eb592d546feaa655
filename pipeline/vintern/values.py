"""Which tokens of an answer in JSON have a part in a value, and what the model gave them without the mask.

A mask leaves out what the model may have wanted: a thirteenth digit, a letter that the pattern has not, one
line more. Under the mask what is left is sure. So each value's tokens have their probability without the mask
beside that under it. How an answer goes on behind a value is a matter of form: a token that ends a value has
the probability that the model gave to all tokens that begin with the closing quote.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.vintern.tokenizer import Tokenizer

_QUOTE, _BACKSLASH = b'"\\'


class ValueText:
    """Follows the bytes of one answer."""

    def __init__(self) -> None:
        self._nesting: list[int] = []
        self._inside = ""  # "key" or "value"
        self._escaped = False
        self._last = 0  # byte outside of strings

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


class Unmasked:
    """The probabilities of tokens among all, before the mask."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, device: torch.device) -> None:
        # In a byte-level vocabulary the signs of ASCII stand for themselves.
        pieces = tokenizer.backend.get_vocab(with_added_tokens=False).items()
        endings = [number for piece, number in pieces if piece.startswith('"')]
        self._endings = torch.tensor(endings, dtype=torch.int64, device=device)
        # With a list's end in it a token says more than that its value is at an end.
        plain = [number for piece, number in pieces if piece.startswith('"') and "]" not in piece]
        self._ends = torch.zeros(vocabulary, dtype=torch.bool, device=device)
        self._ends[plain] = True

    def among_all(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """logits [rows, vocabulary], tokens int64 [rows] → float64 [rows]."""
        scores = logits.float()
        own = scores.gather(1, tokens[:, None])[:, 0]
        wanted = torch.where(self._ends[tokens], scores[:, self._endings].logsumexp(1), own)
        return (wanted - scores.logsumexp(1)).exp().double()

    def beside(self, logits: Tensor, chosen: Tensor, constrained: Tensor) -> Tensor:
        """`chosen` (`sampler.choose`) with the probability of ending for tokens that end a value.

        constrained bool [rows]: the row's answer is held to a grammar.
        """
        tokens = chosen[0].long()
        ends = self._ends[tokens] & constrained
        if logits.device.type != "cpu":  # all rows: to ask which are needed would wait for the device
            unmasked = torch.where(ends, self.among_all(logits, tokens), chosen[2])
            return torch.stack([chosen[0], chosen[1], unmasked])
        for row in ends.nonzero()[:, 0].tolist():
            chosen[2, row] = self.among_all(logits[row : row + 1], tokens[row : row + 1])[0]
        return chosen
