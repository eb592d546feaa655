"""Trying another value in a document: does a check that bears values out hold with it that did not?"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from pipeline.records import Check, Field

RecordOf = Callable[[Sequence[Field]], Mapping[str, Any]]  # fields as the nested record
Proofs = Callable[[Mapping[str, Any]], Sequence[Check]]  # the checks of a record that bear values out
_MOST = 24  # values that are tried one by one: checks are run for each

Failed = Mapping[tuple[str, tuple[str, ...]], Check]  # by code and fields


def failed(checks: Sequence[Check]) -> Failed:
    """Those that did not hold."""
    return {(check.code, check.fields): check for check in checks if not check.passed}


def proved(
    fields: Sequence[Field],
    others: Mapping[str, Field],
    record_of: RecordOf,
    proofs: Proofs,
    surely: Container[str] = (),
) -> dict[str, str | None]:
    """The paths of those of `others` that may stand in the place of a document's own fields, each with the
    code of a check that holds with it and did not; None where none does, and it is `surely` right.

    One after the other: what was taken stays for the next. None is with which a check fails that held.
    """
    now = {field.path: field for field in fields}
    wrong = failed(proofs(record_of(tuple(now.values()))))
    found: dict[str, str | None] = {}
    for path in list(others)[:_MOST]:
        tried = {**now, path: others[path]}
        left = failed(proofs(record_of(tuple(tried.values()))))
        mended = [check.code for key, check in wrong.items() if key not in left]
        if left.keys() <= wrong.keys() and (path in surely or mended):
            found[path] = mended[0] if mended else None
            now, wrong = tried, left
    return found
