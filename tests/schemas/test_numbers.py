"""Printed numbers: what they mean alone, and what the document makes of the ambiguous ones."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import numbers
from schemas.currencies import coin
from schemas.registry import resolve
from schemas.settle import settle

AMOUNTS = st.decimals(min_value=0, max_value=10**14, places=2)


def printed(value: Decimal, group: str, point: str) -> str:
    return f"{value:,.2f}".translate(str.maketrans({",": group, ".": point}))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("1.234,56", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1.234.567", "1234567"),
        ("1,234,567", "1234567"),
        ("1 234 567", "1234567"),
        ("1.234", "1234"),
        ("1,234", "1234"),
        ("0,5", "0.5"),
        ("0.535", "0.535"),
        ("12.5", "12.5"),
        ("1234.567", "1234.567"),
        ("2.000,00", "2000"),
        ("007", "7"),
        ("0", "0"),
        ("45.000đ", "45000"),
        ("45.000 VNĐ", "45000"),
        ("$ 12.50", "12.5"),
        ("-1.000", "-1000"),
        ("(1.000)", "-1000"),
        ("−1.000 ₫", "-1000"),
        ("1,5k", "1500"),
        ("-2k", "-2000"),
        ("1,25 triệu", "1250000"),
    ],
)
def test_a_printed_number_is_read(raw: str, value: str) -> None:
    """In one spelling, without idle zeros: two that are equal are one text in every table."""
    assert str(numbers.number(raw)) == value


@pytest.mark.parametrize(
    "raw", ["", "abc", "1.23.456", "1.234,56,7", "1,234.567.8", "12 34", "1..2", "--1", "1.234 5", "٣", "1e5"]
)
def test_what_is_no_number_is_refused_with_its_text(raw: str) -> None:
    with pytest.raises(ValueError, match="is no number") as caught:
        numbers.number(raw)
    assert repr(raw) in str(caught.value)


@given(AMOUNTS)
def test_both_styles_give_back_the_amount(value: Decimal) -> None:
    assert (
        numbers.readings(printed(value, ".", ",")) == numbers.readings(printed(value, ",", ".")) == (value,)
    )


@given(st.integers(0, 10**15))
def test_groups_alone_are_read_in_both_styles(value: int) -> None:
    for group in ".,":
        assert numbers.money(f"{value:,}".replace(",", group)) == value


def test_three_digits_after_one_separator_have_two_readings() -> None:
    assert numbers.readings("1.234") == (Decimal(1234), Decimal("1.234"))
    assert numbers.readings("0.234") == (Decimal("0.234"),)
    assert numbers.readings("1.2345") == (Decimal("1.2345"),)


def test_decimals_in_a_whole_number_are_refused() -> None:
    assert numbers.whole("12") == 12
    with pytest.raises(ValueError, match="no whole number"):
        numbers.whole("1,5")


def receipt(*lines: tuple[str, str, str], **others: str) -> dict[str, str]:
    cells = {
        f"lines[{i}].{name}": text
        for i, line in enumerate(lines)
        for name, text in zip(("quantity", "unit_price", "amount"), line, strict=True)
        if text
    }
    return cells | others


def test_arithmetic_decides_between_weight_and_thousand() -> None:
    found = settle(resolve("receipt").shape, receipt(("2.000", "45.000", "90.000")))
    assert found.values == {"lines[0].quantity": Decimal(2), "lines[0].unit_price": Decimal(45000)}
    assert found.checks == ()


def test_arithmetic_goes_before_the_style_of_the_document() -> None:
    found = settle(resolve("receipt").shape, receipt(("1.500", "20.000", "30.000"), total="1.030.000"))
    assert found.values["lines[0].quantity"] == Decimal("1.5")


@pytest.mark.parametrize(("total", "quantity"), [("1.234.567,00", "1500"), ("1,234,567.00", "1.5")])
def test_the_documents_style_decides_where_no_arithmetic_can(total: str, quantity: str) -> None:
    found = settle(resolve("invoice").shape, {"lines[0].quantity": "1.500", "total": total})
    assert found.values == {"lines[0].quantity": Decimal(quantity)}
    assert found.checks == ()


def test_money_proves_the_style_by_its_groups() -> None:
    found = settle(resolve("invoice").shape, {"lines[0].quantity": "1,500", "total": "45.000"})
    assert found.values == {"lines[0].quantity": Decimal("1.5")}


def test_what_nothing_decides_is_said() -> None:
    found = settle(resolve("invoice").shape, {"lines[3].quantity": "1.500", "seller_name": "1.500"})
    assert found.values == {"lines[3].quantity": Decimal(1500)}
    (warning,) = found.checks
    assert (warning.code, warning.passed, warning.fields) == (
        "number_ambiguous",
        False,
        ("lines[3].quantity",),
    )
    assert "'1.500' may be 1500 or 1.5" in warning.message


def test_contradicting_styles_prove_nothing() -> None:
    found = settle(
        resolve("invoice").shape, {"lines[0].quantity": "1.500", "net": "1.234,5", "total": "1,234.5"}
    )
    assert [check.code for check in found.checks] == ["number_ambiguous"]


def test_two_combinations_that_multiply_out_decide_nothing() -> None:
    texts = {"lines[0].quantity": "1.000", "lines[0].unit_price": "2.000", "lines[0].amount": "2000"}
    found = settle(resolve("invoice").shape, texts)
    assert {check.fields for check in found.checks} == {("lines[0].quantity",), ("lines[0].unit_price",)}


def meant(schema: str, printed: dict[str, str]) -> tuple[dict[str, str], set[str]]:
    """What each number is taken for, and which of them are flagged."""
    found = settle(resolve(schema).shape, printed)
    plain = {path: numbers.number(text) for path, text in printed.items() if path != "currency"}
    flagged = {path for check in found.checks for path in check.fields}
    return {path: format(found.values.get(path, value), "f") for path, value in plain.items()}, flagged


def test_a_sum_does_not_tell_thousands_from_decimals() -> None:
    printed = {
        "lines[0].quantity": "2",
        "lines[0].unit_price": "6.250",
        "lines[0].amount": "12.500",
        "net": "12.500",
        "vat": "1.250",
        "total": "13.750",
    }
    assert meant("invoice", {"currency": "USD", **printed})[1] == printed.keys() - {"lines[0].quantity"}
    assert meant("invoice", {"currency": "VND", **printed}) == (
        {path: text.replace(".", "") for path, text in printed.items()},
        set(),
    )


@pytest.mark.parametrize(
    ("proof", "value"), [("1,234.50", "6.25"), ("0.75", "6.25"), ("1.234,50", "6250"), ("1.234.567", "6250")]
)
@pytest.mark.parametrize("where", ["vat", "lines[0].unit_price"])
def test_money_with_coins_is_written_as_the_papers_other_money(proof: str, value: str, where: str) -> None:
    lines = {"lines[0].quantity": "1", "lines[0].unit_price": "1", "lines[0].amount": "1"}
    values, flagged = meant("invoice", {"currency": "USD", **lines, "total": "6.250", where: proof})
    assert (values["total"], flagged) == (value, set())


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ({"currency": "KWD", "total": "1.250"}, "1.25"),
        ({"currency": "OMR", "total": "1,250"}, "1.25"),
        ({"currency": "USD", "total": "1.250"}, "1250"),
        ({"total": "1.250 USD"}, "1250"),
        ({"total": "$1.250"}, "1250"),
        ({"total": "US$1.250"}, "1250"),
        ({"currency": "đô la", "total": "1.250"}, "1250"),
        ({"currency": "VND", "net": "12.5", "total": "1.250"}, "1250"),
        ({"net": "1,250,000", "total": "1.250"}, "1250"),
    ],
)
def test_money_that_nothing_decides_is_said(printed: dict[str, str], value: str) -> None:
    values, flagged = meant("invoice", printed)
    assert (values["total"], flagged) == (value, {"total"})


def test_dong_with_three_decimals_on_the_paper_is_read_with_them() -> None:
    printed = {"lines[0].amount": "567,000", "lines[1].amount": "1.234,000", "total": "1.801,000"}
    assert meant("receipt", printed) == (
        {"lines[0].amount": "567", "lines[1].amount": "1234", "total": "1801"},
        set(),
    )


def test_a_misread_part_of_a_dong_makes_no_thousandth_of_other_amounts() -> None:
    amounts = {"lines[0].amount": "0.500", "lines[1].amount": "20.000", "total": "65.000"}
    assert meant("receipt", amounts)[0] == {
        "lines[0].amount": "0.5",
        "lines[1].amount": "20000",
        "total": "65000",
    }
    for zeros in ("00.000", "05.000", "000.000"):  # 100.000 or 45.000, its first digit lost or misread
        values, _ = meant("receipt", {"lines[0].amount": "20.000", "total": "65.000", "paid": zeros})
        assert (values["lines[0].amount"], values["total"]) == ("20000", "65000")
    nothing = {"lines[0].amount": "0,000", "lines[1].amount": "567,000", "total": "567,000"}
    assert meant("receipt", nothing)[0]["total"] == "567"


@pytest.mark.parametrize("currency", [{}, {"currency": "VND"}, {"currency": "JPY"}])
@pytest.mark.parametrize(
    "others", [{}, {"net": "45.000"}, {"net": "1.234.567"}, {"lines[0].quantity": "0.5"}]
)
def test_money_without_coins_is_in_thousands(currency: dict[str, str], others: dict[str, str]) -> None:
    values, flagged = meant("invoice", {**currency, **others, "total": "1.250"})
    assert (values["total"], flagged) == ("1250", set())


@pytest.mark.medium
@given(
    st.decimals(min_value="0.001", max_value="99", places=3),
    st.integers(1, 999).map(lambda thousands: thousands * 1000),
    st.sampled_from(".,"),
)
def test_a_line_printed_in_one_style_is_settled_as_it_was_meant(
    quantity: Decimal, price: int, group: str
) -> None:
    """With an amount that is the true product, whatever is returned multiplies out, or is flagged."""
    point = "," if group == "." else "."
    amount = round(quantity * price)
    texts = {
        "lines[0].quantity": str(quantity).replace(".", point),
        "lines[0].unit_price": f"{price:,}".replace(",", group),
        "lines[0].amount": f"{amount:,}".replace(",", group),
    }
    found = settle(resolve("invoice").shape, texts)
    values = {path: found.values.get(path, numbers.number(text)) for path, text in texts.items()}
    flagged = {path for check in found.checks for path in check.fields}
    assert values["lines[0].quantity"] == quantity or "lines[0].quantity" in flagged


@pytest.mark.parametrize(
    ("currency", "smallest"), [("KWD", "0.001"), ("USD", "0.01"), ("JPY", "1"), ("VND", "1"), (None, "1")]
)
def test_the_smallest_coin(currency: str | None, smallest: str) -> None:
    assert coin(currency) == Decimal(smallest)
