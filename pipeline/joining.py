"""What the pages of one source say, made the fields of one document.

A value that is printed once stands on one page and is null on the others. A list goes on from page to page.
Lines that are surely one of the page, read twice where the model went on in another pass, are kept once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline import seams
from pipeline.records import Check, Field
from schemas.shape import Group, Node, Repeated

Page = Mapping[str, Field]  # by path


class Joined:
    """Walks the schema once and picks each field from the pages that have it; `checks` says what was odd."""

    def __init__(self, pages: Sequence[Page], began: Sequence[Sequence[str]]) -> None:
        """`began`: of each page, the list items with which the model began its passes."""
        self._pages = pages
        self._items = [_items(page) for page in pages]
        self._began = began
        self.checks: list[Check] = []

    def walk(self, node: Node, path: str = "") -> Iterator[Field]:
        if isinstance(node, Group):
            for field in node.fields:
                yield from self.walk(field, f"{path}.{field.name}" if path else field.name)
        elif isinstance(node, Repeated):
            yield from self._list(path, seams.line_numbers(node))
        else:
            found = [page[path] for page in self._pages if path in page]
            if found:  # no page has what is not asked of the model
                yield self._pick(found)

    def _pick(self, found: Sequence[Field]) -> Field:
        """The surest of the values that stand on any page; null only if they are null on every page."""
        present = [field for field in found if field.raw is not None]
        if not present:
            return min(found, key=confidence)
        kept = max(present, key=confidence)
        others = [field for field in present if _meaning(field) != _meaning(kept)]
        if others:
            self.checks.append(_conflict(kept, others))
        return kept

    def _list(self, path: str, numbers: frozenset[str]) -> Iterator[Field]:
        """All items in the order of the pages, numbered through."""
        pages = [
            (page[path], items[path], began)
            for page, items, began in zip(self._pages, self._items, self._began, strict=True)
            if path in page
        ]
        if not pages:
            return
        counts = [count for count, _, _ in pages]
        items: list[Field] = []
        texts: dict[str, list[str | None]] = {}
        begins: list[int] = []
        total = 0
        for count, found, began in pages:
            if count.value:
                begins.append(total)
            twice = _read_twice([found[i] for i in range(count.value)], path, began, numbers)
            left_out = {run.at + i for run in twice if run.sure for i in range(run.count)}
            paths = {}
            for i in range(count.value):
                if i in left_out:
                    continue
                paths[i] = f"{path}[{total}]"
                items += _renamed(found[i], f"{path}[{i}]", paths[i])
                texts[paths[i]] = [field.raw for field in found[i]]
                total += 1
            self.checks += [_read_again(run, paths) for run in twice]
        least = min(counts, key=confidence).confidence
        yield Field(path, None, total, least, counts[0].source, counts[0].page)
        yield from items
        self.checks += empty_items(items)
        self._look_at(texts, begins[1:])

    def _look_at(self, items: Mapping[str, Sequence[str | None]], begins: Sequence[int]) -> None:
        """Odd items: those that repeat the last one of the page before."""
        names = list(items)
        for at in begins:
            if items[names[at]] == items[names[at - 1]] and any(items[names[at]]):
                message = (
                    f"{names[at]}, the first of its page, repeats the last of the page before; both are kept"
                )
                self.checks.append(
                    Check("line_repeated", False, "warning", message, (names[at - 1], names[at]))
                )


def empty_items(fields: Iterable[Field]) -> Iterator[Check]:
    """A warning for each item of a list that has not a single value."""
    said: dict[str, bool] = {}
    for field in fields:
        if (end := field.path.find("]")) >= 0:
            name = field.path[: end + 1]
            said[name] = said.get(name, False) or bool(field.raw)
    for name, anything in said.items():
        if not anything:
            message = f"{name} was found without a single value"
            yield Check("line_empty", False, "warning", message, (name,))


def _items(page: Page) -> Mapping[str, Mapping[int, list[Field]]]:
    """The fields of each item of each list on one page, the item itself or what is below it."""
    items: defaultdict[str, defaultdict[int, list[Field]]] = defaultdict(lambda: defaultdict(list))
    for name, field in page.items():
        path, bracket, below = name.partition("[")
        if bracket:
            items[path][int(below.partition("]")[0])].append(field)
    return items


def _renamed(item: Iterable[Field], old: str, new: str) -> list[Field]:
    """The fields of the item `old` as those of the item `new`."""
    if old == new:
        return list(item)
    return [field._replace(path=new + field.path.removeprefix(old)) for field in item]


def _read_twice(
    items: Sequence[Sequence[Field]], path: str, began: Sequence[str], numbers: frozenset[str]
) -> list[seams.Repetition]:
    """Of the items of a list on one page; `began` are those that the passes began with."""
    at = [i for i in range(len(items)) if f"{path}[{i}]" in began] if began else []
    if not at:
        return []
    return seams.repetitions([seams.line(fields, numbers) for fields in items], at)


def _read_again(run: seams.Repetition, paths: Mapping[int, str]) -> Check:
    """`paths`: under which name each item of the page is kept."""
    first = [run.first + i for i in range(run.count)]
    if run.sure:
        kept = tuple(paths[i] for i in first if i in paths)
        message = f"read again where a further pass over a long table began; kept once: {', '.join(kept)}"
        return Check("line_reread", False, "info", message, kept)
    again = [paths[run.at + i] for i in range(run.count)]
    message = f"{', '.join(again)}, where a further pass began, say what lines before say; all are kept"
    return Check(
        "line_repeated", False, "warning", message, (*(paths[i] for i in first if i in paths), *again)
    )


def confidence(field: Field) -> float:
    return 0.0 if field.confidence is None else field.confidence


def _meaning(field: Field) -> Any:
    """What two pages must agree on: the value, or the printed text where it has none."""
    return field.raw if field.value is None else field.value


def _conflict(kept: Field, others: Sequence[Field]) -> Check:
    readings = "; ".join(f"page {field.page} says {field.raw!r}" for field in (kept, *others))
    return Check(
        "page_conflict",
        False,
        "error",
        f"{kept.path}: {readings}; the surest, of page {kept.page}, is kept",
        (kept.path,),
        expected=kept.raw,
        found="; ".join(str(field.raw) for field in others),
    )
