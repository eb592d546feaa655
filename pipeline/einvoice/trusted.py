"""The trust anchors that the settings name, as bytes that go to the decoding child."""

from __future__ import annotations

import hashlib

from pipeline.settings import Settings


def packed(settings: Settings) -> bytes:
    """b"" where none are named. Raises UsageError as `anchors.load`."""
    if settings.trust_anchors is None:
        return b""
    from pipeline.einvoice import anchors  # with cryptography, which a job without anchors need not load here

    return anchors.load(settings.trust_anchors).packed()


def digest(packed: bytes) -> str | None:
    """Names the set; None for no anchors."""
    return hashlib.sha256(packed).hexdigest() if packed else None
