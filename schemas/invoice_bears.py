"""What an invoice must bear by Decree 123/2020/NĐ-CP, article 10, and which kinds of invoice need not."""

from __future__ import annotations

import re
from typing import Any

from schemas import numbering
from schemas.currencies import DONG
from schemas.required import Either, Where
from schemas.sums import is_note
from schemas.text import unaccented
from schemas.vat import percent, rates

_REGISTER = "M"  # of a cash register: it need not name the buyer, nor say the total in words
_VALUE_ADDED = "1"
_TICKET = "5"  # tickets, cards and stamps: they need not name who buys (article 10, clause 14)
_DELIVERY, _DELIVERIES = "6", ("N", "B")  # for transport within a firm, and to agents
_OLD_VALUE_ADDED = "01GTKT"
_FIRM = re.compile(
    r"(?:tong )?cong ty|doanh nghiep|dntn|hop tac xa|htx|chi nhanh|tap doan|xi nghiep|nha may|ngan hang|"
    r"truong|benh vien|ho kinh doanh"
)


def adjusts(invoice: Any) -> bool:
    """Whether the invoice says that it corrects an earlier one; it then bears what is corrected."""
    said = (invoice.related_invoice, *(line.name for line in invoice.lines))
    return any("dieu chinh" in unaccented(text).casefold() for text in said if text)


def _series(invoice: Any) -> numbering.Series | None:
    return numbering.series(invoice.series) if invoice.series is not None else None


def has_form_apart(invoice: Any) -> bool:
    series = _series(invoice)
    return series is not None and series.form is None


def has_code(invoice: Any) -> bool:
    series = _series(invoice)
    return series is not None and series.code == "C"


def is_not_of_register(invoice: Any) -> bool:
    series = _series(invoice)
    return series is None or series.age == "old" or series.kind != _REGISTER


def names_a_buyer(invoice: Any) -> bool:
    """A cash register's invoice or a ticket does where the buyer asks for it, and is then as whole as any."""
    known = (invoice.buyer_name, invoice.buyer_tax_code, invoice.buyer_address)
    need_not = _is_ticket(invoice) or not is_not_of_register(invoice)
    return not need_not or any(one is not None for one in known)


def is_to_a_firm(invoice: Any) -> bool:
    """By its tax code, or by its name: a person, or a firm from abroad, need not give an address."""
    name = unaccented(invoice.buyer_name or "").casefold()
    return invoice.buyer_tax_code is not None or _FIRM.match(name) is not None


def is_in_words(invoice: Any) -> bool:
    is_summed = invoice.total is not None or has_total(invoice)
    return is_summed and names_a_buyer(invoice) and invoice.currency in (None, DONG)


def is_of_value_added_tax(invoice: Any) -> bool:
    """By its form; where that is not known, by a rate or a tax that it names."""
    if adjusts(invoice) and not _has_sums(invoice):
        return False
    form, series = invoice.form_no, _series(invoice)
    if form is not None and numbering.form_digit(form) is None:
        return bool(form.startswith(_OLD_VALUE_ADDED))
    digit = (numbering.form_digit(form) if form else None) or (series.form if series else None)
    return digit == _VALUE_ADDED or (digit is None and (invoice.vat is not None or bool(_rates(invoice))))


def _has_sums(invoice: Any) -> bool:
    figures = (invoice.net, invoice.vat, invoice.vat_rate, *(line.amount for line in invoice.lines))
    return any(figure is not None for figure in figures)


def names_no_rate_on_lines(invoice: Any) -> bool:
    named = any(line.vat_rate is not None for line in invoice.lines)
    return is_of_value_added_tax(invoice) and not named


def is_taxed(invoice: Any) -> bool:
    """Some rate says so, or none is named."""
    named = _rates(invoice)
    return is_of_value_added_tax(invoice) and (not named or any(map(percent, named)))


def _rates(invoice: Any) -> list[str]:
    printed = (
        invoice.vat_rate,
        *(line.vat_rate for line in invoice.lines),
        *(row.rate for row in invoice.by_rate),
    )
    return [rate for text in printed if text is not None for rate in rates(text)]


def is_of_goods(line: Any) -> bool:
    return not is_note(line)


def has_amounts(invoice: Any) -> bool:
    """A delivery note (form 6) need not say what the goods cost."""
    if not _is_delivery_note(invoice):
        return True
    figures = (invoice.total, invoice.net, *(line.amount for line in invoice.lines))
    return any(figure is not None for figure in figures)


def is_to_be_paid(invoice: Any) -> bool:
    return not _is_delivery_note(invoice)


def has_total(invoice: Any) -> bool:
    """Neither a delivery note need have one, nor what corrects an address or a name alone."""
    return not (_is_delivery_note(invoice) or (adjusts(invoice) and not _has_sums(invoice)))


def _is_ticket(invoice: Any) -> bool:
    return _form_digit(invoice) == _TICKET


def _form_digit(invoice: Any) -> str | None:
    series = _series(invoice)
    digit = numbering.form_digit(invoice.form_no) if invoice.form_no else None
    return digit or (series.form if series else None)


def _is_delivery_note(invoice: Any) -> bool:
    """By its form, or by the kind of its series where the form's digit is not known."""
    series, digit = _series(invoice), _form_digit(invoice)
    if digit is None and invoice.form_no is None and series is not None and series.age == "new":
        return series.kind in _DELIVERIES
    return digit == _DELIVERY


_VAT_INVOICE = "an invoice of value-added tax"
EXPECTED = (
    Where(has_form_apart, "an invoice whose series has no digit of the form", "form_no"),
    Where(has_code, "an invoice with the tax authority's code", "tax_authority_code"),
    "seller_address",
    Where(is_to_be_paid, "an invoice that is no delivery note", "payment_method"),
    Where(
        names_a_buyer,
        "an invoice that is neither a cash register's nor a ticket, or names its buyer",
        "buyer_name",
    ),
    Where(is_to_a_firm, "an invoice to who has a tax code", "buyer_address"),
    Where(is_of_value_added_tax, _VAT_INVOICE, "net"),
    Where(is_taxed, _VAT_INVOICE, "vat"),
    Where(names_no_rate_on_lines, _VAT_INVOICE, Either("vat_rate", "by_rate")),
    Where(is_in_words, "an invoice in đồng", "total_in_words"),
)
REQUIRED = (
    "series", "number", "issue_date", "seller_name", "seller_tax_code", "lines",
    Where(has_total, "an invoice that is no delivery note", "total"),
)  # fmt: skip
REQUIRED_OF_LINE = (
    "name",
    Where(is_of_goods, "a line of goods or services", "amount", within=has_amounts),
)
