"""How well two judges agree: Cohen's kappa, plain and with quadratic weights, and Spearman's correlation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation import drawing
from pipeline.evaluation.drawing import Figure, Floats

MARKS = 11  # 0 to 10
NAMES = ("Cohen's kappa", "Cohen's kappa, quadratic weights", "Spearman's rank correlation")


@dataclass(frozen=True, slots=True)
class Agreement:
    """`n` answers have a mark of both judges. A figure is absent where both gave one mark alone."""

    judges: tuple[str, str]
    n: int
    figures: tuple[Figure, ...]


def agreement(
    judges: tuple[str, str], one: Mapping[str, int | None], other: Mapping[str, int | None], seed: int = 0
) -> Agreement:
    pairs = [(a, b) for id, a in one.items() if a is not None and (b := other.get(id)) is not None]
    if not pairs:
        return Agreement(judges, 0, ())
    table = np.zeros((MARKS, MARKS))
    for a, b in pairs:
        table[a, b] += 1
    rows = np.zeros((len(pairs), MARKS * MARKS))
    rows[np.arange(len(pairs)), [a * MARKS + b for a, b in pairs]] = 1
    told = np.flatnonzero(~np.isnan(_measures(table.ravel())))
    names = tuple(NAMES[i] for i in told)
    figures = drawing.figures(names, rows, lambda sums: _measures(sums)[..., told], seed) if names else []
    return Agreement(judges, len(pairs), tuple(figures))


def mean_mark(marks: Mapping[str, int | None], judge: str, seed: int = 0) -> Figure | None:
    """The mean of the marks that can be read; None where there is none."""
    given = np.array([mark for mark in marks.values() if mark is not None], np.float64)
    if not len(given):
        return None
    rows = np.column_stack([given, np.ones(len(given))])
    [figure] = drawing.figures((f"mark of {judge}, 0 to 10",), rows, lambda s: s[..., :1] / s[..., 1:], seed)
    return figure


def kappa(table: npt.ArrayLike, *, quadratic: bool = False) -> float:
    """Of a table that counts the pairs of marks; nan where both only ever gave one and the same mark."""
    counts = np.asarray(table, np.float64)
    place = np.arange(len(counts))
    weights = (place[:, None] - place) ** 2 if quadratic else place[:, None] != place
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    expected = float((weights * chance).sum())
    return 1 - float((weights * counts).sum()) / expected if expected else float("nan")


def _measures(tables: Floats) -> Floats:
    """The figures `NAMES` of tables [..., 121]."""
    flat = tables.reshape(-1, MARKS, MARKS)
    found = [(kappa(t), kappa(t, quadratic=True), _spearman(t)) for t in flat]
    return np.array(found).reshape(*tables.shape[:-1], len(NAMES))


def _spearman(table: Floats) -> float:
    """The same from a table of counts: marks that are equal share the middle of their places."""
    ones, others = table.sum(axis=1), table.sum(axis=0)
    a, b = (np.cumsum(counts) - (counts - 1) / 2 for counts in (ones, others))
    n = table.sum()
    a, b = a - (n + 1) / 2, b - (n + 1) / 2
    spread = float((ones * a**2).sum() * (others * b**2).sum()) ** 0.5
    return float(a @ table @ b) / spread if spread else float("nan")
