# ruff: noqa: E501
"""What is printed, written as an answer of either form, is what the grammar takes and what is read of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import grammar, parse, prompt
from pipeline.errors import UsageError
from pipeline.grammar import Form
from pipeline.keys import ModelFacts
from pipeline.place import cells
from pipeline.reading import page_result
from pipeline.recipe import Recipe
from pipeline.records import Field, PreparedPage
from pipeline.settings import Settings
from schemas.registry import resolve
from schemas.shape import Group, Leaf, Node, Printed, Repeated
from tests.pipeline.walker import accepts, matcher, recite, spec_of

FORMS = get_args(Form)
ANY = Printed(r"[^\n]+", str, "text", 12)
CODE = Printed(r"[A-Z]{2}\d{1,3}|Không", str, "text", 10)
SIZE = Group("size", "Cỡ", (Leaf("wide", "Rộng", CODE), Leaf("high", "Cao", CODE)))
PART = Group("part", "Phần", (Leaf("code", "Mã", CODE), Leaf("note", "Ghi", ANY)))
LINE = Group(
    "line",
    "line",
    (
        Leaf("what", "Vật tư", ANY),
        SIZE,
        Repeated("parts", "Các phần", PART, 3),
        Repeated("marks", "Dấu", Leaf("mark", "Dấu", CODE), 2),
        Leaf("code", "Mã", CODE),
    ),
)
NOTE = spec_of(
    Leaf("number", "Số", CODE),
    Repeated("lines", "Chi tiết", LINE, 4),
    Group("keeper", "Thủ kho", (Leaf("name", "Tên", ANY), Repeated("notes", "Ghi chú", PART, 2))),
    Repeated("seals", "Niêm phong", Leaf("seals", "Niêm phong", CODE), 3),
)
SPECS = {"note": NOTE, **{name: resolve(name) for name in ("id_card@1", "receipt@1", "invoice@1")}}
EXAMPLE = {
    "number": "AB1",
    "lines": [
        {"what": 'Máy "in"', "size": {"wide": "CM10"}, "parts": [{"code": "PA1"}, {"note": "x, y"}], "code": "AB2"},
        {"marks": ["AB3", "AB4"]},
    ],
    "keeper": {"name": "Bà Đỗ", "notes": [{"note": "]],["}]},
}  # fmt: skip
ROWS = (
    '{"Số":"AB1","Chi tiết: Vật tư; Cỡ (Rộng; Cao); Các phần (Mã; Ghi); Dấu; Mã":['
    '["Máy \\"in\\"",["CM10",null],[["PA1",null],[null,"x, y"]],[],"AB2"],'
    '[null,[null,null],[],["AB3","AB4"],null]],'
    '"Thủ kho":{"Tên":"Bà Đỗ","Ghi chú: Mã; Ghi":[[null,"]],["]]},"Niêm phong":[]}'
)


# Texts as they stand on papers; each field takes those that its pattern has.
TEXTS = (
    "AB1", "Không", "0101234567", "C26TAA", "8%", "Công ty Hưng Thịnh", "tiền mặt", "VND", "1", "1.234.567", "1,5",
    "12", "31/12/2026", "31/12/2026 23:59", "Một trăm đồng", "Nam",
)  # fmt: skip
FREE = st.text('ab"\\[]{},:;|đỗ Ậ', min_size=1, max_size=12).map(grammar.canonical).filter(bool)


def values(node: Node) -> st.SearchStrategy[Any]:
    if isinstance(node, Group):
        return st.fixed_dictionaries({field.name: values(field) for field in node.fields})
    if isinstance(node, Repeated):
        item = st.sampled_from(["AB1", "Không"]) if isinstance(node.item, Leaf) else values(node.item)
        return st.lists(item, max_size=min(3, node.max_items))
    if node.printed == ANY:
        return st.none() | FREE
    own = re.compile(node.printed.pattern)
    fit = [text for text in TEXTS if len(text) <= node.printed.max_chars and own.fullmatch(text)]
    return st.sampled_from([None, *fit])


VALUES = {name: values(spec.shape) for name, spec in SPECS.items()}
GRAMMARS = {(name, form): grammar.compile(spec, form) for name, spec in SPECS.items() for form in FORMS}


def expected(node: Node, value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each path with its printed text, or the number of its items."""
    if isinstance(node, Group):
        for field in node.fields:
            yield from expected(
                field, (value or {}).get(field.name), f"{path}.{field.name}" if path else field.name
            )
    elif isinstance(node, Repeated):
        yield path, len(value or ())
        for number, item in enumerate(value or ()):
            yield from expected(node.item, item, f"{path}[{number}]")
    else:
        yield path, value


