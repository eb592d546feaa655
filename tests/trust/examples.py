"""Examples whose values are right as often as a rule says that the tests know."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from pipeline.trust.examples import Example
from pipeline.trust.features import NAMES, Value
from pipeline.trust.fitting import Belongs

BELONGS = Belongs("receipt@1", "c" * 64, "cpu float32", "made up")
LEAVES = ("total", "store", "number", "date")


def value(leaf: str, **features: float) -> Value:
    return Value(leaf, leaf, np.array([features.get(name, 0.0) for name in NAMES]), written=False)


def drawn(count: int, seed: int = 0, tiers: Sequence[str | None] = (None,)) -> list[Example]:
    """Confidences are too high by far, and most so those of the store; an accused total is mostly wrong."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        values, right = [], []
        for leaf in LEAVES:
            sure = dice.gauss(5.0, 2.5)
            accused = float(leaf == "total" and dice.random() < 0.1)
            z = 0.6 * sure - 5 * accused - 1.5 * (leaf == "store")
            values.append(value(leaf, sure=sure, accused=accused))
            right.append(bool(dice.random() < 1 / (1 + np.exp(-z))))
        stopped = any(one.features[NAMES.index("accused")] > 0 for one in values)
        tier = tiers[number % len(tiers)]
        made.append(
            Example(f"/{number}", tier, tuple(values), tuple(right), len(LEAVES), sum(right), stopped)
        )
    return made
