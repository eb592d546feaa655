"""One question to a server that speaks OpenAI's chat completions.

What is asked leaves this machine unless the server is on it, so an address elsewhere wants consent.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import Unavailable, UsageError
from pipeline.remote.address import Address
from pipeline.remote.client import Client, NoReply

_TRIES = 5
_LONGEST_WAIT = 30.0  # seconds between two tries


@dataclass(frozen=True, slots=True)
class ChatServer:
    """`url` ends before /chat/completions ("http://127.0.0.1:8000/v1"); `key`, of the variable `key_name`,
    goes into the header.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    seconds: float = 120.0  # that one answer may take
    wait: float = 1.0  # before the second try; each further one waits twice as long
    key_name: str = "VINBATCH_JUDGE_KEY"

    def check(self, *, elsewhere: bool) -> None:
        """Raises UsageError for what is no address, and for one elsewhere where that is not allowed."""
        self._address.check()
        if not elsewhere and not self._address.is_here:
            raise UsageError(
                f"{self._address.hostname} is another machine, and questions with answers would be sent "
                "there: say --send-answers if that is meant"
            )

    @property
    def shown(self) -> str:
        """The address for people, without what may be secret in it."""
        return self._address.host

    @property
    def _address(self) -> Address:
        return Address(self.url, self.key, self.key_name, "the judge's")

    def ask(self, model: str, system: str, user: str, longest: int) -> str:
        """The answer's text. Raises UsageError where the server refuses, Unavailable where it stays away."""
        body = {
            "model": model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "temperature": 0,
            "max_tokens": longest,
        }
        with Client(self._address, seconds=self.seconds) as client:
            found = self._sent(client, json.dumps(body).encode())
        try:
            return str(found["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError):
            raise Unavailable(f"{self.shown} answers otherwise than chat completions do") from None

    def _sent(self, client: Client, body: bytes) -> Any:
        why = ""
        for number in range(_TRIES):
            if number:
                time.sleep(min(_LONGEST_WAIT, self.wait * 2 ** (number - 1)))
            try:
                reply = client.post("/chat/completions", body)
                if reply.status == 200:
                    return reply.json()
            except NoReply as error:
                why = error.message
            except ValueError:
                why = "its answer is no JSON"
            else:
                why = reply.complaint
                if not reply.passing:
                    raise UsageError(f"{self.shown} refuses: {why}")
        raise Unavailable(f"{self.shown} does not answer after {_TRIES} tries: {why}")
