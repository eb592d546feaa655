"""Broken files by the hundred: each ends in pages and reason codes, and only the child suffers.

pytest tests/pipeline/test_fuzz.py                       300 mutants
VINBATCH_MUTANTS=10000 pytest tests/pipeline/test_fuzz.py --timeout 0
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import psutil
import pytest

from pipeline.errors import Coded, Reason
from pipeline.records import PageImage
from pipeline.render import Renderer
from pipeline.settings import RenderSettings
from tests.pipeline import papers

MUTANTS = int(os.environ.get("VINBATCH_MUTANTS", "300"))
SECONDS = 3.0
MEMORY = 700 * 2**20
KNOWN = {
    Reason.empty_file, Reason.unsupported_type, Reason.pdf_encrypted, Reason.pdf_damaged, Reason.pdf_no_pages,
    Reason.image_damaged, Reason.too_many_pixels, Reason.too_many_pages, Reason.render_timeout,
    Reason.render_memory, Reason.render_crashed,
}  # fmt: skip


def seeds() -> list[bytes]:
    return [
        papers.pages([papers.text("HOA DON"), papers.text("trang 2")]),
        papers.filled_form(),
        papers.scan(200, 300),
        papers.picture("PNG"),
        papers.picture(
            "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
        ),
        *map(papers.picture, ("WEBP", "HEIF", "AVIF", "GIF", "BMP", "JPEG2000")),
        papers.tiff(3),
        papers.picture("TIFF", compression="tiff_lzw"),
        papers.picture("TIFF", compression="jpeg"),
    ]


def mutant(chance: random.Random, whole: list[bytes]) -> bytes:
    """One seed, cut, flipped, stuffed, spliced with another, or with a number in it replaced."""
    data = bytearray(chance.choice(whole))
    for _ in range(chance.choice((1, 1, 2, 8))):
        place = chance.randrange(len(data)) if data else 0
        match chance.randrange(6):
            case 0:
                del data[place:]
            case 1:
                for _ in range(chance.choice((1, 4, 32))):
                    if data:
                        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            case 2:
                del data[place : place + chance.randrange(1, 200)]
            case 3:
                data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 60)))
            case 4:
                other = chance.choice(whole)
                start = chance.randrange(len(other))
                data[place:place] = other[start : start + chance.randrange(1, 400)]
            case _:
                digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
                if digits:
                    at = chance.choice(digits)
                    data[at : at + 1] = chance.choice((b"0", b"-1", b"99999", b"2147483648", b"1e9"))
    return bytes(data)


@pytest.mark.slow
def test_no_mutant_escapes() -> None:
    chance, whole = random.Random(20261122), seeds()
    settings = RenderSettings(
        dpi=50, seconds=SECONDS, memory_bytes=MEMORY, max_pixels=10_000_000, max_pages=50
    )
    outcomes: Counter[str] = Counter()
    with Renderer(settings) as renderer:
        for number in range(MUTANTS):
            paper = papers.document(mutant(chance, whole), uri=f"/mutant/{number}")
            began = time.monotonic()
            pages = 0
            try:
                expected = renderer.page_count(paper)
                for pages, item in enumerate(renderer.pages(paper), start=1):
                    if isinstance(item, PageImage):
                        assert item.pixels.shape[2] == 3 and item.pixels.size <= 3 * settings.max_pixels
                        outcomes[item.renderer] += 1
                    else:
                        assert item.reason in KNOWN and item.page == pages and item.message, item
                        outcomes[item.reason] += 1
                assert pages == expected, f"mutant {number}: {pages} of {expected} pages"
            except Coded as error:
                assert error.reason in KNOWN and pages == 0, error
                outcomes[error.reason] += 1
            # Opening and drawing, by both renderers, each within the limit; and slack for the two processes
            # that may be started for it, each within its own minute, on a busy machine.
            assert time.monotonic() - began < (2 + 2 * max(pages, 1)) * (SECONDS + 1) + 120, number
            for child in renderer._children.values():
                if child.alive:
                    assert psutil.Process(child._process.pid).memory_info().vms <= MEMORY, number
    assert sum(outcomes.values()) >= MUTANTS
    # The mutants are neither all hopeless nor all harmless: otherwise this tests nothing.
    assert outcomes["pdfium"] > MUTANTS / 20 and outcomes["pillow"] > MUTANTS / 20
    assert outcomes[Reason.image_damaged] > MUTANTS / 20 and outcomes[Reason.pdf_damaged] > MUTANTS / 50
    print(dict(outcomes))  # noqa: T201
