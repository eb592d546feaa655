"""A replica that is replaced computes as the one before, or its lane ends: keys name the first one's bits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import ray

from pipeline.keys import ModelFacts
from pipeline.settings import load
from tests.workers.conftest import FACTS
from workers.lane import LaneBroken, LaneJob
from workers.replica_handle import ReplicaHandle


class Method:
    """A method of an actor handle."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    async def remote(self) -> object:
        return self._answer


class Actor:
    """The handle of a replica with these facts."""

    def __init__(self, facts: ModelFacts) -> None:
        self.ignore_sigterm, self.load = Method(None), Method(facts)


@pytest.mark.parametrize("numerics", [FACTS.numerics, "cpu bfloat16 AVX512 torch"])
def test_a_replica_that_comes_back_with_other_numerics_ends_its_lane(
    monkeypatch: pytest.MonkeyPatch, numerics: str
) -> None:
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    actors: Iterator[Any] = iter([Actor(FACTS), Actor(replace(FACTS, numerics=numerics))])

    monkeypatch.setattr("workers.replica_handle.start_replica", lambda _: next(actors))
    job = LaneJob("job", "", "", "", FACTS.checkpoint_hash, 0, load())

    async def replaced() -> ModelFacts:
        replica = ReplicaHandle(job)
        assert await replica.facts() == FACTS
        async with replica.alive() as actor:
            replica.replace(actor, "it died")
        return await replica.facts()

    if numerics == FACTS.numerics:
        assert asyncio.run(replaced()) == FACTS
    else:
        with pytest.raises(LaneBroken, match="bfloat16"):
            asyncio.run(replaced())
