"""A document with what people decided: its record, its checks, its state.

What was read stays as it is. A decision is about a path, and paths are those of the reading: a line that a
person takes out leaves the record, and the lines after it keep their names in fields, checks and decisions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline import absence
from pipeline.errors import UsageError
from pipeline.normal import normal
from pipeline.paths import joined, node_at, steps, value_at
from pipeline.records import Check, Decision, Extraction, Field
from pipeline.support import cleared
from schemas.registry import SchemaSpec
from schemas.shape import Group, Leaf, Node, Repeated

MOST_ITEMS = 1000  # of one list that a person may ask for


def standing(decisions: Iterable[Decision]) -> dict[str | None, Decision]:
    """The last decision of each path, and of the document (None); `decisions` in the order they were made."""
    last: dict[str | None, Decision] = {}
    for decision in decisions:
        last[decision.field] = decision
    return last


def rejected(decisions: Iterable[Decision]) -> Decision | None:
    """The decision that the document is none that belongs here, if it stands."""
    whole = standing(decisions).get(None)
    return whole if whole is not None and whole.ruling == "reject" else None


def applied(
    extraction: Extraction,
    decisions: Sequence[Decision],
    spec: SchemaSpec,
) -> Extraction:
    """The extraction with what people decided in its record, and the schema's rules run again over it.

    `extraction` is what was read, without any decision. A failed check whose fields are all decided becomes a
    remark; where the reading has another value than was decided, and than was read then, `reading_differs`
    says so. The state is "done" when nothing is left to decide.
    """
    if not decisions:
        return extraction
    last = standing(decisions)
    view = _View(extraction, last, spec)
    before = spec.run_checks(extraction.record, extraction.read_on)
    by_rules = {check.code for check in (*before, *view.rules)}
    checks = [check for check in extraction.checks if check.code not in by_rules]
    checks = [view.settled(check) for check in (*checks, *view.rules)]
    checks += _differing(extraction, last)
    return replace(
        extraction,
        record=view.record,
        checks=tuple(checks),
        state=_state(extraction, checks, whole=view.whole),
    )


def decided_fields(fields: Sequence[Field], decisions: Sequence[Decision]) -> tuple[Field, ...]:
    """The fields of a reading as people decided them, named as in the record.

    A decided field has the source "review"; it has no confidence and no score where a person set its value.
    """
    last = standing(decisions)
    kept = _kept_by_whole(last)
    out = _taken_out(last)
    known = {field.path for field in fields}
    added = [
        Field(path, None, None, None, "review", None)
        for path in last
        if path is not None and path not in known and path not in out
    ]
    found = []
    for field in (*fields, *added):
        if any(_below(field.path, item) for item in out):
            continue
        decision = last.get(field.path)
        if decision is not None:
            field = as_decided(field, decision)
        elif field.path in kept and kept[field.path] != field.value:
            field = field._replace(raw=None, value=kept[field.path], source="review", problem=None)
        if field.path in _counts(out):
            field = field._replace(value=(field.value or 0) - _counts(out)[field.path])
        found.append(field._replace(path=_renumbered(field.path, out)))
    return tuple(found)


def checked(decision: Decision, extraction: Extraction, spec: SchemaSpec) -> Decision:
    """The decision with the value that it means and the one that was read, ready to be stored.

    Raises UsageError, which names the field and no value, for a field that the schema does not have or a text
    that is no value of it.
    """
    if decision.ruling == "reject" and decision.field is not None:
        raise UsageError("a document is rejected as a whole, not one of its fields")
    if decision.field is None:
        if decision.ruling not in ("accept", "reject"):
            raise UsageError(f"of a whole document one may say accept or reject, not {decision.ruling}")
        values = {field.path: field.value for field in extraction.fields}
        return replace(decision, raw=None, value=None, was=values if decision.ruling == "accept" else None)
    node = node_at(spec.shape, decision.field)
    was = value_at(extraction.record, decision.field) if not isinstance(node, Group) else None
    if isinstance(node, Repeated):
        was = len(was or ())
    if isinstance(node, Group) and decision.ruling != "not_on_page":
        raise UsageError(f"{decision.field}: of a whole line one may say only not_on_page")
    match decision.ruling:
        case "accept":
            return replace(decision, raw=None, value=was, was=was)
        case "correct":
            raw, value = _meant(node, decision)
            return replace(decision, raw=raw, value=value, was=was)
    return replace(decision, raw=None, value=None, was=was)


def without_line(extraction: Extraction, decisions: Sequence[Decision]) -> str | None:
    """The path of a decision on a line that the document does not have, if there is one.

    Only of those that give it a value: a line may be gone because the document was read again.
    """
    last = standing(decisions)
    for path, decision in last.items():
        if path is None or decision.ruling != "correct":
            continue
        found = steps(path)
        for at, step in enumerate(found):
            if not isinstance(step, int):
                continue
            name = joined(found[:at])
            count = last[name].value if name in last else len(value_at(extraction.record, name) or ())
            if step >= (count or 0):
                return path
    return None


def _meant(node: Node, decision: Decision) -> tuple[str | None, Any]:
    if isinstance(node, Repeated):
        count = decision.value if decision.value is not None else decision.raw
        if not str(count).isdecimal() or int(str(count)) > MOST_ITEMS:
            raise UsageError(f"{decision.field}: how many there are is a number up to {MOST_ITEMS}")
        return None, int(str(count))
    if decision.value is not None or not isinstance(node, Leaf):
        return decision.raw, decision.value
    raw = (decision.raw or "").strip()
    if not raw:
        raise UsageError(f"{decision.field}: a correction has a value; say not_on_page or illegible for none")
    value, problem = normal(node, raw)
    if problem is not None:  # which may repeat the text
        raise UsageError(f"{decision.field}: this is no {_kind(node)} as it is printed")
    return raw, value


def _kind(leaf: Leaf) -> str:
    names = {"decimal": "number", "integer": "whole number", "real": "number", "boolean": "yes or no"}
    return names.get(leaf.printed.sql, leaf.printed.sql)


def _below(path: str, item: str) -> bool:
    return path == item or path.startswith((f"{item}.", f"{item}["))


def _taken_out(last: Mapping[str | None, Decision]) -> frozenset[str]:
    """Lines that a person took out, by their paths."""
    return frozenset(
        path
        for path, decision in last.items()
        if path is not None and path.endswith("]") and decision.ruling == "not_on_page"
    )


def _counts(out: Iterable[str]) -> dict[str, int]:
    """How many items were taken out of each list."""
    counts: dict[str, int] = {}
    for item in out:
        name = item[: item.rindex("[")]
        counts[name] = counts.get(name, 0) + 1
    return counts


def _renumbered(path: str, out: Iterable[str]) -> str:
    """A path of the reading as the record has it, where lines before it were taken out."""
    for name in _counts(out):
        if path.startswith(f"{name}["):
            end = path.index("]", len(name))
            number = int(path[len(name) + 1 : end])
            before = sum(1 for item in out if item.startswith(f"{name}[") and _number(item) < number)
            path = f"{name}[{number - before}{path[end:]}"
    return path


def _number(item: str) -> int:
    return int(item[item.rindex("[") + 1 : -1])


# values


def _kept_by_whole(last: Mapping[str | None, Decision]) -> Mapping[str, Any]:
    """The values that somebody accepted all together, by path."""
    whole = last.get(None)
    return whole.was if whole is not None and isinstance(whole.was, Mapping) else {}


def as_decided(field: Field, decision: Decision) -> Field:
    """A field with what a person decided of it."""
    match decision.ruling:
        case "accept" if decision.value == field.value:
            return field._replace(source="review", problem=None)
        case "not_on_page":
            absence: Literal["not_on_page", "illegible"] | None = "not_on_page"
        case "illegible":
            absence = "illegible"
        case _:
            absence = None
    return field._replace(
        raw=decision.raw,
        value=decision.value,
        confidence=None,
        source="review",
        problem=None,
        score=None,
        absence=absence,
    )


def _differing(extraction: Extraction, last: Mapping[str | None, Decision]) -> Iterator[Check]:
    """Where the reading is neither what was decided nor what was read when it was decided."""
    fields = {field.path: field for field in extraction.fields}
    accepted = _kept_by_whole(last)
    for path, decision in last.items():
        if path is None or path.endswith("]"):
            continue
        read = value_at(extraction.record, path)
        read = len(read) if isinstance(read, list) else read
        if read not in (decision.value, decision.was):
            yield _differs(path, decision.value, read)
    for path, value in accepted.items():
        read = fields[path].value if path in fields else None
        if path not in last and read != value:
            yield _differs(path, value, read)


def _differs(path: str, decided: Any, read: Any) -> Check:
    message = f"{path}: a later reading has another value; what a person decided is kept"
    expected, found = (None if value is None else str(value) for value in (decided, read))
    return Check("reading_differs", False, "warning", message, (path,), expected, found)


@dataclass(frozen=True, slots=True)
class _Lists:
    """A record whose lists have as many items as was decided."""

    record: dict[str, Any]
    shape: Group

    def put(self, path: str, value: Any) -> None:
        """Nothing is put where there is no such line."""
        *above, name = steps(path)
        found: Any = self.record
        for step in above:
            if isinstance(step, int):
                if not isinstance(found, list) or step >= len(found):
                    return
                found = found[step]
            elif isinstance(found, dict):
                found = found.setdefault(step, None)
            if found is None:
                return
        if isinstance(name, int):
            if isinstance(found, list) and name < len(found):
                found[name] = value
        else:
            found[name] = value

    def resize(self, path: str, count: int) -> None:
        node = node_at(self.shape, path)
        items = value_at(self.record, path) or []
        if isinstance(node, Repeated):
            empty = [_empty(node.item) for _ in range(count - len(items))]
            self.put(path, [*items[:count], *empty])

    def take_out(self, items: Iterable[str]) -> None:
        for item in sorted(items, key=_number, reverse=True):
            found = value_at(self.record, item[: item.rindex("[")])
            if isinstance(found, list) and _number(item) < len(found):
                del found[_number(item)]


def _empty(node: Node) -> Any:
    if isinstance(node, Group):
        return {field.name: _empty(field) for field in node.fields}
    return [] if isinstance(node, Repeated) else None


class _View:
    """A reading as it is with the last decisions."""

    def __init__(self, extraction: Extraction, last: Mapping[str | None, Decision], spec: SchemaSpec) -> None:
        self._last = last
        self._out = _taken_out(last)
        whole = last.get(None)
        self.whole = whole is not None and whole.ruling == "accept"
        lists = _Lists(deepcopy(extraction.record), spec.shape)
        accepted = {path: value for path, value in _kept_by_whole(last).items() if path not in last}
        decided = {
            path: decision.value
            for path, decision in last.items()
            if path is not None and path not in self._out
        }
        for path, value in (accepted | decided).items():
            if isinstance(node_at(spec.shape, path), Repeated):
                lists.resize(path, value or 0)
        for path, value in (accepted | decided).items():
            if isinstance(node_at(spec.shape, path), Leaf):
                lists.put(path, value)
        lists.take_out(self._out)
        self.record = lists.record
        from_xml = any(field.source == "xml" for field in extraction.fields)
        found = absence.rules(spec, self.record, extraction.read_on, from_xml=from_xml)
        rules = [self._named_as_read(check) for check in found]
        self.rules = list(cleared(rules, extraction.testimony))

    def settled(self, check: Check) -> Check:
        """A failed check is a remark once a person has decided all that it points at."""
        if check.passed or check.severity == "info":
            return check
        pointed = check.accused or check.fields
        if self.whole or (pointed and all(map(self._is_decided, pointed))):
            return replace(check, severity="info")
        return check

    def _is_decided(self, path: str) -> bool:
        return path in self._last or any(_below(path, item) for item in self._out)

    def _named_as_read(self, check: Check) -> Check:
        if not self._out:
            return check
        suspects = None if check.suspects is None else tuple(map(self._as_read, check.suspects))
        return replace(check, fields=tuple(map(self._as_read, check.fields)), suspects=suspects)

    def _as_read(self, path: str) -> str:
        """A path of the record as the reading has it: the reverse of `_renumbered`."""
        for name in _counts(self._out):
            if path.startswith(f"{name}["):
                end = path.index("]", len(name))
                number = int(path[len(name) + 1 : end])
                for item in sorted((i for i in self._out if i.startswith(f"{name}[")), key=_number):
                    number += _number(item) <= number
                path = f"{name}[{number}{path[end:]}"
        return path


def _state(
    extraction: Extraction, checks: Sequence[Check], *, whole: bool
) -> Literal["done", "review", "partial"]:
    """A document that a promise has passed stays so, unless something fails that did not before."""
    failed = [check for check in checks if not check.passed and check.severity != "info"]
    if extraction.state == "partial" and not whole:
        return "partial"
    if extraction.state == "done":
        known = {(check.code, check.fields) for check in extraction.checks if not check.passed}
        failed = [check for check in failed if (check.code, check.fields) not in known]
    return "review" if failed else "done"
