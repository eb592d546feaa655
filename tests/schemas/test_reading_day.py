"""Dates are held against the day of reading, which the record does not hold."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from schemas import reading_day
from schemas.registry import resolve
from tests.schemas.test_rules import CARD, INVOICE, RECEIPT

READ = date(2026, 11, 26)


def failed(schema: str, record: dict[str, Any], on: date | None) -> dict[str, tuple[str, ...]]:
    checks = resolve(schema).run_checks(record, on)
    return {check.code: check.fields for check in checks if not check.passed and check.severity != "info"}


@pytest.mark.parametrize(
    ("schema", "record", "field"),
    [("receipt", RECEIPT, "date"), ("invoice", INVOICE, "issue_date"), ("id_card", CARD, "issue_date")],
)
def test_a_day_to_come_is_stopped_on_every_paper(schema: str, record: dict[str, Any], field: str) -> None:
    assert "future_date" not in failed(schema, record | {field: "2026-11-26"}, READ)
    assert failed(schema, record | {field: "2026-11-27"}, READ)["future_date"] == (field,)
    assert "future_date" not in failed(schema, record | {field: "2026-11-27"}, None)
    assert "future_date" not in failed(schema, record | {field: "2026-11-27"}, date(2026, 11, 27))


def test_people_are_born_and_not_too_old() -> None:
    assert failed("id_card", CARD | {"date_of_birth": "2030-01-01"}, READ)["future_date"] == (
        "date_of_birth",
    )
    assert failed("id_card", CARD | {"date_of_birth": "1899-01-01"}, READ)["age"] == ("date_of_birth",)
    assert "age" not in failed("id_card", CARD | {"date_of_birth": "1910-01-01"}, READ)


def test_an_expired_card_is_a_remark_and_an_old_receipt_a_warning() -> None:
    [remark] = [c for c in resolve("id_card").run_checks(CARD, READ) if c.code == "expired"]
    assert (remark.passed, remark.severity, remark.fields) == (False, "info", ("expiry",))
    assert failed("receipt", RECEIPT | {"date": "2006-11-05"}, READ) == {"date_old": ("date",)}


def test_the_day_is_that_of_viet_nam() -> None:
    late = datetime(2026, 11, 25, 17, 0, tzinfo=UTC)
    assert reading_day.of(late) == reading_day.of(late.replace(tzinfo=None)) == date(2026, 11, 26)
