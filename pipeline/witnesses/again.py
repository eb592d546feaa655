"""The second look at a doubtful page: the same model over a picture that is moved by a few pixels.

Nothing is stopped for what it read otherwise: that the two agree makes a value likelier, that they do not
less likely. Which of them stands where they differ, `settling` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from pipeline.records import Field, Testimony, Verdict
from pipeline.witnesses.witness import AGAIN, NAMES, Subject


class SecondLook:
    """`fields` are what it read, by path, on the `pages` that it looked at."""

    source = AGAIN
    name = NAMES[AGAIN]

    def __init__(self, fields: Mapping[str, Field], pages: Set[int]) -> None:
        self._fields, self._pages = fields, pages

    def testify(self, field: Field) -> Testimony:
        if field.page not in self._pages:
            return Testimony(field.path, self.source, "silent")
        other = self._fields.get(field.path)
        if other is None:
            return Testimony(field.path, self.source, "differs", page=field.page)
        if (other.raw is None) != (field.raw is None):
            is_null = field.raw is None
            if is_null:
                return Testimony(field.path, self.source, "silent")  # it offers one
            return Testimony(field.path, self.source, "differs", page=other.page)
        same = other.value == field.value and (field.value is not None or other.raw == field.raw)
        verdict: Verdict = "agrees" if same else "differs"
        return Testimony(field.path, self.source, verdict, other.raw, other.value, other.page, other.box)

    def offers(self, fields: Sequence[Field]) -> Iterator[Testimony]:
        for field in fields:
            other = self._fields.get(field.path)
            if field.raw is None and other is not None and other.raw is not None:
                yield Testimony(
                    field.path, self.source, "offers", other.raw, other.value, other.page, other.box
                )


def found(subject: Subject) -> Iterator[SecondLook]:
    if subject.again:
        yield SecondLook(subject.again, {page.page for page in subject.pages if page.again})
