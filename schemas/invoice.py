"""The value-added-tax invoice (hóa đơn GTGT, form 01/GTGT), as displayed in PDF or on paper.

Its rules: arithmetic, words against digits, tax codes, numbering, rates of the day. Printed figures add up
exactly but for what their own rounding explains (schemas/sums.py). A miss never rejects an invoice: it sends
it to a person.

`invoice@1` asks the model for what every invoice has; what it has beside, it takes from XML alone.
`invoice@2` asks for all of it: discounts, fees, the exchange rate, what each rate comes to (Decree 254/2026
names them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from schemas import checks, columns, currencies, invoice_parts, invoice_qr, law, reading_day, sums
from schemas import numbering as numbers
from schemas import vat as rates
from schemas.checks import CheckResult, Rule, equal, figure, summed
from schemas.currencies import DONG, coin
from schemas.evidence import Evidence
from schemas.fields import (
    STRUCK_OUT,
    AmountInWords,
    AuthorityCode,
    Currency,
    DiscountRate,
    FormNumber,
    InvoiceNumber,
    LineNature,
    LineNumber,
    Money,
    Quantity,
    Series,
    TaxCode,
    Text,
    UnitPrice,
    VatRate,
    VnDate,
)
from schemas.in_xml import InXml, Part
from schemas.invoice_bears import EXPECTED, REQUIRED, REQUIRED_OF_LINE, adjusts, has_amounts
from schemas.sums import Span
from schemas.text import unaccented
from schemas.words import from_words, to_words


def _data(*paths: str, **how: Any) -> InXml:
    """Where a field stands in the XML of an e-invoice, in its part that the seller signs."""
    return InXml(*(f"DLHDon/{path}" for path in paths), **how)


# Some put it beside the invoice, into the message that brings it.
_AUTHORITY_CODE = InXml("MCCQT", "DLHDon/MCCQT", "DLHDon/TTChung/MCCQT", around=("MCCQT",))
_BUYER = _data("NDHDon/NMua/Ten", "NDHDon/NMua/HVTNMHang")  # the firm, else the person who buys
_LINES = _data("NDHDon/DSHHDVu/HHDVu")
# The layout has no element for a line's tax: Viettel and VNPT write one of their own, and others have it
# among their fields, each under a name of its own. "OC" is the invoice's currency, beside which đồng stand.
_LINE_VAT_NAMES = (
    *("VATAmountOC", "VATAmount", "AmountVAT", "VAT_Amount", "TaxAmount", "TThue", "TTThue", "TienThue"),
    *("TTienThue", "TongTien_Thue", "TienThueGTGT", "ThueGTGT", "Tiền thuế", "Tiền thuế GTGT", "Thuế GTGT"),
    *("Tiền thuế dòng", "Tiền thuế dòng (Tiền thuế GTGT)", "Tiền thuế sản phẩm"),
)
_LINE_VAT = InXml("TThue", *(f"TTKhac/TTin[TTruong={name}]/DLieu" for name in _LINE_VAT_NAMES))
_FEES = _data("NDHDon/TToan/TgTPhi", "NDHDon/TToan/DSLPhi/LPhi/TPhi", sole=True)
_RATE = _data("NDHDon/TToan/THTTLTSuat/LTSuat/TSuat", "NDHDon/TToan/TSuat", sole=True)
# Some have it among their own fields, of the buyer or of the whole.
_PAYMENT = _data(
    "TTChung/HTTToan",
    "NDHDon/NMua/TTKhac/TTin[TTruong=PaymentMethod]/DLieu",
    "TTKhac/TTin[TTruong=PaymentMethod]/DLieu",
    "TTKhac/TTin[TTruong=PaymentTerm]/DLieu",
)
_RELATED = _data(
    "TTChung/TTHDLQuan",
    "TTHDLQuan",
    parts=(
        Part("TCHDon", words={"0": "", "1": "Thay thế cho hóa đơn", "2": "Điều chỉnh cho hóa đơn"}),
        Part("KHMSHDCLQuan", "mẫu số"),
        Part("KHHDCLQuan", "ký hiệu", names=True),
        Part("SHDCLQuan", "số", names=True),
        Part("NLHDCLQuan", "ngày"),
        Part("SBKCLQuan", "theo bảng kê"),  # of many invoices that one corrects (Decree 70/2025)
        Part("NBKCLQuan", "ngày"),
    ),
    free="GChu",
)


def line_numbers(invoice: Invoice) -> Iterator[CheckResult]:
    """The printed line numbers run 1, 2, 3 …: a gap is a line that was not read.

    They may begin anew (a part for each rate) where the amounts show that no line is missing or doubled. Some
    programs write 0 where a line has no number.
    """
    lines = [
        (place, line.no)
        for place, line in enumerate(invoice.lines, 1)
        if line.no is not None and _is_numbered(invoice, line)
    ]
    numbers = [number for _, number in lines]
    if not numbers:
        return
    expected = list(range(1, len(numbers) + 1))
    anew = all(now in (1, before + 1) for before, now in pairwise((0, *numbers)))
    places = [place for place, _ in lines]
    passed = numbers in (expected, places) or (anew and _balanced(invoice))
    paths = tuple(f"lines[{place - 1}].no" for place in places)
    astray = tuple(path for path, found, due in zip(paths, numbers, expected, strict=True) if found != due)
    sequence = "run without a gap" if passed else "do not run 1, 2, 3 …: a line may be missing or doubled"
    yield CheckResult(
        "line_numbers",
        passed,
        "warning",
        f"the line numbers {sequence}",
        paths,
        f"1 to {len(numbers)}",
        ", ".join(map(str, numbers)),
        None if passed else astray if len(astray) == 1 else ("lines",),
    )


def _is_numbered(invoice: Invoice, line: InvoiceLine) -> bool:
    """Whether the line's number is one, and not a 0 of a note or of a table without numbers."""
    if line.no == 0:
        return not sums.is_note(line) and any(other.no for other in invoice.lines)
    return True


