"""QR codes found on pages as they come: turned, noisy, small, large, several at once."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import segno
from PIL import Image

from pipeline.records import Pixels
from pipeline.sandbox.parent import Child
from pipeline.settings import RenderSettings

TEXT = (
    "099199000007|012345678|Nguyễn Thị Mẫu|01011999|Nữ|Số 1, đường Hoà Bình, Hà Nội|04032022|MẪU – SPECIMEN"
)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child("pillow", RenderSettings())
    yield child
    child.close()


def drawn(text: str | bytes, scale: int) -> Image.Image:
    file = io.BytesIO()
    segno.make(text, error="m", micro=False).save(file, kind="png", scale=scale)
    return Image.open(file).convert("RGB")


def page(
    *codes: tuple[str | bytes, int, int],
    size: tuple[int, int] = (1000, 1400),
    scale: int = 3,
    turn: float = 0,
) -> Image.Image:
    """A white page with codes at (left, top)."""
    paper = Image.new("RGB", size, "white")
    for text, left, top in codes:
        code = drawn(text, scale).rotate(
            turn, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC
        )
        paper.paste(code, (left, top))
    return paper


def noisy(image: Image.Image, strength: float) -> Pixels:
    noise = np.random.default_rng(0).normal(0, strength, (image.height, image.width, 3))
    return np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("turn", [0, 7, 45, 90, 180, 270])
def test_a_code_is_read_at_any_angle(child: Child, turn: float) -> None:
    (code,) = child.codes(np.asarray(page((TEXT, 300, 500), turn=turn)))
    assert (code.kind, code.text) == ("qr", TEXT)


@pytest.mark.medium
@pytest.mark.parametrize("strength", [20, 50])
def test_a_code_is_read_through_noise(child: Child, strength: float) -> None:
    (code,) = child.codes(noisy(page((TEXT, 300, 500)), strength))
    assert code.text == TEXT


@pytest.mark.medium
@pytest.mark.parametrize(("size", "scale"), [((700, 450), 1), ((4000, 3000), 2), ((4000, 3000), 12)])
def test_a_code_is_read_on_small_and_large_pages(child: Child, size: tuple[int, int], scale: int) -> None:
    (code,) = child.codes(np.asarray(page((TEXT, 20, 20), size=size, scale=scale)))
    assert code.text == TEXT


@pytest.mark.slow
def test_a_code_is_read_on_a_page_of_the_largest_size(child: Child) -> None:
    (code,) = child.codes(np.asarray(page((TEXT, 3000, 4000), size=(5000, 7000), scale=4)))
    assert code.text == TEXT


def test_the_box_is_where_the_code_is(child: Child) -> None:
    size = drawn(TEXT, 3).width
    (code,) = child.codes(np.asarray(page((TEXT, 300, 700))))
    quiet = 4 * 3  # the white border is no part of the code
    want = np.array([300 + quiet, 700 + quiet, 300 + size - quiet, 700 + size - quiet]) / [
        1000,
        1400,
        1000,
        1400,
    ]
    assert code.box is not None
    np.testing.assert_allclose(code.box, want, atol=0.006)


def test_several_codes_come_from_the_top_down(child: Child) -> None:
    codes = child.codes(
        np.asarray(page(("low", 100, 900), ("high", 500, 100), ("middle", 300, 500), scale=6))
    )
    assert [code.text for code in codes] == ["high", "middle", "low"]


@pytest.mark.medium
def test_a_noisy_code_is_read_beside_a_large_one(child: Child) -> None:
    """The one of a bank transfer is large and read at once; the invoice's own is small."""
    paper = Image.fromarray(noisy(page((TEXT, 500, 100), scale=5), 140))
    paper.paste(drawn("000201010212", 12), (100, 800))
    assert [code.text for code in child.codes(np.asarray(paper))] == [TEXT, "000201010212"]


def test_bytes_that_are_not_utf8_are_still_a_text(child: Child) -> None:
    (code,) = child.codes(np.asarray(page((b"caf\xe9 \xff\xfe", 300, 500), scale=6)))
    assert code.text.startswith("caf")


@pytest.mark.parametrize("strength", [0, 60])
def test_a_page_without_a_code_has_none(child: Child, strength: float) -> None:
    assert child.codes(noisy(Image.new("RGB", (900, 1200), (200, 200, 200)), strength)) == ()


def test_a_page_of_one_pixel_has_none(child: Child) -> None:
    assert child.codes(np.zeros((1, 1, 3), np.uint8)) == ()
