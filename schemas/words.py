"""Vietnamese number words: an amount in words → digits, and digits → words.

    from_words("Một triệu hai trăm ba mươi bốn nghìn đồng chẵn")  → 1234000
    to_words(1234000)                                             → "một triệu hai trăm ba mươi bốn nghìn"

Both ways of speaking are read: linh/lẻ, mốt, tư, lăm/nhăm, nghìn/ngàn, tỷ/tỉ, chẵn, hăm lăm (25), băm mốt
(31), hai chục (20), một triệu rưỡi (1,500,000), and text without any diacritics: the words are read without
them, and only "muoi" is then double (mười, ten, or mươi, tens); its place tells which. So are printers that
say a small rest with "lẻ" ("một nghìn lẻ năm mươi", as Odoo does by num2words) and thousands of tỷ one by one
("một nghìn tỷ hai trăm tỷ").
"""

from __future__ import annotations

import re

from schemas.text import tidy, unaccented

LARGEST = 10**18 - 1  # 999,999,999 tỷ and the rest

_DIGITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
_SCALES = ("", "nghìn", "triệu")  # within a group of nine digits, below tỷ

_MOT = "mots"  # mốt, a one behind tens, kept apart from một
_DIGIT = {unaccented(word): value for value, word in enumerate(_DIGITS)}
_DIGIT |= {"tu": 4, "lam": 5, "nham": 5, _MOT: 1}
_AFTER_TENS = (_MOT, "tu", "lam", "nham")  # said of the last digit only behind tens
_TENS = {"ham": 20, "bam": 30}  # hăm, băm: with a digit behind them
_HALF = {  # rưỡi: half of the scale before it
    "tram": ["nam", "muoi"],
    "nghin": ["nam", "tram"],
    "ngan": ["nam", "tram"],
    "trieu": ["nam", "tram", "nghin"],
    "ty": ["nam", "tram", "trieu"],
    "ti": ["nam", "tram", "trieu"],
}
_SCALE = {"nghin": 10**3, "ngan": 10**3, "trieu": 10**6}
_BILLION = ("ty", "ti")
_ODD = ("linh", "le")
_FILLER = {"va", "chan"}
# What stands behind the amount: "Một triệu đồng (One million dong)", "… đồng chẵn (1.000.000đ)".
_BEHIND = re.compile(
    r"(?<=dong)(?: viet nam)?(?: chan)?[ .;!-]*(?:[(/\[].*|[,;-] ?(?:da|gia|gom|bao gom|chua|kem)\b.*)$"
)
_HEAD = re.compile(r"^.*(?:bang chu|in words)\W*|^(?:so tien|tong|cong|thanh tien)[^:]*: ?")
_WORD = re.compile(r"[^\W_]+")
_SIGNS = (  # an adjustment says "Giảm …" or "Điều chỉnh giảm …"
    (["dieu", "chinh", "giam"], -1),
    (["dieu", "chinh", "tang"], 1),
    (["am"], -1),
    (["tru"], -1),
    (["giam"], -1),
    (["tang"], 1),
)
_CURRENCY = (["viet", "nam"], ["dong"], ["vnd"], ["d"])


def to_words(n: int) -> str:
    """The number in words as invoices print it, in lower case and without the currency.

    Raises ValueError beyond ±LARGEST.
    """
    if abs(n) > LARGEST:
        raise ValueError(f"{n} is too large to be written out")
    if n < 0:
        return "âm " + to_words(-n)
    if n == 0:
        return _DIGITS[0]
    billions, rest = divmod(n, 10**9)
    parts = [*_nine_digits(billions, full=False), "tỷ"] if billions else []
    return " ".join([*parts, *_nine_digits(rest, full=bool(billions))])


def _nine_digits(n: int, full: bool) -> list[str]:
    """Below a billion; `full`: something stands before it, so the first group is said with its hundreds."""
    words: list[str] = []
    for power in (2, 1, 0):
        group = n // 1000**power % 1000
        if group:
            words += _hundreds(group, full or bool(words))
            words += [_SCALES[power]] if power else []
    return words


def _hundreds(n: int, full: bool) -> list[str]:
    """One group of three digits, 1 to 999."""
    hundreds, tens, units = n // 100, n // 10 % 10, n % 10
    words = [_DIGITS[hundreds], "trăm"] if hundreds or full else []
    if tens == 0:
        return words + (["linh"] if units and words else []) + ([_DIGITS[units]] if units else [])
    words += ["mười"] if tens == 1 else [_DIGITS[tens], "mươi"]
    if units == 1 and tens > 1:
        words.append("mốt")
    elif units == 5:
        words.append("lăm")
    elif units == 4 and tens > 1:
        words.append("tư")
    elif units:
        words.append(_DIGITS[units])
    return words


