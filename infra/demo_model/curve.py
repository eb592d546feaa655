"""A run's log as a picture: value loss by kind of page, and held-out scores, over the time of learning."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 900, 420
LEFT, RIGHT, ABOVE, BELOW = 60, 190, 40, 40  # margins in pixels; the lines' names stand in the right one
LETTER = 15  # pixels from one name to the next at least
COLOURS = ("#1f6f8b", "#c8553d", "#588157", "#8d5a97", "#bc8a2b", "#444444", "#d081b0", "#3a7d44")
STEPS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120)  # minutes between two marks
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
    lowest = min((y for points in scores.values() for _, y in points), default=0.0)
    image = Image.new("RGB", (WIDTH, 2 * HEIGHT), "white")
    _panel(image, 0, "loss on value tokens (log)", losses, (-3.0, 1.0), lambda y: f"{10**y:.2g}")
    floor = math.floor(lowest * 10) / 10
    _panel(image, HEIGHT, "held-out fields exactly right", scores, (floor, 1.0), lambda y: f"{y:.0%}")
    image.save(picture)


def _panel(
    image: Image.Image,
    top: int,
    title: str,
    series: Series,
    bounds: tuple[float, float],
    tick: Callable[[float], str],
) -> None:
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    latest = max((x for points in series.values() for x, _ in points), default=1.0) or 1.0
    low, high = bounds

    def place(x: float, y: float) -> tuple[float, float]:
        share = (min(max(y, low), high) - low) / (high - low)
        across = LEFT + x / latest * (WIDTH - LEFT - RIGHT)
        return across, top + HEIGHT - BELOW - share * (HEIGHT - ABOVE - BELOW)

    pen.text((LEFT, top + 8), title, "black", font)
    for number in range(5):
        y = low + (high - low) * number / 4
        height = place(0, y)[1]
        pen.line([(LEFT, height), (WIDTH - RIGHT, height)], "#dddddd")
        pen.text((8, height - 7), tick(y), "black", font)
    step = next((step for step in STEPS if latest / step <= 8), STEPS[-1])
    for number in range(int(latest / step) + 1):
        pen.text(
            (place(number * step, low)[0] - 12, top + HEIGHT - BELOW + 6),
            f"{number * step:g} min",
            "black",
            font,
        )
    ends = sorted((place(*points[-1])[1], name) for name, points in series.items())
    below = -math.inf  # where the name above ends
    for number, (height, name) in enumerate(ends):
        colour = COLOURS[number % len(COLOURS)]
        if len(series[name]) > 1:
            pen.line([place(x, y) for x, y in series[name]], colour, 2)
        at = max(height - 7, below)
        at = min(at, top + HEIGHT - LETTER * (len(ends) - number))  # the rest find room under it
        pen.text((WIDTH - RIGHT + 8, at), f"{name} {tick(series[name][-1][1])}", colour, font)
        below = at + LETTER
