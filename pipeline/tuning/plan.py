"""What is learned in which order, and how fast: the same settings give the same order on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi
from random import Random

from pipeline.vintern.tune_settings import TuneSettings

Place = tuple[bool, int, int]  # among the old pages or the new ones, which, and which look at it


def batches(new: Sequence[int], old: Sequence[int], settings: TuneSettings) -> list[list[Place]]:
    """All steps of all epochs. `new` and `old` are lengths in tokens: what is alike in length goes together.

    Each new page comes once an epoch; of the old ones so many that they are the share `replay` of all, all of
    them once before one comes again.
    """
    each = mixed(len(new), settings) if old else 0
    steps: list[list[Place]] = []
    waiting: list[Place] = []
    rounds = 0
    for epoch in range(settings.epochs):
        rng = Random(f"{settings.seed}:{epoch}")
        while len(waiting) < each:
            waiting += [(True, at, rounds % settings.looks) for at in rng.sample(range(len(old)), len(old))]
            rounds += 1
        chosen: list[Place] = [(False, at, epoch % settings.looks) for at in range(len(new))]
        chosen += waiting[:each]
        del waiting[:each]
        rng.shuffle(chosen)
        steps += _alike(chosen, new, old, settings.batch, rng)
    return steps


def mixed(new: int, settings: TuneSettings) -> int:
    """Old pages that come with so many new ones in an epoch."""
    return round(new * settings.replay / (1 - settings.replay)) if settings.replay < 1 else 0


def rounds(new: int, old: int, settings: TuneSettings) -> int:
    """How often the plan goes through so many old pages, the last time perhaps not to their end."""
    return -(-settings.epochs * mixed(new, settings) // old)


def _alike(
    chosen: list[Place], new: Sequence[int], old: Sequence[int], size: int, rng: Random
) -> list[list[Place]]:
    """Batches out of windows of some batches, in each of which they are sorted by length."""
    window = 8 * size
    found: list[list[Place]] = []
    for start in range(0, len(chosen), window):
        some = sorted(
            chosen[start : start + window], key=lambda place: old[place[1]] if place[0] else new[place[1]]
        )
        cut = [some[at : at + size] for at in range(0, len(some), size)]
        rng.shuffle(cut)
        found += cut
    return found


def rate(step: int, steps: int, warm_up: float) -> float:
    """Share of the full rate in a step (from 0)."""
    first = max(1, round(warm_up * steps))
    if step < first:
        return (step + 1) / first
    return 0.5 * (1 + cos(pi * (step - first) / max(1, steps - first)))
