"""The machine-readable zone and the QR payload of a card."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import mrz, qr
from schemas.evidence import Claim

EXAMPLE = "IDVNM1990000070099199000007<<6 9901018F3901016VNM<<<<<<<<<<<4 NGUYEN<<THI<MAU<<<<<<<<<<<<<<<"
NUMBERS = st.from_regex(r"[0-9]{12}", fullmatch=True)
DAYS = st.dates(date(1930, 1, 1), date(2090, 12, 31))


def test_the_example_is_read() -> None:
    zone = mrz.parse(EXAMPLE.replace(" ", "\n"))
    assert zone == mrz.Mrz("099199000007", "990101", "Nữ", "390101", "VNM", "NGUYEN THI MAU", ())


def test_the_example_is_built() -> None:
    built = mrz.build("099199000007", date(1999, 1, 1), "Nữ", date(2039, 1, 1), "Nguyễn Thị Mẫu")
    assert built == EXAMPLE


@pytest.mark.medium
@given(NUMBERS, DAYS, st.sampled_from(["Nam", "Nữ"]), st.none() | DAYS)
def test_what_is_built_is_read_back_without_complaint(
    number: str, born: date, sex: str, expiry: date | None
) -> None:
    zone = mrz.parse(mrz.build(number, born, sex, expiry, "Đỗ Thị Hoà-Bình"))
    assert (zone.number, zone.sex, zone.name, zone.bad) == (number, sex, "DO THI HOA BINH", ())
    assert zone.date_of_birth == f"{born:%y%m%d}"
    assert zone.expiry == (f"{expiry:%y%m%d}" if expiry else None)


@given(st.integers(0, 59).filter(lambda place: place % 30 not in (27, 28)), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(place: int, step: int) -> None:
    """A 7-3-1 check digit finds every single wrong digit, for none of its weights divides ten."""
    lines = "".join(EXAMPLE.split()[:2])
    if not lines[place].isdigit():
        return
    wrong = lines[:place] + str((int(lines[place]) + step) % 10) + lines[place + 1 :]
    assert mrz.parse(f"{wrong[:30]} {wrong[30:]} {EXAMPLE.split()[2]}").bad


def test_a_zone_without_a_sex_claims_none() -> None:
    card = SimpleNamespace(number=None)
    claims = [
        {one.path for one in mrz.says(card, text) if isinstance(one, Claim)}
        for text in (EXAMPLE, EXAMPLE.replace("8F39", "8<39"))
    ]
    assert claims[0] - claims[1] == {"sex"}


def test_a_zone_that_was_seen_tells_nothing_of_what_is_no_zone() -> None:
    zone = mrz.seen(EXAMPLE.split())
    assert zone is not None and zone.agrees(EXAMPLE) is True
    one, two, three = EXAMPLE.split()
    assert zone.agrees(f"{one} {two}") is None
    assert zone.agrees(f"{two} {one} {three}") is False


def test_the_repeated_number_must_be_the_same() -> None:
    """The short number and the full one each have their check digit; that both are right is not enough."""
    mine, other = (mrz.build(n, date(1999, 1, 1), "Nữ", None, "A") for n in ("099199000007", "099199000018"))
    one = mine[:15] + other[15:30]
    two = mine.split()[1]
    composite = mrz.check_digit(one[5:30] + two[0:7] + two[8:15] + two[18:29])
    zone = mrz.parse(f"{one} {two[:29]}{composite} {mine.split()[2]}")
    assert zone.number == "099199000018"
    assert zone.bad == ("document number against number",)


@pytest.mark.parametrize(
    ("place", "part"),
    [
        (14, "document number"),
        (29, "number"),
        (31 + 6, "date of birth"),
        (31 + 14, "expiry"),
        (31 + 29, "composite"),
    ],
)
def test_a_wrong_check_digit_accuses_its_own_part(place: int, part: str) -> None:
    wrong = EXAMPLE[:place] + str((int(EXAMPLE[place]) + 1) % 10) + EXAMPLE[place + 1 :]
    assert part in mrz.parse(wrong).bad
    assert set(mrz.parse(wrong).bad) <= {part, "composite"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "three lines of 30"),
        (EXAMPLE[:-1], "three lines of 30"),
        (EXAMPLE.lower(), "holds no"),
        (EXAMPLE.replace("VNM", "LAO"), "begins with IDVNM"),
    ],
)
def test_another_form_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        mrz.parse(text)


def test_a_long_name_is_cut_to_the_line() -> None:
    zone = mrz.build("099199000007", date(1999, 1, 1), "Nữ", None, "Công Tằng Tôn Nữ Hoàng Thị Phương Mai")
    assert [len(line) for line in zone.split()] == [30, 30, 30]
    assert zone.split()[2] == "CONG<<TANG<TON<NU<HOANG<THI<PH"


@pytest.mark.parametrize(("number", "sex"), [("123", "Nam"), ("099199000007", "nam")])
def test_a_zone_needs_a_full_number_and_a_known_sex(number: str, sex: str) -> None:
    with pytest.raises(ValueError, match="needs"):
        mrz.build(number, date(1999, 1, 1), sex, None, "A")


def test_the_2021_payload_is_read_and_the_rest_kept() -> None:
    text = qr.build(
        "099199000007",
        "Nguyễn Thị Mẫu",
        date(1999, 1, 1),
        "Nữ",
        "Số 1, Hà Nội",
        date(2022, 3, 4),
        "012345678",
    )
    assert text == "099199000007|012345678|Nguyễn Thị Mẫu|01011999|Nữ|Số 1, Hà Nội|04032022"
    code = qr.parse(text + "|MẪU|SPECIMEN")
    assert code is not None
    assert (code.old_number, code.date_of_birth, code.issue_date) == (
        "012345678",
        date(1999, 1, 1),
        date(2022, 3, 4),
    )
    assert code.rest == ("MẪU", "SPECIMEN")


def test_what_is_empty_or_no_day_is_absent() -> None:
    code = qr.parse("099199000007||NGUYEN THI MAU|99991999|Nữ||")
    assert code is not None
    assert (code.old_number, code.date_of_birth, code.place_of_residence, code.issue_date) == (None,) * 4


@pytest.mark.parametrize(
    "text", ["", "https://tracuu.example/1C26TAA", "12345|a|b|c|d|e|f", "099199000007|a|b"]
)
def test_another_code_is_no_card(text: str) -> None:
    assert qr.parse(text) is None
