"""Pages asked of a server until they are answered.

What passes (a refused connection, 429, 5xx, silence) is the server's mood: it is waited for, more and more
patiently, until nothing at all has been answered for so long as the caller has patience. What is wrong with
a key, a model's name or an address ends the run, in one line that never holds the key. What the server
refuses of one page is that page's failure. So is a page on which it breaks again and again while it answers
others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.errors import Reason, Unavailable, UsageError, VinbatchError
from pipeline.keys import ModelFacts
from pipeline.printable import printable
from pipeline.records import Generation, Request
from pipeline.remote import question, reply
from pipeline.remote.client import Client, NoReply, Reply
from pipeline.remote.facts import KEY, ServedModel
from pipeline.settings import ServerSettings

_CHAT, _MODELS = "/chat/completions", "/models"
_OF_A_PAGE = (400, 413, 415, 422)  # statuses by which a server refuses one request
_BREAKS = 4  # of a server on one page, between which it answered others: then it is the page
_PAUSES = (0.5, 30.0)  # seconds between two tries: the first, the longest
_LONGEST_WAIT = 300.0  # seconds, whatever a server asks for
_TOLD_SECONDS = 5.0  # that it may be away before a person is told
_MOST_REFUSED = 100  # pages in a row: a million of them may be refused for one wrong setting
_GREETING_TOKENS = 16
_NAMED = 5  # models of a server that has not the one asked for


class Server:
    """Answers requests with a model behind a URL. For any number of threads."""

    def __init__(
        self,
        model: ServedModel,
        settings: ServerSettings,
        key: str | None,
        *,
        patience: float,
        notify: Callable[[str], None],
        interrupt: threading.Event | None = None,
    ) -> None:
        """`patience` is how long the server may be away, in seconds; `notify` is told when it is, and when it
        is back; `interrupt` ends all waiting. Raises UsageError for a key that is none.
        """
        self.model, self.settings, self._key = model, settings, key
        address = model.address(key)
        address.check()
        self._host = address.host
        self._client = Client(address, seconds=settings.seconds, connections=settings.requests)
        self._patience, self._notify = patience, notify
        self._interrupt = interrupt or threading.Event()
        self._lock, self._probing = threading.Lock(), threading.Lock()
        self._dialect = question.Dialect()
        self._well_at = time.monotonic()  # when it last answered
        self._away_since: float | None = None
        self._hold_until = 0.0  # by its own word
        self._said_away = self._greeted = False
        self._refused = 0  # pages in a row
        self._probed_at = 0.0
        self.trouble: str | None = None  # why there is no answer, while it is away
        self._greeting: Request | None = None

    def greet(self, asked: str, grammar: str | None) -> ModelFacts:
        """Ask about a blank page what all pages will be asked, and so learn what the server takes.

        Raises UsageError where nothing can work as asked, and Unavailable where the server stays away.
        """
        tile = np.full((1, question.SIDE, question.SIDE, 3), 255, dtype=np.uint8)
        self._greeting = Request("greeting", tile, asked, grammar, _GREETING_TOKENS)
        pause = _PAUSES[0]
        while True:
            found = self._tried(self._greeting)
            if isinstance(found, Reply) and not found.passing:
                said = self._understood(self._greeting, found)
                if said is None:
                    continue  # it is asked in other words
                return self._learned(said)
            pause = self._wait_for(found, pause)

    @property
    def tells_confidence(self) -> bool:
        return self._dialect.logprobs

    def answer(self, request: Request, ready: Callable[[], None] = lambda: None) -> Generation:
        """The answer, however long the server is away; one that ends in "error" where it has none.

        `ready` is called when the tiles are needed no more. Raises UsageError and Unavailable as `greet`.
        """
        body = self._body(request)
        ready()
        breaks, pause = 0, _PAUSES[0]
        while True:
            began = time.monotonic()
            found = self._answer_in(self._asked(body), request)
            if isinstance(found, Generation):
                return found
            if _may_be_the_page(found) and self._answers_others(began):
                breaks += 1
                if breaks >= _BREAKS:
                    message = (
                        f"the server broke on this page {breaks} times, not on others: {self._said(found)}"
                    )
                    return Generation.failed(request, Reason.server_failed, message, held=False)
            pause = self._wait_for(found, pause)

    def generate(self, requests: Iterable[Request]) -> Iterator[Generation]:
        """Answer all requests, each exactly once, in the order in which they finish, and several at once."""
        source, running = iter(requests), set[Future[Generation]]()
        with ThreadPoolExecutor(self.settings.requests, "server") as pool:
            while True:
                while len(running) < self.settings.requests:
                    request = next(source, None)
                    if request is None:
                        break
                    running.add(pool.submit(self.answer, request))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()

    def close(self) -> None:
        """Give back its connections."""
        self._client.close()

    # one try

    def _answer_in(self, found: Reply | NoReply, request: Request) -> Generation | Reply | NoReply:
        """The answer to a page's request; what came as it is, where another try may do better."""
        if isinstance(found, NoReply) or found.passing:
            return found
        if found.status in _OF_A_PAGE:
            self._count_refusal(found)
            return Generation.failed(
                request, Reason.server_refused, f"the server says {self._said(found)}", held=False
            )
        if found.status != 200:
            raise self._wrong(found)
        try:
            answer = reply.generation(request, _json(found))
        except reply.NotUnderstood as error:
            return NoReply(str(error), sent=True)
        self._answered()
        return answer

    def _tried(self, request: Request) -> Reply | NoReply:
        return self._asked(self._body(request))

    def _body(self, request: Request) -> bytes:
        return question.body(request, self.model.name, self._dialect, self.model.system)

    def _asked(self, body: bytes) -> Reply | NoReply:
        try:
            return self._client.post(_CHAT, body)
        except NoReply as error:
            return error

    def _understood(self, request: Request, found: Reply) -> Any:
        """The JSON of an answer to the greeting; None where it is to be asked in other words."""
        if found.status != 200:
            other = self._dialect.after(found.complaint) if found.status in _OF_A_PAGE else None
            if other is None:
                raise self._wrong(found)
            self._dialect = other
            return None
        try:
            said = _json(found)
            reply.generation(request, said)
        except reply.NotUnderstood as error:
            raise UsageError(
                f"{self._host} is no server of chats: {error}; its URL mostly ends in /v1"
            ) from None
        return said

    def _learned(self, said: Any) -> ModelFacts:
        self._answered()
        self._greeted = True
        told = self._dialect.logprobs and reply.has_logprobs(said)
        self._dialect = replace(self._dialect, logprobs=told)
        return self.model.facts(self.model.numerics(logprobs=told))

    def _wrong(self, found: Reply) -> VinbatchError:
        """Why no page can be read."""
        said = self._said(found)
        if found.status in (401, 403):
            if self._key is None:
                return UsageError(f"{self._host} wants a key ({said}): put it into {KEY}")
            return UsageError(f"{self._host} does not take the key in {KEY} ({said})")
        if found.status == 402:
            return Unavailable(f"{self._host} has no more credit ({said})")
        names = self._models()
        if names is not None and self.model.name not in names:
            there = f"it has {', '.join(names[:_NAMED])}{' …' if len(names) > _NAMED else ''}"
            return UsageError(
                f"{self._host} has no model {self.model.name}: {there if names else 'it names none'}; "
                "give one as --model"
            )
        if found.status in _OF_A_PAGE:
            return UsageError(f"{self._host} does not take what it is asked ({said})")
        if found.status == 404:
            return UsageError(
                f"{self.model.url}{_CHAT} is not there ({said}): look at the URL, which mostly "
                "ends in /v1, and at --model"
            )
        return UsageError(f"{self.model.url}{_CHAT} does not answer as chats do ({said})")

    def _models(self) -> list[str] | None:
        """The names that the server has; None where it does not tell."""
        try:
            found = self._client.get(_MODELS)
            return [printable(str(one["id"])[:100]) for one in found.json()["data"]]
        except (NoReply, ValueError, KeyError, TypeError):
            return None

    def _said(self, found: Reply | NoReply) -> str:
        """What went wrong; without the key, which a server may repeat."""
        words = found.complaint if isinstance(found, Reply) else found.message
        return words.replace(self._key, "…") if self._key else words

    # its mood

    def _answered(self, *, refused: bool = False) -> None:
        with self._lock:
            self._well_at = time.monotonic()
            self._refused = self._refused + 1 if refused else 0
            told, self._said_away = self._said_away, False
            self._away_since = self.trouble = None
        if told:
            self._notify(f"the server at {self._host} is back")

    def _count_refusal(self, found: Reply) -> None:
        """Raises UsageError when it is one too many with no page answered in between."""
        self._answered(refused=True)
        if self._refused >= _MOST_REFUSED:
            raise UsageError(
                f"{self._host} refused {self._refused} pages in a row ({self._said(found)}); when that is "
                f"mended, vinbatch retry --reason {Reason.server_refused} puts them back"
            )

    def _wait_for(self, found: Reply | NoReply, pause: float) -> float:
        """Wait before the next try; how long to wait after that one. Raises Unavailable."""
        why, now = self._said(found), time.monotonic()
        asked = found.waits if isinstance(found, Reply) else None
        with self._lock:
            self._away_since = since = now if self._away_since is None else self._away_since
            tell = not self._said_away and (not self._greeted or now - since >= _TOLD_SECONDS)
            self._said_away |= tell
            self.trouble = f"the server at {self._host} does not answer: {why}"
            if asked is not None:
                self._hold_until = max(self._hold_until, now + min(_LONGEST_WAIT, asked))
            until = max(now + pause, self._hold_until)
        if now - since >= self._patience:
            raise Unavailable(f"the server at {self._host} answered nothing for {self._patience:g} s: {why}")
        if tell:
            self._notify(f"the server at {self._host} does not answer and is waited for: {why}")
        until = min(until, max(now + _PAUSES[0], since + self._patience))
        if self._interrupt.wait(until - now):
            raise Unavailable(f"the server at {self._host} was waited for: {why}")
        return min(2 * pause, _PAUSES[1])

    def _answers_others(self, since: float) -> bool:
        """Whether the server has answered anything since then, or does now, about a blank page."""
        if self._well_at > since:
            return True
        if self._greeting is None:
            return False
        with self._probing:
            if self._well_at <= since and self._probed_at <= since:
                found = self._tried(self._greeting)
                self._probed_at = time.monotonic()
                if isinstance(found, Reply) and found.status == 200:
                    self._answered()
        return self._well_at > since


def _json(found: Reply) -> Any:
    try:
        return found.json()
    except ValueError:
        raise reply.NotUnderstood("what it answers is no JSON, or was cut off") from None


def _may_be_the_page(found: Reply | NoReply) -> bool:
    """Not where it is busy or was never reached: that says nothing of the page."""
    if isinstance(found, NoReply):
        return found.sent
    return found.status in (408, 500, 504)
