"""A pydantic model seen as what stands on paper: labels, printed patterns, lists of lines.

Prompt, grammar, parser and SQL views all walk this one tree, so that they cannot disagree.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, PydanticUserError, RootModel
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo

from schemas.fields import PLAIN
from schemas.printed import Printed as Printed
from schemas.printed import Sql as Sql
from schemas.printed import text_pattern
from schemas.text import tidy


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value: `name` in the schema, `label` as printed (the key the model writes)."""

    name: str
    label: str
    printed: Printed
    hint: str | None = None  # the pydantic description, for the prompt


@dataclass(frozen=True, slots=True)
class Group:
    """A nested model."""

    name: str
    label: str
    fields: tuple[Node, ...]

    def leaves(self, prefix: str = "") -> Iterator[tuple[str, Leaf]]:
        """Each leaf with its path; a list's leaves are named "lines[].amount"."""
        for field in self.fields:
            path = f"{prefix}{field.name}"
            if isinstance(field, Leaf):
                yield path, field
            elif isinstance(field, Group):
                yield from field.leaves(f"{path}.")
            elif isinstance(field.item, Group):
                yield from field.item.leaves(f"{path}[].")
            else:
                yield f"{path}[]", field.item


@dataclass(frozen=True, slots=True)
class Repeated:
    """A list: of lines (Group) or of single values (Leaf), at most `max_items` on one page."""

    name: str
    label: str
    item: Group | Leaf
    max_items: int


Node = Leaf | Group | Repeated


MAX_ITEMS = 60  # lines of one list on one page, where the schema sets no max_length

_INSTEAD = {
    dict: "a nested model with one field for each value",
    tuple: "a nested model, or list[...] where all items are alike",
    set: "list[...]",
    frozenset: "list[...]",
    bytes: "str",
    complex: "Decimal",
    object: "str, or the type that is printed",
}


class SchemaError(ValueError):
    """A schema that cannot be read from paper, or cannot be found: one line naming the field and the cure."""


def shape_of(model: type[BaseModel]) -> Group:
    """The printed shape of a pydantic model.

    Raises SchemaError, naming the field, for whatever has no printed form: mappings, unions of different
    types, recursion, lists of lists, two fields with one label.
    """
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or issubclass(model, RootModel):
        raise SchemaError(
            f"{getattr(model, '__name__', model)!s} is no pydantic model: derive it from pydantic.BaseModel"
        )
    return _group(model, _snake(model.__name__), title_of(model), model.__name__, ())


def title_of(model: type[BaseModel]) -> str:
    """What kind of paper the model is: its title, else the first line of its docstring, else its name."""
    own = (model.__doc__ or "").strip().splitlines() if "__doc__" in vars(model) else []
    return model.model_config.get("title") or (own[0].strip() if own else model.__name__)


def plain_type(annotation: Any, metadata: tuple[Any, ...] = ()) -> tuple[Any, tuple[Any, ...]]:
    """The type without `| None` and `Annotated`, and all metadata found on the way, inner first.

    A union of several types stays a union.
    """
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *found = get_args(annotation)
            metadata = (
                *(m for f in found for m in (f.metadata if isinstance(f, FieldInfo) else (f,))),
                *metadata,
            )
            continue
        if get_origin(annotation) in (Union, types.UnionType):
            rest = [arm for arm in get_args(annotation) if arm is not types.NoneType]
            if len(rest) == 1:
                annotation = rest[0]
                continue
        return annotation, metadata


def _group(model: type[BaseModel], name: str, label: str, where: str, trail: tuple[type, ...]) -> Group:
    if model in trail:
        raise SchemaError(
            f"{where}: {model.__name__} holds itself; paper has no such depth: write the levels out"
        )
    try:
        model.model_rebuild()
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        raise SchemaError(f"{where}: {str(error).splitlines()[0]}") from None
    if not model.model_fields:
        raise SchemaError(f"{where}: {model.__name__} has no fields; add at least one")
    fields: list[Node] = []
    owner: dict[str, str] = {}
    for field_name, info in model.model_fields.items():
        here = f"{where}.{field_name}"
        field_label = _label(info.title or field_name, here)
        if field_label in owner:
            raise SchemaError(
                f"{here} and {owner[field_label]} have one label, {field_label!r}: give each its own title"
            )
        owner[field_label] = here
        fields.append(_node(info, field_name, field_label, here, (*trail, model)))
    return Group(name, label, tuple(fields))


