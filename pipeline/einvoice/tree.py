"""An XML document as names and texts: no namespaces, prefixes, comments or instructions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from schemas.in_xml import Step
from schemas.text import tidy

MOST_DEPTH = 64  # elements within elements; an e-invoice in its envelope has 10


class Element(NamedTuple):
    """`text` is None where there is none but white space, and beside elements. Attributes are among
    `children`, called "@Id". A tuple, since an invoice has hundreds.
    """

    name: str
    text: str | None = None
    children: tuple[Element, ...] = ()

    @property
    def says(self) -> bool:
        """Whether a text is in it, at any depth: some write all elements of a list that has no items."""
        return self.text is not None or any(child.says for child in self.children)

    def find(self, steps: Sequence[Step]) -> Sequence[Element]:
        """The elements that a path leads to from here, in the order of the document."""
        found: Sequence[Element] = [self]
        for step in steps:
            name = step.name
            found = _chosen([child for one in found for child in one.children if child.name == name], step)
            if not found:
                break
        return found

    def above(self, other: Element) -> Sequence[Element]:
        """The elements from this one down to the one that `other` stands in; none where it is not below."""
        for child in self.children:
            if child is other:
                return (self,)
            if child.children and (found := child.above(other)):
                return (self, *found)
        return ()

    def outermost(self, name: str) -> Iterator[Element]:
        """The elements of this name, this one or below, that are not within another of that name."""
        if self.name == name:
            yield self
        else:
            for child in self.children:
                yield from child.outermost(name)


class Children:
    """Those of one element by name, for who asks much of it."""

    def __init__(self, element: Element) -> None:
        self._named: dict[str, list[Element]] = {}
        for child in element.children:
            self._named.setdefault(child.name, []).append(child)

    def find(self, steps: Sequence[Step]) -> Sequence[Element]:
        """As `Element.find`."""
        first = steps[0]
        if (named := self._named.get(first.name)) is None:
            return ()
        found = _chosen(named, first)
        return found if len(steps) == 1 else [one for parent in found for one in parent.find(steps[1:])]


def _chosen(elements: Sequence[Element], step: Step) -> Sequence[Element]:
    if step.beside is None or not elements:
        return elements
    return [element for element in elements if _holds(element, step)]


def _holds(element: Element, step: Step) -> bool:
    """Issuers do not agree on the capitals of a name that stands as a text."""
    return any(
        child.name == step.beside and child.text is not None and _folded(child.text) == _folded(step.text)
        for child in element.children
    )


@lru_cache(maxsize=4096)  # each line of an invoice has the same names
def _folded(text: str | None) -> str:
    return tidy(text or "").casefold()
