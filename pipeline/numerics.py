"""What of a back end's numerics changes how sure a model's confidences are, beyond last bits.

Numerics are words (`vintern.backend.Backend.numerics`). Machines that round alike but for last bits give
confidences that mean the same; other weights than those a calibration was fitted with do not.
"""

from __future__ import annotations

EIGHT_BITS = "8-bit weights and activations"  # in the words of a back end that has them
REMOTE = "remote"  # the first word of a server that we do not run
_LOOK = "look"  # the last word before the number in what is said of second looks


def kinds(numerics: str) -> frozenset[str]:
    """The kinds of weights that these numerics name; several machines' are joined by semicolons."""
    parts = (part for part in numerics.split("; ") if _LOOK not in part.split())
    return frozenset(map(_kind, parts))


def comparable(pages: str, calibration: str) -> bool:
    """Whether confidences of pages read with these numerics mean what they meant to the calibration."""
    return kinds(pages) <= kinds(calibration)


def _kind(part: str) -> str:
    if part.startswith(REMOTE):
        return part
    return EIGHT_BITS if EIGHT_BITS in part else ""
