"""What codes and zones say of what was read: they bear it out, contradict it, or offer what was not read."""

from __future__ import annotations

import binascii
from dataclasses import replace
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel
from pydantic import Field as Described

from pipeline import grammar, merge, parse
from pipeline.records import Check, Code, Extraction, PageRecord
from schemas import invoice_qr, mrz, qr
from schemas.dates import UNLIMITED
from schemas.evidence import Claim, Evidence
from schemas.registry import SchemaSpec, resolve
from schemas.shape import SchemaError, shape_of
from tests.pipeline.walker import recite

CARD, INVOICE = resolve("id_card@1"), resolve("invoice@1")
BORN, ISSUED = date(1999, 1, 1), date(2021, 3, 4)
ZONE = mrz.build("079199000007", BORN, "Nữ", date(2024, 1, 1), "Nguyễn Thị Hoà")
FRONT = {
    "number": "079199000007",
    "full_name": "Nguyễn Thị Hoà",
    "date_of_birth": "01/01/1999",
    "sex": "Nữ",
    "nationality": "Việt Nam",
    "place_of_origin": "Xã Mẫu, Hà Nội",
    "place_of_residence": "Số 1, đường Hoà Bình, Hà Nội",
    "expiry": "01/01/2024",
}
BACK = {
    "personal_identification": "Nốt ruồi c: 1cm dưới mép trái",
    "issue_date": "04/03/2021",
    "mrz": ZONE,
}
CODE = qr.build("079199000007", "Nguyễn Thị Hòa", BORN, "Nữ", "Số 1 đường Hòa Bình - Hà Nội", ISSUED)

BILL = {
    "form_no": "1",
    "series": "C26TAA",
    "number": "00000123",
    "issue_date": "05/11/2026",
    "tax_authority_code": "00A1B2C3D4E5F60718293A4B5C6D7E8F90",
    "seller_name": "Công ty Mẫu",
    "seller_tax_code": "9900000016",
    "total": "1.100.000",
}
SAID = {
    "form_no": "1",
    "series": "C26TAA",
    "number": "123",
    "issue_date": "20261105",
    "authority_code": "00A1B2C3D4E5F60718293A4B5C6D7E8F90",
    "seller_tax_code": "9900000016",
    "total": "1100000",
}
KNOWN = {"A": 7, "B": 6, "C": 6}  # of how many fields each form speaks


def read(values: dict[str, Any], spec: SchemaSpec, *codes: str, page: int = 1) -> PageRecord:
    """A page on which the model reads `values` and the codes' texts are found."""
    said = parse.page_record(recite(grammar.answer(spec.shape, values)), spec, page)
    boxes = ((0.1 * n, 0.0, 0.1 * n + 0.1, 0.1) for n in range(1, len(codes) + 1))
    return replace(said, codes=tuple(Code("qr", text, box) for text, box in zip(codes, boxes, strict=True)))


def card(*codes: str, **changed: str | None) -> Extraction:
    """Front and back of one card, with `codes` on the front."""
    front = FRONT | {path: text for path, text in changed.items() if path in FRONT}
    back = BACK | {path: text for path, text in changed.items() if path in BACK}
    return merge.document([read(front, CARD, *codes), read(back, CARD, page=2)], CARD)


def bill(*codes: str, **changed: str | None) -> Extraction:
    return merge.document([read(BILL | changed, INVOICE, *codes)], INVOICE)


def said(made: Extraction, verdict: str, source: str | None = None) -> dict[str, Any]:
    """What was told by path: the raw texts of one verdict."""
    return {t.field: t.raw for t in made.testimony if t.verdict == verdict and source in (None, t.source)}


def faults(made: Extraction) -> dict[str, Check]:
    told = [check for check in made.checks if not check.passed and check.code[:3] in ("qr_", "mrz", "wit")]
    assert len({check.code for check in told}) == len(told), "nothing is said twice"
    return {check.code: check for check in told}


# cards


def test_a_code_and_a_zone_bear_out_both_sides_of_a_card() -> None:
    made = card("https://example.org", CODE, CODE)
    assert said(made, "agrees", "qr").keys() == {
        *FRONT, "issue_date"
    } - {"expiry", "nationality", "place_of_origin"}  # fmt: skip
    assert said(made, "agrees", "mrz").keys() == {"number", "date_of_birth", "sex", "expiry", "full_name"}
    assert {t.verdict for t in made.testimony} == {"agrees"} and faults(made) == {}
    of = {(t.source, t.field): t for t in made.testimony}
    assert len(of) == len(made.testimony), "a code that is there twice speaks once"
    assert (of["qr", "issue_date"].page, of["qr", "issue_date"].box) == (
        1,
        (0.2, 0.0, 0.30000000000000004, 0.1),
    )
    assert (of["qr", "issue_date"].raw, of["qr", "issue_date"].value) == ("04032021", "2021-03-04")
    assert (of["mrz", "number"].page, of["mrz", "number"].raw) == (2, "079199000007")
    assert made.state == "done"


