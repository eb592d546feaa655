"""The report as one HTML file: nothing in it is fetched, every value in it is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from markupsafe import Markup

from pipeline import templates
from pipeline.advice import advice
from pipeline.printable import command
from pipeline.records import Tier
from pipeline.report import charts
from pipeline.report.charts import COLOURS, OF_STATE, Series
from pipeline.report.gathered import Curves, Gathered
from pipeline.store.figures import BINS, Pace, Span
from pipeline.trust import words

if TYPE_CHECKING:
    from pipeline.report.scored import Scored

FAULTS = 40  # of one document that are listed


def html(given: Gathered, scored: Scored | None = None, here: Sequence[str] = ()) -> str:
    """The whole page as text. `here` is the flag that commands need to find the store."""
    job = given.job.name
    environment = templates.environment(__package__, ".", hidden_shown=True)
    environment.filters |= {
        "count": lambda number: f"{number:,}",
        "percent": lambda share: "–" if share is None else f"{share:.1%}",
        "sure": lambda share: "–" if share is None else f"{share:.3f}",
        "length": len,
    }
    values: dict[str, Any] = {
        "g": given,
        "scored": scored,
        "trust": words.line(given.trust, job, given.numerics),
        "promise": _promise(given),
        "states": list(_states(given)),
        "speeds": list(_speeds(given.pace, given.pages[2])),
        "pace": list(_pace(given.pace)),
        "sureness": _sureness(given),
        "tiers": _tiers(given),
        "curves": [_curves(one, given) for one in given.curves],
        "months": _months(given),
        "returned": given.spend is not None and any(v < 0 for values in given.spend.by_month for v in values),
        "advice": advice,
        "to": lambda name, *rest: command(("vinbatch", name, *here, *rest)),
        "faults": FAULTS,
    }
    return environment.get_template("report.html").render(values)


def _states(given: Gathered) -> Iterator[tuple[str, int, str, str]]:
    """Name, number, colour and what it means, of the states that documents are in."""
    for name, meaning in _MEANINGS.items():
        number = given.unfinished if name == "unfinished" else given.counts[name]
        if number:
            yield name, number, OF_STATE.get(name, "#9aa3ad"), meaning


_MEANINGS = {
    "done": "every page was read, nothing stops it: use its values",
    "review": "read whole, and a person should look at it",
    "partial": "some of its pages could not be read",
    "quarantined": "nothing could be read from it",
    "unfinished": "it waits to be read: run the same command again",
}


def _promise(given: Gathered) -> tuple[tuple[str, ...], list[tuple[str, ...]]] | None:
    trust = given.trust
    if trust is None or trust.promise is None:
        return None
    return words.PROMISE_HEADS, words.promise_rows(trust.promise)


def _speeds(pace: Pace | None, tokens: int) -> Iterator[tuple[str, str]]:
    """How fast it was while it ran."""
    if pace is None:
        return
    documents, pages = sum(span.documents for span in pace.spans), sum(span.pages for span in pace.spans)
    yield "documents an hour", f"{documents / pace.running * 3600:,.0f}"
    yield "pages a second", f"{pages / pace.running:,.2f}"
    if tokens:
        yield "tokens a second", f"{tokens / pace.running:,.0f}"


_PER = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}


def _pace(pace: Pace | None) -> Iterator[Markup]:
    """A chart each for documents, pages and tokens, over time."""
    if pace is None:
        return
    first, last = pace.spans[0].start, pace.spans[-1].start
    by_start = {span.start: span for span in pace.spans}
    nothing = Span(0, 0, 0, 0)
    starts = range(first, last + 1, pace.seconds)
    spans = [by_start.get(start, nothing) for start in starts]
    form = "%H:%M:%S" if pace.seconds < 60 else "%H:%M" if last - first < 86_400 else "%d %b %H:%M"
    if pace.seconds >= 86_400:
        form = "%d %b %Y"
    labels = [datetime.fromtimestamp(start).astimezone().strftime(form) for start in starts]
    began = datetime.fromtimestamp(first).astimezone()
    per = _PER.get(pace.seconds) or _length(pace.seconds)
    kinds: tuple[tuple[str, Callable[[Span], int], str], ...] = (
        ("documents", lambda span: span.documents, COLOURS[0]),
        ("pages", lambda span: span.pages, COLOURS[2]),
        ("tokens", lambda span: span.tokens, COLOURS[3]),
    )
    for name, of, colour in kinds:
        values = [of(span) for span in spans]
        if any(values):
            yield charts.columns(
                labels, [Series("", colour, values)], x=f"time ({began:%d %B %Y, %Z})",
                y=f"{name} each {per}", figure=_short, title=f"{name} finished over time",
            )  # fmt: skip


def _length(seconds: int) -> str:
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} seconds"


def _sureness(given: Gathered) -> Markup | None:
    """Documents by how sure they are, by their state."""
    if not given.bars:
        return None
    by_number = {bar.number: bar for bar in given.bars}
    first = min(by_number)
    numbers = range(first, BINS)
    series = []
    for name in ("done", "review", "partial"):
        values = [getattr(by_number[n], name) if n in by_number else 0 for n in numbers]
        if any(values):
            series.append(Series(name, OF_STATE[name], values))
    what = "least confidence in the document" if given.unscored else "score of the document"
    labels = [f"{n / BINS:.2f}" for n in numbers]
    return charts.columns(
        labels,
        series,
        x=f"{what}, from … on",
        y="documents",
        figure=_short,
        title="How sure the documents are",
    )


def _tiers(given: Gathered) -> Markup | None:
    """What passes, review and partial, by quality of the pages; a share of the documents of each tier."""
    rows = sorted(given.accepted, key=lambda one: (*get_args(Tier), one.tier).index(one.tier))
    if not rows:
        return None
    series = [
        Series(name, OF_STATE[name], [getattr(one, name) / one.documents for one in rows])
        for name in ("done", "review", "partial")
        if any(getattr(one, name) for one in rows)
    ]
    labels = [f"{one.tier or 'not measured'} ({one.documents:,})" for one in rows]
    return charts.columns(
        labels, series, x="quality of the pages (documents)", y="share of documents",
        figure=lambda share: f"{share:.0%}", inside=True,
        title="What passes without a person, by quality of the pages",
    )  # fmt: skip


def _curves(one: Curves, given: Gathered) -> dict[str, Any]:
    """A chart of risk, and one of reliability where there are bins."""
    promise = None if given.trust is None else given.trust.promise
    marks = [
        promise.threshold(curve.tier).score if promise is not None and one.unit == "documents" else None
        for curve in one.risk
    ]
    promised = None if promise is None else promise.accept_at
    title = f"How wrong is what passes, by how many {one.unit} pass"
    return {
        "origin": one.origin,
        "ece": one.ece,
        "risk": charts.risk(one.risk, marks, promised, one.unit, title)
        if any(c.points for c in one.risk)
        else None,
        "reliability": charts.reliability(one.bins, "How often it was right, by how sure it was")
        if one.bins
        else None,
        "values": sum(each.count for each in one.bins),
    }


def _months(given: Gathered) -> Markup | None:
    spend = given.spend
    if spend is None or not spend.months:
        return None
    series = [
        Series(name, COLOURS[number], [max(0, value) for value in values])
        for number, (name, values) in enumerate(zip(spend.names, spend.by_month, strict=True))
    ]
    return charts.columns(
        spend.months,
        series,
        x="month of the invoice",
        y="đồng, with VAT",
        figure=_short,
        title="Spend by month and supplier",
    )


def _short(number: float) -> str:
    """1.2 m for 1,234,567: for an axis; tables have every digit."""
    for unit, sign in ((1e12, " tn"), (1e9, " bn"), (1e6, " m"), (1e4, " k")):
        if number >= unit:
            value = number / (1e3 if sign == " k" else unit)
            return f"{value:.1f}{sign}" if value < 10 else f"{value:,.0f}{sign}"
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"
