"""The index of invoices, the purchase list and questions by older names, at the bounds of their rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from pipeline.store import Shadow, Store, invoices, named
from pipeline.store.shares import Share, in_dong
from pipeline.store.tables import invoice_index
from schemas.law import CashLimit, Law
from tests.store import samples, sheets
from tests.store.samples import finish, refs
from tests.store.test_input_vat import OTHER, SELLER, _sheet, ask, made, put


def row(**changes: Any) -> dict[str, Any]:
    return invoices.row(7, made("1", **changes).record)


def test_a_row_of_the_index_says_what_an_invoice_is() -> None:
    assert row() == {
        "document_id": 7,
        "identity": f"{SELLER}|1|C26TAA|1",
        "seller": SELLER,
        "seller_name": "Công ty Mẫu",
        "buyer": OTHER,
        "number": "1",
        "issue_date": "2026-05-01",
        "total": "1100000",
        "total_vnd": 1_100_000,
        "payment": "without cash",
        "relation": None,
        "related": None,
        "shares": '[["10%",1000000,100000]]',
    }
    empty = invoices.row(7, {})
    assert set(empty.values()) - {7, "unknown"} == {None}
    assert row(seller_tax_code="990000001")["seller"] == "0990000001", "its first zero was lost"
    related = row(related_invoice="Thay thế cho hóa đơn mẫu số 1 ký hiệu C26TAA số 2")
    assert (related["relation"], related["related"]) == ("replaces", f"{SELLER}|1|C26TAA|2")
    assert row(related_invoice="Điều chỉnh giảm giá")["related"] is None


@pytest.mark.parametrize(
    ("total", "currency", "rate", "dong"),
    [
        ("10", None, None, 10),
        ("10.5", "VND", "25000", 11),  # half a đồng is rounded up; a rate of its own money counts for nothing
        ("10.4999", "VND", None, 10),
        ("-10.5", "VND", None, -11),
        ("10", "USD", "25000.15", 250_002),
        ("10", "USD", None, None),
        (str(2**63 - 1), "VND", None, 2**63 - 1),
        (str(2**63), "VND", None, None),
        (str(1 - 2**63), "VND", None, 1 - 2**63),
        (None, "VND", None, None),
    ],
)
def test_a_total_in_whole_dong(
    total: str | None, currency: str | None, rate: str | None, dong: int | None
) -> None:
    record = made("1").record | {"total": total, "currency": currency, "exchange_rate": rate}
    assert invoices.row(7, record)["total_vnd"] == dong


def test_shares_are_in_dong_of_which_no_part_is_lost() -> None:
    parts = (Share("8%", Decimal("10.5"), Decimal("0.84")), Share(None, Decimal(1), Decimal(0)))
    assert tuple(in_dong(parts, Decimal(1))) == parts
    assert tuple(in_dong(parts, Decimal(3))) == (
        Share("8%", Decimal(32), Decimal(3)),
        replace(parts[1], net=Decimal(3)),
    )
    for unknown in ({"currency": "USD"}, {"vat": None}, {"net": str(2**63)}, {"vat": str(2**63)}):
        assert row(**unknown)["shares"] is None


def test_only_invoices_that_count_stand_in_the_index(store: Store) -> None:
    put(store, a=made("7"))
    sheets.filled(store, {"receipt": sheets.receipt()}, "receipts")
    shadow = samples.job(store, "shadow", shadow=Shadow(store.jobs.find("may").id, 1.0))
    store.ledger.add(shadow, refs("a"))
    finish(store, store.ledger.claim(shadow, "w", 1, 60)[0], made("8"))

    def numbers() -> list[tuple[Any, ...]]:
        with store.query("SELECT number FROM invoice_index") as found:
            return list(found)

    assert numbers() == [("7",)]
    with store._db.write() as connection:
        connection.execute(delete(invoice_index))
    assert invoices.update(store._db) == 1 and numbers() == [("7",)]
    with store._db.write() as connection:
        connection.exec_driver_sql("UPDATE invoice_index SET rules = 'older', number = 'x'")
    assert invoices.update(store._db, old_ones=False) == 0 and numbers() == [("x",)]
    assert invoices.update(store._db) == 1 and numbers() == [("7",)]


def test_questions_are_found_by_the_names_that_they_had_at_first() -> None:
    formerly = {
        "chains": "replaced-invoices",
        "duplicates": "duplicate-invoices",
        "payment": "non-cash-payments",
        "purchases": "purchase-list",
        "unidentified": "unidentified-invoices",
        "unlinked": "unclear-corrections",
    }
    assert {old: named.find(old).name for old in formerly} == formerly
    names = [one.name for one in named.every()]
    assert len(set(names)) == len(names) > 20
    assert named.find("vat-by-rate").needs == ("invoices", "purchases", "shares")


def test_a_users_law_applies_to_what_is_asked(store: Store) -> None:
    put(store, a=made("1", total=1_100_000, issue_date="2026-06-01"))
    assert ask(store, "non-cash-payments", "document_uri") == []
    law = Law(cash_limits=(CashLimit.model_validate({"from": date(2026, 6, 1), "amount": 1_000_000}),))
    assert ask(store, "non-cash-payments", "document_uri", law=law) == [("/in/a",)]


@pytest.mark.medium
def test_the_purchase_list_says_what_to_know_of_each_invoice(store: Store, tmp_path: Path) -> None:
    def of(verb: str, number: str) -> str:
        return f"{verb} hóa đơn mẫu số 1 ký hiệu C26TAA số {number}"

    put(
        store,
        before=made("1", issue_date="2026-04-30"),
        first=made("2", issue_date="2026-05-01", lines=[], payment_method=None, total=9_000_000),
        last=made(
            "3", issue_date="2026-05-31", buyer_tax_code=f"{OTHER}-001", total=9_000_000, payment_method="TM"
        ),
        after=made("4", issue_date="2026-06-01"),
        adjusted=made("5", issue_date="2026-05-02", related_invoice=of("Đã bị điều chỉnh bởi", "6")),
        adjusts=made("6", issue_date="2026-05-03", related_invoice=of("Điều chỉnh tăng cho", "5")),
        unclear=made("7", issue_date="2026-05-04", related_invoice="Điều chỉnh tăng"),
        differs1=made("8", issue_date="2026-05-05"),
        differs2=made("8", issue_date="2026-05-05", total=2_200_000),
        zero=made("9", issue_date="2026-05-06", total=0, related_invoice="Điều chỉnh giảm", vat="0"),
        declared=made("10", issue_date="2026-05-07", vat_rate="KKKNT", vat="0", lines=[]),
    )
    period = {"since": date(2026, 5, 1), "until": date(2026, 5, 31)}
    out = tmp_path / "list.xlsx"
    listed = store.purchases(out, **period)
    *rows, total = _sheet(out, "01-1")
    assert {item["Số hóa đơn"]: item["Ghi chú"] for item in rows} == {
        "2": "chưa rõ thanh toán không dùng tiền mặt",
        "3": "trả bằng tiền mặt từ mức phải thanh toán không dùng tiền mặt",
        "5": "được điều chỉnh bởi hóa đơn mẫu số 1 ký hiệu C26TAA số 6",
        "6": "điều chỉnh cho hóa đơn mẫu số 1 ký hiệu C26TAA số 5",
        "7": "điều chỉnh cho hóa đơn không rõ số",
        "8": "các bản của hóa đơn khác nhau về tổng tiền",
        "9": "điều chỉnh cho hóa đơn không rõ số",
    }
    assert (listed.rows, listed.aside, listed.net, listed.vat) == (7, 2, 20_363_636, 2_036_364)
    assert {item["Tài liệu"]: item["Lý do"] for item in _sheet(out, "Để riêng")} == {
        "/in/differs2": "bản khác của cùng hóa đơn: /in/differs1",
        "/in/declared": "không chịu thuế hoặc không phải kê khai thuế: không có thuế được khấu trừ",
    }
    of_branch = store.purchases(out, **period, buyer=f"{OTHER}-001")
    assert of_branch.rows == 1 and store.purchases(out, **period, buyer=OTHER).rows == 6
    assert store.purchases(out).rows == 9 and store.purchases(out, buyer="9900000032").rows == 0
    first = rows[0]
    assert (first["Mặt hàng"], first["Tên người bán"], first["Mã số thuế người bán"]) == (
        None,
        "Công ty Mẫu",
        SELLER,
    )
    assert (first["Ký hiệu mẫu hóa đơn"], first["Ký hiệu hóa đơn"], first["Tài liệu"]) == (
        "1",
        "C26TAA",
        "/in/first",
    )
    assert (total["Ký hiệu mẫu hóa đơn"], total["STT"]) == ("Tổng cộng", None)
