"""Where a server is, and the key that it may want."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

from pipeline.addresses import is_loopback
from pipeline.errors import UsageError


@dataclass(frozen=True)
class Address:
    """`url` is what the paths of a protocol stand below, like "http://127.0.0.1:8000/v1"; `key` goes into a
    header of each request, and nowhere else. `whose` and `key_name` are for people.
    """

    url: str
    key: str | None = field(default=None, repr=False)
    key_name: str = ""  # of the environment's variable
    whose: str = "the server's"

    def check(self) -> None:
        """Raises UsageError for an address or a key that cannot be used."""
        parts = self._parts
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError(
                f"{self.whose} URL may hold neither key nor question: give the key by its variable"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{self.whose} URL is {self.url!r}; it must be like https://HOST/v1")
        if self.key is not None and (not self.key.isascii() or not self.key.isprintable() or " " in self.key):
            raise UsageError(
                f"the key in {self.key_name} is none: it has blanks, line ends or other signs in it"
            )

    @cached_property
    def _parts(self) -> SplitResult:
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018  raises where it is none
        except ValueError:
            return urlsplit("")
        return parts

    @property
    def host(self) -> str:
        """The address for people, without what may be secret in it."""
        return f"{self._parts.scheme}://{self._parts.netloc.rpartition('@')[2]}"

    @property
    def hostname(self) -> str:
        return self._parts.hostname or ""

    @property
    def is_here(self) -> bool:
        """Whether it is a server of this machine: nothing leaves it then."""
        return is_loopback(self.hostname)

    def below(self, path: str) -> str:
        """The URL of what stands below it."""
        return self.url.rstrip("/") + path
