"""Specimens of a delivery note: `python -m infra.benchmarks.delivery --out FOLDER [--count 250] [--seed 1]`.

Pictures and truth.jsonl, as `vinbatch specimens` writes them of its own papers. The number stands above the
title and the table before the people: no paper that the demo model knows is laid out so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random

from PIL import Image

from pipeline.records import Pixels
from pipeline.specimens import wear
from pipeline.specimens.canvas import Canvas, tint
from pipeline.specimens.fonts import SETS, Face
from pipeline.specimens.people import STREETS, People, between
from pipeline.specimens.trade import Trade

SCHEMA = f"{Path(__file__).with_name('delivery_note.py')}:DeliveryNote"
_WIDTH = 720
_LEFT_OUT = 0.08  # chance of each value of the header
_COUNTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 30, 50, 100)
_LABELS = {"place": "Giao tại", "receiver": "Bên nhận", "driver": "Lái xe"}
_BLUE = (20, 40, 120)


@dataclass(frozen=True, slots=True)
class Note:
    """pixels uint8 [height, width, 3]; printed texts by path, absent ones left out."""

    pixels: Pixels
    values: Mapping[str, str]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--count", type=int, default=250)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    write(given.out, given.count, given.seed)


def write(out: Path, count: int, seed: int) -> None:
    """PNG files and a truth.jsonl whose fields go by their paths."""
    out.mkdir(parents=True, exist_ok=True)
    empty = dict.fromkeys(("number", "date", "receiver", "place", "driver"))
    with (out / "truth.jsonl").open("w", encoding="utf-8") as file:
        for index in range(count):
            note = make(seed * 10**6 + index)
            name = f"note-{index + 1:05d}.png"
            Image.fromarray(note.pixels).save(out / name, compress_level=3)
            row = {"file": name, "schema": "delivery_note@1", **empty, **note.values}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def make(seed: int, invented: float = 0.1) -> Note:
    """The note of this seed; `invented` is the share of words that are random syllables."""
    rng = Random(f"delivery:{seed}")
    values, lines = _content(rng, invented)
    height = rng.randint(640, 760)
    white = rng.randint(235, 255)
    canvas = Canvas(_WIDTH, height, 1.0, tint([(white, white, white - rng.randint(0, 14))] * 4))
    _Sheet(canvas, rng, height, len(lines)).draw(values, lines)
    page = wear.apply(canvas.page(), wear.clean(rng))
    listed = {f"lines[{at}].{name}": text for at, line in enumerate(lines) for name, text in line.items()}
    return Note(page.pixels, {**values, **listed})


def _content(rng: Random, invented: float) -> tuple[dict[str, str], list[dict[str, str]]]:
    people, trade = People(rng, invented), Trade(rng, invented)
    values = {
        "number": f"GH{rng.randint(1, 99999):05d}",
        "date": f"{between(rng, date(2023, 1, 1), date(2026, 10, 31)):%d/%m/%Y}",
        "receiver": people.name(rng.choice(("Nam", "Nữ"))),
        "place": f"{people.house()} {people.word(STREETS)}, {people.province()}",
        "driver": people.name("Nam"),
    }
    values = {name: text for name, text in values.items() if rng.random() >= _LEFT_OUT}
    lines = [
        {"name": trade.ware()[0], "quantity": str(rng.choice(_COUNTS))} for _ in range(rng.randint(1, 3))
    ]
    return values, lines


class _Sheet:
    """Draws from the top down; `y` is the baseline of the next line."""

    def __init__(self, canvas: Canvas, rng: Random, height: int, lines: int) -> None:
        self.canvas, self.rng = canvas, rng
        family, advance = rng.choice(SETS["standard"]), rng.uniform(14.5, 16.0)
        self.plain: Face = canvas.face_of_advance(family.regular, advance)
        self.bold: Face = canvas.face_of_advance(family.bold, advance)
        self.small: Face = canvas.face_of_advance(family.regular, advance * 0.8)
        dark = rng.randint(5, 60)
        self.ink = (dark, dark, dark)
        self.left = 26.0 + rng.uniform(-6, 6)
        self.right = _WIDTH - self.left
        self.pitch = (height - 60) / (9 + lines)
        self.y = 30 + self.pitch * 0.7

    def draw(self, values: Mapping[str, str], lines: Sequence[Mapping[str, str]]) -> None:
        canvas = self.canvas
        if "number" in values:
            start = self.right - canvas.measure(self.bold, values["number"])
            canvas.text(self.bold, start, self.y, values["number"], (170, 20, 20), "number")
            canvas.text(self.small, start - 12, self.y, "Số phiếu", self.ink, align="right")
        head = self.rng.choice(("KHO HÀNG", "GIAO NHẬN", "VẬN TẢI"))
        canvas.text(self.bold, self.left, self.y, head, _BLUE)
        self.y += self.pitch
        canvas.text(self.bold, _WIDTH / 2, self.y, "PHIẾU GIAO HÀNG", _BLUE, align="centre")
        self.y += self.pitch
        if "date" in values:
            canvas.text(self.plain, _WIDTH / 2, self.y, "Giao ngày ", self.ink, align="right")
            canvas.text(self.plain, _WIDTH / 2 + 6, self.y, values["date"], self.ink, "date")
        self.y += self.pitch
        self._table(lines)
        for name, label in _LABELS.items():
            if name in values:
                self._labelled(name, label, values[name])

    def _table(self, lines: Sequence[Mapping[str, str]]) -> None:
        self._rule()
        self.canvas.text(self.bold, self.left, self.y, "SL", self.ink)
        self.canvas.text(self.bold, self.left + 90, self.y, "Mặt hàng", self.ink)
        self.y += self.pitch
        for at, line in enumerate(lines):
            quantity, name = f"lines[{at}].quantity", f"lines[{at}].name"
            self.canvas.text(
                self.plain, self.left + 60, self.y, line["quantity"], self.ink, quantity, align="right"
            )
            self.canvas.text(self.plain, self.left + 90, self.y, line["name"], self.ink, name)
            self.y += self.pitch
        self._rule()

    def _rule(self) -> None:
        self.canvas.rectangle(self.left, self.y - self.pitch * 0.75, self.right - self.left, 2, self.ink)

    def _labelled(self, name: str, label: str, text: str) -> None:
        start = self.canvas.text(self.small, self.left, self.y, label, _BLUE) + 14
        parts = self.canvas.wrap(self.plain, text, self.right - self.left, self.right - start)
        for x, part in zip([start, *[self.left] * (len(parts) - 1)], parts, strict=True):
            self.canvas.text(self.plain, x, self.y, part, self.ink, name)
            self.y += self.pitch


if __name__ == "__main__":
    main()
