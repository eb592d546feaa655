"""Calls that come while others are under way go together, and each gets its own answer."""

from __future__ import annotations

import asyncio

import pytest

from workers.grouping import Grouped


def test_a_call_alone_goes_at_once_and_those_behind_it_go_together() -> None:
    groups: list[list[int]] = []

    async def doubled(some: list[int]) -> list[int | Exception]:
        groups.append(some)
        await asyncio.sleep(0)
        return [ValueError(str(one)) if one == 3 else 2 * one for one in some]

    async def use() -> list[int | BaseException]:
        grouped = Grouped(doubled, pause=0.02, most=4)
        calls = [asyncio.create_task(grouped.call(one)) for one in range(8)]
        await asyncio.sleep(0)
        calls[2].cancel()
        return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(use())
    assert [one for group in groups for one in group] == [0, 1, 3, 4, 5, 6, 7]
    assert max(map(len, groups)) <= 4 and len(groups) <= 3
    assert isinstance(found[2], asyncio.CancelledError) and isinstance(found[3], ValueError)
    assert [one for number, one in enumerate(found) if number not in (2, 3)] == [0, 2, 8, 10, 12, 14]


def test_what_fails_a_whole_group_is_told_to_each_and_the_next_group_goes_on() -> None:
    tries = 0

    async def once_away(some: list[int]) -> list[int]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("away")
        return some

    async def use() -> list[int | BaseException]:
        grouped = Grouped(once_away, pause=0.0, most=64)
        first = await asyncio.gather(*(grouped.call(one) for one in (1, 2)), return_exceptions=True)
        return [*first, await grouped.call(3)]

    first, second, third = asyncio.run(use())
    assert isinstance(first, OSError) and isinstance(second, OSError) and third == 3


def test_nobody_waits_when_nobody_asks() -> None:
    async def never(some: list[int]) -> list[int]:
        pytest.fail("nothing was asked")

    async def use() -> None:
        grouped = Grouped(never, pause=0.0, most=2)
        call = asyncio.create_task(grouped.call(1))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.sleep(0.01)

    asyncio.run(use())
