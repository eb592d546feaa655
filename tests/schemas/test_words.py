"""Number words: both ways, in the forms that invoices print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.text import unaccented
from schemas.words import LARGEST, from_words, to_words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "không"),
        (4, "bốn"),
        (10, "mười"),
        (14, "mười bốn"),
        (15, "mười lăm"),
        (20, "hai mươi"),
        (21, "hai mươi mốt"),
        (24, "hai mươi tư"),
        (25, "hai mươi lăm"),
        (101, "một trăm linh một"),
        (110, "một trăm mười"),
        (1_005, "một nghìn không trăm linh năm"),
        (1_234_000, "một triệu hai trăm ba mươi tư nghìn"),
        (2_000_000_015, "hai tỷ không trăm mười lăm"),
        (1_000_000_000_000, "một nghìn tỷ"),
        (-7, "âm bảy"),
    ],
)
def test_numbers_are_written_out(number: int, words: str) -> None:
    assert to_words(number) == words


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("Một triệu hai trăm ba mươi bốn nghìn đồng chẵn", 1_234_000),
        ("Số tiền viết bằng chữ: Hai mươi nhăm tỉ đồng./.", 25_000_000_000),
        ("Bằng chữ: Một trăm lẻ năm ngàn Việt Nam đồng.", 105_000),
        ("(Ba trăm bảy mươi tư nghìn đồng)", 374_000),
        ("MỘT TRIỆU, KHÔNG TRĂM LINH HAI NGHÌN ĐỒNG", 1_002_000),
        ("Một nghìn lẻ năm đồng", 1_005),
        ("Mười mốt nghìn đồng", 11_000),
        ("Mot trieu hai tram linh lam ngan dong chan", 1_205_000),
        ("hai mươi mốt tỷ", 21_000_000_000),
        ("Một nghìn hai trăm tỷ đồng", 1_200_000_000_000),
        ("một nghìn lẻ năm mươi đồng", 1_050),
        ("hai tỷ lẻ mười lăm đồng", 2_000_000_015),
        ("tám mươi mốt triệu lẻ mười", 81_000_010),
        ("một nghìn tỷ hai trăm ba mươi bốn tỷ đồng", 1_234_000_000_000),
        ("một trăm bốn lăm triệu đồng", 145_000_000),
        ("Hai tư nghìn đồng", 24_000),
        ("Ba mốt nghìn đồng", 31_000),
        ("Một triệu đồng chẵn (VND)", 1_000_000),
        ("Một triệu đồng chẵn (1.000.000 VNĐ)", 1_000_000),
        ("Một triệu đồng chẵn. (One million VND)", 1_000_000),
        ("Một triệu đồng Việt Nam (đã bao gồm thuế GTGT)", 1_000_000),
        ("Một triệu đồng, đã bao gồm VAT", 1_000_000),
        ("Số tiền: Một triệu đồng", 1_000_000),
        ("Tổng cộng tiền thanh toán: Một triệu đồng", 1_000_000),
        ("Ba trăm nghìn lẻ năm trăm đồng", 300_500),
        ("“Một triệu đồng”./.", 1_000_000),
        ("*** Một triệu đồng chẵn - ***", 1_000_000),
        ("Một trăm hăm lăm nghìn đồng", 125_000),
        ("Băm mốt triệu đồng chẵn", 31_000_000),
        ("Hai chục nghìn đồng", 20_000),
        ("Một triệu rưỡi", 1_500_000),
        ("mười tỷ rưỡi đồng", 10_500_000_000),
        ("Hai trăm rưỡi", 250),
        ("Số tiền bằng chữ (In words): Một triệu Việt Nam đồng (VNĐ)", 1_000_000),
    ],
)
def test_words_are_read(words: str, number: int) -> None:
    assert from_words(words) == number


@pytest.mark.parametrize(
    ("words", "amount"),
    [
        ("Giảm một triệu đồng", -1_000_000),
        ("Điều chỉnh giảm một triệu đồng", -1_000_000),
        ("Trừ một triệu đồng chẵn", -1_000_000),
        ("Điều chỉnh tăng một triệu đồng", 1_000_000),
        ("Bằng chữ: Tăng năm nghìn đồng", 5_000),
    ],
)
def test_an_adjustment_says_its_direction(words: str, amount: int) -> None:
    assert from_words(words) == amount


@pytest.mark.parametrize(
    "words",
    [
        "",
        "đồng chẵn",
        "một một",
        "nghìn đồng",
        "một nghìn hai triệu",
        "một nghìn hai nghìn",
        "một tỷ hai tỷ",
        "một nghìn tỷ hai nghìn tỷ",
        "một nghìn tỷ hai tỷ ba tỷ",
        "ba một nghìn",  # 31 is said "ba mốt"
        "một lăm nghìn",
        "lẻ lẻ năm",
        "giảm",
        "giảm giảm một triệu đồng",
        "một triệu đồng 5",
        "một trăm năm",  # 105 or, as people say it, 150
        "mười trăm",
        "hăm",
        "hai mươi hăm",
        "rưỡi",
        "nghìn rưỡi",
        "một triệu rưỡi hai trăm",
        "một triệu mốt đồng",  # as people say 1,100,000
        "một triệu tư",
        "một triệu đồng, năm trăm",
        "lẻ lẻ năm trăm",
        "hai mươi ba bốn",
        "một triệu đô la Mỹ",
        "năm mươi phẩy hai",
    ],
)
def test_what_is_no_amount_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="'"):
        from_words(words)


@given(st.integers(-LARGEST, LARGEST) | st.integers(-(10**6), 10**6))
def test_words_go_round(number: int) -> None:
    words = to_words(number)
    assert from_words(words) == number
    assert from_words(unaccented(words).upper() + " DONG CHAN") == number
    assert from_words(words.replace("linh", "lẻ").replace("nghìn", "ngàn").replace("tỷ", "tỉ")) == number


def test_too_large_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        to_words(LARGEST + 1)


UNITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín", "mười")
SCALES = (("nghìn tỷ", 10**12), ("tỷ", 10**9), ("triệu", 10**6), ("nghìn", 10**3))


def below_hundred(number: int) -> str:
    if number <= 10:
        return UNITS[number]
    tens, unit = divmod(number, 10)
    spoken = "lăm" if unit == 5 else "mốt" if unit == 1 and tens > 1 else UNITS[unit]
    head = "mười" if tens == 1 else f"{UNITS[tens]} mươi"
    return f"{head} {spoken}" if unit else head


def as_num2words(number: int) -> str:
    """As num2words 0.5 writes Vietnamese, and with it Odoo: no hundreds of zero, and "lẻ" before any rest
    below a hundred."""
    if number < 100:
        return below_hundred(number)
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        odd = " lẻ" if 0 < rest < 10 else ""
        return f"{UNITS[hundreds]} trăm{odd}" + (f" {below_hundred(rest)}" if rest else "")
    word, scale = next((word, scale) for word, scale in SCALES if number >= scale)
    above, rest = divmod(number, scale)
    odd = " lẻ" if 0 < rest < 100 else ""
    return f"{as_num2words(above)} {word}{odd}" + (f" {as_num2words(rest)}" if rest else "")


@given(
    st.integers(0, 10**15 - 1)
    | st.builds(
        lambda digits, zeros, rest: digits * 10**zeros + rest,
        st.integers(1, 999),
        st.sampled_from((3, 6, 9, 12)),
        st.integers(0, 999),
    )
)
def test_every_amount_of_another_printer_is_read(number: int) -> None:
    assert from_words(f"{as_num2words(number)} đồng (VND)") == number
