"""The fields without which a document is not whole, as a schema names them.

    required: ClassVar = ("number", Either("date_of_birth", "mrz"), Where(is_front, "a front", "sex"))
    expected: ClassVar = ("tax_code",)

`required` has what no such paper lacks. `expected` has what it bears by law or custom: where that is absent
it may really not be there, and the failed check is a warning. Both take names, at least one of several
(`Either`), and what holds for some papers alone, like one side of a card (`Where`).

A field that pydantic requires has no default and must be in every record. These may be absent from a record,
as they may be from paper; then the document goes to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from schemas.checks import CheckResult, Severity
from schemas.shape import SchemaError
from schemas.typed import instance, typed

SEVERITY: Mapping[str, Severity] = {"required": "error", "expected": "warning"}  # by the name of the tuple


class Either:
    """At least one of these fields."""

    def __init__(self, *names: str) -> None:
        self.names = names


class Where:
    """These fields, where `holds` says of the record, an instance of its model, that it is such a paper.

    `paper` says in a sentence what it is: "the front of a card". `within` is asked of the whole record, where
    the model is one of its lines.
    """

    def __init__(
        self,
        holds: Callable[[Any], bool],
        paper: str,
        *wanted: str | Either,
        within: Callable[[Any], bool] | None = None,
    ) -> None:
        self.holds, self.paper, self.wanted, self._within = holds, paper, wanted, within

    def may_hold(self, whole: Any) -> bool:
        """Whether it is asked of any line of this record."""
        return self._within is None or self._within(whole)


_Declared = str | Either | Where  # an item of either tuple


@dataclass(frozen=True, slots=True)
class Wanted:
    """Fields of which one at least must hold something, on a paper of this kind, "" where it is any."""

    names: tuple[str, ...]
    paper: str = ""


def look_at(model: type[BaseModel]) -> None:
    """Raises SchemaError for a name in the model's own tuples that is no field of it."""
    for kind in SEVERITY:
        for item in _declared(model, kind):
            for one in item.wanted if isinstance(item, Where) else (item,):
                for name in one.names if isinstance(one, Either) else (one,):
                    if name not in model.model_fields:
                        raise SchemaError(f"{model.__name__}.{kind}: it has no field {name!r}")


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and those in it, at any depth."""
    yield model
    for _, kind in _nested(model):
        yield from models(kind)


def _wanted(declared: Iterable[_Declared], subject: BaseModel) -> Iterator[Wanted]:
    """What a record, `subject` as an instance of its model, must hold of what the model declares."""
    for item in declared:
        if isinstance(item, Where):
            if item.holds(subject):
                yield from (Wanted(_names(one), item.paper) for one in item.wanted)
        else:
            yield Wanted(_names(item))


def missing(
    model: type[BaseModel],
    record: Mapping[str, Any],
    subject: BaseModel | None = None,
    kinds: Collection[str] = tuple(SEVERITY),
) -> Iterator[CheckResult]:
    """A failed check for each required or expected field of the record that holds nothing, at any depth.

    A nested record or a line of which nothing was read is not looked into. `subject`: the record as an
    instance of the model, where the caller has made one.
    """
    subject = subject or instance(model, record)
    asked = {kind: _declared(model, kind) for kind in kinds}
    return _missing(model, record, "", subject, asked, subject)


def _missing(
    model: type[BaseModel],
    record: Mapping[str, Any],
    path: str,
    subject: BaseModel,
    asked: Mapping[str, Collection[_Declared]],
    whole: BaseModel,
) -> Iterator[CheckResult]:
    """`asked`: what the model declares, by kind. `whole`: the record that `subject` is, or is a line of."""
    for kind, declared in asked.items():
        severity = SEVERITY[kind]
        for one in _wanted(declared, subject):
            if all(_empty(record.get(name)) for name in one.names):
                fields = tuple(f"{path}{name}" for name in one.names)
                said = f"{one.paper or 'such a paper'} bears it, and no page shows it"
                if kind == "required" and not one.paper:
                    said = "the schema requires it, and no page shows it"
                yield CheckResult(kind, False, severity, f"{' or '.join(fields)}: {said}", fields)
    for name, inner in _nested(model):
        if not any(True for nested in models(inner) for kind in asked if _declared(nested, kind)):
            continue
        if record.get(name) is None:
            continue
        # Asked of the whole record once, and not for each of its lines.
        of_inner = {kind: _of(inner, kind, whole) for kind in asked}
        made = getattr(subject, name)
        below = _below(record.get(name), f"{path}{name}")
        for (here, item), one_made in zip(below, made if isinstance(made, list) else [made], strict=True):
            if isinstance(item, Mapping) and not _empty(item):
                yield from _missing(inner, item, here, one_made, of_inner, whole)


def _of(model: type[BaseModel], kind: str, whole: BaseModel) -> list[_Declared]:
    """What is asked of such lines in this record."""
    declared = _declared(model, kind)
    return [item for item in declared if not isinstance(item, Where) or item.may_hold(whole)]


def count(model: type[BaseModel], record: Mapping[str, Any]) -> tuple[int, int]:
    """How many of its own required and expected fields the record holds, and how many it must."""
    subject = instance(model, record)
    every = [one for kind in SEVERITY for one in _wanted(_declared(model, kind), subject)]
    held = sum(any(not _empty(record.get(name)) for name in one.names) for one in every)
    return held, len(every)


def elsewhere(model: type[BaseModel], record: Mapping[str, Any]) -> frozenset[str]:
    """The model's own fields that hold nothing and that only papers of another kind must hold.

    So is a field that may be replaced by another one that is there.
    """
    conditional: set[str] = set()
    here: set[str] = set()
    subject = instance(model, record)
    for kind in SEVERITY:
        for item in _declared(model, kind):
            if not isinstance(item, Where):
                here.update(_names(item))
                continue
            conditional.update(name for one in item.wanted for name in _names(one))
            if item.holds(subject):
                here.update(name for one in item.wanted if not _replaced(one, record) for name in _names(one))
    return frozenset(name for name in conditional - here if _empty(record.get(name)))


def _replaced(item: str | Either, record: Mapping[str, Any]) -> bool:
    return isinstance(item, Either) and any(not _empty(record.get(name)) for name in item.names)


@cache
def _declared(model: type[BaseModel], kind: str) -> tuple[_Declared, ...]:
    if kind not in model.__class_vars__:
        return ()
    declared = getattr(model, kind)
    if isinstance(declared, str):
        raise SchemaError(f'{model.__name__}.{kind}: {declared!r} is no tuple; write ("{declared}",)')
    return tuple(declared)


def _names(item: str | Either) -> tuple[str, ...]:
    return item.names if isinstance(item, Either) else (item,)


def _below(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The records in a field, each with what its paths begin with."""
    if isinstance(value, list):
        yield from ((f"{path}[{i}].", item) for i, item in enumerate(value))
    else:
        yield f"{path}.", value


def _empty(value: Any) -> bool:
    if isinstance(value, dict):  # not Mapping, which takes long to ask for: records are JSON
        return all(map(_empty, value.values()))
    return value is None or value in ("", [])


@cache
def _nested(model: type[BaseModel]) -> tuple[tuple[str, type[BaseModel]], ...]:
    """The fields that are models or lists of models."""
    return tuple((field.name, field.model) for field in typed(model) if field.model is not None)
