"""Which sides of which form of identity card a record shows, and what each of them bears.

The front of the 2021 form has the place of origin, the residence and the expiry; that of 2024 has none of
them, and its back has residence and expiry. The MRZ came with the chip: the form before it has none. Which
form was issued when stands in `law.toml`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

from schemas import law
from schemas.checks import CheckResult

_FRONT = ("number", "full_name", "date_of_birth", "sex", "nationality", "place_of_origin")
_BACK = (
    "mrz",
    "issue_date",
    "personal_identification",
    "place_of_abode",
    "place_of_birth_registration",
)
_OF_FRONT = 2  # fields from which on a front is there: one may be taken from elsewhere
_EARLY, _CHIP, _NEW = "2016", "2021", "2024"  # forms of 12 digits


def has_back(card: Any) -> bool:
    return any(getattr(card, name, None) is not None for name in _BACK)


def has_front(card: Any) -> bool:
    """A document on which nothing of either side was read is held to be a front."""
    found = sum(getattr(card, name) is not None for name in _FRONT)
    return found >= _OF_FRONT or not has_back(card)


def is_back_alone(card: Any) -> bool:
    return not has_front(card)


def is_old(card: Any) -> bool:
    """The CMND, with its number of 9 digits."""
    return card.number is not None and len(card.number) == 9


def form(card: Any) -> str:
    """The form that most of what was read speaks for; "9" is the CMND."""
    if is_old(card):
        return "9"
    said = Counter(_marks(card))
    if card.issue_date is not None:
        said.update(_issued(card.issue_date)[-1:])
    if not said:
        return _NEW if has_front(card) and has_back(card) else _CHIP
    before = {_EARLY, _CHIP} & said.keys()
    if sum(said[name] for name in before) >= said[_NEW] and before:
        return _EARLY if _EARLY in before and card.mrz is None else _CHIP
    return _NEW


def _marks(card: Any) -> Iterator[str]:
    """A form for each thing that it alone has."""
    yield from (_CHIP for name in ("place_of_origin", "personal_identification") if getattr(card, name))
    yield from (
        _NEW for name in ("place_of_abode", "place_of_birth_registration") if getattr(card, name, None)
    )
    if has_front(card) and has_back(card) and not (card.place_of_origin or card.personal_identification):
        yield from (_NEW, _NEW)
    if has_front(card) != has_back(card):  # of both sides nobody knows on which these stand
        here = _CHIP if has_front(card) else _NEW
        found = [here for name in ("place_of_residence", "expiry") if getattr(card, name)]
        yield from found
        if has_front(card) and not found and not card.place_of_origin:
            yield _NEW


def _issued(on: date) -> list[str]:
    """The forms that were issued on that day, the earliest first."""
    return [period.form for period in law.in_force().card_forms if period.holds(on)]


def for_children(on: date) -> bool:
    """Whether cards were issued at any age on that day."""
    return _NEW in _issued(on)


def is_front_of_2021(card: Any) -> bool:
    return has_front(card) and form(card) in (_EARLY, _CHIP)


def is_back_of_2021(card: Any) -> bool:
    return has_back(card) and form(card) in (_EARLY, _CHIP)


def is_back_of_2024(card: Any) -> bool:
    return has_back(card) and form(card) == _NEW


def is_front_of_12(card: Any) -> bool:
    return has_front(card) and not is_old(card)


def is_back_with_chip(card: Any) -> bool:
    return has_back(card) and form(card) in (_CHIP, _NEW)


def form_date(card: Any) -> Iterator[CheckResult]:
    """The form was issued on the day that the card names."""
    if card.issue_date is None or is_old(card):
        return
    marks = set(_marks(card)) or {_CHIP, _NEW, _EARLY}
    if _CHIP in marks and card.mrz is None:
        marks.add(_EARLY)
    if len(marks & {_CHIP, _NEW}) == 2 and not {_EARLY} & marks:
        return  # it has marks of both, which is another fault
    found = _issued(card.issue_date)
    passed = bool(marks.intersection(found))
    named = " or ".join(sorted(marks))
    message = f"a card of the form {named} was {'' if passed else 'not '}issued on {card.issue_date}"
    yield CheckResult("form_date", passed, "error", message, ("issue_date",), named, str(card.issue_date))
