"""One request to a teacher: where it goes, its pace, its tries, and what it costs.

What passes (429, 5xx, a broken connection) is tried again, more and more slowly. What is wrong with a key, a
model's name or an address ends the whole run, in one line that never holds the key.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from pipeline.errors import Unavailable, UsageError, VinbatchError
from pipeline.printable import printable
from pipeline.remote.address import Address
from pipeline.remote.client import LONGEST, MOOD, complaint, retry_after
from pipeline.teacher.protocols import SHAPES, Decoding, NotUnderstood, OpenAI, Reply

_LONGEST_PAUSE = 300.0  # seconds, whatever a server asks for
_MOST_IN = 4_000  # tokens of a page and its question, until a server has told how many they are


class Refused(VinbatchError):
    """The teacher will not answer this request, whoever asks again."""


class TryLater(VinbatchError):
    """The teacher did not answer, after all tries; another run may ask again. `unsettled`: as in `Answer`."""

    def __init__(self, message: str, unsettled: int = 0) -> None:
        super().__init__(message)
        self.unsettled = unsettled


@dataclass(frozen=True, slots=True)
class Answer:
    """`unsettled` tries were sent whole and broke off: nobody knows whether they cost something."""

    reply: Reply
    unsettled: int = 0


@dataclass(frozen=True, slots=True)
class Teacher:
    """Who is asked. `url` is what the paths of the protocol stand below."""

    url: str
    model: str
    protocol: str = "openai"
    key: str | None = field(default=None, repr=False)
    key_name: str = ""  # of the environment's variable

    def check(self) -> None:
        """Raises UsageError for an address, a key or a protocol that cannot be used."""
        self.address.check()
        if self.protocol not in SHAPES:
            raise UsageError(f"no protocol {self.protocol!r}: there are {', '.join(SHAPES)}")

    @property
    def address(self) -> Address:
        return Address(self.url, self.key, self.key_name, "the teacher's")

    @property
    def host(self) -> str:
        return self.address.host

    @property
    def is_here(self) -> bool:
        """Whether it is a server of this machine: nothing leaves it then."""
        return self.address.is_here


@dataclass(slots=True)
class Purse:
    """What requests cost, and how much they may. Prices are for a million tokens, in the user's money."""

    limit: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    spent: float = 0.0  # with the most of those that are under way
    tokens_in: int = 0  # of the largest request so far

    def most(self, decoding: Decoding) -> float:
        """What a request may cost at most."""
        return self.price(max(self.tokens_in, 0) or _MOST_IN, decoding.max_tokens)

    def price(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def take(self, cost: float) -> bool:
        """Whether there is so much left; it is spent then."""
        if self.limit is not None and self.spent + cost > self.limit:
            return False
        self.spent += cost
        return True

    def settle(self, taken: float, reply: Reply | None, unsettled: int = 0) -> float:
        """What was taken becomes what it cost, which is returned: nothing without a reply, the most for each
        try of which nobody knows.
        """
        cost = unsettled * taken
        if reply is not None:
            self.tokens_in = max(self.tokens_in, reply.tokens_in or 0)
            unknown = reply.tokens_in is None or reply.tokens_out is None
            cost += taken if unknown else self.price(reply.tokens_in or 0, reply.tokens_out or 0)
        self.spent += cost - taken
        return cost


class Pace:
    """No more than so many requests a minute, evenly spaced; None: as many as come."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 0.0 if per_minute is None else 60.0 / per_minute
        self._next = 0.0

    def turn(self) -> float:
        """How many seconds the next request is to wait before it is sent."""
        now = time.monotonic()
        begin = max(self._next, now)
        self._next = begin + self._gap
        return begin - now

    def hold(self, seconds: float) -> None:
        """Nobody sends anything for so long."""
        self._next = max(self._next, time.monotonic() + seconds)


class Asking:
    """Requests to one teacher, several at a time."""

    def __init__(
        self,
        teacher: Teacher,
        decoding: Decoding,
        *,
        per_minute: float | None = None,
        tries: int = 6,
        seconds: float = 300.0,
        first_pause: float = 1.0,
    ) -> None:
        """`seconds` is how long one request may take, `first_pause` the wait before its second try."""
        teacher.check()
        self.teacher, self.decoding = teacher, decoding
        self._shape = SHAPES[teacher.protocol]()
        self._pace = Pace(per_minute)
        self._tries, self._first_pause = tries, first_pause
        self._url = teacher.address.below(self._shape.path(teacher.model))
        self._hurry = asyncio.Event()
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(seconds, connect=30.0),
            headers=self._shape.headers(teacher.key),
            trust_env=not teacher.is_here,  # a proxy of the environment is another machine
        )

    def hurry(self) -> None:
        """From now on nothing is tried again: what is under way ends, well or not."""
        self._hurry.set()

    async def ask(self, question: str, picture: bytes) -> Answer:
        """Raises Refused and TryLater about this request, UsageError and Unavailable about all of them."""
        pause = self._first_pause
        problem, unsettled, tries = "", 0, 0
        while tries < self._tries:
            if problem:
                await self._wait(min(_LONGEST_PAUSE, pause * random.uniform(0.75, 1.25)))
                pause *= 2
            await self._wait(self._pace.turn())
            if self._hurry.is_set():
                break
            tries += 1
            try:
                status, headers, body = await self._post(question, picture)
            except httpx.RequestError as error:
                # Where no connection was made nothing was sent.
                unsettled += not isinstance(
                    error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
                )
                problem = f"{type(error).__name__}: {printable(error) or 'no answer'}"
                continue
            if status == 200:
                return Answer(self._read(body), unsettled)
            problem = f"HTTP {status}: {complaint(body)}"
            if status in MOOD or status >= 500:
                waits = retry_after(headers.get("retry-after"))
                if waits is not None:
                    self._pace.hold(min(_LONGEST_PAUSE, waits))
                continue
            if not self._other_word(status, problem):
                raise self._why(status, problem)
        last = f", the last: {problem}" if problem else ""
        raise TryLater(f"no answer of {self.teacher.host} in {tries} tries{last}", unsettled)

    async def _wait(self, seconds: float) -> None:
        """So long, or until there is hurry."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), seconds)

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, question: str, picture: bytes) -> tuple[int, Any, bytes]:
        body = self._shape.body(self.teacher.model, question, picture, self.decoding)
        async with self._client.stream("POST", self._url, json=body) as response:
            found = bytearray()
            async for some in response.aiter_bytes():
                found += some
                if len(found) > LONGEST:
                    raise Unavailable(
                        f"{self.teacher.host} answers with over {LONGEST >> 20} MiB: is it a teacher?"
                    )
            return response.status_code, response.headers, bytes(found)

    def _read(self, body: bytes) -> Reply:
        try:
            return self._shape.reply(json.loads(body))
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            why = str(error) if isinstance(error, NotUnderstood) else "it is not of the protocol's shape"
            raise UsageError(
                f"the answer of {self._url} is not understood: {why}; it was asked by the protocol "
                f"{self.teacher.protocol}, others are {', '.join(set(SHAPES) - {self.teacher.protocol})}"
            ) from None

    def _other_word(self, status: int, problem: str) -> bool:
        """Newer models of OpenAI want the limit under another name, and say so."""
        new = "max_completion_tokens"
        if status == 400 and isinstance(self._shape, OpenAI) and new in problem and self._shape.limit != new:
            self._shape.limit = new
            return True
        return False

    def _why(self, status: int, problem: str) -> VinbatchError:
        where = self.teacher.key_name
        bad_key = status in (401, 403) or (status == 400 and "api key" in problem.casefold())
        if bad_key and self.teacher.key is None:
            return UsageError(f"{self.teacher.host} wants a key ({problem}): put it into {where}")
        if bad_key:
            return UsageError(f"{self.teacher.host} does not take the key in {where} ({problem})")
        if status == 404:
            return UsageError(
                f"{self._url} is not there ({problem}): look at the teacher's URL, and at --teacher-model"
            )
        if status == 402:
            return Unavailable(f"{self.teacher.host} has no more credit ({problem})")
        if status in (400, 413, 415, 422):
            return Refused(problem)
        return Unavailable(f"{self.teacher.host} does not answer as a teacher would ({problem})")
