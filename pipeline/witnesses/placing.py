"""Where values stand, by witnesses that know it exactly.

A box from where the model looked is a good guess. The words of a text layer, or those that a second reader
saw, have their places: where one of them bears a value out, the value stands where its words stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.records import Field, Testimony

_EXACT = ("text", "reader")  # print itself, the surer one first
_ELSEWHERE = ("qr", "mrz")  # the same value, printed in a code: better than no place at all


def placed(fields: Sequence[Field], testimony: Iterable[Testimony]) -> tuple[Field, ...]:
    """The fields with the boxes of witnesses that agree, on the page that the value was read from."""
    told: dict[tuple[str, int | None], dict[str, Testimony]] = {}
    for said in testimony:
        if said.verdict == "agrees" and said.box is not None:
            told.setdefault((said.field, said.page), {}).setdefault(said.source, said)
    if not told:
        return tuple(fields)
    return tuple(_placed(field, told.get((field.path, field.page), {})) for field in fields)


def _placed(field: Field, told: dict[str, Testimony]) -> Field:
    sources = _EXACT if field.box is not None else (*_EXACT, *_ELSEWHERE)
    best = next((told[source] for source in sources if source in told), None)
    return field if best is None or field.value is None else field._replace(box=best.box)
