"""Which of two numbers an ambiguous text like "1.234" means, decided by the whole document.

In this order: arithmetic (quantity × unit price = amount, where the schema names such a `product`), then the
style that other numbers of the document prove, then the likelier reading with a warning. The printed text is
kept as it is; what arithmetic or style cannot decide is never decided silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

from schemas import numbers
from schemas.checks import CheckResult
from schemas.shape import Group, Leaf, Repeated

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
    texts = {path: text for path, text in printed.items() if _general(path) in leaves}
    style = _style(texts, leaves)
    choices = {path: _choices(text, leaves[_general(path)], style) for path, text in texts.items()}
    doubtful = {path for path, choice in choices.items() if len(choice) > 1}
    if not doubtful:
        return Settled({}, ())

    values = {path: choices[path][0] for path in doubtful}
    proved: set[str] = set()
    for factors in _products(shape, choices):
        if doubtful.intersection(factors) and (fit := _fit(factors, choices)) is not None:
            values |= {path: value for path, value in zip(factors, fit, strict=True) if path in doubtful}
            proved.update(factors)
    open_ones = sorted(doubtful - proved) if style is None else []
    return Settled(values, tuple(_warning(path, texts[path], choices[path]) for path in open_ones))


def _general(path: str) -> str:
    return re.sub(r"\[[0-9]+\]", "[]", path)


def _style(texts: Mapping[str, str], leaves: Mapping[str, Leaf]) -> numbers.Style | None:
    """The style that the document's numbers prove; None where none does, or they contradict each other."""
    proofs = {
        numbers.style_of(text, decimals=leaves[_general(path)].printed.readings is not None)
        for path, text in texts.items()
    } - {None}
    return proofs.pop() if len(proofs) == 1 else None


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


def _products(shape: Group, choices: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """The paths (a, b, c) of each a × b = c of the document for which all three are there."""
    prefixes = {path.rpartition(".")[0] for path in choices}
    for general, (a, b, c) in _declared(shape, ""):
        for prefix in sorted(prefixes):
            if _general(prefix) == general:
                dot = "." if prefix else ""
                paths = (f"{prefix}{dot}{a}", f"{prefix}{dot}{b}", f"{prefix}{dot}{c}")
                if all(choices.get(path) for path in paths):
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
    factors: tuple[str, str, str], choices: Mapping[str, tuple[Decimal, ...]]
) -> tuple[Decimal, Decimal, Decimal] | None:
    """The one combination that multiplies out; None where none does, or several do equally well.

    The likeliest reading of all three wins outright where it multiplies out.
    """
    likeliest = tuple(choices[path][0] for path in factors)
    fits = [(a, b, c) for a, b, c in product(*(choices[path] for path in factors)) if _multiplies(a, b, c)]
    if likeliest in fits:
        return likeliest
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
