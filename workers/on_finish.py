"""Tells somebody that a run has ended: a command gets the JSON on its standard input, a URL gets it by POST.

What is told is counts, names and reasons, never a value that was read. Where VINBATCH_WEBHOOK_SECRET holds a
secret (its text, or base64 after `whsec_`), a POST is signed as https://www.standardwebhooks.com asks. The
identifier is the same in every try, so that a receiver may drop the second of two.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import shlex
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import UsageError
from pipeline.printable import as_json

SECRET = "VINBATCH_WEBHOOK_SECRET"
_PAUSES = (1.0, 4.0, 16.0, 60.0)  # seconds between two tries
_SECONDS = 30.0  # for one try
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class _Refused(Exception):
    """What another try would not change."""


class OnFinish:
    """Whom to tell: checked when it is made, so that a job does not find out after days."""

    def __init__(self, target: str, environment: Mapping[str, str] = os.environ) -> None:
        """Raises UsageError for a URL, a command or a secret that cannot be used."""
        self._is_url = "://" in target.split(" ", 1)[0]
        self._target = target
        self._environment = {name: value for name, value in environment.items() if name != SECRET}
        if self._is_url:
            if urlsplit(target).scheme not in ("http", "https") or not urlsplit(target).hostname:
                raise UsageError("--on-finish wants a command, or a URL that begins with https:// or http://")
            self._key = _key(environment.get(SECRET))
        else:
            self._words = _words(target)

    def tell(
        self, what: Mapping[str, Any], say: Callable[[str], None], pause: Callable[[float], None] = time.sleep
    ) -> bool:
        """Tell it, with further tries; whether it arrived. What went wrong is one line for `say`."""
        identifier = f"msg_{uuid.uuid4().hex}"
        body = as_json({"id": identifier, **what}).encode()
        for wait in (*_PAUSES, None):
            try:
                if self._is_url:
                    self._post(body, identifier)
                else:
                    self._start(body)
            except (OSError, subprocess.SubprocessError, _Refused) as error:
                why = _why(error)
                if wait is None or isinstance(error, _Refused):
                    break
                pause(wait)
            else:
                return True
        say(f"--on-finish: {self._shown} could not be told of the run's end: {why}")
        return False

    @property
    def _shown(self) -> str:
        """Without what may be a secret: a URL's user, path and query, a command's arguments."""
        return str(urlsplit(self._target).hostname) if self._is_url else self._words[0]

    def _start(self, body: bytes) -> None:
        # Our standard output is for the run's own: what the command says goes to standard error.
        subprocess.run(self._words, input=body, stdout=2, env=self._environment, timeout=_SECONDS, check=True)

    def _post(self, body: bytes, identifier: str) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "vinbatch"}
        if self._key is not None:
            now = int(time.time())
            headers |= {
                "webhook-id": identifier,
                "webhook-timestamp": str(now),
                "webhook-signature": signature(self._key, identifier, now, body),
            }
        request = urllib.request.Request(self._target, body, headers)
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=_SECONDS):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in _PASSING:
                raise _Refused(f"it answers {error.code}") from None
            raise


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """What is signed for one address is not carried to another."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def signature(key: bytes, identifier: str, timestamp: int, body: bytes) -> str:
    """`webhook-signature` of Standard Webhooks, version 1."""
    signed = b".".join((identifier.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _key(secret: str | None) -> bytes | None:
    if not secret:
        return None
    name, prefix, encoded = secret.partition("whsec_")
    if not prefix or name:
        return secret.encode()
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise UsageError(f"{SECRET} is not base64 after whsec_") from None


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--on-finish: the command cannot be taken apart: {error}") from None
    if not words:
        raise UsageError("--on-finish wants a command or a URL")
    return words


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"it ended with {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired | TimeoutError):
        return f"it took more than {_SECONDS:g} s"
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
