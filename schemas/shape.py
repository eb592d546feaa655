"""A pydantic model seen as what stands on paper: labels, printed patterns, lists of lines.

Prompt, grammar, parser and SQL views all walk this one tree, so that they cannot disagree. The first three
see only what the model is asked for: `unasked` fields come from elsewhere, such as an invoice's XML.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, PydanticUserError, RootModel
from pydantic.fields import FieldInfo
from typing_inspection.typing_objects import is_typealiastype

from schemas.fields import PLAIN
from schemas.in_xml import ROOT, InXml
from schemas.printed import Printed as Printed
from schemas.printed import Sql as Sql
from schemas.printed import text_pattern, whole_pattern
from schemas.text import tidy

_INDEX = re.compile(r"\[[0-9]+\]")


@lru_cache(maxsize=65_536)
def leaf_path(path: str) -> str:
    """The path of a value's leaf in the schema: "lines[2].amount" → "lines[].amount"."""
    return _INDEX.sub("[]", path)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value: `name` in the schema, `label` as printed (the key the model writes)."""

    name: str
    label: str
    printed: Printed
    hint: str | None = None  # the pydantic description, for the prompt
    xml: InXml | None = None
    asked: bool = True  # False: the model is not asked for it, and no page that it reads has it


@dataclass(frozen=True, slots=True)
class Group:
    """A nested model. `product` names its fields (count, price, amount) with count × price = amount.

    `xml_root` is the element of XML that is one record of the model.
    """

    name: str
    label: str
    fields: tuple[Node, ...]
    product: tuple[str, str, str] | None = None
    xml: InXml | None = None
    xml_root: str = ROOT
    asked: bool = True

    @property
    def of_pages(self) -> Group:
        """The shape without what the model is not asked for."""
        return replace(self, fields=tuple(_of_pages(field) for field in self.fields if field.asked))

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
    xml: InXml | None = None
    asked: bool = True


Node = Leaf | Group | Repeated


def _of_pages(node: Node) -> Node:
    if isinstance(node, Repeated) and isinstance(node.item, Group):
        return replace(node, item=node.item.of_pages)
    return node.of_pages if isinstance(node, Group) else node


MAX_ITEMS = 200  # lines of one list on one page, where the schema sets no max_length: a full A4 page has 100

_INSTEAD = {
    dict: "a nested model with one field for each value",
    tuple: "a nested model, or list[...] where all items are alike",
    set: "list[...]",
    frozenset: "list[...]",
    bytes: "str",
    complex: "Decimal",
    Any: "str, or the type that is printed",
    object: "str, or the type that is printed",
}


class SchemaError(ValueError):
    """A schema that cannot be read from paper, or cannot be found: one line naming the field and the cure."""


def shape_of(model: type[BaseModel]) -> Group:
    """The printed shape of a pydantic model; its `ClassVar` named `product` is kept.

    Raises SchemaError, naming the field, for whatever has no printed form: mappings, unions of different
    types, recursion, lists of lists, two fields with one label.
    """
    name = getattr(model, "__name__", repr(model))
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or issubclass(model, RootModel):
        raise SchemaError(f"{name} is no pydantic model with fields; derive it from pydantic.BaseModel")
    return _group(model, snake(name), title_of(model), name, ())


def title_of(model: type[BaseModel]) -> str:
    """What kind of paper the model is: its title, else the first line of its docstring, else its name."""
    own = (vars(model).get("__doc__") or "").strip().splitlines()
    return tidy(model.model_config.get("title") or (own[0] if own else model.__name__))


def snake(name: str) -> str:
    """DeliveryNote → delivery_note."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def plain_type(annotation: Any, metadata: tuple[Any, ...] = ()) -> tuple[Any, tuple[Any, ...]]:
    """The type without `| None`, `Annotated` and alias, and all metadata found on the way, inner first.

    A union of several types stays a union.
    """
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *found = get_args(annotation)
            inner = (m for item in found for m in (item.metadata if isinstance(item, FieldInfo) else (item,)))
            metadata = (*inner, *metadata)
        elif is_typealiastype(annotation):
            annotation = annotation.__value__
        elif len(arms := _arms(annotation)) == 1:
            annotation = arms[0]
        else:
            return annotation, metadata


def _arms(annotation: Any) -> list[Any]:
    """The members of a union, None left out; nothing for any other type."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return []
    return [arm for arm in get_args(annotation) if arm is not types.NoneType]


def _group(model: type[BaseModel], name: str, label: str, where: str, trail: tuple[type, ...]) -> Group:
    if model in trail:
        raise SchemaError(f"{where}: {model.__name__} holds itself, without end; write its levels out")
    try:
        model.model_rebuild()
    except (NameError, PydanticUserError) as error:
        raise SchemaError(f"{where}: {str(error).splitlines()[0]}") from None
    if not model.model_fields:
        raise SchemaError(f"{where}: {model.__name__} has no fields; add at least one")
    unasked = _unasked(model, where)
    fields: list[Node] = []
    owners: dict[str, str] = {}
    for field_name, info in model.model_fields.items():
        here = f"{where}.{field_name}"
        field_label = _label(info.title or field_name, here)
        if other := owners.get(field_label):
            raise SchemaError(f"{here} and {other} have one label, {field_label!r}: give each its own title")
        owners[field_label] = here
        node = _node(info, field_name, field_label, here, (*trail, model))
        fields.append(replace(node, asked=False) if field_name in unasked else node)
    root = model.xml_root if "xml_root" in model.__class_vars__ else ROOT  # type: ignore[attr-defined]
    return Group(name, label, tuple(fields), _product(model, where), xml_root=str(root))


def _unasked(model: type[BaseModel], where: str) -> tuple[str, ...]:
    """The model's `unasked` fields. One at least must be left that is asked for."""
    if "unasked" not in model.__class_vars__:
        return ()
    names = tuple(model.unasked)  # type: ignore[attr-defined]
    if not set(names) < set(model.model_fields):
        raise SchemaError(f"{where}.unasked: {names!r} must name some of the fields of {model.__name__}")
    return names


