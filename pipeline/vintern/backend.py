"""What computes for the engine: one protocol, with one implementation for CPUs and one for GPUs.

A back end owns the KV cache, the attention, the padding, and its kernels or graphs. `batching` says whose
turn it is, the back end computes, `answer` says what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from pipeline.vintern.answer import Answer
from pipeline.vintern.batching import Shape
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.model import Vintern
from pipeline.vintern.pointing import CELLS, page_tiles
from pipeline.vintern.prompt_ids import prompt_ids
from pipeline.vintern.sampler import Penalties

Tile = tuple[Answer, int]  # an answer and the number of one of its tiles
Fed = tuple[Answer, int]  # an answer and how many of its pending tokens a pass feeds


class Backend(Protocol):
    """about: what it computes with, for people.

    page_attention: after a pass, if the settings ask for places, how much each fed token attended to each
    visual token, float32 [n, cells]; of a prompt, its last token and those forced after it.

    own_memory: uploaded tiles are copies on the device, and those of the request are needed no more.

    fed_hidden: after a decode pass, the last hidden state of each fed token, [at least n, hidden]. The next
    pass may overwrite it.
    """

    about: str
    own_memory: bool
    shape: Shape
    cache: KVCache
    page_attention: Tensor | None
    fed_hidden: Tensor | None

    @property
    def numerics(self) -> str:
        """Everything about this machine and its settings that can change a bit of an answer, in words.

        It is part of every page's key (`keys.ModelFacts`): machines that compute alike have equal words,
        those that do not unequal ones, and one machine has the same words in every run.
        """
        ...

    def upload(self, tiles: Tensor) -> Tensor:
        """Start moving uint8 tiles to the device."""
        ...

    def encode_tiles(self, tiles: Sequence[Tile]) -> None:
        """Run the vision encoder over at most `shape.vision[-1]` tiles; fills `Answer.visual`."""
        ...

    def prefill(self, answers: Sequence[Answer]) -> Tensor:
        """Feed all pending tokens, from position 0; returns each answer's last hidden state, [b, hidden]."""
        ...

    def decode(self, fed: Sequence[Fed]) -> Tensor:
        """Feed so many of each answer's pending tokens; returns each one's last hidden state, [b, hidden]."""
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """[b, hidden] → [b, vocabulary]."""
        ...

    def choose(self, logits: Tensor, masks: Tensor | None, penalties: Penalties | None) -> Tensor:
        """As `sampler.choose`, with masks on the device or on the host."""
        ...


def dtype_name(model: Vintern) -> str:
    return str(model.dtype).removeprefix("torch.")


def page_start(model: Vintern) -> int:
    """Position of the first visual token, which is the same in every prompt."""
    return prompt_ids(model.tokenizer, model.config, "", 1).index(model.tokenizer.image)


def page_positions(model: Vintern, cache: KVCache) -> slice:
    """Where in a prompt the visual tokens of the largest page that has room may be."""
    start = page_start(model)
    return slice(start, start + CELLS * page_tiles(model, cache))


def stacked(tiles: Sequence[Tile]) -> Tensor:
    """uint8 [n, 448, 448, 3]."""
    return torch.stack([answer.tiles[number] for answer, number in tiles if answer.tiles is not None])


def keep_visual(tiles: Sequence[Tile], visual: Tensor | Sequence[Tensor]) -> None:
    """Give each tile's visual tokens to its answer; rows beyond the last tile are padding."""
    for (answer, number), tokens in zip(tiles, visual, strict=False):
        if answer.visual is None:
            answer.visual = tokens.new_empty(answer.tile_count, *tokens.shape)
        answer.visual[number] = tokens


def put_visual(answer: Answer, embeds: Tensor, start: int) -> None:
    """Write an answer's visual tokens into its prompt's embeddings [t, hidden], and let go of its tiles.

    Where they are nowhere else, a second look still needs them.
    """
    if answer.visual is not None:
        visual = answer.visual.flatten(0, 1)
        embeds[start : start + len(visual)] = visual
        answer.visual = None
        if answer.request.second_look is None or len(answer.request.tiles):
            answer.tiles = None
