"""What a rule over a record says, and the running of all rules of a schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one rule over a record: a code, a sentence, and the figures it compared."""

    code: str
    passed: bool
    severity: Literal["info", "warning", "error"]
    message: str
    fields: tuple[str, ...] = ()  # paths that it looked at
    expected: str | None = None
    found: str | None = None


# A rule takes the record as an instance of its schema; a value that is absent on paper is None there.
Rule = Callable[[Any], Iterable[CheckResult]]
