"""What a teacher is asked about a page, and what the student will be asked for the same answer.

An id names the words of a prompt: changing them means another number behind the @.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline import prompt
from pipeline.errors import UsageError
from schemas import tasks

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

Kind = Literal["general", "ocr", "handwriting", "describe", "extraction"]
KINDS: tuple[Kind, ...] = ("general", "ocr", "handwriting", "describe", "extraction")
NOTHING = "KHÔNG CÓ"  # what a teacher says where the page has nothing of the kind

_FAITHFUL = "Chỉ dựa vào những gì thấy trong ảnh; không suy đoán, không bịa thêm."
_GENERAL = f"""Ảnh là một trang giấy hoặc một bức ảnh ở Việt Nam.
Hãy soạn 5 cặp hỏi đáp bằng tiếng Việt có dấu về nội dung của ảnh: tên người, tên tổ chức, ngày tháng, con số,
ý nghĩa và mối liên hệ giữa các phần. Câu hỏi tự nhiên như người dùng thật sẽ hỏi; câu trả lời đầy đủ.
{_FAITHFUL} Con số và tên riêng chép đúng như trong ảnh.
Chỉ trả lời bằng JSON: một mảng gồm các đối tượng có hai khóa "question" và "answer"."""
_OCR = f"""Hãy chép lại toàn bộ chữ trong ảnh, từ trên xuống dưới, từ trái sang phải, giữ nguyên dấu, số và
cách xuống dòng. Không dịch, không giải thích, không sửa lỗi. {_FAITHFUL}
Nếu ảnh không có chữ nào thì chỉ ghi {NOTHING}."""
_HANDWRITING = f"""Hãy chép lại phần chữ viết tay trong ảnh, giữ nguyên dấu và cách xuống dòng; bỏ qua chữ in.
Không giải thích, không sửa lỗi chính tả. {_FAITHFUL}
Nếu ảnh không có chữ viết tay thì chỉ ghi {NOTHING}."""
_DESCRIBE = f"""Hãy mô tả ảnh bằng tiếng Việt có dấu, trong vài đoạn văn: đây là loại giấy tờ hay cảnh gì,
bố cục ra sao, có những nội dung chính nào. {_FAITHFUL}"""


@dataclass(frozen=True, slots=True)
class Prompt:
    """`text` is what the teacher is asked, `student` what the student is; None: what the teacher made up."""

    id: str
    kind: Kind
    text: str
    student: str | None
    spec: SchemaSpec | None = None  # of an extraction


def chosen(kinds: Sequence[str], specs: Sequence[SchemaSpec]) -> tuple[Prompt, ...]:
    """The prompts of these kinds, an extraction for each schema. Raises UsageError."""
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise UsageError(f"no prompts of the kind {', '.join(unknown) or '–'}: there are {', '.join(KINDS)}")
    if ("extraction" in kinds) != bool(specs):
        raise UsageError("extraction wants --schema, and --schema is for --tasks extraction: give both")
    return tuple(one for kind in dict.fromkeys(kinds) for one in _of(kind, specs))


def _of(kind: str, specs: Sequence[SchemaSpec]) -> list[Prompt]:
    match kind:
        case "general":
            return [Prompt("general@1", "general", _GENERAL, None)]
        case "ocr":
            return [Prompt("ocr@1", "ocr", _OCR, tasks.Ocr.task.question)]
        case "handwriting":
            return [Prompt("handwriting@1", "handwriting", _HANDWRITING, tasks.Handwriting.task.question)]
        case "describe":
            return [Prompt("describe@1", "describe", _DESCRIBE, tasks.Describe.task.question)]
    return [_extraction(spec) for spec in specs]


def _extraction(spec: SchemaSpec) -> Prompt:
    """The same question for both: nothing is learnt that is not read the same way."""
    if spec.free:
        raise UsageError(f"--schema {spec.name}@{spec.version} is a task, not a form to fill in: see --tasks")
    asked = prompt.build(spec)
    return Prompt(f"extraction@1:{spec.name}@{spec.version}", "extraction", asked, asked, spec)
