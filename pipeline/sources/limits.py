"""How many bytes a document may have."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import NoRoom, Permanent, Reason

LARGEST = 2**46  # bytes (64 TB): no object is larger, and a list that says so is not believed


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """`most` bytes of any document at all, and `room` for this one; None: as much as it may have."""

    most: int
    room: int | None = None

    def judge(self, uri: str, size: int) -> None:
        """Raises Permanent (too_many_bytes) or NoRoom, before a byte is fetched."""
        if size > self.most:
            message = f"{uri} has {size:,} bytes; at most {self.most:,} are allowed (source.max_bytes)"
            raise Permanent(Reason.too_many_bytes, message, size=size, limit=self.most)
        if self.room is not None and size > self.room:
            message = f"{uri} has {size:,} bytes; there is room for {self.room:,}"
            raise NoRoom(Reason.too_many_bytes, message, size=size, limit=self.room)
