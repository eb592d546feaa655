"""A page on which nothing is: told exactly, a remark by itself, an error where values were read from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline import blank, merge, run, tiles
from pipeline.flags import FlagCode
from pipeline.records import Check, Extraction, Flag, PageImage, PreparedPage
from tests.pipeline.test_merge import LINE, RECEIPT, named, page
from tests.pipeline.test_run import RECIPE

SHEET = {"store": "Chợ Mới", "date": "05/11/2026", "lines": [LINE], "total": "30.000"}
EMPTY = Flag(FlagCode.page_blank, "it is of one colour")


def told(image: Image.Image) -> list[str]:
    return [flag.message for flag in blank.told(tiles.split(image, 4))]


def test_a_page_is_blank_if_every_tile_is_of_one_colour_whatever_the_thumbnail_shows() -> None:
    paper = Image.new("RGB", (896, 896), "ivory")
    assert told(paper) == ["it is of one colour"]
    assert told(Image.new("RGB", (300, 300), "ivory")) == ["it is of one colour"]  # one tile, no thumbnail
    paper.paste("black", (0, 0, 448, 448))  # a tile to the last pixel: only the thumbnail has a border in it
    cut = tiles.split(paper, 4)
    assert [shade is None for shade in blank.shades(cut)] == [False] * 4 + [True]
    assert told(paper) == ["it is of 2 colours, and nothing is on them"]


@pytest.mark.parametrize("spot", [(0, 0), (447, 447), (500, 700), (895, 895)])
def test_one_pixel_that_is_hardly_darker_is_something(spot: tuple[int, int]) -> None:
    paper = Image.new("RGB", (896, 896), (240, 240, 240))
    paper.putpixel(spot, (240, 240, 239))
    assert told(paper) == []


def test_a_prepared_page_says_that_it_is_blank_beside_what_its_renderer_says() -> None:
    complaint = Flag(FlagCode.renderer_complained, "Poppler says: Syntax Error")
    white = np.full((600, 500, 3), 255, np.uint8)
    made = run.prepare(PageImage(1, white, "pdfium", flags=(complaint,)), RECIPE)
    assert isinstance(made, PreparedPage) and made.flags == (complaint, EMPTY)
    white[300, 200:240] = 0
    made = run.prepare(PageImage(1, white, "pdfium"), RECIPE)
    assert isinstance(made, PreparedPage) and made.flags == ()


def test_an_empty_back_stops_no_document() -> None:
    made = merge.document([page(1, SHEET), replace(page(2, {}), flags=(EMPTY,))], RECEIPT)
    assert made.state == "done"
    assert remark(made) == ("info", "page 2: it is of one colour", ())


def test_what_was_read_from_an_empty_page_is_an_error_that_names_it() -> None:
    made = merge.document([page(1, {}), replace(page(2, SHEET), flags=(EMPTY,))], RECEIPT)
    assert made.state == "review"
    severity, message, fields = remark(made)
    assert (severity, message) == (
        "error",
        "page 2: it is of one colour, and yet values were read from it",
    )
    assert {"store", "date", "total", "lines[0].amount"} <= set(fields) and "address" not in fields


def remark(made: Extraction) -> tuple[str, str, tuple[str, ...]]:
    (check,) = named(made, "page_blank")
    assert isinstance(check, Check) and not check.passed
    return check.severity, check.message, check.fields
