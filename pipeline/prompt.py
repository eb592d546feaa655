"""The user turn of one page: what to read, in Vietnamese, in few lines.

Vintern invents values when the prompt grows beyond about 15 lines, so a schema of any size becomes 6 lines
and one more for each table or group in it (the ninth and all after it share a line). The wording is the same
for every schema. The demo model is trained on exactly this text: changing a word means training it again, and
`tests/pipeline/test_prompt.py` holds the text of the built-in schemas.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.grammar import Form
from schemas.shape import Group, Leaf, Node, Repeated

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec
    from schemas.task import Task

MAX_LINES = 15
_AROUND = 6  # lines that are not about a table or a group


def build(spec: SchemaSpec, form: Form = "objects") -> str:
    """The question for one page of such a paper, NFC, at most 15 lines, without the image placeholder.

    It asks for an answer in this form; that of "objects" is the text that the demo model knows. A task
    that is answered in free text is asked in its own words alone.
    """
    if spec.task is not None:
        return unicodedata.normalize("NFC", "\n".join(_of_task(spec, spec.task)))
    parts = list(_parts(spec.shape.of_pages, form))
    room = MAX_LINES - _AROUND
    if len(parts) > room:
        parts = [*parts[: room - 1], " ".join(parts[room - 1 :])]
    return unicodedata.normalize(
        "NFC",
        "\n".join(
            [
                "Hãy đọc trang giấy trong ảnh và ghi lại các mục được in trên đó.",
                f"Loại giấy: {_one_line(spec.title).rstrip('.')}.",
                f"Các mục theo thứ tự: {_labels(spec.shape.of_pages)}.",
                *parts,
                "Chép từng giá trị đúng như in trên giấy, không sửa, không suy đoán.",
                "Mục nào không có trên trang thì ghi null.",
                "Chỉ trả lời bằng JSON, khóa là tên mục.",
            ]
        ),
    )


def _of_task(spec: SchemaSpec, task: Task) -> Iterator[str]:
    yield task.question
    if not spec.free:
        yield f"Các mục theo thứ tự: {_labels(spec.shape.of_pages)}."
        yield "Chép từng giá trị đúng như in trên giấy, không sửa, không suy đoán."
        yield "Điều gì trang không cho biết thì ghi null."
        yield "Chỉ trả lời bằng JSON, khóa là tên mục."


def _parts(group: Group, form: Form) -> Iterator[str]:
    """A sentence for each table and group below `group`, outer ones first."""
    for field in group.fields:
        if isinstance(field, Group):
            yield f'Mục "{_one_line(field.label)}" gồm: {_labels(field)}.'
            yield from _parts(field, form)
        elif isinstance(field, Repeated) and isinstance(field.item, Group):
            line = "gồm" if form == "objects" else "là một mảng giá trị theo thứ tự"
            yield f'Bảng "{_one_line(field.label)}", mỗi dòng {line}: {_labels(field.item)}.'
            yield from _parts(field.item, form)
        elif isinstance(field, Repeated):
            yield f'Mục "{_one_line(field.label)}" là danh sách, có thể có nhiều giá trị.'


def _labels(group: Group) -> str:
    return "; ".join(_label(field) for field in group.fields)


def _label(field: Node) -> str:
    """The printed label, with the schema's hint if there is one."""
    inner = field.item if isinstance(field, Repeated) else field
    hint = inner.hint if isinstance(inner, Leaf) else None
    return f"{_one_line(field.label)} ({_one_line(hint)})" if hint else _one_line(field.label)


def _one_line(text: str) -> str:
    return " ".join(text.split())
