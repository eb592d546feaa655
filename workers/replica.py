"""The actor that holds the model: requests in, generations out, each exactly once."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import grammar
from pipeline.errors import Reason, ReplicaLost, UsageError
from pipeline.keys import ModelFacts
from pipeline.records import Generation, Request
from pipeline.settings import EngineSettings
from workers.lane import peak_bytes, schema_of
from workers.sigterm import ignore_sigterm

if TYPE_CHECKING:
    from pipeline.vintern.engine import Engine

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
        self._arrivals: queue.SimpleQueue[tuple[Request, Future[Generation]]] = queue.SimpleQueue()
        self._waiting: dict[str, Future[Generation]] = {}
        self._broken: ReplicaLost | None = None
        self._tokens = 0
        self._alive_at = time.monotonic()
        self._engine, self._start_seconds = "", 0.0
        self._serving: Engine | None = None

    async def ignore_sigterm(self) -> None:
        """Stay when SIGTERM comes, for the pages that the lane wants to finish."""
        ignore_sigterm()

    async def load(self) -> ModelFacts:
        """Load the checkpoint and start the engine. Raises UsageError for a model that cannot be used."""
        facts, engine = await asyncio.to_thread(self._load)
        self._serving = engine
        threading.Thread(target=self._serve, args=(engine,), name="engine", daemon=True).start()
        return facts

    async def generate(self, request: Request) -> Generation:
        """The answer to one request. Raises ReplicaLost when the engine breaks before it is finished."""
        if self._broken is not None:
            raise self._broken
        answer: Future[Generation] = Future()
        self._arrivals.put((request, answer))
        if self._broken is not None:  # it broke after the first look, so nobody takes arrivals any more
            raise self._broken
        return await asyncio.wrap_future(answer)

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
        )

    def _load(self) -> tuple[ModelFacts, Engine]:
        began = time.monotonic()
        from pipeline import vintern
        from pipeline.vintern.engine import Engine
        from pipeline.vintern.facts import model_facts

        try:
            model = vintern.load(
                self._model,
                dtype=self._settings.dtype,
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
        try:
            while True:
                self._admit(engine)
                for generation in engine.step():
                    self._tokens += len(generation.spans)
                    self._waiting.pop(generation.request_id).set_result(generation)
                self._alive_at = time.monotonic()
        except Exception as error:
            self._broken = ReplicaLost(
                Reason.worker_lost, f"the engine broke: {type(error).__name__}: {error}"
            )
            for answer in self._waiting.values():
                answer.set_exception(self._broken)
            while not self._arrivals.empty():
                self._arrivals.get()[1].set_exception(self._broken)
            raise

    def _admit(self, engine: Engine) -> None:
        """Hand over arrivals while the engine has room; wait for one when it has nothing to do."""
        while engine.room > 0:
            try:
                request, answer = self._arrivals.get(block=not engine.in_flight, timeout=_IDLE_SECONDS)
            except queue.Empty:
                return
            if not self._waiting:
                self._alive_at = time.monotonic()
            self._waiting[request.id] = answer
            engine.submit(request)


def _import_engine(settings: EngineSettings) -> None:
    """With torch, which reads these variables when it is imported."""
    # Threads that wait must sleep: the readers beside want the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if settings.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    import pipeline.vintern.engine  # noqa: F401
