"""One question to a server that speaks OpenAI's chat completions, over plain HTTP.

What is asked leaves this machine unless the server is on it, so an address elsewhere wants consent.
Redirections are not followed: they could lead elsewhere. On this machine no proxy is asked.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pipeline.addresses import is_loopback
from pipeline.errors import Unavailable, UsageError

_MOST_BYTES = 1 << 20  # of one reply
_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504)
_TRIES = 5
_LONGEST_WAIT = 30.0  # seconds between two tries


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class ChatServer:
    """`url` ends before /chat/completions ("http://127.0.0.1:8000/v1"); `key` goes into the header."""

    url: str
    key: str | None = field(default=None, repr=False)
    seconds: float = 120.0  # that one answer may take
    wait: float = 1.0  # before the second try; each further one waits twice as long

    def check(self, *, elsewhere: bool) -> None:
        """Raises UsageError for what is no address, and for one elsewhere where that is not allowed."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("a judge's address is http://HOST:PORT/v1, and this is none")
        if not elsewhere and not self.here:
            raise UsageError(
                f"{parts.hostname} is another machine, and questions with answers would be sent there: "
                "say --send-answers if that is meant"
            )

    @property
    def here(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def shown(self) -> str:
        """The address for people, without what may be secret in it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def ask(self, model: str, system: str, user: str, longest: int) -> str:
        """The answer's text. Raises UsageError where the server refuses, Unavailable where it stays away."""
        body = {
            "model": model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "temperature": 0,
            "max_tokens": longest,
        }
        found = self._sent(json.dumps(body).encode())
        try:
            return str(found["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError):
            raise Unavailable(f"{self.shown} answers otherwise than chat completions do") from None

    def _sent(self, body: bytes) -> Any:
        why = ""
        for number in range(_TRIES):
            if number:
                time.sleep(min(_LONGEST_WAIT, self.wait * 2 ** (number - 1)))
            try:
                return self._once(body)
            except urllib.error.HTTPError as error:
                with error:
                    why = f"HTTP {error.code}"
                if error.code not in _AGAIN:
                    raise UsageError(f"{self.shown} refuses: HTTP {error.code} {error.reason}") from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = type(error).__name__ if isinstance(error, ValueError) else str(error)
        raise Unavailable(f"{self.shown} does not answer after {_TRIES} tries: {why}")

    def _once(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions", data=body, headers=headers, method="POST"
        )
        proxies = urllib.request.ProxyHandler({} if self.here else None)
        with urllib.request.build_opener(proxies, _NoRedirect).open(request, timeout=self.seconds) as reply:
            return json.loads(reply.read(_MOST_BYTES))
