"""Charts as SVG: axes with names and figures, a legend, and the counts beside what they count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.printable import printable
from pipeline.trust.measures import Bin, Risk

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 26, 22, 52  # room around what is drawn, for the words
_ACROSS, _DOWN = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_LETTER = 6.6  # pixels, about, of a figure of 12 pixels
_MOST_LABELS = 9
# Told apart in every kind of colour blindness, and by their darkness on paper.
COLOURS = ("#1b5e8c", "#d98b1f", "#3a9d76", "#8e3b6f", "#7a9cc6", "#5f6670")
OF_STATE = {"done": "#2b8a5f", "review": "#e0a030", "partial": "#b65a1e", "quarantined": "#a8262c"}


@dataclass(frozen=True, slots=True)
class Series:
    """What one colour stands for: a figure for each column, none below 0."""

    name: str
    colour: str
    values: Sequence[float]


def columns(
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    figure: Callable[[float], str],
    title: str,
    inside: bool = False,
) -> Markup:
    """A column for each label, the series on top of each other.

    Figures stand where there is room: the sum above or, `inside`, that of each series in its part.
    """
    totals = [sum(one.values[i] for one in series) for i in range(len(labels))]
    top, step = _scale(max(totals, default=0.0))
    width = _ACROSS / max(len(labels), 1)
    parts = [*_grid(top, step, figure), *_names(x, y)]
    for i in range(len(labels)):
        below, left = 0.0, _LEFT + i * width
        for one in series:
            high = one.values[i] / top * _DOWN
            at = _TOP + _DOWN - below - high
            if high:
                tip = f"{labels[i]}{one.name and ', ' + one.name}: {figure(one.values[i])}"
                parts.append(_bar(left + width * 0.08, at, width * 0.84, high, one.colour, tip))
            if inside and high > 16:
                parts.append(
                    _text(left + width / 2, at + high / 2 + 4, figure(one.values[i]), "middle", "inside")
                )
            below += high
        said = figure(totals[i])
        room = max(width, 30.0 if totals[i] == max(totals) else 0.0)
        if totals[i] and not inside and len(said) * _LETTER <= room:
            parts.append(_text(left + width / 2, _TOP + _DOWN - below - 5, said, "middle", "figure"))
    every = math.ceil(
        len(labels) / min(_MOST_LABELS, max(1, int(_ACROSS / (_LETTER * _longest(labels) + 12))))
    )
    for i in range(0, len(labels), every):
        parts.append(_text(_LEFT + (i + 0.5) * width, _TOP + _DOWN + 18, labels[i], "middle"))
    return _svg(parts, [(one.name, one.colour) for one in series if one.name], title)


def risk(
    curves: Sequence[Risk], marks: Sequence[float | None], promised: float | None, unit: str, title: str
) -> Markup:
    """How wrong is what is accepted, by how much is: a line for each tier.

    `marks` are the thresholds in force, one a curve; `promised` is the promised share of right values.
    """
    worst = max((point.risk for curve in curves for point in curve.points), default=0.0)
    allowed = None if promised is None else 1 - promised
    top, step = _scale(max(worst, 0.01, 1.5 * (allowed or 0.0)))
    parts = [
        *_grid(top, step, _percent),
        *_names(f"share of {unit} that pass, the surest first", "wrong values in them"),
    ]
    parts += [_text(_LEFT + i / 5 * _ACROSS, _TOP + _DOWN + 18, f"{i * 20}%", "middle") for i in range(6)]
    if allowed is not None and promised is not None:
        at = _TOP + _DOWN * (1 - allowed / top)
        parts.append(
            Markup('<path class="promise" d="M {} {:.1f} H {}"/>').format(_LEFT, at, _LEFT + _ACROSS)
        )
        parts.append(_text(_LEFT + 6, at - 5, f"promised: {promised:.1%} right", "start", "figure"))
    legend = []
    for curve, mark, colour in zip(curves, marks, _colours(), strict=False):
        spots = [(_LEFT + p.coverage * _ACROSS, _TOP + _DOWN * (1 - p.risk / top)) for p in curve.points]
        legend.append((f"{curve.tier or 'tier not measured'} ({curve.items:,})", colour))
        if spots:
            path = "M " + " L ".join(f"{a:.1f} {b:.1f}" for a, b in spots)
            parts.append(Markup('<path class="line" d="{}" stroke="{}"/>').format(path, colour))
        passing = [
            (spot, p)
            for spot, p in zip(spots, curve.points, strict=True)
            if mark is not None and p.threshold >= mark
        ]
        if passing:
            (a, b), point = passing[-1]
            who = curve.tier or "all"
            tip = (
                f"{who}: {point.coverage:.1%} pass from {mark:.3f} on, {point.risk:.2%} of their values wrong"
            )
            parts.append(_spot(a, b, colour, tip))
            parts.append(
                _text(
                    min(a, _LEFT + _ACROSS - 60), b - 9, f"{point.coverage:.0%} pass now", "middle", "figure"
                )
            )
    return _svg(parts, legend, title)


def reliability(bins: Sequence[Bin], title: str) -> Markup:
    """How often it was right against how sure it was: a bar for each bin, its count in it, a dot at its mean.

    Where bars end on the diagonal, the confidence says what it should.
    """
    parts = [*_grid(1.0, 0.2, _percent), *_names("how sure it was", "how often it was right")]
    parts += [_text(_LEFT + i / 5 * _ACROSS, _TOP + _DOWN + 18, f"{i * 20}%", "middle") for i in range(6)]
    for one in bins:
        left, width, high = _LEFT + one.low * _ACROSS, (one.high - one.low) * _ACROSS, one.accuracy * _DOWN
        tip = f"{one.count:,} values, {one.confidence:.3f} sure, {one.accuracy:.1%} right"
        parts.append(_bar(left + 2, _TOP + _DOWN - high, width - 4, high, COLOURS[4], tip))
        inside = high > 20
        at = _TOP + _DOWN - (8 if inside else high + 8)
        parts.append(_text(left + width / 2, at, f"{one.count:,}", "middle", "figure"))
    diagonal = Markup('<path class="diagonal" d="M {} {} L {} {}"/>')
    parts.append(diagonal.format(_LEFT, _TOP + _DOWN, _LEFT + _ACROSS, _TOP))
    for one in bins:
        tip = f"on average {one.confidence:.3f} sure, {one.accuracy:.1%} right"
        parts.append(
            _spot(_LEFT + one.confidence * _ACROSS, _TOP + _DOWN * (1 - one.accuracy), COLOURS[3], tip)
        )
    legend = [("values, with their number", COLOURS[4]), ("how sure they are on average", COLOURS[3])]
    return _svg(parts, legend, title)


def _colours() -> Iterator[str]:
    while True:
        yield from COLOURS


def _scale(most: float) -> tuple[float, float]:
    """The axis' end, and the step between its figures: 1, 2 or 5 with as many zeros as it takes."""
    if most <= 0:
        return 1.0, 0.5
    rough = most / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
    return step * math.ceil(most / step - 1e-9), step


