"""A run's losses and scores over its steps, as a picture (SVG)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _EDGE = 760, 260, 56
_COLOURS = ("#1b5e8c", "#d98b1f", "#3a9d76", "#8e3b6f", "#5f6670")
_Points = Sequence[tuple[float, float]]


def svg(log: Iterable[Mapping[str, Any]]) -> str:
    """`log`: entries with "step", and "loss", "heldout_loss" or "scores" (name → {"f1"})."""
    lines: dict[str, list[tuple[float, float]]] = {}
    scores: dict[str, list[tuple[float, float]]] = {}
    for entry in log:
        for name in ("loss", "heldout_loss"):
            if entry.get(name) is not None:
                shown = "loss" if name == "loss" else "loss, held out"
                lines.setdefault(shown, []).append((entry["step"], math.log10(max(entry[name], 1e-4))))
        for name, score in entry.get("scores", {}).items():
            scores.setdefault(name, []).append((entry["step"], score["f1"]))
    levels = [y for points in lines.values() for _, y in points]
    low, high = (math.floor(min(levels)), math.ceil(max(levels))) if levels else (-1, 1)
    parts = [
        *_panel(0, "loss (logarithmic)", lines, low, max(high, low + 1), lambda y: f"{10**y:.2g}"),
        *_panel(_HEIGHT, "F1 of held-out values", scores, 0, 1, lambda y: f"{y:.0%}"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{2 * _HEIGHT}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(parts)}</svg>\n"
    )


def _panel(
    top: int, title: str, lines: Mapping[str, _Points], low: float, high: float, figure: Any
) -> Iterable[str]:
    last = max((x for points in lines.values() for x, _ in points), default=1) or 1

    def place(x: float, y: float) -> tuple[float, float]:
        share = (min(max(y, low), high) - low) / (high - low)
        return _EDGE + x / last * (_WIDTH - 2 * _EDGE), top + _HEIGHT - 40 - share * (_HEIGHT - 90)

    yield f'<text x="{_EDGE}" y="{top + 18}" font-weight="bold">{escape(title)}</text>'
    for tick in range(5):
        y = low + (high - low) * tick / 4
        left, at = place(0, y)
        yield f'<path d="M{left:.0f} {at:.1f}H{_WIDTH - _EDGE}" stroke="#ddd"/>'
        yield f'<text x="{_EDGE - 6}" y="{at + 4:.1f}" text-anchor="end">{figure(y)}</text>'
        x = last * tick / 4
        yield (
            f'<text x="{place(x, low)[0]:.0f}" y="{top + _HEIGHT - 22}" text-anchor="middle">{x:.0f}</text>'
        )
    yield f'<text x="{_WIDTH - _EDGE}" y="{top + _HEIGHT - 6}" text-anchor="end">steps</text>'
    for number, (name, points) in enumerate(sorted(lines.items())):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
        yield f'<text x="{_EDGE + 150 * number}" y="{top + 36}" fill="{colour}">{escape(name)}</text>'
