"""Pages answered in free words: kept by page, held against what stands there, never passed on in silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import free_text, grammar, prompt, reading, run
from pipeline.errors import Permanent, Reason
from pipeline.keys import ModelFacts
from pipeline.recipe import Recipe
from pipeline.records import Generation, PageRecord, Pixels, Request, TextLayer, Word
from pipeline.settings import EngineSettings, Settings
from pipeline.texts import answered, common_folder, file_for
from pipeline.vintern import load
from pipeline.vintern.engine import Engine
from schemas.registry import resolve
from tests.vintern import checkpoints
from tests.vintern.scripted import Scripted

MODEL = ModelFacts("0" * 64, 6, "cpu")


def generation(text: str, chances: Sequence[float], finish: str = "stop") -> Generation:
    """One token a word."""
    spans, at = [], 0
    for word in text.split(" "):
        spans.append((at, at + len(word)))
        at += len(word) + 1
    floats = np.array(chances, np.float32)
    assert len(floats) == len(spans)
    forced = np.zeros(len(floats), np.bool_)
    return Generation("a", text, finish, np.array(spans, np.int32), floats, floats, forced, 1)  # type: ignore[arg-type]


def page(text: str, number: int = 1, chances: Sequence[float] = (), task: str = "ocr") -> PageRecord:
    said = generation(text, chances or [0.99] * len(text.split(" ")))
    return free_text.page_record(said, resolve(task), number)


def layer(text: str, *, trusted: bool = True) -> TextLayer:
    words = [
        Word(word, (0.1 * column, 0.1 * line, 0.1 * column + 0.05, 0.1 * line + 0.05))
        for line, words in enumerate(text.split("\n"))
        for column, word in enumerate(words.split())
    ]
    return TextLayer(tuple(words), trusted)


def test_pages_stay_apart_in_their_order() -> None:
    found = free_text.document([page("trang hai", 2), page("trang một", 1)], resolve("ocr"))
    assert found.record == {"pages": [{"text": "trang một"}, {"text": "trang hai"}]}
    assert [(field.path, field.page) for field in found.fields] == [
        ("pages", 1),
        ("pages[0].text", 1),
        ("pages[1].text", 2),
    ]
    assert (found.state, found.pages) == ("done", 2)
    same = free_text.document(
        [page("Có", 1, task="ask:Có dấu?"), page("Có", 2, task="ask:Có dấu?")], resolve("ocr")
    )
    assert same.state == "done", "equal answers on two pages are no line read twice"


def test_a_short_answer_is_as_sure_as_all_of_it_and_running_text_as_its_words() -> None:
    chances = [0.9, 0.9, 0.9, 0.9]
    [_, running] = page("a b c d", chances=chances).fields
    [_, short] = page("a b c d", chances=chances, task="ask:Gì?").fields
    assert running.confidence == pytest.approx(0.9, rel=1e-5)
    assert short.confidence == pytest.approx(0.9**4, rel=1e-5)
    found = free_text.document([page("a b c d", chances=chances, task="ask:Gì?")], resolve("ask:Gì?"))
    assert found.state == "review" and found.checks[0].code == "low_confidence"


def test_a_word_that_is_likelier_wrong_than_right_is_told_and_so_is_silence() -> None:
    doubtful = page("Số 123 đúng", chances=[0.99, 0.3, 0.99])
    assert [flag.code for flag in doubtful.flags] == ["words_doubtful"]
    assert free_text.document([doubtful], resolve("ocr"), review_below=0.1).state == "review"
    assert [flag.code for flag in page("Số \ufffd\ufffd").flags] == ["words_doubtful"]
    silent = free_text.document([page("", chances=[1.0])], resolve("ocr"))
    assert (silent.state, silent.record) == ("review", {"pages": [{"text": None}]})
    assert [check.code for check in silent.checks] == ["line_empty"]


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", Reason.output_truncated), ("loop", Reason.generation_loop)]
)
def test_what_did_not_come_to_its_end_is_a_failed_page(finish: str, reason: Reason) -> None:
    with pytest.raises(Permanent) as caught:
        free_text.page_record(generation("a b", [0.9, 0.9], finish), resolve("ocr"), 1)
    assert caught.value.reason is reason


TEXT = "Hóa đơn số 0001234 ngày 05/03/2026\nCông ty An Phú MST 0101234567\nTổng cộng 1.250.000 đồng"


@pytest.mark.parametrize(
    ("task", "said", "codes"),
    [
        ("ocr", TEXT, []),
        ("ocr", TEXT.replace("1.250.000", "1.350.000"), ["text_invented"]),
        ("ocr", "Hóa đơn số 0001234", ["text_passed_over"]),
        ("ask:Bao nhiêu?", "1 250 000 đồng", []),
        ("ask:Bao nhiêu?", "1.260.000 đồng", ["text_invented"]),
        ("ask:Năm 2027 có gì?", "Không thấy năm 2027", []),
        ("describe", "Một hóa đơn của An Phú", []),
    ],
)
def test_an_answer_is_held_against_the_pages_own_text(task: str, said: str, codes: list[str]) -> None:
    record = replace(page(said, task=task), text=layer(TEXT))
    checks = free_text.document([record], resolve(task)).checks
    assert [check.code for check in checks] == codes
    assert not any("1.2" in check.message for check in checks), "messages hold no values"
    unseen = replace(record, text=layer(TEXT, trusted=False))
    assert "text_invented" not in [check.code for check in free_text.document([unseen], resolve(task)).checks]


def test_the_task_is_in_the_question_the_grammar_and_the_keys() -> None:
    recipes = [
        Recipe.of(resolve(name), Settings(), MODEL)
        for name in ("ocr", "handwriting", "describe", "ask:Ai?", "ask:Gì?", "ask_text:Ai?", "invoice@1")
    ]
    assert len({recipe.key for recipe in recipes}) == len(recipes)
    assert [recipe.grammar is None for recipe in recipes] == [True] * 5 + [False] * 2
    assert recipes[3].question == "Ai?"
    asked = prompt.build(resolve("ask_money:Tổng cộng?"))
    assert (
        asked.startswith("Tổng cộng?\n") and "Trả lời" in asked and len(asked.splitlines()) < prompt.MAX_LINES
    )
    assert grammar.of(resolve("ask_yes_no:Có dấu?")) is not None


def drawn(number: int) -> Pixels:
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[40:60, 30 : 100 + 20 * number] = 0
    return pixels


@pytest.mark.medium
def test_the_engine_answers_a_task_in_its_own_words_to_its_own_end(tmp_path: Path) -> None:
    """Through the real engine: without a grammar the model's own end of turn ends the answer."""
    checkpoints.write(tmp_path, "v2", seed=1)
    text = "Số tiền 1.234.567 đồng\ntrang một"
    model = load(tmp_path, dtype="float32", device="cpu")
    backend = Scripted(model, lambda seen: text[len(seen) :], length=600)
    engine = Engine(model, EngineSettings(place=False), backend=backend)
    recipe = Recipe.of(resolve("ocr@1"), Settings(second_look=0.99), replace(MODEL, max_tiles=1))

    def requests() -> Iterator[Request]:
        for number in (1, 2):
            image = run.prepare(run.PageImage(number, drawn(number), "test"), recipe)
            assert isinstance(image, run.PreparedPage)
            prepared.append(run.without_tiles(image))
            yield run.request(image, recipe, f"page {number}")

    prepared: list[run.PreparedPage] = []
    results = []
    for said in engine.generate(requests()):
        number = int(said.request_id.split()[-1])
        assert said.again is None, "no second look at free text"
        results.append(reading.page_result(prepared[number - 1], said, recipe, str(number)))
    found = reading.outcome(results, recipe)
    assert isinstance(found, run.Extraction) and found.state == "done"
    assert found.record == {"pages": [{"text": text}, {"text": text}]}
    cut = Engine(model, EngineSettings(place=False, max_new_tokens=5), backend=backend)
    [said] = cut.generate(
        [run.request(run.prepare(run.PageImage(1, drawn(1), "test"), recipe), recipe, "cut")]
    )  # type: ignore[arg-type]
    result = reading.page_result(prepared[0], said, recipe, "cut")
    assert result.failure is not None and result.failure.reason is Reason.output_truncated
    assert result.output and text.startswith(result.output)


def test_texts_are_files_that_no_two_documents_share() -> None:
    found = free_text.document([page("một", 1), page("ba", 3)], resolve("ocr"))
    assert answered("/a/b.pdf", found).text == "một\f\fba\n"
    out = Path("out")
    assert common_folder(["/a/b/c.pdf", "/a/b/d/e.pdf"]) == "/a/b/"
    assert common_folder(["s3://x/y", "/a/b"]) == ""
    names = [
        "/a/b/c.pdf",
        "/a/b/d/e.pdf",
        "/a/b/d!/e.pdf",
        "/a/b/../../etc/x",
        "/z/c.pdf",
        "/a/b//c.pdf",
        "/a/b/./c.pdf",
    ]
    files = [file_for(out, name, "/a/b/") for name in names]
    assert files[:2] == [out / "c.pdf.txt", out / "d" / "e.pdf.txt"]
    assert all(".." not in file.parts and not file.is_absolute() for file in files)
    assert len(set(files)) == len(names) - 1, "an archive d holds what no folder d can hold beside it"
