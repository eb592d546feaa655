"""A comparison in cells and sentences."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.evaluation.comparing import Comparison
from pipeline.evaluation.drawing import Difference

HEADS = ("Measure", "A", "B", "B − A (95%)", "p", "n")  # for a terminal of 80 columns


def rows(found: Comparison) -> list[tuple[str, ...]]:
    return [_row(one) for one in found.differences]


def _row(one: Difference) -> tuple[str, ...]:
    moved = f"{one.b - one.a:+.3f} ({one.low:+.3f}…{one.high:+.3f})"
    p = "<0.001" if one.p < 0.001 else f"{one.p:.3f}"
    return one.name, f"{one.a:.3f}", f"{one.b:.3f}", moved, p, str(one.n)


def sentences(found: Comparison) -> Iterator[str]:
    """Who is who, what was left out, and what may be said."""
    yield f"A is {found.a}, B is {found.b}; {found.n} {found.items}, the same for both."
    yield from found.notes
    for one in found.differences:
        if one.a_only is not None:
            yield f"{one.name}: {one.a_only} by A alone, {one.b_only} by B alone."
    tests = "; ".join(dict.fromkeys(one.test for one in found.differences))
    yield (
        f"Tests: {tests}. Values of one document go together, so the p of single values is too small; "
        "the bootstrap draws whole documents."
        if found.items == "documents"
        else f"Tests: {tests}."
    )
    shown = [one for one in found.differences if one.shown]
    if not shown:
        yield "No difference is more than chance at 5%."
    for better, ones in (("B", [d for d in shown if d.b > d.a]), ("A", [d for d in shown if d.b < d.a])):
        if ones:
            yield f"{better} is better, beyond chance at 5%, in: {', '.join(one.name for one in ones)}."