def said(field: Field) -> Any:
    return field.value if isinstance(field.value, int) and field.raw is None else field.raw


@pytest.mark.medium
@settings(max_examples=40)
@given(data=st.data(), name=st.sampled_from(list(SPECS)), form=st.sampled_from(FORMS))
def test_what_is_printed_is_what_is_read(data: st.DataObject, name: str, form: Form) -> None:
    spec, given_values = SPECS[name], data.draw(VALUES[name])
    text = grammar.answer(spec.shape, given_values, form)
    assert accepts(GRAMMARS[name, form], text), text
    generation = recite(text, sure=0.5)
    place = np.tile(np.float32([0.5, 0, 4, 4]), (len(generation.spans), 1))
    place[:, 2] = np.arange(len(place)) % 16  # each token looked elsewhere
    record = parse.page_record(replace(generation, place=place), spec, 1, grid=(1, 1), tiles=1, form=form)
    assert [(field.path, said(field)) for field in record.fields] == list(
        expected(spec.shape.of_pages, given_values)
    )
    for field in record.fields:
        if field.raw is not None:
            inside = json.dumps(field.raw, ensure_ascii=False)[1:-1]
            own = tokens_of(generation.spans, text, inside)
            looked = (cells(place[numbers], np.zeros(len(numbers)), (1, 1), 1) for numbers in own)
            assert field.box in [found.box for found in looked if found is not None]
            # The signs around it decide too: at most three tokens more than the text's own.
            assert any(
                len(numbers) <= np.log2(1 / (field.confidence or 1)) <= len(numbers) + 3 for numbers in own
            )


def tokens_of(spans: np.ndarray[Any, Any], text: str, inside: str) -> list[list[int]]:
    """The tokens that hold some of `inside`, for each place where it stands between quotes."""
    at, found = -1, []
    while (at := text.find(f'"{inside}"', at + 1)) >= 0:
        start, end = at + 1, at + 1 + len(inside)
        found.append([n for n, (a, b) in enumerate(spans.tolist()) if a < end and max(b, a + 1) > start])
    return found


def test_rows_have_their_labels_once() -> None:
    assert grammar.answer(NOTE.shape, EXAMPLE, "rows") == ROWS
    assert accepts(GRAMMARS["note", "rows"], ROWS) and not accepts(GRAMMARS["note", "objects"], ROWS)
    objects = grammar.answer(NOTE.shape, EXAMPLE)
    assert accepts(GRAMMARS["note", "objects"], objects) and not accepts(GRAMMARS["note", "rows"], objects)


def test_a_schema_without_tables_has_one_form() -> None:
    spec = SPECS["id_card@1"]
    assert len({GRAMMARS["id_card@1", form] for form in FORMS}) == 1
    assert prompt.build(spec, "rows") == prompt.build(spec)


