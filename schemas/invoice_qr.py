"""The QR code of an invoice: EMV tags (two digits, two of length, the value), in the three forms in use.

    A   tag 99 with 00 the tax authority's code, and tag 63 with a CRC
    B   tag 99 with 00 A000000775, the mark of a payment network, and tag 63 with a CRC
    C   tag 62, the seller's tax code in tag 26, and tag 63 with an MD5 of 32 characters

Within tag 99 or 62: 01 the seller's tax code (not in C), 02 form, 03 series, 04 number, 05 the day as
YYYYMMDD, 06 the total. The CRC (CRC-16/CCITT, from FFFF) covers all before it, its own tag and length
included; the MD5 all before tag 63. Forms and sums were found on published invoices; tags 00 to 63 are those
of EMV QRCPS.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from schemas.checks import CheckResult
from schemas.evidence import Claim, Evidence
from schemas.fields import tax_code

_HEAD = re.compile(r"([0-9]{2})([0-9]{2})")
_NETWORK = re.compile(
    r"A[0-9]{9}"
)  # an application's registered identifier, where A has the authority's code
_FORMS = {
    "authority_code": re.compile(r"[0-9A-Za-z-]{1,34}"),
    "form_no": re.compile(r"[0-9A-Z][0-9A-Z/]{0,14}"),
    "series": re.compile(r"[0-9A-Z][0-9A-Z/]{1,11}"),
    "number": re.compile(r"[0-9]{1,10}"),
    "total": re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,6})?"),
}


@dataclass(frozen=True, slots=True)
class InvoiceCode:
    """What an invoice's code says. A part that is absent, or not in its form, is None."""

    authority_code: str | None
    seller_tax_code: str | None
    form_no: str | None
    series: str | None
    number: str | None
    issue_date: date | None
    total: str | None
    intact: bool | None  # whether its CRC or MD5 is right; None: it has none


def parse(text: str) -> InvoiceCode | None:
    """The invoice's code; None for some other code, payment codes in EMV tags among them."""
    # A length counts characters or, where an issuer's program counts so, the bytes of UTF-8.
    counted = (text, text.encode(errors="replace").decode("latin-1"))
    found = [code for each in dict.fromkeys(counted) if (code := _code(text, _tags(each) or {})) is not None]
    return max(found, key=lambda code: bool(code.intact), default=None)


def _code(text: str, tags: Mapping[str, str]) -> InvoiceCode | None:
    mark = tags.get("63", "")
    inner = _tags(tags.get("99", ""))
    if not inner and len(mark) == 32:
        inner = _tags(tags.get("62", ""))
        seller = (_tags(tags.get("26", "")) or {}).get("01", "")
    else:
        seller = (inner or {}).get("01", "")
    if not inner:
        return None
    authority = inner.get("00", "") if "99" in tags else ""
    code = InvoiceCode(
        authority_code=None if _NETWORK.fullmatch(authority) else _part("authority_code", authority),
        seller_tax_code=_tax_code(seller),
        form_no=_part("form_no", inner.get("02", "").upper()),
        series=_part("series", inner.get("03", "").upper()),
        number=_part("number", inner.get("04", "")),
        issue_date=_day(inner.get("05", "")),
        total=_part("total", inner.get("06", "")),
        intact=_intact(text, mark),
    )
    return code if code.number and (code.series or code.seller_tax_code) else None


def says(invoice: Any, text: str) -> Iterator[Claim | CheckResult]:
    """What an invoice's code says of the invoice's fields, and whether it is as its issuer made it."""
    code = parse(text)
    if code is None:
        return
    if code.intact is False:
        message = "the invoice's QR code was altered: its checksum is wrong, and what it says is not used"
        yield CheckResult("qr_checksum", False, "warning", message)
    for claim in _claims(invoice, code):
        yield Claim(claim.path, claim.raw, claim.value, claim.agrees, sound=code.intact is not False)


EVIDENCE = Evidence("qr", says)


