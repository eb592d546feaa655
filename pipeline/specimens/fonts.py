"""Type faces: which families specimens are set in, where their files are, and their glyphs as small pictures.

Two sets of families, so that a reader can be judged on type that it has never seen.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

from pipeline.errors import UsageError
from pipeline.records import Pixels

LETTERS = "abcdefghijklmnopqrstuvwxyzđ" + "".join(
    sorted(
        {
            unicodedata.normalize("NFC", base + tone)
            for base in "aăâeêioôơuưy"
            for tone in ("", "\u0300", "\u0301", "\u0309", "\u0303", "\u0323")
        }
        - set("aeiouy")
    )
)
NEEDED = LETTERS + LETTERS.upper() + "0123456789" + ".,:;/-–()'\"%+*<&#=₫"
MACHINE_READABLE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<"


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    regular: str  # file names
    bold: str
    package: str  # Debian package that brings them


LIBERATION = Family(
    "Liberation Sans", "LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf", "fonts-liberation2"
)
NOTO = Family("Noto Sans", "NotoSans-Regular.ttf", "NotoSans-Bold.ttf", "fonts-noto-core")
ROBOTO = Family("Roboto", "Roboto-Regular.ttf", "Roboto-Bold.ttf", "fonts-roboto-unhinted")
OPEN = Family("Open Sans", "OpenSans-Regular.ttf", "OpenSans-Bold.ttf", "fonts-open-sans")
DEJAVU = Family("DejaVu Sans", "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "fonts-dejavu-core")
TIMES = Family(
    "Liberation Serif", "LiberationSerif-Regular.ttf", "LiberationSerif-Bold.ttf", "fonts-liberation2"
)
LATO = Family("Lato", "Lato-Regular.ttf", "Lato-Bold.ttf", "fonts-lato")
FREE = Family("FreeSans", "FreeSans.ttf", "FreeSansBold.ttf", "fonts-freefont-ttf")
MONO = Family("DejaVu Sans Mono", "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "fonts-dejavu-core")
HELD_OUT_MONO = Family(
    "Liberation Mono", "LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf", "fonts-liberation2"
)

SETS: dict[str, tuple[Family, ...]] = {
    "standard": (LIBERATION, NOTO, ROBOTO, OPEN, DEJAVU),
    "held-out": (LATO, FREE),
}
INVOICE_SETS: dict[str, tuple[Family, ...]] = {
    "standard": (*SETS["standard"], TIMES),
    "held-out": SETS["held-out"],
}
MONO_SETS: dict[str, Family] = {"standard": MONO, "held-out": HELD_OUT_MONO}


def check_set(name: str) -> None:
    """Raises UsageError when the set does not exist or a font of it is not installed."""
    if name not in SETS:
        raise UsageError(f"unknown font set {name!r}: choose one of {', '.join(sorted(SETS))}")
    for family in INVOICE_SETS[name]:
        for file_name in (family.regular, family.bold):
            find(file_name)
    find(MONO_SETS[name].regular)


@lru_cache(maxsize=64)
def find(file_name: str) -> str:
    """The path of an installed font file that holds every character needed of it; raises UsageError."""
    index = _installed()
    paths = index.get(file_name, ())
    for path in paths:
        if not _lacking(path):
            return path
    packages = sorted({f.package for s in INVOICE_SETS.values() for f in s} | {MONO.package})
    state = f"lacks {_lacking(paths[0])[:8]!r}" if paths else "is not installed"
    raise UsageError(
        f"specimens need the font {file_name}, which {state}: run `apt-get install {' '.join(packages)}`"
    )


@lru_cache(maxsize=1)
def _installed() -> dict[str, tuple[str, ...]]:
    home = Path.home()
    shared = os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":")
    roots = [home / ".local/share/fonts", home / ".fonts", home / "Library/Fonts", Path("/Library/Fonts")]
    roots += [Path(folder) / "fonts" for folder in shared if folder]
    found: dict[str, list[str]] = {}
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                if name.endswith((".ttf", ".otf")):
                    found.setdefault(name, []).append(str(Path(folder) / name))
    return {name: tuple(sorted(paths)) for name, paths in found.items()}


@lru_cache(maxsize=64)
def _lacking(path: str) -> str:
    """The needed characters that a font file does not draw, or draws just like another one.

    Carlito of Debian 12, for one, has Ậ Ệ Ộ in its tables and draws Ạ Ẹ Ọ for them.
    """
    font = ImageFont.truetype(path, 80, layout_engine=ImageFont.Layout.BASIC)
    seen = {_drawn(font, unknown): unknown for unknown in ("\ufffe", "\U000f1234")}
    lacking = ""
    for character in MACHINE_READABLE if "Mono" in Path(path).name else NEEDED:
        drawn = _drawn(font, character)
        if drawn in seen or not drawn[0]:
            lacking += character
        seen[drawn] = character
    return lacking


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> tuple[bytes, tuple[int, int], tuple[int, int]]:
    mask, offset = font.getmask2(character, mode="L", anchor="ls")
    return bytes(mask), mask.size, (int(offset[0]), int(offset[1]))


@dataclass(frozen=True, slots=True)
class Glyph:
    """ink uint8 [h, w], None for a blank; left and top of the ink from the pen on the baseline, in pixels."""

    ink: Pixels | None
    left: int
    top: int
    advance: float


class Face:
    """A font at one size in pixels; glyphs are drawn once and kept."""

    def __init__(self, path: str, size: int) -> None:
        self.path, self.size = path, size
        self._font = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
        self._glyphs: dict[str, Glyph] = {}
        self._advances: dict[str, float] = {}

    def glyph(self, character: str) -> Glyph:
        glyph = self._glyphs.get(character)
        if glyph is None:
            mask, (left, top) = self._font.getmask2(character, mode="L", anchor="ls")
            width, height = mask.size
            ink = np.frombuffer(bytes(mask), np.uint8).reshape(height, width) if width * height else None
            glyph = Glyph(ink, int(left), int(top), float(self._font.getlength(character)))
            self._glyphs[character] = glyph
        return glyph

    def width(self, text: str) -> float:
        known, total = self._advances, 0.0
        for character in text:
            if character not in known:
                known[character] = self.glyph(character).advance
            total += known[character]
        return total

    def wrap(self, text: str, width: float, first: float | None = None) -> list[str]:
        """Words in lines of at most `width` pixels (the first line `first`); a longer word stands alone."""
        lines, line, limit = [], "", width if first is None else first
        for word in text.split(" "):
            longer = f"{line} {word}" if line else word
            if line and self.width(longer) > limit:
                lines.append(line)
                line, limit = word, width
            else:
                line = longer
        return [*lines, line]


@lru_cache(maxsize=2048)
def face(file_name: str, size: int) -> Face:
    return Face(find(file_name), size)


@lru_cache(maxsize=64)
def _advance(file_name: str) -> float:
    """Mean width of a character in ordinary text, in units of the type size."""
    sample = "Nguyễn Thị Minh Hương, 0123456789 PHẠM VĂN ĐỨC, Phường Tân Định"
    return face(file_name, 100).width(sample) / len(sample) / 100


def face_of_advance(file_name: str, advance: float) -> Face:
    """The face whose characters are `advance` pixels wide on average: widths alike, whatever the family."""
    return face(file_name, max(6, round(advance / _advance(file_name))))
