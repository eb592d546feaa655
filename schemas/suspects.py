"""Which values a failed equation speaks against: those of which one change mends it and breaks no other.

A sum that does not come out accuses every line, and mostly one value is wrong. A schema names those of its
rules that hold values against each other, `equations`. Where one fails, each value in it is changed on trial
to what the equation would have it be, or by one digit, and all of them are run again. A value that other
equations bear out is thereby cleared: changing it would break them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel

from schemas.checks import CheckResult, Rule, guarded
from schemas.observed import Observed, touches
from schemas.typed import typed

Mends = Callable[[Any, CheckResult], Iterable[tuple[str, Any]]]  # from record and failed check: path, value

_MOST = 1000  # trials of one document
_MOST_LINES = 200_000  # gone through in all of them: a paper of thousands of lines gets fewer trials
_DECIMALS = 3  # that a figure may have gained by a lost comma
_LONGEST = 20  # characters: in longer texts digits are not varied
_STEP = re.compile(r"(\w+)(?:\[(\d+)\])?")
_INDEX = re.compile(r"\[[0-9]+\]")
_Key = tuple[str, tuple[str, ...]]
_Within = tuple[Rule, Mapping[str, set[str]]]  # a rule, and the codes of what held within each line


@dataclass(frozen=True, slots=True)
class _Trial:
    """One changed value that breaks nothing, and the failed equations that it mends."""

    path: str
    mended: frozenset[_Key]
    exact: int  # equations that then come out without any rounding
    near: bool  # it is off by one digit


def pointed(
    subject: BaseModel,
    checks: Sequence[CheckResult],
    equations: Sequence[Rule],
    mends: Mends | None = None,
    said: Mapping[int, Sequence[CheckResult]] | None = None,
) -> list[CheckResult]:
    """The checks, those of failed equations with their suspects.

    `mends` has values to try beside those that follow from the figures that a check compared; `said` is what
    rules, by their id(), said of the record already.
    """
    known = said or {}
    by_rule = [
        (rule, known[id(rule)] if id(rule) in known else list(guarded(rule, subject))) for rule in equations
    ]
    found = [check for _, told in by_rule for check in told]
    failed = {_key(check): check for check in found if _is_fault(check)}
    if not failed:
        return list(checks)
    within = [(rule, lines) for rule, told in by_rule if (lines := _within_lines(told))]
    by_rule.sort(key=lambda one: len(one[1]))  # those that say little are quick, and the first fault ends it
    tried = [_Equation.of(rule, subject, told) for rule, told in by_rule]
    trials = list(_trials(subject, failed, tried, mends, within))
    held = {path for check in found if check.passed for path in check.fields}
    return [
        replace(check, suspects=_suspects(check, trials, held))
        if _key(check) in failed and check.suspects is None
        else check
        for check in checks
    ]


def _suspects(check: CheckResult, trials: Sequence[_Trial], held: set[str]) -> tuple[str, ...] | None:
    mending = [trial for trial in trials if _key(check) in trial.mended]
    if mending:
        most = max((len(trial.mended), trial.exact) for trial in mending)
        mending = [trial for trial in mending if (len(trial.mended), trial.exact) == most]
        mending = [trial for trial in mending if trial.near] or mending
        return tuple(dict.fromkeys(trial.path for trial in mending))
    return tuple(path for path in check.fields if path not in held) or None


def _trials(
    subject: BaseModel,
    failed: Mapping[_Key, CheckResult],
    equations: Sequence[_Equation],
    mends: Mends | None,
    within: Sequence[_Within],
) -> Iterator[_Trial]:
    """The changes that mend something and break nothing."""
    tried: set[tuple[str, Any]] = set()
    most = min(_MOST, _MOST_LINES // (_lines(subject) or 1))
    for check in failed.values():
        for path, value in (*_values(subject, check), *(mends(subject, check) if mends else ())):
            before = at(subject, path)
            if value == before or (path, value) in tried:
                continue
            tried.add((path, value))
            if len(tried) > most:
                return
            changed = with_value(subject, path, value)
            if _breaks_its_line(changed, path, within):
                continue
            after = _after(equations, _INDEX.sub("[]", path), changed, failed)
            if after is not None and (mended := failed.keys() & after.held - after.broken):
                yield _Trial(path, frozenset(mended), after.exact, _is_near(before, value))


def _lines(subject: BaseModel) -> int:
    return sum(len(value) for value in subject.__dict__.values() if isinstance(value, list))


@dataclass(frozen=True, slots=True)
class _Said:
    """What equations say: those that fail, those that hold, and how many hold without any rounding."""

    broken: frozenset[_Key]
    held: frozenset[_Key]
    exact: int

    @classmethod
    def of(cls, checks: Sequence[CheckResult]) -> _Said:
        return cls(
            frozenset(_key(check) for check in checks if _is_fault(check)),
            frozenset(_key(check) for check in checks if check.passed),
            sum(check.passed and check.expected == check.found for check in checks),
        )


@dataclass(frozen=True, slots=True)
class _Equation:
    """A rule, what it says of the record, and which values it looked at for that; None: any."""

    rule: Rule
    said: _Said
    looked_at: frozenset[str] | None
    _touched: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, rule: Rule, subject: BaseModel, said: Sequence[CheckResult]) -> _Equation:
        looked_at: set[str] = set()
        # A rule that the wrapper does not suit says something else of it: then it is asked each time.
        same = list(guarded(rule, Observed(subject, looked_at))) == said
        return cls(rule, _Said.of(said), frozenset(looked_at) if same else None)

    def is_touched_by(self, path: str) -> bool:
        """Whether it may say something else once the value at this leaf's path is another one."""
        if path not in self._touched:
            self._touched[path] = self.looked_at is None or touches(self.looked_at, path)
        return self._touched[path]


