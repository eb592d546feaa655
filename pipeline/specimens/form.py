"""Labels and values in rows that always fit: the type gets smaller until they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from pipeline.specimens.canvas import Canvas, Colour
from pipeline.specimens.fonts import Face
from pipeline.specimens.specimen import Value


@dataclass(frozen=True, slots=True)
class Item:
    """One label and the value behind it. A value of None leaves the label alone on its line."""

    path: str
    label: str
    value: str | None
    short: str = ""  # a label for when two items must share a line
    below: bool = False  # the value starts on the line under its label


@dataclass(frozen=True, slots=True)
class Style:
    label_font: str  # file names
    value_font: str
    label_colour: Colour
    value_colour: Colour
    advance: float  # mean width of a value's character, in layout units
    label_ratio: float = 0.68  # size of labels against values
    hang: bool = False  # a long value continues under its label, instead of starting there


@dataclass(frozen=True, slots=True)
class Area:
    left: float
    top: float
    right: float
    bottom: float
    max_pitch: float = 64.0


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    x: float
    path: str | None  # None for a label


def absent(rng: Random, paths: Sequence[str], chance: float) -> dict[str, bool]:
    """Which values are left out; True where the label is still printed."""
    return {path: rng.random() < 0.5 for path in paths if rng.random() < chance}


def items(rows: Sequence[Sequence[Item]], left_out: dict[str, bool]) -> list[list[Item]]:
    """The rows without the values (or the whole items) that are left out."""
    kept = []
    for row in rows:
        row_kept = [
            replace(item, value=None) if item.path in left_out else item
            for item in row
            if left_out.get(item.path, True)
        ]
        if row_kept:
            kept.append(row_kept)
    return kept


def printed(plan: dict[str, Value], path: str, label: str, short: str = "", below: bool = False) -> Item:
    return Item(path, label, plan[path].raw if path in plan else None, short or label, below)


def flow(canvas: Canvas, rows: Sequence[Sequence[Item]], area: Area, style: Style, rng: Random) -> float:
    """Draws the rows down the area; returns the baseline after the last one, in layout units."""
    advance = style.advance
    while True:
        value_face = canvas.face_of_advance(style.value_font, advance)
        label_face = canvas.face_of_advance(style.label_font, advance * style.label_ratio)
        lines, fits = _lines(canvas, rows, area, style, value_face, label_face)
        em = value_face.size / canvas.scale
        pitch = min(area.max_pitch, (area.bottom - area.top) / max(1, len(lines)))
        if (fits and pitch >= 1.08 * em) or advance < 0.6 * style.advance:
            break
        advance *= 0.96
    slack = area.bottom - area.top - pitch * len(lines)
    baseline = area.top + 0.8 * em + (pitch - em) / 2 + rng.uniform(0, max(0.0, slack))
    for line in lines:
        for piece in line:
            face = label_face if piece.path is None else value_face
            colour = style.label_colour if piece.path is None else style.value_colour
            canvas.text(face, piece.x, baseline, piece.text, colour, piece.path or None)
        baseline += pitch
    return baseline


def _lines(
    canvas: Canvas,
    rows: Sequence[Sequence[Item]],
    area: Area,
    style: Style,
    value_face: Face,
    label_face: Face,
) -> tuple[list[list[_Piece]], bool]:
    """The printed lines, and whether all of them stay inside the area."""
    gap = canvas.measure(value_face, "n") * 0.7
    lines: list[list[_Piece]] = []
    fits = True
    for row in rows:
        together = _side_by_side(canvas, row, area, value_face, label_face, gap)
        if together is not None:
            lines.append(together)
            continue
        for item in row:
            for line in _one(canvas, item, area, style, value_face, label_face, gap):
                lines.append(line)
                last = line[-1]
                face = label_face if last.path is None else value_face
                fits = fits and last.x + canvas.measure(face, last.text) <= area.right + 1
    return lines, fits


def _side_by_side(
    canvas: Canvas, row: Sequence[Item], area: Area, value_face: Face, label_face: Face, gap: float
) -> list[_Piece] | None:
    """Several items on one line, with short labels if need be; None when they do not fit."""
    if len(row) < 2:
        return None
    for short in (False, True):
        x, pieces = area.left, []
        for item in row:
            label = item.short if short else item.label
            pieces.append(_Piece(label, x, None))
            x += canvas.measure(label_face, label) + gap
            if item.value is not None:
                pieces.append(_Piece(item.value, x, item.path))
                x += canvas.measure(value_face, item.value)
            x += 3 * gap
        if x - 3 * gap <= area.right:
            return pieces
    return None


def _one(
    canvas: Canvas, item: Item, area: Area, style: Style, value_face: Face, label_face: Face, gap: float
) -> list[list[_Piece]]:
    label = _Piece(item.label, area.left, None)
    if item.value is None:
        return [[label]]
    start = area.left + canvas.measure(label_face, item.label) + gap
    width = area.right - area.left
    if not item.below and start + canvas.measure(value_face, item.value) <= area.right:
        return [[label, _Piece(item.value, start, item.path)]]
    if style.hang and not item.below:
        parts = canvas.wrap(value_face, item.value, width, area.right - start)
        if start + canvas.measure(value_face, parts[0]) <= area.right:
            rest = [[_Piece(part, area.left, item.path)] for part in parts[1:]]
            return [[label, _Piece(parts[0], start, item.path)], *rest]
    parts = canvas.wrap(value_face, item.value, width)
    return [[label], *([_Piece(part, area.left, item.path)] for part in parts)]
