"""The sheet "to check": what goes out to a person for each doubt, and the words that come in again.

`workbook` and a CSV both hold these columns; `pipeline/corrections/` finds them by their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.records import Ruling
from pipeline.store import evidence
from pipeline.store.doubts import Doubt
from pipeline.store.values import typed

SHEET = "to check"
COLUMNS: Mapping[str, str] = {  # with what they are called in Vietnamese
    "document_uri": "Tài liệu",
    "field": "Trường",
    "label": "Tên trường",
    "value": "Giá trị đã đọc",
    "printed": "In trên giấy",
    "confidence": "Độ tin cậy",
    "calibration": "Thang độ tin cậy",
    "why": "Vì sao cần xem",
    "correction": "Sửa thành (viết như trên giấy)",
    "ruling": "Quyết định",
    "page": "Trang",
    "key": "Khóa (không sửa)",
}
NAMES = tuple(COLUMNS)
RULINGS: Mapping[Ruling, str] = {  # as a person chooses them
    "accept": "đúng · accept",
    "correct": "sửa · correct",
    "not_on_page": "không có trên trang · not on page",
    "illegible": "không đọc được · illegible",
    "reject": "loại cả tài liệu · reject document",
}

# Of any value of a line: the whole line goes. A new line has rows of its own, whose fields are
# lines[+1].name, lines[+1].amount, lines[+2].name and so on, with the document_uri and without a key.
REMOVE = "remove_line"
CHOICES: Mapping[str, str] = {
    **{str(ruling): words for ruling, words in RULINGS.items()},
    REMOVE: "bỏ cả dòng · remove line",
}
FREE_ROWS = 50  # at the end of a workbook's sheet, for new lines


def row(doubt: Doubt) -> tuple[Any, ...]:
    """A doubt in the order of COLUMNS, with nothing where a person writes."""
    return (
        doubt.uri,
        doubt.field,
        doubt.label,
        typed(doubt.value, doubt.kind),
        doubt.raw,
        doubt.confidence,
        evidence.scale(doubt.calibrated),
        doubt.why,
        None,
        None,
        doubt.page,
        doubt.key,
    )
