"""Who runs in the next step. Plain Python: no tensor is computed here.

An answer goes through four lists: `waiting` for a slot of the cache, `looking` until its tiles are seen,
`ready` to be prefilled, `running` until it is finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from pipeline.vintern.answer import Answer

ROWS = 16  # fewest rows of a CPU's matrix product; below, float32 sums in another order


class Work(Enum):
    vision = "vision"
    prefill = "prefill"
    decode = "decode"


@dataclass(frozen=True, slots=True)
class Shape:
    """What suits the device."""

    vision: tuple[int, ...]  # tiles seen together: the sizes of the buckets, ascending
    mixed: bool  # tiles of several requests are seen together
    prefill: int  # tokens prefilled together, padding included; a longer prompt goes alone
    decode: int  # tokens fed in one decode step
    chunk: int  # of them, of one request
    patience: int  # decode steps that tiles wait for a full bucket

    @classmethod
    def for_cpu(cls, slots: int) -> Shape:
        """The tiles of one page, one prompt at a time: more gains little, and results depend on less."""
        rows = max(ROWS, -(-2 * slots // ROWS) * ROWS)
        return cls(vision=(1, 2, 3, 4), mixed=False, prefill=1, decode=rows, chunk=rows, patience=0)

    @classmethod
    def for_gpu(cls, slots: int) -> Shape:
        return cls(vision=(8, 16, 32), mixed=True, prefill=16384, decode=2 * slots, chunk=8, patience=8)


class Batch:
    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.waiting: deque[Answer] = deque()
        self.looking: list[Answer] = []
        self.ready: list[Answer] = []
        self.running: list[Answer] = []
        self._waited = 0

    def __len__(self) -> int:
        return len(self.waiting) + self.admitted

    @property
    def admitted(self) -> int:
        return len(self.looking) + len(self.ready) + len(self.running)

    def everyone(self) -> Iterator[Answer]:
        for group in (self.waiting, self.looking, self.ready, self.running):
            yield from group

    def admit(self, answer: Answer) -> None:
        """It has a slot."""
        (self.looking if answer.tile_count else self.ready).append(answer)

    def next(self) -> Work | None:
        """Fill the decode batch before decoding: a step costs nearly the same for one request as for many.

        Vision goes first when a bucket is full, when tiles have waited long enough, or when there is nothing
        else to do.
        """
        unseen = sum(answer.tile_count - answer.seen for answer in self.looking)
        if unseen and (unseen >= self.shape.vision[-1] or self._waited >= self.shape.patience):
            self._waited = 0
            return Work.vision
        if self.ready:
            return Work.prefill
        if self.running:
            self._waited += bool(unseen)
            return Work.decode
        return Work.vision if unseen else None

    def tiles(self) -> list[tuple[Answer, int]]:
        """The next tiles to see, oldest request first: (answer, number of the tile), at most a bucket."""
        looking = self.looking if self.shape.mixed else self.looking[:1]
        unseen = [(answer, tile) for answer in looking for tile in range(answer.seen, answer.tile_count)]
        return unseen[: self.shape.vision[-1]]

    def bucket(self, tiles: int) -> int:
        """The smallest bucket that holds so many tiles."""
        return next(size for size in self.shape.vision if size >= tiles)

    def saw(self, tiles: Sequence[tuple[Answer, int]]) -> None:
        for answer, _ in tiles:
            answer.seen += 1
        self.ready += [answer for answer in self.looking if answer.seen == answer.tile_count]
        self.looking = [answer for answer in self.looking if answer.seen < answer.tile_count]

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
        """Each running request with how many of its pending tokens are fed now.

        Everyone gets one; what is left of the step goes to forced tokens, first come first served.
        """
        spare = self.shape.decode - len(self.running)
        fed = []
        for answer in self.running:
            more = min(len(answer.pending), self.shape.chunk, 1 + spare) - 1
            spare -= more
            fed.append((answer, 1 + more))
        return fed

    def finished(self) -> list[Answer]:
        """Take out every admitted request that is finished."""
        done = [answer for answer in self.everyone() if answer.finish is not None]
        for group in (self.looking, self.ready, self.running):
            group[:] = [answer for answer in group if answer.finish is None]
        self.waiting = deque(answer for answer in self.waiting if answer.finish is None)
        return done
