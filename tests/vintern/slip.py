"""A small paper with a table of numbered lines, and a total that guards it: `slip.py:Slip`."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import ClassVar

from pydantic import BaseModel, Field

from schemas.checks import CheckResult, Rule, equal
from schemas.fields import LineNumber, Money


class Row(BaseModel):
    no: LineNumber | None = Field(None, title="STT")
    name: str | None = Field(None, title="Hàng", max_length=30)
    amount: Money | None = Field(None, title="Tiền")


def total(slip: Slip) -> Iterator[CheckResult]:
    """The amounts of the lines add up to the total."""
    lines = sum((line.amount or Decimal(0) for line in slip.lines), Decimal(0))
    if slip.total is not None:
        yield equal("total", ("lines", "total"), lines, slip.total, "{expected} is not {found}")


class Slip(BaseModel):
    """Phiếu"""

    checks: ClassVar[tuple[Rule, ...]] = (total,)

    store: str | None = Field(None, title="Kho", max_length=30)
    lines: list[Row] = Field(default_factory=list, title="Bảng")
    total: Money | None = Field(None, title="Cộng")


class Bounded(Slip):
    """Phiếu nhỏ"""

    lines: list[Row] = Field(default_factory=list, title="Bảng", max_length=40)
