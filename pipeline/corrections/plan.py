"""Entries held against the documents as they are now: what would change, and what is refused and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import deciding, paths
from pipeline.corrections import lines
from pipeline.corrections.entry import Entry
from pipeline.einvoice.lexical import exact
from pipeline.errors import UsageError
from pipeline.normal import json_ready, normal
from pipeline.records import Decision
from pipeline.store import Job, Store, StoredExtraction, doubts
from schemas.registry import SchemaSpec
from schemas.shape import Leaf, Repeated


@dataclass(frozen=True, slots=True)
class Change:
    """A decision that the file asks for. `before` is what is shown now, `after` what then will be."""

    where: str
    uri: str
    label: str
    before: Any
    after: Any
    decision: Decision


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry that is not taken, and why, without its value."""

    where: str
    uri: str
    field: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file would change, by document; `known` entries say what is decided already."""

    changes: tuple[Change, ...]
    refusals: tuple[Refusal, ...]
    known: int

    def documents(self) -> dict[str, list[Change]]:
        by_document: dict[str, list[Change]] = {}
        for change in self.changes:
            by_document.setdefault(change.uri, []).append(change)
        return by_document


class _Refused(Exception):
    """Why an entry is not taken."""


class _Known(Exception):
    """The entry says what is decided already."""


def plan(store: Store, job: Job, spec: SchemaSpec, entries: Sequence[Entry], by: str) -> Plan:
    """What these entries would change. Nothing is written.

    An entry is refused where its document or value is not the one that it was shown for: identifiers were
    edited, the document was read anew, or somebody else decided otherwise meanwhile.
    """
    by_uri: dict[str, list[Entry]] = {}
    for entry in entries:
        by_uri.setdefault(entry.uri, []).append(entry)
    changes: list[Change] = []
    refusals: list[Refusal] = []
    known = 0
    for uri, some in by_uri.items():
        document = _Document(store, job, spec, uri, some, by)
        for entry in sorted(
            document.entries, key=lambda entry: entry.field is None
        ):  # the document itself last
            try:
                changes.append(document.change(entry))
            except _Known:
                known += 1
            except (_Refused, UsageError) as error:
                refusals.append(Refusal(entry.where, uri, entry.field, str(error)))
    return Plan(tuple(changes), tuple(refusals), known)


def apply(store: Store, job: Job, spec: SchemaSpec, planned: Plan, batch: str) -> Iterator[str | Refusal]:
    """Puts the changes into the store, each document's at once, all under the name of one batch.

    Gives the URI of each document that was changed, or why one was refused after all. What is applied stays
    applied where a later document fails; the same file again takes up what is left.
    """
    for uri, changes in planned.documents().items():
        try:
            store.decisions.add(job, uri, [change.decision for change in changes], batch=batch, spec=spec)
            yield uri
        except UsageError as error:
            yield Refusal(changes[0].where, uri, None, error.message)


class _Document:
    """One document with the entries of a file for it."""

    def __init__(
        self, store: Store, job: Job, spec: SchemaSpec, uri: str, entries: Sequence[Entry], by: str
    ) -> None:
        self._job, self._spec, self._uri, self._by = job, spec, uri, by
        self._names = doubts.names(job)
        self._found: StoredExtraction | None = store.results.extraction(job, uri)
        self.entries = list(entries) if self._found is None else lines.numbered(entries, self._found)
        self._seen: dict[str | None, Entry] = {}
        self._texts = {
            entry.field: entry.text
            for entry in self.entries
            if entry.field is not None and entry.text is not None and entry.ruling == "correct"
        }

    def change(self, entry: Entry) -> Change:
        """Raises _Refused or UsageError with the reason, _Known for what is decided so already."""
        if self._found is None:
            raise _Refused(f"job {self._job.name} has no result of this document")
        if not self._is_whole(entry):
            raise _Refused("document, field and key do not belong together; they are not to be edited")
        reading = self._found.reading
        value = doubts.value_of(self._found, entry.field)
        if entry.field is not None and entry.field.endswith("]"):
            value = self._line(entry.field)
        decision = deciding.checked(self._decision(entry, value), reading, self._spec)
        if (earlier := self._seen.setdefault(entry.field, entry)) is not entry:
            if (earlier.ruling, earlier.text, earlier.exact) == (entry.ruling, entry.text, entry.exact):
                raise _Known
            raise _Refused(f"the file says something else of it in {earlier.where}")
        if not self._grows(entry):
            self._hold_against_others(decision)
        if not self._is_as_shown(entry):
            raise _Refused("it has been read anew since the file was written; export once more")
        one = None if entry.field is None else doubts.called(entry.field, self._names)
        label = "" if one is None else one.label
        return Change(entry.where, self._uri, label, value, decision.value, decision)

    def _line(self, path: str) -> Any:
        """A line as it was read, empty where a person has added it. Raises _Refused where there is none."""
        assert self._found is not None
        *above, number = paths.steps(path)
        made = deciding.standing(self._found.decisions).get(paths.joined(above))
        count = doubts.value_of(self._found, paths.joined(above)) if made is None else made.value
        if not isinstance(number, int) or number >= (count or 0):
            raise _Refused("there is no such line")
        return doubts.value_of(self._found, path) or {}

    def _grows(self, entry: Entry) -> bool:
        """Whether it is the length of a list that gets new lines; it may have got some before."""
        if entry.key is not None or entry.field is None:
            return False
        return isinstance(paths.node_at(self._spec.shape, entry.field), Repeated)

    def _is_whole(self, entry: Entry) -> bool:
        """Whether nobody has edited what says which value it is. A value's row may reject the document."""
        if entry.key is None or entry.field is None:
            return entry.key is None or doubts.is_in(entry.key, self._job.name, self._uri)
        return doubts.is_of(entry.key, self._job.name, self._uri, entry.shown or entry.field)

    def _is_as_shown(self, entry: Entry) -> bool:
        if entry.key is None or (entry.ruling == "reject" and entry.field is None):
            return True
        assert self._found is not None
        field = entry.shown or entry.field
        value = doubts.value_of(self._found, field)
        return entry.key == doubts.key(self._job.name, self._uri, field, value)

    def _hold_against_others(self, decision: Decision) -> None:
        assert self._found is not None
        made = deciding.standing(self._found.decisions).get(decision.field)
        if made is None:
            return
        if (made.ruling, made.value) == (decision.ruling, decision.value):
            raise _Known
        raise _Refused(f"{made.by} has decided otherwise meanwhile ({made.ruling})")

    def _decision(self, entry: Entry, value: Any) -> Decision:
        if entry.ruling != "correct" or entry.field is None:
            return Decision(entry.field, entry.ruling, self._by)
        node = paths.node_at(self._spec.shape, entry.field)
        if not isinstance(node, Leaf):
            return Decision(entry.field, "correct", self._by, entry.text or entry.exact)
        if entry.text is None:
            meant, problem = exact(node, entry.exact or "")
        else:
            meant, problem = self._printed(node, entry.field, entry.text)
        if problem is not None:
            raise _Refused(f"this is no {node.printed.sql} as {node.label!r} is printed")
        if meant == value:
            return Decision(entry.field, "accept", self._by)
        return Decision(entry.field, "correct", self._by, entry.text, meant)

    def _printed(self, leaf: Leaf, field: str, text: str) -> tuple[Any, str | None]:
        """A printed text as the schema reads it; a number with two meanings as the whole document says."""
        value, problem = normal(leaf, text)
        if problem is not None:
            return value, problem
        assert self._found is not None
        read = {item.path: item.raw for item in self._found.reading.fields if item.raw is not None}
        settled = self._spec.settle({**read, **self._texts, field: text})
        for check in settled.checks:
            if check.code == "number_ambiguous" and field in check.fields:
                raise _Refused("this may be two numbers; write it with decimals (1.234,00 or 1,2340)")
        return json_ready(settled.values[field]) if field in settled.values else value, None
