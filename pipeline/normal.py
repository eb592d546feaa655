"""From a text as it is printed to the value that is stored."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pipeline.errors import Permanent, Reason
from schemas.shape import Leaf


def normal(leaf: Leaf, raw: str) -> tuple[Any, str | None]:
    """The normalised, JSON-ready value of a printed text and None, or None and what is wrong with it.

    Raises Permanent(schema_mismatch) where the schema's own code breaks instead of saying what is wrong.
    """
    try:
        value = leaf.printed.parse(raw)
    except (ValueError, ArithmeticError) as error:
        return None, str(error) or type(error).__name__
    except Exception as error:
        raise Permanent(
            Reason.schema_mismatch,
            f"the schema's own reading of {leaf.label!r} failed on {raw!r}: {error!r}; "
            "it should raise ValueError for a text that it cannot read",
        ) from error
    return json_ready(value), None


def json_ready(value: Any) -> Any:
    """Decimals, dates and times as text; all else as it is."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date | datetime) else value
