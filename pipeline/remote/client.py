"""One HTTP request to a server: its answer, whatever the status, or why there is none.

Redirections are not followed: they could lead elsewhere, with the key. On this machine no proxy is asked.
"""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, TimeoutError

from pipeline.printable import printable
from pipeline.remote.address import Address

LONGEST = 8 << 20  # bytes of an answer
MOOD = (408, 409, 425, 429)  # statuses that pass, beside 500 and above
_CONNECT_SECONDS = 30.0
_PIECE = 64 << 10


class NoReply(Exception):
    """Nothing came back, or only a part. `sent`: the server may have begun with it."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.message, self.sent = message, sent


@dataclass(frozen=True, slots=True)
class Reply:
    """`waits` is how many seconds the server asks to wait before the next request."""

    status: int
    body: bytes
    waits: float | None = None

    @property
    def passing(self) -> bool:
        """Whether the same request may be answered later."""
        return self.status in MOOD or self.status >= 500

    @property
    def complaint(self) -> str:
        return f"HTTP {self.status}: {complaint(self.body)}"

    def json(self) -> Any:
        """Raises ValueError for what is no JSON."""
        return json.loads(self.body)


class Client:
    """Keeps connections open between requests. For any number of threads."""

    def __init__(self, address: Address, *, seconds: float, connections: int = 1) -> None:
        """`seconds` is how long one request may take."""
        self._address, self._seconds = address, seconds
        timeout = urllib3.Timeout(connect=min(_CONNECT_SECONDS, seconds), read=seconds)
        options: dict[str, Any] = {"maxsize": connections, "timeout": timeout, "retries": False}
        proxy = None if address.is_here else _proxy(address.url)
        self._pool = (
            urllib3.PoolManager(**options) if proxy is None else urllib3.ProxyManager(proxy, **options)
        )
        self._headers = {"Content-Type": "application/json"}
        if address.key:
            self._headers["Authorization"] = f"Bearer {address.key}"

    def post(self, path: str, body: bytes) -> Reply:
        """Raises NoReply."""
        return self._asked("POST", path, body)

    def get(self, path: str) -> Reply:
        """Raises NoReply."""
        return self._asked("GET", path, None)

    def _asked(self, method: str, path: str, body: bytes | None) -> Reply:
        until = time.monotonic() + self._seconds
        try:
            response = self._pool.request(
                method,
                self._address.below(path),
                body=body,
                headers=self._headers,
                redirect=False,
                preload_content=False,
            )
            try:
                found = self._read(response, until)
            except BaseException:
                response.close()
                raise
            finally:
                response.release_conn()
        except (HTTPError, OSError) as error:
            never = isinstance(error, NewConnectionError | ConnectTimeoutError)
            slow = isinstance(error, TimeoutError)
            words = f"no answer within {self._seconds:g} s" if slow and not never else _told(error)
            raise NoReply(words, sent=not never) from None
        return Reply(response.status, found, retry_after(response.headers.get("retry-after")))

    def _read(self, response: urllib3.BaseHTTPResponse, until: float) -> bytes:
        found = bytearray()
        for piece in response.stream(_PIECE):
            found += piece
            if len(found) > LONGEST:
                raise NoReply(f"an answer of over {LONGEST >> 20} MiB", sent=True)
            if time.monotonic() > until:
                raise NoReply(f"no whole answer within {self._seconds:g} s", sent=True)
        return bytes(found)

    def close(self) -> None:
        self._pool.clear()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def complaint(body: bytes) -> str:
    """What a server says is wrong, cut short: it may repeat what it was sent."""
    try:
        said = json.loads(body)
        found = said.get("error", said) if isinstance(said, dict) else said
        text = found.get("message", "") if isinstance(found, dict) else found
    except ValueError:
        text = body[:200].decode("utf-8", "replace")
    return printable(" ".join(str(text).split())[:160]) or "no reason given"


def retry_after(said: str | None) -> float | None:
    """Seconds; None where there is none, or a date, which a clock that differs would misread."""
    try:
        return max(0.0, float(said)) if said is not None else None
    except ValueError:
        return None


def _told(error: Exception) -> str:
    """What went wrong, in the system's own words where it has some."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.strerror):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return printable(cause.strerror)
    return printable(str(error).rpartition(": ")[2]) or type(error).__name__


def _proxy(url: str) -> str | None:
    """That of the environment for this address, as other programs take it."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)
