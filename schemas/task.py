"""What a page is asked instead of filling in a form: a question, and what becomes of its answer.

A model bears it as `task: ClassVar = Task("…")`. One that derives from `Free` is answered in free text, kept
page by page; any other is answered as a schema is, under its grammar, with this question in front.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from schemas.printed import Printed

LONGEST = 60_000  # characters of an answer: more than any context holds
# Control and invisible characters, which no paper shows; line ends and tabs are meant.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked.

    question   in Vietnamese, without the image's place
    running    the answer is running text of the page: it is as sure as its words are on the whole. Else it is
               a short answer, which is wrong if one word of it is
    verbatim   it says what is printed, word for word, so that the page's own text can bear it out
    """

    question: str
    running: bool = False
    verbatim: bool = False


def free_text(raw: str) -> str:
    """A free answer as it is kept: NFC, without what nobody sees, without blanks at the ends of lines."""
    seen = "".join(
        sign
        for sign in raw.replace("\r\n", "\n")
        if sign in "\n\t" or unicodedata.category(sign) not in _UNSEEN
    )
    return "\n".join(line.rstrip() for line in unicodedata.normalize("NFC", seen).split("\n")).strip()


FreeText = Annotated[str, Printed(r"(?s:.)+", free_text, "text", LONGEST)]


class Page(BaseModel):
    """Một trang"""

    text: FreeText | None = Field(None, title="Văn bản")


class Free(BaseModel):
    """A task that is answered in free text: an item for each page that was read, in order."""

    pages: list[Page] = Field(default_factory=list, title="Trang")
