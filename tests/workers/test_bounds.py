"""What a lane may hold, and who runs beside whom."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import Reason
from pipeline.records import Failure
from workers.bounds import Brake, Company, Room
from workers.lane import SourceRefuses


@settings(max_examples=60)
@given(
    limit=st.integers(1, 20),
    amounts=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    cancelled=st.sets(st.integers(0, 11)),
)
def test_room_never_holds_more_than_its_limit_and_lets_everybody_in(
    limit: int, amounts: list[int], cancelled: set[int]
) -> None:
    async def use() -> None:
        room, inside = Room(limit), []

        async def visit(number: int, amount: int) -> None:
            await room.take(amount)
            inside.append(amount)
            assert sum(inside) <= limit or len(inside) == 1
            await asyncio.sleep(0)
            inside.remove(amount)
            room.give(amount)

        tasks = [asyncio.create_task(visit(number, amount)) for number, amount in enumerate(amounts)]
        await asyncio.sleep(0)
        for number in cancelled & set(range(len(tasks))):
            if tasks[number].done() or amounts[number] in inside:
                continue  # inside: it leaves by itself
            tasks[number].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert room.used == 0
        assert room.peak <= max(limit, *amounts)

    asyncio.run(use())


def test_a_large_one_is_not_overtaken_for_ever() -> None:
    async def use() -> list[str]:
        room, order = Room(10), []

        async def visit(name: str, amount: int) -> None:
            async with room.held(amount):
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(visit("first", 6), visit("large", 10), visit("small", 1), visit("small", 1))
        return order

    assert asyncio.run(use()) == ["first", "large", "small", "small"]


def test_a_suspect_runs_alone() -> None:
    async def use() -> None:
        company, running = Company(), []

        async def together(name: str) -> None:
            async with company.together():
                running.append(name)
                assert "suspect" not in running
                await asyncio.sleep(0.001)
                running.remove(name)

        async def alone() -> None:
            async with company.alone():
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
        company = Company()

        async def alone() -> None:
            async with company.alone():
                pytest.fail("it was cancelled before")

        async with company.together():
            waiting = asyncio.create_task(alone())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        async with asyncio.timeout(60), company.together():
            pass

    asyncio.run(use())


def test_the_brake_counts_refusals_with_nothing_fetched_between() -> None:
    brake = Brake(3)
    denied, damaged = Failure(Reason.access_denied, "403"), Failure(Reason.pdf_damaged, "broken")
    for why in (denied, damaged, denied):
        brake.failed(why)  # what is wrong with one file is neither a refusal nor a success
    brake.fetched()
    for why in (denied, denied, damaged):
        brake.failed(why)
    with pytest.raises(SourceRefuses, match=r"3 documents in a row were refused .*the last: 403"):
        brake.failed(denied)
