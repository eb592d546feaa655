"""The actor that holds the model: requests in, generations out, each exactly once."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline import grammar
from pipeline.errors import Reason, ReplicaLost, UsageError
from pipeline.keys import ModelFacts
from pipeline.records import Generation, Request
from pipeline.settings import EngineSettings
from workers.lane import peak_bytes, schema_of
from workers.sigterm import ignore_sigterm

if TYPE_CHECKING:
    from pipeline.vintern.engine import Engine

_COUNT_SECONDS = 0.5  # between two looks at the engine's own figures
_IDLE_SECONDS = 0.2  # how long the engine's thread sleeps when nothing comes; an arrival wakes it at once


@dataclass(frozen=True, slots=True)
class Health:
    """How a replica is. `still_seconds`: since the engine last ended a step, while it has work."""

    in_flight: int
    still_seconds: float
    tokens: int  # generated so far
    peak_bytes: int  # largest resident memory of the process
    engine: str  # what it computes with, in words
    start_seconds: float  # to load the checkpoint and start the engine
    batch_fill: float = 0.0  # share of the batch that is decoded
    kv_use: float = 0.0  # share of the KV cache that is taken
    batch: int = 0  # pages that are decoded together, at most
    phases: Mapping[str, float] = field(default_factory=dict)  # seconds of vision, prefill and decode
    trouble: str | None = None  # what it waits for, if anything is wrong


class Replica:
    """Loads the model once; the engine runs in a thread of its own.

    When the engine itself breaks, every request that it held is answered with ReplicaLost and the actor
    refuses further ones: the lane replaces it.
    """

    def __init__(self, model: str, settings: EngineSettings, schema: str) -> None:
        self._model = model
        self._schema = schema
        self._settings = settings
        _import_engine(settings)  # takes seconds, in which the lane's other processes start
        self._arrivals: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._waiting: dict[str, Future[Generation]] = {}
        self._let_go: dict[str, Future[None]] = {}  # of requests whose tiles are still needed here
        self._answers: dict[str, Future[Generation]] = {}  # of those that nobody has come for
        self._broken: ReplicaLost | None = None
        self._tokens = 0
        self._alive_at = time.monotonic()
        self._engine, self._start_seconds = "", 0.0
        self._serving: Engine | None = None
        self._phases: Mapping[str, float] = {}

    async def ignore_sigterm(self) -> None:
        """Stay when SIGTERM comes, for the pages that the lane wants to finish."""
        ignore_sigterm()

    async def load(self) -> ModelFacts:
        """Load the checkpoint and start the engine. Raises UsageError for a model that cannot be used."""
        facts, engine = await asyncio.to_thread(self._load)
        self._serving = engine
        gc.freeze()  # what is there stays: to look for garbage in it holds all pages up for 0.2 s
        threading.Thread(target=self._serve, args=(engine,), name="engine", daemon=True).start()
        return facts

    async def take(self, request: Request) -> None:
        """Have a request answered; ends when its tiles are needed no more, and their memory is free again.

        That is when they are on the device; where this has no memory of its own, when the answer is there.
        Raises ReplicaLost when the engine breaks before that.
        """
        if self._broken is not None:
            raise self._broken
        id, let_go = request.id, Future[None]()
        self._let_go[id], self._answers[id] = let_go, Future()
        self._arrivals.put(request)
        del request  # with its tiles
        if self._broken is not None:  # it broke after the first look, so nobody takes arrivals any more
            raise self._broken
        await asyncio.wrap_future(let_go)

    async def answer(self, id: str) -> Generation:
        """The answer to a request that was taken, once. Raises ReplicaLost when it was not taken here, or the
        engine breaks.
        """
        return await answered(self._answers, id)

    async def health(self) -> Health:
        if self._broken is not None:
            raise self._broken
        busy = bool(self._waiting)
        still = time.monotonic() - self._alive_at if busy else 0.0
        return Health(
            len(self._waiting),
            still,
            self._tokens,
            peak_bytes(),
            self._engine,
            self._start_seconds,
            *((0.0, 0.0) if self._serving is None else self._serving.load),
            0 if self._serving is None else self._serving.backend.cache.slots,
            self._phases,
        )

    def _load(self) -> tuple[ModelFacts, Engine]:
        began = time.monotonic()
        from pipeline import vintern
        from pipeline.vintern.engine import Engine
        from pipeline.vintern.facts import model_facts

        try:
            model = vintern.load(
                self._model,
                dtype=self._settings.computed_in,
                device=self._settings.device,
                context_length=self._settings.context_length,
            )
        except RuntimeError as error:  # of torch: a device that is not there, or too small
            raise UsageError(
                f"the model {self._model!r} cannot be loaded on {self._settings.device}: {error}"
            ) from error
        engine = Engine(model, self._settings)
        spec = schema_of(self._schema)
        rules = grammar.of(spec, model.config.answer_form)
        if rules is not None:
            engine.learn(rules)
        self._engine, self._start_seconds = engine.backend.about, time.monotonic() - began
        return model_facts(engine, spec), engine

    def _serve(self, engine: Engine) -> None:
        """The engine's thread: take what fits, step, answer; for ever."""
        counted_at = 0.0
        try:
            while True:
                self._admit(engine)
                for generation in engine.step():
                    self._tokens += len(generation.spans)
                    self._waiting.pop(generation.request_id).set_result(generation)
                    self._release(generation.request_id)
                self._alive_at = time.monotonic()
                # Here, because the engine is not for several threads.
                if not self._waiting or self._alive_at - counted_at > _COUNT_SECONDS:
                    self._phases, counted_at = _phases(engine), self._alive_at
        except Exception as error:
            self._broken = ReplicaLost(
                Reason.worker_lost, f"the engine broke: {type(error).__name__}: {error}"
            )
            futures: list[Future[Any]] = [*self._let_go.values(), *self._answers.values()]
            for future in futures:
                if not future.done():
                    future.set_exception(self._broken)
            raise

    def _admit(self, engine: Engine) -> None:
        """Hand over arrivals while the engine has room; wait for one when it has nothing to do."""
        while engine.room > 0:
            try:
                request = self._arrivals.get(block=not engine.in_flight, timeout=_IDLE_SECONDS)
            except queue.Empty:
                return
            if not self._waiting:
                self._alive_at = time.monotonic()
            self._waiting[request.id] = self._answers[request.id]
            engine.submit(request)
            if engine.backend.own_memory:
                self._release(request.id)
            del request  # with its tiles

    def _release(self, id: str) -> None:
        """The tiles of this request are needed no more."""
        let_go = self._let_go.pop(id, None)
        if let_go is not None:
            let_go.set_result(None)


async def answered(answers: dict[str, Future[Generation]], id: str) -> Generation:
    """The one of these by this name, once it is there; then it is none of them any more. Raises ReplicaLost
    when it never was, and what answering raised.
    """
    answer = answers.get(id)
    if answer is None:
        raise ReplicaLost(Reason.worker_lost, "the replica that took the page is gone")
    try:
        return await asyncio.wrap_future(answer)
    finally:
        answers.pop(id, None)


def _phases(engine: Engine) -> dict[str, float]:
    stats = engine.stats
    return {
        "vision": stats.vision_seconds,
        "prefill": stats.prefill_seconds,
        "decode": stats.decode_seconds,
    }


def _import_engine(settings: EngineSettings) -> None:
    """With torch, which reads these variables when it is imported."""
    # Threads that wait must sleep: the readers beside want the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if settings.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    import pipeline.vintern.engine  # noqa: F401
