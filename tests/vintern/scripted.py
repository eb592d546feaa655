"""A back end that computes nothing: a script reads what the model sees in its cache and says what follows.

The engine around it is the real one, with the real tokenizer, grammar and cache: tokens lie where their keys
would lie, and their positions where their values would. So a script that can go on only from what it is shown
proves that what is shown suffices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipeline.vintern import Vintern, sampler
from pipeline.vintern.answer import Answer
from pipeline.vintern.backend import Fed, Tile
from pipeline.vintern.batching import Shape
from pipeline.vintern.kv_cache import KVCache

Script = Callable[[str], str]  # the answer as far as it is seen → what follows, at least its first token


class Scripted:
    """`backend.Backend`, for `Engine(model, settings, backend=Scripted(...))`; slots of `length` tokens."""

    about = numerics = "a script"
    own_memory = False
    page_attention = None
    fed_hidden: Tensor | None = None

    def __init__(self, model: Vintern, says: Script, length: int, slots: int = 2) -> None:
        self.model = model
        self.says = says
        self.cache = KVCache(model.config.language, slots, length, torch.float32, model.device)
        self.shape = Shape(vision=(4,), mixed=False, prefill=1, decode=4 * slots, chunk=8, patience=0)
        self.fed = 0  # tokens
        self.encoded = 0  # tiles

    def upload(self, tiles: Tensor) -> Tensor:
        return tiles

    def encode_tiles(self, tiles: Sequence[Tile]) -> None:
        self.encoded += len(tiles)

    def prefill(self, answers: Sequence[Answer]) -> Tensor:
        return self.decode([(answer, len(answer.pending)) for answer in answers])

    def decode(self, fed: Sequence[Fed]) -> Tensor:
        said = [self._next(answer, count) for answer, count in fed]
        after = [
            [*answer.pending[1:count], token] for (answer, count), token in zip(fed, said, strict=True)
        ]  # each fed token
        self.fed_hidden = torch.tensor([[float(token)] for tokens in after for token in tokens])
        return torch.tensor([[float(token)] for token in said])

    def logits(self, hidden: Tensor) -> Tensor:
        said = torch.zeros(len(hidden), self.model.config.language.vocab)
        return said.scatter_(1, hidden.long(), 20.0)

    def choose(self, logits: Tensor, masks: Tensor | None, penalties: sampler.Penalties | None) -> Tensor:
        return sampler.choose(logits, masks, penalties)

    def _next(self, answer: Answer, count: int) -> int:
        """Take `count` tokens into the slot; what is said after them, if the grammar has not said that."""
        tokens, positions = (kept[0][answer.slot, :, 0, 0] for kept in (self.cache.keys, self.cache.values))
        start, end = answer.cached, answer.cached + count
        tokens[start:end] = torch.tensor(answer.pending[:count], dtype=torch.float32)
        positions[start:end] = torch.arange(answer.position, answer.position + count)
        self.fed += count
        prompt, seen = len(answer.prompt), tokens[:end].long().tolist()
        assert seen[:prompt] == answer.prompt, "the page is out of sight"
        # Of the positions none is there twice, and the newest is that of the answer written in one go.
        assert (positions[1:end] > positions[: end - 1]).all()
        assert positions[end - 1] == prompt + len(answer.tokens) - len(answer.pending) + count - 1
        if count < len(answer.pending):
            return answer.pending[count]
        if answer.said:
            return self.model.tokenizer.end_of_turn
        # The first token does not depend on what is said far behind it.
        said = self.says(self.model.tokenizer.decode(seen[prompt:]))[:80]
        return self.model.tokenizer.encode_plain(said)[0] if said else self.model.tokenizer.end_of_turn