def _after(
    equations: Sequence[_Equation], path: str, changed: BaseModel, failed: Mapping[_Key, CheckResult]
) -> _Said | None:
    """What all equations say once the value at `path` was changed; None where one fails that had not."""
    said = []
    for one in equations:
        if one.is_touched_by(path):
            said.append(_Said.of(list(guarded(one.rule, changed))))
            if not said[-1].broken <= failed.keys():
                return None
        else:
            said.append(one.said)
    return _Said(
        frozenset[_Key]().union(*(one.broken for one in said)),
        frozenset[_Key]().union(*(one.held for one in said)),
        sum(one.exact for one in said),
    )


def _within_lines(checks: Iterable[CheckResult]) -> dict[str, set[str]]:
    """The codes of the checks that hold within one line alone, by the line, like "lines[2]"."""
    held: dict[str, set[str]] = {}
    for check in checks:
        lines = {path.rpartition(".")[0] for path in check.fields}
        if check.passed and len(lines) == 1 and (line := lines.pop()).endswith("]"):
            held.setdefault(line, set()).add(check.code)
    return held


def _breaks_its_line(changed: BaseModel, path: str, within: Sequence[_Within]) -> bool:
    """Whether an equation within the value's own line, which held, fails.

    It is seen on a paper of that line alone, which is quicker than all of them.
    """
    found = _STEP.match(path)
    if found is None or found[2] is None:
        return False
    alone = changed.model_copy(update={found[1]: [getattr(changed, found[1])[int(found[2])]]})
    return any(
        not check.passed and check.code in lines[found[0]]
        for rule, lines in within
        if found[0] in lines
        for check in guarded(rule, alone)
    )


def _is_fault(check: CheckResult) -> bool:
    return not check.passed and check.severity != "info"


def _key(check: CheckResult) -> _Key:
    return check.code, check.fields


# what a value may be instead


def _values(subject: BaseModel, check: CheckResult) -> Iterator[tuple[str, Any]]:
    figures = _figures(check)
    for path in check.fields:
        value = at(subject, path)
        if isinstance(value, list):
            gaps = (figures[0] - figures[1],) if figures else ()
            yield from (item for gap in gaps for item in _in_list(path, value, gap))
        elif isinstance(value, Decimal) and figures:
            yield from ((path, other) for other in _balanced(value, *figures))
            yield from ((path, other) for other in _factor(subject, path))
        elif isinstance(value, date):
            yield from ((path, other) for other in _other_days(value))
        elif isinstance(value, str) and len(value) <= _LONGEST:
            yield from ((path, other) for other in _other_digits(value))


