"""What a line lacks that the rest of its table bears is named by its path."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.registry import resolve
from tests.schemas.test_rules import INVOICE

LINES = [line | {"unit": "cái"} for line in INVOICE["lines"]]


def lacking(first: dict[str, Any], *others: dict[str, Any], code: str = "line_gap") -> list[str]:
    lines = [LINES[0] | first, *(others or LINES[1:])]
    checks = resolve("invoice").run_checks(INVOICE | {"lines": lines})
    return [field for check in checks if check.code == code and not check.passed for field in check.fields]


@pytest.mark.parametrize("name", ["quantity", "unit_price", "unit"])
def test_a_column_that_the_others_have_is_missed(name: str) -> None:
    assert lacking({}) == []
    assert lacking({name: None}) == [f"lines[0].{name}"]


def test_a_flat_charge_has_neither_count_nor_price() -> None:
    assert lacking({"quantity": None, "unit_price": None, "unit": None}) == []


def test_where_nobody_has_a_unit_none_is_missed() -> None:
    assert lacking({"unit": None}, LINES[1] | {"unit": None}) == []
