"""The one form in which a page is answered: compact JSON whose keys are the printed labels.

    {"Số":"0000123","Ngày":null,"Hàng hóa":[{"Tên hàng":"Sữa","SL":"2"},{"Tên hàng":"Kẹo","SL":null}]}

Every field is written, in the order of the schema: null where the paper has no such value, else a string
exactly as printed. There is no white space between the parts, so the model cannot wander off in it, and all
that the schema fixes (braces, keys, separators) is forced and costs no decoding step.

`compile` makes the grammar of all such answers, `answer` writes one of them and `parse.page_record` reads it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llguidance import LLMatcher

from pipeline.errors import UsageError
from schemas.shape import Group, Leaf, Node, Repeated

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

# Never in a value: control characters, combining marks (values are NFC, and every Vietnamese letter is one
# character), and the invisible characters that would make two equal-looking values differ.
_HIDDEN = r"\x00-\x1f\x7f-\x9f\u00ad\u0300-\u036f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
_WORD = rf"[^\s{_HIDDEN}]+"
_CLEAN = rf"^{_WORD}( {_WORD})*$"  # single spaces inside, none at the ends


def compile(spec: SchemaSpec) -> str:
    """The grammar of a page's answers, as llguidance's `LLMatcher` takes it.

    Raises UsageError naming the field whose pattern, label or size llguidance cannot hold to exactly.
    """
    name = f"{spec.name}@{spec.version}"
    shape = spec.shape.of_pages
    for path, leaf in shape.leaves():
        problem = _problem(_text(leaf))
        if problem:
            raise UsageError(
                f"schema {name}, field {path}: the printed form {leaf.printed.pattern!r} of at most "
                f"{leaf.printed.max_chars} characters cannot be enforced ({problem}); give it another pattern"
            )
    schema = _object(shape, name)
    problem = _problem(schema)
    if problem:
        raise UsageError(f"schema {name} as a whole cannot be enforced ({problem}); make it smaller")
    return _compact(schema)


def key(node: Node) -> str:
    """The JSON key that stands for a field: its label, NFC, on one line."""
    return canonical(node.label)


def canonical(text: str) -> str:
    """A printed text as the grammar can produce it: NFC, single spaces, nothing invisible."""
    return " ".join(re.sub(rf"[{_HIDDEN}]", " ", unicodedata.normalize("NFC", text)).split())


def answer(shape: Group, values: Mapping[str, Any]) -> str:
    """The text of the answer that holds `values`: printed strings by schema name, nested as the schema is.

    A missing name, None and an empty text are all null; a missing list is empty.
    """
    return json.dumps(_answer(shape.of_pages, values), ensure_ascii=False, separators=(",", ":"))


def _answer(node: Node, value: Any) -> Any:
    if isinstance(node, Group):
        inside: Mapping[str, Any] = value or {}
        return {key(field): _answer(field, inside.get(field.name)) for field in node.fields}
    if isinstance(node, Repeated):
        items: Sequence[Any] = value or ()
        return [_answer(node.item, item) for item in items]
    return (canonical(value) or None) if value is not None else None


def _object(group: Group, path: str) -> dict[str, Any]:
    keys = [key(field) for field in group.fields]
    for field, label in zip(group.fields, keys, strict=True):
        if not label:
            raise UsageError(f"schema {path}, field {field.name}: its label is empty")
        if keys.count(label) > 1:
            raise UsageError(f"schema {path}, field {field.name}: another field has the same label {label!r}")
    return {
        "type": "object",
        "properties": {
            label: _node(field, f"{path}, in {field.name}")
            for field, label in zip(group.fields, keys, strict=True)
        },
        "required": keys,
        "additionalProperties": False,
    }


def _node(node: Node, path: str) -> dict[str, Any]:
    if isinstance(node, Group):
        return _object(node, path)
    if isinstance(node, Repeated):
        item = _object(node.item, path) if isinstance(node.item, Group) else _text(node.item)
        return {"type": "array", "items": item, "maxItems": node.max_items}
    return {"anyOf": [{"type": "null"}, _text(node)]}


def _text(leaf: Leaf) -> dict[str, Any]:
    """A printed value: its own pattern, clean, and of bounded length, all three at once."""
    own = {"type": "string", "pattern": f"^(?:{unicodedata.normalize('NFC', leaf.printed.pattern)})$"}
    schema = {"type": "string", "allOf": [own, {"pattern": _CLEAN}]}
    # A pattern that is short enough by itself (nothing longer satisfies it) needs no bound beside it, and
    # without one llguidance has less to multiply out: an MRZ of 90 characters is beyond it otherwise.
    longer = _problem({**own, "minLength": leaf.printed.max_chars + 1})
    return schema if longer and "Unsatisfiable" in longer else {**schema, "maxLength": leaf.printed.max_chars}


def _compact(schema: dict[str, Any]) -> str:
    return LLMatcher.grammar_from_json_schema(
        schema, overrides={"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
    )


def _problem(schema: dict[str, Any]) -> str | None:
    """What llguidance refuses or would not hold to; None when the schema is enforced exactly."""
    _, messages = LLMatcher.validate_grammar_with_warnings(_compact(schema))
    return "; ".join(" ".join(message.split()).partition(": (And")[0] for message in messages) or None
