"""What a file says of one value."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.records import Ruling


@dataclass(frozen=True, slots=True)
class Entry:
    """One value's answer.

    where   where it stands in the file, for people: "row 7"
    field   the value's path; None: of the document as a whole. "lines[+1].amount" is of a line that is not
            there yet, "lines[2]" with the ruling not_on_page takes a line out
    key     as of `store.doubts.key`: which value this is, and what it was; None where a person has marked a
            place for which no value was shown
    shown   the field that the key is of, where that is not `field`
    text    the correction, as printed
    exact   the correction where the file holds a number or a date, not a text: as XML Schema writes it
    """

    where: str
    uri: str
    field: str | None
    key: str | None
    ruling: Ruling
    text: str | None = None
    exact: str | None = None
    shown: str | None = None
