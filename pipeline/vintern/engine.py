"""The engine (interface; the inside follows)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import VinbatchError
from pipeline.records import Generation, Request
from pipeline.settings import EngineSettings

if TYPE_CHECKING:
    from pipeline.vintern import Vintern


class EngineFull(VinbatchError):
    """The queue is full: call `step` until `room` is positive, then submit again."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What the engine has done since it was made. Times are wall seconds of `step`."""

    requests: int = 0  # answered
    failed: int = 0  # of them, with finish "error"
    retried: int = 0  # tried a second time after a loop
    tiles: int = 0  # through the vision tower
    prompt_tokens: int = 0  # prefilled, forced beginnings included
    decoded_tokens: int = 0  # chosen by the model
    forced_tokens: int = 0  # appended because the grammar left no choice
    steps: int = 0  # decode steps
    vision_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    start_seconds: float = 0.0  # to allot the cache, compile and warm


class Engine:
    """Answers requests with one model, many at a time."""

    def __init__(self, model: Vintern, settings: EngineSettings) -> None:
        raise NotImplementedError

    @property
    def in_flight(self) -> int:
        """Requests accepted and not yet answered."""
        raise NotImplementedError

    @property
    def room(self) -> int:
        """How many more requests `submit` takes before it raises EngineFull."""
        raise NotImplementedError

    @property
    def stats(self) -> EngineStats:
        raise NotImplementedError

    def submit(self, request: Request) -> None:
        """Queue a request. A bad one is answered by the next `step` with finish "error"; only EngineFull is raised."""
        raise NotImplementedError

    def step(self) -> list[Generation]:
        """Do the next piece of work; returns the requests that it finished (often none). Idle: returns []."""
        raise NotImplementedError

    def generate(self, requests: Iterable[Request]) -> Iterator[Generation]:
        """Answer all requests, each exactly once, in the order in which they finish. Reads `requests` as room permits."""
        raise NotImplementedError
