"""What a PostgresServer with `statements=True` was asked, when, and from where."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_TOKEN = re.compile(r"\b[0-9a-f]{32}\b")


@dataclass(frozen=True, slots=True)
class Statement:
    """`at`: seconds since the epoch. `values` are those of its parameters, as text."""

    at: float
    address: str
    text: str
    values: str

    @property
    def claims(self) -> bool:
        return "SET state = 'leased'" in self.text

    @property
    def keeps_pages(self) -> bool:
        return "put AS (" in self.text and "finished AS (" not in self.text

    @property
    def tokens(self) -> set[str]:
        """Of the leases under which something is claimed or offered."""
        return set(_TOKEN.findall(self.values))


class Statements:
    """The log is read on with each look at it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0  # bytes
        self._found: list[Statement] = []

    def of(self, address: str, since: float = 0.0) -> list[Statement]:
        """Those that came from there, in their order."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):  # the rest is still to come
                    break
                self._read += len(line)
                self._take(json.loads(line))
        return [one for one in self._found if one.address == address and one.at >= since]

    def _take(self, record: dict[str, str]) -> None:
        text, address = record.get("message", ""), record.get("remote_host", "")
        if text.startswith(("execute", "statement:")):
            at = datetime.strptime(record["timestamp"], "%Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC)
            self._found.append(Statement(at.timestamp(), address, text, record.get("detail", "")))
