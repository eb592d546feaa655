"""What the demo model is shown: pages, and crops full of text. Truth comes from the specimens themselves.

A page passes through the product's own tiler; its question and its answer are the product's own prompt and
the grammar's own wording. For the auxiliary loss each 28-pixel cell knows the characters centred in it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from infra.demo_model.alphabet import TEXT
from pipeline import grammar, prompt, tiles
from pipeline.records import Pixels
from pipeline.specimens import Specimen, make
from pipeline.specimens.fonts import MONO_SETS, SETS, face
from pipeline.specimens.making import Preset
from pipeline.specimens.people import MALE_GIVEN, SURNAMES, People
from pipeline.vintern.config import TILE
from schemas import registry

CELL = 28  # pixels of a tile that one visual token covers, each way
SIDE = 16  # cells of a tile, each way
SLOTS = 8  # characters that a cell can hold
BLANK = len(TEXT)  # the label of an empty slot
UNTOLD = -100  # the label of a slot of which nothing is asked
MOST_LINES = 5  # of an invoice that is shown
MAX_TILES = {"invoice": 6}  # of a page, the thumbnail apart; papers that are not named: 1
INDEX = {character: number for number, character in enumerate(TEXT)}


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a tile, to be read cell by cell.

    pixels  uint8 [height, width, 3]
    cells   int16 [cells, SLOTS]: characters in reading order, BLANK where there is none
    offset  row and column of the crop in the tile, in cells
    """

    pixels: npt.NDArray[np.uint8]
    cells: npt.NDArray[np.int16]
    offset: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PageSample:
    """A page in tiles, with a question and its answer.

    tiles  uint8 [n, 448, 448, 3]
    cells  int16 [n, 256, SLOTS]; UNTOLD in a thumbnail, whose letters are too small
    """

    tiles: Pixels
    cells: npt.NDArray[np.int16]
    kind: str
    question: str
    answer: str


@lru_cache
def spec(name: str) -> registry.SchemaSpec:
    return registry.resolve(f"{name}@1")  # the demo model was trained on version 1


def page(
    kind: str,
    schema: str,
    seed: int,
    *,
    blank: float,
    preset: Preset = "training",
    fonts: str = "standard",
    layouts: str | None = None,
) -> PageSample:
    """A specimen of `kind` under the question of `schema`; other papers than its own hold nothing."""
    how = {"preset": preset, "fonts": fonts, "layouts": layouts, "blank": blank}
    return asked(make(kind, seed, most_lines=MOST_LINES, **how), schema)  # type: ignore[arg-type]


def asked(specimen: Specimen, schema: str) -> PageSample:
    sheet = specimen.pages[0]
    height, width = sheet.pixels.shape[:2]
    columns, rows = tiles.grid(width, height, MAX_TILES.get(schema, 1))
    cut = tiles.cut(Image.fromarray(sheet.pixels), (columns, rows))
    glyphs = sheet.glyphs
    whole = label(
        glyphs.characters,
        glyphs.x * (TILE * columns / width),
        glyphs.y * (TILE * rows / height),
        SIDE * rows,
        SIDE * columns,
    )
    cells = np.full((len(cut), SIDE * SIDE, SLOTS), UNTOLD, np.int16)
    by_tile = whole.reshape(rows, SIDE, columns, SIDE, SLOTS).swapaxes(1, 2)
    cells[: rows * columns] = by_tile.reshape(rows * columns, SIDE * SIDE, SLOTS)
    own = specimen.schema.split("@")[0] == schema
    values = specimen.raw(1) if own else {}
    answer = grammar.answer(spec(schema).shape, values)
    return PageSample(cut, cells, specimen.kind, question(schema), answer)


@lru_cache
def question(schema: str) -> str:
    return prompt.build(spec(schema))


def cut(page: PageSample, side: int) -> list[Crop]:
    """A page's tiles in square crops of `side` cells, those that hold any text."""
    found = []
    for tile, told in zip(page.tiles, page.cells, strict=True):
        grid = told.reshape(SIDE, SIDE, SLOTS)
        for row in range(0, SIDE - side + 1, side):
            for column in range(0, SIDE - side + 1, side):
                cells = grid[row : row + side, column : column + side].reshape(-1, SLOTS)
                if ((cells != BLANK) & (cells != UNTOLD)).sum() >= 6:
                    y, x = row * CELL, column * CELL
                    pixels = tile[y : y + side * CELL, x : x + side * CELL]
                    found.append(Crop(np.ascontiguousarray(pixels), cells, (row, column)))
    return found


