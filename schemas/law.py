"""What the law fixes for a time, as data: VAT rates, forms of invoices, kinds of numbers (`law.toml`).

Rules ask `in_force()`. A user extends it by the setting `law`, without a release:

    [[law.vat_rates]]
    rate = "8%"
    from = 2027-01-01
    to = 2027-06-30
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas import fields

FILE = Path(__file__).with_name("law.toml")


class Period(BaseModel):
    """From the first to the last day; None: without a beginning, or without an end."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    begin: date | None = Field(None, alias="from")
    end: date | None = Field(None, alias="to")
    source: str = Field("", description="where it stands in the law")

    @model_validator(mode="after")
    def _in_order(self) -> Period:
        if self.begin and self.end and self.end < self.begin:
            raise ValueError(f"the last day, {self.end}, is before the first, {self.begin}")
        return self

    def holds(self, day: date | None) -> bool:
        """Whether the day is in the period; a day that is not known may be."""
        return day is None or (self.begin or date.min) <= day <= (self.end or date.max)


class RatePeriod(Period):
    rate: str = Field(description='as invoices print it, like "8%"')

    @field_validator("rate")
    @classmethod
    def _normal(cls, rate: str) -> str:
        return fields.vat_rate(rate)


class FormPeriod(Period):
    form: str = Field(description='a form of card, by the year of its circular, like "2021"')


class CashLimit(Period):
    amount: int = Field(gt=0, description="đồng with VAT: so much or more must not be paid in cash")


class Law(BaseModel):
    """Everything that the rules of the built-in schemas take from the law with a date."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vat_rates: tuple[RatePeriod, ...] = ()
    old_invoice_forms: tuple[Period, ...] = ()
    personal_tax_codes: tuple[Period, ...] = ()
    nine_digit_cards: tuple[Period, ...] = ()
    card_forms: tuple[FormPeriod, ...] = ()
    cash_limits: tuple[CashLimit, ...] = ()

    def extended(self, by: Law) -> Law:
        """This law and the periods of another one; one that begins on the same day replaces ours."""
        return Law(
            vat_rates=_joined(self.vat_rates, by.vat_rates),
            old_invoice_forms=_joined(self.old_invoice_forms, by.old_invoice_forms),
            personal_tax_codes=_joined(self.personal_tax_codes, by.personal_tax_codes),
            nine_digit_cards=_joined(self.nine_digit_cards, by.nine_digit_cards),
            card_forms=_joined(self.card_forms, by.card_forms),
            cash_limits=_joined(self.cash_limits, by.cash_limits),
        )


_APPLIED: ContextVar[Law | None] = ContextVar("law", default=None)
_Kind = TypeVar("_Kind", bound=Period)


def holds(periods: Sequence[Period], day: date | None) -> bool:
    """Whether the day is in one of the periods."""
    return any(period.holds(day) for period in periods)


@cache
def built_in() -> Law:
    return Law.model_validate(tomllib.loads(FILE.read_text("utf-8")))


def in_force() -> Law:
    """The law that the rules go by: the built-in one, or within `applied` that of the job."""
    return _APPLIED.get() or built_in()


@contextmanager
def applied(law: Law) -> Iterator[None]:
    """The rules that are run inside go by this law."""
    token = _APPLIED.set(law)
    try:
        yield
    finally:
        _APPLIED.reset(token)


def _joined(ours: tuple[_Kind, ...], theirs: tuple[_Kind, ...]) -> tuple[_Kind, ...]:
    replaced = {(_of(period), period.begin) for period in theirs}
    kept = tuple(period for period in ours if (_of(period), period.begin) not in replaced)
    return kept + theirs


def _of(period: Period) -> str | None:
    """What a period is one of, where there are several side by side."""
    return getattr(period, "rate", None) or getattr(period, "form", None)
