"""A failed equation accuses what one change mends, and clears what other equations bear out."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from schemas.checks import CheckResult, equal
from schemas.registry import resolve
from schemas.suspects import pointed
from tests.schemas.test_rules import CARD, INVOICE, RECEIPT, line


def accused(schema: str, record: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    checks = resolve(schema).run_checks(record)
    return {check.code: check.accused for check in checks if not check.passed and check.severity != "info"}


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        # VAT, total and words bear the net out: the lines add up to another one, and only one of them is off.
        (line(0, amount="80000"), {"line_amount": ("lines[0].amount",), "net": ("lines[0].amount",)}),
        # The net bears the amount out, and 3 pieces of 45,000 were read for 2.
        (line(0, quantity="3"), {"line_amount": ("lines[0].quantity",)}),
        (line(0, quantity="17"), {"line_amount": ("lines[0].quantity",)}),
        # Nothing that 0 is multiplied by makes it right; what the price and the amount make of it does.
        (line(0, quantity="0"), {"line_amount": ("lines[0].quantity",)}),
        (line(0, unit_price="48000"), {"line_amount": ("lines[0].unit_price",)}),
        ({"net": "120082"}, {"net": ("net",), "vat": ("net",), "total": ("net",)}),
        ({"vat": "9800"}, {"vat": ("vat",), "total": ("vat",)}),
        ({"vat_rate": "10%"}, {"vat": ("vat_rate",)}),
        ({"total": "129682"}, {"total": ("total",), "total_in_words": ("total",)}),
        ({"total_in_words": "Một trăm đồng"}, {"total_in_words": ("total_in_words",)}),
        # Every line is borne out by its own factors: one is missing or doubled.
        ({"lines": INVOICE["lines"][:1]}, {"net": ("lines",)}),
        (line(1, no=3), {"line_numbers": ("lines[1].no",)}),
    ],
)
def test_on_an_invoice_one_value_is_accused(
    changed: dict[str, Any], found: dict[str, tuple[str, ...]]
) -> None:
    assert accused("invoice", INVOICE | changed) == found


def test_what_two_values_would_mend_alike_accuses_both() -> None:
    assert accused("receipt", RECEIPT | {"change": "300000"}) == {"change": ("paid", "change")}
    # Nobody pays 200,300 in notes.
    found = accused("receipt", RECEIPT | {"paid": "200300"})
    assert found == {"change": ("paid",), "notes": ("paid",)}


def test_on_a_card_the_sound_dates_are_cleared() -> None:
    # Issue and expiry are those of somebody born in 1999: the number is wrong.
    assert accused("id_card", CARD | {"number": "079198000007"}) == {"number_birth_year": ("number",)}
    # Who was born a day later would have that expiry; the issue would not change it.
    assert accused("id_card", CARD | {"expiry": "2024-01-02"}) == {"expiry": ("date_of_birth", "expiry")}
    found = accused("id_card", CARD | {"date_of_birth": "1998-01-01"})
    assert found == {"number_birth_year": ("date_of_birth",), "expiry": ("date_of_birth",)}


class Note(BaseModel):
    """A user's schema, which names no equations."""

    a: Decimal | None = None
    b: Decimal | None = None
    checks: ClassVar = ()


def both(note: Note) -> list[CheckResult]:
    assert note.a is not None and note.b is not None
    return [equal("both", ("a", "b"), note.a, note.b, "{expected} and {found}")]


def test_a_users_rule_accuses_all_that_it_looked_at_unless_it_is_an_equation() -> None:
    note = Note(a=Decimal(10), b=Decimal(12))
    [check] = both(note)
    assert pointed(note, [check], ()) == [check] and check.accused == ("a", "b")
    known = Note(a=Decimal(10), b=Decimal(12))

    def ten(note: Note) -> list[CheckResult]:
        assert note.a is not None
        return [equal("ten", ("a",), Decimal(10), note.a, "{expected}")]

    assert [one.accused for one in pointed(known, [check], (both, ten))] == [("b",)]


