"""Which invoice a paper is, which other one it names, how it was paid."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest

from schemas.identity import identity
from schemas.law import CashLimit, Law, built_in
from schemas.payment import Limit, limits, payment
from schemas.related import related

SELLER = "9900000016"


@pytest.mark.parametrize(
    ("form", "series", "number"),
    [
        ("1", "C26TAA", "7"),
        (None, "1C26TAA", "00000007"),
        ("1", "1C26TAA", "007"),
        ("01", " c26 taa", " 0000007 "),
        ("01/GTGT", "C26TAA", "0007"),
        (None, "C26TAA", "7"),
    ],
)
def test_one_invoice_printed_in_other_ways_is_the_same(form: str | None, series: str, number: str) -> None:
    assert str(identity(SELLER, form, series, number)) == f"{SELLER}|1|C26TAA|7"


def test_what_differs_in_one_part_is_another_invoice() -> None:
    other = {
        str(identity(*parts))
        for parts in (
            (SELLER, "1", "C26TAA", "7"),
            ("9900000024", "1", "C26TAA", "7"),
            (f"{SELLER}-001", "1", "C26TAA", "7"),
            (SELLER, "2", "C26TAA", "7"),
            (SELLER, "1", "C25TAA", "7"),
            (SELLER, "1", "K26TAA", "7"),
            (SELLER, "1", "C26TAA", "70"),
            (SELLER, "01GTKT0/001", "LC/21E", "7"),
            (SELLER, "01GTKT0/002", "LC/21E", "7"),
        )
    }
    assert len(other) == 9


@pytest.mark.parametrize("absent", range(3))
def test_without_seller_series_or_number_nothing_can_be_compared(absent: int) -> None:
    parts = [SELLER, "C26TAA", "7"]
    for nothing in (None, " "):
        seller, series, number = (nothing if i == absent else part for i, part in enumerate(parts))
        assert identity(seller, "1", series, number) is None


@pytest.mark.parametrize(
    ("text", "relation", "other"),
    [
        ("Thay thế cho hóa đơn ký hiệu C25TAA số 12 ngày 05/11/2025", "replaces", "1|C25TAA|12"),
        (
            "Điều chỉnh cho hóa đơn Mẫu số: 1, Ký hiệu: C26TAA, Số: 00000123, ngày 05 tháng 11 năm 2026",
            "adjusts",
            "1|C26TAA|123",
        ),
        (
            "Thay thế cho hóa đơn Mẫu số 01GTKT0/001 ký hiệu LC/21E số 0000012",
            "replaces",
            "01GTKT0/001|LC/21E|12",
        ),
        ("Hóa đơn đã bị thay thế bởi hóa đơn số 8, ký hiệu 1C26TAA", "replaced by", "1|C26TAA|8"),
        ("Đã bị điều chỉnh bởi hóa đơn ký hiệu (Series): 1C26TAA, số (No.): 9", "adjusted by", "1|C26TAA|9"),
        ("Replaced for invoice form 1 series C26TAA no. 5", "replaces", "1|C26TAA|5"),
        (
            "Điều chỉnh cho hóa đơn ký hiệu C26TAA số 5; ghi chú: hóa đơn số 6 đã bị thay thế",
            "adjusts",
            "1|C26TAA|5",
        ),
        ("Điều chỉnh giảm tiền thuế", "adjusts", None),
        ("Kèm theo hợp đồng số 12", None, None),
        (None, None, None),
    ],
)
def test_what_an_invoice_says_of_another(text: str | None, relation: str | None, other: str | None) -> None:
    found = related(text, SELLER)
    assert (found is None) == (relation is None)
    assert (found and found.relation) == relation
    assert (found and found.other and str(found.other)) == (other and f"{SELLER}|{other}")


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("Chuyển khoản", "without cash"),
        ("CK", "without cash"),
        ("Thẻ tín dụng", "without cash"),
        ("Thanh toán không dùng tiền mặt", "without cash"),
        ("Tiền mặt", "cash"),
        ("TM", "cash"),
        ("TM/CK", "unknown"),
        ("Tiền mặt hoặc chuyển khoản", "unknown"),
        ("Đối trừ công nợ", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
        ("TMCP", "unknown"),
    ],
)
def test_how_it_was_paid_is_unknown_where_the_paper_does_not_say(method: str | None, answer: str) -> None:
    assert payment(method) == answer


def test_one_limit_holds_on_each_day_also_when_a_user_adds_one() -> None:
    ours = Law(cash_limits=(CashLimit.model_validate({"from": date(2027, 1, 1), "amount": 3_000_000}),))
    found = list(limits(built_in().extended(ours)))
    for earlier, later in pairwise(found):
        assert later.since == earlier.until + timedelta(days=1)
    assert found[-2:] == [
        Limit(date(2025, 7, 1), date(2026, 12, 31), 5_000_000),
        Limit(date(2027, 1, 1), date.max, 3_000_000),
    ]