def gaps(invoice: Invoice) -> Iterator[CheckResult]:
    """Each line has what the rest of the table has."""
    if has_amounts(invoice):
        yield from columns.gaps(invoice.lines)
    if invoice.vat_rate is None:
        yield from columns.rates(invoice.lines)


def days(invoice: Invoice) -> Iterator[CheckResult]:
    """The day of issue had come when the invoice was read."""
    yield from reading_day.future(issue_date=invoice.issue_date)


def line_amounts(invoice: Invoice) -> Iterator[CheckResult]:
    """quantity × unit price, less the line's discount, = amount on each line."""
    yield from checks.line_amounts(invoice.lines, coin(invoice.currency), balanced=lambda: _balanced(invoice))


def line_vats(invoice: Invoice) -> Iterator[CheckResult]:
    """The tax of a line is not a thousandth of what its rate makes of its amount.

    It stands among an issuer's own fields, where "40.000" may be forty thousand.
    """
    unit = coin(invoice.currency)
    for i, line in enumerate(invoice.lines):
        if not line.vat or line.amount is None or line.vat_rate is None or not _is_one_rate(line.vat_rate):
            continue
        due = sums.rounded(line.amount * rates.percent(line.vat_rate), unit)
        if due.holds(line.vat * 1000) and not due.holds(line.vat):
            message = f"line {i + 1}: {line.vat_rate} of {figure(line.amount)} is {figure(due.exact)}, "
            message += f"the tax is {figure(line.vat)}: they differ by {figure(abs(due.exact - line.vat))}"
            fields = tuple(f"lines[{i}].{name}" for name in ("amount", "vat_rate", "vat"))
            expected, found = figure(due.exact, ""), figure(line.vat, "")
            suspects = (f"lines[{i}].vat",)
            yield CheckResult("line_vat", False, "error", message, fields, expected, found, suspects)


def net(invoice: Invoice) -> Iterator[CheckResult]:
    """The amounts of the lines add up to the net; where no net is printed, with the VAT to the total."""
    if (bare := _without_amounts(invoice)) is not None:
        yield bare
    elif invoice.net is not None:
        spans = tuple(_nets(invoice, invoice.net))
        yield from summed(
            "net", ("lines", "net"), spans, invoice.net, "the lines add up to {}, the net is {}"
        )
    elif invoice.total is not None and (tax := _tax(invoice)) is not None:
        rest = tax + _fees(invoice) - _discount(invoice) - _reductions(invoice)
        spans = tuple(
            sums.rounded(sum(amounts, Decimal(0)) + extra, coin(invoice.currency))
            for amounts in sums.charged(invoice.lines)
            for extra in dict.fromkeys((rest, rest - tax))  # amounts may hold the VAT
        )
        what = "the lines and the VAT make {}, the total is {}"
        yield from summed("total", ("lines", "vat", "total"), spans, invoice.total, what)


def _without_amounts(invoice: Invoice) -> CheckResult | None:
    """A failed check where a sum is printed and all lines are remarks: those of goods were not read."""
    name, printed = ("net", invoice.net) if invoice.net is not None else ("total", invoice.total)
    if not printed or not invoice.lines or adjusts(invoice):
        return None
    if not all(sums.is_note(line) and line.amount is None for line in invoice.lines):
        return None
    message = f"no line has an amount, the {name} is {figure(printed)}"
    return CheckResult(name, False, "error", message, ("lines", name), None, figure(printed, ""), ("lines",))


