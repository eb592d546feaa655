"""A page's request as a chat, and a chat's answer as what the engine would have given."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from llguidance import LLMatcher
from PIL import Image

from pipeline import free_text, grammar, merge, parse, tiles
from pipeline.errors import Permanent, Reason
from pipeline.records import Extraction, PageRecord, Request
from pipeline.remote import question, reply
from schemas.registry import BUILT_IN, SchemaSpec, resolve
from schemas.shape import Leaf, Printed, Repeated
from tests.pipeline.walker import spec_of

SHORT = spec_of(
    Leaf("number", "Số", Printed(r"\d{2}", str, "text", 2)),
    Leaf("word", "Chữ", Printed("[a-zế ]{1,9}", str, "text", 9)),
    Repeated("lines", "Dòng", Leaf("lines", "Dòng", Printed("[A-D]{2}", str, "text", 2)), 3),
)
RULES = grammar.compile(SHORT)
PAGE = Request("a", np.zeros((1, 448, 448, 3), np.uint8), "Đọc đi", RULES)
Tokens = Sequence[tuple[str | bytes, float]]


def said(text: str, tokens: Tokens | None = None, **choice: Any) -> dict[str, Any]:
    """A chat's answer as vLLM gives it."""
    found: dict[str, Any] = {"message": {"content": text}, "finish_reason": "stop", **choice}
    if tokens is not None:
        pieces = [(t.encode() if isinstance(t, str) else t, p) for t, p in tokens]
        found["logprobs"] = {
            "content": [
                {"token": piece.decode("utf-8", "replace"), "bytes": list(piece), "logprob": math.log(chance)}
                for piece, chance in pieces
            ]
        }
    return {"choices": [found], "usage": {"prompt_tokens": 300, "completion_tokens": 9}}


def record(answer: dict[str, Any], spec: SchemaSpec = SHORT) -> PageRecord:
    return parse.page_record(reply.generation(PAGE, answer), spec, 1)


def document(answer: dict[str, Any]) -> Extraction:
    return merge.document([record(answer)], SHORT)


def sure(page: PageRecord) -> dict[str, float | None]:
    return {field.path: field.confidence and round(field.confidence, 4) for field in page.fields}


def test_a_server_cuts_the_picture_into_the_same_tiles_again() -> None:
    noise = np.random.default_rng(1)
    for columns, rows in [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (1, 6), (5, 1)]:
        page = Image.fromarray(noise.integers(0, 256, (rows * 150, columns * 150, 3), dtype=np.uint8))
        cut = tiles.cut(page, (columns, rows))
        shown = Image.fromarray(question.picture(cut, (columns, rows)))
        assert tiles.grid(*shown.size, 6) == (columns, rows)
        assert np.array_equal(tiles.cut(shown, (columns, rows))[: columns * rows], cut[: columns * rows])


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_schema_that_is_sent_asks_for_the_same_keys_in_plain_words(name: str) -> None:
    rules = grammar.of(resolve(name))
    if rules is None:
        return
    sent = question.schema(rules, compact=False)
    text = json.dumps(sent)
    assert "allOf" not in text and "x-guidance" not in text and "pattern" in text
    compact = question.schema(rules, compact=True)
    assert compact.pop("x-guidance")["whitespace_flexible"] is False and compact == sent
    assert not LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(sent))
    keys = [grammar.key(field) for field in resolve(name).shape.of_pages.fields]
    assert list(sent["properties"]) == sent["required"] == keys


