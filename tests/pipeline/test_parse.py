# ruff: noqa: E501
"""A generation becomes fields: exact values, exact confidences, and failures with a reason."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pytest

from pipeline import parse
from pipeline.errors import Permanent, Reason
from pipeline.normal import json_ready
from pipeline.records import Code, Field, Generation
from schemas.registry import SchemaSpec
from schemas.shape import Group, Leaf, Printed, Repeated
from tests.pipeline.walker import compact, recite, spec_of

TEXT = Printed(".+", str, "text", 50)
NUMBER = Printed(r"[\d.]+", lambda raw: Decimal(raw.replace(".", "")), "decimal", 20)
DAY = Printed(r"[\d/]+", lambda raw: date(*map(int, reversed(raw.split("/")))), "date", 10)
NOTE = spec_of(
    Leaf("number", "Số", TEXT),
    Leaf("day", "Ngày", DAY),
    Group("keeper", "Thủ kho", (Leaf("name", "Tên", TEXT),)),
    Repeated("lines", "Chi tiết", Group("l", "l", (Leaf("what", "Vật tư", TEXT), Leaf("sum", "Tiền", NUMBER))), 9),
    Repeated("seals", "Niêm", Leaf("seals", "Niêm", TEXT), 9),
)  # fmt: skip
ANSWER = compact(
    {
        "Số": "A-7",
        "Ngày": None,
        "Thủ kho": {"Tên": 'Đỗ "Ba" \\ Ý'},
        "Chi tiết": [{"Vật tư": "Cát", "Tiền": "1.200"}, {"Vật tư": None, "Tiền": "3"}],
        "Niêm": ["s1", "s2"],
    }
)


def fields(generation: Generation, spec: SchemaSpec = NOTE, **place: Any) -> dict[str, Field]:
    return {field.path: field for field in parse.page_record(generation, spec, 3, **place).fields}


def test_every_field_comes_out_under_its_path_in_the_order_of_the_schema() -> None:
    found = fields(recite(ANSWER))
    assert {path: field.value for path, field in found.items()} == {
        "number": "A-7",
        "day": None,
        "keeper.name": 'Đỗ "Ba" \\ Ý',
        "lines": 2,
        "lines[0].what": "Cát",
        "lines[0].sum": "1200",
        "lines[1].what": None,
        "lines[1].sum": "3",
        "seals": 2,
        "seals[0]": "s1",
        "seals[1]": "s2",
    }
    assert list(found) == [field.path for field in parse.page_record(recite(ANSWER), NOTE, 3).fields]
    assert found["lines[0].sum"].raw == "1.200"
    assert {field.page for field in found.values()} == {3}
    assert {field.source for field in found.values()} == {"read"}


def test_codes_travel_with_the_page() -> None:
    codes = [Code("qr", "x")]
    assert parse.page_record(recite(ANSWER), NOTE, 1, codes).codes == tuple(codes)


def test_a_text_that_has_no_normal_form_keeps_its_raw_text_and_says_why() -> None:
    found = fields(recite(ANSWER.replace('"Ngày":null', '"Ngày":"31/02/2026"')))["day"]
    assert (found.raw, found.value) == ("31/02/2026", None)
    assert found.problem == "day is out of range for month"


def test_dates_and_decimals_become_text() -> None:
    assert fields(recite(ANSWER.replace('"Ngày":null', '"Ngày":"01/02/2026"')))["day"].value == "2026-02-01"
    assert json_ready(Decimal("1E+3")) == "1000"


def spelled(parts: list[tuple[str, float]]) -> Generation:
    """A generation whose tokens are exactly `parts` with their probabilities."""
    ends = np.cumsum([len(text) for text, _ in parts])
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1).astype(np.int32)
    probability = np.array([p for _, p in parts], np.float32)
    return Generation(
        "page", "".join(t for t, _ in parts), "stop", spans, probability, probability, probability == 1, 1
    )


ONE = spec_of(Leaf("a", "A", TEXT), Leaf("b", "B", TEXT))


def test_confidence_is_the_product_of_all_tokens_that_decided_the_value() -> None:
    found = fields(
        spelled([('{"A":', 1), ('"', 0.5), ("x", 0.25), ("y", 0.5), ('"', 0.125), (',"B":', 1), ("null", 0.75), ("}", 1)]),
        ONE,
    )  # fmt: skip
    assert found["a"].confidence == 0.5 * 0.25 * 0.5 * 0.125
    assert found["b"].confidence == 0.75


def test_a_token_that_ends_one_value_and_begins_the_next_counts_for_both() -> None:
    found = fields(spelled([('{"A":"', 0.5), ("x", 1), ('","B":"', 0.25), ("y", 1), ('"}', 0.5)]), ONE)
    assert found["a"].confidence == 0.5 * 0.25
    assert found["b"].confidence == 0.25 * 0.5


def test_null_is_decided_where_the_other_token_would_have_opened_a_value() -> None:
    found = fields(
        spelled([('{"A', 1), ('":', 0.5), ("null", 1), (',"B', 1), ('":"', 0.25), ("y", 1), ('"}', 1)]), ONE
    )
    assert found["a"].confidence == 0.5
    assert found["b"].confidence == 0.25


def test_a_token_with_part_of_a_character_counts() -> None:
    made = spelled([('{"A":"', 1), ("", 0.5), ("ộ", 0.5), ('","B":null}', 1)])
    assert fields(made, ONE)["a"].confidence == 0.25


def test_a_token_with_part_of_a_character_counts_for_that_character_only() -> None:
    made = spelled([('{"A":"x","', 1), ("", 0.5), ("B", 0.5), ('":"y"}', 1)])
    assert fields(made, ONE)["b"].confidence == 1.0


def test_a_list_is_as_sure_as_its_decisions_to_go_on_and_to_end() -> None:
    spec = spec_of(Repeated("l", "L", Group("i", "i", (Leaf("a", "A", TEXT),)), 5))
    item = [('{"A":', 1), ('"x"', 0.9), ("}", 1)]
    two = fields(spelled([('{"L":', 1), ("[", 0.5), *item, (",", 0.25), *item, ("]", 0.125), ("}", 1)]), spec)
    assert two["l"].confidence == 0.5 * 0.25 * 0.125
    assert two["l[1].a"].confidence == pytest.approx(0.9)
    empty = fields(spelled([('{"L', 1), ('":[]', 0.25), ("}", 1)]), spec)
    assert (empty["l"].value, empty["l"].confidence) == (0, 0.25)


def wanted(generation: Generation, text: str, part: str, chance: float) -> Generation:
    """The generation in which the mask left out what the model wanted instead of the token of `part`."""
    at = text.index(part)
    spans, unmasked = generation.spans, generation.unmasked.copy()
    unmasked[np.flatnonzero((spans[:, 0] <= at) & (spans[:, 1] > at))[0]] = chance
    return replace(generation, unmasked=unmasked)


def test_what_the_mask_left_out_lowers_the_confidence_of_the_value() -> None:
    plain = {path: field.confidence for path, field in fields(recite(ANSWER)).items()}
    inside = fields(wanted(recite(ANSWER), ANSWER, '7"', 0.125))
    end = fields(wanted(recite(ANSWER), ANSWER, '","Ngày', 0.25))
    assert (inside["number"].confidence, end["number"].confidence) == (0.125, 0.25)
    for found in (inside, end):
        assert {path: field.confidence for path, field in found.items()} == {
            **plain,
            "number": found["number"].confidence,
        }


def test_the_form_before_a_value_is_not_the_values() -> None:
    """A model that would have put a space before each value is not unsure of what stands there."""
    found = fields(wanted(recite(ANSWER), ANSWER, '":"A-7', 0.01))
    assert found["number"].confidence == 1.0


@pytest.mark.parametrize(("most", "sure"), [(9, 1.0), (2, 0.125)])
def test_the_end_of_a_full_list_is_as_sure_as_the_model_was(most: int, sure: float) -> None:
    spec = spec_of(Repeated("seals", "Niêm", Leaf("seals", "Niêm", TEXT), most))
    text = compact({"Niêm": ["s1", "s2"]})
    assert fields(wanted(recite(text), text, "]}", 0.125), spec)["seals"].confidence == sure


@pytest.mark.parametrize(
    ("most", "before_the_mask"),
    [
        (9, "···············"),
        (2, "·············]·"),
    ],
)
def test_which_characters_decide_how_long_a_list_is(most: int, before_the_mask: str) -> None:
    """Each one is a token here. What the model wanted within an item instead is the item's own doubt."""
    spec = spec_of(Repeated("l", "L", Leaf("a", "A", TEXT), most))
    text = '{"L":["x","y"]}'
    plain = spelled([(sign, 1) for sign in text])
    found = {"probability": "", "unmasked": ""}
    for name in found:
        for at, sign in enumerate(text):
            chances = np.ones(len(text), np.float32)
            chances[at] = 0.5
            sure = fields(replace(plain, **{name: chances}), spec)["l"].confidence
            found[name] += sign if sure == 0.5 else "·"
    assert found == {"probability": '···":["·",··"]·', "unmasked": before_the_mask}


