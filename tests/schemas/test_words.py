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
    ],
)
def test_words_are_read(words: str, number: int) -> None:
    assert from_words(words) == number


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
        "một trăm năm",  # 105 or, as people say it, 150
        "mười trăm",
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
