"""Tasks are found as schemas are, and a question is a part of what they are."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel

from schemas import tasks
from schemas.registry import SchemaError, of_model, resolve
from schemas.task import Free, Task, free_text


@pytest.mark.parametrize("name", ["ocr", "handwriting@1", "describe"])
def test_a_task_is_answered_in_free_text_page_by_page(name: str) -> None:
    spec = resolve(name)
    assert spec.free and spec.task is not None
    assert [path for path, _ in spec.shape.leaves()] == ["pages[].text"]
    assert resolve(spec.reference).hash == spec.hash


def test_another_question_is_another_schema_under_one_name() -> None:
    one, other = resolve("ask@1:Ai ký: tờ này?"), resolve("ask:Ngày nào?")
    assert (one.name, one.version) == (other.name, other.version) == ("ask", 1)
    assert one.task == Task("Ai ký: tờ này?")
    assert len({one.hash, other.hash, one.page_hash, other.page_hash}) == 4
    assert resolve(one.reference).hash == one.hash
    assert resolve(f"ask:  Ai ký:\n tờ này? ").hash == one.hash  # noqa: F541


@pytest.mark.parametrize("form", [name.removeprefix("ask_") for name in tasks.FORMS])
def test_one_answer_may_have_a_form(form: str) -> None:
    spec = resolve(tasks.asking(form, "Tổng cộng?"))
    assert not spec.free and spec.name == f"ask_{form}"
    assert [path for path, _ in spec.shape.leaves()] == ["answer"]
    assert spec.run_checks({"answer": None}) == ()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ask", "wants its question"),
        ("ask_money@1: ", "wants its question"),
        ("ask@2:Ai?", "has version 1"),
        (f"ask:{'a' * 501}", "501 characters"),
        ("ocr@7", "ocr has version 1"),
    ],
)
def test_what_asks_nothing_is_told(name: str, told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        resolve(name)


def test_a_user_writes_tasks_of_his_own(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from typing import ClassVar\nfrom schemas.task import Free, Task\n"
        'class Stamps(Free):\n    """Con dấu"""\n    task: ClassVar = Task("Có những con dấu nào?")\n',
        encoding="utf-8",
    )
    spec = resolve(f"{file}:Stamps")
    assert spec.free and spec.name == "stamps" and spec.task == Task("Có những con dấu nào?")

    class Lacking(Free):
        pass

    class Asks(BaseModel):
        task: ClassVar = "Ai?"
        name: str | None = None

    class Ask(BaseModel):
        name: str | None = None

    for model, told in ((Lacking, "lacks `task"), (Asks, "write Task"), (Ask, "the name of questions")):
        with pytest.raises(SchemaError, match=told):
            of_model(model)


def test_a_free_answer_keeps_its_lines_and_nothing_that_hides() -> None:
    assert free_text(" Số\u200b 1 \r\nDòng\x00 hai\t3\n\n") == "Số 1\nDòng hai\t3"
    assert free_text("a\u0302\u0323") == "ậ"
    hidden = ["\x1b", "\u00ad", "\ud800", "\ue000", "\U000e0080", "\u2028", "\u2029"]
    assert [free_text(f"a{sign}b") for sign in hidden] == ["ab"] * len(hidden)


def test_the_longest_question_is_asked() -> None:
    question = "Ai ký?".ljust(500, "x")
    assert resolve(f"ask:{question}").task == Task(question)