def _figures(check: CheckResult) -> tuple[Decimal, Decimal] | None:
    """What the check expected and found, where both are figures."""
    try:
        return Decimal(check.expected or ""), Decimal(check.found or "")
    except InvalidOperation:
        return None


def _in_list(path: str, items: Sequence[Any], gap: Decimal) -> Iterator[tuple[str, Decimal]]:
    """Of each line the figures that may be summed: not the factors, which have an equation of their own."""
    for i, item in enumerate(items):
        if isinstance(item, BaseModel):
            kind = type(item)
            factors = getattr(kind, "product", ())[:2]
            for one in typed(kind):
                value = getattr(item, one.given)
                if isinstance(value, Decimal) and one.name not in factors:
                    yield from ((f"{path}[{i}].{one.name}", value + off) for off in (gap, -gap))


def _balanced(value: Decimal, expected: Decimal, found: Decimal) -> Iterator[Decimal]:
    """What it would be if it alone had to make up for the difference: as a term, or as a factor."""
    gap = expected - found
    yield from (value + gap, value - gap)
    for above, below in ((found, expected), (expected, found)):
        if below:
            other = value * above / below
            places = max(0, -int(value.as_tuple().exponent))
            for digits in {places, _DECIMALS}:
                yield other.quantize(Decimal(1).scaleb(-digits))


def _factor(subject: BaseModel, path: str) -> Iterator[Decimal]:
    """The count or the price by the other one and the amount, where the path is one of them."""
    line, _, name = path.rpartition(".")
    item = at(subject, line) if line else subject
    product: tuple[str, ...] = getattr(type(item), "product", ())
    if len(product) == 3 and name in product[:2]:
        other, amount = getattr(item, product[1 - product.index(name)]), getattr(item, product[2])
        if other and amount is not None:
            yield (amount / other).quantize(Decimal(1).scaleb(-_DECIMALS))


def _other_days(day: date) -> Iterator[date]:
    """Those with one other digit, and with day and month swapped."""
    written = f"{day:%Y-%m-%d}"
    swapped = f"{day:%Y-%d-%m}"
    for text in (swapped, *_other_digits(written)):
        try:
            yield date.fromisoformat(text)
        except ValueError:
            continue


def _other_digits(text: str) -> Iterator[str]:
    for found in re.finditer("[0-9]", text):
        for digit in "0123456789":
            yield text[: found.start()] + digit + text[found.end() :]


def _is_near(one: Any, other: Any) -> bool:
    """Whether one digit was misread, added or lost; a choice of few words is near any other."""
    if not isinstance(one, Decimal) or not isinstance(other, Decimal):
        return True
    mine, yours = (format(value.normalize(), "f") for value in (one, other))
    if len(mine) == len(yours):
        return sum(a != b for a, b in zip(mine, yours, strict=True)) == 1
    short, long = sorted((mine, yours), key=len)
    return any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


# a value by its path


def at(subject: Any, path: str) -> Any:
    """The value at a path like "lines[2].amount"; None where there is none."""
    for name, index in _STEP.findall(path):
        subject = getattr(subject, name, None)
        if index and subject is not None:
            subject = subject[int(index)] if int(index) < len(subject) else None
    return subject


def with_value(subject: BaseModel, path: str, value: Any) -> BaseModel:
    """A copy of the record in which the path has this value. All else is shared with it."""
    step, _, rest = path.partition(".")
    found = _STEP.fullmatch(step)
    if found is None:
        raise ValueError(f"{path!r} is no path")
    name, index = found.groups()
    inner = getattr(subject, name)
    if index is None:
        return subject.model_copy(update={name: with_value(inner, rest, value) if rest else value})
    items = list(inner)
    items[int(index)] = with_value(items[int(index)], rest, value) if rest else value
    return subject.model_copy(update={name: items})
