"""Lines of tables and the height of letters, counted on specimens whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline.specimens.making import make
from pipeline.textlines import TextLines, look


@pytest.fixture(scope="module", params=[0, 3, 10, 15])  # ruled, plain and open tables, of 6 to 35 lines
def invoice(request: pytest.FixtureRequest) -> tuple[np.ndarray, int, float]:
    """The first page of a clean one: its pixels, lines of its table, type size."""
    specimen = make(
        "invoice", request.param, preset="clean", fonts="held-out" if request.param % 5 == 3 else None
    )
    page = specimen.pages[0]
    return page.pixels, len(specimen.raw(1)["lines"]), float(np.median([run.size for run in page.runs]))


def test_the_lines_of_a_table_and_its_heading_are_counted(invoice: tuple[np.ndarray, int, float]) -> None:
    pixels, lines, size = invoice
    found = look(pixels)
    assert 0 <= found.rows - lines <= 3
    assert 0.6 * size < found.height < 0.95 * size


@pytest.mark.medium
@pytest.mark.parametrize("degrees", [-2.5, 1.5])
def test_a_tilted_page_has_as_many(invoice: tuple[np.ndarray, int, float], degrees: float) -> None:
    pixels, lines, _ = invoice
    tilted = Image.fromarray(pixels).rotate(
        degrees, Image.Resampling.BILINEAR, expand=True, fillcolor=(90,) * 3
    )
    assert 0 <= look(np.asarray(tilted)).rows - lines <= 4


@pytest.mark.medium
def test_uneven_light_hides_none(invoice: tuple[np.ndarray, int, float]) -> None:
    pixels, lines, _ = invoice
    shade = np.linspace(0.45, 1.0, pixels.shape[1])[None, :, None]
    assert 0 <= look((pixels * shade).astype(np.uint8)).rows - lines <= 3


def test_letters_are_measured_in_the_pages_own_pixels(invoice: tuple[np.ndarray, int, float]) -> None:
    pixels, _, _ = invoice
    half = np.asarray(Image.fromarray(pixels).reduce(2))
    assert look(half).height == pytest.approx(look(pixels).height / 2, rel=0.15)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (448, 448), (90, 4000), (5000, 40)])
def test_where_nothing_is_printed_nothing_is_found(size: tuple[int, int]) -> None:
    width, height = size
    assert look(np.full((height, width, 3), 255, np.uint8)) == TextLines(0, 0.0)
    assert look(np.zeros((height, width, 3), np.uint8)) == TextLines(0, 0.0)


def test_noise_and_rules_alone_are_no_lines_of_a_table() -> None:
    paper = np.full((1200, 900, 3), 240, np.uint8)
    paper[100:1100:50, 60:840] = 0
    paper[100:1100, 60:840:130] = 0
    assert look(paper).rows == 0
