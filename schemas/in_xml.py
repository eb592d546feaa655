"""Where a field stands in an XML document, said beside its label.

    class Payment(BaseModel):
        bank: Annotated[Text | None, InXml("DLHDon/NDHDon/NBan/TNHang")] = Field(None, title="Ngân hàng")
        lines: Annotated[list[Line], InXml("DLHDon/NDHDon/DSHHDVu/HHDVu")] = Field(default_factory=list)

A path is names of elements, from the element that is one document: `xml_root: ClassVar = "HDon"`, an
e-invoice, which need not be said. The paths of a list's or nested model's own fields begin at its element.
Namespaces and their prefixes do not matter. A step may choose among elements of one name by the text of one
in them, whatever its capitals, `TTKhac/TTin[TTruong=VATAmount]/DLieu`; `@Id` as the last step is an
attribute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

ROOT = "HDon"
NOTE = "; ghi chú: "  # before the free words of a value that has parts
_NAME = r"[^\W\d][\w.-]*"
_STEP = re.compile(rf"({_NAME})(?:\[({_NAME})=([^\]/]+)\])?")
_ATTRIBUTE = re.compile(rf"@{_NAME}")


@dataclass(frozen=True, slots=True)
class Part:
    """One text of several that make a value: the words before it, and words for its codes.

    `names`: without it the value would not say what it is about.
    """

    path: str
    before: str = ""
    words: Mapping[str, str] | None = None
    names: bool = False


@dataclass(frozen=True, slots=True, init=False)
class InXml:
    """The first of `paths` at which there is a text gives the value.

    sole   the value is there only where the path leads to one text, as to an invoice's only VAT rate
    parts  the value is made of several texts below the element that the path leads to
    free   of those, a text in free words, which is the value where it holds all of them that are names,
           and else stands behind them as a note
    around names of elements beside the document or its envelopes, asked last and of a file of one document
    loose  a text that is no value of the field is none, and nothing is wrong with it
    """

    paths: tuple[str, ...]
    sole: bool
    parts: tuple[Part, ...]
    free: str | None
    around: tuple[str, ...]
    loose: bool

    def __init__(
        self,
        *paths: str,
        sole: bool = False,
        parts: tuple[Part, ...] = (),
        free: str | None = None,
        around: tuple[str, ...] = (),
        loose: bool = False,
    ) -> None:
        """Raises ValueError for what is no path."""
        if not paths:
            raise ValueError("InXml names no path")
        for path in (*paths, *(part.path for part in parts), *((free,) if free else ()), *around):
            steps(path)
        object.__setattr__(self, "paths", paths)
        object.__setattr__(self, "sole", sole)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "free", free)
        object.__setattr__(self, "around", around)
        object.__setattr__(self, "loose", loose)


@dataclass(frozen=True, slots=True)
class Step:
    """The elements called `name`, or only those in which an element `beside` has the text `text`."""

    name: str
    beside: str | None = None
    text: str | None = None


def steps(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises ValueError, saying what is wrong with it."""
    found = []
    names = re.split(r"/(?![^\[]*\])", path)
    for number, name in enumerate(names, 1):
        match = _STEP.fullmatch(name)
        if match is not None:
            found.append(Step(*match.groups()))
        elif number == len(names) and _ATTRIBUTE.fullmatch(name):
            found.append(Step(name))
        else:
            raise ValueError(f"{path!r} is no path in XML: {name!r} is no step like NBan or TTin[TTruong=x]")
    return tuple(found)
