"""What a person should decide of a document: a doubt for each value, with why, and a key for the answer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.deciding import standing
from pipeline.paths import value_at
from pipeline.records import Check, Extraction, Testimony
from pipeline.store import evidence, views
from pipeline.store.entities import Job, StoredExtraction
from schemas.shape import leaf_path

_FEW = 3  # fields that a check points at, so that its sentence says something of each
_OF_ALL = ("low_confidence",)  # its sentence is about the document
_INDEX = re.compile(r"\[([0-9]+)\]")


@dataclass(frozen=True, slots=True)
class Doubt:
    """One value of a document, or the document itself where `field` is None, that nobody has decided yet.

    document    its id in the store
    field       its path, as the reading names it
    label       what the schema calls it, in Vietnamese
    kind        of the column that it stands in: "decimal", "date" …
    confidence  how sure, on the scale that `calibrated` names
    why         codes and sentences of the checks that point at it, and what witnesses have instead
    key         of the value as it is, see `key`
    """

    document: int | None
    uri: str
    field: str | None
    label: str
    kind: str
    value: Any
    raw: str | None
    confidence: float | None
    calibrated: bool
    page: int | None
    why: str
    key: str


@dataclass(frozen=True, slots=True)
class Called:
    """What a value is called, and the kind of the column that it stands in."""

    label: str
    kind: str


def key(job: str, uri: str, field: str | None, value: Any) -> str:
    """Names a document, a value of it and what that was: so an answer to another one is told."""
    return f"k{_digest([job, uri])}-{_digest(field)}-{_digest(value)}"


def is_in(found: str, job: str, uri: str) -> bool:
    """Whether a key is of this document, whatever value it is of."""
    return found.startswith(f"k{_digest([job, uri])}-")


def is_of(found: str, job: str, uri: str, field: str | None) -> bool:
    """Whether a key is of this value, whatever it was then."""
    return found.startswith(f"k{_digest([job, uri])}-{_digest(field)}-")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def names(job: Job) -> dict[str, Called]:
    """What each value of the job's schema is called, by the path of its leaf, "lines[].amount"; and lists."""
    found = {}
    for view in job.views:
        name = ".".join(view.list_path or ())
        if name:
            found[name] = Called(view.label or name, "integer")
        for column in view.columns:
            if column.path not in views.TOLD:
                path = ".".join(filter(None, (name and f"{name}[]", *column.path)))
                found[path] = Called(column.label or column.name, column.kind)
    return found


def called(path: str, known: Mapping[str, Called]) -> Called:
    """The same of one value; of a list's item with the list and its number, from 1."""
    one = known.get(leaf_path(path), Called("", "text"))
    if (number := _INDEX.search(path)) is None:
        return one if one.label else Called(path, one.kind)
    name = path[: number.start()]
    line = f"{known[name].label if name in known else name} {int(number[1]) + 1}"
    return Called(f"{line}: {one.label}" if one.label else line, one.kind)


def of(found: StoredExtraction, job: Job, known: Mapping[str, Called]) -> Iterator[Doubt]:
    """What is doubtful of a document that is not done, the document itself first."""
    extraction = found.extraction
    if extraction.state == "done":
        return
    calibrated = extraction.score is not None
    whole, accused = _accused(found)
    if whole or extraction.state == "partial":
        why = "; ".join((*_sentences(whole), *_unread(extraction)))
        mark = key(job.name, found.uri, None, value_of(found, None))
        yield Doubt(
            found.id,
            found.uri,
            None,
            "Cả tài liệu",
            "text",
            None,
            None,
            extraction.score,
            calibrated,
            None,
            why,
            mark,
        )
    fields = {field.path: field for field in extraction.fields}
    testimony: dict[str, list[Testimony]] = {}
    for item in extraction.testimony:
        testimony.setdefault(item.field, []).append(item)
    for path in sorted(accused, key=_place(fields)):
        field = fields.get(path)
        value = value_of(found, path)
        why = "; ".join((*_sentences(accused[path]), *_said(testimony.get(path, ()))))
        one = called(path, known)
        yield Doubt(
            found.id,
            found.uri,
            path,
            one.label,
            one.kind,
            value,
            None if field is None else field.raw,
            None if field is None else evidence.confidence(field, calibrated=calibrated),
            calibrated,
            None if field is None else field.page,
            why,
            key(job.name, found.uri, path, value),
        )


def value_of(found: StoredExtraction, path: str | None) -> Any:
    """What was read: a value, how many items a list has, or of the document (None) all of it."""
    if path is None:
        return found.reading.record
    value = value_at(found.reading.record, path)
    return len(value) if isinstance(value, list) else value


def _accused(found: StoredExtraction) -> tuple[list[Check], dict[str, list[Check]]]:
    """The failed checks that point at no value, and the others by each value that nobody has decided."""
    decided = standing(found.decisions)
    whole: list[Check] = []
    accused: dict[str, list[Check]] = {}
    for check in found.extraction.checks:
        if check.passed or check.severity == "info":
            continue
        pointed = check.suspects or check.fields
        if not pointed:
            whole.append(check)
        for path in pointed:
            if path not in decided:
                accused.setdefault(path, []).append(check)
    return whole, accused


def _place(fields: Mapping[str, Any]) -> Any:
    """A sorting key by the order of the schema; what was not read comes last."""
    places = {path: number for number, path in enumerate(fields)}
    return lambda path: places.get(path, len(places))


def _sentences(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        few = len(check.suspects or check.fields) <= _FEW and check.code not in _OF_ALL
        yield f"{check.code}: {check.message}" if few else check.code


def _said(testimony: Sequence[Testimony]) -> Iterator[str]:
    for item in testimony:
        if item.verdict in ("differs", "offers"):
            yield f"{item.source}: {item.raw if item.raw is not None else item.value}"


def _unread(extraction: Extraction) -> Iterator[str]:
    if extraction.state == "partial":
        yield "partial: some of its pages could not be read"
