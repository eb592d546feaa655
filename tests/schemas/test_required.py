"""The fields that a schema requires, at any depth."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from schemas.registry import SchemaError, SchemaSpec, resolve

NOTE = """
from typing import ClassVar

from pydantic import BaseModel, Field

from schemas.required import Either, Where


class Party(BaseModel):
    required: ClassVar = ("name",)
    name: str | None = None
    phone: str | None = None


class Line(BaseModel):
    required: ClassVar = ("goods",)
    goods: str | None = None
    remark: str | None = None


class Note(BaseModel):
    required: ClassVar = {required}
    expected: ClassVar = {expected}
    number: str | None = None
    seal: str | None = None
    signed_by: str | None = None
    sender: Party | None = None
    lines: list[Line] = Field(default_factory=list)
"""


def note(folder: Path, required: str = '("number", "sender")', expected: str = "()") -> SchemaSpec:
    file = folder / "note.py"
    source = textwrap.dedent(NOTE).replace("{required}", required).replace("{expected}", expected)
    file.write_text(source, encoding="utf-8")
    return resolve(f"{file}:Note")


def missing(spec: SchemaSpec, **record: object) -> list[str]:
    return [check.fields[0] for check in spec.run_checks(record) if check.code == "required"]


def test_it_is_said_who_wants_what_is_missing(tmp_path: Path) -> None:
    ours = [check.message for check in note(tmp_path).run_checks({}) if check.code == "required"]
    assert ours and all("the schema requires it" in message for message in ours)
    card = [check.message for check in resolve("id_card").run_checks({}) if check.code == "required"]
    assert card and all("bears it" in message for message in card)


def test_each_missing_field_is_named_by_its_path(tmp_path: Path) -> None:
    spec = note(tmp_path)
    nobody = {"name": None, "phone": None}
    assert missing(spec, number=None, sender=nobody, lines=[]) == ["number", "sender"]
    assert missing(spec, number="1", sender={"name": None, "phone": "0"}, lines=[]) == ["sender.name"]
    lines = [
        {"goods": "Sữa", "remark": None},
        {"goods": None, "remark": "vỡ"},
        {"goods": None, "remark": None},
    ]
    # A line of which nothing was read is said by another check.
    assert missing(spec, number="1", sender={"name": "A"}, lines=lines) == ["lines[1].goods"]


def test_one_of_several_and_what_only_some_papers_bear(tmp_path: Path) -> None:
    signed = 'Where(lambda note: note.seal is not None, "a sealed note", "signed_by")'
    spec = note(tmp_path, '("number",)', f'(Either("seal", "sender"), {signed})')

    def lacking(**record: object) -> list[tuple[str, str, tuple[str, ...]]]:
        checks = spec.run_checks({"lines": [], **record})
        return [(check.code, check.severity, check.fields) for check in checks if not check.passed]

    assert lacking(number="1") == [("expected", "warning", ("seal", "sender"))]
    assert lacking(number="1", seal="x") == [("expected", "warning", ("signed_by",))]
    assert lacking(number="1", sender={"name": "A"}) == []
    assert lacking(seal="x", signed_by="B") == [("required", "error", ("number",))]


@pytest.mark.parametrize(
    ("required", "complaint"),
    [('("nummer",)', "Note.required: it has no field 'nummer'"), ('("number")', "'number' is no tuple")],
)
def test_what_cannot_be_required_is_refused_at_the_door(
    tmp_path: Path, required: str, complaint: str
) -> None:
    with pytest.raises(SchemaError, match=complaint):
        note(tmp_path, required)
