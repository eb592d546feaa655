"""Planted errors that a check or a witness could see: how many of each kind are seen, and what is accused.

    python -m infra.benchmarks.planted --count 300 --seed 1

Planned specimens, as they would be printed, are merged and checked as in a run; nothing is drawn and no model
is asked. In each one value is made wrong, of a kind that something else on the paper contradicts: an
equation, a check digit, the day of reading, the MRZ, or a QR code where the kind says so.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from infra.benchmarks.rules import PLANS, Raw, faults, printed
from pipeline.specimens import id_card
from pipeline.specimens.specimen import VERSION
from schemas import dates, invoice_qr, qr
from schemas.id_card import expiries
from schemas.registry import SchemaSpec, resolve
from schemas.shape import leaf_path
from schemas.text import unaccented

READ_ON = date(2026, 11, 26)  # later than every specimen's dates
ASKED = 0.99

Plant = Callable[[random.Random, Raw], tuple[str, str] | None]  # path and its wrong text; None: it has none


@dataclass
class Seen:
    """Of one kind of planted error: how many, seen, accused by itself, alone; and right values accused."""

    planted: int = 0
    seen: int = 0
    pointed: int = 0
    alone: int = 0
    wronged: int = 0


@dataclass
class Outcome:
    """Of one kind of paper."""

    sound: int = 0
    stopped: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Seen] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="specimens of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    below = alarms = 0
    for paper, outcome in measured(options.count, options.seed).items():
        alarms += sum(outcome.stopped.values())
        print(f"{paper}: {sum(outcome.stopped.values())} of {outcome.sound} sound ones stopped")
        for name, seen in outcome.kinds.items():
            share = seen.seen / seen.planted
            below += share < ASKED
            blame = f"accused {seen.pointed:5}, alone {seen.alone:5}, right values accused {seen.wronged}"
            print(f"  {name:38} seen {seen.seen:5} of {seen.planted:5} ({share:6.1%}), {blame}")
    print(f"{below} kinds below {ASKED:.0%}, {alarms} false alarms")
    sys.exit(bool(below or alarms))


def measured(count: int, seed: int) -> dict[str, Outcome]:
    """By kind of paper, over `count` specimens a schema."""
    found: dict[str, Outcome] = {}
    for schema, drawn in PLANS.items():
        spec = resolve(VERSION[schema])
        for n in range(count):
            dice = random.Random(f"planted:{seed}:{schema}:{n}")
            whole = printed(drawn(dice, 0.0))
            for paper, raw, codes in _papers(schema, whole):
                outcome = found.setdefault(paper, Outcome())
                outcome.sound += 1
                outcome.stopped.update({check.code for check in faults(spec, raw, codes, READ_ON)})
                for name, plant in TABLE[paper].items():
                    if (wrong := plant(dice, raw)) is not None:
                        _count(outcome.kinds.setdefault(name, Seen()), spec, raw, codes, wrong)
    return found


def _count(seen: Seen, spec: SchemaSpec, raw: Raw, codes: list[str], wrong: tuple[str, str]) -> None:
    path, text = wrong
    failed = faults(spec, raw | {path: text}, codes, READ_ON)
    accused = {accused for check in failed for accused in check.accused}
    seen.planted += 1
    seen.seen += bool(failed)
    seen.pointed += path in accused
    seen.alone += accused == {path}
    seen.wronged += len(accused - {path})


def _papers(schema: str, raw: Raw) -> Iterator[tuple[str, Raw, list[str]]]:
    """The paper without a code and with one; of a card its front with and without, and both sides."""
    if schema == "receipt":
        yield "receipt", raw, []
    elif schema == "invoice":
        yield "invoice", raw, []
        yield "invoice with a QR code", raw, [_invoice_code(raw)]
    else:
        form = "2021" if "place_of_origin" in raw else "2024"
        front = {path: raw[path] for path in id_card.FRONT[form]}
        yield "front", front, []
        yield "both sides", raw, []
        yield "front with a QR code", front, [_card_code(raw)]


def _card_code(raw: Raw) -> str:
    born, issued = dates.day(raw["date_of_birth"]), dates.day(raw["issue_date"])
    return qr.build(raw["number"], raw["full_name"], born, raw["sex"], raw["place_of_residence"], issued)


def _invoice_code(raw: Raw) -> str:
    series = raw["series"]
    parts = {
        "seller_tax_code": raw["seller_tax_code"],
        "form_no": raw.get("form_no", series[0]),
        "series": series if "form_no" in raw else series[1:],
        "number": raw["number"],
        "issue_date": f"{dates.day(raw['issue_date']):%Y%m%d}",
        "total": re.sub(r"\D", "", raw["total"]),
    }
    return invoice_qr.build(parts, "B")


# kinds of errors


def digit(field: str, where: slice = slice(None)) -> Plant:
    """One digit of the field, within these characters, is another one."""

    def plant(dice: random.Random, raw: Raw) -> tuple[str, str] | None:
        paths = [path for path in raw if leaf_path(path) == field and re.search("[0-9]", raw[path][where])]
        if not paths:
            return None
        path = dice.choice(paths)
        text = raw[path]
        within = range(*where.indices(len(text)))
        place = dice.choice([i for i in within if text[i].isdigit()])
        other = dice.choice([one for one in "0123456789" if one != text[place]])
        return path, text[:place] + other + text[place + 1 :]

    return plant


def day(field: str, moved: Callable[[random.Random, Raw, date], date | None]) -> Plant:
    """The day is another one, as the paper prints days."""

    def plant(dice: random.Random, raw: Raw) -> tuple[str, str] | None:
        text = raw.get(field)
        if text is None or not re.search("[0-9]", text):
            return None
        other = moved(dice, raw, dates.till_day(text))
        return None if other is None else (field, f"{other:%d/%m/%Y}")

    return plant


def _future(dice: random.Random, _: Raw, _day: date) -> date:
    return READ_ON + timedelta(days=dice.randint(1, 3000))


def _swapped(_: random.Random, _raw: Raw, on: date) -> date | None:
    return on.replace(day=on.month, month=on.day) if on.day <= 12 and on.day != on.month else None


def _before_birth(dice: random.Random, raw: Raw, _day: date) -> date:
    return dates.day(raw["date_of_birth"]) - timedelta(days=dice.randint(1, 3000))


def _before_issue(dice: random.Random, raw: Raw, _day: date) -> date:
    return dates.day(raw["issue_date"]) - timedelta(days=dice.randint(1, 3000))


def _of_other_form(dice: random.Random, _: Raw, on: date) -> date:
    """Before the form, or after it."""
    first, last = (
        (date(2024, 7, 1), READ_ON) if on < date(2024, 7, 1) else (date(2021, 3, 1), date(2024, 6, 30))
    )
    return first + timedelta(days=dice.randint(0, (last - first).days))


def _next_year(dice: random.Random, _: Raw, on: date) -> date | None:
    """Another year, not after the day of reading: the series alone contradicts it."""
    year = on.year - dice.randint(1, 2)
    return on.replace(year=year) if (on.month, on.day) != (2, 29) else None


def _other_sex(_: random.Random, raw: Raw) -> tuple[str, str]:
    return "sex", "Nam" if raw["sex"] == "Nữ" else "Nữ"


def _visible_expiry(dice: random.Random, raw: Raw) -> tuple[str, str] | None:
    """One digit of the expiry. The birthday at another age may be right where no day of issue is printed."""
    wrong = digit("expiry")(dice, raw)
    if wrong is None or "issue_date" in raw:
        return wrong
    try:
        landed = dates.day(wrong[1])
    except ValueError:  # no day of any calendar
        return wrong
    return None if landed in expiries(dates.day(raw["date_of_birth"]), None) else wrong


def _other_letter(dice: random.Random, raw: Raw) -> tuple[str, str]:
    """Another letter in the name, not only another accent: the MRZ has none."""
    text = raw["full_name"]
    place = dice.choice([i for i, char in enumerate(text) if char.isalpha()])
    bare = unaccented(text[place]).upper()
    return "full_name", text[:place] + dice.choice(
        [one for one in "ABCDEGHIKLMNOPQRSTUVXY" if one != bare]
    ) + text[place + 1 :]


def _other_rate(dice: random.Random, raw: Raw) -> tuple[str, str] | None:
    """Of the rates that were in force on that day; 0% and KCT come to the same."""
    now = raw.get("vat_rate")
    taxed = {"10%", "8%", "5%"}
    return None if now not in taxed else ("vat_rate", dice.choice(sorted(taxed - {now})))


def _other_words(dice: random.Random, raw: Raw) -> tuple[str, str] | None:
    """One word of a digit is another one."""
    words = raw["total_in_words"].split(" ")
    names = ("hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
    places = [i for i, word in enumerate(words) if word.lower() in names]
    if not places:
        return None
    place = dice.choice(places)
    words[place] = dice.choice([one for one in names if one != words[place].lower()])
    return "total_in_words", " ".join(words)


def _without_code(_: random.Random, raw: Raw) -> tuple[str, str] | None:
    series = raw["series"]
    return ("series", series.replace("C", "K", 1)) if "tax_authority_code" in raw else None


def _shortened(field: str) -> Plant:
    return lambda _, raw: (field, raw[field][:-1]) if field in raw else None


def _doubled_number(dice: random.Random, raw: Raw) -> tuple[str, str] | None:
    numbers = [path for path in raw if leaf_path(path) == "lines[].no"]
    return None if len(numbers) < 3 else (path := dice.choice(numbers[1:-1]), str(int(raw[path]) + 1))


_TILL: Mapping[str, Plant] = {
    **{f"one digit of {name}": digit(name) for name in
       ("total", "lines[].amount", "lines[].quantity", "lines[].unit_price", "paid", "change", "tax_code")},
    "a date to come": day("date", _future),
}  # fmt: skip
_CARD: Mapping[str, Plant] = {
    "birth year in the number": digit("number", slice(4, 6)),
    "another sex": _other_sex,
    "year of birth": digit("date_of_birth", slice(8, 10)),
    "a birth to come": day("date_of_birth", _future),
    "one digit of expiry": _visible_expiry,
}
_INVOICE: Mapping[str, Plant] = {
    **{f"one digit of {name}": digit(name) for name in
       ("net", "vat", "total", "lines[].amount", "lines[].quantity", "lines[].unit_price")},
    # Only a firm's ten digits have a check digit, and the number of a branch behind them none.
    "one digit of seller_tax_code": digit("seller_tax_code", slice(0, 10)),
    "one digit of buyer_tax_code": digit("buyer_tax_code", slice(0, 10)),
    "another rate": _other_rate,
    "another word of the total": _other_words,
    "an issue to come": day("issue_date", _future),
    "another year of issue": day("issue_date", _next_year),
    "year in the series": digit("series", slice(-5, -3)),
    "K for C": _without_code,
    "a sign lost in the authority's code": _shortened("tax_authority_code"),
    "a line's number twice": _doubled_number,
}  # fmt: skip
TABLE: Mapping[str, Mapping[str, Plant]] = {
    "receipt": _TILL,
    "front": _CARD,
    "both sides": {
        **_CARD,
        "one digit of the number": digit("number"),
        "one digit of the day of birth": digit("date_of_birth"),
        "day and month of birth swapped": day("date_of_birth", _swapped),
        "another letter in the name": _other_letter,
        "one digit of the MRZ's first line": digit("mrz", slice(5, 30)),
        "one digit of the MRZ's second line": digit("mrz", slice(31, 61)),
        "an issue to come": day("issue_date", _future),
        "an issue before birth": day("issue_date", _before_birth),
        "an issue of the other form's time": day("issue_date", _of_other_form),
        "an expiry before the issue": day("expiry", _before_issue),
    },
    "front with a QR code": {
        **_CARD,
        "one digit of the number": digit("number"),
        "one digit of the day of birth": digit("date_of_birth"),
        "day and month of birth swapped": day("date_of_birth", _swapped),
        "another letter in the name": _other_letter,
        "one digit of the residence": digit("place_of_residence"),
    },
    "invoice": _INVOICE,
    "invoice with a QR code": {
        "one digit of number": digit("number"),
        "one digit of seller_tax_code": digit("seller_tax_code"),
        "one digit of total": digit("total"),
        "year in the series": digit("series", slice(-5, -3)),
        "another day of issue": day(
            "issue_date", lambda dice, _, on: on - timedelta(days=dice.randint(1, 300))
        ),
        "day and month of issue swapped": day("issue_date", _swapped),
    },
}


if __name__ == "__main__":
    main()