def vat(invoice: Invoice) -> Iterator[CheckResult]:
    """The VAT is that of the net at the invoice's rate, or else of the lines or of each rate's own total."""
    if invoice.vat is None:
        return
    if invoice.by_rate:
        yield from _vat_by_rate(invoice, invoice.vat)
        return
    rate = _single_rate(invoice)
    if rate is not None:
        spans = tuple(_vat_of_net(invoice, rates.percent(rate)))
        what = f"{rate} of the net is {{}}, the VAT is {{}}"
        yield from summed("vat", ("net", "vat_rate", "vat"), spans, invoice.vat, what)
    else:
        spans = tuple(_vat_of_lines(invoice))
        what = "the VAT of the lines at their rates is {}, the VAT is {}"
        yield from summed("vat", ("lines", "vat"), spans, invoice.vat, what)


def total(invoice: Invoice) -> Iterator[CheckResult]:
    """net + VAT + fees - discount - reductions = total; the net may have either taken off already.

    Without a printed VAT only where the rate says that none is charged.
    """
    if invoice.net is None or invoice.total is None or (tax := _tax(invoice)) is None:
        return
    if invoice.vat is None and _single_rate(invoice) is None:
        return
    whole = invoice.net + tax + _fees(invoice)
    discounts, reductions = {Decimal(0), _discount(invoice)}, {Decimal(0), _reductions(invoice)}
    spans = [sums.rounded(whole - a - b, coin(invoice.currency)) for a in discounts for b in reductions]
    what = "net and VAT make {}, the total is {}"
    if _fees(invoice) or invoice.discount or _reductions(invoice):
        what = "net, VAT, fees and discount make {}, the total is {}"
    yield from summed("total", ("net", "vat", "total"), spans, invoice.total, what)
    if (implied := _implied_discount(invoice)) is not None:
        message = (
            f"the total, the VAT and the words agree on a discount of {figure(implied)}, which was not read"
        )
        yield CheckResult(
            "discount_implied", False, "info", message, ("net", "vat", "total"), figure(implied, "")
        )


def total_in_words(invoice: Invoice) -> Iterator[CheckResult]:
    """The amount in words says the same as the digits, and the same currency; read for đồng only."""
    if invoice.total is None or invoice.total_in_words is None:
        return
    fields = ("total", "total_in_words")
    named = currencies.in_words(invoice.total_in_words)
    if named not in (None, invoice.currency or DONG):
        message = f"the amount in words is in {named}, the currency is {invoice.currency or 'not printed'}"
        where = (*fields, "currency")
        yield CheckResult("currency", False, "warning", message, where, named, invoice.currency)
        return
    if invoice.currency not in (None, DONG):
        return
    try:
        amount = Decimal(from_words(invoice.total_in_words))
    except ValueError as error:
        message = f"the amount in words cannot be read: {error}"
        printed = figure(invoice.total, "")
        yield CheckResult(
            "total_in_words", False, "warning", message, fields, printed, invoice.total_in_words
        )
        return
    if amount < 0 < invoice.total == -amount:  # "Giảm …" in words, and no sign at the digits
        message = f"the words say that {figure(invoice.total)} is taken off; the digits have no sign"
        yield CheckResult(
            "total_sign", False, "info", message, fields, figure(amount, ""), figure(invoice.total, "")
        )
        amount = -amount
    elif invoice.total < 0 < amount == -invoice.total and adjusts(invoice):  # the words may lack the sign
        message = f"the digits say that {figure(amount)} is taken off; the words do not"
        yield CheckResult(
            "total_sign", False, "info", message, fields, figure(-amount, ""), figure(invoice.total, "")
        )
        amount = -amount
    yield equal(
        "total_in_words",
        fields,
        amount,
        invoice.total,
        "the words say {expected}, the digits {found}",
    )


def coins(invoice: Invoice) -> Iterator[CheckResult]:
    """A total in đồng is whole: with decimals it is in another currency, or was misread."""
    if invoice.total is None or invoice.currency not in (None, DONG):
        return
    passed = invoice.total == invoice.total.to_integral_value()
    message = f"the total {figure(invoice.total)} {'is whole' if passed else 'has decimals; đồng have none'}"
    fields = ("total", "currency")
    yield CheckResult("coins", passed, "warning", message, fields, None, figure(invoice.total, ""))


