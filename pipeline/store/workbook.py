"""A job as a workbook for people: its values coloured by confidence, and a sheet of what to check.

The sheet "to check" goes out to a person and comes in again (`pipeline/corrections/`): everything in it is
locked but the cells for the correction and the ruling.
"""

# Imported only when a workbook is asked for: XlsxWriter takes long to load.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.store import links, to_check
from pipeline.store.doubts import Doubt
from pipeline.store.entities import FailedItem, Job
from pipeline.store.evidence import Beside
from pipeline.store.xlsx import Book, Link, Looks

_LINKS: Mapping[str, str] = {"file": "Tệp", "review": "Xem trang"}  # behind a document's name
_SURE, _FAIR = 0.99, 0.9
_BANDS: Mapping[str, tuple[Looks, str, str]] = {
    "sure": ({"bg_color": "#e2efda"}, "độ tin cậy từ 0,99", "confidence of 0.99 or more"),
    "fair": ({"bg_color": "#fff2cc"}, "từ 0,9 đến dưới 0,99", "from 0.9 to below 0.99"),
    "doubtful": ({"bg_color": "#ffc7ce"}, "dưới 0,9", "below 0.9"),
    "decided": ({"bg_color": "#bdd7ee"}, "do người quyết định", "decided by a person"),
}
_TO_FILL: Looks = {"locked": False, "num_format": "@", "bg_color": "#ffffe0", "border": 1}
_PROBABILITY: Looks = {"num_format": "0.000"}
_WRAPPED: Looks = {"text_wrap": True, "valign": "top"}
_HELP = (
    "Viết giá trị đúng vào ô bên trái, như trên giấy; hoặc chọn ở đây. "
    "Write the right value to the left, as printed; or choose here."
)


def band(confidence: float | None, source: str | None = None) -> Looks | None:
    """The colour of a value; None where nothing is known of it."""
    if source == "review":
        return _BANDS["decided"][0]
    if confidence is None:
        return None
    return _BANDS["sure" if confidence >= _SURE else "fair" if confidence >= _FAIR else "doubtful"][0]


class ViewSheet:
    """A view's sheet, each value in the colour of its confidence; what is known beside it can be folded away.

    `linked`: behind a document's name are links to its file and to its page in the review.
    """

    def __init__(self, book: Book, name: str, beside: Beside, review_url: str, *, linked: bool) -> None:
        self._beside, self._review_url, self._linked = beside, review_url, linked
        heads = _behind(beside.names, tuple(_LINKS) if linked else ())
        labels = _behind(beside.labels, tuple(_LINKS.values()) if linked else ())
        self._sheet = book.sheet(name, heads, labels, frozen=1)
        more = len(_LINKS) if linked else 0
        self._sheet.fold(more + i for first in beside.confidence.values() for i in range(first, first + 3))

    def fill(self) -> int:
        """Writes all rows. Returns their number."""
        total = 0
        for document, row in self._beside.numbered():
            self._add(document, row)
            total += 1
        return total

    def _add(self, document: int, row: Sequence[Any]) -> None:
        looks: list[Looks | None] = [None] * len(row)
        for value, confidence in self._beside.confidence.items():
            looks[value] = band(row[confidence], row[confidence + 1])
            looks[confidence] = _PROBABILITY
        cells = _linked(row[0], document, self._review_url) if self._linked else ()
        self._sheet.append(_behind(row, cells), _behind(looks, [None] * len(cells)))


class ToCheck:
    """The sheet of what a person should look at."""

    def __init__(self, book: Book, review_url: str) -> None:
        self._review_url = review_url
        heads = _behind(to_check.NAMES, tuple(_LINKS))
        labels = _behind(tuple(to_check.COLUMNS.values()), tuple(_LINKS.values()))
        self._sheet = book.sheet(to_check.SHEET, heads, labels, frozen=1, protected=True)
        rulings = tuple(to_check.CHOICES.values())
        self._sheet.choices(heads.index("ruling"), rulings, "Quyết định · ruling", _HELP)
        self._sheet.hide(heads.index("key"))

    def add(self, doubt: Doubt) -> None:
        known: dict[str, Looks | None] = {
            "value": band(doubt.confidence),
            "confidence": _PROBABILITY,
            "why": _WRAPPED,
            "correction": _TO_FILL,
            "ruling": _TO_FILL,
        }
        looks = [known.get(name) for name in to_check.NAMES]
        cells = _linked(doubt.uri, doubt.document, self._review_url)
        self._sheet.append(_behind(to_check.row(doubt), cells), _behind(looks, [None] * len(cells)))

    def add_free_rows(self) -> None:
        """Rows in which a person writes a line that is missing."""
        free = dict.fromkeys(("document_uri", "field", "correction", "ruling"), _TO_FILL)
        looks = _behind([free.get(name) for name in to_check.NAMES], [None] * len(_LINKS))
        for _ in range(to_check.FREE_ROWS):
            self._sheet.append([None] * len(looks), looks)


def add_not_read(book: Book, failed: Iterable[FailedItem]) -> None:
    """The documents that have no result, with the reason: none is left out in silence."""
    labels = ("Tài liệu", "Lý do", "Giải thích")
    sheet = book.sheet("not read", ("document_uri", "reason", "message"), labels, frozen=1)
    for item in failed:
        sheet.append((item.uri, str(item.failure.reason), item.failure.message))


def add_legend(book: Book, job: Job) -> None:
    """What the colours mean, and what made the values."""
    sheet = book.sheet("legend", ("Màu", "Ý nghĩa", "Meaning"))
    for looks, vietnamese, english in _BANDS.values():
        sheet.append(("", vietnamese, english), (looks, None, None))
    facts: Sequence[tuple[str, str, Any]] = (
        ("Đợt", "job", job.name),
        ("Loại giấy tờ", "schema", job.schema),
        ("Mô hình", "model", f"{job.reader} ({job.checkpoint[:12]})"),
        ("Bắt đầu", "begun", job.created_at.replace(tzinfo=None, microsecond=0)),
    )
    for fact in facts:
        sheet.append(fact)


def _behind(row: Sequence[Any], cells: Sequence[Any]) -> tuple[Any, ...]:
    """The row with these cells behind its first."""
    return (*row[:1], *cells, *row[1:])


def _linked(uri: str, document: int | None, review_url: str) -> tuple[Link, Link]:
    review = None if document is None else links.of_review(review_url, document)
    return Link(links.of_file(uri), "mở"), Link(review, "xem")
