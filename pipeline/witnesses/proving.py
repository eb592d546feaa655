"""Trying another value in a document: does a check that bears values out hold with it that did not?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.records import Check, Field

RecordOf = Callable[[Sequence[Field]], Mapping[str, Any]]  # fields as the nested record
Proofs = Callable[[Mapping[str, Any]], Sequence[Check]]  # the checks of a record that bear values out
MOST = 24  # values that are tried one by one: checks are run for each

Failed = Mapping[tuple[str, tuple[str, ...]], Check]  # by code and fields


def failed(checks: Sequence[Check]) -> Failed:
    """Those that did not hold."""
    return {(check.code, check.fields): check for check in checks if not check.passed}
