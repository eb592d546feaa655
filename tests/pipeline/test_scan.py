"""A page that is nothing but a scan keeps the scan's own pixels; any other is drawn at the set resolution."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from pipeline.records import PageImage, Pixels
from pipeline.render import Renderer
from pipeline.settings import RenderSettings
from tests.pipeline import papers

WIDTH, HEIGHT = 413, 585  # an A5 at 71 dpi
POINTS = (419.5, 595.3)


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer(RenderSettings(dpi=100)) as shared:
        yield shared


def noise(mode: str = "RGB") -> Image.Image:
    """Every pixel differs from its neighbours, but not so much that a JPEG is nothing like it."""
    pixels = np.random.default_rng(5).integers(0, 256, (HEIGHT // 4 + 1, WIDTH // 4 + 1, 4), np.uint8)
    return Image.fromarray(pixels).resize((WIDTH, HEIGHT)).convert(mode)


def saved(image: Image.Image, kind: str) -> bytes:
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def scanned(
    picture: bytes,
    *,
    points: tuple[float, float] = POINTS,
    at: tuple[float, float] = (0, 0),
    also: Callable[[Canvas], object] = lambda pdf: None,
) -> bytes:
    data = io.BytesIO()
    pdf = Canvas(data, pagesize=points)
    pdf.drawImage(ImageReader(io.BytesIO(picture)), *at, *points, mask="auto")
    also(pdf)
    pdf.showPage()
    pdf.save()
    return data.getvalue()


def drawn(renderer: Renderer, pdf: bytes) -> Pixels:
    [page] = renderer.pages(papers.document(pdf))
    assert isinstance(page, PageImage)
    return page.pixels


def ocr_layer(pdf: Canvas) -> None:
    for line in range(40):
        text = pdf.beginText(30, 30 + 12 * line)
        text.setTextRenderMode(3)
        text.textLine("HOA DON GIA TRI GIA TANG")
        pdf.drawText(text)


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"points": (419, 595)},
        {"points": (WIDTH, HEIGHT), "at": (0.3, -0.4)},
        {"also": ocr_layer},
        {"also": lambda pdf: pdf.setPageRotation(180)},
        {"points": (POINTS[0] / 2, POINTS[1] / 2)},
    ],
    ids=["plain", "rounded", "off by less than a pixel", "ocr layer", "upside down", "finer than asked for"],
)
def test_a_scan_keeps_its_pixels(renderer: Renderer, kind: str, how: dict[str, object]) -> None:
    picture = saved(noise(), kind)
    expected = np.asarray(Image.open(io.BytesIO(picture)))
    if "also" in how and how["also"] is not ocr_layer:
        expected = np.rot90(expected, 2)
    np.testing.assert_array_equal(drawn(renderer, scanned(picture, **how)), expected)


@pytest.mark.medium
def test_a_scans_mask_counts(renderer: Renderer) -> None:
    picture = noise("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    expected = np.asarray(Image.alpha_composite(paper, picture).convert("RGB")).astype(int)
    assert np.abs(drawn(renderer, scanned(saved(picture, "PNG"))) - expected).max() <= 1


def annotated(pdf: Canvas) -> None:
    pdf.textAnnotation("seen by the accountant", Rect=(100, 100, 120, 120))


@pytest.mark.medium
@pytest.mark.parametrize(
    "how",
    [
        {"also": lambda pdf: pdf.drawString(50, 50, "PAID")},
        {"also": lambda pdf: pdf.line(0, 0, 100, 100)},
        {"also": annotated},
        {"also": lambda pdf: pdf.drawImage(ImageReader(noise().resize((9, 9))), 0, 0, 90, 90)},
        {"also": lambda pdf: pdf.setPageRotation(90)},
        {"points": (POINTS[0], POINTS[1] / 2)},
        {"at": (5, 0)},
    ],
    ids=["letters", "a line", "a note", "two pictures", "turned", "fax pixels", "a margin"],
)
def test_any_other_page_is_drawn_at_the_set_resolution(renderer: Renderer, how: dict[str, object]) -> None:
    pixels = drawn(renderer, scanned(saved(noise(), "PNG"), **how))
    points = how.get("points", POINTS)
    size = [int(np.ceil(side * 100 / 72 - 1e-3)) for side in points]
    if "also" in how and pixels.shape[1] > pixels.shape[0]:
        size.reverse()
    assert pixels.shape == (size[1], size[0], 3)