def tax_codes(invoice: Invoice) -> Iterator[CheckResult]:
    """Check digits of both parties' tax codes, which are not one."""
    seller, buyer = invoice.seller_tax_code, invoice.buyer_tax_code
    yield from checks.tax_code("seller_tax_code", seller, invoice.issue_date)
    yield from checks.tax_code("buyer_tax_code", buyer, invoice.issue_date)
    if seller is None or buyer is None:
        return
    # Goods for a firm's own use or as gifts are invoiced to itself, and then the buyer's name says so too.
    own = seller == buyer and not _for_own_use(invoice)
    message = f"seller and buyer have {'the same tax code' if seller == buyer else 'tax codes of their own'}"
    fields = ("seller_tax_code", "buyer_tax_code")
    yield CheckResult("parties", not own, "warning", message, fields, None, buyer)


def numbering(invoice: Invoice) -> Iterator[CheckResult]:
    """Form digit, series, number and authority code are as the law says, and fit each other and the year."""
    series = numbers.series(invoice.series) if invoice.series is not None else None
    if invoice.series is not None:
        yield from _series(invoice, invoice.series, series)
    if invoice.number is not None:
        most = 7 if series is not None and series.age == "old" else 8
        length = len(invoice.number)
        message = f"the number {invoice.number} has {length} digits, at most {most} are allowed"
        yield CheckResult(
            "number", length <= most, "warning", message, ("number",), f"at most {most}", str(length)
        )
    if invoice.tax_authority_code is not None:
        yield from _authority_code(invoice.tax_authority_code, series)


def vat_rates(invoice: Invoice) -> Iterator[CheckResult]:
    """Each VAT rate existed on the day of the invoice, or before it where an earlier invoice is adjusted."""
    printed: dict[str, list[str]] = {}
    for path, text in [
        ("vat_rate", invoice.vat_rate),
        *((f"lines[{i}].vat_rate", line.vat_rate) for i, line in enumerate(invoice.lines)),
        *((f"by_rate[{i}].rate", row.rate) for i, row in enumerate(invoice.by_rate)),
    ]:
        for rate in rates.rates(text) if text is not None else ():
            printed.setdefault(rate, []).append(path)
    day = invoice.issue_date
    for rate, paths in printed.items():
        passed = rates.in_force(rate, day, or_before=invoice.related_invoice is not None)
        when = f"on {day}" if day else "on any day"
        message = f"the VAT rate {rate} was {'' if passed else 'not '}in force {when}"
        yield CheckResult("vat_rate", passed, "warning", message, ("issue_date", *paths), None, rate)


def _series(invoice: Invoice, printed: str, series: numbers.Series | None) -> Iterator[CheckResult]:
    old = series is not None and series.age == "old"
    passed = series is not None and (
        not old or law.holds(law.in_force().old_invoice_forms, invoice.issue_date)
    )
    message = f"the series {printed} {'has' if passed else 'does not have'} the form of C26TAA"
    if old:
        message = f"the series {printed} is of a form that was {'' if passed else 'not '}in use then"
    expected = "C or K, year, type, two letters"
    yield CheckResult("series", passed, "warning", message, ("series",), expected, printed)
    if series is None:
        return
    if invoice.form_no is not None:
        yield from _form(invoice.form_no, printed, series)
    if invoice.issue_date is not None:
        issued = f"{invoice.issue_date:%y}"
        passed = series.year <= issued if old else series.year == issued  # printed ones were used up later
        message = f"the series {printed} is of 20{series.year}, the invoice of {invoice.issue_date.year}"
        fields = ("series", "issue_date")
        yield CheckResult("series_year", passed, "warning", message, fields, issued, series.year)


def _form(form_no: str, printed: str, series: numbers.Series) -> Iterator[CheckResult]:
    fields = ("form_no", "series")
    if series.age == "old":
        passed = numbers.is_old_form(form_no)
        message = f"the form number {form_no} {'goes' if passed else 'does not go'} with the series {printed}"
        yield CheckResult("form_no", passed, "warning", message, fields, "like 01GTKT0/001", form_no)
        return
    digit = numbers.form_digit(form_no)
    passed = digit is not None and digit == (series.form or digit)
    begins = f"begins with form {series.form}" if series.form else "is of a form from 1 to 9"
    message = f"the series {begins}, the form number is {form_no}"
    yield CheckResult("form_no", passed, "warning", message, fields, series.form or "1 to 9", form_no)


