"""What a lane may hold, and who runs beside whom."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reason
from pipeline.records import Failure
from workers.flow_control import Budget, CircuitBreaker, IsolationLock
from workers.lane import SourceRefuses


@settings(max_examples=60)
@given(
    limit=st.integers(1, 20),
    amounts=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    cancelled=st.sets(st.integers(0, 11)),
)
def test_a_budget_never_holds_more_than_its_limit_and_lets_everybody_in(
    limit: int, amounts: list[int], cancelled: set[int]
) -> None:
    async def use() -> None:
        budget, inside = Budget(limit), []

        async def visit(number: int, amount: int) -> None:
            await budget.acquire(amount)
            inside.append(amount)
            assert sum(inside) <= limit or len(inside) == 1
            await asyncio.sleep(0)
            inside.remove(amount)
            budget.release(amount)

        tasks = [asyncio.create_task(visit(number, amount)) for number, amount in enumerate(amounts)]
        await asyncio.sleep(0)
        for number in cancelled & set(range(len(tasks))):
            if tasks[number].done() or amounts[number] in inside:
                continue  # inside: it leaves by itself
            tasks[number].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert budget.used == 0
        assert budget.peak <= max(limit, *amounts)

    asyncio.run(use())


def test_a_large_one_is_not_overtaken_for_ever() -> None:
    async def use() -> list[str]:
        budget, order = Budget(10), []

        async def visit(name: str, amount: int) -> None:
            async with budget.reserved(amount):
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(visit("first", 6), visit("large", 10), visit("small", 1), visit("small", 1))
        return order

    assert asyncio.run(use()) == ["first", "large", "small", "small"]


def test_a_suspect_runs_alone() -> None:
    async def use() -> None:
        lock, running = IsolationLock(), []

        async def together(name: str) -> None:
            async with lock.shared():
                running.append(name)
                assert "suspect" not in running
                await asyncio.sleep(0.001)
                running.remove(name)

        async def alone() -> None:
            async with lock.exclusive():
                assert running == []
                running.append("suspect")
                await asyncio.sleep(0.001)
                running.remove("suspect")

        await asyncio.wait_for(
            asyncio.gather(
                *(together(str(n)) for n in range(5)), alone(), *(together(str(n)) for n in range(5)), alone()
            ),
            60,
        )

    asyncio.run(use())


def test_a_suspect_that_is_cancelled_while_it_waits_blocks_nobody() -> None:
    async def use() -> None:
        lock = IsolationLock()

        async def alone() -> None:
            async with lock.exclusive():
                pytest.fail("it was cancelled before")

        async with lock.shared():
            waiting = asyncio.create_task(alone())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        async with asyncio.timeout(60), lock.shared():
            pass

    asyncio.run(use())


def test_the_circuit_breaker_counts_refusals_with_nothing_fetched_between() -> None:
    breaker = CircuitBreaker(3)
    denied, damaged = Failure(Reason.access_denied, "403"), Failure(Reason.pdf_damaged, "broken")
    for why in (denied, damaged, denied):
        breaker.failed(why)  # what is wrong with one file is neither a refusal nor a success
    breaker.fetched()
    for why in (denied, denied, damaged):
        breaker.failed(why)
    with pytest.raises(SourceRefuses, match=r"3 documents in a row were refused .*the last: 403"):
        breaker.failed(denied)
