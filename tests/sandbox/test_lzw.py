"""Damage in LZW pictures that only a length tells: sound ones are never accused."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from pipeline.flags import FlagCode
from pipeline.records import Failure, PageImage
from pipeline.render import Renderer
from pipeline.sandbox import gif, lzw, tiff
from pipeline.settings import RenderSettings
from tests.pipeline import papers

TIFF, GIF = lzw.Coding(), lzw.Coding(8, first_high=False)


def picture(mode: str = "L", width: int = 301, height: int = 203) -> Image.Image:
    waves = np.add.outer(np.sin(np.arange(height) / 9), np.cos(np.arange(width) / 7)) * 50 + 128
    noise = np.random.default_rng(1).normal(0, 4, (height, width))
    return Image.fromarray((waves + noise).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    to = io.BytesIO()
    image.save(to, kind, **options)
    return to.getvalue()


def packed(data: bytes, coding: lzw.Coding, *, clears: bool = True, end: bool = True) -> bytes:
    """As the simplest encoder packs it; with `clears` it begins anew when the dictionary is full."""
    clear, bits, held = 1 << coding.symbol, "", b""
    places: list[int] = []
    known: dict[bytes, int] = {}

    def put(code: int, since: int) -> None:
        nonlocal bits
        free = clear + 2 + max(0, since - 1) + coding.first_high if since else 0
        width = max(coding.symbol + 1, min(12, free.bit_length()))
        written = f"{code:0{width}b}"
        bits += written if coding.first_high else written[::-1]

    put(clear, 0)
    for sign in data:
        longer = held + bytes([sign])
        if len(longer) == 1 or longer in known:
            held = longer
            continue
        put(known[held] if len(held) > 1 else held[0], len(places))
        places.append(1)
        if len(known) < 4096 - clear - 3 or not clears:
            if clear + 2 + len(known) < 4096:
                known[longer] = clear + 2 + len(known)
        else:
            put(clear, len(places))
            known, places = {}, []
        held = bytes([sign])
    put(known[held] if len(held) > 1 else held[0], len(places))
    if end:
        put(clear + 1, len(places) + 1)
    bits += "0" * (-len(bits) % 8)
    parts = (bits[at : at + 8] for at in range(0, len(bits), 8))
    return bytes(int(part if coding.first_high else part[::-1], 2) for part in parts)


@pytest.mark.medium
@pytest.mark.parametrize("coding", [TIFF, GIF], ids=["tiff", "gif"])
@pytest.mark.parametrize("clears", [True, False])
@pytest.mark.parametrize("end", [True, False])
def test_a_sound_stream_holds_what_was_packed(coding: lzw.Coding, *, clears: bool, end: bool) -> None:
    data = picture().tobytes()[:30_000]
    stream = packed(data, coding, clears=clears, end=end)
    assert lzw.holds(stream, coding, (len(data),))
    assert not lzw.holds(stream, coding, (len(data) + 1,))
    assert lzw.holds(stream, coding, (len(data) - 1,)) is not end, "without its end it may hold more"
    assert not lzw.holds(stream[: len(stream) // 2], coding, (len(data),))
    assert lzw.holds(b"\0\2" + stream, coding, (7,)), "of an older kind, of which nothing is said"


def sound() -> Iterator[tuple[str, bytes]]:
    for width, height in ((1, 1), (3, 5), (301, 203)):
        for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK"):
            image = picture(width=width, height=height).convert("L" if mode == "1" else "RGB").convert(mode)
            for size in (2**12, 2**20):
                yield "tiff", saved(image, "TIFF", compression="tiff_lzw", strip_size=size)
            if mode in "1LP":
                yield "gif", saved(image, "GIF")
                yield "gif", saved(image, "GIF", interlace=0)
    frames = [picture(), picture().rotate(90)]
    yield "gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


@pytest.mark.medium
def test_sound_pictures_are_not_accused() -> None:
    for kind, data in sound():
        if kind == "gif":
            assert gif.damage(data) is None
            continue
        tags = Image.open(io.BytesIO(data)).tag_v2  # type: ignore[attr-defined]
        parts = [data[at : at + size] for at, size in zip(tags[273], tags[279], strict=True)]
        wanted = tiff.lengths(tags)
        assert len(wanted) == len(parts)
        assert all(map(lzw.holds, parts, [TIFF] * len(parts), wanted))


@pytest.mark.medium
@pytest.mark.parametrize(("kind", "least"), [("TIFF", 11), ("GIF", 11)])
def test_a_changed_byte_is_mostly_told(kind: str, least: int) -> None:
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    data = saved(picture(), kind, **options)
    with Renderer(RenderSettings(dpi=72)) as renderer:

        def told(changed: bytes) -> bool:
            try:
                page = renderer.page(papers.document(changed), 1, codes=False)
            except Exception:  # noqa: BLE001  it cannot be opened
                return True
            assert isinstance(page, PageImage | Failure)
            return isinstance(page, Failure) or FlagCode.picture_damaged in {flag.code for flag in page.flags}

        assert not told(data)
        places = np.linspace(len(data) // 10, len(data) * 9 // 10, 20).astype(int).tolist()
        found = [told(data[:at] + bytes([data[at] ^ 0x5A]) + data[at + 1 :]) for at in places]
        assert sum(found) >= least, sum(found)
        if kind == "GIF":
            assert told(data[:-1]), "without its trailer"
