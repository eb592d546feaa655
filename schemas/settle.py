"""Which of two numbers an ambiguous text like "1.234" means, decided by the whole document.

In this order: arithmetic (count × price = amount, where the schema names such a `product`), then the style
that the document's other numbers prove, then the likelier reading with a warning. The printed text is kept as
it is; what neither arithmetic nor style can decide is never decided silently.

Amounts of money have the style of the other amounts. In đồng three digits behind the only separator are
thousands, unless the paper shows three decimals elsewhere ("1.234,000"). In a currency with coins they are
thousands or decimals, and a sum proves neither: 2 × 6.250 = 12.500 is right in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product

from schemas import currencies, fields, numbers
from schemas.checks import CheckResult
from schemas.currencies import MILLS, NO_COINS
from schemas.shape import Group, Leaf, Repeated, leaf_path

AMBIGUOUS = "number_ambiguous"  # code of a check
_THOUSAND = Decimal(1000)
_LEADING_ZERO = re.compile(r"(?<![0-9.,])0[0-9]")
_NUMERIC = ("decimal", "real", "integer")
_WHOLE, _CENTS = Decimal(1), Decimal("0.01")  # how far rounding may take a printed product


@dataclass(frozen=True, slots=True)
class Settled:
    """`values`: path → number for each ambiguous text; `checks`: a warning for each that nothing decided, and
    where signs beside amounts say another currency than the document.
    """

    values: Mapping[str, Decimal]
    checks: tuple[CheckResult, ...]


def settle(shape: Group, printed: Mapping[str, str]) -> Settled:
    """The numbers that the ambiguous texts of a document mean.

    `printed` holds the printed text of each value of the document by its path, like "lines[2].quantity";
    texts that are absent or no numbers may be left out or in.
    """
    leaves = {path: leaf for path, leaf in shape.leaves() if leaf.printed.sql in _NUMERIC}
    texts = {path: text for path, text in printed.items() if leaf_path(path) in leaves}
    money = {path: text for path, text in texts.items() if _is_money(leaves[leaf_path(path)])}
    products = list(_products(shape, texts))
    prices = {price for _, price, _ in products}
    currencies = _currencies(shape, printed)
    coins = not currencies <= NO_COINS

    proofs = _proofs(money, [texts[path] for path in prices], coins)
    of_money = _only(proofs)
    style = _only(proofs | _other_proofs(texts, leaves))
    of_price = of_money if coins else style or of_money
    styles = dict.fromkeys(texts, style) | dict.fromkeys(prices, of_price) | dict.fromkeys(money, of_money)
    mills = prices | money.keys() if currencies & MILLS else set()
    choices = {
        path: _choices(text, leaves[leaf_path(path)], styles[path], mills=path in mills)
        for path, text in texts.items()
    }
    doubtful = {path for path, choice in choices.items() if len(choice) > 1}

    values = {
        path: choice[0]
        for path, choice in choices.items()
        if path in doubtful or (path in money and choice and choice[0] != numbers.money(texts[path]))
    }
    decided = {path for path in doubtful if styles[path] is not None}
    for factors in products:
        fit = _fit(factors, choices, price_is_known=styles[factors[1]] is not None)
        if fit is not None and doubtful.intersection(factors):
            values |= {path: value for path, value in zip(factors, fit, strict=True) if path in doubtful}
            decided.update(factors)
        elif not coins and not any(
            choices[factors[2]]
        ):  # of a gift, whose amount 0 says nothing of its price
            decided |= {factors[1]} if choices[factors[1]][0] % _THOUSAND == 0 else set()
    undecided = sorted(doubtful - decided)
    warnings = (_warning(path, texts[path], choices[path]) for path in undecided)
    return Settled(values, (*warnings, *_other_currency(shape, printed, prices)))


def _is_money(leaf: Leaf) -> bool:
    return leaf.printed.parse is numbers.money


def _currencies(shape: Group, printed: Mapping[str, str]) -> set[str]:
    """What the document says that its money is: codes, and "" for one that is not understood."""
    found = set()
    for path, leaf in shape.leaves():
        if leaf.printed.parse is fields.currency and path in printed:
            try:
                found.add(fields.currency(printed[path]))
            except ValueError:
                found.add("")
        elif _is_money(leaf):
            signed = (text for other, text in printed.items() if leaf_path(other) == path)
            found |= {"" for text in signed if currencies.beside(text) not in (None, *NO_COINS)}
    return found


def _other_currency(shape: Group, printed: Mapping[str, str], prices: set[str]) -> Iterator[CheckResult]:
    """A warning where amounts carry another currency's sign than the document names.

    A value has no sign. "1.234,50 USD" beside every amount, and no line that names the currency, would be
    summed as đồng without a word.
    """
    leaves = dict(shape.leaves())
    signs: dict[str, list[str]] = {}
    for path, text in printed.items():
        leaf = leaves.get(leaf_path(path))
        if leaf is not None and (_is_money(leaf) or path in prices) and (sign := currencies.beside(text)):
            signs.setdefault(sign, []).append(path)
    named = {
        path: text
        for path, text in printed.items()
        if (leaf := leaves.get(leaf_path(path))) is not None and leaf.printed.parse is fields.currency
    }
    for sign, paths in signs.items():
        if named and any(_names(text, sign) for text in named.values()):
            continue
        if not named and sign == currencies.DONG and len(signs) == 1:
            continue
        said = ", ".join(map(repr, named.values())) or "none"
        message = (
            f"{len(paths)} amounts are printed in {sign}, and the currency that the paper names is {said}"
        )
        yield CheckResult("currency", False, "warning", message, (*named, *paths), sign, said)


def _names(text: str, currency: str) -> bool:
    try:
        return fields.currency(text) == currency
    except ValueError:
        return False


def _proofs(money: Mapping[str, str], prices: Sequence[str], coins: bool) -> set[numbers.Style]:
    """The styles that the document's money proves. Of currencies without coins a single group is a proof too,
    unless the paper shows its amounts with three decimals.

    A part of one coin is nothing that is paid: "0.500" đồng is misread, and so are "05.000" and "00.000".
    They must not make a thousandth of all other amounts.
    """
    clear = [(text, style) for text in money.values() if (style := numbers.style_of(text)) is not None]
    if coins:
        return {style for _, style in clear} | _styles(prices, decimals=True)
    clear = [(text, style) for text, style in clear if not _is_misread(text, style)]
    sure = {style for _, style in clear}
    if len(sure) == 1 and any(numbers.decimals(text, style) == 3 for text, style in clear):
        return sure
    return _styles(money.values(), decimals=False)


def _is_misread(text: str, style: numbers.Style) -> bool:
    """Whether it is no amount in đồng as people print them: a part of one, or with an idle 0 before it."""
    value = numbers.in_style(text, style)
    if value is None:
        return False
    return 0 < abs(value) < 1 or _LEADING_ZERO.search(text) is not None


def _other_proofs(texts: Mapping[str, str], leaves: Mapping[str, Leaf]) -> set[numbers.Style]:
    """The styles that numbers other than money prove."""
    others = {path: leaves[leaf_path(path)].printed for path in texts}
    return {
        style
        for path, form in others.items()
        if form.parse is not numbers.money
        and (style := numbers.style_of(texts[path], decimals=form.readings is not None)) is not None
    }


def _styles(texts: Iterable[str], decimals: bool) -> set[numbers.Style]:
    return {style for text in texts if (style := numbers.style_of(text, decimals)) is not None}


def _only(styles: set[numbers.Style]) -> numbers.Style | None:
    """The one style; None where none is proved, or they contradict each other."""
    return next(iter(styles)) if len(styles) == 1 else None


def _choices(text: str, leaf: Leaf, style: numbers.Style | None, *, mills: bool) -> tuple[Decimal, ...]:
    """What the text may mean, the likeliest first; nothing where it is no number.

    `mills`: the currency is printed with three decimals.
    """
    of_money = _is_money(leaf)
    readings = numbers.readings if of_money else leaf.printed.readings
    try:
        if readings is None:
            return (numbers.number(text),)
        found = readings(text)
    except ValueError:
        return ()
    likeliest = numbers.in_style(text, style) if style else None
    if likeliest is None:
        return found[::-1] if mills else found
    return (likeliest,) if of_money else tuple(sorted(found, key=lambda value: value != likeliest))


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
    if len(fits) > 1 and (price_is_known or len(amount) == 1):  # else price and amount may both be decimals
        fits = [fit for fit in fits if fit == (count[0], price[0], amount[0])] or fits
    if len(fits) > 1 and price_is_known:
        fits = [fit for fit in fits if fit[1:] == (price[0], amount[0])]
    return fits[0] if len(fits) == 1 else None


def _multiplies(a: Decimal, b: Decimal, c: Decimal) -> bool:
    return abs(a * b - c) <= (_WHOLE if c == c.to_integral_value() else _CENTS)


def _warning(path: str, text: str, choice: tuple[Decimal, ...]) -> CheckResult:
    first, second = (format(value, "f") for value in choice)
    return CheckResult(
        code=AMBIGUOUS,
        passed=False,
        severity="warning",
        message=f"{path}: {text!r} may be {first} or {second} and nothing decides; {first} is stored",
        fields=(path,),
        expected=first,
        found=text,
    )
