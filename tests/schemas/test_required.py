"""The fields that a schema requires, at any depth."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from schemas.registry import SchemaError, SchemaSpec, resolve

NOTE = """
from typing import ClassVar

from pydantic import BaseModel, Field


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
    number: str | None = None
    sender: Party | None = None
    lines: list[Line] = Field(default_factory=list)
"""


def note(folder: Path, required: str = '("number", "sender")') -> SchemaSpec:
    file = folder / "note.py"
    file.write_text(textwrap.dedent(NOTE).replace("{required}", required), encoding="utf-8")
    return resolve(f"{file}:Note")


def missing(spec: SchemaSpec, **record: object) -> list[str]:
    return [check.fields[0] for check in spec.run_checks(record) if check.code == "required"]


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


@pytest.mark.parametrize(
    ("required", "complaint"),
    [('("nummer",)', "Note.required: it has no field 'nummer'"), ('("number")', "'number' is no tuple")],
)
def test_what_cannot_be_required_is_refused_at_the_door(
    tmp_path: Path, required: str, complaint: str
) -> None:
    with pytest.raises(SchemaError, match=complaint):
        note(tmp_path, required)
