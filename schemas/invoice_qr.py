"""The QR code of an invoice: EMV tags (two digits, two of length, the value), in the three forms in use.

    A   tag 99 with 00 the tax authority's code, and tag 63 with a CRC
    B   tag 99 with 00 A000000775, the mark of a payment network, and tag 63 with a CRC
    C   tag 62, the seller's tax code in tag 26, and tag 63 with an MD5 of 32 characters

Within tag 99 or 62: 01 the seller's tax code (not in C), 02 form, 03 series, 04 number, 05 the day as
YYYYMMDD, 06 the total. The CRC (CRC-16/CCITT, from FFFF) covers all before it, its own tag and length
included; the MD5 all before tag 63. Forms and sums were found on published invoices; tags 00 to 63 are those
of EMV QRCPS.

Two digits of length end at 99, and form A goes beyond them with the authority's 34 signs and a total of nine
digits: a length of three digits is read there. Days and totals are read as people write them too.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType
from typing import Any

from schemas import dates, numbering
from schemas.checks import CheckResult
from schemas.evidence import Claim, Evidence
from schemas.fields import tax_code, whole_tax_code

_HEAD = re.compile(r"([0-9]{2})([0-9]{2})")
_LONG_HEAD = re.compile(r"(62|99)([1-9][0-9]{2})")
# Where A has the authority's code, an application's registered identifier, or nothing but zeros.
_NO_AUTHORITY = re.compile(r"[Aa][0-9]{9}|0+")
_FORMS = {
    "authority_code": re.compile(r"[0-9A-Za-z-]{1,34}"),
    "form_no": re.compile(r"[0-9A-Z][0-9A-Z/]{0,14}"),
    "series": re.compile(r"[0-9A-Z][0-9A-Z/]{1,11}"),
    "number": re.compile(r"[0-9]{1,10}"),
}
_FORM_DIGIT = re.compile(r"^[1-9](?=[CK][0-9]{2})")
_DAYS = {
    "%Y%m%d": re.compile(r"20[0-9]{6}(?:[0-9]{4}|[0-9]{6})?"),
    "%d%m%Y": re.compile(r"[0-9]{4}20[0-9]{2}"),
}
_PLAIN = re.compile(r"(-?[0-9]{1,18})(?:[.,]([0-9]{1,6}))?")
_GROUPED = re.compile(r"(-?[0-9]{1,3}(?:([.,])[0-9]{3})(?:\2[0-9]{3})*)(?:(?!\2)[.,]([0-9]{1,6}))?")


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
    read = [tags for each in dict.fromkeys(counted) for tags in _readings(each)]
    found = [code for tags in read if (code := _code(text, tags)) is not None]
    return max(found, key=lambda code: bool(code.intact), default=None)


def _code(text: str, tags: Mapping[str, str]) -> InvoiceCode | None:
    mark = tags.get("63", "")
    inner = next(_readings(tags.get("99", "")), None)
    if not inner and len(mark) == 32:
        inner = next(_readings(tags.get("62", "")), None)
        seller = next(_readings(tags.get("26", "")), {}).get("01", "")
    else:
        seller = (inner or {}).get("01", "")
    if not inner:
        return None
    authority = inner.get("00", "") if "99" in tags else ""
    code = InvoiceCode(
        authority_code=None if _NO_AUTHORITY.fullmatch(authority) else _part("authority_code", authority),
        seller_tax_code=_tax_code(seller),
        form_no=_part("form_no", inner.get("02", "").upper()),
        series=_part("series", inner.get("03", "").upper()),
        number=_part("number", inner.get("04", "")),
        issue_date=_day(inner.get("05", "")),
        total=_total(inner.get("06", "").strip()),
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
            "tax_authority_code", authority, authority, lambda read: _signs(read) == _signs(authority)
        )
    if seller:
        yield Claim("seller_tax_code", seller, seller, lambda read: _taxpayer(read) == _taxpayer(seller))
    series, form, number, total = code.series, code.form_no, code.number, code.total
    # Form and series may be printed apart, or as one: "1" and "C26TAA", or "1C26TAA".
    if form and not (invoice.form_no is None and (invoice.series or "").startswith(form)):
        yield Claim("form_no", form, form, lambda read: _form(read) == _form(form))
    if series:
        yield Claim("series", series, series, lambda read: _series(form, series, read))
    if number:
        yield Claim("number", number, number, lambda read: read.lstrip("0") == number.lstrip("0"))
    if code.issue_date:
        yield Claim("issue_date", f"{code.issue_date:%Y%m%d}", code.issue_date.isoformat())
    # Which currency the code means it does not say.
    if total and invoice.currency in (None, "VND"):
        yield Claim("total", total, total, lambda read: _rounded(total, read))


def _readings(text: str, before: Mapping[str, str] = MappingProxyType({})) -> Iterator[Mapping[str, str]]:
    """Values by tag, in each way in which the text is made of tags and has none of them twice."""
    if not text:
        yield before
    for form in (_HEAD, _LONG_HEAD):
        head = form.match(text)
        end = head.end() + int(head[2]) if head else 0
        if head and head[1] not in before and end <= len(text):
            yield from _readings(text[end:], {**before, head[1]: text[head.end() : end]})


def _part(name: str, text: str) -> str | None:
    return text if _FORMS[name].fullmatch(text) else None


def _tax_code(text: str) -> str | None:
    try:
        return tax_code(text)
    except ValueError:
        return None


def _day(text: str) -> date | None:
    """YYYYMMDD, with a clock time or without; DDMMYYYY, which is never a day of the other; or with signs."""
    for form, shape in _DAYS.items():
        if shape.fullmatch(text):
            with suppress(ValueError):
                return datetime.strptime(text[:8], form).date()
    try:
        return dates.day(re.split(r"[T ]", text)[0])
    except ValueError:
        return None


def _total(text: str) -> str | None:
    """A plain figure. Of "1.100" nobody knows whether it is a thousand: None."""
    if found := _GROUPED.fullmatch(text):
        if found[1].count(found[2]) == 1 and found[3] is None:
            return None
        whole, rest = re.sub(r"[.,]", "", found[1]), found[3]
    elif found := _PLAIN.fullmatch(text):
        whole, rest = found[1], found[2]
    else:
        return None
    return f"{whole}.{rest}" if rest else whole


def _rounded(total: str, read: str) -> bool:
    """Whether what was read is the total, or the total to the nearest đồng."""
    exact = Decimal(total)
    return Decimal(read) in (exact, exact.quantize(Decimal(1), ROUND_HALF_UP))


def _signs(text: str) -> str:
    return re.sub(r"[^0-9A-Z]", "", text.upper())


def _taxpayer(code: str) -> str:
    return _signs(whole_tax_code(code))


def _form(text: str) -> str:
    """1, 01 and 01/GTGT are one form; of an old one the line does not count."""
    return numbering.form_digit(text) or _signs(text).lstrip("0")


def _series(form: str | None, series: str, read: str) -> bool:
    """Whether the series is the one that was read. Either may have the form's digit in front of it."""
    one, other = _signs(series), _signs(read)
    if other in (one, f"{form or ''}{one}", _FORM_DIGIT.sub("", one)):
        return True
    return form is None and _FORM_DIGIT.sub("", other) == one


def _intact(text: str, mark: str) -> bool | None:
    """Whether tag 63 at the end holds the right sum over what stands before it."""
    if not mark:
        return None
    before = text.removesuffix(f"6332{mark}" if len(mark) == 32 else mark)
    # Programs that know ASCII alone have a question mark for a letter of a name in tag 59.
    return mark.upper() in (_sum(before.encode(code, "replace"), len(mark)) for code in ("utf-8", "ascii"))


def _sum(data: bytes, length: int) -> str:
    if length == 32:
        return hashlib.md5(data, usedforsecurity=False).hexdigest().upper()
    return f"{binascii.crc_hqx(data, 0xFFFF):04X}"


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