def _product(model: type[BaseModel], where: str) -> tuple[str, str, str] | None:
    if "product" not in model.__class_vars__:
        return None
    names = tuple(model.product)  # type: ignore[attr-defined]
    if len(names) != 3 or not set(names) <= set(model.model_fields):
        raise SchemaError(
            f"{where}.product: {names!r} must name three fields of {model.__name__}: count × price = amount"
        )
    return names


def _label(text: str, where: str) -> str:
    label = tidy(text)
    if not label or len(label) > 80 or not label.isprintable():
        raise SchemaError(f"{where}: the label {text!r} must be 1 to 80 printable characters")
    return label


def _node(info: FieldInfo, name: str, label: str, where: str, trail: tuple[type, ...]) -> Node:
    kind, metadata = plain_type(info.annotation, tuple(info.metadata))
    if kind is not list and get_origin(kind) is not list:
        return _item(kind, metadata, name, label, info.description, where, trail)
    if not get_args(kind):
        raise SchemaError(f"{where}: a list must say of what, like list[str]")
    inner, inner_metadata = plain_type(get_args(kind)[0])
    if inner is list or get_origin(inner) is list:
        raise SchemaError(f"{where}: a list of lists has no printed form; use a list of models")
    limit = _limit(metadata, "max_length", MAX_ITEMS)
    item = _item(inner, inner_metadata, name, label, info.description, f"{where}[]", trail)
    return Repeated(name, label, item, max(1, limit), _in_xml(metadata))


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
        return replace(_group(kind, name, label, where, trail), xml=_in_xml(metadata))
    return Leaf(name, label, _printed(kind, metadata, where), hint, _in_xml(metadata))


def _in_xml(metadata: tuple[Any, ...]) -> InXml | None:
    return next((found for found in reversed(metadata) if isinstance(found, InXml)), None)


def _printed(kind: Any, metadata: tuple[Any, ...], where: str) -> Printed:
    declared = [m for m in metadata if isinstance(m, Printed)]
    if declared:
        return declared[-1]
    if get_origin(kind) is Literal:
        return _choice(tuple(value for value in get_args(kind) if value is not None), where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice(tuple(member.value for member in kind), where)
    if _arms(kind):
        raise SchemaError(f"{where}: types of a union are not told apart on paper; use one type, like str")
    if kind is str:
        return _constrained(PLAIN[str], metadata, where)
    if isinstance(kind, type) and kind in PLAIN:
        return PLAIN[kind]
    known = "str, int, float, Decimal, bool, date, datetime, Literal[...], list[...] or a nested model"
    type_name = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
    raise SchemaError(
        f"{where}: {type_name} has no printed form; use {_INSTEAD.get(get_origin(kind) or kind, known)}"
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """Reads one of a few printed texts, whatever its capitals."""

    values: tuple[str, ...]

    def __call__(self, raw: str) -> str:
        for value in self.values:
            if tidy(value).casefold() == tidy(raw).casefold():
                return value
        raise ValueError(f"{raw!r} is none of {', '.join(self.values)}")


def _choice(values: tuple[Any, ...], where: str) -> Printed:
    if not values or not all(isinstance(value, str) for value in values):
        raise SchemaError(f"{where}: the choices {values!r} must all be strings, as they are printed")
    pattern = "|".join(re.escape(_label(value, where)) for value in values)
    return Printed(pattern, Choice(tuple(str(value) for value in values)), "text", max(map(len, values)))


def _constrained(printed: Printed, metadata: tuple[Any, ...], where: str) -> Printed:
    """A text under the constraints that a pattern can say: pattern and max_length."""
    longest = _limit(metadata, "max_length", printed.max_chars)
    patterns = [m.pattern for m in metadata if getattr(m, "pattern", None) is not None]
    if not patterns:
        return replace(printed, pattern=text_pattern(longest), max_chars=longest)
    written = patterns[-1].pattern if isinstance(patterns[-1], re.Pattern) else str(patterns[-1])
    try:
        return replace(printed, pattern=whole_pattern(written), max_chars=longest)
    except ValueError as error:
        raise SchemaError(f"{where}: the pattern {written!r} {error}") from None


def _limit(metadata: tuple[Any, ...], name: str, default: int) -> int:
    limits = [limit for m in metadata if (limit := getattr(m, name, None)) is not None]
    return min(limits, default=default)