def test_a_doubt_lowers_its_own_field_only() -> None:
    found = fields(recite(ANSWER, doubts={"Cát": 0.5}))
    low = {path for path, field in found.items() if field.confidence == 0.5}
    assert low == {"lines[0].what"}


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("length", Reason.output_truncated),
        ("loop", Reason.generation_loop),
        ("error", Reason.grammar_error),
    ],
)
def test_an_unfinished_answer_fails_with_its_reason(
    finish: Literal["length", "loop", "error"], reason: Reason
) -> None:
    with pytest.raises(Permanent, match=r"^page 3: ") as caught:
        fields(replace(recite(ANSWER[:20]), finish=finish, message="llguidance said no"))
    assert caught.value.reason is reason
    assert pickle.loads(pickle.dumps(caught.value)).details == caught.value.details
    if finish == "error":
        assert "llguidance said no" in str(caught.value)


def test_an_unfinished_answer_says_how_far_it_came_and_keeps_what_was_said() -> None:
    begun = recite(ANSWER[:20])
    tokens = len(begun.spans)
    told = {
        f"page 3: the answer was not finished after {tokens} tokens": replace(begun, finish="length"),
        f"page 3: the answer was not finished after {tokens} tokens in 2 passes": replace(
            begun, finish="length", seams=(3,)
        ),
        f"page 3: the answer began to repeat itself after {tokens} tokens": replace(begun, finish="loop"),
        "page 3: the engine gave no reason": replace(begun, finish="error"),
    }
    for message, generation in told.items():
        with pytest.raises(Permanent) as caught:
            fields(generation)
        assert caught.value.message == message
        assert caught.value.details == {"tokens": tokens, "output": ANSWER[:20]}
    with pytest.raises(Permanent) as caught:
        fields(replace(begun, finish="error", reason=Reason.out_of_memory, message="too large"))
    assert (caught.value.reason, caught.value.message) == (Reason.out_of_memory, "page 3: too large")