def _authority_code(code: str, series: numbers.Series | None) -> Iterator[CheckResult]:
    form = numbers.authority_code(code)
    kind = _CODE_FORMS[form[0] if form else None]
    message = f"the tax authority's code has {len(code)} characters, and the form of {kind}"
    expected = "34 characters, or like M1-26-ABCDE-00000000001"
    field = ("tax_authority_code",)
    yield CheckResult("tax_authority_code", form is not None, "warning", message, field, expected, code)
    if series is None or series.code is None:
        return
    passed = series.code == "C"
    message = f"the series says that the invoice has {'a' if passed else 'no'} code of the tax authority"
    yield CheckResult("series_code", passed, "warning", message, ("series", *field), "C", series.code)
    if form is not None and form[0] == "register":
        passed = series.kind == "M" and form[1] == series.year
        message = f"the code is that of a cash register in 20{form[1]}, the series one of 20{series.year}"
        found = f"{series.kind}{series.year}"
        yield CheckResult(
            "register_code", passed, "warning", message, ("series", *field), f"M{form[1]}", found
        )


_CODE_FORMS = {
    "sent": "an invoice that was sent there",
    "register": "a cash register's invoice",
    None: "neither kind",
}


def _for_own_use(invoice: Invoice) -> bool:
    """Whether the paper says that a firm invoices itself: its name stands twice and words say why."""
    names = [unaccented(name).casefold() for name in (invoice.seller_name, invoice.buyer_name) if name]
    words = (invoice.buyer_name, invoice.payment_method, *(line.name for line in invoice.lines))
    said = " ".join(unaccented(text).casefold() for text in words if text)
    return (
        len(names) == 2
        and names[0] in names[1]
        and bool(re.search(r"noi bo|tieu dung|bieu|tang|khuyen mai", said))
    )


def _nets(invoice: Invoice, printed: Decimal) -> Iterator[Span]:
    """What the net may be by the lines."""
    unit = coin(invoice.currency)
    of_lines = sum((abs(line.discount or Decimal(0)) for line in invoice.lines), Decimal(0))
    for amounts in sums.charged(invoice.lines):
        for off in {Decimal(0), _discount(invoice), of_lines}:
            yield sums.rounded(sum(amounts, Decimal(0)) - off, unit)
        if invoice.vat is not None and invoice.total == printed + invoice.vat:
            yield sums.rounded(sum(amounts, Decimal(0)) - invoice.vat, unit)  # the amounts hold the VAT
    yield from sums.unrounded(invoice.lines, printed, unit)


def _balanced(invoice: Invoice) -> bool:
    """Whether the amounts, as printed or with a discount's sign, add up to the net, or else to the total."""
    targets = {invoice.net} if invoice.net is not None else {invoice.total}
    return any(sum(amounts) in targets for amounts in sums.charged(invoice.lines))


def _single_rate(invoice: Invoice) -> str | None:
    """The rate that all of the invoice has; None where several are named or lines have their own, and where
    its percentage is not known.
    """
    if invoice.vat_rate in (None, rates.UNDETERMINED) or len(rates.rates(invoice.vat_rate)) > 1:
        return None
    own = {line.vat_rate for line in invoice.lines} - {None, invoice.vat_rate}
    return None if invoice.vat_rate == STRUCK_OUT and own else invoice.vat_rate


def _tax(invoice: Invoice) -> Decimal | None:
    """The VAT; 0 where none is printed and no rate says that any is charged. None: it was not read."""
    if invoice.vat is not None:
        return invoice.vat
    named = [invoice.vat_rate, *(line.vat_rate for line in invoice.lines)]
    charged = any(rates.percent(rate) for text in named if text is not None for rate in rates.rates(text))
    return None if charged else Decimal(0)


def _fees(invoice: Invoice) -> Decimal:
    if invoice.fees is not None:
        return invoice.fees
    return sum((fee.amount for fee in invoice.each_fee if fee.amount is not None), Decimal(0))


def _reductions(invoice: Invoice) -> Decimal:
    """What is taken off behind the VAT: it changes neither the net nor the tax."""
    return sum((one for one in (invoice.untaxed_reduction, invoice.other_reduction) if one), Decimal(0))


def _discount(invoice: Invoice) -> Decimal:
    """What is taken off below the sum of the lines."""
    return abs(invoice.discount or _implied_discount(invoice) or Decimal(0))


