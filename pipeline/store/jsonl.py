"""A job's results as lines of JSON: a record as nested as its schema, with what is known of its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

from pipeline.printable import as_json
from pipeline.store import evidence, views
from pipeline.store.database import Database
from pipeline.store.entities import Job, StoredExtraction
from pipeline.store.failures import Failures
from pipeline.store.stored import StoredResults


def write(db: Database, job: Job, file: IO[bytes], *, plain: bool) -> int:
    """One line a document, or the reason why it has no record. Returns their number."""
    number = 0
    names = list(
        dict.fromkeys(
            view.list_path[0] if view.list_path else item.path[0]
            for view in job.views
            for item in view.columns
            if item.path not in views.TOLD
        )
    )
    for found in StoredResults(db).extractions(job):
        record = {name: found.extraction.record.get(name) for name in names}
        told = _told(found) if plain else _told(found) | _known(found)
        _line(file, found.uri, job, found.extraction.state, None, record, told)
        number += 1
    for failure in Failures(db).each(job):
        if failure.failure.page is None:
            _line(file, failure.uri, job, "quarantined", str(failure.failure.reason), None)
            number += 1
    return number


def _told(found: StoredExtraction) -> dict[str, Any]:
    """Where each value came from, what witnesses say of it, and the files of a document of several."""
    extraction = found.extraction
    parts = [{"uri": part.uri, "pages": part.pages, "sha256": part.sha256} for part in found.parts]
    sources = {field.path: field.source for field in found.decided.fields if field.value is not None}
    told = {"sources": sources, "witnesses": [asdict(item) for item in extraction.testimony]}
    return {**told, "parts": parts} if parts else told


def _known(found: StoredExtraction) -> dict[str, Any]:
    """How sure document and values are, on which scale, and why a person should look."""
    extraction = found.extraction
    calibrated = extraction.score is not None
    failed = (check.code for check in extraction.checks if not check.passed and check.severity != "info")
    fields = {
        field.path: {
            "confidence": evidence.confidence(field, calibrated=calibrated),
            "source": field.source,
            "page": field.page,
            "box": field.box,
            "printed": field.raw,
            "absence": field.absence,
        }
        for field in found.decided.fields
    }
    return {
        "reasons": list(dict.fromkeys(failed)),
        "score": extraction.score,
        "calibration": evidence.scale(calibrated),
        "fields": fields,
    }


def _line(
    file: IO[bytes],
    uri: str,
    job: Job,
    state: str,
    reason: str | None,
    record: Any,
    told: Mapping[str, Any] | None = None,
) -> None:
    item = {"document_uri": uri, "job": job.name, "state": state, "reason": reason, "record": record}
    item |= told or {}
    file.write(as_json(item).encode() + b"\n")
