"""What is sent: HTML from the templates, every value escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from starlette.responses import HTMLResponse, Response

from pipeline import templates
from pipeline.review import words
from pipeline.review.access import Session
from pipeline.review.desk import Opened, Shown
from pipeline.review.sheet import Cell, Heading, Listing
from pipeline.store import Entry, Job, QueueKind

KINDS: tuple[QueueKind, ...] = get_args(QueueKind)
_SHOWN = 500  # documents of a queue on one page

_TEMPLATES = templates.environment("pipeline.review")
_TEMPLATES.globals.update(words=words)
_TEMPLATES.tests.update(
    cell=lambda part: isinstance(part, Cell),
    heading=lambda part: isinstance(part, Heading),
    listing=lambda part: isinstance(part, Listing),
)
_TEMPLATES.filters["percent"] = lambda share: f"{min(99, int(share * 100))}%" if share < 1 else "100%"
_TEMPLATES.filters["name"] = lambda uri: uri.rstrip("/").rpartition("/")[2]
_TEMPLATES.filters["sureness"] = lambda sure: "low" if sure < 0.9 else "middle" if sure < 0.98 else "high"


def entrance(*, refused: bool) -> Response:
    return _html("enter.html", 403 if refused else 200, refused=refused, session=None)


def problem(message: str, status: int) -> Response:
    return _html("problem.html", status, message=message, session=None)


def jobs(session: Session, found: Sequence[Job]) -> Response:
    return _html("jobs.html", session=session, jobs=found)


def queue(
    session: Session,
    job: Job,
    entries: Sequence[Entry],
    kind: QueueKind,
    search: str,
    counts: Mapping[str, int],
    *,
    ended: bool,
) -> Response:
    return _html(
        "queue.html",
        session=session,
        job=job,
        entries=entries[:_SHOWN],
        total=len(entries),
        kind=kind,
        kinds=KINDS,
        search=search,
        counts=counts,
        ended=ended,
    )


def document(session: Session, opened: Opened) -> Response:
    return _html("document.html", session=session, opened=opened, shown=opened.shown)


def fragment(session: Session, shown: Shown, field: str | None) -> dict[str, Any]:
    """The part of a document's page that decisions change, and where the eye goes next."""
    return {
        "html": _TEMPLATES.get_template("_sheet.html").render(session=session, shown=shown),
        "state": shown.state,
        "doubts": shown.sheet.doubts if shown.sheet is not None else 0,
        "rejected": shown.rejected is not None,
        "field": field,
    }


def _html(template: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(_TEMPLATES.get_template(template).render(**values), status)
