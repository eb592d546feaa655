"""Pages a second on cards that were not there: a prediction from what the meter counts.

A kernel takes as long as its arithmetic or its bytes, whichever is longer, at the shares of a card's peaks
that large kernels reach, and never less than a small one does. The shares of Hopper cards are those that an
H200 reached (`infra.benchmarks.card`, November 2026); those of the others are assumed. Trust it to some 25%.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.meter.counting import Meter, Phase
from infra.meter.workload import passes

SMALLEST = 3.5e-6  # seconds of a small kernel within a graph
LAUNCH = 6.0e-6  # of the CPU, for each kernel that is launched by itself
TILES, PAGES = 7, 7  # of a page; prefilled together
STEPS = 200  # decode steps of a page: 250 tokens, a fifth of them forced
ROW_BEFORE, ROW = 38e-6, 20e-6  # seconds of the Python thread a row and step: `infra.benchmarks.host_time`
PAGE_BEFORE, PAGE = 2.3e-3, 0.8e-3  # and a page beside
ATTENTION = 0.4  # of the share that products reach


@dataclass(frozen=True)
class Card:
    """tflops in 16 bits, gigabytes a second; the shares of both that are reached."""

    name: str
    tflops: float
    bandwidth: float
    arithmetic: float
    memory: float

    def seconds(self, phase: Phase, graph: bool = True) -> float:
        total = 0.0
        for name, kind in phase.kernels.items():
            reached = self.arithmetic * (ATTENTION if "atten" in name or "attn" in name else 1)
            computed = kind.flops / kind.launched / (reached * self.tflops * 1e12)
            moved = kind.bytes / kind.launched / (self.memory * self.bandwidth * 1e9)
            total += kind.launched * max(computed, moved, SMALLEST)
        return total if graph else max(total, phase.launched * LAUNCH)


CARDS = (
    Card("H100", 989, 3350, 0.72, 0.55),
    Card("H200", 989, 4800, 0.72, 0.55),
    Card("A100", 312, 2039, 0.80, 0.60),
    Card("L4", 121, 300, 0.60, 0.75),
    Card("A10", 125, 600, 0.62, 0.70),
)


@dataclass(frozen=True)
class Counts:
    """The passes over slots, and decode steps in the rectangle beside them."""

    slots: Meter
    rectangle: Meter

    @classmethod
    def metered(cls) -> Counts:
        return cls(passes(), passes(slots=False, only=("decode 16", "decode 256")))


def ladder(card: Card, counts: Counts) -> dict[str, float]:
    """Pages a second, each line with what those above it have."""
    slots, rectangle = counts.slots.phases, counts.rectangle.phases

    def step(decode: Phase, rows: int) -> float:
        return card.seconds(decode) + card.seconds(slots[f"choose {rows}"], graph=False)

    def pages(
        step: float, rows: int, row: float, page: float, *, few: bool = False, turns: bool = False
    ) -> float:
        tiles = 8 if few else 32
        vision = card.seconds(slots[f"vision {tiles}"]) / tiles * (8 if few else TILES)
        many = 1 if few else PAGES
        prefill = card.seconds(slots[f"prefill {many}"], graph=False) / many
        host = row * rows
        decode = STEPS * (max(step, host) if turns else step + host) / rows
        return 1 / (vision + prefill + decode + (0 if turns else page))

    eager = card.seconds(rectangle["decode 16"], graph=False) + card.seconds(slots["choose 16"], graph=False)
    wide, over_slots = step(rectangle["decode 256"], 256), step(slots["decode 256"], 256)
    by_turns = 2 * step(slots["decode 128"], 128)
    return {
        "16 pages at once, no graphs": pages(eager, 16, ROW_BEFORE, PAGE_BEFORE, few=True),
        "graphs": pages(step(rectangle["decode 16"], 16), 16, ROW_BEFORE, PAGE_BEFORE, few=True),
        "256 pages at once": pages(wide, 256, ROW_BEFORE, PAGE_BEFORE),
        "own kernels, attention over slots": pages(over_slots, 256, ROW_BEFORE, PAGE_BEFORE),
        "the leaner Python thread": pages(over_slots, 256, ROW, PAGE),
        "halves by turns": pages(by_turns, 256, ROW, PAGE, turns=True),
    }
