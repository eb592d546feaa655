"""What a lane reports is told to Prometheus once, whatever it reports next."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from workers import metrics
from workers.lane import LaneReport


class Kept:
    """A figure of Ray's that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, str]]] = []

    def inc(self, by: float, tags: dict[str, str]) -> None:
        assert by > 0
        self.told.append((by, tags))

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.told.append((value, tags))


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Kept]:
    made: dict[str, Kept] = {}

    def make(figure: metrics.Figure) -> Any:
        return made.setdefault(figure.name, Kept())

    monkeypatch.setattr(metrics, "_made", make)
    return made


def test_every_figure_is_told_and_grows_by_what_is_new(figures: dict[str, Kept]) -> None:
    lane = metrics.LaneMetrics("june", "lane-0")
    report = LaneReport(
        "lane-0", pages=5, pages_known=2, answers=4, calls=6, looks=1, tiles=28, tokens=900, claims=3
    )
    report.documents, report.reasons = Counter(done=2, review=1), Counter(pdf_damaged=1)
    report.late = report.given_back = report.held = report.waiting = report.unfinished = 1
    with report.timed("draw"):
        pass
    lane.publish(report)
    lane.publish(report)
    assert set(figures) == {figure.name for figure in metrics.FIGURES}
    pages = [(by, tags["how"]) for by, tags in figures["vinbatch_pages"].told]
    assert pages == [(4, "read"), (2, "known"), (1, "direct")], "the second report had nothing new"

    report.answers, report.calls, report.pages = 7, 9, 8
    lane.publish(report)
    assert figures["vinbatch_pages"].told[-1] == (3, {"job": "june", "lane": "lane-0", "how": "read"})
    assert sum(by for by, _ in figures["vinbatch_model_calls"].told) == 9
    assert [value for value, _ in figures["vinbatch_unfinished"].told] == [1, 1, 1]


def test_a_name_that_is_not_listed_is_refused() -> None:
    with pytest.raises(KeyError):
        metrics.LaneMetrics("june", "lane-0").count("vinbatch_pagse")
