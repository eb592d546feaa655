"""What a rule over a record says, and the comparisons that rules are made of.

A rule is a function from the record, an instance of its schema, to check results. It compares and tells; it
changes nothing. What is absent on paper is None in the record, and a rule that needs it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal, TypeVar

from stdnum.exceptions import ValidationError
from stdnum.vn import mst

from schemas import law, sums
from schemas.fields import whole_tax_code

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one rule over a record: a code, a sentence, and the figures it compared.

    `suspects` are those of `fields` that one change each would mend, where that is known: a failed check
    speaks against them alone. None: it speaks against all of `fields`.
    """

    code: str
    passed: bool
    severity: Severity
    message: str
    fields: tuple[str, ...] = ()  # paths that it looked at
    expected: str | None = None
    found: str | None = None
    suspects: tuple[str, ...] | None = None  # paths

    @property
    def accused(self) -> tuple[str, ...]:
        """The paths that the check, where it failed, speaks against."""
        return self.fields if self.suspects is None else self.suspects


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


def tax_code(field: str, value: str | None, on: date | None = None) -> Iterator[CheckResult]:
    """The check digit of a tax code, or the parts of a person's number, which has none, on that day.

    A first zero that was lost is a remark: with it the check digit must be right.
    """
    if value is None:
        return
    if len(value) == 12 and "-" not in value:
        yield from _person(field, value, on)
        return
    whole = whole_tax_code(value)
    try:
        mst.validate(whole)
        passed, verdict = True, "has the right check digit"
    except ValidationError as error:
        passed, verdict = False, f"is not valid ({str(error).rstrip('.').lower()})"
    yield CheckResult(
        "tax_code", passed, "error", f"{field}: the tax code {whole} {verdict}", (field,), None, value
    )
    if passed and whole != value:
        message = f"{field}: the tax code {value} lost its first zero; it is {whole}"
        yield CheckResult("tax_code_zero", False, "info", message, (field,), whole, value)


def _person(field: str, value: str, on: date | None) -> Iterator[CheckResult]:
    """A person's 12 digits: place, century and sex, year of birth. Tax codes since July 2025 (`law.toml`)."""
    born = 1900 + 100 * (int(value[3]) // 2) + int(value[4:6])
    passed = born <= (2099 if on is None else on.year)
    message = f"{field}: by the number {value} the person was born in {born}"
    yield CheckResult("tax_code", passed, "warning", message, (field,), None, value)
    if not law.holds(law.in_force().personal_tax_codes, on):
        message = f"{field}: {value} is a person's number, which was no tax code on {on}"
        yield CheckResult("tax_code_person", False, "info", message, (field,), None, value)


def nearest(spans: Iterable[sums.Span], value: Decimal) -> tuple[bool, Decimal | None]:
    """Whether one of the spans holds the value, and the exact figure of the nearest one."""
    near: list[sums.Span] = []
    for span in spans:
        if span.exact == value:  # as most figures are: those that follow need not be worked out
            return True, span.exact
        near.append(span)
    found = min(near, key=lambda span: (span.gap(value), abs(span.exact - value)), default=None)
    return (False, None) if found is None else (found.holds(value), found.exact)


def summed(
    code: str, fields: tuple[str, ...], spans: Iterable[sums.Span], found: Decimal, what: str
) -> Iterator[CheckResult]:
    """Whether the figure is in one of the spans; nothing where there is none. `what` holds both figures."""
    passed, expected = nearest(spans, found)
    if expected is None:
        return
    message = what.format(figure(expected), figure(found))
    if not passed:
        message += f": they differ by {figure(abs(expected - found))}"
    yield CheckResult(code, passed, "error", message, fields, figure(expected, ""), figure(found, ""))


def line_amounts(
    lines: Sequence[Any],
    unit: Decimal = Decimal(1),
    path: str = "lines",
    balanced: Callable[[], bool] = lambda: False,
) -> Iterator[CheckResult]:
    """quantity × unit_price, less the line's discount, = amount on each line that has all of them.

    `unit` is the smallest coin. `balanced`: whether the amounts add up to the printed sum, so that an amount
    of 0 is no misprint but a gift.
    """
    for i, line in enumerate(lines):
        if line.quantity is None or line.unit_price is None or line.amount is None:
            continue
        passed, expected = nearest(_line_spans(line, unit, balanced), line.amount)
        exact = line.quantity * line.unit_price
        message = (
            f"line {i + 1}: {figure(line.quantity)} × {figure(line.unit_price)} = {figure(exact)}, "
            f"the amount is {figure(line.amount)}"
        )
        if not passed:
            message += f": they differ by {figure(abs(exact - line.amount))}"
        names = [
            name for name in (*_FACTORS, "discount", "discount_rate") if getattr(line, name, None) is not None
        ]
        yield CheckResult(
            "line_amount",
            passed,
            "error",
            message,
            tuple(f"{path}[{i}].{name}" for name in names),
            figure(exact if expected is None else expected, ""),
            figure(line.amount, ""),
        )


_FACTORS = ("quantity", "unit_price", "amount")


def _line_spans(line: Any, unit: Decimal, balanced: Callable[[], bool]) -> Iterator[sums.Span]:
    """What the amount may be, and first what it mostly is."""
    yield sums.Span.of(line.quantity * line.unit_price)
    made = sums.factors(line.quantity, line.unit_price, unit)
    yield made
    if line.amount < 0 <= made.low:  # taken back or taken off: the sign stands at the amount alone
        yield sums.Span(-made.high, -made.exact, -made.low)
    if line.amount == 0 and (sums.is_gift(line) or balanced()):
        yield sums.Span.of(Decimal(0))
    # A discount has no quantity, and some programs write 0 for what they do not have.
    if line.quantity == 0 and (line.unit_price == 0 or line.amount < 0 or sums.is_discount(line)):
        yield sums.Span.of(line.amount)
    if off := getattr(line, "discount", None):  # XML has 0 where there is none
        yield made.less(abs(off))
    elif rate := getattr(line, "discount_rate", None):
        kept = 1 - rate / 100
        of_rate = abs(made.exact) * sums.half_place(rate) / 100 if sums.places(rate) else Decimal(0)
        off = unit + of_rate + (made.high - made.low) / 2
        yield sums.Span.of(made.exact * kept, off)
