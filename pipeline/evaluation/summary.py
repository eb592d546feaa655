"""The report in words and cells, for the terminal and for the page."""

from __future__ import annotations

from pipeline.evaluation.pairs import Pair
from pipeline.evaluation.report import FieldScore, Report
from pipeline.trust.measures import Interval

HEADS = (
    "Field", "Printed", "Right", "Wrong", "Missing", "Invented", "Exact", "Tone", "Unaccented",
    "Precision", "Recall", "F1", "CER", "Acceptable",
)  # fmt: skip

BRIEF_HEADS = ("Field", "Right", "Wrong", "Missing", "Invented", "F1", "CER")  # for a terminal of 80 columns


def brief_rows(report: Report) -> list[tuple[str, ...]]:
    """As `rows`, under `BRIEF_HEADS`: "Right" says of how many printed ones."""
    return [
        (
            score.leaf,
            f"{score.right}/{score.printed}",
            *map(str, (score.wrong, score.missing, score.hallucinated)),
            percent(score.f1),
            percent(score.cer),
        )
        for score in (*report.fields, report.total)
    ]


def pair_row(each: Pair) -> tuple[str, str, str, str]:
    """A value: its path, what was read, what is printed, and the verdict where it is not right."""
    read = each.read.raw if each.read is not None and each.read.raw is not None else "–"
    printed = each.truth.text if each.truth is not None else "–"
    return each.path, read, printed, "" if each.verdict == "right" else each.verdict


def rows(report: Report) -> list[tuple[str, ...]]:
    """A line of cells under `HEADS` for each field, the sum of all last."""
    return [_row(field) for field in (*report.fields, report.total)]


def figures(report: Report) -> list[tuple[str, str]]:
    """What each figure of the whole is, and the figure."""
    accept, total = report.accept, report.total
    return [
        ("pass without a person", percent(accept.documents.share if accept.documents else None)),
        ("F1, all values", percent(total.f1)),
        ("F1, mean of fields", percent(report.macro_f1)),
        ("documents right throughout", percent(report.exact.share if report.exact else None)),
        ("ANLS*", percent(report.anls)),
        ("wrong characters", percent(total.cer)),
        ("missing values", str(total.missing)),
        ("invented values", str(total.hallucinated)),
        ("calibration error", percent(report.ece)),
    ]


def headline(report: Report) -> str:
    """The sentence that matters most: how much may pass without a person."""
    accept = report.accept
    if accept.documents is None:
        return "There is no document to speak of."
    share, precision = interval(accept.documents), f"{accept.target:.0%} field precision"
    claim = f"{share} of the documents may pass without a person at {precision}"
    if accept.threshold is None or accept.precision is None:
        return f"{claim}: no threshold of confidence reaches it."
    which = "the score is at least" if report.calibrated else "no field is less sure than"
    return (
        f"{claim}: the {accept.accepted} of {report.documents} in which no check failed and "
        f"{which} {accept.threshold:.3f}. Their field precision is {interval(accept.precision)}. The "
        "threshold was chosen on these same documents."
    )


def scope(report: Report) -> str:
    """What was scored and what was not."""
    parts = [f"{report.documents} documents with truth, {len(report.fields)} fields"]
    for names, what in (
        (report.unread, "of them without an extraction"),
        (report.unscored, "extractions without truth, left out"),
        (report.other_schema, "documents of another schema, left out"),
    ):
        if names:
            parts.append(f"{len(names)} {what}")
    how = "calibrated scores" if report.calibrated else "uncalibrated: confidences are the model's own"
    return "; ".join((*parts, how)) + "."


def interval(given: Interval) -> str:
    return f"{given.share:.1%} (95% interval {given.low:.1%} to {given.high:.1%})"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _row(score: FieldScore) -> tuple[str, ...]:
    counts = (score.printed, score.right, score.wrong, score.missing, score.hallucinated)
    texts = (score.exact, score.tone, score.unaccented)
    shares = (score.precision, score.recall, score.f1, score.cer, score.acceptable)
    return (score.leaf, *map(str, counts), *map(str, texts), *map(percent, shares))
