"""Paths of values in a record, "lines[2].amount": their steps, and what stands there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.errors import UsageError
from schemas.shape import Group, Node, Repeated

_STEP = re.compile(r"([^.\[\]]+)((?:\[\d+\])*)(?:\.|$)")


def steps(path: str) -> list[str | int]:
    """ "lines[2].amount" → ["lines", 2, "amount"]. Raises UsageError for what is no path."""
    found: list[str | int] = []
    at = 0
    for match in _STEP.finditer(path):
        if match.start() != at:
            break
        found.append(match[1])
        found += [int(number) for number in re.findall(r"\d+", match[2])]
        at = match.end()
    if at != len(path) or not found:
        raise UsageError("this is no path of a field; one is like total or lines[0].amount")
    return found


def node_at(shape: Group, path: str) -> Node:
    """What stands at a path: a value, a list, or a whole line. Raises UsageError where there is nothing."""
    node: Node = shape
    for step in steps(path):
        inner: Node | None = None
        if isinstance(step, int):
            inner = node.item if isinstance(node, Repeated) else None
        elif isinstance(node, Group):
            inner = next((field for field in node.fields if field.name == step), None)
        if inner is None:
            raise UsageError(f"the schema has no field {path}")
        node = inner
    return node


def value_at(record: Mapping[str, Any], path: str) -> Any:
    """The value at a path; None where there is none, or no such line."""
    found: Any = record
    for step in steps(path):
        if isinstance(step, int):
            found = found[step] if isinstance(found, list) and step < len(found) else None
        else:
            found = found.get(step) if isinstance(found, Mapping) else None
    return found


def joined(found: Iterable[str | int]) -> str:
    """The path of these steps: the reverse of `steps`."""
    text = ""
    for step in found:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
