"""What a pass of the GPU's back end is given, and how its tokens lie."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.vintern.answer import Answer
from pipeline.vintern.backend import Fed
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.language import Attend

Numbers = npt.NDArray[np.int64]


class PageAttend(Attend, Protocol):
    """page_attention: after the last layer, how much tokens attended to each visual token of their page."""

    @property
    def page_attention(self) -> Sequence[Tensor] | Tensor | None: ...


class DecodeAttend(PageAttend, Protocol):
    @property
    def page_attention(self) -> Tensor | None: ...


class Plan(NamedTuple):
    """A decode step. Steps of one key differ in `given` alone."""

    key: Hashable
    given: Numbers
    read: Callable[[Tensor], tuple[Tensor, Tensor, DecodeAttend]]  # given → ids, positions [n], attention
    lasts: Numbers  # which tokens are the last of their request's
    cells: Numbers  # where in `page_attention` each token's row is


class Prompts(NamedTuple):
    """Whole prompts, [b, t] or all in one row."""

    ids: Tensor  # int64 [b, t]
    positions: Tensor  # int64 [b, t]
    starts: Sequence[tuple[int, int]]  # row and first token of each prompt
    attend: PageAttend
    keep: Tensor  # int64 [b, m], as `Language.forward` takes it
    kept: Sequence[tuple[int, slice]]  # row and tokens in `page_attention` of each prompt
    lasts: Sequence[tuple[int, int]]  # row and number, among those kept, of each prompt's last token


class Layout(Protocol):
    """about: in words, part of what names the numerics."""

    about: str

    def decode(self, fed: Sequence[Fed]) -> Plan: ...

    def prefill(self, answers: Sequence[Answer], device: torch.device) -> Prompts: ...


@dataclass(frozen=True, slots=True)
class Laid:
    """The tokens of a decode step, packed one request after the other."""

    slots: Numbers  # by request
    counts: Numbers
    owner_slots: Numbers  # by token
    within: Numbers  # its number among those of its request
    tokens: Numbers
    positions: Numbers
    seen: Numbers  # its place in its slot

    @classmethod
    def of(cls, fed: Sequence[Fed]) -> Laid:
        counts = np.array([count for _, count in fed])
        slots = np.array([answer.slot for answer, _ in fed])
        cached = np.array([answer.cached for answer, _ in fed])
        position = cached + np.array([answer.out_of_sight for answer, _ in fed])
        tokens = np.array(list(chain.from_iterable(answer.pending[:count] for answer, count in fed)))
        within = np.arange(len(tokens)) - np.repeat(counts.cumsum() - counts, counts)
        return cls(
            slots,
            counts,
            slots.repeat(counts),
            within,
            tokens,
            position.repeat(counts) + within,
            cached.repeat(counts) + within,
        )

    @property
    def lasts(self) -> Numbers:
        return self.counts.cumsum() - 1

    def places(self, cache: KVCache) -> Numbers:
        """Flat, in the cache."""
        return self.owner_slots * cache.length + self.seen


def together(*parts: tuple[Numbers, int, int]) -> Numbers:
    """One after the other, each as long as said, with so much of a value behind it."""
    found = np.empty(sum(length for _, length, _ in parts), dtype=np.int64)
    at = 0
    for numbers, length, value in parts:
        found[at : at + len(numbers)] = numbers
        found[at + len(numbers) : at + length] = value
        at += length
    return found


def power(count: int) -> int:
    """The smallest power of two that is not below."""
    return 1 << (count - 1).bit_length()
