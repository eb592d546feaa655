"""Truth and readings as stickler-eval takes them: pairs of JSON documents, and the schema that compares them.

    FILE.jsonl         a document a line: {"doc_id", "ground_truth", "prediction"}; in the last each value is
                       {"_value", "_confidence"}
    FILE.schema.json   for StructuredModel.from_json_schema; each pair then goes through from_json

Values are in their normal form, as texts; where one has none it stands as printed. Numbers, dates and so on
are compared exactly, text by Levenshtein distance, which for stickler does not mind letter case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.evaluation import nested
from pipeline.evaluation.report import Read
from pipeline.evaluation.scored import sure
from pipeline.evaluation.truth import Truth
from pipeline.printable import as_json
from pipeline.private import whole_file, write_text
from schemas.shape import Group, Leaf, Node, Repeated

_EXTENSION = "x-aws-stickler-"
_MATCH = 0.5  # likeness from which a line answers to another
_SAME = 1.0  # only what is equal is right, as in our own figures


@dataclass(frozen=True, slots=True)
class Written:
    documents: int
    schema: Path


def export(extractions: Iterable[Read], truth: Truth, path: Path) -> Written:
    """Every document of the truth; the prediction of one that was not read is empty."""
    shape, labelled = truth.spec.shape, truth.labelled
    matcher = truth.matcher()
    count = 0
    with whole_file(path) as file:

        def put(name: str, printed: dict[str, Any], read: dict[str, Any]) -> None:
            row = {
                "doc_id": name,
                "ground_truth": nested.tree(shape, printed, labelled),
                "prediction": nested.tree(shape, read, labelled),
            }
            file.write(as_json(row).encode() + b"\n")

        for item in extractions:
            if (true := matcher.find(item.uri)) is not None:
                count += 1
                put(true.name, _printed(true.values), _read(item))
        for document in matcher.left():
            count += 1
            put(document.name, _printed(document.values), {})
    schema = path.with_suffix(".schema.json")
    described = {"title": truth.spec.name, **_described(shape, labelled, "")}
    write_text(schema, as_json(described, indent=2) + "\n")
    return Written(count, schema)


def _printed(values: Any) -> dict[str, str]:
    return {path: nested.plain(value.value, value.text) for path, value in values.items()}


def _read(item: Read) -> dict[str, Any]:
    """By path, each value with how sure it is, where that is known."""
    found: dict[str, Any] = {}
    for field in item.extraction.fields:
        if field.raw is None and field.value is None:
            continue
        value, given = nested.plain(field.value, field.raw), sure(field)
        found[field.path] = value if given is None else {"_value": value, "_confidence": given}
    return found


def _described(node: Node, labelled: frozenset[str], leaf: str) -> dict[str, Any]:
    """The JSON schema of what `nested.tree` makes of a node."""
    if isinstance(node, Group):
        dot = "." if leaf else ""
        inner = {one.name: (one, f"{leaf}{dot}{one.name}") for one in node.fields}
        return {
            "type": "object",
            "properties": {
                name: _described(one, labelled, path)
                for name, (one, path) in inner.items()
                if any(nested.below(each, path) for each in labelled)
            },
        }
    if isinstance(node, Repeated):
        item = _described(node.item, labelled, f"{leaf}[]")
        matched = {f"{_EXTENSION}match-threshold": _MATCH} if isinstance(node.item, Group) else {}
        return {"type": "array", "items": item | matched}
    return {"type": ["string", "null"], **_compared(node)}


def _compared(leaf: Leaf) -> dict[str, Any]:
    free = leaf.printed.sql == "text"
    comparator = "LevenshteinComparator" if free else "ExactComparator"
    return {f"{_EXTENSION}comparator": comparator, f"{_EXTENSION}threshold": _SAME}
