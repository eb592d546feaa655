"""A pydantic model seen as what stands on paper: labels, printed patterns, lists of lines.

Prompt, grammar, parser and SQL views all walk this one tree, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

Sql = Literal["text", "decimal", "date", "datetime", "integer", "real", "boolean"]


@dataclass(frozen=True, slots=True)
class Printed:
    """How one value appears on paper, and how it becomes a normal form.

    pattern    a regular expression of the whole printed text, in the regular subset that Rust's regex
               and Python's re share: no look-around, no back-reference, no anchors
    parse      printed text → normalised value (Decimal, date, str, int, bool); ValueError says what is wrong
    sql        the column type of the normalised value
    max_chars  the longest plausible printed text; a longer one is a loop
    """

    pattern: str
    parse: Callable[[str], Any]
    sql: Sql
    max_chars: int


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