def _implied_discount(invoice: Invoice) -> Decimal | None:
    """A discount below the sum that no field holds, where everything else agrees on it.

    The lines add up to the net, the VAT is that of what the total leaves, and the words say the total: each
    of these figures has a witness of its own.
    """
    rate = _single_rate(invoice)
    if None in (invoice.net, invoice.vat, invoice.total, invoice.total_in_words, rate):
        return None
    if _fees(invoice) or _reductions(invoice):
        return None
    assert (
        invoice.net is not None and invoice.vat is not None and invoice.total is not None and rate is not None
    )
    off = invoice.net + invoice.vat - invoice.total
    paid = invoice.total - invoice.vat
    share = rates.percent(rate)
    if invoice.discount is not None or not share or not 0 < off < invoice.net or not _balanced(invoice):
        return None
    if off == invoice.vat:
        return None  # what is printed as the net is the total once more
    if len(tuple(sums.charged(invoice.lines))) > 1:
        return None  # a line that may be a gift or a discount itself would explain the same figures
    unit = coin(invoice.currency)
    of_net = sums.rounded(invoice.net * share, unit)
    agreed = sums.rounded(paid * share, unit).holds(invoice.vat) and not of_net.holds(invoice.vat)
    try:
        return off if agreed and from_words(str(invoice.total_in_words)) == invoice.total else None
    except ValueError:
        return None


def _vat_of_net(invoice: Invoice, share: Decimal) -> Iterator[Span]:
    """What the VAT may be at one rate: of the net, or of each line, with the discount below or without it."""
    unit = coin(invoice.currency)
    charged = tuple(sums.charged(invoice.lines))
    if invoice.net is not None:
        bases = [invoice.net]
    else:
        bases = [sum(amounts, Decimal(0)) for amounts in charged]
        if not bases and invoice.total is not None and invoice.vat is not None:
            bases = [invoice.total - invoice.vat - _fees(invoice)]
    for base in bases:
        for off in {Decimal(0), _discount(invoice)}:
            yield sums.rounded((base - off) * share, unit)
    for amounts in charged:
        if sum(amounts) in bases:
            yield sums.total(sums.rounded(amount * share, unit) for amount in amounts)
    yield from _tax_of_lines(invoice)


def _vat_of_lines(invoice: Invoice) -> Iterator[Span]:
    """What the VAT may be by the lines' own rates; nothing where the rate of a line was not read."""
    unit = coin(invoice.currency)
    off = _discount(invoice)
    for amounts in sums.charged(invoice.lines):
        taxed = [
            (amount, line.vat_rate) for amount, line in zip(amounts, invoice.lines, strict=True) if amount
        ]
        if not all(_is_one_rate(rate) for _, rate in taxed):
            return
        shares = [rates.percent(str(rate)) for _, rate in taxed] or [Decimal(0)]
        made = sums.total(
            sums.rounded(amount * share, unit) for (amount, _), share in zip(taxed, shares, strict=False)
        )
        yield made
        if off:  # it is not said of which rate
            of_rates = Span(
                off * min(shares) - unit, off * sum(shares) / len(shares), off * max(shares) + unit
            )
            yield Span(made.low - of_rates.high, made.exact - of_rates.exact, made.high - of_rates.low)
    yield from _tax_of_lines(invoice)


def _is_one_rate(rate: str | None) -> bool:
    """Whether it says how much the tax is."""
    return rate is not None and rate != rates.UNDETERMINED and len(rates.rates(rate)) == 1


def _tax_of_lines(invoice: Invoice) -> Iterator[Span]:
    """The sum of the tax that stands on each line; and none, where discounts alone are invoiced."""
    taxes = [line.vat for line in invoice.lines if not sums.is_note(line)]
    if taxes and None not in taxes:
        yield Span.of(sum((tax for tax in taxes if tax is not None), Decimal(0)))
    amounts = [line.amount for line in invoice.lines if line.amount is not None]
    if amounts and max(amounts) <= 0:  # an issuer may write the rate, and no tax
        yield Span.of(Decimal(0))
    if invoice.vat is not None and not any(amounts) and not invoice.net and adjusts(invoice):
        yield Span.of(invoice.vat)  # the rate alone was wrong


def _vat_by_rate(invoice: Invoice, printed: Decimal) -> Iterator[CheckResult]:
    """Each rate's total has the VAT of that rate, and together they are the VAT."""
    unit = coin(invoice.currency)
    rows = [(i, row) for i, row in enumerate(invoice.by_rate) if row.vat is not None]
    for i, row in rows:
        if row.net is None or row.vat is None or row.rate is None or not _is_one_rate(row.rate):
            continue
        share = rates.percent(row.rate)
        lines = [line for line in invoice.lines if line.vat_rate == row.rate and line.amount is not None]
        spans = [sums.rounded(row.net * share, unit)]
        if sum((line.amount for line in lines if line.amount is not None), Decimal(0)) == row.net:
            spans.append(sums.total(sums.rounded(line.amount * share, unit) for line in lines if line.amount))
        spans += _tax_of_lines(invoice) if len(rows) == 1 else ()
        paths = tuple(f"by_rate[{i}].{name}" for name in ("rate", "net", "vat"))
        what = f"{row.rate} of {figure(row.net)} is {{}}, the VAT of that rate is {{}}"
        yield from summed("vat", paths, spans, row.vat, what)
    if len(rows) == len(invoice.by_rate) or printed:
        made = sum((row.vat for _, row in rows if row.vat is not None), Decimal(0))
        what = "the rates' own VAT adds up to {}, the VAT is {}"
        # Some round the sum of the rates' VAT alone: 777,777.76 for a rate, 777,778 for all.
        yield from summed("vat", ("by_rate", "vat"), [sums.rounded(made, unit)], printed, what)


