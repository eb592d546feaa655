"""A call waits for a store that is away, as long as it may, and says so once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from pipeline.errors import Permanent, Reason, Transient
from pipeline.settings import LogSettings
from workers import logs
from workers.patience import Patience, StoreAway

PAUSES = (0.001, 0.002)


class Moody:
    """Answers after so many refusals."""

    def __init__(self, refusals: int) -> None:
        self.left = refusals

    def double(self, number: int, *, more: int = 0) -> int:
        if self.left:
            self.left -= 1
            raise Transient(Reason.ledger_busy, f"{self.left} more")
        return 2 * number + more


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logs.LineHandler(lambda line: lines.append(line.partition(" [")[0][20:]), "plain")
    with logs.handled(handler, LogSettings()):
        yield lines


@pytest.mark.parametrize("in_loop", [False, True])
def test_it_asks_until_there_is_an_answer(in_loop: bool, logged: list[str]) -> None:
    patience, store = Patience(lambda: 60.0, pauses=PAUSES), Moody(3)
    if in_loop:
        assert asyncio.run(patience.call_async(store.double, 4, more=1)) == 9
    else:
        assert patience.call(store.double, 4, more=1) == 9
    assert patience.trouble is None
    assert logged == ["warning: the store is away: 2 more", "info: the store is back"]


@pytest.mark.parametrize("in_loop", [False, True])
def test_it_gives_up_after_its_time_and_lets_other_errors_pass(in_loop: bool) -> None:
    patience = Patience(lambda: 0.05, pauses=PAUSES)

    def ask(store: Moody) -> int:
        if in_loop:
            return asyncio.run(patience.call_async(store.double, 1))
        return patience.call(store.double, 1)

    with pytest.raises(StoreAway, match=r"the store did not answer for 0.05 s: \d+ more"):
        ask(Moody(10**9))

    def broken(_number: int) -> int:
        raise Permanent(Reason.internal_error, "wrong")

    store = Moody(0)
    store.double = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(Permanent, match="wrong"):
        ask(store)


def test_calls_that_wait_side_by_side_are_one_absence(logged: list[str]) -> None:
    async def both() -> None:
        patience = Patience(lambda: 60.0, pauses=PAUSES)
        calls = [asyncio.create_task(patience.call_async(Moody(n).double, 1)) for n in (40, 20)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert patience.trouble is not None
        await asyncio.gather(*calls)
        assert patience.trouble is None

    asyncio.run(both())
    assert [line for line in logged if "back" in line] == ["info: the store is back"]


def test_waiting_can_be_interrupted() -> None:
    left = threading.Event()
    patience = Patience(lambda: 60.0, pauses=(30.0, 30.0), interrupt=left)
    threading.Timer(0.05, left.set).start()
    with pytest.raises(StoreAway):
        patience.call(Moody(10).double, 1)