@pytest.mark.parametrize(
    ("changed", "codes"),
    [
        ({"number": "079199000008"}, {"qr_number", "mrz_number"}),
        ({"full_name": "Nguyễn Thị Hóa"}, {"qr_full_name"}),
        ({"full_name": "Nguyễn Thị Hoà Mai"}, {"qr_full_name", "mrz_full_name"}),
        ({"full_name": "NGUYỄN THỊ HOÀ"}, set()),
        ({"sex": "Nam"}, {"qr_sex", "mrz_sex"}),
        ({"date_of_birth": "01/02/1999"}, {"qr_date_of_birth", "mrz_date_of_birth"}),
        ({"issue_date": "05/03/2021"}, {"qr_issue_date"}),
        ({"expiry": "02/01/2024"}, {"mrz_expiry"}),
        ({"place_of_residence": "Số 2, đường Hoà Bình, Hà Nội"}, {"qr_place_of_residence"}),
        ({"mrz": ZONE.replace("VNM<", "VNMB", 1)}, {"mrz_check_digits"}),
        ({"mrz": None, "place_of_residence": None, "issue_date": None}, set()),
    ],
)
def test_a_value_that_a_witness_contradicts_goes_to_review(changed: dict[str, Any], codes: set[str]) -> None:
    made = card(CODE, **changed)
    assert faults(made).keys() == codes
    for code in codes - {"mrz_check_digits"}:
        source, _, path = code.partition("_")
        assert path in said(made, "differs", source)
        assert faults(made)[code].fields == (path,) and faults(made)[code].severity == "error"
        field = {f.path: f for f in made.fields}[path]
        assert (field.raw, field.source) == (changed[path], "read"), "no witness changes a value"
    if codes:
        assert made.state == "review"


def test_texts_that_differ_in_diacritics_only_say_so() -> None:
    found = faults(card(CODE, full_name="Nguyên Thị Hoà"))["qr_full_name"]
    assert found.message.endswith("they differ in diacritics only")
    assert (found.expected, found.found) == ("Nguyễn Thị Hòa", "Nguyên Thị Hoà")


def test_a_damaged_part_of_the_zone_accuses_nobody() -> None:
    damaged = ZONE[:31] + "8" + ZONE[32:]  # first digit of the year of birth
    made = card(mrz=damaged)
    assert faults(made).keys() == {"mrz_check_digits"}
    assert said(made, "silent", "mrz") == {"date_of_birth": "890101"}
    assert "date_of_birth" not in said(card(mrz=damaged, date_of_birth=None), "offers")


def test_what_the_print_lacks_is_offered_and_not_taken() -> None:
    made = card(CODE, number=None, date_of_birth=None, issue_date=None, expiry=None, full_name=None)
    offers = {(t.source, t.field): (t.value, t.page) for t in made.testimony if t.verdict == "offers"}
    assert offers == {
        ("qr", "number"): ("079199000007", 1),
        ("qr", "full_name"): ("Nguyễn Thị Hòa", 1),
        ("qr", "date_of_birth"): ("1999-01-01", 1),
        ("qr", "issue_date"): ("2021-03-04", 1),
        ("mrz", "number"): ("079199000007", 2),
        ("mrz", "full_name"): ("NGUYEN THI HOA", 2),
        ("mrz", "date_of_birth"): ("1999-01-01", 2),
        ("mrz", "expiry"): ("2024-01-01", 2),
    }
    assert made.record["number"] is None and made.record["issue_date"] is None
    assert faults(made) == {}, "the zone knows the name without diacritics, and that is no dispute"


def test_a_printed_text_that_is_no_value_is_met_with_an_offer() -> None:
    made = card(CODE, issue_date="31/02/2021")
    assert made.record["issue_date"] is None
    assert said(made, "offers") == {"issue_date": "04032021"}


def test_two_witnesses_that_offer_different_values_are_told_of() -> None:
    made = card(CODE.replace("079199000007", "079199000018"), number=None)
    assert faults(made).keys() == {"witnesses_differ"} and made.state == "review"
    assert faults(made)["witnesses_differ"].fields == ("number",)


