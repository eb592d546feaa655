"""Values by their paths as the nested record that ANLS* compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.shape import Group, Node, Repeated


def plain(value: Any, raw: str | None) -> str:
    """A value as it is compared: its normal form, or what is printed where it has none."""
    return str(raw if value is None else value)


def tree(
    node: Node, values: Mapping[str, Any], labelled: frozenset[str], path: str = "", leaf: str = ""
) -> Any:
    """The nested record of the labelled leaves, as ANLS* compares it."""
    if isinstance(node, Group):
        dot = "." if path else ""
        return {
            inner.name: tree(inner, values, labelled, f"{path}{dot}{inner.name}", f"{leaf}{dot}{inner.name}")
            for inner in node.fields
            if any(below(name, f"{leaf}{dot}{inner.name}") for name in labelled)
        }
    if isinstance(node, Repeated):
        items: list[Any] = []
        while any(below(name, f"{path}[{len(items)}]") for name in values):
            items.append(tree(node.item, values, labelled, f"{path}[{len(items)}]", f"{leaf}[]"))
        return items
    return values.get(path)


def below(name: str, path: str) -> bool:
    """Whether a path stands at another, or below it."""
    return name == path or name.startswith((f"{path}.", f"{path}["))
