"""What a witness is, and what it is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.records import Field, PageRecord, Testimony

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec


AGAIN = "again"  # the source of what the same model reads from a picture that is moved

WRITTEN = frozenset({"xml", "text", "qr", "mrz"})  # sources whose values no model guesses from pixels

# How a source is called in a sentence.
NAMES: Mapping[str, str] = {
    "read": "print",
    "xml": "XML",
    "text": "text layer",
    "reader": "second reader",
    "qr": "QR code",
    "mrz": "MRZ",
    AGAIN: "second look",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A document as its pages were merged: `fields` with the values that were chosen, nested in `record`.

    `others` are the fields of its other readings by their source, "xml" or "read". What was read with less
    confidence than `sure_from` accuses nobody. `again` is what a second look read, by path.
    """

    spec: SchemaSpec
    pages: tuple[PageRecord, ...]
    fields: tuple[Field, ...]
    record: Mapping[str, Any]
    others: Mapping[str, tuple[Field, ...]] = field(default_factory=dict)
    sure_from: float = 0.0
    again: Mapping[str, Field] = field(default_factory=dict)


class Witness(Protocol):
    """One thing that can tell what a document's values are. It never changes one."""

    source: str  # what its testimony is filed under
    name: str  # in a sentence: "the QR code"

    def testify(self, field: Field) -> Testimony:
        """Of a value that was read: agrees, differs, or silent where it knows nothing of it."""
        ...

    def offers(self, fields: Sequence[Field]) -> Iterable[Testimony]:
        """What it has for those of `fields` that have no value."""
        ...
