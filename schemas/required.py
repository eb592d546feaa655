"""The fields without which a document is not whole, as a schema names them: `required = ("number", "total")`.

A field that pydantic requires has no default and must be in every record. These may be absent from a record,
as they may be from paper; then the document goes to a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from schemas.checks import CheckResult
from schemas.shape import SchemaError
from schemas.typed import typed


def names(model: type[BaseModel]) -> tuple[str, ...]:
    """The model's own required fields. Raises SchemaError for a name that is no field of it."""
    if "required" not in model.__class_vars__:
        return ()
    declared = model.required  # type: ignore[attr-defined]
    if isinstance(declared, str):
        raise SchemaError(f'{model.__name__}.required: {declared!r} is no tuple; write ("{declared}",)')
    for name in declared:
        if name not in model.model_fields:
            raise SchemaError(f"{model.__name__}.required: it has no field {name!r}")
    return tuple(declared)


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and those in it, at any depth."""
    yield model
    for _, kind in _nested(model):
        yield from models(kind)


def missing(model: type[BaseModel], record: Mapping[str, Any], path: str = "") -> Iterator[CheckResult]:
    """A failed check for each required field of the record that holds nothing, at any depth.

    A nested record or a line of which nothing was read is not looked into.
    """
    for name in names(model):
        if _empty(record.get(name)):
            here = f"{path}{name}"
            yield CheckResult(
                "required", False, "error", f"{here}: the schema requires it, and no page shows it", (here,)
            )
    for name, kind in _nested(model):
        value = record.get(name)
        inner = (
            [(f"{path}{name}[{i}].", item) for i, item in enumerate(value)]
            if isinstance(value, list)
            else [(f"{path}{name}.", value)]
        )
        for here, item in inner:
            if isinstance(item, Mapping) and not _empty(item):
                yield from missing(kind, item, here)


def _empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_empty, value.values()))
    return value is None or value in ("", [])


def _nested(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """The fields that are models or lists of models."""
    for field in typed(model):
        if field.model is not None:
            yield field.name, field.model
