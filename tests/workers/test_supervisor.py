"""An actor that dies is replaced, a bounded number of times without progress; Ray's errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError, ObjectLostError, OutOfMemoryError, RayError, RayTaskError

from pipeline.errors import Permanent, Reason, Transient, VinbatchError
from workers.supervisor import Actor, CannotStart, Supervisor


class Lost(Transient):
    pass


class Kept(Supervisor):
    """Its actors are numbers; `prepare` raises what is given for them."""

    def __init__(self, *troubles: Exception | None, budget: int = 3, progress: bool = True) -> None:
        self.started: list[int] = []
        self.prepared: asyncio.Event | None = None  # waited for by each start
        self.preparing = 0
        self._troubles = troubles
        self._progress = progress
        super().__init__("thing", self._next, Lost, budget)

    def _next(self) -> int:
        self.started.append(len(self.started))
        return self.started[-1]

    async def prepare(self, actor: Actor) -> None:
        self.preparing += 1
        if self.prepared is not None:
            await self.prepared.wait()
        trouble = self._troubles[actor] if actor < len(self._troubles) else None
        if trouble is not None:
            raise trouble
        if self._progress:
            self.progressed()


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before starts, in whole seconds, which take no time; nothing is killed."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        slept.append(max(0, round(seconds)))
        await sleep(0)

    monkeypatch.setattr("workers.supervisor.asyncio.sleep", noted)
    monkeypatch.setattr(ray, "kill", lambda actor: None)
    return slept


def died() -> RayError:
    return ActorDiedError()


def within(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 10))


def test_pauses_grow_with_the_deaths_and_starts_end_with_the_budget(pauses: list[float]) -> None:
    async def test() -> None:
        thing = Kept(*(died() for _ in range(9)), budget=4)
        with pytest.raises(CannotStart, match="the thing could not be started 4 times: the thing died"):
            async with thing.alive():
                pass
        assert thing.started == [0, 1, 2, 3] and pauses == [1, 3, 7] and thing.deaths == 4

    within(test)


def test_progress_resets_the_budget_and_the_pause(pauses: list[float]) -> None:
    async def test() -> None:
        thing = Kept(budget=2)
        for number in range(6):
            with pytest.raises(Lost):
                async with thing.alive() as actor:
                    assert actor == number
                    raise died()
        assert thing.deaths == 6 and set(pauses) == {0}

    within(test)


def test_without_progress_even_an_actor_that_starts_uses_up_the_budget() -> None:
    async def test() -> None:
        thing = Kept(budget=2, progress=False)
        for _ in range(2):
            with pytest.raises(Lost):
                async with thing.alive():
                    raise died()
        assert thing.exhausted
        with pytest.raises(CannotStart):
            async with thing.alive():
                pass

    within(test)


def test_callers_share_one_start_and_one_replacement() -> None:
    async def test() -> None:
        thing, alive = Kept(), asyncio.Event()

        async def call() -> None:
            async with thing.alive():
                await alive.wait()
                raise died()

        prepared = asyncio.Event()
        thing.prepared = prepared
        calls = [asyncio.create_task(call()) for _ in range(5)]
        while not thing.preparing:
            await asyncio.sleep(0)
        calls[0].cancel()  # who came first does not take the start of the others with it
        await asyncio.wait(calls[:1])
        prepared.set()
        alive.set()
        ended = await asyncio.gather(*calls[1:], return_exceptions=True)
        assert [type(error) for error in ended] == [Lost] * 4
        assert thing.deaths == thing.preparing == 1
        assert thing.started == [0]  # the next starts when it is needed

    within(test)


def task_error(cause: Exception) -> RayError:
    """As Ray raises what an actor's method raised."""
    return RayTaskError("method", "its traceback", cause).as_instanceof_cause()  # type: ignore[no-any-return, no-untyped-call]


@pytest.mark.parametrize(
    ("raised", "expected", "replaced"),
    [
        (died(), Lost(Reason.worker_lost, "the thing died"), True),
        (
            OutOfMemoryError("m"),  # type: ignore[no-untyped-call]
            Lost(Reason.out_of_memory, "the thing was killed for want of memory"),
            True,
        ),
        (
            ObjectLostError("ab", None, ""),
            Lost(Reason.worker_lost, "an object that the thing made or needs is gone"),
            False,
        ),
        (task_error(Lost(Reason.worker_lost, "broken")), Lost(Reason.worker_lost, "broken"), True),
        (
            task_error(Permanent(Reason.pdf_damaged, "odd")),
            Permanent(Reason.pdf_damaged, "odd"),
            False,
        ),
    ],
)
def test_rays_errors_are_ours(raised: Exception, expected: VinbatchError, replaced: bool) -> None:
    async def test() -> None:
        thing = Kept()
        with pytest.raises(type(expected)) as caught:
            async with thing.alive():
                raise raised
        assert (str(caught.value), vars(caught.value)) == (str(expected), vars(expected))
        assert thing.deaths == replaced

    within(test)


def test_what_the_actors_own_code_raises_is_no_death() -> None:
    async def test() -> None:
        thing = Kept()
        for error in (KeyError("nobody foresaw this"), TimeoutError("its own")):
            with pytest.raises(type(error)):
                async with thing.alive(limit=60):
                    raise task_error(error)
        assert thing.deaths == 0

    within(test)


def test_an_actor_that_does_not_answer_in_time_is_replaced() -> None:
    async def test() -> None:
        thing = Kept()
        with pytest.raises(Lost, match=r"the thing did not answer for 0.01 s"):
            async with thing.alive(limit=0.01):
                await asyncio.Event().wait()
        assert thing.deaths == 1

    within(test)