def test_a_card_without_expiry_and_a_name_that_does_not_fit() -> None:
    name = "Công Tằng Tôn Nữ Hoàng Thị Phương Mai"
    for expiry in (None, UNLIMITED):
        zone = mrz.build("079199000007", BORN, "Nữ", expiry, name)
        assert faults(card(mrz=zone, expiry="Không thời hạn", full_name=name)) == {}
        assert faults(card(mrz=zone, full_name=name)).keys() == {"mrz_expiry"}
        lacking = card(mrz=zone, expiry=None, full_name=None)
        assert said(lacking, "offers") == {"expiry": "991231"}
        assert faults(card(mrz=zone, full_name=name.replace("Công", "Cong T"))).keys() >= {"mrz_full_name"}


def test_the_old_number_of_a_cmnd_is_in_the_code_of_the_new_card() -> None:
    code = qr.build("079199000007", "An", BORN, "Nữ", "Hà Nội", ISSUED, old_number="012345678")
    assert said(card(code, number="012345678", mrz=None), "agrees")["number"] == "012345678"
    assert "qr_number" in faults(card(code, number="012345679", mrz=None))


@pytest.mark.parametrize("number", ["07919900000<", "<<<<<<<<<<<<", "ABCDEFGHIJKL"])
def test_a_zone_that_says_nonsense_with_right_check_digits_offers_no_day(number: str) -> None:
    optional = f"{number}<<"
    one = f"IDVNM{number[3:]}{mrz.check_digit(number[3:])}{optional}{mrz.check_digit(optional)}"
    birth, until = "999999", "888888"
    two = f"{birth}{mrz.check_digit(birth)}F{until}{mrz.check_digit(until)}VNM{'<' * 11}"
    two += mrz.check_digit(one[5:30] + two[0:7] + two[8:15] + two[18:29])
    made = card(mrz=f"{one} {two} {'NGUYEN<<AN':<<30}", date_of_birth=None, expiry=None, number=None)
    assert not {"date_of_birth", "expiry"} & said(made, "offers").keys()


@pytest.mark.parametrize(
    "code",
    [
        f"\ufeff{CODE}\0\r\n",
        CODE.replace("|", " | ") + "|||Nguyễn Văn Mẫu|",
        CODE.replace("|Nữ|", "|NU|").replace("01011999", "01/01/1999"),
        CODE.replace("|Nữ|", "|F|"),
    ],
)
def test_a_cards_code_is_read_in_the_ways_it_is_written(code: str) -> None:
    made = card(code)
    assert len(said(made, "agrees", "qr")) == 6 and faults(made) == {}


def test_an_apostrophe_is_one_however_it_is_drawn() -> None:
    for printed, coded in (("H'Hen Niê", "H’HEN NIÊ"), ("K’ Brêu", "K'Brêu"), ("Y`Thanh", "Y’Thanh")):
        code = CODE.replace("Nguyễn Thị Hòa", coded)
        assert "full_name" in said(card(code, full_name=printed, mrz=None), "agrees", "qr")


@pytest.mark.parametrize(
    "code",
    [
        "079199000007|4e677579e1bb85n|01/01/1999|2|48c3a0|01 - 001|01/01/2026|-|01/01/2026|",  # insurance
        "079199000008|SV001|K65|Toán|2021|x|y",
        "079199000008|012345678|Nguyễn Thị Hoà|K65|Nữ|x|y",
    ],
)
def test_another_code_that_begins_with_the_cards_number_says_nothing(code: str) -> None:
    assert not [one for one in card(code).testimony if one.source == "qr"]


def test_the_address_in_the_code_of_a_card_of_2024_may_be_the_abode() -> None:
    code, spec = CODE.replace("04032021", "04032025"), resolve("id_card@2")
    for address, verdict in (("Số 1 đường Hoà Bình, Hà Nội", "agrees"), ("Số 9, Huế", "silent")):
        back = {"place_of_abode": address, "issue_date": "04/03/2025", "mrz": ZONE}
        made = merge.document([read(back, spec, code)], spec)
        assert said(made, verdict, "qr")["place_of_abode"] == "Số 1 đường Hòa Bình - Hà Nội"
        assert "place_of_residence" not in said(made, "offers", "qr")


