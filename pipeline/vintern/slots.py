"""Attention over the slots of the KV cache as they lie in memory, by our own kernels (`fused`).

Each request looks at its own slot as far as it is filled, with as many tokens as it feeds: no mask, no
padding between requests, nothing laid out anew. Into how many parts its keys are cut depends on the cache's
slots alone, so that attention gives a row the same bits whoever is beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.vintern import fused
from pipeline.vintern.answer import Answer
from pipeline.vintern.backend import Fed
from pipeline.vintern.kv_cache import KVCache
from pipeline.vintern.plan import Laid, Numbers, Plan, Prompts, together
from pipeline.vintern.transfer import up

CHUNK = 8  # tokens of one request in a step, at most
KEPT = 256  # prompts as arrays
FEWEST = 16  # tokens of a step, padding included
# Of a step, as parts of the largest: usual are half of all requests, or all, with few forced tokens.
SIZES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 1)


class Rows(NamedTuple):
    """Which tokens are whose: cumulative counts int32 [requests + 1], where in the flat cache each request's
    slot begins and how much of it is filled, both int32 [requests]; the most tokens of one; into how many
    parts keys are cut.
    """

    starts: Tensor
    slots: Tensor
    filled: Tensor
    most: int
    splits: int


def attend(query: Tensor, keys: Tensor, values: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """`fused.attend`."""
    return fused.attend(query, keys, values, *rows)


def look(query: Tensor, sums: Tensor, keys: Tensor, owners: Tensor, page: slice) -> Tensor:
    """`fused.seen`: as `attention.page_weights`, for tokens in packed order."""
    return fused.seen(query, sums, keys, owners, page.start, page.stop - page.start)


class Slots:
    """`plan.Layout` of packed tokens."""

    about = "own kernels, attention over slots"

    def __init__(self, cache: KVCache, page: slice | None) -> None:
        self.cache = cache
        self.page = page
        self._splits = fused.splits(cache.slots, cache.keys[0].shape[2])
        self._arrays: dict[int, tuple[Sequence[int], Numbers]] = {}  # of prompts, by the identity of the list

    def decode(self, fed: Sequence[Fed]) -> Plan:
        laid, cache = Laid.of(fed), self.cache
        n, requests = self.step(len(laid.tokens)), cache.slots
        filled = laid.seen[laid.lasts] + 1
        # Requests that are not there have no tokens and look at the slot that is nobody's.
        given = together(
            (laid.tokens, n, 0),
            (laid.positions, n, 0),
            (laid.places(cache), n, cache.scratch),
            (laid.owner_slots, n, cache.slots),
            (np.append(0, laid.counts.cumsum()), requests + 1, len(laid.tokens)),
            (laid.slots * cache.length, requests, cache.scratch),
            (filled, requests, 1),
        )

        def read(given: Tensor) -> tuple[Tensor, Tensor, SlotAttention]:
            ids, positions, places, owners, *rows = given.split([n] * 4 + [requests + 1, requests, requests])
            starts, slots, filled = (part.int() for part in rows)
            return (
                ids,
                positions,
                SlotAttention(
                    cache, places, Rows(starts, slots, filled, CHUNK, self._splits), owners, page=self.page
                ),
            )

        return Plan(n, given, read, laid.lasts, np.arange(len(laid.tokens)))

    def _array(self, prompt: Sequence[int]) -> Numbers:
        _, found = self._arrays.get(id(prompt), (None, None))
        if found is None:
            if len(self._arrays) >= KEPT:
                self._arrays.clear()
            found = np.array(prompt, dtype=np.int64)
            self._arrays[id(prompt)] = prompt, found  # which is held, so that its identity stays its own
        return found

    def step(self, tokens: int) -> int:
        """So many tokens with their padding: one of few sizes."""
        most = max(FEWEST, 2 * self.cache.slots)
        return next(size for part in SIZES if (size := max(FEWEST, int(most * part))) >= tokens)

    def prefill(self, answers: Sequence[Answer], device: torch.device) -> Prompts:
        lengths = np.array([len(answer.pending) for answer in answers])
        slots = np.array([answer.slot for answer in answers])
        ends, begins = lengths.cumsum(), lengths.cumsum() - lengths
        positions = np.arange(ends[-1]) - begins.repeat(lengths)
        # A prompt is the same list for all pages of its kind (`prompt_ids.Prompts`), and long.
        ids = np.concatenate(
            [
                part
                for answer in answers
                for part in (
                    self._array(answer.prompt),
                    np.array(answer.pending[len(answer.prompt) :], dtype=np.int64),
                )
            ]
        )
        # The last token of each prompt and those that are forced after it.
        counts = lengths - np.array([len(answer.prompt) for answer in answers]) + 1
        stops, firsts = counts.cumsum(), counts.cumsum() - counts
        keep = np.arange(stops[-1]) - firsts.repeat(counts) + (ends - counts).repeat(counts)
        places = slots.repeat(lengths) * self.cache.length + positions
        where, end = up(slots * self.cache.length, device).int(), up(lengths, device).int()
        every, last = (
            Rows(up(np.append(0, cumulated), device).int(), where, end, int(most.max()), 1)
            for cumulated, most in ((ends, lengths), (stops, counts))
        )
        kept = up(keep[None], device)
        attention = SlotAttention(
            self.cache, up(places, device), every, up(slots.repeat(counts), device), last, self.page
        )
        return Prompts(
            up(ids[None], device),
            up(positions[None], device),
            [(0, int(begin)) for begin in begins],
            attention,
            kept,
            [(0, slice(int(first), int(stop))) for first, stop in zip(firsts, stops, strict=True)],
            [(0, int(stop) - 1) for stop in stops],
        )


class SlotAttention:
    """Attend: packed tokens [1, n], each request's over its own slot, into which they are written first.

    `last`, if given, are the rows of the last layer, which is asked for fewer tokens. owners int64: the slots
    of the tokens there. With `page` it fills `page_attention`, float32 [1, tokens there, cells].
    """

    def __init__(
        self,
        cache: KVCache,
        places: Tensor,
        rows: Rows,
        owners: Tensor,
        last: Rows | None = None,
        page: slice | None = None,
    ) -> None:
        self.cache = cache
        self.places = places
        self.rows = rows
        self.owners = owners
        self.last = rows if last is None else last
        self.page = page
        self.page_attention: Tensor | None = None

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        cache = self.cache
        cache.write(layer, self.places, key[0].transpose(0, 1), value[0].transpose(0, 1))
        last = layer == len(cache.keys) - 1
        asked = query[0].transpose(0, 1)
        keys, values = cache.keys[layer].flatten(0, 1), cache.values[layer].flatten(0, 1)
        mixed, sums = attend(asked, keys, values, self.last if last else self.rows)
        if last and self.page is not None:
            # Of cells behind a page's own tiles it may be anything.
            self.page_attention = look(asked, sums, cache.keys[layer], self.owners, self.page)[None]
        return mixed.transpose(0, 1)[None]
