"""A run's log as a picture: value loss by kind of page, and held-out scores, over the samples seen."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, MARGIN = 900, 420, 60
COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#8d5a97", "#bc8a2b", "#444444", "#d081b0", "#3a7d44")
Series = dict[str, list[tuple[float, float]]]


def draw(log: Path, picture: Path) -> None:
    """Writes the PNG. Losses on a logarithmic scale above, shares of right fields below."""
    losses: Series = defaultdict(list)
    scores: Series = defaultdict(list)
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        minutes = entry["seconds"] / 60
        for name, value in entry.items():
            if name.startswith("value_loss ") or name == "crop_loss":
                losses[name].append((minutes, math.log10(max(value, 1e-3))))
        for name, fields in entry.get("heldout", {}).items():
            nothing = set(fields) == {"all", "absent"}  # to be read: its nulls are told
            scores[name].append((minutes, fields["absent" if nothing else "all"]))
    image = Image.new("RGB", (WIDTH, 2 * HEIGHT), "white")
    _panel(image, 0, "loss on value tokens (log)", losses, -2.0, 1.0, lambda y: f"{10**y:.2g}")
    _panel(image, HEIGHT, "held-out fields exactly right", scores, 0.0, 1.0, lambda y: f"{y:.0%}")
    image.save(picture)


def _panel(image: Image.Image, top: int, title: str, series: Series, low: float, high: float, tick) -> None:  # type: ignore[no-untyped-def]
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    latest = max((x for points in series.values() for x, _ in points), default=1.0) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        share = (min(max(y, low), high) - low) / (high - low)
        return MARGIN + x / latest * (WIDTH - 2 * MARGIN), top + HEIGHT - MARGIN - share * (
            HEIGHT - 2 * MARGIN
        )

    pen.text((MARGIN, top + 8), title, "black", font)
    for number in range(6):
        y = low + (high - low) * number / 5
        left, height = place(0, y)
        pen.line([(left, height), (WIDTH - MARGIN, height)], "#dddddd")
        pen.text((8, height - 7), tick(y), "black", font)
        x = latest * number / 5
        pen.text((place(x, low)[0] - 12, top + HEIGHT - MARGIN + 6), f"{x:.3g} min", "black", font)
    for number, (name, points) in enumerate(sorted(series.items())):
        colour = COLOURS[number % len(COLOURS)]
        if len(points) > 1:
            pen.line([place(x, y) for x, y in points], colour, 2)
        pen.text((MARGIN + 150 * (number % 5), top + 24 + 14 * (number // 5)), name, colour, font)