def test_what_is_asked_is_one_picture_the_question_and_the_schema() -> None:
    body = json.loads(question.body(PAGE, "big", question.Dialect()))
    [turn] = body["messages"]
    assert turn["content"][1] == {"type": "text", "text": "Đọc đi"}
    assert turn["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert (body["model"], body["temperature"], body["logprobs"]) == ("big", 0, True)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["Số", "Chữ", "Dòng"]
    free = json.loads(
        question.body(Request("b", PAGE.tiles, "Đọc", None, 50), "big", question.Dialect(False))
    )
    assert "response_format" not in free and "logprobs" not in free and free["max_tokens"] == 50
    told = json.loads(question.body(PAGE, "big", question.Dialect(), "Bạn đọc giấy tờ."))
    assert told["messages"] == [{"role": "system", "content": "Bạn đọc giấy tờ."}, turn]


def test_a_confidence_is_that_of_the_tokens_of_its_value() -> None:
    pieces: Tokens = [
        ('{"Số":', 1.0), ('"', 1.0), ("4", 0.5), ("2", 0.5), ('",', 1.0), ('"Chữ":"ti', 0.9),
        ("ế".encode()[:2], 0.5), ("ế".encode()[2:], 1.0), ('ng"', 0.8), (',"Dòng":["AB"', 0.9), ("]", 0.7),
        ("}", 0.1), ("<|im_end|>", 0.2),
    ]  # fmt: skip
    whole = b"".join(p if isinstance(p, bytes) else p.encode() for p, _ in pieces[:-1]).decode()
    page = record(said(whole, pieces))
    assert [field.raw for field in page.fields] == ["42", "tiếng", None, "AB"]
    assert sure(page) == {"number": 0.25, "word": 0.36, "lines": 0.63, "lines[0]": 0.9}


def test_parts_of_letters_that_a_server_shows_as_replaced_are_between_their_neighbours() -> None:
    pieces: Tokens = [
        ('{"Số":"42","Chữ":"', 1.0), ("ti\ufffd", 0.5), ("\ufffd", 0.8), ("ng", 0.5), ('","D', 1.0),
        ("\ufffd\ufffd", 0.3), ('ng":["AB"', 0.9), ("]}", 0.7), ("", 0.1),
    ]  # fmt: skip
    page = record(said('{"Số":"42","Chữ":"tiếng","Dòng":["AB"]}', pieces))
    assert sure(page) == {"number": 1.0, "word": 0.2, "lines": 0.63, "lines[0]": 0.9}
    other = record(said('{"Số":"43","Chữ":"tiếng","Dòng":["AB"]}', pieces))
    assert set(sure(other).values()) == {None}


def test_parts_of_letters_that_vllm_shows_as_nothing_count_for_the_letter() -> None:
    """As vLLM 0.32 answers: the bytes of such a token are none, and the last one has the whole letter."""
    pieces: Tokens = [
        ('{"Số":"42","Chữ":"ti', 1.0), ("", 0.5), ("", 0.8), ("ế", 1.0), ("ng", 0.5), ('","', 1.0),
        ("D", 1.0), ("", 0.3), ("", 0.3), ('òng":["AB"', 0.9), ("]", 0.7), ("}", 1.0), ("<|im_end|>", 1.0),
    ]  # fmt: skip
    page = record(said('{"Số":"42","Chữ":"tiếng","Dòng":["AB"]}', pieces))
    assert sure(page) == {"number": 1.0, "word": 0.2, "lines": 0.63, "lines[0]": 0.9}


def test_white_space_between_the_parts_moves_no_confidence() -> None:
    pieces: Tokens = [
        ('{\n  "Số" :', 1.0), (" ", 1.0), ('"42"', 0.5), (',\n  "Chữ": ', 1.0), ('"  hai   ba "', 0.8),
        (',\n  "Dòng"', 1.0), (': [', 0.9), (" ]", 0.7), ("\n}", 1.0),
    ]  # fmt: skip
    page = record(said("".join(str(p) for p, _ in pieces), pieces))
    assert [(field.raw, field.value) for field in page.fields] == [
        ("42", "42"),
        ("hai ba", "hai ba"),
        (None, 0),
    ]
    assert sure(page) == {"number": 0.5, "word": 0.8, "lines": 0.63}


@pytest.mark.parametrize(
    "text", ['{"a":"b", "c": [ null , "\\u1ebf" ] }', ' {"x" : ""}', '{"x": "unend', "", "n o"]
)
def test_compact_text_has_a_place_for_each_place(text: str) -> None:
    short, places = reply.compact(text)
    assert len(places) == len(text) + 1 and places[-1] == len(short)
    assert list(places) == sorted(places) and places.min() >= 0
    for sign in "{}[],:":
        for at in [at for at, found in enumerate(text) if found == sign]:
            assert short[places[at]] == sign


def test_without_probabilities_nothing_is_sure_and_a_person_looks() -> None:
    text = '{"Số":"42","Chữ":null,"Dòng":["AB","CD"]}'
    for answer in (
        said(text),
        said(text, [("another text", 0.9)]),
        said(text, logprobs={"content": [{"t": 1}]}),
    ):
        found = document(answer)
        assert {field.confidence for field in found.fields} == {None}
        assert found.record == {"number": "42", "word": None, "lines": ["AB", "CD"]}
        assert found.state == "review"
        [low] = [check for check in found.checks if check.code == "low_confidence"]
        assert low.message == "how sure 5 of 5 fields are is not known"


def test_free_text_comes_as_it_is() -> None:
    ocr, text = resolve("ocr@1"), "Hóa  đơn số 7\nNgày 1"
    asked = Request("a", PAGE.tiles, "Chép lại", None)
    for answer, confidence in (
        (said(text), None),
        (said(text, [("Hóa  đơn", 0.25), (" số 7\nNgày 1", 1.0)]), 0.5),
    ):
        page = free_text.page_record(reply.generation(asked, answer), ocr, 1)
        assert page.fields[1].value == text
        assert page.fields[1].confidence == (confidence and pytest.approx(confidence))


def test_what_a_schema_would_not_allow_is_told() -> None:
    [flag] = record(said('{"Số":"4a","Chữ":"hai","Dòng":["AB","xy","AB","AB"]}')).flags
    assert flag.code == "form_not_kept"
    assert "number, lines[1], lines" in flag.message and "4a" not in flag.message
    assert not record(said('{"Số":"42","Chữ":"hai","Dòng":[]}')).flags
    assert document(said('{"Số":"4a","Chữ":"hai","Dòng":[]}')).state == "review"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said('{"Số":"42","Chữ":"ha', finish_reason="length"), Reason.output_truncated),
        (said("Số là 42."), Reason.schema_mismatch),
        (said("```json\n{}\n```"), Reason.schema_mismatch),
        (said('{"Chữ":"hai","Số":"42","Dòng":[]}'), Reason.schema_mismatch),
        (said("", finish_reason="content_filter"), Reason.server_refused),
        (said("", message={"content": None, "refusal": "no, An was born in 1990"}), Reason.server_refused),
    ],
)
def test_an_answer_that_is_none_is_the_pages_failure(answer: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(Permanent) as caught:
        record(answer)
    assert caught.value.reason is reason and "1990" not in caught.value.message


@pytest.mark.parametrize("answer", [None, [], {}, {"choices": []}, {"choices": [{"message": 3}]}, "text"])
def test_what_is_no_chat_is_not_understood(answer: Any) -> None:
    with pytest.raises(reply.NotUnderstood):
        reply.generation(PAGE, answer)