def _mends(invoice: Invoice, check: CheckResult) -> Iterator[tuple[str, str]]:
    """Another rate, and the words that the digits say."""
    if check.code in ("vat", "vat_rate"):
        for path in check.fields:
            if path.rpartition(".")[2] in ("vat_rate", "rate"):
                yield from ((path, period.rate) for period in law.in_force().vat_rates)
    total = invoice.total
    if check.code == "total_in_words" and total is not None and total == total.to_integral_value():
        yield "total_in_words", to_words(int(total))


class InvoiceLine(BaseModel):
    """Một dòng hàng hóa, dịch vụ"""

    product: ClassVar = ("quantity", "unit_price", "amount")
    required: ClassVar = REQUIRED_OF_LINE

    # Issuers number parts of a table too: A, II, 1.1.
    no: Annotated[LineNumber | None, InXml("STT", loose=True)] = Field(None, title="STT")
    name: Annotated[Text | None, InXml("THHDVu", "Ten")] = Field(None, title="Tên hàng hóa, dịch vụ")
    unit: Annotated[Text | None, InXml("DVTinh")] = Field(None, title="Đơn vị tính")
    quantity: Annotated[Quantity | None, InXml("SLuong")] = Field(None, title="Số lượng")
    unit_price: Annotated[UnitPrice | None, InXml("DGia")] = Field(None, title="Đơn giá")
    amount: Annotated[Money | None, InXml("ThTien")] = Field(None, title="Thành tiền")
    vat_rate: Annotated[VatRate | None, InXml("TSuat")] = Field(None, title="Thuế suất")
    discount_rate: Annotated[DiscountRate | None, InXml("TLCKhau")] = Field(None, title="Tỷ lệ chiết khấu")
    discount: Annotated[Money | None, InXml("STCKhau")] = Field(None, title="Tiền chiết khấu")
    vat: Annotated[Money | None, _LINE_VAT] = Field(None, title="Tiền thuế")
    nature: Annotated[LineNature | None, InXml("TChat")] = Field(None, title="Tính chất")

    unasked: ClassVar[tuple[str, ...]] = ("discount_rate", "discount", "vat", "nature")


class RateTotal(BaseModel):
    """Tổng hợp theo một thuế suất"""

    rate: Annotated[VatRate | None, InXml("TSuat")] = Field(None, title="Thuế suất")
    net: Annotated[Money | None, InXml("ThTien")] = Field(None, title="Thành tiền")
    vat: Annotated[Money | None, InXml("TThue")] = Field(None, title="Tiền thuế")


class Fee(BaseModel):
    """Một loại phí"""

    name: Annotated[Text | None, InXml("TLPhi")] = Field(None, title="Tên loại phí")
    amount: Annotated[Money | None, InXml("TPhi")] = Field(None, title="Tiền phí")