def _grid(top: float, step: float, figure: Callable[[float], str]) -> Iterator[Markup]:
    for i in range(round(top / step) + 1):
        y = _TOP + _DOWN * (1 - i * step / top)
        yield Markup('<path class="grid" d="M {} {:.1f} H {}"/>').format(_LEFT, y, _LEFT + _ACROSS)
        yield _text(_LEFT - 7, y + 4, figure(i * step), "end")


def _names(x: str, y: str) -> Iterator[Markup]:
    yield _text(_LEFT + _ACROSS / 2, _HEIGHT - 10, x, "middle", "axis")
    middle = _TOP + _DOWN / 2
    yield Markup(
        '<text class="axis" transform="translate(14 {}) rotate(-90)" text-anchor="middle">{}</text>'
    ).format(middle, y)


def _bar(x: float, y: float, width: float, height: float, colour: str, tip: str) -> Markup:
    words = '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"><title>{}</title></rect>'
    return Markup(words).format(x, y, width, height, colour, printable(tip))


def _spot(x: float, y: float, colour: str, tip: str) -> Markup:
    words = '<circle cx="{:.1f}" cy="{:.1f}" r="4.5" fill="{}" stroke="#fff"><title>{}</title></circle>'
    return Markup(words).format(x, y, colour, tip)


def _text(x: float, y: float, said: str, anchor: str, kind: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, x, y, anchor, said
    )


def _svg(parts: Iterable[Markup], legend: Sequence[tuple[str, str]], title: str) -> Markup:
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, _HEIGHT, title)
    return _legend(legend) + head + Markup("").join(parts) + Markup("</svg>")


def _legend(names: Sequence[tuple[str, str]]) -> Markup:
    """Beside the picture: names may be long, and wrap."""
    if not names:
        return Markup("")
    item = Markup('<li><span class="dot" style="background: {}"></span>{}</li>')
    items = Markup("").join(item.format(colour, printable(name)) for name, colour in names)
    return Markup('<ul class="legend">{}</ul>').format(items)


def _longest(labels: Sequence[str]) -> int:
    return max(map(len, labels), default=1)


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.05 else f"{share:.0%}"
