"""What is said of a page's picture, and what follows for its document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import get_args

from pipeline.records import Check, PageRecord, Tier

BLURRED = "blurred"
GLARE = "glare"
CUT = "cut"
RECAPTURED = "recaptured"
SMALL = "too_small"

_SAID: Mapping[str, str] = {
    BLURRED: "the print is blurred",
    GLARE: "a reflection hides a part of it",
    CUT: "a corner or a side of it is not in the picture",
    RECAPTURED: "it was taken from a screen, not from the paper",
    SMALL: "its print is too small in the picture",
}
VERDICTS = tuple(_SAID)

_TIERS: tuple[Tier, ...] = get_args(Tier)  # from the best to the worst


def checks(pages: Sequence[PageRecord]) -> Iterator[Check]:
    """A failed check for each verdict, with a code of its own: "page_blurred", "page_cut" …"""
    for page in pages:
        for verdict in page.quality.verdicts if page.quality is not None else ():
            yield Check(f"page_{verdict}", False, "warning", f"page {page.page}: {_SAID[verdict]}")


def tier(pages: Iterable[PageRecord]) -> Tier | None:
    """The worst of the pages' tiers; None where none was measured, as of XML."""
    tiers = (page.quality.tier for page in pages if page.quality is not None)
    return max(tiers, key=_TIERS.index, default=None)
