"""The fields of a model with their plain types, found once a model: each document's checks ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from schemas.shape import plain_type


@dataclass(frozen=True, slots=True)
class Typed:
    """One field.

    given     the name that the model takes it by
    required  it has no default
    listed    it is a list, and what follows is said of its items
    model     its type, where that is a model
    python    from a JSON-ready value to one of its type; None: they are the same
    plain     it is no list and no model, and a JSON-ready value is one of its type
    """

    name: str
    given: str
    required: bool
    listed: bool
    model: type[BaseModel] | None
    python: Callable[[Any], Any] | None
    plain: bool

    def value(self, given: Any) -> Any:
        """A JSON-ready value that is no model's, as one of the type."""
        return given if given is None or self.python is None else self.python(given)


@cache
def typed(model: type[BaseModel]) -> tuple[Typed, ...]:
    """The fields of the model, in order."""
    found = []
    for name, info in model.model_fields.items():
        kind, _ = plain_type(info.annotation)
        listed = get_origin(kind) is list
        if listed:
            kind, _ = plain_type(get_args(kind)[0])
        nested = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        given = info.validation_alias if isinstance(info.validation_alias, str) else name
        python = _python(kind)
        plain = not listed and nested is None and python is None
        found.append(Typed(name, given, info.is_required(), listed, nested, python, plain))
    return tuple(found)


def instance(model: type[BaseModel], record: Mapping[str, Any]) -> BaseModel:
    """The record as an unvalidated instance with Python values; absent is None or an empty list."""
    values: dict[str, Any] = {}
    for one in typed(model):
        value = record.get(one.name)
        if one.listed:
            values[one.given] = [_instance(one, item) for item in value or ()]
        else:
            values[one.given] = value if value is None or one.plain else _instance(one, value)
    return model.model_construct(**values)


def _instance(one: Typed, value: Any) -> Any:
    return instance(one.model, value) if one.model and value is not None else one.value(value)


def _python(kind: Any) -> Callable[[Any], Any] | None:
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Decimal | Enum):
        return kind
    return kind.fromisoformat if issubclass(kind, datetime | date) else None
