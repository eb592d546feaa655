# ruff: noqa: E501
"""The grammar admits the answers of a schema and nothing else, and refuses what it could not hold to."""

from __future__ import annotations

import json
import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import grammar, parse
from pipeline.errors import UsageError
from schemas.registry import resolve
from schemas.shape import Group, Leaf, Printed, Repeated
from tests.pipeline.walker import accepts, bpe, compact, matcher, spec_of, walk

ANY = Printed(r"[^\n]+", str, "text", 20)
CODE = Printed(r"[A-Z]{2}\d{1,3}|Không", str, "text", 10)


NOTE = spec_of(
    Leaf("number", "Số", CODE),
    Group("keeper", "Thủ kho", (Leaf("name", "Tên", ANY),)),
    Repeated("lines", "Chi tiết", Group("line", "line", (Leaf("what", "Vật tư", ANY), Leaf("code", "Mã", CODE))), 2),
    Repeated("seals", "Niêm phong", Leaf("seals", "Niêm phong", CODE), 3),
)  # fmt: skip
EMPTY = {"Số": None, "Thủ kho": {"Tên": None}, "Chi tiết": [], "Niêm phong": []}


def takes(**changed: object) -> bool:
    return accepts(grammar.compile(NOTE), compact({**EMPTY, **changed}))


def test_absent_values_are_null_and_absent_lists_are_empty() -> None:
    assert takes()


@pytest.mark.parametrize("text", ["AB1", "Không"])
def test_a_value_matches_its_printed_pattern(text: str) -> None:
    assert takes(Số=text)


@pytest.mark.parametrize("text", ["ab1", "AB1234", "AB", "", "Khong", 12, True, ["AB1"], {}])
def test_what_does_not_match_is_refused(text: object) -> None:
    assert not takes(Số=text)


@pytest.mark.parametrize("text", ['24"', "a\\b", '"', "\\", "ẩ" * 20, "Nguyễn Văn Ử", "“x”", "1/2", "😀"])
def test_any_printed_character_may_stand_in_free_text(text: str) -> None:
    assert takes(**{"Thủ kho": {"Tên": text}})


@pytest.mark.parametrize(
    "text",
    [" a", "a ", "a  b", "a\tb", "a\u00a0b", "a\u0301", "a\u200bb", "a\u202eb", "\ufeffa", "x" * 21, "a\x7f", "a\x85b"],
)  # fmt: skip
def test_no_hidden_character_no_stray_space_and_no_overlong_text(text: str) -> None:
    assert not takes(**{"Thủ kho": {"Tên": text}})


@pytest.mark.parametrize("escaped", [r"\u0041", r"a\/b", r"\t", r"\n"])
def test_a_text_has_one_spelling_only(escaped: str) -> None:
    text = compact({**EMPTY, "Thủ kho": {"Tên": "@"}}).replace("@", escaped)
    json.loads(text)
    assert not accepts(grammar.compile(NOTE), text)


def test_lists_end_at_their_bound() -> None:
    line = {"Vật tư": "Cát", "Mã": None}
    assert takes(**{"Chi tiết": [line, line]})
    assert not takes(**{"Chi tiết": [line, line, line]})
    assert takes(**{"Niêm phong": ["AB1", "AB2", "AB3"]})
    assert not takes(**{"Niêm phong": ["AB1", None]})


@pytest.mark.parametrize(
    "text",
    [
        compact(EMPTY).replace(":", ": "),
        compact(EMPTY).replace(",", ", "),
        " " + compact(EMPTY),
        compact(EMPTY) + " ",
        compact(dict(reversed(EMPTY.items()))),
        compact({k: v for k, v in EMPTY.items() if k != "Số"}),
        compact({**EMPTY, "Khác": None}),
    ],
)
def test_one_form_only_no_white_space_no_other_order_no_missing_and_no_extra_key(text: str) -> None:
    json.loads(text)
    assert not accepts(grammar.compile(NOTE), text)


def test_what_the_schema_fixes_is_forced() -> None:
    walking = matcher(grammar.compile(NOTE))
    assert bpe().decode(walking.compute_ff_tokens()).startswith('{"Số')


@pytest.mark.parametrize(
    ("pattern", "longest"),
    [
        (r"(?=a)b", 9),
        (r"a\b", 9),
        (r"(a)\1", 9),
        (r"(unclosed", 9),
        (r"", 9),
        (r" +", 9),
        (r"a{30}", 20),
        ("\u0301", 9),
    ],
)
def test_a_pattern_that_cannot_be_enforced_is_refused_by_name(pattern: str, longest: int) -> None:
    bad = Repeated("lines", "Chi tiết", Group("l", "l", (Leaf("code", "Mã", Printed(pattern, str, "text", longest)),)), 2)  # fmt: skip
    with pytest.raises(UsageError, match=r"schema note@1, field lines\[\]\.code: .*cannot be enforced"):
        grammar.compile(spec_of(bad))


def test_labels_that_would_be_one_key_are_refused() -> None:
    with pytest.raises(UsageError, match=r"field b: another field has the same label 'Số phiếu'|field a"):
        grammar.compile(spec_of(Leaf("a", "Số phiếu", ANY), Leaf("b", "Số  phiếu", ANY)))


def test_a_decomposed_pattern_means_its_composed_letters() -> None:
    made = grammar.compile(
        spec_of(Leaf("a", "A", Printed(unicodedata.normalize("NFD", "Nữ"), str, "text", 9)))
    )
    assert accepts(made, compact({"A": "Nữ"}))


@pytest.mark.parametrize("name", ["invoice@1", "id_card@1", "receipt@1"])
def test_built_in_schemas_compile_and_take_an_empty_page(name: str) -> None:
    spec = resolve(name)
    assert accepts(grammar.compile(spec), grammar.answer(spec.shape, {}))


def test_an_answer_is_written_as_the_grammar_takes_it() -> None:
    text = grammar.answer(
        NOTE.shape,
        {
            "number": "AB1",
            "keeper": {"name": ' Máy\u00a0in\n24" ' + unicodedata.normalize("NFD", "đứng")},
            "lines": [{"what": "Cát"}, {"code": ""}],
        },
    )
    assert text == (
        '{"Số":"AB1","Thủ kho":{"Tên":"Máy in 24\\" đứng"},'
        '"Chi tiết":[{"Vật tư":"Cát","Mã":null},{"Vật tư":null,"Mã":null}],"Niêm phong":[]}'
    )
    assert accepts(grammar.compile(NOTE), text)


@pytest.mark.medium
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["note", "id_card@1", "receipt@1"]))
def test_whatever_the_grammar_lets_through_can_be_read(seed: int, name: str) -> None:
    spec = NOTE if name == "note" else resolve(name)
    dice = random.Random(seed)
    made = walk(grammar.compile(spec), dice.choice)
    assert made.finish == "stop"
    record = parse.page_record(made, spec, page=1)
    by_path = {field.path: field for field in record.fields}
    assert len(by_path) == len(record.fields)
    for field in record.fields:
        assert field.confidence is not None and 0 <= field.confidence <= 1
        if field.raw is not None:
            assert (field.value is None) == (field.problem is not None)
    written = json.loads(made.text)
    for node in spec.shape.fields:
        if isinstance(node, Leaf):
            assert by_path[node.name].raw == written[node.label]
        elif isinstance(node, Repeated):
            assert by_path[node.name].value == len(written[node.label])
