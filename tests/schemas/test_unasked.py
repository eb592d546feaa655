"""Fields that the model is not asked for: version 1 of a schema keeps its question when it grows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest
from pydantic import BaseModel, Field

from pipeline import grammar, merge, parse, prompt
from pipeline.records import Field as Value
from pipeline.records import PageRecord
from pipeline.specimens.specimen import MODELS
from schemas.fields import Money
from schemas.registry import BUILT_IN, resolve
from schemas.shape import Group, Leaf, Node, Repeated, SchemaError, shape_of
from schemas.spec import SchemaSpec
from tests.pipeline.walker import recite


class Part(BaseModel):
    unasked: ClassVar = ("origin",)
    name: str | None = Field(None, title="Tên")
    origin: str | None = Field(None, title="Xuất xứ")


class Note(BaseModel):
    """Phiếu"""

    unasked: ClassVar = ("rate", "fees")
    number: str | None = Field(None, title="Số")
    rate: Money | None = Field(None, title="Tỷ giá")
    fees: list[Part] = Field(default_factory=list, title="Phí")
    parts: list[Part] = Field(default_factory=list, title="Phần")


SPEC = SchemaSpec("note", 1, "Phiếu", Note, shape_of(Note), "0")
ANSWER = '{"Số":"7","Phần":[{"Tên":"bánh xe"}]}'


def test_they_are_in_no_question_no_grammar_and_no_answer() -> None:
    said = prompt.build(SPEC) + grammar.compile(SPEC)
    for label in ("Tỷ giá", "Xuất xứ", "Phí"):
        assert label not in said
    values = {
        "number": "7",
        "rate": "1",
        "fees": [{"name": "a"}],
        "parts": [{"name": "bánh xe", "origin": "x"}],
    }
    assert grammar.answer(SPEC.shape, values) == ANSWER


def test_a_page_that_was_read_is_merged_without_them_and_one_from_elsewhere_with_them() -> None:
    page = parse.page_record(recite(ANSWER), SPEC, 1)
    assert [field.path for field in page.fields] == ["number", "parts", "parts[0].name"]
    made = merge.document([page], SPEC)
    assert made.record == {
        "number": "7", "rate": None, "fees": [], "parts": [{"name": "bánh xe", "origin": None}]
    }  # fmt: skip
    assert made.state == "done"

    elsewhere = (
        Value("number", "7", "7", 1.0, "xml", 1),
        Value("rate", "25345", "25345", 1.0, "xml", 1),
        Value("fees", None, 1, 1.0, "xml", 1),
        Value("fees[0].name", "bến", "bến", 1.0, "xml", 1),
        Value("fees[0].origin", "Huế", "Huế", 1.0, "xml", 1),
    )
    made = merge.document([PageRecord(1, elsewhere)], SPEC)
    assert (made.record["rate"], made.record["fees"]) == ("25345", [{"name": "bến", "origin": "Huế"}])


def test_a_name_that_is_no_field_and_a_schema_of_nothing_else_are_refused() -> None:
    class Wrong(BaseModel):
        unasked: ClassVar = ("nummer",)
        number: str | None = None

    class Nothing(BaseModel):
        unasked: ClassVar = ("number",)
        number: str | None = None

    for model in (Wrong, Nothing):
        with pytest.raises(SchemaError, match=rf"{model.__name__}\.unasked: .* must name some of the fields"):
            shape_of(model)


def labels(node: Node) -> Iterator[str]:
    yield node.label
    inner = node.item if isinstance(node, Repeated) else node
    if isinstance(inner, Group):
        for field in inner.fields:
            yield from labels(field)
    else:
        assert isinstance(inner, Leaf)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_newer_version_asks_for_all_that_the_older_one_does_and_for_more(name: str) -> None:
    old, new = (resolve(f"{name}@{version}") for version in (1, 2))
    assert set(labels(old.shape.of_pages)) < set(labels(new.shape.of_pages))
    assert {path for path, _ in old.shape.leaves()} <= {path for path, _ in new.shape.leaves()}
    assert new.title == old.title
    assert old.model is MODELS[name]