def from_words(text: str) -> int:
    """The whole number that the words say, whatever currency, quotes and signs stand around them.

    "Âm …", "Trừ …" and "Giảm …" are below nought. Raises ValueError, naming the word, where they say no
    number in a form that a person would write.
    """
    plain = unaccented(tidy(text).lower().replace("mốt", _MOT))
    plain = re.sub(r"\bchuc\b", "muoi", plain)
    words = [word for word in _WORD.findall(_BEHIND.sub("", _HEAD.sub("", plain))) if word not in _FILLER]
    while end := next((end for end in _CURRENCY if words[-len(end) :] == end), None):
        del words[-len(end) :]
    for head, sign in _SIGNS:
        if words[: len(head)] == head:
            return sign * _number(words[len(head) :], text)
    return _number(words, text)


def _number(words: list[str], text: str) -> int:
    if not words:
        raise ValueError(f"{text!r} holds no number word")
    if words[-1] == "ruoi" and len(words) > 2 and words[-2] in _HALF:
        words = [*words[:-1], *_HALF[words[-2]]]
    cuts = [i for i, word in enumerate(words) if word in _BILLION]
    if not cuts:
        return _below_billion(words, text)
    total, start = 0, 0
    for cut in cuts:
        if cut == start:
            raise ValueError(f"{text!r}: nothing before {words[cut]!r}")
        billions = _below_billion(words[start:cut], text)
        # A second tỷ goes on from whole thousands of them, and adds less than a thousand.
        if start and (len(cuts) > 2 or total % 1000 or billions >= 1000):
            raise ValueError(f"{text!r}: {words[cut]!r} stands twice")
        total, start = total + billions, cut + 1
    return total * 10**9 + (_below_billion(words[start:], text) if words[start:] else 0)


def _below_billion(words: list[str], text: str) -> int:
    """Groups like "hai trăm ba mươi triệu", their scales falling."""
    total, last, start = 0, 10**9, 0
    for i, word in enumerate(words):
        if word in _SCALE:
            if _SCALE[word] >= last:
                raise ValueError(f"{text!r}: {word!r} stands after a smaller or equal one")
            total += _group(words[start:i], text) * _SCALE[word]
            last, start = _SCALE[word], i + 1
    return total + (_group(words[start:], text) if start < len(words) else 0)


def _group(words: list[str], text: str) -> int:
    """Three digits: [digit trăm] and then less than a hundred, with or without linh or lẻ before it."""
    rest, hundreds = words, 0
    if "tram" in rest:
        if rest[0] in _ODD and rest[1] not in _ODD:  # "ba trăm nghìn lẻ năm trăm"
            return _group(rest[1:], text)
        at = rest.index("tram")
        if at != 1:
            raise ValueError(f"{text!r}: one digit word must stand before 'trăm'")
        hundreds, rest = _digit(rest[0], text) * 100, rest[2:]
        if not rest:
            return hundreds
    match rest:
        case [odd, *more] if odd in _ODD and not hundreds and more and more[0] not in _ODD:
            return _group(more, text)
        case [odd, unit] if odd in _ODD:
            return hundreds + _digit(unit, text)
        case [tens, unit] if tens in _TENS:
            return hundreds + _TENS[tens] + _digit(unit, text)
        case ["muoi"]:
            return hundreds + 10
        case ["muoi", unit]:
            return hundreds + 10 + _digit(unit, text)
        case [tens, "muoi"]:
            return hundreds + _digit(tens, text) * 10
        case [tens, "muoi", unit]:
            return hundreds + _digit(tens, text) * 10 + _digit(unit, text)
        case [tens, unit] if unit in _AFTER_TENS and _digit(tens, text) > 1:  # as people say it: bốn lăm
            return hundreds + _digit(tens, text) * 10 + _digit(unit, text)
        case [unit] if words is rest and unit not in _AFTER_TENS:  # "một triệu mốt" may be 1,100,000
            return _digit(unit, text)
    raise ValueError(f"{text!r}: {' '.join(words)!r} is no number below a thousand")


def _digit(word: str, text: str) -> int:
    try:
        return _DIGIT[word]
    except KeyError:
        raise ValueError(f"{text!r}: {word!r} is no digit word") from None
