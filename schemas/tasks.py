"""The tasks that are built in: the text of a page, its handwriting, its description, and questions about it.

`ocr@1`, `handwriting@1`, `describe@1`; a question is named with what it asks, `ask@1:Ai ký tờ này?`, and
`ask_money@1:Tổng cộng là bao nhiêu?` where its one answer has a form: `vinbatch ask` writes these names.
The wordings are short, in Vietnamese, as those that Vintern's authors show beside their models.
"""

from __future__ import annotations

import types
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from schemas.fields import LongText, Money, VnDate
from schemas.shape import SchemaError
from schemas.task import Free, Task

LONGEST_QUESTION = 500  # characters: a longer one makes so small a model invent


class Ocr(Free):
    """Toàn bộ chữ trên trang"""

    task: ClassVar = Task(
        "Trích xuất toàn bộ văn bản trong ảnh, giữ đúng thứ tự và cách xuống dòng.",
        running=True,
        verbatim=True,
    )


class Handwriting(Free):
    """Chữ viết tay trên trang"""

    task: ClassVar = Task("Chép lại toàn bộ chữ viết tay trong ảnh, giữ đúng cách xuống dòng.", running=True)


class Describe(Free):
    """Mô tả trang"""

    task: ClassVar = Task("Mô tả hình ảnh một cách chi tiết.", running=True)


BUILT_IN: Mapping[str, Mapping[int, type[BaseModel]]] = {
    "ocr": {1: Ocr},
    "handwriting": {1: Handwriting},
    "describe": {1: Describe},
}

# What one answer may be, beside free text: by the name of its task.
FORMS: Mapping[str, Any] = {
    "ask_text": LongText,
    "ask_number": Decimal,
    "ask_money": Money,
    "ask_date": VnDate,
    "ask_yes_no": bool,
}
ASK = "ask"


def asking(form: str | None, question: str) -> str:
    """The name of the task that asks this question; `form` is "money" or the like, None for free text."""
    return f"{ASK if form is None else f'{ASK}_{form}'}@1:{_one_line(question)}"


def is_asked(name: str) -> bool:
    """Whether it names a question: ask@1:…, ask_money@1:…, or one of them without its version."""
    return _kind(name) == ASK or _kind(name) in FORMS


def asked(name: str) -> tuple[str, type[BaseModel]]:
    """The task that a name like `ask_money@1:Tổng cộng là bao nhiêu?` stands for: "ask_money" and its model.

    Raises SchemaError in one line.
    """
    head, _, question = name.partition(":")
    kind, _, version = head.partition("@")
    if version not in ("", "1"):
        raise SchemaError(f"no task {head!r}: {kind} has version 1")
    question = _one_line(question)
    if not question:
        raise SchemaError(f"{kind} wants its question: {kind}@1:QUESTION, or vinbatch ask SOURCE QUESTION")
    if len(question) > LONGEST_QUESTION:
        raise SchemaError(
            f"the question has {len(question)} characters, and may have {LONGEST_QUESTION}: ask for one thing"
        )
    return kind, _model(kind, question)


@lru_cache(maxsize=64)
def _model(kind: str, question: str) -> type[BaseModel]:
    if kind == ASK:
        return _made(Free, Task(question), {})
    answer = Field(None, title="Trả lời")
    return _made(BaseModel, Task(question), {"answer": (FORMS[kind] | None, answer)})


def _made(base: type[BaseModel], task: Task, fields: Mapping[str, tuple[Any, Any]]) -> type[BaseModel]:
    """A model of this module's own, named Ask."""
    space: dict[str, Any] = {
        "__module__": __name__,
        "__qualname__": "Ask",
        "__doc__": "Câu hỏi",
        "task": task,
    }
    space["__annotations__"] = {"task": ClassVar[Task], **{name: kind for name, (kind, _) in fields.items()}}
    space |= {name: default for name, (_, default) in fields.items()}
    return types.new_class("Ask", (base,), exec_body=lambda namespace: namespace.update(space))


def _kind(name: str) -> str:
    return name.partition(":")[0].partition("@")[0]


def _one_line(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