@pytest.mark.parametrize(
    "row",
    ['["a"]', '["a","AB1","AB2"]', '["AB1","a"]', "[]", '{"Vật tư":"a","Mã":"AB1"}', '["a", "AB1"]', "null", '"a"'],
)  # fmt: skip
def test_a_row_has_just_its_columns(row: str) -> None:
    table = Repeated(
        "lines", "Chi tiết", Group("l", "l", (Leaf("what", "Vật tư", ANY), Leaf("code", "Mã", CODE))), 2
    )
    rules = grammar.compile(spec_of(table), "rows")
    key = '{"Chi tiết: Vật tư; Mã":[%s]}'
    assert accepts(rules, key % '["a","AB1"],[null,null]')
    assert not accepts(rules, key % '["a","AB1"],["a","AB1"],["a","AB1"]')
    assert not accepts(rules, key % row)


def test_the_header_is_forced() -> None:
    table = Repeated("lines", "Chi tiết", Group("l", "l", (Leaf("what", "Vật tư", ANY),)), 2)
    walking = matcher(grammar.compile(spec_of(table), "rows"))
    assert walking.compute_ff_bytes().decode() == '{"Chi tiết: Vật tư":['


def test_labels_that_would_be_one_are_refused_in_rows_too() -> None:
    line = Group("l", "l", (Leaf("a", "Mã", CODE), Leaf("b", " Mã", CODE)))
    with pytest.raises(UsageError, match=r"in lines, field a: another field has the same label 'Mã'"):
        grammar.compile(spec_of(Repeated("lines", "Chi tiết", line, 2)), "rows")
    line = Group("l", "l", (Leaf("a", "Mã", CODE),))
    with pytest.raises(UsageError, match=r"another field has the same label 'Chi tiết: Mã'"):
        grammar.compile(
            spec_of(Repeated("lines", "Chi tiết", line, 2), Leaf("x", "Chi tiết: Mã", CODE)), "rows"
        )


def test_a_question_for_rows_says_so() -> None:
    said = prompt.build(resolve("receipt@1"), "rows").split("\n")
    assert (
        said[3]
        == 'Bảng "Hàng hóa", mỗi dòng là một mảng giá trị theo thứ tự: Tên hàng; SL; Đơn giá; Thành tiền.'
    )
    plain = prompt.build(resolve("receipt@1")).split("\n")
    assert said[:3] + said[4:] == plain[:3] + plain[4:]


def test_doubt_about_a_cell_is_doubt_about_its_value() -> None:
    text = grammar.answer(NOTE.shape, EXAMPLE, "rows")
    found = {
        field.path: field.confidence
        for field in parse.page_record(
            recite(text, doubts={"CM10": 0.25, "Bà": 0.5}), NOTE, 1, form="rows"
        ).fields
    }
    assert {path: sure for path, sure in found.items() if sure != 1} == {
        "lines[0].size.wide": 0.25,
        "keeper.name": 0.5,
    }
    absent = {
        field.path: field.confidence
        for field in parse.page_record(recite(text, doubts={",null],[[": 0.25}), NOTE, 1, form="rows").fields
    }
    assert absent["lines[0].size.high"] == 0.25


def test_the_form_is_the_checkpoints_and_in_the_key() -> None:
    facts = ModelFacts("c" * 64, 1, "cpu float32")
    plain, rows = (Recipe.of(NOTE, Settings(), replace(facts, answer_form=form)) for form in FORMS)
    assert (plain.answer_form, rows.answer_form) == FORMS
    assert plain.key != rows.key and plain.grammar != rows.grammar
    card = [Recipe.of(SPECS["id_card@1"], Settings(), replace(facts, answer_form=form)) for form in FORMS]
    assert card[0].key != card[1].key  # whatever follows from it
    page = PreparedPage(1, np.zeros((1, 448, 448, 3), np.uint8), 448, 448, "pillow")
    result = page_result(page, recite(ROWS), rows, "key")
    assert result.record is not None, result.failure
    assert (
        next(field.raw for field in result.record.fields if field.path == "lines[0].parts[1].note") == "x, y"
    )
    assert page_result(page, recite(ROWS), plain, "key").record is None