def test_a_letter_that_counts_as_the_digit_does_is_found_out() -> None:
    """To the check digits K and < are 0, L is 1 and S is 8: the sums are right, and the zone is not."""
    for at, digit, letter in ((15, "0", "K"), (15, "0", "<"), (31, "9", "T"), (40, "4", "O")):
        assert ZONE[at] == digit
        made = card(mrz=ZONE[:at] + letter + ZONE[at + 1 :])
        assert faults(made).keys() == {"mrz_check_digits"}, (at, letter)
        assert not said(made, "differs")


def test_the_check_digit_of_an_expiry_that_is_empty_may_be_a_filler() -> None:
    zone = mrz.build("079199000007", BORN, "Nữ", None, "Nguyễn Thị Hoà").replace("<<<<<<0VNM", "<<<<<<<VNM")
    assert faults(card(mrz=zone, expiry="Không thời hạn")) == {}


# invoices


def written(parts: dict[str, str], name: str = "", *, sums: str = "utf-8", wide: bool = False) -> str:
    """A code of form A, tag by tag; `wide` where tag 99 is longer than two digits of length can say."""
    inner = "".join(f"{tag}{len(text):02}{text}" for tag, text in parts.items())
    assert (len(inner) > 99) == wide
    body = "000201" + (f"59{len(name):02}{name}" if name else "") + f"99{len(inner):02}{inner}6304"
    return f"{body}{binascii.crc_hqx(body.encode(sums, 'replace'), 0xFFFF):04X}"


TAGS = {"01": "9900000016", "02": "1", "03": "C26TAA", "04": "123", "05": "20261105", "06": "1100000"}


@pytest.mark.parametrize(
    "changed",
    [
        *(
            {"05": day}
            for day in ("05/11/2026", "2026-11-05", "05112026", "20261105103000", "2026-11-05T10:30")
        ),
        *({"06": total} for total in ("1100000.00", "1100000,00", "1.100.000", "1,100,000", "1100000.4")),
        {"02": "01", "03": "1C26TAA", "04": "00000123"},
        {"02": "01/GTGT", "03": "c26taa"},
        {"01": "990 000 0016"},
    ],
)
def test_an_invoices_code_is_read_in_the_ways_it_is_written(changed: dict[str, str]) -> None:
    made = bill(f"\ufeff{written(TAGS | changed)}\r\n")
    assert said(made, "agrees").keys() == KNOWN_TAGS and faults(made) == {}


KNOWN_TAGS = {"form_no", "series", "number", "issue_date", "seller_tax_code", "total"}


def test_the_authoritys_code_and_a_large_total_take_a_length_of_three_digits() -> None:
    parts = {"00": SAID["authority_code"]} | TAGS | {"04": "00000123", "06": "1100000000"}
    made = bill(written(parts, wide=True), total="1.100.000.000")
    assert said(made, "agrees").keys() == KNOWN_TAGS | {"tax_authority_code"} and faults(made) == {}


def test_a_tag_that_repeats_for_ever_is_no_code() -> None:
    for text in ("0000" * 1700, "6210" * 1700, "99" * 3000):
        assert invoice_qr.parse(text) is None


def test_a_sum_over_ascii_is_a_sum() -> None:
    assert faults(bill(written(TAGS, "CÔNG TY MẪU", sums="ascii"))) == {}


@pytest.mark.parametrize("code", ["a000000775", "A000000775", "0" * 34, ""])
def test_what_is_no_code_of_the_authoritys_is_not_offered_as_one(code: str) -> None:
    made = bill(written({"00": code} | TAGS), tax_authority_code=None)
    assert said(made, "agrees").keys() == KNOWN_TAGS and not said(made, "offers")


def test_a_lost_zero_a_form_in_words_and_bars_are_the_same() -> None:
    old = {"01": "100109106", "02": "01GTKT0001", "03": "AA19E", "05": "20191105"}
    printed = {"seller_tax_code": "0100109106", "form_no": "01GTKT0/001", "series": "AA/19E"}
    made = bill(written(TAGS | old), **printed, issue_date="05/11/2019")
    assert said(made, "agrees").keys() == KNOWN_TAGS
    assert faults(bill(written(TAGS), form_no="01/GTGT")) == {}
    register = "M1-26-ABCDE-00000000001"
    code = written({"00": register.replace("-", "")} | TAGS)
    assert faults(bill(code, tax_authority_code=register)) == {}


def test_one_group_of_three_may_be_a_thousand_or_a_fraction() -> None:
    assert "total" not in said(bill(written(TAGS | {"06": "250.000"}), total="250.000"), "differs")