class Basket(BaseModel):
    """With rules that look at it in ways of their own; each is off by 5."""

    apples: Decimal = Decimal(0)
    pears: Decimal = Decimal(0)
    both: Decimal = Decimal(0)
    note: str | None = None
    more: list[Decimal] = []

    def added(self) -> Decimal:
        return self.apples + self.pears


def says(both: Decimal, found: Decimal) -> CheckResult:
    return equal("both", ("apples", "pears", "both"), both, found, "{expected}, {found}")


LOOKING: dict[str, Any] = {
    "values": lambda b: [says(b.apples + b.pears, b.both)],
    "a method": lambda b: [says(b.added(), b.both)],
    "a dump": lambda b: [says(sum((b.model_dump()[n] for n in ("apples", "pears")), Decimal(0)), b.both)],
    "its items": lambda b: [says(dict(b)["apples"] + dict(b)["pears"], dict(b)["both"])],
    "its kind": lambda b: [says(b.apples + b.pears, b.both)] if isinstance(b, Basket) else [],
    "itself": lambda b: [says(b.apples + b.pears, b.both)] if b != Basket() else [],
    "vars": lambda b: [says(vars(b)["apples"] + vars(b)["pears"], vars(b)["both"])],
}


@pytest.mark.parametrize("rule", LOOKING.values(), ids=LOOKING)
def test_however_a_rule_looks_at_a_record_what_it_did_not_see_alone_is_left_out(rule: Any) -> None:
    basket = Basket(apples=Decimal(12), pears=Decimal(7), both=Decimal(24), note="x")
    other = equal("pears", ("pears",), Decimal(7), basket.pears, "{expected}, {found}")

    def pears(b: Any) -> list[CheckResult]:
        return [equal("pears", ("pears",), Decimal(7), b.pears, "{expected}, {found}")]

    [found, _] = pointed(basket, [*rule(basket), other], (rule, pears))
    assert found.suspects == ("apples",), "17 and 7 are 24: one digit, and the pears are cleared"


@pytest.mark.medium
def test_the_search_asks_only_rules_that_saw_the_value_and_finds_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def searched() -> list[list[CheckResult]]:
        return [resolve("invoice@1").checks(record) for record in planted()]

    quick = searched()
    monkeypatch.setattr("schemas.suspects.touches", lambda looked_at, changed: True)
    assert searched() == quick
    assert sum(not check.passed for checks in quick for check in checks) > 50


def planted() -> Iterator[dict[str, Any]]:
    """Each figure of invoices with another digit."""
    for base in (INVOICE, {**INVOICE, "net": None}, {**INVOICE, "vat": None}):
        for name in ("series", "issue_date", "net", "vat", "total"):
            for off in ("1", "7"):
                if base[name] is not None and base[name][-1] != off:
                    yield {**base, name: base[name][:-1] + off}
        for place, item in enumerate(base["lines"]):
            for name in ("quantity", "unit_price", "amount"):
                yield {**base, **line(place, **{name: f"{item[name]}3"})} | {"net": base["net"]}


class Counted(BaseModel):
    """A list that is counted, and a count that is off."""

    lines: list[Decimal] = []
    count: Decimal | None = None


@pytest.mark.parametrize("lines", [10, 20_000])
def test_a_paper_of_thousands_of_lines_is_not_gone_through_a_thousand_times(lines: int) -> None:
    asked = 0

    def counted(paper: Counted) -> Iterator[CheckResult]:
        nonlocal asked
        asked += 1
        assert paper.count is not None
        found = Decimal(len(paper.lines))
        yield equal("count", ("count",), found, paper.count, "{expected} and {found}")

    values = [Decimal(value) for value in range(100)]

    def mends(_: Counted, __: CheckResult) -> Iterator[tuple[str, Any]]:
        yield from (("count", value) for value in values)

    paper = Counted(lines=[Decimal(1)] * lines, count=Decimal(-1))
    pointed(paper, list(counted(paper)), (counted,), mends)
    assert (asked > len(values)) is (lines == 10)
