"""Lines that a page has twice at a seam of two passes: kept once where it is sure that they are the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline import grammar, merge, parse
from pipeline.records import Check, Extraction, Generation, PageRecord
from pipeline.seams import Line, Repetition, line_numbers, repetitions
from schemas.registry import SchemaSpec, resolve
from schemas.shape import Repeated
from tests.pipeline.walker import recite

INVOICE, RECEIPT = resolve("invoice@1"), resolve("receipt@1")


def lines(*numbers: int) -> list[dict[str, str]]:
    return [{"no": str(n), "name": f"Bút {n}", "amount": f"{n}.000"} for n in numbers]


def said(values: dict[str, Any], spec: SchemaSpec, *begun: int) -> Generation:
    """What a model says that began a pass within each of the items `begun`: the next ones are first there."""
    spoken = recite(grammar.answer(spec.shape, values))
    keys = [i for i in range(len(spoken.text)) if spoken.text.startswith('{"', i)][1:]
    seams = tuple(int(np.flatnonzero(spoken.spans[:, 0] > keys[item] + 3)[0]) for item in begun)
    return replace(spoken, seams=seams)


def read(values: dict[str, Any], spec: SchemaSpec, *begun: int) -> Extraction:
    return merge.document([parse.page_record(said(values, spec, *begun), spec, 1)], spec)


def named(made: Extraction, code: str) -> list[Check]:
    return [check for check in made.checks if check.code == code]


def failed(made: Extraction) -> set[str]:
    """The codes of what is not right, apart from what these small papers leave out."""
    left_out = {"required", "expected", "layout_unknown", "unsupported"}
    return {check.code for check in made.checks if not check.passed} - left_out


def test_a_page_knows_the_first_item_of_each_pass() -> None:
    spoken = said({"lines": lines(1, 2, 3, 4, 5)}, INVOICE, 0, 2, 4)
    page = parse.page_record(spoken, INVOICE, 1)
    assert spoken.passes == 4
    assert page.seams == ("lines[1]", "lines[3]")  # after the last item comes none
    two = replace(spoken, seams=(spoken.seams[1], spoken.seams[1] + 1))
    assert parse.page_record(two, INVOICE, 1).seams == ("lines[3]",)
    for none in ((), (len(spoken.spans),)):  # a pass that said nothing more
        assert parse.page_record(replace(spoken, seams=none), INVOICE, 1).seams == ()


def test_numbered_lines_that_were_read_again_are_kept_once_and_told() -> None:
    twice = {"lines": lines(1, 2, 3, 2, 3, 4), "net": "10.000"}
    made = read(twice, INVOICE, 2)
    assert [line["no"] for line in made.record["lines"]] == [1, 2, 3, 4]
    (check,) = named(made, "line_reread")
    assert (check.severity, check.fields) == ("info", ("lines[1]", "lines[2]"))
    assert named(made, "net")[0].passed and named(made, "line_numbers")[0].passed
    assert failed(made) == {"line_reread"}
    assert [field.path for field in made.fields if field.path.endswith(".no")] == [
        f"lines[{i}].no" for i in range(4)
    ]


def test_only_at_a_seam_are_lines_held_to_be_read_again() -> None:
    twice = {"lines": lines(1, 2, 3, 2, 3, 4), "net": "10.000"}
    for begun in ((), (0,), (4,)):
        made = read(twice, INVOICE, *begun)
        assert len(made.record["lines"]) == 6 and not named(made, "line_reread")
        assert failed(made) == {"net", "line_numbers"}


def test_a_pass_that_begins_the_table_again_is_found_from_afar() -> None:
    made = read({"lines": lines(1, 2, 3, 4, 1, 2, 3, 4, 5)}, INVOICE, 3)
    assert [line["no"] for line in made.record["lines"]] == [1, 2, 3, 4, 5]


def test_a_line_read_otherwise_the_second_time_is_kept() -> None:
    values = lines(1, 2, 3, 2)
    values[3]["amount"] = "9.000"
    made = read({"lines": values}, INVOICE, 2)
    assert len(made.record["lines"]) == 4 and not named(made, "line_numbers")[0].passed


def test_unnumbered_lines_that_repeat_are_kept_and_flagged() -> None:
    milk = {"name": "Sữa", "amount": "9.000"}
    made = read({"lines": [{"name": "Kẹo"}, milk, milk]}, RECEIPT, 1)
    assert len(made.record["lines"]) == 3 and failed(made) == {"line_repeated"}
    (check,) = named(made, "line_repeated")
    assert (check.severity, check.fields) == ("warning", ("lines[1]", "lines[2]"))
    # Once more of something that stands further up is no sign of anything.
    assert not named(read({"lines": [milk, {"name": "Kẹo"}, milk]}, RECEIPT, 1), "line_repeated")


def test_pages_are_numbered_through_without_what_was_read_again() -> None:
    first = parse.page_record(said({"lines": lines(1, 2, 2, 3)}, INVOICE, 1), INVOICE, 1)
    second = parse.page_record(said({"lines": lines(4, 5, 5)}, INVOICE, 1), INVOICE, 2)
    made = merge.document([first, second], INVOICE)
    assert [line["no"] for line in made.record["lines"]] == [1, 2, 3, 4, 5]
    assert [check.fields for check in named(made, "line_reread")] == [("lines[1]",), ("lines[4]",)]


def test_an_older_page_without_seams_is_merged_as_it_was() -> None:
    page = parse.page_record(said({"lines": lines(1, 2, 2)}, INVOICE, 1), INVOICE, 1)
    assert len(merge.document([PageRecord(1, page.fields)], INVOICE).record["lines"]) == 3


def at(text: str, top: float, number: str | None = None) -> Line:
    return Line((text,), number, top, top + 0.02)


PLACES = [at("a", 0.1), at("b", 0.2), at("c", 0.3)]


@pytest.mark.parametrize(
    ("then", "found"),
    [
        ([at("b", 0.201), at("c", 0.299)], (1, 2, True)),  # the same place: the same lines
        ([at("b", 0.4), at("c", 0.5)], None),  # another place: other lines
        ([at("b", 0.2), at("c", 0.5)], (1, 1, True)),
        ([Line(("b",), None), Line(("c",), None)], (1, 2, False)),  # who knows
        ([Line(("c",), None)], (2, 1, False)),
        ([Line(("b",), None)], None),
        ([Line((None,), None)], None),
    ],
)
def test_the_place_on_the_page_tells_lines_apart(
    then: list[Line], found: tuple[int, int, bool] | None
) -> None:
    expected = [] if found is None else [Repetition(found[0], 3, found[1], found[2])]
    assert repetitions([*PLACES, *then], [3]) == expected


def test_which_field_is_a_lines_number_is_told_by_its_type() -> None:
    (table,) = [node for node in INVOICE.shape.fields if isinstance(node, Repeated) and node.name == "lines"]
    assert line_numbers(table) == {"no"}
    (table,) = [node for node in RECEIPT.shape.fields if isinstance(node, Repeated)]
    assert line_numbers(table) == frozenset()
