"""Payment without cash, as the deduction of input VAT asks for it from an amount on.

The amounts are dated data of `law.toml`. A paper names a way to pay, and is no proof that it was paid so: the
bank's document is still needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from schemas.law import Law
from schemas.text import unaccented

Payment = Literal["without cash", "cash", "unknown"]


@dataclass(frozen=True, slots=True)
class Limit:
    """From `since` to `until`, both included, payments of `amount` đồng or more must be made without cash."""

    since: date
    until: date
    amount: int


def limits(law: Law) -> Iterator[Limit]:
    """One limit a day at most: each ends where a later one begins."""
    periods = sorted(law.cash_limits, key=lambda period: period.begin or date.min)
    begins = [period.begin or date.min for period in periods]
    for period, since, following in zip(periods, begins, [*begins[1:], None], strict=True):
        ends = period.end or date.max
        until = ends if following is None else min(ends, following - timedelta(days=1))
        yield Limit(since, until, period.amount)


_CASH = re.compile(r"\b(?:tm|tien mat|cash)\b")
_WITHOUT = re.compile(
    r"\b(?:ck|chuyen khoan|uy nhiem chi|unc|ngan hang|bank|transfer|the|card|visa|mastercard|qr(?: ?code)?|"
    r"vi dien tu|momo|vnpay|zalopay|khong dung tien mat|non[ -]?cash|sec|cheque|l/?c|thu tin dung)\b"
)
_NOT_CASH = re.compile(r"khong (?:dung )?tien mat|non[ -]?cash|cashless")


def payment(method: str | None) -> Payment:
    """What the words of a paper say: "TM/CK" leaves it open, and so do words that are not known.

    Clearing of debts ("đối trừ công nợ") and the like depend on a contract, which is no part of the paper:
    unknown.
    """
    words = " ".join(re.sub(r"[_,;:+&.]", " ", unaccented(method or "").casefold()).split())
    without = bool(_WITHOUT.search(words) or _NOT_CASH.search(words))
    cash = bool(_CASH.search(_NOT_CASH.sub("", words)))
    if cash == without:
        return "unknown"
    return "cash" if cash else "without cash"
