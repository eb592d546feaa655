"""What is in force, in sentences and cells for people."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.numerics import comparable
from pipeline.printable import command
from pipeline.trust.calibration import Calibration
from pipeline.trust.measures import Interval
from pipeline.trust.promise import Promise
from pipeline.trust.scoring import InForce

PROMISE_HEADS = ("Pages", "Known", "Pass", "From", "Values right", "With a wrong value")


def line(trust: InForce | None, job: str, numerics: Iterable[str] = ()) -> str:
    """One sentence on what a job's scores are worth. `numerics` are those of its pages."""
    how = command(("vinbatch", "calibrate", "--job", job, "--truth", "FILE"))
    if trust is None:
        return f"uncalibrated: confidences are the model's own; with documents of known truth: {how}"
    made = trust.calibration
    if not all(comparable(each, made.numerics) for each in numerics):
        return (
            f"uncalibrated where pages were read with other weights than those of the calibration in force "
            f"({device(made)}): confidences there are the model's own; with documents of known truth: {how}"
        )
    told = f"calibrated on {made.documents} documents ({made.origin}; {device(made)})"
    if trust.promise is None:
        return f"{told}; nothing is promised"
    everything = trust.promise.threshold(None)
    if everything.score is None:
        return f"{told}; no score promises {trust.promise.accept_at:.1%} right values: all go to a person"
    return (
        f"{told}; {trust.promise.accept_at:.1%} right values are promised of documents whose score is "
        f"{everything.score:.3f} or more"
    )


def device(made: Calibration) -> str:
    """The numerics without what only tells bits apart."""
    return "; ".join(part.partition(", sample")[0] for part in made.numerics.split("; "))


def promise_rows(promise: Promise) -> list[tuple[str, ...]]:
    """A line of cells under `PROMISE_HEADS` for each tier."""
    return [
        (
            tier,
            str(one.documents),
            str(one.passing),
            "–" if one.score is None else f"{one.score:.3f}",
            _share(one.right),
            _share(one.wrong),
        )
        for tier, one in promise.thresholds.items()
    ]


def _share(given: Interval | None) -> str:
    return "–" if given is None else f"{given.share:.1%} ({given.low:.1%} to {given.high:.1%})"


def figure_rows(made: Calibration) -> list[tuple[str, ...]]:
    """Field, values, calibration error: of the whole and of each field with enough values."""
    whole = ("all", str(made.figures["values"]), _three(made.figures["ece"]))
    return [
        *((leaf, str(one["values"]), _three(one["ece"])) for leaf, one in made.figures["leaves"].items()),
        whole,
    ]


def _three(number: float | None) -> str:
    return "–" if number is None else f"{number:.3f}"
