"""Rough boxes are drawn around the print that they mean: of specimens, whose boxes are known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from infra.benchmarks.boxes import inside, overlap
from pipeline import ink, snap
from pipeline.place import CELLS, Cells, cells
from pipeline.records import Box, Pixels
from pipeline.specimens import make


def looked(box: Box, text: str, rng: np.random.Generator) -> Cells:
    """Where a model may look while it writes the text that stands there, in one tile's cells."""
    along = (np.arange(len(text)) + 0.5) / len(text)
    x = (box[0] + along * (box[2] - box[0])) * CELLS - 0.5 + rng.normal(0, 0.15, len(text))
    y = np.full(len(text), (box[1] + box[3]) / 2 * CELLS - 0.5 + rng.normal(0, 0.15))
    corners = np.stack([x, y, x + 1, y + 1], axis=1) / CELLS
    return Cells(np.clip(corners, 0, 1), along)


@pytest.mark.medium
@pytest.mark.parametrize("preset", ["clean", "worn"])
def test_boxes_of_a_specimens_values_are_those_of_its_print(preset: str) -> None:
    rng = np.random.default_rng(1)
    rough, final = [], []
    for seed in range(3):
        for kind in ("receipt", "id_card_front"):
            page = make(kind, seed, preset=preset)  # type: ignore[arg-type]
            marks = ink.find(page.pages[0].pixels)
            for there in page.truth["fields"].values():
                box, text = there["box"], there["raw"]
                if box[3] - box[1] > 0.07 or len(text) < 2:
                    continue  # more than one line, or a digit in its own cell
                guess = looked(box, text, rng)
                best = snap.snapped(guess, marks, text) or guess.box
                rough.append(overlap(box, guess.box))
                final.append((inside(box, best), overlap(box, best)))
    shares = np.mean(final, axis=0)
    assert np.mean(rough) < 0.5
    assert shares[0] >= 0.96 and shares[1] >= 0.75


def drawn(*texts: tuple[int, int, str], rule: int | None = None) -> Pixels:
    """A page of 448 × 448 pixels."""
    image = Image.new("RGB", (448, 448), "white")
    draw = ImageDraw.Draw(image)
    for x, y, text in texts:
        draw.text((x, y), text, "black", font_size=18)
    if rule is not None:
        draw.line((10, rule, 430, rule), "black", 2)
    return np.asarray(image)


def at(*centres: tuple[float, float]) -> Cells:
    """Cells around these pixels, one for each token of a text."""
    corners = np.array([[x - 14, y - 14, x + 14, y + 14] for x, y in centres]) / 448
    return Cells(corners, (np.arange(len(centres)) + 0.5) / len(centres))


def test_the_label_before_a_value_and_the_rule_under_it_are_left_out() -> None:
    marks = ink.find(drawn((40, 100, "Total:"), (120, 100, "1.234.567"), rule=126))
    box = snap.snapped(at((135, 112), (165, 108), (195, 110)), marks, "1.234.567")
    assert box is not None
    left, top, right, bottom = (448 * side for side in box)
    assert 116 < left < 126 and 195 < right < 215 and top > 98 and bottom < 125


def test_a_value_of_two_lines_has_both() -> None:
    marks = ink.find(drawn((180, 100, "Phường Bến Nghé,"), (40, 130, "Quận 1"), (40, 200, "khác")))
    tokens = [(200, 110), (240, 111), (280, 110), (320, 110), (45, 140), (60, 139), (75, 141), (90, 140)]
    box = snap.snapped(at(*tokens), marks, "Phường Bến Nghé, Quận 1")
    assert box is not None
    left, top, right, bottom = (448 * side for side in box)
    assert left < 46 and right > 300 and top < 106 and 140 < bottom < 160


def test_between_two_lines_nothing_is_sure() -> None:
    marks = ink.find(drawn((100, 100, "12.000"), (100, 130, "15.000")))
    assert snap.snapped(at((110, 126), (130, 126), (150, 126)), marks, "12.000") is None
    assert snap.snapped(at((110, 300), (130, 300)), marks, "12.000") is None  # there is no print


def test_print_on_a_dark_ground_is_ink_too() -> None:
    dark = 255 - drawn((100, 100, "12.000"))
    assert snap.snapped(at((110, 110), (130, 110), (150, 110)), ink.find(dark), "12.000") is not None


def test_a_page_without_ink_and_a_tiny_one_have_none() -> None:
    for shape in ((448, 448, 3), (1, 1, 3), (3, 2000, 3)):
        marks = ink.find(np.full(shape, 255, np.uint8))
        assert not marks.bits.any()
        assert snap.snapped(at((110, 110), (130, 110)), marks, "12") is None


def test_tokens_that_look_elsewhere_do_not_count_and_lines_that_go_on_do() -> None:
    row = [(0.5, 0, 4, column) for column in (8, 9, 10, 11)]
    wrapped = [(0.4, 0, 5.2, column) for column in (1, 2, 3)]
    stray = [(0.3, 0, 14, 3)]
    place = np.array([*row, *wrapped, *stray], np.float32)
    found = cells(place, np.arange(8) / 8, (1, 1), 1)
    assert found is not None and len(found.corners) == 7 and found.box[3] < 0.5
