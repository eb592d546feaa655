"""What the machine-readable parts of a document say of its fields, as a schema declares it.

    evidence: ClassVar = (Evidence("qr", says),)

`says` is a function like a rule: it takes the record, an instance of the schema, and the text of one code,
and yields a `Claim` for each field that the code knows, and a check where the code itself is wrong. For the
text of another kind of code it yields nothing. The pipeline holds the claims against what was read
(`pipeline/witnesses`); a claim never changes a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.checks import CheckResult


@dataclass(frozen=True, slots=True)
class Claim:
    """One value, as a code or a zone has it.

    path    of the field, like "number"
    raw     the value as it stands in the code
    value   normalised and JSON-ready, as the field's own values are: dates in ISO 8601, decimals as text.
            None where it is known only in part, like a name that is cut off: it then serves comparison alone
    agrees  whether a value that was read, in that form, is borne out; None: where it equals `value`
    sound   False where the part's own check digits are wrong: it then accuses nobody
    """

    path: str
    raw: str
    value: Any = None
    agrees: Callable[[Any], bool] | None = None
    sound: bool = True

    def bears_out(self, value: Any) -> bool:
        """Whether the claim says the same as a value that was read."""
        return bool(self.agrees(value)) if self.agrees else bool(value == self.value)


@dataclass(frozen=True, slots=True)
class Seen:
    """A part of a document as a second reader saw it, of which its own check digits are right.

    agrees  whether what was read says the same; None where that cannot be told
    """

    raw: str
    agrees: Callable[[str], bool | None]


Says = Callable[[Any, str], Iterable[Claim | CheckResult]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A part of a document that says what other parts say too.

    source  "qr" or "mrz": what its claims are filed under
    says    from the record and the part's text to claims and checks
    path    of the field whose value is the text; None: the text of each QR code on the document's pages
    seen    finds that text among the words that a second reader saw on a page, line by line; None: nothing
            but the words themselves tells whether it read them rightly
    """

    source: str
    says: Says
    path: str | None = None
    seen: Callable[[Sequence[str]], Seen | None] | None = None
