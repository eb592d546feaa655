"""The reliability picture: how sure it was against how often it was right, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.trust.measures import Bin

_LEFT, _TOP, _SIDE = 40, 20, 320  # of the square, in pixels
_BAR, _DOT, _SOFT = "#2458c5", "#b3261e", "#5b6675"


def svg(bins: Sequence[Bin]) -> str:
    """A bar for each bin, darker where it holds more readings, a dot at its mean confidence. Where bars end
    on the diagonal, the confidence says what it should.
    """
    most = max((b.count for b in bins), default=1)
    return "\n".join(
        [
            f'<svg viewBox="0 0 380 385" width="380" height="385" font-size="11" fill="{_SOFT}" role="img">',
            f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#dde2e8"/>',
            *(_bar(b, most) for b in bins),
            f'<path d="M {_x(0)} {_y(0)} L {_x(1)} {_y(1)}" stroke="{_SOFT}" stroke-dasharray="4"/>',
            *(_tick(i / 5) for i in range(6)),
            f'<text x="{_x(0.5)}" y="380" text-anchor="middle">how sure it was</text>',
            f'<text x="{_x(0) + 6}" y="{_y(1) + 14}">how often it was right</text>',
            "</svg>",
        ]
    )


def _bar(b: Bin, most: int) -> str:
    x, width, height = _x(b.low), (b.high - b.low) * _SIDE - 2, b.accuracy * _SIDE
    shade = 0.25 + 0.6 * b.count / most
    return (
        f'<rect x="{x:.1f}" y="{_y(b.accuracy):.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'fill="{_BAR}" fill-opacity="{shade:.2f}">'
        f"<title>{b.count} readings, {b.confidence:.3f} sure, {b.accuracy:.1%} right</title></rect>"
        f'<circle cx="{_x(b.confidence):.1f}" cy="{_y(b.accuracy):.1f}" r="3.5" fill="{_DOT}"/>'
    )


def _tick(at: float) -> str:
    return (
        f'<text x="{_x(at):.0f}" y="{_y(0) + 18}" text-anchor="middle">{at:.0%}</text>'
        f'<text x="{_LEFT - 6}" y="{_y(at) + 4:.0f}" text-anchor="end">{at:.0%}</text>'
    )


def _x(share: float) -> float:
    return _LEFT + _SIDE * share


def _y(share: float) -> float:
    return _TOP + _SIDE * (1 - share)
