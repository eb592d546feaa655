"""The list of purchases with their input VAT, as accountants hand it in: form 01-1, a sheet for Excel.

Its columns are those of the lists of invoices and documents of bought goods and services (Circular 80/2021,
form 01-1/HT): form, series, number, day, seller and tax code, what was bought, net, rate, VAT, remark. An
invoice of several rates has a row for each where its lines prove the shares. What has no VAT to be deducted
(KCT, KKKNT) is not listed, by the instructions to the form. What cannot be declared as it is stands in a
second sheet with the reason; nothing is left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pipeline.errors import UsageError
from pipeline.outputs import whole
from pipeline.settings import SourceSettings
from pipeline.store import invoices, named
from pipeline.store.database import Database
from pipeline.store.query import Rows
from pipeline.store.shares import Share, amount, in_dong, shares
from pipeline.store.tables import extractions
from pipeline.store.values import batches
from schemas import vat
from schemas.fields import whole_tax_code
from schemas.law import Law
from schemas.text import tidy
from schemas.words import from_words

_COLUMNS = (
    "STT",
    "Ký hiệu mẫu hóa đơn",
    "Ký hiệu hóa đơn",
    "Số hóa đơn",
    "Ngày lập",
    "Tên người bán",
    "Mã số thuế người bán",
    "Mặt hàng",
    "Giá trị chưa có thuế GTGT",
    "Thuế suất",
    "Thuế GTGT",
    "Ghi chú",
    "Tài liệu",
)
_NET, _VAT = _COLUMNS.index("Giá trị chưa có thuế GTGT"), _COLUMNS.index("Thuế GTGT")
_ASIDE = {
    "unidentified": "không đọc được mã số thuế người bán, ký hiệu hoặc số hóa đơn",
    "undated": "không đọc được ngày lập",
    "buyer unknown": "không đọc được mã số thuế người mua",
    "replaced": "đã bị thay thế bởi hóa đơn khác",
    "partial": "có trang chưa đọc được",
    "no sign": "điều chỉnh giảm mà số tiền in không có dấu âm: cần xác định dấu",
    "no amount in dong": "không có tổng tiền bằng đồng",
}
_LESS = re.compile(r"\b(?:giảm|giam)\b")
# What an adjustment says of a line, and no shock absorber, silencer or reducer.
_REDUCES = re.compile(r"(?:điều chỉnh )?giảm\b(?! (?:xóc|chấn|tốc|áp|âm|thanh|đau))")
_UNTAXED = "không chịu thuế hoặc không phải kê khai thuế: không có thuế được khấu trừ"
_PAYMENT = {
    "cash": "trả bằng tiền mặt từ mức phải thanh toán không dùng tiền mặt",
    "unknown": "chưa rõ thanh toán không dùng tiền mặt",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """How many rows the list has, how many documents were set aside, and the sums of the list in đồng."""

    rows: int
    aside: int
    net: Decimal
    vat: Decimal


@dataclass(slots=True)
class _Sums:
    net: Decimal = Decimal(0)
    vat: Decimal = Decimal(0)
    aside: list[tuple[Any, ...]] = field(default_factory=list)


def export(
    db: Database,
    out: str | Path,
    *,
    since: date | None = None,
    until: date | None = None,
    buyer: str | None = None,
    law: Law | None = None,
    seconds: float = 300.0,
    settings: SourceSettings | None = None,
) -> Listed:
    """Writes the list of all invoices in the store to an .xlsx file or s3://BUCKET/KEY.

    `since` and `until`, both included, choose by the day of the invoice, `buyer` by the buyer's tax code; an
    invoice whose day or buyer is not known is set aside whatever was chosen. Raises UsageError for a name
    that is no .xlsx.
    """
    from pipeline.store import xlsx  # XlsxWriter takes long to load

    if not str(out).endswith(".xlsx"):
        raise UsageError(f"{out}: the purchase list 01-1 is a workbook; give a name that ends in .xlsx")
    sums = _Sums()
    with whole(str(out), settings or SourceSettings()) as file:
        kept = list(_chosen(db, since, until, buyer, seconds))
        remarks = _payments(db, law, seconds) if kept else {}
        with xlsx.Book(file) as book:
            number = book.add("01-1", Rows(_COLUMNS, _list(db, kept, remarks, sums), {}))
            book.add("Để riêng", Rows((*_COLUMNS[1:], "Lý do"), iter(sums.aside), {}))
    return Listed(number - 1, len(sums.aside), sums.net, sums.vat)


def _chosen(
    db: Database, since: date | None, until: date | None, buyer: str | None, seconds: float
) -> Iterator[dict[str, Any]]:
    first, last = (since or date.min).isoformat(), (until or date.max).isoformat()
    with named.ask(db, "purchase-list", seconds=seconds) as rows:
        for row in rows:
            item = dict(zip(rows.columns, row, strict=True))
            if buyer is not None and item["buyer"] is None:
                item["aside"] = item["aside"] or "buyer unknown"
            elif buyer is not None and whole_tax_code(item["buyer"]) != whole_tax_code(buyer):
                continue
            if item["issue_date"] is None or first <= item["issue_date"] <= last:
                yield item


def _payments(db: Database, law: Law | None, seconds: float) -> dict[str, str]:
    """A remark for each document whose payment is in cash or open, and matters."""
    with named.ask(db, "non-cash-payments", law=law, seconds=seconds) as rows:
        uri, payment = rows.columns.index("document_uri"), rows.columns.index("payment")
        return {row[uri]: _PAYMENT[row[payment]] for row in rows if row[payment] in _PAYMENT}


def _list(
    db: Database, kept: Sequence[dict[str, Any]], payments: Mapping[str, str], sums: _Sums
) -> Iterator[tuple[Any, ...]]:
    """The rows of the list and their sum; what does not belong there goes to `sums.aside`."""
    numbers = count(1)
    for batch in batches((item,) for item in kept):
        found = _records(db, [item["document_id"] for (item,) in batch])
        for (item,) in batch:
            record = found.get(item["document_id"])
            if record is None:  # purged since
                continue
            parts = shares(record)
            if not item["aside"] and parts and _lacks_sign(item, record, parts):
                item["aside"] = "no sign"
            if item["aside"] or not parts:
                sums.aside.append(_aside(item, record))
                continue
            unit = invoices.rate(record) or Decimal(1)  # what has no rate is set aside
            remark = "; ".join(_remarks(item, record, parts, payments))
            for part in in_dong(parts, unit):
                if part.rate in vat.UNTAXED:
                    sums.aside.append((*_row(item, record, part, remark), _UNTAXED))
                    continue
                sums.net += part.net
                sums.vat += part.vat
                yield (next(numbers), *_row(item, record, part, remark))
    total: list[Any] = [None] * len(_COLUMNS)
    total[1], total[_NET], total[_VAT] = "Tổng cộng", sums.net, sums.vat
    yield tuple(total)


def _records(db: Database, documents: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    mine = select(extractions.c.document_id, extractions.c.record)
    with db.read() as connection:
        found = connection.execute(mine.where(extractions.c.document_id.in_(documents)))
        return {row.document_id: row.record for row in found}


def _row(
    item: Mapping[str, Any], record: Mapping[str, Any], part: Share | None, remark: str
) -> tuple[Any, ...]:
    day = item["issue_date"]
    return (
        record.get("form_no"),
        record.get("series"),
        record.get("number"),
        None if day is None else date.fromisoformat(day),
        item["seller_name"],
        item["seller"],
        _bought(record),
        amount(record.get("net")) if part is None else part.net,
        record.get("vat_rate") if part is None else part.rate,
        amount(record.get("vat")) if part is None else part.vat,
        remark,
        item["document_uri"],
    )


def _aside(item: Mapping[str, Any], record: Mapping[str, Any]) -> tuple[Any, ...]:
    if item["aside"] == "copy":
        why = f"bản khác của cùng hóa đơn: {item['copy_of']}"
    else:
        why = _ASIDE.get(item["aside"], "không đọc được giá trị chưa thuế hoặc tiền thuế")
    return (*_row(item, record, None, ""), why)


def _lacks_sign(item: Mapping[str, Any], record: Mapping[str, Any], parts: Sequence[Share]) -> bool:
    """Whether an invoice says that it reduces another one, and prints what it takes off as if it added it."""
    if item["relation"] != "adjusts" or sum(part.net for part in parts) <= 0:
        return False
    if _LESS.search(tidy(record.get("related_invoice") or "").casefold()):
        return True
    lines = (tidy(line.get("name") or "").casefold() for line in record.get("lines") or ())
    return _is_negative(record.get("total_in_words")) or any(map(_REDUCES.match, lines))


def _is_negative(words: str | None) -> bool:
    try:
        return words is not None and from_words(words) < 0
    except ValueError:
        return False


def _remarks(
    item: Mapping[str, Any],
    record: Mapping[str, Any],
    parts: Sequence[Share],
    payments: Mapping[str, str],
) -> Iterator[str]:
    if item["state"] == "review":
        yield "cần kiểm tra lại"
    if item["totals_differ"] == "yes":
        yield "các bản của hóa đơn khác nhau về tổng tiền"
    if item["relation"] in ("replaces", "adjusts"):
        verb = "thay thế" if item["relation"] == "replaces" else "điều chỉnh"
        yield f"{verb} cho {_named(item['related'])}"
    if item["relation"] == "adjusted by":
        yield f"được điều chỉnh bởi {_named(item['related'])}"
    if record.get("currency") not in (None, "VND"):
        yield f"quy đổi từ {record['currency']}, tỷ giá {record.get('exchange_rate')}"
    if parts[0].rate is None:
        yield "chưa rõ thuế suất, hoặc nhiều thuế suất"
    if item["document_uri"] in payments:
        yield payments[item["document_uri"]]


def _named(identity: str | None) -> str:
    """Another invoice of the same seller, as a person writes it."""
    if identity is None:
        return "hóa đơn không rõ số"
    _, form, series, number = identity.split("|")
    return f"hóa đơn mẫu số {form} ký hiệu {series} số {number}"


def _bought(record: Mapping[str, Any]) -> str | None:
    names = [line["name"] for line in record.get("lines") or () if line.get("name")]
    if not names:
        return None
    return names[0] if len(names) == 1 else f"{names[0]} và {len(names) - 1} mặt hàng khác"