def test_a_text_in_another_form_is_shown_from_where_it_went_wrong() -> None:
    wrong = ANSWER.replace('"A-7"', "7")
    at = wrong.index("7")
    with pytest.raises(Permanent, match=f"expected the value of number at character {at} of the") as caught:
        fields(replace(recite(ANSWER), text=wrong))
    assert caught.value.message.endswith(f"found {wrong[at : at + 40]!r}")
    assert caught.value.details == {"output": wrong}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        ANSWER[:-1],
        ANSWER + "x",
        ANSWER.replace("Ngày", "Ngay"),
        ANSWER.replace(":", ": "),
        ANSWER.replace('"A-7"', "7"),
        ANSWER.replace('"s2"', '"s2'),
        ANSWER.replace("A-7", "A\n7"),
        ANSWER.replace('"s1","s2"', '"s1" "s2"'),
    ],
)
def test_a_text_in_another_form_is_a_schema_mismatch_that_names_the_place(text: str) -> None:
    with pytest.raises(Permanent, match=r"^page 3: expected .* at character \d+") as caught:
        fields(replace(recite(ANSWER), text=text))
    assert caught.value.reason is Reason.schema_mismatch


def test_values_in_a_form_that_the_schema_does_not_have_are_named_up_to_eight() -> None:
    seal = Leaf("seals", "Niêm", Printed("[a-z]+", str, "text", 3))
    spec = spec_of(Repeated("seals", "Niêm", seal, 9))

    def told(*seals: str, held: bool = False) -> list[str]:
        answer = replace(recite(compact({"Niêm": seals})), held=held)
        flags = parse.page_record(answer, spec, 1).flags
        return [
            flag.message.removeprefix("the server did not keep to the form that the schema has for ")
            for flag in flags
        ]

    eight = ", ".join(f"seals[{n}]" for n in range(8))
    assert told(*["A"] * 8) == [eight]
    assert told(*["A"] * 9) == [f"{eight} …"]
    assert told(*["abc"] * 9) == [] == told("A", held=True)
    assert told("abc", "abcd") == ["seals[1]"]
    assert told(*["abc"] * 10) == ["seals"]


