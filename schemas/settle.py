"""Which of two numbers an ambiguous text like "1.234" means, decided by the whole document.

In this order: arithmetic (count × price = amount, where the schema names such a `product`), then the style
that the document's other numbers prove, then the likelier reading with a warning. The printed text is kept as
it is; what neither arithmetic nor style can decide is never decided silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

from schemas import numbers
from schemas.checks import CheckResult
from schemas.shape import Group, Leaf, Repeated, leaf_path

_NUMERIC = ("decimal", "real", "integer")
_WHOLE, _CENTS = Decimal(1), Decimal("0.01")  # how far rounding may take a printed product


@dataclass(frozen=True, slots=True)
class Settled:
    """`values`: path → number for each ambiguous text; `checks`: a warning for each that nothing decided."""

    values: Mapping[str, Decimal]
    checks: tuple[CheckResult, ...]


def settle(shape: Group, printed: Mapping[str, str]) -> Settled:
    """The numbers that the ambiguous texts of a document mean.

    `printed` holds the printed text of each value of the document by its path, like "lines[2].quantity";
    texts that are absent or no numbers may be left out or in.
    """
    leaves = {path: leaf for path, leaf in shape.leaves() if leaf.printed.sql in _NUMERIC}
    texts = {path: text for path, text in printed.items() if leaf_path(path) in leaves}
    products = list(_products(shape, texts))
    style = _style(texts, leaves)
    of_money = style or _style(_only_money(texts, leaves), leaves)
    styles = dict.fromkeys(texts, style) | {
        path: of_money for _, price, amount in products for path in (price, amount)
    }
    choices = {path: _choices(text, leaves[leaf_path(path)], styles[path]) for path, text in texts.items()}
    doubtful = {path for path, choice in choices.items() if len(choice) > 1}

    values = {path: choices[path][0] for path in doubtful}
    decided = {path for path in doubtful if styles[path] is not None}
    for factors in products:
        fit = _fit(factors, choices, price_is_known=styles[factors[1]] is not None)
        if fit is not None and doubtful.intersection(factors):
            values |= {path: value for path, value in zip(factors, fit, strict=True) if path in doubtful}
            decided.update(factors)
    undecided = sorted(doubtful - decided)
    return Settled(values, tuple(_warning(path, texts[path], choices[path]) for path in undecided))


def _style(texts: Mapping[str, str], leaves: Mapping[str, Leaf]) -> numbers.Style | None:
    """The style that the document's numbers prove; None where none does, or they contradict each other."""
    proofs = {
        numbers.style_of(text, decimals=leaves[leaf_path(path)].printed.readings is not None)
        for path, text in texts.items()
    } - {None}
    return proofs.pop() if len(proofs) == 1 else None


def _only_money(texts: Mapping[str, str], leaves: Mapping[str, Leaf]) -> dict[str, str]:
    return {path: text for path, text in texts.items() if leaves[leaf_path(path)].printed.readings is None}


def _choices(text: str, leaf: Leaf, style: numbers.Style | None) -> tuple[Decimal, ...]:
    """What the text may mean, the likeliest first; nothing where it is no number."""
    try:
        if leaf.printed.readings is None:
            return (numbers.number(text),)
        found = leaf.printed.readings(text)
    except ValueError:
        return ()
    likeliest = numbers.in_style(text, style) if style else None
    return tuple(sorted(found, key=lambda value: value != likeliest)) if likeliest is not None else found


def _products(shape: Group, texts: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The paths (count, price, amount) of each product of the document of which all three are there."""
    prefixes = {path.rpartition(".")[0] for path in texts}
    for group_path, (a, b, c) in _declared(shape, ""):
        for prefix in sorted(prefixes):
            if leaf_path(prefix) == group_path:
                dot = "." if prefix else ""
                paths = (f"{prefix}{dot}{a}", f"{prefix}{dot}{b}", f"{prefix}{dot}{c}")
                if all(path in texts for path in paths):
                    yield paths


def _declared(group: Group, path: str) -> Iterator[tuple[str, tuple[str, str, str]]]:
    if group.product:
        yield path, group.product
    for field in group.fields:
        here = f"{path}.{field.name}" if path else field.name
        if isinstance(field, Group):
            yield from _declared(field, here)
        elif isinstance(field, Repeated) and isinstance(field.item, Group):
            yield from _declared(field.item, f"{here}[]")


def _fit(
    factors: tuple[str, str, str], choices: Mapping[str, tuple[Decimal, ...]], price_is_known: bool
) -> tuple[Decimal, Decimal, Decimal] | None:
    """The one combination that multiplies out; None where none does, or several do equally well.

    The likeliest reading of all three wins outright. 2.000 × 45.000 = 90.000 is both 2 × 45000 and 2000 × 45:
    then the price is read as the document's money is, because counts and weights have a way of their own.
    """
    count, price, amount = (choices[path] for path in factors)
    fits = [(a, b, c) for a, b, c in product(count, price, amount) if _multiplies(a, b, c)]
    if len(fits) > 1:
        fits = [fit for fit in fits if fit == (count[0], price[0], amount[0])] or fits
    if len(fits) > 1 and price_is_known:
        fits = [fit for fit in fits if fit[1:] == (price[0], amount[0])]
    return fits[0] if len(fits) == 1 else None


def _multiplies(a: Decimal, b: Decimal, c: Decimal) -> bool:
    return abs(a * b - c) <= (_WHOLE if c == c.to_integral_value() else _CENTS)


def _warning(path: str, text: str, choice: tuple[Decimal, ...]) -> CheckResult:
    first, second = (format(value, "f") for value in choice)
    return CheckResult(
        code="number_ambiguous",
        passed=False,
        severity="warning",
        message=f"{path}: {text!r} may be {first} or {second} and nothing decides; {first} is stored",
        fields=(path,),
        expected=first,
        found=text,
    )
