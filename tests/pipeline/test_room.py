"""A page gets as many tiles as leave room for its answer, and its letters stay readable."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.benchmarks.room import true_passes
from pipeline import run, tiles
from pipeline.keys import ModelFacts
from pipeline.place import cells
from pipeline.reading import page_result
from pipeline.recipe import Recipe
from pipeline.records import Failure, PageImage, PreparedPage
from pipeline.room import READABLE, SQUEEZE, Room, Tiling, tile_count, tiling
from pipeline.settings import Settings
from pipeline.textlines import TextLines
from schemas.shape import Leaf, Printed
from tests.pipeline.walker import compact, recite, spec_of

PHOTO, A4 = (1800, 2400), (1654, 2339)
INVOICE = Room(context=4096, tile=256, prompt=286, header=340, before=220, line=75, most_lines=60)


def unseen() -> NoReturn:
    raise AssertionError("the page need not be looked at")


def planned(
    size: tuple[int, int], rows: int, room: Room = INVOICE, letters: float = 22, most: int = 12
) -> Tiling:
    return tiling(*size, most, room, lambda: TextLines(rows + 1, letters))  # and a heading


@pytest.mark.parametrize(
    ("rows", "context", "grid", "passes"),
    [
        (1, 4096, (3, 4), 1),
        (5, 4096, (3, 3), 1),
        (12, 4096, (3, 3), 1),
        (13, 4096, (2, 3), 1),
        (22, 4096, (2, 3), 1),
        (30, 4096, (2, 3), 3),
        (30, 8192, (3, 4), 1),
    ],
)
def test_a_photo_takes_as_many_tiles_as_leave_room_for_its_lines(
    rows: int, context: int, grid: tuple[int, int], passes: int
) -> None:
    found = planned(PHOTO, rows, replace(INVOICE, context=context))
    assert found == Tiling(grid, passes, tight=grid != (3, 4), fewer=grid != (3, 4))


def test_small_letters_keep_their_tiles_and_the_answer_takes_passes() -> None:
    found = planned(PHOTO, 12, letters=READABLE / (448 * 3 / 1800) + 0.01)
    assert found == Tiling((3, 4), 7, tight=True)


def test_letters_are_given_up_before_the_answer_is() -> None:
    small = replace(INVOICE, context=2700)
    assert planned(PHOTO, 12, small, letters=5).grid == (2, 3)
    assert planned(PHOTO, 12, replace(small, context=300)) == Tiling((1, 1), None, tight=True, fewer=True)


def test_a_page_is_looked_at_only_where_that_may_matter() -> None:
    assert tiling(*PHOTO, 12, None, unseen) == Tiling((3, 4), None)
    card = replace(INVOICE, line=0, most_lines=0)
    assert tiling(*PHOTO, 12, card, unseen) == Tiling((3, 4), 1)
    assert tiling(*PHOTO, 12, replace(INVOICE, context=32768), unseen) == Tiling((3, 4), 1)


def test_no_more_lines_are_planned_for_than_the_schema_takes() -> None:
    assert planned(PHOTO, 50, replace(INVOICE, most_lines=1)) == Tiling((3, 4), 1)


def test_a_single_tile_stays_one_however_long_the_answer() -> None:
    assert planned(A4, 60, most=1) == Tiling((1, 1), 3, tight=True)


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    rows=st.integers(0, 120),
    letters=st.floats(0, 80),
    context=st.integers(256, 16000),
    most=st.integers(1, 12),
)
def test_whatever_the_page_its_grid_is_one_that_the_rule_allows(
    size: tuple[int, int], rows: int, letters: float, context: int, most: int
) -> None:
    room = replace(INVOICE, context=context)
    trained = tiles.grid(*size, most)
    found = planned(size, rows, room, letters, most)
    columns, lines = found.grid
    own = {tiles.grid(*size, limit) for limit in range(1, most + 1)}
    assert found.grid in own or 1 / SQUEEZE <= size[0] / size[1] / (columns / lines) <= SQUEEZE
    assert tile_count(found.grid) <= tile_count(trained)
    assert found.passes == room.passes(tile_count(found.grid), min(rows, 60))
    if not found.tight:
        assert (found.grid, found.passes) == (trained, 1)


@pytest.mark.medium
@settings(max_examples=200)
@given(
    before=st.integers(3, 300),
    after=st.integers(2, 300),
    line=st.integers(3, 90),
    lines=st.integers(0, 60),
    left=st.integers(1, 1500),
)
def test_passes_are_those_that_the_engine_takes(
    before: int, after: int, line: int, lines: int, left: int
) -> None:
    """Against its own choice of what leaves, token by token."""
    room = Room(context=left, tile=0, prompt=0, header=before + after, before=before, line=line)
    assert room.passes(0, lines) == true_passes(tokens(before, after, line, lines), left)


def tokens(before: int, after: int, line: int, lines: int) -> list[bytes]:
    """An answer of so many; a line ends in `}`, and the next begins with the comma."""
    head = [b"{", b'"t":', *[b" "] * (before - 3), b"["]
    rows = [part for n in range(lines) for part in (b",{" if n else b"{", *[b" "] * (line - 2), b"}")]
    return [*head, *rows, b"]", *[b" "] * (after - 2), b"}"]


# the way of a page through the pipeline

WORD = spec_of(Leaf("word", "Chữ", Printed("[a-z]{1,9}", str, "text", 9)))


def recipe(context: int) -> Recipe:
    room = Room(context=context, tile=256, prompt=100, header=50)
    return Recipe.of(WORD, Settings(), ModelFacts("c" * 64, 12, "cpu float32", room))


def photo() -> PageImage:
    pixels = np.random.default_rng(0).integers(0, 256, (800, 600, 3), np.uint8)
    return PageImage(1, pixels, "pillow")


def prepared(context: int) -> PreparedPage:
    page = run.prepare(photo(), recipe(context))
    assert not isinstance(page, Failure)
    return page


@pytest.mark.medium
def test_a_page_is_cut_as_planned_and_as_the_reference_would_with_so_few_tiles() -> None:
    from PIL import Image

    plenty, short = prepared(8192), prepared(2100)
    assert (plenty.grid, len(plenty.tiles)) == ((3, 4), 13)
    assert (short.grid, len(short.tiles)) == ((2, 3), 7)
    image = Image.fromarray(photo().pixels)
    assert np.array_equal(plenty.tiles, tiles.split(image, 12))
    assert np.array_equal(short.tiles, tiles.split(image, 6))
    assert run.without_tiles(short).grid == (2, 3) and len(run.without_tiles(short).tiles) == 7


def test_boxes_are_those_of_the_grid_that_was_really_used() -> None:
    page = replace(run.without_tiles(prepared(2100)), ink=None)
    said = recite(compact({"Chữ": "sen"}), "1")
    place = np.tile(np.float32([0.5, 3, 4, 4]), (len(said.spans), 1))  # in tile 3 of 2×3: second row, right
    result = page_result(page, replace(said, place=place), recipe(2100), "key")
    assert result.record is not None and result.tiles == 7
    (field,) = result.record.fields
    expected = cells(place, np.zeros(len(place)), (2, 3), 7)
    assert expected is not None and field.box == expected.box
    assert field.box is not None and 0.5 < field.box[0] < 1 and 1 / 3 < field.box[1] < 2 / 3


def test_a_page_that_claims_another_grid_than_its_tiles_is_refused() -> None:
    with pytest.raises(ValueError, match=r"page 1 has 7 tiles, and its grid is \(3, 4\)"):
        replace(prepared(2100), grid=(3, 4))


def test_the_context_is_in_the_key_and_what_follows_from_other_parts_of_it_is_not() -> None:
    assert recipe(4096).key != recipe(12288).key
    facts = ModelFacts("c" * 64, 12, "cpu float32", Room(4096, 256, 100, 50))
    other = replace(facts, room=Room(4096, 256, 101, 55))
    assert Recipe.of(WORD, Settings(), facts).key == Recipe.of(WORD, Settings(), other).key
