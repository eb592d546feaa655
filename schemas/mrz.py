"""The machine-readable zone of an identity card: three lines of 30 characters (ICAO 9303, TD1).

    line 1   ID VNM, the last 9 digits of the number + check, all 12 digits, <<, check
    line 2   birth YYMMDD + check, sex M/F, expiry YYMMDD + check, VNM, filler, check over both lines
    line 3   SURNAME<<GIVEN<NAMES without diacritics

Check digits weigh the characters 7-3-1 (digits as they are, A=10 … Z=35, < = 0), modulo 10. The check at the
end of line 1 is that of the 12 digits with their fillers; it is Viet Nam's own use of the optional field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, Literal

from schemas.checks import CheckResult
from schemas.dates import UNLIMITED
from schemas.evidence import Claim, Evidence, Seen
from schemas.text import APOSTROPHE, unaccented

_NO_EXPIRY = "<<<<<<"
_SEX: Mapping[str, Literal["Nam", "Nữ"]] = {"M": "Nam", "F": "Nữ"}


@dataclass(frozen=True, slots=True)
class Mrz:
    """What the zone says. `bad` names each part with a wrong check digit, or with letters for digits."""

    number: str  # 12 digits
    date_of_birth: str  # YYMMDD as printed: the century is not in the zone
    sex: Literal["Nam", "Nữ"] | None
    expiry: str | None  # YYMMDD as printed; None where there is no expiry
    nationality: str  # VNM
    name: str  # capital letters without diacritics, surname first
    bad: tuple[str, ...]


def check_digit(text: str) -> str:
    """The 7-3-1 check digit of digits, capital letters and fillers."""
    total = sum(weight * _value(char) for char, weight in zip(text, (7, 3, 1) * len(text), strict=False))
    return str(total % 10)


def parse(text: str) -> Mrz:
    """The zone from its three lines, set apart by white space. Raises ValueError if they are not TD1."""
    lines = text.split()
    if [len(line) for line in lines] != [30, 30, 30]:
        raise ValueError(f"an MRZ is three lines of 30 characters; here are {[len(line) for line in lines]}")
    one, two, three = lines
    if wrong := re.search(r"[^A-Z0-9<]", one + two + three):
        raise ValueError(f"an MRZ holds no {wrong[0]!r}")
    if not re.match(r"I[A-Z<]VNM", one):
        raise ValueError(f"the MRZ of a Vietnamese card begins with IDVNM, not {one[:5]!r}")
    number = one[15:27]
    checks = {
        "document number": (one[5:14], one[14]),
        "number": (one[15:29], one[29]),
        "date of birth": (two[0:6], two[6]),
        "expiry": (two[8:14], two[14]),
        "composite": (one[5:30] + two[0:7] + two[8:15] + two[18:29], two[29]),
    }
    bad = [part for part, (covered, digit) in checks.items() if not _right(covered, digit)]
    digits = {"document number": one[5:14], "number": number, "date of birth": two[0:6], "expiry": two[8:14]}
    # To the sum A, K, U and < are 0, and L is 1: what a reader takes for a digit may leave it right.
    bad += [part for part, text in digits.items() if part not in bad and not _of_digits(part, text)]
    if number[3:] != one[5:14]:
        bad.append("document number against number")
    return Mrz(
        number=number,
        date_of_birth=two[0:6],
        sex=_SEX.get(two[7]),
        expiry=None if two[8:14] == _NO_EXPIRY else two[8:14],
        nationality=two[15:18].rstrip("<"),
        name=" ".join(three.replace("<", " ").split()),
        bad=tuple(bad),
    )


def _right(covered: str, digit: str) -> bool:
    """Whether the check digit is right; of a part that is empty it may be a filler too."""
    return check_digit(covered) == digit or (digit == "<" and not covered.strip("<"))


def _of_digits(part: str, text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]+", text)) or (part == "expiry" and text == _NO_EXPIRY)


def says(card: Any, text: str) -> Iterator[Claim | CheckResult]:
    """What the zone says of the card's fields, and whether its own check digits are right.

    Each part has its own check digit: a damaged part accuses nobody, and takes no other with it.
    """
    try:
        zone = parse(text)
    except ValueError as error:
        yield CheckResult(
            "mrz_form", False, "error", f"the MRZ cannot be read: {error}", ("mrz",), None, text
        )
        return
    wrong = ", ".join(zone.bad)
    message = (
        f"the MRZ's check digits are wrong, or letters stand for digits, for: {wrong}"
        if wrong
        else "the MRZ's check digits are right"
    )
    yield CheckResult("mrz_check_digits", not wrong, "error", message, ("mrz",), None, wrong or None)
    if card.number is None or len(card.number) == 12:  # an old number of 9 digits is in no zone
        yield Claim("number", zone.number, zone.number, sound="number" not in zone.bad)
    born, until = zone.date_of_birth, zone.expiry
    century = _century(zone.number) if "number" not in zone.bad else None
    yield _day("date_of_birth", born, century, "date of birth" not in zone.bad)
    yield _day("expiry", until or f"{UNLIMITED:%y%m%d}", "20", "expiry" not in zone.bad)
    if zone.sex is not None:
        yield Claim("sex", zone.sex, zone.sex)
    yield _name(zone.name, cut=not text.endswith("<<"))


def seen(words: Sequence[str]) -> Seen | None:
    """The zone among words that a small reader saw; None where its check digits do not bear it out."""
    plain = [word.upper() for word in words if "<" in word]
    for at, word in enumerate(plain):
        if (one := _line_1(word)) is None:
            continue
        for further, other in enumerate(plain[at + 1 :], at + 1):
            two = _line_2(other)
            if two is None or parse(f"{one} {two} {'<' * 30}").bad:
                continue
            names = [line for line in plain[further + 1 :] if re.match(r"[A-Z0]", line) and "<<" in line]
            return Seen(" ".join((one, two, *names[:1])), partial(_same_zone, one, two, names))
    return None


def _line_1(word: str) -> str | None:
    found = re.fullmatch(r"(I[A-Z<]VNM)([0-9A-Z]{22})<*([0-9A-Z])", word)
    return found and f"{found[1]}{found[2].translate(_AS_DIGITS)}<<{found[3].translate(_AS_DIGITS)}"


def _line_2(word: str) -> str | None:
    found = re.fullmatch(r"([0-9A-Z]{7})([MF<])([0-9A-Z<]{7})VNM<*([0-9A-Z])", word)
    if found is None:
        return None
    birth, expiry, check = (found[part].translate(_AS_DIGITS) for part in (1, 3, 4))
    return f"{birth}{found[2]}{expiry}VNM{'<' * 11}{check}"


def _same_zone(one: str, two: str, names: Sequence[str], read: str) -> bool | None:
    """The name has no check digit: where it alone seems to differ, nothing is told."""
    lines = read.split()
    if len(lines) != 3:
        return None
    if lines[:2] != [one, two]:
        return False
    bare = lines[2].rstrip("<")
    return True if any(name.translate(_AS_LETTERS).rstrip("<") == bare for name in names) else None


# What small readers take for each other, by what may stand at a place.
_AS_DIGITS = str.maketrans("OQDILZSBG", "000112586")
_AS_LETTERS = str.maketrans("01258", "OIZSB")

EVIDENCE = Evidence("mrz", says, path="mrz", seen=seen)


def _century(number: str) -> str | None:
    """The fourth digit of a person's number tells the century of birth."""
    return str(19 + int(number[3]) // 2) if number[3:4].isdecimal() else None


def _day(path: str, printed: str, century: str | None, sound: bool) -> Claim:
    """A day as YYMMDD; `century` None: it is not known, and the day serves comparison alone."""
    full = f"{century}{printed[:2]}-{printed[2:4]}-{printed[4:]}" if century else None
    if path == "expiry" and printed == f"{UNLIMITED:%y%m%d}":
        full = UNLIMITED.isoformat()
    try:
        day = date.fromisoformat(full).isoformat() if full else None
    except ValueError:  # no day of any calendar, though its check digit is right
        day = None
    return Claim(path, printed, day, lambda read: read[2:].replace("-", "") == printed, sound)


def _name(name: str, cut: bool) -> Claim:
    """Line 3 holds 30 characters: a longer name is `cut` off there."""
    return Claim("full_name", name, None if cut else name, partial(names_agree, name, cut=cut))


def names_agree(zone: str, printed: str, *, cut: bool) -> bool:
    """Whether the zone's name is that on the print. `cut`: the zone was too short for it.

    Issuers leave an apostrophe out (H'HEN is HHEN, K’ BRÊU is KBREU) or make it a filler, and write letters
    that are no Vietnamese ones as ICAO 9303 part 3, section 6 has them, or bare.
    """
    bare = unaccented(printed).upper()
    spelled = {bare.translate(_BARE), printed.upper().translate(_SPELLED)}
    texts = {APOSTROPHE.sub(kept, text) for text in spelled for kept in ("", " ")}
    for text in texts:
        name = " ".join(re.findall(r"[A-Z]+", unaccented(text)))
        if zone == (name[: len(zone)] if cut else name):
            return True
    return False


_BARE = str.maketrans({"Ø": "O", "Ł": "L", "Æ": "AE", "Œ": "OE", "ß": "SS", "ẞ": "SS", "Þ": "TH", "Ð": "D"})
_SPELLED = _BARE | str.maketrans({"Ä": "AE", "Ö": "OE", "Ü": "UE", "Å": "AA", "Ø": "OE", "Ñ": "N"})


def build(number: str, date_of_birth: date, sex: str, expiry: date | None, full_name: str) -> str:
    """The zone's three lines, joined by one space. `expiry` None is "Không thời hạn".

    Raises ValueError where the number is not 12 digits or the sex is neither Nam nor Nữ.
    """
    if not re.fullmatch(r"[0-9]{12}", number):
        raise ValueError(f"an MRZ needs a number of 12 digits, not {number!r}")
    if sex not in ("Nam", "Nữ"):
        raise ValueError(f"an MRZ needs the sex as Nam or Nữ, not {sex!r}")
    short, optional = number[3:], f"{number}<<"
    one = f"IDVNM{short}{check_digit(short)}{optional}{check_digit(optional)}"
    birth = f"{date_of_birth:%y%m%d}"
    until = f"{expiry:%y%m%d}" if expiry else _NO_EXPIRY
    two = f"{birth}{check_digit(birth)}{'M' if sex == 'Nam' else 'F'}{until}{check_digit(until)}VNM{'<' * 11}"
    composite = check_digit(one[5:30] + two[0:7] + two[8:15] + two[18:29])
    surname, *given = re.findall(r"[A-Z]+", unaccented(full_name).upper()) or [""]
    three = f"{surname}<<{'<'.join(given)}".rstrip("<")[:30].ljust(30, "<")
    return f"{one} {two}{composite} {three}"


def _value(char: str) -> int:
    return 0 if char == "<" else int(char, 36)
