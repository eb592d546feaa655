"""What a rule over a record says, and the comparisons that rules are made of.

A rule is a function from the record, an instance of its schema, to check results. It compares and tells; it
changes nothing. What is absent on paper is None in the record, and a rule that needs it says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeVar

from stdnum.exceptions import ValidationError
from stdnum.vn import mst

from schemas.text import unaccented

_DISCOUNT = re.compile(r"(chiet khau|giam gia|khuyen mai)\b")

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one rule over a record: a code, a sentence, and the figures it compared."""

    code: str
    passed: bool
    severity: Severity
    message: str
    fields: tuple[str, ...] = ()  # paths that it looked at
    expected: str | None = None
    found: str | None = None


Rule = Callable[[Any], Iterable[CheckResult]]  # from an instance of the schema
Said = TypeVar("Said")


def guarded(rule: Callable[..., Iterable[Said]], *arguments: object) -> Iterator[Said | CheckResult]:
    """The results of one rule; if it raises, a failed check in place of what it had left to say."""
    try:
        yield from rule(*arguments)
    except Exception as error:  # noqa: BLE001  a user's rule may raise anything, and its document must get its row
        name = getattr(rule, "__name__", repr(rule))
        yield CheckResult(
            "check_crashed", False, "error", f"the rule {name} raised {error!r}; correct the rule"
        )


def equal(
    code: str,
    fields: tuple[str, ...],
    expected: Decimal,
    found: Decimal,
    what: str,
    tolerance: Decimal = Decimal(0),
    severity: Severity = "error",
) -> CheckResult:
    """Two figures compared: `what` is a sentence with {expected}, {found} and, where they differ, the gap."""
    passed = abs(expected - found) <= tolerance
    message = what.format(expected=figure(expected), found=figure(found))
    if not passed:
        message += f": they differ by {figure(abs(expected - found))}"
    return CheckResult(code, passed, severity, message, fields, figure(expected, ""), figure(found, ""))


def figure(value: Decimal, group: str = ",") -> str:
    """1234.5 → "1,234.5"; `group` "" leaves the digits alone."""
    text = format(value, f"{group}f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def tax_code(field: str, value: str | None) -> Iterator[CheckResult]:
    """The check digit of a tax code; the 12 digits of a person's number have none."""
    if value is None or len(value) == 12:
        return
    try:
        mst.validate(value)
        passed, verdict = True, "has the right check digit"
    except ValidationError as error:
        passed, verdict = False, f"is not valid ({str(error).rstrip('.').lower()})"
    yield CheckResult(
        "tax_code", passed, "error", f"{field}: the tax code {value} {verdict}", (field,), None, value
    )


def sum_of_lines(lines: Sequence[Any], printed: Decimal) -> Decimal | None:
    """The sum of the lines' amounts; None where there are no lines or an amount is absent.

    A discount line may be printed with its sign or without it: of both sums, the one nearer to the printed.
    """
    if not lines or any(line.amount is None for line in lines):
        return None
    plain = sum((line.amount for line in lines), Decimal(0))
    reduced = plain - 2 * sum((line.amount for line in lines if _is_unsigned_discount(line)), Decimal(0))
    return min((plain, reduced), key=lambda value: abs(value - printed))


def _is_unsigned_discount(line: Any) -> bool:
    named = line.name is not None and _DISCOUNT.match(unaccented(line.name).casefold())
    return bool(named) and line.amount > 0


def line_amounts(
    lines: Sequence[Any], tolerance: Decimal = Decimal(1), path: str = "lines"
) -> Iterator[CheckResult]:
    """quantity × unit_price = amount on each line that has all three."""
    for i, line in enumerate(lines):
        if line.quantity is not None and line.unit_price is not None and line.amount is not None:
            yield equal(
                "line_amount",
                tuple(f"{path}[{i}].{name}" for name in ("quantity", "unit_price", "amount")),
                line.quantity * line.unit_price,
                line.amount,
                f"line {i + 1}: {figure(line.quantity)} × {figure(line.unit_price)} = {{expected}}, "
                "the amount is {found}",
                tolerance,
            )