def _claims(invoice: Any, code: InvoiceCode) -> Iterator[Claim]:
    authority, seller = code.authority_code, code.seller_tax_code
    if authority:
        yield Claim(
            "tax_authority_code", authority, authority, lambda read: read.upper() == authority.upper()
        )
    if seller:
        yield Claim("seller_tax_code", seller, seller, lambda read: _digits(read) == _digits(seller))
    series, form, number, total = code.series, code.form_no, code.number, code.total
    # Form and series may be printed apart, or as one: "1" and "C26TAA", or "1C26TAA".
    if form and not (invoice.form_no is None and (invoice.series or "").startswith(form)):
        yield Claim("form_no", form, form, lambda read: read.lstrip("0") == form.lstrip("0"))
    if series:
        yield Claim("series", series, series, lambda read: read in (series, f"{form or ''}{series}"))
    if number:
        yield Claim("number", number, number, lambda read: read.lstrip("0") == number.lstrip("0"))
    if code.issue_date:
        yield Claim("issue_date", f"{code.issue_date:%Y%m%d}", code.issue_date.isoformat())
    # Which currency the code means it does not say.
    if total and invoice.currency in (None, "VND"):
        yield Claim("total", total, total, lambda read: Decimal(read) == Decimal(total))


def _tags(text: str) -> dict[str, str] | None:
    """Values by tag; None where the text is not made of tags, or has one of them twice."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        head = _HEAD.match(text, at)
        if head is None or head[1] in found:
            return None
        at = head.end() + int(head[2])
        if at > len(text):
            return None
        found[head[1]] = text[head.end() : at]
    return found


def _part(name: str, text: str) -> str | None:
    return text if _FORMS[name].fullmatch(text) else None


def _tax_code(text: str) -> str | None:
    try:
        return tax_code(text)
    except ValueError:
        return None


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date() if re.fullmatch(r"20[0-9]{6}", text) else None
    except ValueError:
        return None


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def _intact(text: str, mark: str) -> bool | None:
    """Whether tag 63 at the end holds the right sum over what stands before it."""
    if not mark:
        return None
    data = text.encode(errors="replace")
    if len(mark) == 32:
        before = data.removesuffix(f"6332{mark}".encode())
        return hashlib.md5(before, usedforsecurity=False).hexdigest() == mark.lower()
    return f"{binascii.crc_hqx(data.removesuffix(mark.encode()), 0xFFFF):04X}" == mark.upper()


def build(code: Mapping[str, str], form: str) -> str:
    """The payload of form "A", "B" or "C" for the parts of a code, by their names in `InvoiceCode`.

    `issue_date` is YYYYMMDD; a `name` goes into tag 59. Raises KeyError for a part that the form needs,
    ValueError for one of 100 characters or more.
    """
    own = {"02": "form_no", "03": "series", "04": "number", "05": "issue_date", "06": "total"}
    inner = "".join(_tag(tag, code[name]) for tag, name in own.items())
    seller = code["seller_tax_code"].replace("-", "")
    name = _tag("59", code["name"]) if "name" in code else ""
    if form == "C":
        body = _tag("00", "01") + _tag("01", "12") + _tag("26", _tag("01", seller)) + _tag("53", "VND") + name
        body += _tag("62", _tag("00", code["authority_code"][:32]) + inner)
        return body + _tag("63", hashlib.md5(body.encode(), usedforsecurity=False).hexdigest().upper())
    first = code["authority_code"] if form == "A" else "A000000775"
    body = _tag("00", "01") + _tag("01", "12") + name
    body += _tag("99", _tag("00", first) + _tag("01", seller) + inner) + "6304"
    return f"{body}{binascii.crc_hqx(body.encode(), 0xFFFF):04X}"


def _tag(tag: str, value: str) -> str:
    if len(value) >= 100:
        raise ValueError(f"tag {tag} holds at most 99 characters, not {len(value)}")
    return f"{tag}{len(value):02}{value}"
