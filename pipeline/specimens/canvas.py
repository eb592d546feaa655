"""Drawing a page while keeping account of it: every character's place, every field's box.

Layouts draw in units of the full-size page; `scale` makes the same page smaller, so that training can draw
pages at the sizes that they will be read at. Ink is gathered in one mask a colour and laid on once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipeline.records import Pixels
from pipeline.specimens.fonts import Face, face, face_of_advance
from pipeline.specimens.specimen import Glyphs, Page, Run

Colour = tuple[int, int, int]
CENTRE = 0.36  # height of a letter's centre over the baseline, in units of the type size


class Canvas:
    def __init__(self, width: float, height: float, scale: float, backdrop: Image.Image) -> None:
        self.scale = scale
        self.width, self.height = round(width * scale), round(height * scale)
        self.backdrop = _stretched(backdrop, (self.width, self.height))
        self._ink: dict[Colour, _Ink] = {}
        self._runs: list[Run] = []
        self._letters: list[str] = []
        self._x: list[float] = []
        self._y: list[float] = []
        self._boxes: dict[str, tuple[float, float, float, float]] = {}

    def face(self, file_name: str, size: float) -> Face:
        return face(file_name, max(6, round(size * self.scale)))

    def face_of_advance(self, file_name: str, advance: float) -> Face:
        return face_of_advance(file_name, advance * self.scale)

    def measure(self, type_face: Face, text: str) -> float:
        """Width in layout units."""
        return type_face.width(text) / self.scale

    def wrap(self, type_face: Face, text: str, width: float, first: float | None = None) -> list[str]:
        return type_face.wrap(text, width * self.scale, None if first is None else first * self.scale)

    def text(
        self,
        type_face: Face,
        x: float,
        baseline: float,
        text: str,
        colour: Colour,
        field: str | None = None,
        align: str = "left",
        spacing: float = 0.0,
    ) -> float:
        """Draws one line and returns where it ends, all in layout units. `align` says what `x` is."""
        width = type_face.width(text) + spacing * self.scale * len(text)
        start = x * self.scale - {"left": 0.0, "centre": width / 2, "right": width}[align]
        base = baseline * self.scale
        ink = self._ink.get(colour)
        if ink is None:
            ink = self._ink[colour] = _Ink(np.zeros((self.height, self.width), np.uint8), self.height)
        pen, row = start, int(base + 0.5)
        left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
        centre = base - CENTRE * type_face.size
        for character in text:
            glyph = type_face.glyph(character)
            advance = glyph.advance + spacing * self.scale
            if glyph.ink is not None:
                height, breadth = glyph.ink.shape
                x0, y0 = int(pen + 0.5) + glyph.left, row + glyph.top
                ink.blend(glyph.ink, x0, y0)
                left, top = min(left, x0), min(top, y0)
                right, bottom = max(right, x0 + breadth), max(bottom, y0 + height)
            self._letters.append(character)
            self._x.append(pen + advance / 2)
            self._y.append(centre)
            pen += advance
        self._runs.append(Run(text, start, base, width, type_face.size, type_face.path, colour, field))
        if field is not None and right > left:
            self._extend(field, left, top, right, bottom)
        return pen / self.scale

    def _extend(self, field: str, left: float, top: float, right: float, bottom: float) -> None:
        old = self._boxes.get(field, (left, top, right, bottom))
        self._boxes[field] = (
            min(left, old[0]),
            min(top, old[1]),
            max(right, old[2]),
            max(bottom, old[3]),
        )

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Filled, on the backdrop; a side thinner than a pixel is drawn as one."""
        s = self.scale
        x0, y0 = round(x * s), round(y * s)
        x1, y1 = max(x0 + 1, round((x + width) * s)), max(y0 + 1, round((y + height) * s))
        self.backdrop.paste(colour, (x0, y0, x1, y1))

    def frame(self, x: float, y: float, width: float, height: float, colour: Colour, line: float) -> None:
        self.rectangle(x, y, width, line, colour)
        self.rectangle(x, y + height, width, line, colour)
        self.rectangle(x, y, line, height, colour)
        self.rectangle(x + width, y, line, height + line, colour)

    def picture(self, image: Image.Image, x: float, y: float, width: float, height: float) -> None:
        """Lays a picture on the backdrop; an alpha channel is respected."""
        size = (max(1, round(width * self.scale)), max(1, round(height * self.scale)))
        image = image.resize(size, Image.Resampling.BILINEAR)
        place = (round(x * self.scale), round(y * self.scale))
        self.backdrop.paste(image, place, image if image.mode == "RGBA" else None)

    def modules(self, matrix: Pixels, x: float, y: float, size: float) -> float:
        """Draws a square code (uint8 [n, n], 0 dark) in whole pixels; returns its side in layout units."""
        module = max(1, int(size * self.scale / len(matrix)))
        image = Image.fromarray(np.kron(matrix, np.ones((module, module), np.uint8)))
        self.backdrop.paste(image.convert("RGB"), (round(x * self.scale), round(y * self.scale)))
        return module * len(matrix) / self.scale

    def page(self) -> Page:
        image = self.backdrop.copy()
        for colour, ink in self._ink.items():
            if ink.bottom > ink.top:
                strip = Image.fromarray(ink.mask[ink.top : ink.bottom])
                image.paste(colour, (0, ink.top, self.width, ink.bottom), strip)
        boxes = {
            path: (
                max(0.0, x0 / self.width),
                max(0.0, y0 / self.height),
                min(1.0, x1 / self.width),
                min(1.0, y1 / self.height),
            )
            for path, (x0, y0, x1, y1) in self._boxes.items()
        }
        glyphs = Glyphs(
            np.array(self._letters, dtype="<U1"),
            np.array(self._x, np.float32),
            np.array(self._y, np.float32),
        )
        return Page(np.asarray(image), np.asarray(self.backdrop), glyphs, tuple(self._runs), boxes)


def _stretched(backdrop: Image.Image, size: tuple[int, int]) -> Image.Image:
    colours = backdrop.getcolors(1)
    if colours is not None:  # plain paper needs no interpolation, which is slow
        return Image.new(backdrop.mode, size, colours[0][1])
    return backdrop.resize(size, Image.Resampling.BICUBIC)


class _Ink:
    """One colour's coverage of the page, uint8 [height, width], and the rows that hold any of it."""

    def __init__(self, mask: Pixels, height: int) -> None:
        self.mask, self.top, self.bottom = mask, height, 0

    def blend(self, glyph: Pixels, x: int, y: int) -> None:
        height, width = glyph.shape
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + width, self.mask.shape[1]), min(y + height, self.mask.shape[0])
        if x1 > x0 and y1 > y0:
            here = self.mask[y0:y1, x0:x1]
            np.maximum(here, glyph[y0 - y : y1 - y, x0 - x : x1 - x], out=here)
            self.top, self.bottom = min(self.top, y0), max(self.bottom, y1)


def tint(corners: Sequence[Colour], columns: int = 2) -> Image.Image:
    """A tiny picture of the given colours, to be stretched into a soft background."""
    array = np.array(corners, np.uint8).reshape(-1, columns, 3)
    return Image.fromarray(array)
