"""Lists and texts that fill their bound: the grammar ended them there, whatever more stands on the paper."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from re import _parser  # type: ignore[attr-defined]  # which says how long a match can be, and nothing else does

from pipeline.records import Check, Field
from schemas.shape import Group, Leaf, Node, Repeated, leaf_path


def full_lists(page: Iterable[Field], shape: Group) -> Iterator[Check]:
    """A failed check for each list of one page that has as many items as the schema allows on a page."""
    limits = dict(_limits(shape, ""))
    for field in page:
        if field.source == "xml":
            continue  # nothing there ends at a bound
        limit = limits.get(leaf_path(field.path))
        if limit is not None and (field.value or 0) >= limit:
            message = (
                f"{field.path}: page {field.page} has {field.value} items, as many as the schema allows; "
                "more may stand there: look at the page, or give the list a larger max_length"
            )
            yield Check(
                "list_full", False, "error", message, (field.path,), f"< {limit} on a page", str(field.value)
            )


def full_texts(fields: Iterable[Field], leaves: Mapping[str, Leaf]) -> Iterator[Check]:
    """A failed check for each text as long as the schema allows, if a shorter one could have stood there.

    An identity number's twelve digits or one of a few choices are always of full length, and no text is cut.
    """
    for field in fields:
        if field.raw is None or field.source == "xml":
            continue
        printed = leaves[leaf_path(field.path)].printed
        pattern = unicodedata.normalize("NFC", printed.pattern)
        most = min(printed.max_chars, _longest(pattern))
        if len(field.raw) >= most and re.fullmatch(pattern, field.raw[:-1]):
            message = (
                f"{field.path}: the text has {len(field.raw)} characters, as many as the schema allows; it "
                "may go on: look at the page, or let the field (max_length, pattern) be longer"
            )
            yield Check("text_full", False, "error", message, (field.path,), f"< {most}", field.raw)


@cache
def _longest(pattern: str) -> int:
    """Characters of the longest text that a pattern allows."""
    most: int = _parser.parse(pattern).getwidth()[1]
    return most


def _limits(node: Node, path: str) -> Iterator[tuple[str, int]]:
    """The path of each list, like "lines" or "lines[].parts", and its most items."""
    if isinstance(node, Group):
        for inner in node.fields:
            yield from _limits(inner, f"{path}.{inner.name}" if path else inner.name)
    elif isinstance(node, Repeated):
        yield path, node.max_items
        yield from _limits(node.item, f"{path}[]")
