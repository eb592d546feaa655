"""Label Studio's JSON export of tasks as entries.

Of each task the last annotation counts. A region whose text is as it was read says that a doubtful value is
right; another text corrects it; a choice at the region says that there is none, or that nobody can read it. A
region that a person drew has a label for its value. A region that was deleted says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.corrections.entry import Entry
from pipeline.errors import UsageError
from pipeline.label_studio.config import DOCUMENT, LABEL, RULING, TEXT
from pipeline.records import Ruling
from pipeline.store import Job, Store, StoredExtraction, doubts
from schemas.text import tidy

_MOST_TASKS = 1_000_000
_RULINGS: Mapping[str | None, Ruling] = {  # of a region
    "accept": "accept",
    "not_on_page": "not_on_page",
    "illegible": "illegible",
}


def entries(data: bytes, name: str, store: Store, job: Job) -> Sequence[Entry]:
    """What people said in these tasks. Raises UsageError for a file that is no such export."""
    try:
        parsed = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise UsageError(f"{name} is no JSON in UTF-8") from None
    if not isinstance(parsed, list) or len(parsed) > _MOST_TASKS:
        raise UsageError(f"{name} is no list of tasks; export as “JSON” in Label Studio, not “JSON-MIN”")
    return tuple(
        entry
        for number, task in enumerate(parsed, 1)
        for entry in _task(task, f"task {number}", name, store, job)
    )


def _task(task: Any, where: str, name: str, store: Store, job: Job) -> Iterator[Entry]:
    data = _mapping(_mapping(task).get("data"))
    uri = data.get("document_uri")
    if not isinstance(uri, str):
        raise UsageError(f"{name}: {where} names no document; it is of no export of Vinbatch")
    if data.get("job") != job.name:
        raise UsageError(f"{name}: {where} is of another job than {job.name}")
    annotation = _last(_mapping(task).get("annotations"))
    if annotation is None:
        return
    document = _Document(uri, store.results.extraction(job, uri), job)
    regions: dict[str, dict[str, Mapping[str, Any]]] = {}
    for result in map(_mapping, _list(annotation.get("result"))):
        region = regions.setdefault(str(result.get("id")), {})
        region[str(result.get("from_name"))] = _mapping(result.get("value"))
    for id, region in regions.items():
        yield from document.entries(id, region, f"{where}, page {data.get('page')}")


def _last(annotations: Any) -> Mapping[str, Any] | None:
    made = [item for item in map(_mapping, _list(annotations)) if not item.get("was_cancelled")]
    return made[-1] if made else None


class _Document:
    """A document's values by what regions are called, and which of them are doubtful."""

    def __init__(self, uri: str, found: StoredExtraction | None, job: Job) -> None:
        self._uri = uri
        fields = () if found is None else found.reading.fields
        self._fields = {_value(doubts.key(job.name, uri, field.path, None)): field for field in fields}
        self._doubtful = set() if found is None else {doubt.field for doubt in doubts.of(found, job, {})}

    def entries(self, id: str, region: Mapping[str, Mapping[str, Any]], where: str) -> Iterator[Entry]:
        """What one region, by the names of its results, says."""
        if _first(region, DOCUMENT, "choices") == "reject":
            yield Entry(where, self._uri, None, None, "reject")
        text = tidy(_first(region, TEXT, "text") or "")
        ruling = _first(region, RULING, "choices")
        if LABEL not in region and TEXT not in region and ruling is None:
            return
        field = self._fields.get(_value(id))
        if field is None:  # a person drew it
            label = _first(region, LABEL, "rectanglelabels") or ""
            yield Entry(where, self._uri, label, None, "correct", text or None)
        elif ruling in _RULINGS:
            yield Entry(where, self._uri, field.path, id, _RULINGS[ruling])
        elif text != tidy(field.raw or ""):
            yield Entry(where, self._uri, field.path, id, "correct", text or None)
        elif field.path in self._doubtful:
            yield Entry(where, self._uri, field.path, id, "accept")


def _value(key: str) -> str:
    """The part of a key that says which value it is of, not what that was."""
    return key.rpartition("-")[0]


def _first(region: Mapping[str, Mapping[str, Any]], name: str, what: str) -> str | None:
    """The first text of a result; some have a list of them, some one alone."""
    given = region.get(name, {}).get(what)
    first = given[0] if isinstance(given, list) and given else given
    return first if isinstance(first, str) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