def dense(rng: random.Random, side: int) -> Crop:
    """Invented text all over `side` × `side` cells, in the narrow letters of a page squeezed into a tile."""
    size = side * CELL
    narrow = rng.uniform(0.55, 1.05)  # width of a letter against its natural width
    wide = round(size / narrow)
    ink = np.zeros((size, wide), np.uint8)
    characters: list[str] = []
    xs: list[float] = []
    ys: list[float] = []
    slope = rng.gauss(0, 0.01)
    baseline = rng.uniform(-4, 24)
    people = People(rng, invented=0.6)
    while baseline < size + 8:
        family = MONO_SETS["standard"] if rng.random() < 0.12 else rng.choice(SETS["standard"])
        type_face = face(rng.choice((family.regular, family.bold)), rng.randint(14, 27))
        baseline += type_face.size * rng.uniform(0.75, 1.0)
        pen, spacing = rng.uniform(-40, 20), rng.uniform(-0.3, 1.0)
        for character in _line(rng, people, wide):
            glyph = type_face.glyph(character)
            y = baseline + slope * pen
            if glyph.ink is not None:
                _blend(ink, glyph.ink, int(pen + 0.5) + glyph.left, int(y + 0.5) + glyph.top)
            characters.append(character)
            xs.append((pen + glyph.advance / 2) * size / wide)
            ys.append(y - 0.36 * type_face.size)
            pen += glyph.advance + spacing
            if pen > wide:
                break
        baseline += type_face.size * rng.uniform(0.25, 0.8)
    cells = label(np.array(characters), np.array(xs), np.array(ys), side, side)
    mask = Image.fromarray(ink).resize((size, size), Image.Resampling.BICUBIC)
    pixels = _colour(rng, np.asarray(mask, np.float32) / 255)
    return Crop(pixels, cells, (rng.randint(0, 16 - side), rng.randint(0, 16 - side)))


def label(
    characters: npt.NDArray[np.str_],
    x: npt.NDArray[np.floating],
    y: npt.NDArray[np.floating],
    rows: int,
    columns: int,
) -> npt.NDArray[np.int16]:
    """Characters and their centres in tile pixels → int16 [rows · columns, SLOTS], in reading order."""
    cells = np.full((rows * columns, SLOTS), BLANK, np.int16)
    row, column = np.floor(y / CELL).astype(int), np.floor(x / CELL).astype(int)
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    filled = np.zeros(rows * columns, int)
    for at in np.lexsort((x, np.round(y / 10))):
        number = INDEX.get(str(characters[at]))
        if not inside[at] or number is None:
            continue
        cell = row[at] * columns + column[at]
        if filled[cell] < SLOTS:
            cells[cell, filled[cell]] = number
            filled[cell] += 1
    return cells


def _line(rng: random.Random, people: People, width: int) -> str:
    """Text about `width` pixels long: names, places, dates, numbers, amounts, MRZ, letters at random."""
    parts: list[str] = []
    while sum(map(len, parts)) * 9 < width:
        pick = rng.random()
        if pick < 0.2:
            parts.append("".join(rng.choice(TEXT) for _ in range(8)))
        elif pick < 0.3:
            parts.append("".join(rng.choice("0123456789") for _ in range(rng.choice((4, 8, 12)))))
        elif pick < 0.4:
            parts.append(f"{rng.randint(1, 31):02d}/{rng.randint(1, 12):02d}/{rng.randint(1930, 2049)}")
        elif pick < 0.48:
            parts.append(
                rng.choice(("{:,}", "{:,}₫", "{:,} đ"))
                .format(rng.randint(1, 9999) * 500)
                .replace(",", rng.choice(".,"))
            )
        elif pick < 0.53:
            parts.append("".join(rng.choice("0123456789<<<<ABCDEFGHIKLMNOPQRSTUVXY") for _ in range(15)))
        elif pick < 0.75:
            name = " ".join(people.word(rng.choice((SURNAMES, MALE_GIVEN))) for _ in range(2))
            parts.append(name.upper() if rng.random() < 0.6 else name)
        else:
            parts.append(people.address() if rng.random() < 0.5 else people.commune())
    return " ".join(parts)


def _blend(ink: npt.NDArray[np.uint8], glyph: npt.NDArray[np.uint8], x: int, y: int) -> None:
    height, width = glyph.shape
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, ink.shape[1]), min(y + height, ink.shape[0])
    if x1 > x0 and y1 > y0:
        here = ink[y0:y1, x0:x1]
        np.maximum(here, glyph[y0 - y : y1 - y, x0 - x : x1 - x], out=here)


def _colour(rng: random.Random, mask: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Dark ink on light, uneven paper, with a little noise."""
    noise = np.random.default_rng(rng.getrandbits(32))
    corners = noise.uniform(150, 255, (2, 2, 3)).astype(np.uint8)
    paper = np.asarray(
        Image.fromarray(corners).resize(mask.shape[::-1], Image.Resampling.BILINEAR), np.float32
    )
    ink = noise.uniform(0, 90, 3).astype(np.float32)
    pixels = paper + (ink - paper) * (mask * rng.uniform(0.7, 1.0))[..., None]
    pixels += noise.normal(0, rng.uniform(0, 10), mask.shape)[..., None]
    return np.clip(pixels, 0, 255).astype(np.uint8)
