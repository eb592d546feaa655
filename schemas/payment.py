"""Payment without cash, as the deduction of input VAT asks for it from an amount on.

Decree 181/2025, article 26: from 5 million đồng, VAT included, since 1 July 2025; before that 20 million
(Circular 219/2013, article 15). Several purchases from one seller on one day count together. A paper names a
way to pay, and is no proof that it was paid so: the bank's document is still needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from schemas.text import unaccented

Payment = Literal["without cash", "cash", "unknown"]


@dataclass(frozen=True, slots=True)
class Limit:
    """From `since` to `until`, both included, payments of `amount` đồng or more must be made without cash."""

    since: date
    until: date
    amount: int


LIMITS: Sequence[Limit] = (
    Limit(date(2014, 1, 1), date(2025, 6, 30), 20_000_000),
    Limit(date(2025, 7, 1), date.max, 5_000_000),
)

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
