"""Whose value is chosen: what was read, except where a source of authority has another or knows more.

A schema names its sources of authority in their order, `sources_of_authority: ClassVar = ("xml",)`, and the
setting of that name names others. What is not chosen is a witness of what is: a reader that was sure of what
it saw contradicts, and one that was not says nothing.

A page's own text has many things that are nearly what was read, and may lack the thing itself: a letterhead
is often a picture, and the day of signing is the day after that of issue. It is taken where it is surely the
field's own, or sums and check digits hold with it that did not; never where one fails with it that held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline.records import Field, Testimony
from pipeline.witnesses import text
from pipeline.witnesses.asking import Answers, ask
from pipeline.witnesses.proving import Proofs, RecordOf, proved
from pipeline.witnesses.witness import Subject

_KNOWS = ("differs", "offers")
# What follows a label in a text is offered, and need not be the field's: what was misread is known of it.
_KNOWN = {"text": ("differs",)}
_EXACT = 1.0  # confidence of what no model had to read


def first(readings: Iterable[str], authority: Sequence[str]) -> str:
    """Which of a document's readings gives its values: the first source of authority, else print."""
    there = list(readings)
    ranked = [source for source in authority if source in there]
    return ranked[0] if ranked else "read" if "read" in there else there[0]


def judged(
    subject: Subject,
    source: str,
    authority: Sequence[str],
    record_of: RecordOf,
    proofs: Proofs,
) -> tuple[Subject, Answers]:
    """The document with the values of its sources of authority, and what witnesses say of those.

    `source` is that of the reading in `subject`: only sources before it in the order come before it. A list's
    items are those of that reading.
    """
    above = authority[: authority.index(source)] if source in authority else authority
    answers = ask(subject)
    better: dict[str, Field] = {}
    of_text: dict[str, Testimony] = {}
    for said in sorted(
        (said for said in answers.testimony if said.source in above),
        key=lambda said: above.index(said.source),
    ):
        knows = said.verdict in _KNOWN.get(said.source, _KNOWS) and said.source not in subject.others
        if knows and said.value is not None:
            if said.field not in better and said.source == "text":
                of_text[said.field] = said
            better.setdefault(
                said.field,
                Field(said.field, said.raw, said.value, _EXACT, said.source, said.page, said.box),
            )
    if of_text:
        sure = {
            path: better[path] for path in better.keys() - of_text.keys()
        }  # by sources that need no proof
        fields = [sure.get(field.path, field) for field in subject.fields]
        tried = {path: better[path] for path in of_text}
        found = proved(fields, tried, record_of, proofs, text.surely(subject, of_text.values()))
        better = sure | {path: better[path] for path in found}
    if not better:
        return subject, answers
    chosen = tuple(better.get(field.path, field) for field in subject.fields)
    others = {**subject.others, source: subject.fields}
    changed = replace(subject, fields=chosen, record=record_of(chosen), others=others)
    return changed, ask(changed)