@pytest.mark.parametrize("form", ["A", "B", "C"])
def test_an_invoices_code_bears_it_out_in_each_form(form: str) -> None:
    made = bill(invoice_qr.build(SAID, form))
    assert len(said(made, "agrees", "qr")) == KNOWN[form] == len(made.testimony)
    assert ("tax_authority_code" in said(made, "agrees")) == (form == "A")
    assert faults(made) == {}


@pytest.mark.parametrize("form", ["A", "B", "C"])
@pytest.mark.parametrize(
    ("path", "printed"),
    [
        ("series", "C26TAB"),
        ("number", "124"),
        ("issue_date", "06/11/2026"),
        ("seller_tax_code", "9900000023"),
        ("total", "1.100.001"),
        ("form_no", "2"),
    ],
)
def test_an_invoice_that_its_code_contradicts_goes_to_review(form: str, path: str, printed: str) -> None:
    made = bill(invoice_qr.build(SAID, form), **{path: printed})
    assert faults(made).keys() == {f"qr_{path}"} and made.state == "review"
    assert said(made, "differs").keys() == {path}


@pytest.mark.parametrize("form", ["A", "B", "C"])
def test_what_an_invoice_lacks_is_in_its_code(form: str) -> None:
    lacking = dict.fromkeys(("form_no", "series", "number", "issue_date", "seller_tax_code", "total"))
    offers = {t.field: t.value for t in bill(invoice_qr.build(SAID, form), **lacking).testimony}
    assert offers | {"tax_authority_code": None} == {
        "form_no": "1",
        "series": "C26TAA",
        "number": "123",
        "issue_date": "2026-11-05",
        "seller_tax_code": "9900000016",
        "total": "1100000",
        "tax_authority_code": None,
    }


def test_form_and_series_may_be_printed_as_one() -> None:
    code = invoice_qr.build(SAID, "A")
    made = bill(code, series="1C26TAA", form_no=None)
    assert faults(made) == {} and "form_no" not in said(made, "offers")
    assert faults(bill(code, series="2C26TAA", form_no=None)).keys() == {"qr_series"}


def test_a_branch_is_another_taxpayer_and_a_code_without_groups_is_the_same() -> None:
    branch = invoice_qr.build(SAID | {"seller_tax_code": "9900000016-001"}, "B")
    assert faults(bill(branch, seller_tax_code="9900000016-001")) == {}
    assert faults(bill(branch)).keys() == {"qr_seller_tax_code"}


def test_the_total_is_compared_in_dong_alone() -> None:
    code = invoice_qr.build(SAID | {"total": "26000000.00"}, "B")
    assert faults(bill(code, total="1,000.00", currency="USD")) == {}
    assert faults(bill(code, total="26.000.000", currency="VND")) == {}


@pytest.mark.parametrize("form", ["A", "B", "C"])
def test_a_code_that_was_altered_is_found_by_its_checksum_and_not_believed(form: str) -> None:
    code = invoice_qr.build(SAID, form).replace("0403123", "0403124")
    made = bill(code)
    assert faults(made).keys() == {"qr_checksum"} and made.state == "review"
    assert said(made, "silent")["number"] == "124" and not said(made, "differs") and not said(made, "agrees")
    assert not said(bill(code, number=None), "offers")


@pytest.mark.parametrize("form", ["A", "B", "C"])
def test_any_changed_digit_breaks_the_checksum(form: str) -> None:
    code = invoice_qr.build(SAID, form)
    assert invoice_qr.parse(code) is not None
    for at in range(len(code)):
        if code[at].isdigit():
            changed = code[:at] + str((int(code[at]) + 1) % 10) + code[at + 1 :]
            found = invoice_qr.parse(changed)
            assert found is None or not found.intact, (at, changed)


def test_a_length_may_count_bytes() -> None:
    plain = invoice_qr.build(SAID, "A")
    name = "CÔNG TY"
    body = plain[:12] + f"59{len(name.encode()):02}{name}" + plain[12:-4]
    code = f"{body}{binascii.crc_hqx(body.encode(), 0xFFFF):04X}"
    found = invoice_qr.parse(code)
    assert found is not None and found.number == "123" and found.intact


