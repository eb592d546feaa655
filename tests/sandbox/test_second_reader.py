"""Second readers: what they read, what holds them, and what becomes of a page that they cannot read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pipeline import keys, render
from pipeline.errors import UsageError
from pipeline.records import Document, PageImage, Pixels, TextLayer
from pipeline.sandbox import confine, recognisers
from pipeline.sandbox.recognisers import RECOGNISERS
from pipeline.second_reader import SecondReader
from pipeline.settings import RenderSettings, SecondReaderSettings, Settings
from tests.pipeline.test_keys import GIVEN

STRICT = RenderSettings(require_sandbox=confine.possible().complete)
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
LINES = ("Ký hiệu: 1C26TAA   Số: 00012345", "Mã số thuế: 9900000016", "Người bán: Công ty Mẫu")


def picture(lines: Sequence[str] = LINES) -> Image.Image:
    image = Image.new("RGB", (900, 90 * len(lines) + 60), "white")
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((40, 40 + 90 * number), line, fill="black", font=ImageFont.truetype(FONT, 36))
    return image


def pixels() -> Pixels:
    return np.asarray(picture())


def asked(*readers: Any, **bounds: Any) -> SecondReaderSettings:
    return SecondReaderSettings(on=True, readers=readers, **bounds)


def read(settings: SecondReaderSettings, page: Pixels | None = None) -> TextLayer:
    reader = SecondReader(settings, STRICT)
    try:
        found = reader.read(pixels() if page is None else page)
    finally:
        reader.close()
    assert found is not None
    return found


@pytest.mark.medium
def test_tesseract_reads_words_with_their_tone_letters_and_places() -> None:
    found = read(asked("tesseract"))
    assert found.trusted and found.why is None
    texts = [word.text for word in found.words]
    assert {"Công", "ty", "Mẫu", "Người"} <= set(texts)
    company = found.words[texts.index("Công")]
    left, top, right, bottom = company.box
    assert 0.2 < left < right < 0.45 and 0.6 < top < bottom < 0.9


@pytest.mark.slow
def test_digits_come_from_one_and_words_from_the_other_line_by_line() -> None:
    found = read(asked("rapidocr", "tesseract"))
    texts = [word.text for word in found.words]
    assert found.trusted and found.why is None
    assert {"9900000016", "00012345", "1C26TAA"} <= set(texts) and {"Công", "ty"} <= set(texts)
    assert texts.count("9900000016") == 1  # both have read it
    assert texts.index("1C26TAA") < texts.index("9900000016") < texts.index("Công")
    alone = [word.text for word in read(asked("rapidocr")).words]
    assert alone and all(any(sign.isdigit() for sign in text) for text in alone)


@pytest.mark.medium
def test_an_empty_page_has_no_words() -> None:
    assert read(asked("tesseract"), np.full((300, 300, 3), 255, np.uint8)) == TextLayer((), True)


def test_a_page_that_is_not_read_in_time_is_still_a_page() -> None:
    found = read(asked("tesseract", seconds=0.01))
    assert found.words == () and not found.trusted
    assert found.why == "tesseract: not finished after 0.01 s (second_reader.seconds)"


@pytest.mark.medium
def test_the_readers_child_can_reach_no_file_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = SecondReader(asked("tesseract"), STRICT)
    try:
        reader.read(pixels())
        [child] = reader._children.values()
        assert child.confinement == confine.possible()
    finally:
        reader.close()
    assert not child.alive


def test_what_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    absent = replace(RECOGNISERS["rapidocr"], packages=("no-such-distribution",))
    monkeypatch.setattr(recognisers, "RECOGNISERS", {**RECOGNISERS, "rapidocr": absent})
    told = r"the second reader rapidocr wants no-such-distribution: pip install 'vinbatch\[second-reader\]'$"
    with pytest.raises(UsageError, match=told):
        SecondReader(asked("rapidocr"), STRICT)
    with pytest.raises(UsageError, match=told):
        keys.settings_key(**{**GIVEN, "settings": Settings(second_reader=asked("rapidocr"))})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"wants tesseract: apt install tesseract-ocr tesseract-ocr-vie$"):
        SecondReader(asked("tesseract"), STRICT)


def test_it_is_in_a_pages_key_when_it_is_on() -> None:
    def key(settings: SecondReaderSettings) -> str:
        return keys.settings_key(**{**GIVEN, "settings": Settings(second_reader=settings)})

    off = key(SecondReaderSettings())
    assert off == key(SecondReaderSettings(readers=("tesseract",), seconds=5))
    assert off == keys.settings_key(**{**GIVEN, "settings": Settings()})
    both, one = key(asked("rapidocr", "tesseract")), key(asked("tesseract"))
    assert len({off, both, one}) == 3
    assert one == key(asked("tesseract", seconds=7, memory_bytes=2**31))
    assert "second_reader" not in keys.involved(Settings())
    assert keys.involved(Settings(second_reader=asked("tesseract")))["second_reader"] == {
        "readers": ["tesseract"]
    }


@pytest.mark.medium
def test_a_drawn_page_has_what_it_reads_and_none_unless_it_is_asked() -> None:
    out = io.BytesIO()
    picture(("Mã số thuế: 9900000016",)).save(out, "PNG")
    document = Document("/in/a.png", out.getvalue(), "ab", None)
    for settings, there in ((asked("tesseract"), True), (SecondReaderSettings(), False)):
        with render.Renderer(STRICT, settings) as renderer:
            page = renderer.page(document, 1)
        assert isinstance(page, PageImage) and (page.reader is not None) == there
        assert page.reader is None or "9900000016" in [word.text for word in page.reader.words]
