"""Who runs in the next step. Plain Python: no tensor is computed here.

An answer goes through four lists: `waiting` for a slot of the cache, `encoding` until its tiles are encoded,
`ready` to be prefilled, `running` until it is finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from pipeline.vintern.answer import Answer


class Work(Enum):
    vision = "vision"
    prefill = "prefill"
    decode = "decode"


@dataclass(frozen=True, slots=True)
class Shape:
    """What suits the device."""

    vision: tuple[int, ...]  # tiles encoded together: the sizes of the buckets, ascending
    mixed: bool  # tiles of several requests are encoded together
    prefill: int  # tokens prefilled together, padding included; a longer prompt goes alone
    decode: int  # tokens fed in one decode step
    chunk: int  # of them, of one request
    patience: int  # decode steps that tiles wait for a full bucket
    many_rows: bool = False  # so many in a step that threads pay for computing their masks
    # From so many requests on they are decoded in two halves by turns: while the device is at one, the CPU
    # enters what the other chose. None: never, as where a pass takes as long for a half as for all.
    halves: int | None = None

    def bucket(self, tiles: int) -> int:
        """The smallest bucket that holds so many tiles."""
        return next(size for size in self.vision if size >= tiles)


class Batch:
    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.waiting: deque[Answer] = deque()
        self.encoding: list[Answer] = []
        self.ready: list[Answer] = []
        self.running: list[Answer] = []
        self._waited = 0

    def __len__(self) -> int:
        return len(self.waiting) + self.admitted

    @property
    def admitted(self) -> int:
        return len(self.encoding) + len(self.ready) + len(self.running)

    def everyone(self) -> Iterator[Answer]:
        for group in (self.waiting, self.encoding, self.ready, self.running):
            yield from group

    def admit(self, answer: Answer) -> None:
        """It has a slot."""
        (self.encoding if answer.tile_count else self.ready).append(answer)

    def next(self) -> Work | None:
        """Fill the decode batch before decoding: a step costs nearly the same for one request as for many.

        Vision goes first when a bucket is full, when tiles have waited long enough, or when there is nothing
        else to do.
        """
        waiting = sum(answer.tile_count - answer.encoded for answer in self.encoding)
        if waiting and (waiting >= self.shape.vision[-1] or self._waited >= self.shape.patience):
            self._waited = 0
            return Work.vision
        if self.ready:
            return Work.prefill
        if not all(answer.launched for answer in self.running):
            self._waited += bool(waiting)
            return Work.decode
        return Work.vision if waiting and not self.running else None

    @property
    def by_halves(self) -> bool:
        return self.shape.halves is not None and len(self.running) >= self.shape.halves

    def tiles(self) -> list[tuple[Answer, int]]:
        """The next tiles to encode, oldest request first: (answer, number of the tile), at most a bucket."""
        encoding = self.encoding if self.shape.mixed else self.encoding[:1]
        tiles = [(answer, tile) for answer in encoding for tile in range(answer.encoded, answer.tile_count)]
        return tiles[: self.shape.vision[-1]]

    def encoded(self, tiles: Sequence[tuple[Answer, int]]) -> None:
        for answer, _ in tiles:
            answer.encoded += 1
        self.ready += [answer for answer in self.encoding if answer.encoded == answer.tile_count]
        self.encoding = [answer for answer in self.encoding if answer.encoded < answer.tile_count]

    def prompts(self) -> list[Answer]:
        """The next requests to prefill: the oldest, and those that fit beside it."""
        chosen: list[Answer] = []
        longest = 0
        for answer in self.ready:
            longest = max(longest, len(answer.pending))
            if chosen and longest * (len(chosen) + 1) > self.shape.prefill:
                break
            chosen.append(answer)
        return chosen

    def prefilled(self, answers: Sequence[Answer]) -> None:
        self.ready = [answer for answer in self.ready if answer not in answers]
        self.running += answers

    def feed(self) -> list[tuple[Answer, int]]:
        """Each running request that waits for no pass, with how many of its pending tokens are fed now.

        Everyone gets one; what is left of the step goes to forced tokens, first come first served.
        """
        idle = [answer for answer in self.running if not answer.launched]
        if self.by_halves:
            idle = idle[: -(-len(self.running) // 2)]
        spare = self.shape.decode - len(idle)
        fed = []
        for answer in idle:
            more = len(answer.pending) - 1
            if more:
                more = min(more, self.shape.chunk - 1, spare)
                spare -= more
            fed.append((answer, 1 + more))
        return fed

    def finished(self) -> list[Answer]:
        """Take out every admitted request that is finished."""
        done = [answer for answer in self.everyone() if answer.finish is not None]
        for group in (self.encoding, self.ready, self.running):
            group[:] = [answer for answer in group if answer.finish is None]
        self.waiting = deque(answer for answer in self.waiting if answer.finish is None)
        return done