def test_a_schema_whose_own_reading_breaks_fails_its_page_and_is_named() -> None:
    def breaks(raw: str) -> str:
        return {}[raw]

    with pytest.raises(Permanent, match=r"own reading of 'A' failed on 'x': KeyError") as caught:
        fields(recite('{"A":"x"}'), spec_of(Leaf("a", "A", Printed(".+", breaks, "text", 9))))
    assert caught.value.reason is Reason.schema_mismatch


def placed(cells: list[tuple[float, float, float, float]]) -> Generation:
    """The value "xyz" whose tokens looked at `cells`; all other tokens looked at the far corner."""
    parts: list[tuple[str, float]] = [('{"A":"', 1), *((c, 1) for c in "xyz"), ('","B":null}', 1)]
    far = (1.0, 0.0, 15.0, 15.0)
    return replace(spelled(parts), place=np.array([far, *cells, far], np.float32))


def test_a_box_is_drawn_around_the_cells_that_hang_together() -> None:
    # A page of 2×1 tiles with a thumbnail; two tokens look across the seam, one far away.
    made = placed([(0.5, 0, 4, 15), (0.4, 1, 4, 0), (0.6, 0, 12, 2)])
    found = fields(made, ONE, grid=(2, 1), tiles=3)
    assert found["a"].box == pytest.approx((14.8 / 32, 4 / 16, 16.8 / 32, 5 / 16))
    assert found["b"].box is None


def test_the_thumbnail_shows_the_whole_page() -> None:
    made = placed([(0.5, 2, 4, 8)] * 3)
    assert fields(made, ONE, grid=(2, 1), tiles=3)["a"].box == pytest.approx(
        (7.8 / 16, 4 / 16, 8.8 / 16, 5 / 16)
    )
    single = placed([(0.5, 0, 4, 8)] * 3)
    assert fields(single, ONE, grid=(1, 1), tiles=1)["a"].box == pytest.approx(
        (7.8 / 16, 4 / 16, 8.8 / 16, 5 / 16)
    )


def test_no_box_without_looking() -> None:
    blind = placed([(np.nan, np.nan, np.nan, np.nan)] * 3)
    assert fields(blind, ONE, grid=(1, 1), tiles=1)["a"].box is None
    assert fields(recite('{"A":"x","B":null}'), ONE, grid=(1, 1), tiles=1)["a"].box is None


def test_each_token_of_a_value_stands_along_it_where_its_middle_does(monkeypatch: pytest.MonkeyPatch) -> None:
    said = recite(compact({"Số": "Hóa đơn số 0001234"}))
    first = said.text.index("Hóa")
    seen: list[list[float]] = []
    monkeypatch.setattr(
        parse.place, "cells", lambda looked, along, grid, tiles: seen.append(along.tolist())
    )  # where nothing is found there
    fields(
        replace(said, place=np.zeros((len(said.spans), 1), np.float32)),
        spec_of(Leaf("number", "Số", TEXT)),
        grid=(1, 1),
        tiles=1,
    )
    inside = [(s, e) for s, e in said.spans.tolist() if s < first + 18 and e > first]
    assert len(inside) > 2
    assert seen == [[pytest.approx(min(1, max(0, ((s + e) / 2 - first) / 18))) for s, e in inside]]
