"""What a second reader saw bears values out or contradicts them, as a page's own text does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import grammar, merge, run
from pipeline.recipe import Recipe
from pipeline.records import Extraction, TextLayer, Word
from pipeline.settings import SecondReaderSettings, Settings
from schemas.registry import resolve
from tests.pipeline.test_run import MODEL, RECEIPT, key
from tests.pipeline.test_witnesses import BILL, INVOICE, read
from tests.pipeline.walker import reciter
from tests.sandbox.test_second_reader import picture

CARD = resolve("id_card@1")


def seen(*lines: str, trusted: bool = True) -> Extraction:
    """The invoice of which a second reader saw these lines."""
    words = tuple(
        Word(text, (0.1 * at, 0.05 * number, 0.1 * at + 0.08, 0.05 * number + 0.02))
        for number, line in enumerate(lines)
        for at, text in enumerate(line.split())
    )
    page = replace(read(BILL, INVOICE), reader=TextLayer(words, trusted))
    return merge.document([page], INVOICE)


def said(made: Extraction) -> dict[str, str]:
    return {item.field: item.verdict for item in made.testimony if item.source == "reader"}


def test_it_agrees_where_it_saw_the_value() -> None:
    told = said(seen("9900000016", "00000123", "1.100.000"))
    assert told["seller_tax_code"] == told["number"] == told["total"] == "agrees"


def test_where_it_saw_one_other_digit_a_person_is_asked() -> None:
    made = seen("9900000015")
    assert said(made)["seller_tax_code"] == "differs"
    [check] = [check for check in made.checks if check.code == "reader_seller_tax_code"]
    assert not check.passed and check.severity == "warning" and "second reader says" in check.message
    assert made.state == "review"


def test_a_word_that_it_saw_otherwise_contradicts_nobody() -> None:
    """Readers of small machines lose tone marks and letters: they are believed of figures and codes alone."""
    page = read(BILL | {"seller_address": "Số 5 phố Mẫu"}, INVOICE)
    words = tuple(
        Word(text, (0.1 * at, 0.1, 0.1 * at + 0.08, 0.12))
        for at, text in enumerate(("Số", "5", "phố", "Mau"))
    )
    for source, verdict in (("text", "differs"), ("reader", None)):
        made = merge.document([replace(page, **{source: TextLayer(words, True)})], INVOICE, authority=())
        told = {item.field: item.verdict for item in made.testimony if item.source == source}
        assert told.get("seller_address") == verdict


def test_what_it_did_not_see_it_says_nothing_of() -> None:
    assert said(seen("Xin", "chào")) == {}
    assert said(seen("9900000016", trusted=False)) == {}


@pytest.mark.medium
def test_on_its_way_a_page_keeps_what_the_second_reader_saw(tmp_path: Path) -> None:
    """From a file to the document's result, with a model that is told what to answer."""
    image = picture(("Cửa hàng: Chợ Mới", "Ngày: 05/11/2026", "Tổng cộng: 60.000"))
    image.save(tmp_path / "receipt.png")
    settings = Settings(second_reader=SecondReaderSettings(on=True, readers=("tesseract",)))
    recipe = Recipe.of(RECEIPT, settings, MODEL)
    answer = grammar.answer(RECEIPT.shape, {"store": "Chợ Mới", "date": "05/11/2026", "total": "60.000"})
    uri = str(tmp_path / "receipt.png")
    made = run.document(uri, recipe, reciter({key(uri, 1, recipe): answer}))
    assert isinstance(made.outcome, Extraction)
    assert said(made.outcome)["total"] == "agrees"
    [page] = made.pages
    assert page.record is not None and page.record.reader is not None
    assert "60.000" in [word.text for word in page.record.reader.words]


def test_lines_that_it_saw_and_nobody_read_are_told() -> None:
    """As with a page's own text, which comes first where there is one."""
    rows = [f"Ghi chú giao hàng lô {n} kho {n * 7} xe {n * 13}" for n in range(1, 12)]
    assert "incomplete" in {check.code for check in seen(*rows).checks if not check.passed}
    assert "incomplete" not in {check.code for check in seen("9900000016", "1.100.000").checks}


ZONE = "IDVNM1990000070099199000007<<6 9901018F3901016VNM<<<<<<<<<<<4 NGUYEN<<THI<MAU<<<<<<<<<<<<<<<"


def zone_said(read_as: str, *lines: str) -> str | None:
    """What a second reader that saw these lines says of a zone that was read so."""
    words = tuple(Word(text, (0.1, 0.1 * n, 0.9, 0.1 * n + 0.02)) for n, text in enumerate(lines))
    page = replace(read({"mrz": read_as}, CARD), reader=TextLayer(words, True))
    made = merge.document([page], CARD)
    assert said(made).get("mrz") != "differs" or "reader_mrz" in {check.code for check in made.checks}
    return said(made).get("mrz")


def test_a_zone_is_held_against_what_a_second_reader_saw_by_its_check_digits() -> None:
    one, two, three = ZONE.split()
    assert zone_said(ZONE, one, two, three) == "agrees"
    # Fillers that it lost, O for 0, and 0 for O.
    assert (
        zone_said(ZONE, "CỘNG HÒA", one.replace("0", "O"), two.replace("<" * 11, "<" * 8), three[:20])
        == "agrees"
    )
    # It misread the name, which has no check digit, or saw none: nobody is accused.
    assert zone_said(ZONE, one, two, three.replace("MAU", "MAV")) == "silent"
    assert zone_said(ZONE, one, two) == "silent"
    # Its own check digits fail: it is the reader who was wrong.
    assert zone_said(ZONE, one.replace("199", "198", 1), two, three) is None
    assert zone_said(ZONE, one, two.replace("3901", "3801"), three) is None
    # They are right, and the zone was read otherwise.
    assert zone_said(ZONE.replace("9901018", "9901013"), one, two, three) == "differs"
    assert zone_said(ZONE.replace("0007<<6", "0001<<6"), one, two, three) == "differs"
