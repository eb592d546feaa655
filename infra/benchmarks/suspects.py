"""What it costs to say which value a failed equation speaks against, in an invoice of many lines.

    python -m infra.benchmarks.suspects --lines 20 --count 60

Invoices whose figures agree get one wrong figure. The search is run as it is, and as if each rule had looked
at every value (each rule anew for each trial); both must find the same.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from typing import Any
from unittest import mock

from schemas.checks import CheckResult
from schemas.registry import resolve
from schemas.words import to_words

SPEC = resolve("invoice@1")
WRONG = ("series", "issue_date", "net", "vat", "total", "quantity", "unit_price", "amount")


def invoice(dice: random.Random, lines: int) -> dict[str, Any]:
    """Of one rate, with figures that agree."""
    table: list[dict[str, Any]] = []
    for number in range(1, lines + 1):
        quantity, price = dice.randint(1, 300), dice.randint(2, 900) * 500
        table.append(
            {
                **{"no": number, "name": f"Hàng {number}", "unit": "Cái", "vat_rate": "8%"},
                **{"quantity": str(quantity), "unit_price": str(price), "amount": str(quantity * price)},
            }
        )
    net = sum(int(line["amount"]) for line in table)
    vat = (net * 8 + 50) // 100
    return {
        **{"form_no": "1", "series": "C26TAA", "number": "458", "issue_date": "2026-10-14", "vat_rate": "8%"},
        **{"net": str(net), "vat": str(vat), "total": str(net + vat), "lines": table},
        "total_in_words": f"{to_words(net + vat)} đồng",
    }


def spoilt(dice: random.Random, lines: int, name: str) -> dict[str, Any]:
    """One whose value of that name has another last digit."""
    record = invoice(dice, lines)
    holder = dice.choice(record["lines"]) if name in record["lines"][0] else record
    text = holder[name]
    at = {"series": 2, "issue_date": 3}.get(name, len(text) - 1)  # of these the year
    holder[name] = text[:at] + str((int(text[at]) + dice.randint(1, 9)) % 10) + text[at + 1 :]
    return record


def searched(records: Sequence[dict[str, Any]]) -> tuple[float, list[list[CheckResult]]]:
    """Seconds of this process, and what was found."""
    begun = time.process_time()
    found = [SPEC.checks(record) for record in records]
    return time.process_time() - begun, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--count", type=int, default=60, help="invoices of each wrong figure")
    options = parser.parse_args()
    for name in WRONG:
        dice = random.Random(name)
        records = [spoilt(dice, options.lines, name) for _ in range(options.count)]
        seconds, found = searched(records)
        with mock.patch("schemas.suspects.touches", return_value=True):
            anew, same = searched(records)
        if found != same:
            raise SystemExit(f"{name}: both ways do not find the same")
        each, other = (1000 * spent / options.count for spent in (seconds, anew))
        print(f"{name:11} {each:5.1f} ms an invoice, {other:5.1f} with every rule anew: {other / each:.1f}x")


if __name__ == "__main__":
    main()
