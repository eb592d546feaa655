"""VAT invoices (form 01/GTGT): who, what, and the arithmetic, decided before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from random import Random

from pipeline.specimens.fonts import INVOICE_SETS
from pipeline.specimens.form import absent
from pipeline.specimens.people import between
from pipeline.specimens.specimen import Value
from pipeline.specimens.trade import Company, Trade, amount
from schemas.words import to_words

LAYOUTS = {
    "standard": ("ruled", "plain"),
    "held-out": ("open",),
    "varied": ("ruled-varied", "plain-varied"),
}
RATES = ("10%", "8%", "5%", "0%", "KCT")
_SOLD_BY_WEIGHT = ("Kg", "Mét", "m3")
_LINE_COUNTS = ((1, 5), (6, 15), (16, 30), (31, 60))


@dataclass(frozen=True, slots=True)
class Line:
    no: int
    name: str
    unit: str
    quantity: Decimal
    unit_price: Decimal
    amount: int
    rate: str


@dataclass(frozen=True, slots=True)
class RateTotal:
    """What one VAT rate comes to: net, tax, and both."""

    rate: str
    net: int
    vat: int


@dataclass(frozen=True, slots=True)
class Bill:
    """Everything about an invoice before it is drawn. `rates` has one entry a VAT rate, highest first."""

    layout: str
    family: str
    regular: str
    bold: str
    size: float  # of the body type, pixels
    row_pitch: float  # height of a table row, in sizes
    plan: dict[str, Value]
    left_out: dict[str, bool]
    lines: tuple[Line, ...]
    rates: tuple[RateTotal, ...]
    point: str  # the sign between thousands
    combined_series: bool  # form digit and series printed together
    buyer_person: str | None  # a natural person beside the buying company


def plan(
    rng: Random, fonts: str, layouts: str, blank: float, invented: float, most_lines: int | None = None
) -> Bill:
    family = rng.choice(INVOICE_SETS[fonts])
    layout = rng.choice(LAYOUTS[layouts])
    trade = Trade(rng, invented)
    point = rng.choice(".,")
    several = rng.random() < 0.35
    lines = _lines(rng, trade, several, most_lines)
    rates = _rates(lines)
    combined = rng.random() < 0.6
    values = _heading(rng, trade, combined)
    values |= _printed_lines(lines, point, several)
    values |= _totals(rng, rates, point, several)
    left_out = absent(rng, [path for path in values if not path.startswith("lines")], blank)
    left_out |= dict.fromkeys(absent(rng, [p for p in values if p.startswith("lines")], blank), True)
    return Bill(
        layout=layout,
        family=family.name,
        regular=family.regular,
        bold=family.bold,
        size=rng.uniform(25, 30),
        row_pitch=rng.choice((1.5, 1.7, 2.0, 2.4)),
        plan=values,
        left_out=left_out,
        lines=lines,
        rates=rates,
        point=point,
        combined_series=combined,
        buyer_person=trade.people.name("Nam") if rng.random() < 0.4 else None,
    )


def _lines(rng: Random, trade: Trade, several: bool, most: int | None) -> tuple[Line, ...]:
    counts = rng.choices(_LINE_COUNTS, (5, 4, 2, 3))[0] if most is None else (1, most)
    count = rng.randint(*counts)
    one = rng.choices(RATES, (4, 6, 1, 1, 1))[0]
    few = rng.sample(RATES[:3] + RATES[4:], k=rng.randint(2, 3))
    lines = []
    for no in range(1, count + 1):
        name, unit, price = trade.good()
        rate = rng.choice(few) if several else one
        quantity = Decimal(
            rng.choices((rng.randint(1, 9), rng.randint(10, 99), rng.randint(100, 2500)), (6, 3, 1))[0]
        )
        unit_price = Decimal(price)
        if unit in _SOLD_BY_WEIGHT and rng.random() < 0.5:
            quantity += Decimal(rng.choice(("0.5", "0.25", "0.75", "0.2")))
        if rng.random() < 0.08:
            unit_price += Decimal(rng.choice(("0.5", "0.25")))
        lines.append(Line(no, name, unit, quantity, unit_price, _round(quantity * unit_price), rate))
    return tuple(lines)


def _rates(lines: tuple[Line, ...]) -> tuple[RateTotal, ...]:
    totals = []
    for rate in RATES:
        net = sum(line.amount for line in lines if line.rate == rate)
        if any(line.rate == rate for line in lines):
            percent = Decimal(0) if rate == "KCT" else Decimal(rate.rstrip("%"))
            totals.append(RateTotal(rate, net, _round(net * percent / 100)))
    return tuple(totals)


def _round(value: Decimal) -> int:
    """To whole đồng, halves up."""
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def _heading(rng: Random, trade: Trade, combined: bool) -> dict[str, Value]:
    day = between(rng, date(2023, 7, 1), date(2026, 10, 31))
    letters = "".join(rng.choice("ABCDEGHKLMNPQRSTUVXY") for _ in range(2))
    series = f"{rng.choice('CCCK')}{day:%y}{rng.choice('TTTMD')}{letters}"
    number = str(rng.randint(1, 99_999)) if rng.random() < 0.5 else f"{rng.randint(1, 99_999):08d}"
    seller, buyer = trade.company(), trade.company()
    values = {}
    if not combined:
        values["form_no"] = _same("1")
    values["series"] = _same(f"1{series}" if combined else series)
    values["number"] = _same(number)
    if rng.random() < 0.5:
        words = f"Ngày {day.day:02d} tháng {day.month:02d} năm {day.year}"
        values["issue_date"] = Value(words, day.isoformat())
    else:
        values["issue_date"] = Value(f"{day:%d/%m/%Y}", day.isoformat())
    if series[0] == "C":
        values["tax_authority_code"] = _same("".join(rng.choices("0123456789ABCDEF", k=34)))
    values |= _party("seller", seller) | _party("buyer", buyer)
    if rng.random() < 0.15:
        del values["buyer_tax_code"]
    values["payment_method"] = _same(rng.choice(("TM/CK", "Chuyển khoản", "Tiền mặt", "CK")))
    if rng.random() < 0.6:
        values["currency"] = _same("VND")
    if rng.random() < 0.12:
        earlier = between(rng, date(2023, 1, 1), day)
        verb = rng.choice(("Thay thế", "Điều chỉnh"))
        old = f"{verb} cho hóa đơn ký hiệu {series} số {rng.randint(1, 9999)} ngày {earlier:%d/%m/%Y}"
        values["related_invoice"] = _same(old)
    return values


def _party(role: str, company: Company) -> dict[str, Value]:
    return {
        f"{role}_name": _same(company.name),
        f"{role}_tax_code": _same(company.tax_code),
        f"{role}_address": _same(company.address),
    }


def _same(text: str) -> Value:
    return Value(text, text)


def _printed_lines(lines: tuple[Line, ...], point: str, several: bool) -> dict[str, Value]:
    values = {}
    for index, line in enumerate(lines):
        prefix = f"lines[{index}]."
        values[f"{prefix}no"] = Value(str(line.no), line.no)
        values[f"{prefix}name"] = _same(line.name)
        values[f"{prefix}unit"] = _same(line.unit)
        values[f"{prefix}quantity"] = Value(amount(line.quantity, point), plain(line.quantity))
        values[f"{prefix}unit_price"] = Value(amount(line.unit_price, point), plain(line.unit_price))
        values[f"{prefix}amount"] = Value(amount(line.amount, point), str(line.amount))
        if several:
            values[f"{prefix}vat_rate"] = _same(line.rate)
    return values


def _totals(rng: Random, rates: tuple[RateTotal, ...], point: str, several: bool) -> dict[str, Value]:
    net, vat = sum(rate.net for rate in rates), sum(rate.vat for rate in rates)
    values = {"net": Value(amount(net, point), str(net))}
    if not several:
        values["vat_rate"] = _same(rates[0].rate)
    values["vat"] = Value(amount(vat, point), str(vat))
    values["total"] = Value(amount(net + vat, point), str(net + vat))
    words = to_words(net + vat)
    text = f"{words[0].upper()}{words[1:]} đồng{rng.choice(('', ' chẵn', '.'))}"
    values["total_in_words"] = _same(text)
    return values


def plain(value: Decimal) -> str:
    """Without an exponent and without idle zeros."""
    return format(value.normalize(), "f")
