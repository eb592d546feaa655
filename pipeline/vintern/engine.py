"""The engine: many pages, each at its own point of its own answer, in one stream of work. A request's life:

1. `submit` checks its tiles, builds its prompt, finds its grammar (compiled once, copied) and queues it. The
   queue is bounded: when it is full, `submit` raises EngineFull. A bad request is answered with its reason.
2. It is admitted when a slot of the KV cache is free. The slot holds its whole context, so that from here on
   it cannot run out of memory, whoever else is there.
3. Its tiles pass the vision encoder, in buckets gathered across requests.
4. Its prompt is prefilled: visual tokens in their places, and behind them what the grammar forces at once.
5. Every decode step feeds all running requests. While the device works, the CPU computes the grammars' masks.
6. The likeliest allowed token is chosen; its probability under the mask, and before it, comes from the same
   logits. What the grammar forces next is appended and fed as one chunk, not decoded one by one.
7. Where its room is used up within a table, the oldest lines leave the slot and it goes on (`passes`).
   It ends when its grammar is complete, the model ends its turn, or the token limit is reached. A loop is
   stopped early and tried once more, from the prompt in the cache, with a repetition penalty.
8. It leaves at once with its text, the span, probabilities and place of every token, and its slot goes to the
   next in the queue. Where its request wants a second look and it is doubtful, it waits for that first.

`batching` says what is done next, a `backend` does it (`cpu` or `gpu`), `answer` says what a token leads to.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import compress
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import Permanent, Reason, UsageError, VinbatchError
from pipeline.records import Generation, Request
from pipeline.settings import EngineSettings
from pipeline.vintern import learning
from pipeline.vintern.answer import Answer
from pipeline.vintern.backend import Backend, Fed
from pipeline.vintern.batching import Batch, Work
from pipeline.vintern.booking import Booking
from pipeline.vintern.config import TILE
from pipeline.vintern.constrain import Grammars
from pipeline.vintern.cpu import CpuBackend
from pipeline.vintern.gpu import GpuBackend
from pipeline.vintern.model import Vintern
from pipeline.vintern.pointing import Looks, Pointer
from pipeline.vintern.prompt_ids import Prompts
from pipeline.vintern.sampler import Penalties
from pipeline.vintern.second_look import SecondLooks
from pipeline.vintern.stats import Clock, EngineStats
from pipeline.vintern.transfer import Download, up
from pipeline.vintern.values import Unmasked

__all__ = ["Engine", "EngineFull", "EngineStats"]


_LEAST_WAITING = 32  # requests
_AT_ONCE = 32  # requests that `generate` queues before a step: to send up a page's tiles takes a millisecond


class EngineFull(VinbatchError):
    """The queue is full: call `step` until `room` is positive, then submit again."""


class _Launched(NamedTuple):
    """A pass whose choices the device is still at."""

    fed: Sequence[Fed]
    looks: Looks | None
    coming: Download


class _Leaving(NamedTuple):
    """A finished answer, some of whose probabilities (by the tokens' numbers) are still computed."""

    answer: Answer
    numbers: Sequence[int]
    coming: Download


class Engine:
    """Answers requests with one model, many at a time. Not for several threads."""

    def __init__(self, model: Vintern, settings: EngineSettings, backend: Backend | None = None) -> None:
        """Makes the back end for the model's device, unless one is given.

        Raises UsageError when not even one request has room.
        """
        began = time.perf_counter()
        self.model = model
        self.settings = settings
        self.backend = backend_for(model, settings) if backend is None else backend
        self._cache = self.backend.cache
        self._batch = Batch(self.backend.shape)
        self._most_waiting = settings.max_waiting or max(_LEAST_WAITING, self._cache.slots // 2)
        self._pointer = Pointer.for_model(model, self._cache) if settings.place else None
        self._grammars = Grammars(
            model.tokenizer,
            model.config.language.vocab,
            pool=self.backend.shape.many_rows,
            device=model.device if self.backend.own_memory else None,
        )
        self._unmasked = Unmasked(model.tokenizer, model.config.language.vocab, model.device)
        self._answered: list[Generation] = []  # at submit, for the next step to hand out
        self._ids: set[str] = set()
        self._looks = SecondLooks()
        self._prompts = Prompts(model.tokenizer, model.config)
        self._booking = Booking(self._grammars, self._cache.slots)
        self._launched: deque[_Launched] = deque()
        self._finished: list[Answer] = []
        self._leaving: deque[_Leaving] = deque()
        self._clock = Clock(model.device)
        self._stats = EngineStats(start_seconds=time.perf_counter() - began)

    @property
    def in_flight(self) -> int:
        """Requests accepted and not yet answered."""
        return len(self._ids)

    @property
    def room(self) -> int:
        """How many more requests `submit` takes before it raises EngineFull."""
        return max(0, self._most_waiting - len(self._batch.waiting) - len(self._answered))

    @property
    def load(self) -> tuple[float, float]:
        """Shares, 0 to 1: of the batch that is decoded, and of the KV cache's tokens that are taken.

        As they are in passing: another thread may ask while this one steps.
        """
        running, cache = tuple(self._batch.running), self._cache
        held = sum(answer.cached for answer in running)
        return len(running) / cache.slots, held / (cache.slots * cache.length)

    @property
    def stats(self) -> EngineStats:
        seconds = self._clock.seconds()
        return self._stats.plus(**{f"{phase}_seconds": spent for phase, spent in seconds.items()})

    def learn(self, grammar: str) -> None:
        """Get ready for pages under this grammar, which takes seconds (`learning`). Raises Permanent."""
        learning.learn(self._grammars, grammar)

    def submit(self, request: Request) -> None:
        """Queue a request; its id is not that of another in flight.

        Raises EngineFull. Whatever is wrong with the request itself is said by the next `step`, in a
        generation that ends in "error".
        """
        if not self.room:
            raise EngineFull(f"{self._most_waiting} requests are waiting")
        if request.id in self._ids:
            raise UsageError(f"request {request.id} is already in flight")
        self._ids.add(request.id)
        try:
            answer = self._answer(request)
        except Permanent as error:
            self._answered.append(Generation.failed(request, error.reason, error.message))
            return
        if answer.finish is None:
            self._batch.waiting.append(answer)
        else:  # the grammar left nothing to say
            self._answered.append(answer.generation(self.settings.place))

    def step(self) -> list[Generation]:
        """Do the next piece of work, if any; returns the answers that it finished, often none.

        A pass is launched, and the oldest of those that were launched is entered once its choices are there:
        at once, or while the device is at the next one (`Shape.halves`).
        """
        while self._batch.waiting and self._cache.free:
            answer = self._batch.waiting.popleft()
            answer.slot = self._cache.allocate()
            self._batch.admit(answer)
        work = self._batch.next()
        match work:
            case Work.vision:
                self._encode_tiles()
            case Work.prefill:
                self._prefill()
            case Work.decode:
                self._decode()
        ahead = int(work is not None and self._batch.by_halves)
        while len(self._launched) > ahead:
            self._enter(self._launched.popleft())
        return self._leave()

    def generate(self, requests: Iterable[Request]) -> Iterator[Generation]:
        """Answer all requests, each exactly once, in the order in which they finish.

        `requests` is read only as far as there is room. Not to be mixed with `submit`.
        """
        source = iter(requests)
        more = True
        while more or self.in_flight:
            for _ in range(min(self.room, _AT_ONCE) if more else 0):
                request = next(source, None)
                if request is None:
                    more = False
                    break
                self.submit(request)
            yield from self.step()

    def _answer(self, request: Request) -> Answer:
        """Raises Permanent with the reason why the request cannot be answered."""
        tiles = request.tiles
        if tiles.dtype != np.uint8 or tiles.shape[1:] != (TILE, TILE, 3):
            raise Permanent(
                Reason.internal_error,
                f"tiles are {tiles.dtype} {list(tiles.shape)}, expected uint8 [n, {TILE}, {TILE}, 3]",
            )
        prompt = self._prompts.of(request.question, len(tiles))
        room = self._cache.length - len(prompt)
        if room < 1:
            raise Permanent(
                Reason.prompt_too_long,
                f"the prompt has {len(prompt)} tokens with {len(tiles)} tiles, {self._cache.length} fit; "
                "use fewer tiles",
            )
        positions = self.model.config.language.positions - len(prompt)
        answer = Answer(
            request,
            prompt,
            None if request.grammar is None else self._grammars.start(request.grammar),
            limit=room,
            longest=min(
                bound
                for bound in (request.max_new_tokens, self.settings.max_new_tokens, positions)
                if bound is not None
            ),
            max_passes=self.settings.max_passes,
            end=self.model.tokenizer.end_of_turn,
            bytes_of=self._grammars.bytes_of,
            positions=self._grammars.positions,
            forget=self._cache.forget,
            penalty=self.settings.repetition_penalty,
        )
        # Ray's arrays are read-only, which torch does not have; they are copied.
        answer.tiles = self.backend.upload(torch.from_numpy(np.require(tiles, requirements=["C", "W"])))
        if self.backend.own_memory:
            answer.request = replace(request, tiles=np.zeros((0, *tiles.shape[1:]), dtype=np.uint8))
        return answer

    def _encode_tiles(self) -> None:
        tiles = self._batch.tiles()
        with self._clock.measure("vision"):
            self.backend.encode_tiles(tiles)
        self._batch.encoded(tiles)
        self._stats = self._stats.plus(tiles=len(tiles))

    def _prefill(self) -> None:
        answers = self._batch.prompts()
        fed = [(answer, len(answer.pending)) for answer in answers]
        with self._clock.measure("prefill"):
            chosen = self._choose(fed, self.backend.prefill(answers))
        self._batch.prefilled(answers)
        self._launch(fed, chosen)
        self._stats = self._stats.plus(prompt_tokens=sum(count for _, count in fed))

    def _decode(self) -> None:
        fed = self._batch.feed()
        with self._clock.measure("decode"):
            chosen = self._choose(fed, self.backend.decode(fed))
        self._see(fed)
        self._launch(fed, chosen)
        self._stats = self._stats.plus(steps=1)

    def _launch(self, fed: Sequence[Fed], chosen: Tensor) -> None:
        looks = None if self._pointer is None else self._pointer.look(fed, self.backend.page_attention)
        for answer, _ in fed:
            answer.launched = True
        coming = Download([chosen] if looks is None else [chosen, looks.places])
        self._launched.append(_Launched(fed, looks, coming))

    def _choose(self, fed: Sequence[Fed], hidden: Tensor) -> Tensor:
        """The next token of each, for those whose last pending token was fed; still on the device."""
        logits = self.backend.logits(hidden)
        answers = [answer for answer, _ in fed]
        masks = penalties = None
        constraints = [None if answer.said else answer.constraint for answer in answers]
        if any(constraints):
            # Launched work goes on meanwhile. A row that is not at its last pending token is not used.
            masks = self._grammars.masks(constraints)
        if any(answer.penalty != 1 for answer in answers):
            penalties = Penalties(
                [answer.penalty for answer in answers], [answer.tokens for answer in answers]
            )
        chosen = self.backend.choose(logits, masks, penalties)
        if masks is None:
            return chosen
        held = up(np.array([each is not None for each in constraints]), logits.device)
        return self._unmasked.beside(logits, chosen, held)

    def _see(self, fed: Sequence[Fed]) -> None:
        """Keep what the model knew before each forced token of a value; `_weigh` asks what it wanted."""
        if self.backend.fed_hidden is None:
            raise RuntimeError("the pass kept no hidden states")
        start = 0
        places: list[int] = []
        kept: list[tuple[Answer, int]] = []
        for answer, count in fed:
            if answer.unseen:
                for place, number in answer.to_see(count):
                    places.append(start + place)
                    kept.append((answer, number))
            start += count
        if places:
            hidden = self.backend.fed_hidden
            states = hidden[up(np.array(places), hidden.device)].unbind()
            for (answer, number), state in zip(kept, states, strict=True):
                answer.knew[number] = state

    @torch.inference_mode()
    def _weigh(self, answer: Answer) -> _Leaving:
        """The probability, without the mask, of the forced tokens of values; of each answer by itself."""
        numbers = sorted(answer.knew) if answer.finish != "error" else []
        weighed = []
        for at in range(0, len(numbers), self._cache.slots):
            some = numbers[at : at + self._cache.slots]
            logits = self.backend.logits(torch.stack([answer.knew[number] for number in some]))
            tokens = up(np.array([answer.tokens[number] for number in some]), logits.device)
            weighed.append(self._unmasked.among_all(logits, tokens))
        return _Leaving(answer, numbers, Download(weighed))

    def _enter(self, launched: _Launched) -> None:
        """Enter what a pass chose, once it is there."""
        chosen, *places = launched.coming.wait()
        answers = [answer for answer, _ in launched.fed]
        if launched.looks is not None:
            launched.looks.tell(answers, places[0])
        complete = []
        for answer, count in launched.fed:
            complete.append(count == len(answer.pending))
            answer.launched = False
            answer.fed(count)
        if not all(complete):
            answers, chosen = list(compress(answers, complete)), chosen[:, complete]
        self._booking.enter(answers, chosen)
        self._finished += [answer for answer, _ in launched.fed if answer.finish is not None]

    def _leave(self) -> list[Generation]:
        """Hand out what is finished; a first loop goes back to the end of its prompt instead."""
        finished, self._finished = self._finished, []
        for answer in finished:
            if answer.finish == "loop" and answer.attempts == 1 and self.settings.retry_penalty > 1:
                answer.begin(self.settings.retry_penalty)
                self._stats = self._stats.plus(retried=1)
        if finished:
            for answer in self._batch.finished():
                self._cache.release(answer.slot, wipe=answer.cached if answer.finish == "error" else 0)
                self._leaving.append(self._weigh(answer))
        generations, self._answered = self._answered, []
        for generation in generations:
            self._count(generation)
        while self._leaving and (self._leaving[0].coming.here or not self._launched):
            generations += self._left(self._leaving.popleft())
        self._ids.difference_update(generation.request_id for generation in generations)
        return generations

    def _left(self, leaving: _Leaving) -> list[Generation]:
        answer = leaving.answer
        weighed = [value for some in leaving.coming.wait() for value in some.tolist()]
        for number, unmasked in zip(leaving.numbers, weighed, strict=True):
            answer.weighed[number] = unmasked
        generation = answer.generation(self.settings.place)
        self._count(generation)
        first = self._looks.taken(answer.request, generation)
        more = self._looks.wanted(answer, generation) if first is None else None
        if more is None:
            return [generation if first is None else first]
        self._batch.waiting.append(self._answer(more))
        return []

    def _count(self, generation: Generation) -> None:
        forced = int(generation.forced.sum())
        self._stats = self._stats.plus(
            requests=1,
            failed=generation.finish == "error",
            passes=generation.passes,
            forced_tokens=forced,
            decoded_tokens=len(generation.forced) - forced,
        )


def backend_for(model: Vintern, settings: EngineSettings) -> Backend:
    """Raises UsageError where the model's device cannot do what the settings ask for."""
    if model.device.type != "cuda":
        return CpuBackend(model, settings)
    if settings.weights == "int8":
        raise UsageError("engine.weights is int8, which is for CPUs. Leave it at auto on a GPU")
    return GpuBackend(model, settings)
