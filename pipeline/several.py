"""Two documents in one file are told apart, so that no record holds values of both.

Pages are taken in order. One that differs from those before it in two or more of the values by which the
schema knows a document (`identified_by`) begins another one: in one value alone it may be misread, which is a
conflict of pages. A page that bears none of them belongs to the page before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.records import Check, PageRecord
from schemas.spec import SchemaSpec

_DIFFERENT = 2  # values

_Identity = Mapping[str, str]  # what pages bear of the values that identify a document, by path


@dataclass(eq=False)
class _Document:
    pages: list[PageRecord] = field(default_factory=list)
    identity: dict[str, str] = field(default_factory=dict)

    def add(self, page: PageRecord, identity: _Identity) -> None:
        self.pages.append(page)
        self.identity = {**identity, **self.identity}


def first(pages: Sequence[PageRecord], spec: SchemaSpec) -> tuple[list[PageRecord], list[Check]]:
    """The pages of the first document among `pages`, which are in order, and a failed check that names the
    others, if there are any.
    """
    found: list[_Document] = []
    lately: list[_Document] = []  # the same, that of the page before last
    for page in pages:
        identity = _identity(page, spec)
        own = min(reversed(lately), key=lambda one: _differences(one.identity, identity), default=None)
        if own is None or _differences(own.identity, identity) >= _DIFFERENT:
            found.append(own := _Document())
        else:
            lately.remove(own)
        lately.append(own)
        own.add(page, identity)
    checks = [_check(found, spec)] if len(found) > 1 else []
    return (found[0].pages if found else []), checks


def between(sources: Sequence[Sequence[PageRecord]], spec: SchemaSpec) -> list[Check]:
    """A failed check where the pages of one source (XML) are not of the document that another's (print) are.

    The first source is the one whose values are chosen.
    """
    found: list[_Document] = []
    for pages in sources:
        found.append(one := _Document())
        for page in pages:
            one.add(page, _identity(page, spec))
    kept, *others = found
    apart = [one for one in others if _differences(kept.identity, one.identity) >= _DIFFERENT]
    return [_check([kept, *apart], spec)] if apart else []


def _identity(page: PageRecord, spec: SchemaSpec) -> _Identity:
    wanted = set(spec.identified_by)
    return {
        field.path: _plain(field.raw if field.value is None else field.value)
        for field in page.fields
        if field.path in wanted and field.raw is not None
    }


def _plain(value: object) -> str:
    """Blanks, capitals, leading zeros and those behind a point tell no two documents apart."""
    text = "".join(str(value).split()).casefold()
    if re.fullmatch(r"[0-9]+\.[0-9]+", text):
        text = text.rstrip("0").rstrip(".")
    return text.lstrip("0") or text


def _differences(one: _Identity, other: _Identity) -> int:
    return sum(one[path] != other[path] for path in one.keys() & other.keys())


def _check(found: Sequence[_Document], spec: SchemaSpec) -> Check:
    paths = tuple(
        path
        for path in spec.identified_by
        if len({one.identity[path] for one in found if path in one.identity}) > 1
    )
    shown = [_shown(one, paths) for one in found]
    message = (
        f"{len(found)} documents in one: {'; '.join(shown)}. The record is that of the first; give each a "
        "file of its own, and the others are read too"
    )
    return Check("several_documents", False, "error", message, paths, found="; ".join(shown[1:]))


def _shown(one: _Document, paths: Sequence[str]) -> str:
    numbers = [str(page.page) for page in one.pages]
    values = {field.path: field.raw for page in reversed(one.pages) for field in page.fields if field.raw}
    told = ", ".join(f"{path} {values[path]!r}" for path in paths if path in values)
    return f"page{'s' * (len(numbers) > 1)} {', '.join(numbers)} with {told}"
