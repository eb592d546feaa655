"""After a bad night one can tell what happened, by document and page, and no log holds what was read."""

from __future__ import annotations

import json
import logging
import pickle
from typing import Any

import pytest

from pipeline.settings import LogSettings
from tests.workers.conftest import Bench
from tests.workers.test_lane_work import BenchLane
from workers import logs
from workers.logs import Event

LOG = logging.getLogger("workers.a_test")
NAMES = {"document", "page", "reason", "attempt", "losses", "readers"}


def lines(settings: LogSettings, *messages: str, **fields: Any) -> list[str]:
    written: list[str] = []
    with logs.handled(logs.LineHandler(written.append, settings.format), settings):
        for message in messages:
            LOG.warning(message, extra=logs.fields(**fields))
        LOG.info("of less weight")
    return written


def test_a_record_is_one_line_with_its_fields() -> None:
    evil = "s3://b/a\nb\x1b[31m.pdf"
    plain, less = lines(LogSettings(), "the document is quarantined", document="a.pdf", page=3, reason=None)
    assert plain.endswith(" warning: the document is quarantined [document=a.pdf page=3]")
    assert less.endswith(" info: of less weight")
    [line] = lines(LogSettings(format="json", level="warning"), "quarantined", document=evil, page=3)
    assert line.isprintable()
    found = json.loads(line)
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "warning",
        "logger": LOG.name,
        "message": "quarantined",
        "document": evil,
        "page": 3,
    }


def test_nothing_is_configured_before_and_after() -> None:
    for name in ("workers", "pipeline"):
        logger = logging.getLogger(name)
        assert (logger.level, logger.handlers, logger.propagate) == (logging.NOTSET, [], True)
    lines(LogSettings(), "something")
    test = logging.getLogger("workers")
    assert (test.level, test.handlers, test.propagate) == (logging.NOTSET, [], True)


def test_the_driver_logs_each_record_of_a_lane_once_and_says_how_many_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "_KEPT", 2)
    recorder = logs.Recorder()
    with logs.handled(recorder, LogSettings()):
        LOG.warning("one %s", "fish", extra=logs.fields(document="a.pdf"))
    first: tuple[Event, ...] = pickle.loads(pickle.dumps(recorder.after(0)))
    with logs.handled(recorder, LogSettings()):
        for number in range(4):
            LOG.warning("more %d", number)
    written: list[str] = []
    with logs.handled(logs.LineHandler(written.append, "plain"), LogSettings()):
        last = logs.relay(first, 0, lane="lane-0")
        last = logs.relay(first, last, lane="lane-0")  # a report that comes twice
        logs.relay(recorder.after(last), last, lane="lane-0")
    assert [line.partition(": ")[2] for line in written] == [
        "one fish [lane=lane-0 document=a.pdf]",
        "2 records of a lane were dropped [lane=lane-0]",
        "more 2 [lane=lane-0]",
        "more 3 [lane=lane-0]",
    ]


@pytest.mark.medium
def test_what_a_lane_logs_names_document_and_page_and_never_what_was_read(bench: Bench) -> None:
    red = bench.pdf("poison.pdf", [(255, 0, 0)])
    missing = str(bench.folder / "missing.png")
    bench.add(red, missing, bench.picture("one.png"))
    report = BenchLane(bench).live()
    events = [(event.message, dict(event.fields)) for event in report.events]
    assert events[0] == ("the lane is ready", {"readers": 1})
    lost = {"document": red, "page": 1, "reason": "worker_lost"}
    assert ("a page has no result", lost) in events
    assert ("the document is quarantined", {**lost, "attempt": 1}) in events
    gone = {"document": missing, "reason": "object_missing", "attempt": 1}
    assert ("the document is quarantined", gone) in events
    for message, fields in events:
        assert set(fields) <= NAMES and "Số" not in message
