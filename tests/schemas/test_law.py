"""What the law fixes for a time is data, and a user adds to it by a setting."""

from __future__ import annotations

import pickle
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import UsageError
from pipeline.keys import ModelFacts
from pipeline.settings import Settings, load
from schemas import law, vat
from schemas.law import Law
from schemas.registry import resolve
from tests.schemas.test_rules import INVOICE
from workers.lane import LaneJob
from workers.reader import recipe

LONGER = Law.model_validate({"vat_rates": [{"rate": "8%", "from": "2027-01-01", "to": "2027-06-30"}]})
SHORTER = Law.model_validate({"vat_rates": [{"rate": "8%", "from": "2025-07-01", "to": "2026-06-30"}]})
IN_2027 = INVOICE | {"issue_date": "2027-02-01", "series": "C27TAA"}


def stops(record: dict[str, Any], changed: Law | None = None) -> set[str]:
    checks = resolve("invoice@1", changed).run_checks(record)
    return {check.code for check in checks if not check.passed and check.severity != "info"}


def test_a_law_is_written_down_as_it_is_read() -> None:
    """A job keeps its settings as JSON, and is resumed with them."""
    for written in (law.built_in(), LONGER):
        assert Law.model_validate_json(written.model_dump_json()) == written


def test_every_period_of_ours_names_its_source() -> None:
    ours = law.built_in()
    dated = [
        period for name in Law.model_fields for period in getattr(ours, name) if period.begin or period.end
    ]
    assert len(dated) >= 11
    assert all(re.search(r"(Decree|Circular|Law) [0-9]+/[0-9]{4}/", period.source) for period in dated)


def test_a_rate_is_extended_without_a_release() -> None:
    assert stops(IN_2027) == {"vat_rate"}
    assert stops(IN_2027, LONGER) == set()
    assert stops(IN_2027 | {"issue_date": "2027-07-01"}, LONGER) == {"vat_rate"}
    assert stops(INVOICE, LONGER) == set()


def test_a_period_that_begins_on_the_same_day_takes_the_place_of_ours() -> None:
    """As where a rate ends earlier than was decreed. Nothing else changes."""
    assert stops(INVOICE, SHORTER) == {"vat_rate"}
    assert stops(INVOICE | {"issue_date": "2026-05-01"}, SHORTER) == set()
    assert law.built_in().extended(Law()) == law.built_in()


def test_old_forms_may_be_given_a_longer_life() -> None:
    old = INVOICE | {"series": "AA/22E", "form_no": "01GTKT0/001", "number": "0000123"}
    old |= {"issue_date": "2022-08-01", "tax_authority_code": None}
    assert stops(old) == {"series"}
    assert stops(old, Law.model_validate({"old_invoice_forms": [{"to": "2022-12-31"}]})) == set()


def test_another_law_is_another_schema_for_documents_and_the_same_for_pages() -> None:
    plain, changed = resolve("invoice@1"), resolve("invoice@1", LONGER)
    assert plain.hash != changed.hash != resolve("invoice@1", SHORTER).hash
    assert plain.page_hash == changed.page_hash
    assert resolve("invoice@1", Law()) == plain
    assert pickle.loads(pickle.dumps(changed)) == changed


def test_the_law_of_a_job_ends_with_its_checks() -> None:
    with law.applied(built := law.built_in().extended(LONGER)):
        assert law.in_force() is built
        assert vat.in_force("8%", date(2027, 2, 1))
    assert law.in_force() is law.built_in()
    assert not vat.in_force("8%", date(2027, 2, 1))


def test_an_adjusting_invoice_may_bear_a_rate_of_before_and_none_of_later() -> None:
    """Of 8%, which first began in February 2022; of 6%, of which only the end is written down."""
    older = Law.model_validate({"vat_rates": [{"rate": "6%", "to": "2020-12-31"}]})
    with law.applied(law.built_in().extended(older)):
        for rate, day, plain, adjusting in (
            ("8%", date(2022, 1, 31), False, False),
            ("8%", date(2022, 2, 1), True, True),
            ("8%", date(2023, 3, 1), False, True),
            ("6%", date(2020, 12, 31), True, True),
            ("6%", date(2021, 1, 1), False, True),
            ("9%", date(2021, 1, 1), False, False),
        ):
            assert (vat.in_force(rate, day), vat.in_force(rate, day, or_before=True)) == (plain, adjusting)


def test_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vinbatch.toml").write_text(
        '[[law.vat_rates]]\nrate = "8 %"\nfrom = 2027-01-01\nto = 2027-06-30\n', encoding="utf-8"
    )
    assert load().law == LONGER
    monkeypatch.setenv("VINBATCH_LAW__VAT_RATES", '[{"rate": "6%", "from": "2027-01-01"}]')
    assert [period.rate for period in load().law.vat_rates] == ["6%"]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ('rate = "8%"\nfrom = 2027-06-30\nto = 2027-01-01', "the last day, 2027-01-01, is before the first"),
        ('rate = "acht"', "is no VAT rate"),
        ('rate = "8%"\nuntil = 2027-01-01', "law.vat_rates.0.until"),
    ],
)
def test_a_period_that_is_none_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vinbatch.toml").write_text(f"[[law.vat_rates]]\n{written}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(complaint)) as caught:
        load()
    assert "\n" not in str(caught.value)


def test_every_process_of_a_lane_goes_by_the_setting() -> None:
    settings = Settings(law=LONGER)
    job = LaneJob("job", "", "invoice@1", "", "0", 0, settings)
    made = recipe(job, ModelFacts("0", 1, "float32 on a hand-written stand-in"))
    assert made.spec.hash == resolve("invoice@1", LONGER).hash
    assert not [check for check in made.spec.run_checks(IN_2027) if not check.passed]


def test_a_period_is_frozen() -> None:
    with pytest.raises(ValidationError):
        LONGER.vat_rates[0].rate = "9%"  # type: ignore[misc]
