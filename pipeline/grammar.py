"""The forms in which a page is answered: compact JSON whose keys are the printed labels.

    {"Số":"0000123","Ngày":null,"Hàng hóa":[{"Tên hàng":"Sữa","SL":"2"},{"Tên hàng":"Kẹo","SL":null}]}
    {"Số":"0000123","Ngày":null,"Hàng hóa: Tên hàng; SL":[["Sữa","2"],["Kẹo",null]]}

The first, "objects", is that of the published checkpoints: each line of a table has its labels. In the
second, "rows", they stand once, as a header in the table's key; a table of thirty lines takes a third fewer
tokens (figures of both and of others: `infra/LOG.md`). A checkpoint's profile says which is its own
(`vintern.config`).

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
from typing import TYPE_CHECKING, Any, Literal

from llguidance import LLMatcher

from pipeline.errors import UsageError
from schemas.shape import Group, Leaf, Node, Repeated

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

Form = Literal["objects", "rows"]

# Never in a value: control characters, combining marks (values are NFC, and every Vietnamese letter is one
# character), and the invisible characters that would make two equal-looking values differ.
_HIDDEN = r"\x00-\x1f\x7f-\x9f\u00ad\u0300-\u036f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
_WORD = rf"[^\s{_HIDDEN}]+"
_CLEAN = rf"^{_WORD}( {_WORD})*$"  # single spaces inside, none at the ends


def of(spec: SchemaSpec, form: Form = "objects") -> str | None:
    """As `compile`; None where pages are answered in free text."""
    return None if spec.free else compile(spec, form)


def compile(spec: SchemaSpec, form: Form = "objects") -> str:
    """The grammar of a page's answers in this form, as llguidance's `LLMatcher` takes it.

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
    schema = _object(shape, name, form)
    problem = _problem(schema)
    if problem:
        raise UsageError(f"schema {name} as a whole cannot be enforced ({problem}); make it smaller")
    return _compact(schema)


def key(node: Node, form: Form = "objects") -> str:
    """The JSON key that stands for a field: its label, NFC, on one line; of rows, with their header."""
    label = canonical(node.label)
    return _with(label, node, ": {}") if form == "rows" else label


def _with(label: str, node: Node, apart: str) -> str:
    """The label of a table with the labels of its columns, and of theirs, by the format `apart`."""
    if not isinstance(node, Repeated) or not isinstance(node.item, Group):
        return label
    return label + apart.format(_columns(node.item))


def _columns(group: Group) -> str:
    return "; ".join(_column(field) for field in group.fields)


def _column(node: Node) -> str:
    label = key(node)
    return f"{label} ({_columns(node)})" if isinstance(node, Group) else _with(label, node, " ({})")


def canonical(text: str) -> str:
    """A printed text as the grammar can produce it: NFC, single spaces, nothing invisible."""
    return " ".join(re.sub(rf"[{_HIDDEN}]", " ", unicodedata.normalize("NFC", text)).split())


def answer(shape: Group, values: Mapping[str, Any], form: Form = "objects") -> str:
    """The text of the answer that holds `values`: printed strings by schema name, nested as the schema is.

    A missing name, None and an empty text are all null; a missing list is empty.
    """
    return json.dumps(_answer(shape.of_pages, values, form), ensure_ascii=False, separators=(",", ":"))


def _answer(node: Node, value: Any, form: Form, row: bool = False) -> Any:
    """`row`: the node is in a row, where no label is written again."""
    if isinstance(node, Group):
        inside: Mapping[str, Any] = value or {}
        values = [_answer(field, inside.get(field.name), form, row) for field in node.fields]
        keys = [key(field, form) for field in node.fields]
        return values if row else dict(zip(keys, values, strict=True))
    if isinstance(node, Repeated):
        items: Sequence[Any] = value or ()
        return [_answer(node.item, item, form, form == "rows") for item in items]
    return (canonical(value) or None) if value is not None else None


def _object(group: Group, path: str, form: Form) -> dict[str, Any]:
    keys = [key(field, form) for field in group.fields]
    _check(group, keys, path)
    return {
        "type": "object",
        "properties": {
            label: _node(field, f"{path}, in {field.name}", form)
            for field, label in zip(group.fields, keys, strict=True)
        },
        "required": keys,
        "additionalProperties": False,
    }


def _row(group: Group, path: str, form: Form) -> dict[str, Any]:
    _check(group, [key(field) for field in group.fields], path)
    columns = [_node(field, f"{path}, in {field.name}", form, row=True) for field in group.fields]
    count = len(columns)
    return {
        "type": "array", "prefixItems": columns, "items": False, "minItems": count, "maxItems": count
    }  # fmt: skip


def _check(group: Group, labels: Sequence[str], path: str) -> None:
    for field, label in zip(group.fields, labels, strict=True):
        if not label:
            raise UsageError(f"schema {path}, field {field.name}: its label is empty")
        if labels.count(label) > 1:
            raise UsageError(f"schema {path}, field {field.name}: another field has the same label {label!r}")


def _node(node: Node, path: str, form: Form, *, row: bool = False) -> dict[str, Any]:
    if isinstance(node, Group):
        return _row(node, path, form) if row else _object(node, path, form)
    if isinstance(node, Repeated):
        item = (
            _node(node.item, path, form, row=form == "rows")
            if isinstance(node.item, Group)
            else _text(node.item)
        )
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