HOSTILE = (
    "",
    "00",
    "99",
    "9999",
    "6300",
    "000201" * 2000,
    "9910" + "0" * 10,
    "990400009904000063040000",
    "0002016204016263" + "04ABCD",
    "99" + "٣٤" + "00" * 20,
    "\x00\ud800" * 40,
    "|" * 7000,
    "079199000007||||||",
    "079199000007||" + "A" * 6000 + "|01011999|Nữ|x|04032021",
    "000201" + "01" * 3000,
    "00020199320403123" + "0600" * 6 + "0",
    "🙂" * 2000,
    # a payment code of a shop, made like theirs: it knows the bill's own number, which is not the invoice's
    "00020101021126280010A000000775011099000000165204581253037045405550005802VN5907CUAHANG6005HANOI"
    "62300103123031226CUAHANG 1 070312363041A2B",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("spec", [CARD, INVOICE], ids=["id_card", "invoice"])
def test_a_hostile_or_foreign_code_says_nothing_wrong(text: str, spec: SchemaSpec) -> None:
    with_it, without = (
        merge.document([read(FRONT if spec is CARD else BILL, spec, *codes)], spec) for codes in ((text,), ())
    )
    assert "check_crashed" not in {check.code for check in with_it.checks}
    differing = {t.field for t in with_it.testimony if t.verdict == "differs"}
    assert differing <= ({"full_name", "place_of_residence"} if "AAAA" in text else set())
    # Where it agrees it may say where a value stands, which no other has said.
    unplaced = tuple(field._replace(box=None) for field in with_it.fields)
    assert replace(with_it, testimony=(), checks=(), state="done", fields=unplaced) == replace(
        without, checks=(), state="done"
    )


def test_random_texts_made_of_tags_crash_nothing() -> None:
    rng = Random(15)
    pieces = [
        "00",
        "01",
        "02",
        "04",
        "06",
        "26",
        "62",
        "63",
        "99",
        "32",
        "A000000775",
        "C26TAA",
        "|",
        "é",
        "9",
    ]
    for _ in range(3000):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 40)))
        for spec in (CARD, INVOICE):
            for evidence in spec.evidence:
                told = list(spec.claims(evidence, {}, text))
                assert not [item for item in told if isinstance(item, Check) and item.code == "check_crashed"]


# of a user's schema


def _says(slip: Any, text: str) -> list[Claim]:
    weight = Decimal(text.removeprefix("KG "))  # raises for any other code
    return [Claim("weight", text, format(weight, "f"), lambda value: Decimal(value) == weight)]


class Slip(BaseModel):
    """Phiếu cân"""

    evidence: ClassVar = (Evidence("qr", _says),)

    weight: Decimal | None = Described(None, title="Khối lượng")


SLIP = SchemaSpec("slip", 1, "Phiếu cân", Slip, shape_of(Slip), "1" * 64)


def test_a_schema_of_ones_own_reads_its_own_codes() -> None:
    made = merge.document([read({"weight": "12,5"}, SLIP, "KG 12.50")], SLIP)
    assert said(made, "agrees") == {"weight": "KG 12.50"}
    made = merge.document([read({"weight": "12,5"}, SLIP, "KG 13")], SLIP)
    assert faults(made).keys() == {"qr_weight"}


def test_evidence_that_raises_is_a_failed_check_and_the_others_are_heard() -> None:
    made = merge.document([read({"weight": "12,5"}, SLIP, "https://example.org", "KG 12.5")], SLIP)
    (crashed,) = [check for check in made.checks if check.code == "check_crashed"]
    assert "_says" in crashed.message and made.state == "review"
    assert said(made, "agrees") == {"weight": "KG 12.5"}


def test_a_comparison_that_raises_is_a_failed_check() -> None:
    broken = Evidence("qr", lambda slip, text: [Claim("weight", text, "1", lambda value: 1 / 0)])
    model = type("Slip", (Slip,), {"evidence": (broken,), "__annotations__": {"evidence": ClassVar}})
    spec = replace(SLIP, model=model)
    made = merge.document([read({"weight": "12,5"}, spec, "x")], spec)
    assert [check.code for check in made.checks if not check.passed and "crashed" in check.code]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("evidence: ClassVar = (print,)", "write Evidence"),
        ("evidence: ClassVar = (Evidence('mrz', print, path='zone'),)", "'zone', which is no field"),
        ("code_checks: ClassVar = (print,)", "code_checks is now evidence"),
    ],
)
def test_evidence_that_could_never_be_heard_is_refused(tmp_path: Any, line: str, told: str) -> None:
    file = tmp_path / "slip.py"
    file.write_text(
        "from typing import ClassVar\nfrom pydantic import BaseModel\nfrom schemas.evidence import Evidence\n"
        f"class WeighSlip(BaseModel):\n    {line}\n    net: int | None = None\n"
    )
    with pytest.raises(SchemaError, match=told):
        resolve(f"{file}:WeighSlip")
