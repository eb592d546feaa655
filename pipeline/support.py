"""What bears a value out beside the reading itself: an equation that holds, a check digit, a witness.

A value that nothing bears out may be wrong without anybody noticing: an invoice's number, or a date whose day
and month would make another date if they were swapped. That is said in remarks, which stop nothing: the score
counts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from pipeline.records import Check, Field, Testimony
from schemas.shape import Leaf, leaf_path

UNSUPPORTED = "unsupported"
DAY_OR_MONTH = "day_or_month"
LOW_CONFIDENCE = "low_confidence"
WRONG_ALONE = ("future_date", "age", "tax_code", "field_invalid")  # codes of checks on one value
_CODE = 40  # characters: a longer text is a name or an address, which nothing on a paper repeats
_MONTHS = 12


def cleared(checks: Iterable[Check], testimony: Iterable[Testimony]) -> Iterator[Check]:
    """The checks; where one that failed suspects several values, those that a witness bears out are cleared.

    So are all others where one of them is wrong by itself, like a day that is to come. Where that would leave
    none, the check is as it was.
    """
    checks = tuple(checks)
    agreed = {said.field for said in testimony if said.verdict == "agrees"}
    alone = {
        check.accused[0]
        for check in checks
        if not check.passed and check.code in WRONG_ALONE and len(check.accused) == 1
    }
    for check in checks:
        if not check.passed and len(check.accused) > 1 and check.code != LOW_CONFIDENCE:
            left = tuple(path for path in check.accused if path not in agreed)
            left = tuple(path for path in left if path in alone) or left
            if left and left != check.accused:
                check = replace(check, suspects=left)
        yield check


def remarks(
    fields: Sequence[Field],
    checks: Iterable[Check],
    testimony: Iterable[Testimony],
    leaves: Mapping[str, Leaf],
    proofs: Sequence[str],
) -> Iterator[Check]:
    """Which figures, dates and codes nothing bears out; `proofs` are the codes of checks that do when passed.

    Nothing is said of a schema that names no proofs.
    """
    if not proofs:
        return
    borne = {said.field for said in testimony if said.verdict == "agrees"}
    for check in checks:
        if check.passed and check.code in proofs:
            borne.update(check.fields)
    bare = [
        field for field in fields if _may_be_borne_out(field, leaves) and not _is_borne(field.path, borne)
    ]
    if bare:
        listed = tuple(field.path for field in bare)
        message = f"nothing else on the paper bears out: {', '.join(listed)}"
        yield Check(UNSUPPORTED, False, "info", message, listed)
    for field in bare:
        if leaves[leaf_path(field.path)].printed.sql == "date" and (other := _swapped(str(field.value))):
            message = f"{field.path}: {field.value} would be {other} if day and month were swapped"
            yield Check(DAY_OR_MONTH, False, "info", message, (field.path,), None, str(field.value))


def _may_be_borne_out(field: Field, leaves: Mapping[str, Leaf]) -> bool:
    if field.value is None or field.source == "xml":
        return False
    leaf = leaves.get(leaf_path(field.path))
    return leaf is not None and (leaf.printed.sql != "text" or leaf.printed.max_chars <= _CODE)


def _is_borne(path: str, borne: set[str]) -> bool:
    """Whether the value itself is borne out, or as an amount of a list that adds up."""
    return path in borne or (path.endswith("].amount") and path.partition("[")[0] in borne)


def _swapped(iso: str) -> date | None:
    day = date.fromisoformat(iso)
    if day.day > _MONTHS or day.day == day.month:
        return None
    return day.replace(month=day.day, day=day.month)