class Invoice(BaseModel):
    """Hóa đơn giá trị gia tăng"""

    unasked: ClassVar[tuple[str, ...]] = (
        *("exchange_rate", "discount", "fees", "each_fee", "by_rate"),
        *("untaxed_reduction", "other_reduction"),
    )

    checks: ClassVar[tuple[Rule, ...]] = (
        line_numbers,
        gaps,
        days,
        line_amounts,
        line_vats,
        net,
        invoice_parts.rate_nets,
        invoice_parts.fees,
        invoice_parts.line_discounts,
        vat,
        total,
        total_in_words,
        coins,
        tax_codes,
        numbering,
        vat_rates,
    )
    equations: ClassVar[tuple[Rule, ...]] = (
        line_numbers, line_amounts, net, invoice_parts.rate_nets, invoice_parts.fees,
        invoice_parts.line_discounts, vat, total, total_in_words, numbering, vat_rates,
    )  # fmt: skip
    mends: ClassVar = _mends
    # Not numbering: a series says the year of a date, and nothing of its day or of the number.
    proofs: ClassVar = ("line_amount", "net", "vat", "total", "total_in_words", "line_numbers", "tax_code")
    # Not the series: it is printed with the form's digit or without.
    identified_by: ClassVar = ("number", "seller_tax_code", "issue_date", "buyer_tax_code", "total")
    # XML is the invoice, by law, and print its picture; a PDF's text is that print, letter for letter.
    sources_of_authority: ClassVar = ("xml", "text")
    evidence: ClassVar[tuple[Evidence, ...]] = (invoice_qr.EVIDENCE,)
    required: ClassVar = REQUIRED
    expected: ClassVar = EXPECTED

    form_no: Annotated[FormNumber | None, _data("TTChung/KHMSHDon")] = Field(None, title="Mẫu số")
    series: Annotated[Series | None, _data("TTChung/KHHDon")] = Field(None, title="Ký hiệu")
    number: Annotated[InvoiceNumber | None, _data("TTChung/SHDon")] = Field(None, title="Số")
    issue_date: Annotated[VnDate | None, _data("TTChung/NLap", "TTChung/TDLap")] = Field(
        None, title="Ngày lập"
    )
    tax_authority_code: Annotated[AuthorityCode | None, _AUTHORITY_CODE] = Field(None, title="Mã CQT")
    seller_name: Annotated[Text | None, _data("NDHDon/NBan/Ten")] = Field(None, title="Người bán")
    seller_tax_code: Annotated[TaxCode | None, _data("NDHDon/NBan/MST")] = Field(None, title="MST người bán")
    seller_address: Annotated[Text | None, _data("NDHDon/NBan/DChi")] = Field(None, title="Địa chỉ người bán")
    buyer_name: Annotated[Text | None, _BUYER] = Field(None, title="Người mua")
    buyer_tax_code: Annotated[TaxCode | None, _data("NDHDon/NMua/MST")] = Field(None, title="MST người mua")
    buyer_address: Annotated[Text | None, _data("NDHDon/NMua/DChi")] = Field(None, title="Địa chỉ người mua")
    payment_method: Annotated[Text | None, _PAYMENT] = Field(None, title="Hình thức thanh toán")
    currency: Annotated[Currency | None, _data("TTChung/DVTTe")] = Field(None, title="Loại tiền")
    lines: Annotated[list[InvoiceLine], _LINES] = Field(default_factory=list, title="Hàng hóa, dịch vụ")
    net: Annotated[Money | None, _data("NDHDon/TToan/TgTCThue")] = Field(None, title="Cộng tiền hàng")
    vat_rate: Annotated[VatRate | None, _RATE] = Field(None, title="Thuế suất GTGT")
    vat: Annotated[Money | None, _data("NDHDon/TToan/TgTThue")] = Field(None, title="Tiền thuế GTGT")
    total: Annotated[Money | None, _data("NDHDon/TToan/TgTTTBSo")] = Field(
        None, title="Tổng cộng tiền thanh toán"
    )
    total_in_words: Annotated[AmountInWords | None, _data("NDHDon/TToan/TgTTTBChu")] = Field(
        None, title="Số tiền viết bằng chữ"
    )
    related_invoice: Annotated[Text | None, _RELATED] = Field(None, title="Hóa đơn liên quan")
    exchange_rate: Annotated[UnitPrice | None, _data("TTChung/TGia")] = Field(None, title="Tỷ giá")
    discount: Annotated[Money | None, _data("NDHDon/TToan/TTCKTMai")] = Field(
        None, title="Chiết khấu thương mại"
    )
    fees: Annotated[Money | None, _FEES] = Field(None, title="Phí, lệ phí")
    each_fee: Annotated[list[Fee], _data("NDHDon/TToan/DSLPhi/LPhi")] = Field(
        default_factory=list, title="Từng loại phí"
    )
    by_rate: Annotated[list[RateTotal], _data("NDHDon/TToan/THTTLTSuat/LTSuat")] = Field(
        default_factory=list, title="Tổng hợp theo thuế suất"
    )
    untaxed_reduction: Annotated[Money | None, _data("NDHDon/TToan/TGTKCThue")] = Field(
        None, title="Giảm trừ không chịu thuế"
    )
    other_reduction: Annotated[Money | None, _data("NDHDon/TToan/TGTKhac")] = Field(
        None, title="Giảm trừ khác"
    )


class InvoiceLine2(InvoiceLine):
    """Một dòng hàng hóa, dịch vụ"""

    unasked: ClassVar[tuple[str, ...]] = ("nature",)


class Invoice2(Invoice):
    """Hóa đơn giá trị gia tăng"""

    unasked: ClassVar[tuple[str, ...]] = ("each_fee", "untaxed_reduction", "other_reduction")

    lines: Annotated[list[InvoiceLine2], _LINES] = Field(  # type: ignore[assignment]
        default_factory=list, title="Hàng hóa, dịch vụ"
    )
