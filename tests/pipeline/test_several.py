"""Two documents in one file are flagged as two, and one of several pages is not."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import merge
from pipeline.records import Extraction, PageRecord
from pipeline.specimens.making import make
from schemas.registry import SchemaError, resolve
from tests.pipeline.test_merge import named, page

INVOICE = resolve("invoice@1")
HEAD = {
    "series": "1C26TAA", "number": "00000012", "issue_date": "05/11/2026", "seller_tax_code": "0100109106"
}  # fmt: skip
FIRST = {**HEAD, "lines": [{"name": "Bút", "amount": "10.000"}], "total": "10.000"}
SECOND = {**HEAD, "number": "00000013", "lines": [{"name": "Sổ", "amount": "7.000"}], "total": "7.000"}


def made(*pages: dict[str, Any]) -> Extraction:
    return merge.document([page(n, values, INVOICE) for n, values in enumerate(pages, 1)], INVOICE)


def test_two_invoices_in_one_file_are_flagged_and_not_mixed() -> None:
    two = made(FIRST, SECOND)
    [check] = named(two, "several_documents")
    assert not check.passed and check.severity == "error" and two.state == "review"
    assert check.fields == ("number", "total")
    assert "page 1 with number '00000012', total '10.000'; page 2 with number '00000013'" in check.message
    assert two.pages == 2 and not named(two, "page_conflict")
    assert (two.record["number"], two.record["total"]) == ("00000012", "10000")
    assert [line["name"] for line in two.record["lines"]] == ["Bút"]
    alone = made(FIRST)
    assert {**two.record} == alone.record


def test_the_pages_of_each_are_kept_together() -> None:
    """Also where they lie in turns, as two stacks that were scanned together do."""
    going_on = {"lines": [{"name": "Mực", "amount": "2.000"}]}
    two = made({**FIRST, "total": None}, {"total": "10.000"}, SECOND, {**HEAD, **going_on}, going_on)
    [check] = named(two, "several_documents")
    assert "pages 1, 2, 4, 5 with number '00000012', total '10.000'; page 3 with" in check.message
    assert [line["name"] for line in two.record["lines"]] == ["Bút", "Mực", "Mực"]


@pytest.mark.parametrize(
    "second",
    [
        {"lines": [{"name": "Sổ", "amount": "7.000"}], "total": "17.000"},  # the head is not repeated
        {**HEAD, "lines": [{"name": "Sổ", "amount": "7.000"}], "total": "17.000"},  # it is
        {**HEAD, "number": "00000072", "lines": [{"name": "Sổ", "amount": "7.000"}]},  # and was misread
        {**HEAD, "series": "1C 26 TAA", "number": "12"},  # written otherwise
    ],
)
def test_an_invoice_of_two_pages_is_one(second: dict[str, Any]) -> None:
    one = made({**FIRST, "total": None}, second)
    assert not named(one, "several_documents")
    assert len(one.record["lines"]) == 1 + len(second.get("lines", ()))


def test_two_xml_or_two_cards_are_told_apart_too() -> None:
    card = resolve("id_card@1")
    fronts = [page(n, make("id_card_front", n, preset="clean").raw(1), card) for n in (1, 2)]
    [check] = named(merge.document(fronts, card), "several_documents")
    assert {"number", "full_name"} <= {*check.fields}
    both = make("id_card", 3, preset="clean")
    sides = [page(n, both.raw(n), card) for n in (1, 2)]
    assert not named(merge.document(sides, card), "several_documents")


@pytest.mark.medium
@pytest.mark.parametrize("seed", range(1, 40))
def test_sound_invoices_and_receipts_of_several_pages_are_one(seed: int) -> None:
    for kind in ("invoice", "receipt"):
        bill = make(kind, seed, preset="clean")
        spec = resolve(bill.schema)
        pages: list[PageRecord] = [page(n, bill.raw(n), spec) for n in range(1, len(bill.pages) + 1)]
        assert not named(merge.document(pages, spec), "several_documents")


def test_a_schema_must_have_the_fields_that_it_names(tmp_path: Any) -> None:
    path = tmp_path / "slip.py"
    path.write_text(
        "from typing import ClassVar\nfrom pydantic import BaseModel, Field\n"
        'class Slip(BaseModel):\n    "Phiếu"\n    identified_by: ClassVar = ("nummer",)\n'
        '    number: str | None = Field(None, title="Số", pattern="[0-9]{2}")\n',
        "utf-8",
    )
    with pytest.raises(SchemaError, match="identified_by names 'nummer'"):
        resolve(f"{path}:Slip")
