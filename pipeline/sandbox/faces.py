"""Faces of the system that have Vietnamese letters, for texts whose own font is not in the PDF.

PDFium brings faces for such fonts that have the letters of Western Europe and no others: it leaves out "ộ"
where it has to draw "hội". Debian's fonts-liberation2 and fonts-dejavu-core have them all.
"""

from __future__ import annotations

import functools
import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts")
_DEPTH = 4  # folders within folders

Style = Literal["sans", "serif", "mono"]
# Stems of files: upright, bold, slanted, both. The first family that is installed is taken.
_FAMILIES: Mapping[Style, tuple[tuple[str, str, str, str], ...]] = {
    "sans": (
        (
            "LiberationSans-Regular", "LiberationSans-Bold",
            "LiberationSans-Italic", "LiberationSans-BoldItalic",
        ),
        ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
        ("NotoSans-Regular", "NotoSans-Bold", "NotoSans-Italic", "NotoSans-BoldItalic"),
    ),
    "serif": (
        (
            "LiberationSerif-Regular", "LiberationSerif-Bold",
            "LiberationSerif-Italic", "LiberationSerif-BoldItalic",
        ),
        ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
        ("NotoSerif-Regular", "NotoSerif-Bold", "NotoSerif-Italic", "NotoSerif-BoldItalic"),
    ),
    "mono": (
        (
            "LiberationMono-Regular", "LiberationMono-Bold",
            "LiberationMono-Italic", "LiberationMono-BoldItalic",
        ),
        ("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    ),
}  # fmt: skip
_WANTED = frozenset(stem for families in _FAMILIES.values() for family in families for stem in family)
_NOBODYS = 7  # a platform of no cmap


@dataclass(frozen=True, slots=True)
class Face:
    """A TrueType file as PDFium gets it, and the characters that it has letters for."""

    name: str
    data: bytes
    characters: frozenset[int]


@functools.cache
def installed() -> Mapping[str, str]:
    """Paths of the faces that are there, by the stems of their names."""
    return {stem: path for folder in _FOLDERS for stem, path in _within(folder, _DEPTH)}


def version() -> str:
    """What tells one set of installed faces from another; "absent" where there are none."""
    found = sorted((stem, os.stat(path).st_size) for stem, path in installed().items())  # noqa: PTH116
    return hashlib.sha256(repr(found).encode()).hexdigest()[:16] if found else "absent"


def choose(style: Style, *, bold: bool, slanted: bool) -> Face | None:
    """The face to stand for one that is missing; None where no family is installed."""
    for family in (*_FAMILIES[style], *_FAMILIES["sans"]):
        for stem in (family[bold + 2 * slanted], family[0]):
            if stem in installed():
                return _face(stem)
    return None


@functools.cache
def _face(stem: str) -> Face:
    with open(installed()[stem], "rb") as file:  # noqa: PTH123
        data = bytearray(file.read())
    records = tuple(_character_maps(data))
    characters = frozenset(
        code for platform, place, _ in records if platform in (0, 3) for code in _mapped(data, place)
    )
    # PDFium asks a face for its Macintosh map first and takes a font's own codes for Macintosh ones then.
    for platform, _, record in records:
        if platform == 1:
            struct.pack_into(">H", data, record, _NOBODYS)
    return Face(stem, bytes(data), characters)


def table(data: bytes | bytearray, tag: bytes) -> tuple[int, int]:
    """Where a table of a TrueType file lies: (offset, length); (0, 0) if it has none."""
    for i in range(struct.unpack_from(">H", data, 4)[0]):
        name, _, offset, length = struct.unpack_from(">4sIII", data, 12 + 16 * i)
        if name == tag:
            return offset, length
    return 0, 0


def _character_maps(data: bytearray) -> Iterator[tuple[int, int, int]]:
    """(platform, place, place of the record that says so) of each subtable of `cmap`."""
    start, _ = table(data, b"cmap")
    for i in range(struct.unpack_from(">H", data, start + 2)[0]):
        record = start + 4 + 8 * i
        platform, _, offset = struct.unpack_from(">HHI", data, record)
        yield platform, start + offset, record


def _mapped(data: bytearray, place: int) -> Iterator[int]:
    """The characters of a subtable in one of the two forms that fonts with many letters have."""
    form = struct.unpack_from(">H", data, place)[0]
    if form == 12:
        for i in range(struct.unpack_from(">I", data, place + 12)[0]):
            first, last, _ = struct.unpack_from(">III", data, place + 16 + 12 * i)
            yield from range(first, last + 1)
    elif form == 4:
        segments = struct.unpack_from(">H", data, place + 6)[0] // 2
        ends = struct.unpack_from(f">{segments}H", data, place + 14)
        starts = struct.unpack_from(f">{segments}H", data, place + 16 + 2 * segments)
        for first, last in zip(starts, ends, strict=True):
            yield from range(first, min(last, 0xFFFE) + 1)


def _within(folder: str, depth: int) -> Iterator[tuple[str, str]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # not there, or not ours to read
        return
    for entry in entries:
        stem, dot, ending = entry.name.rpartition(".")
        if entry.is_dir() and depth:
            yield from _within(entry.path, depth - 1)
        elif dot and ending == "ttf" and stem in _WANTED:
            yield stem, entry.path