def _label(text: str, where: str) -> str:
    label = tidy(text)
    if not label or len(label) > 80 or not label.isprintable():
        raise SchemaError(f"{where}: the label {text!r} must be 1 to 80 printable characters")
    return label


def _node(info: FieldInfo, name: str, label: str, where: str, trail: tuple[type, ...]) -> Node:
    kind, metadata = plain_type(info.annotation, tuple(info.metadata))
    if get_origin(kind) is not list and kind is not list:
        return _item(kind, metadata, name, label, info.description, where, trail)
    if not get_args(kind):
        raise SchemaError(f"{where}: a list must say of what, like list[str]")
    inner, inner_metadata = plain_type(get_args(kind)[0])
    if get_origin(inner) is list or inner is list:
        raise SchemaError(f"{where}: a list of lists has no printed form; use a list of models")
    limit = min(
        (m.max_length for m in metadata if getattr(m, "max_length", None) is not None), default=MAX_ITEMS
    )
    if limit < 1:
        raise SchemaError(f"{where}: max_length must be at least 1")
    return Repeated(
        name, label, _item(inner, inner_metadata, name, label, info.description, f"{where}[]", trail), limit
    )


def _item(
    kind: Any,
    metadata: tuple[Any, ...],
    name: str,
    label: str,
    hint: str | None,
    where: str,
    trail: tuple[type, ...],
) -> Leaf | Group:
    if isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, RootModel):
        return _group(kind, name, label, where, trail)
    return Leaf(name, label, _printed(kind, metadata, where), hint)


def _printed(kind: Any, metadata: tuple[Any, ...], where: str) -> Printed:
    declared = [m for m in metadata if isinstance(m, Printed)]
    if declared:
        return declared[-1]
    if get_origin(kind) is Literal:
        return _choice(get_args(kind), where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice(tuple(member.value for member in kind), where)
    if get_origin(kind) in (Union, types.UnionType):
        raise SchemaError(
            f"{where}: a union of different types is not told apart on paper; use one type, like str"
        )
    if not isinstance(kind, type) or kind not in PLAIN:
        raise SchemaError(f"{where}: {_type_name(kind)} has no printed form; use {_instead(kind)}")
    return _constrained(PLAIN[kind], metadata, where) if kind is str else PLAIN[kind]


def _choice(values: tuple[Any, ...], where: str) -> Printed:
    if not values or not all(isinstance(value, str) and value for value in values):
        raise SchemaError(f"{where}: the choices {values!r} must all be strings, as they are printed")
    known = {tidy(value).casefold(): value for value in values}

    def parse(raw: str) -> str:
        try:
            return str(known[tidy(raw).casefold()])
        except KeyError:
            raise ValueError(f"{raw!r} is none of {', '.join(values)}") from None

    for value in values:
        _label(value, where)
    return Printed("|".join(re.escape(v) for v in values), parse, "text", max(map(len, values)))


def _constrained(printed: Printed, metadata: tuple[Any, ...], where: str) -> Printed:
    """A text with the pydantic constraints that a pattern can say: pattern, max_length."""
    longest = min((m.max_length for m in metadata if getattr(m, "max_length", None)), default=None)
    patterns = [m.pattern for m in metadata if getattr(m, "pattern", None)]
    if patterns:
        return replace(printed, pattern=str(patterns[-1]), max_chars=longest or printed.max_chars)
    return replace(printed, pattern=text_pattern(longest), max_chars=longest) if longest else printed


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def _instead(kind: Any) -> str:
    base = get_origin(kind) or kind
    if kind is Any:
        base = object
    return _INSTEAD.get(base, "str, int, Decimal, date, Literal[...], list[...] or a nested model")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
