"""Benchmarks as they are published, their figures, and what is said where a file is not right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.evaluation.bench import benches, predictions, scoring
from tests.evaluation.bench import sets


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("openvivqa", sets.openvivqa),
        ("vitextvqa", sets.vitextvqa),
        ("mtvqa-vi", sets.mtvqa),
        ("vlsp", sets.openvivqa),
    ],
)
def test_each_published_format_gives_its_questions_answers_and_pictures(
    name: str, make: Callable[[Path], Path], tmp_path: Path
) -> None:
    found = benches.load(name, make(tmp_path / "set"))
    assert [question.text for question in found] == [text for text, _ in sets.QUESTIONS.values()]
    assert [question.answers[0] for question in found] == [answer for _, answer in sets.QUESTIONS.values()]
    assert all(question.picture().startswith(b"\x89PNG") for question in found)


def test_what_is_wrong_with_a_set_is_said_in_one_line(tmp_path: Path) -> None:
    root = sets.vitextvqa(tmp_path / "set")
    with pytest.raises(UsageError, match="the form for handing answers in"):
        benches.load("vitextvqa", root / "ViTextVQA_test.json")
    with pytest.raises(UsageError, match="there is no docvqa; there are openvivqa"):
        benches.load("docvqa", root)
    with pytest.raises(UsageError, match=r"no file called \*test_data"):
        benches.load("openvivqa", root)
    held = json.loads((root / "ViTextVQA_test_gt.json").read_text(encoding="utf-8"))
    del held["annotations"][1]["answers"]
    sets.write(root / "ViTextVQA_test_gt.json", held)
    with pytest.raises(UsageError, match="question 12 has no answer"):
        benches.load("vitextvqa", root)
    (root / "st_images" / "1.png").unlink()
    with pytest.raises(UsageError, match=r"question 11: the image 1\.png is not below"):
        benches.load("vitextvqa", root)


def test_figures_have_an_interval_and_n_and_an_unanswered_question_counts_as_wrong(tmp_path: Path) -> None:
    questions = benches.load("vitextvqa", sets.vitextvqa(tmp_path))
    said = {"11": "Màu xanh lá cây.", "12": "phở gà", "13": "Số 25", "99": "?"}
    report = scoring.score("vitextvqa", questions, said)
    assert (report.questions, report.unanswered, report.unknown) == (4, 1, 1)
    figures = {one.name: one for one in report.figures}
    assert figures["EM"].value == 0.5 and figures["F1"].value == (1 + 0.5 + 1 + 0) / 4
    assert all(one.n == 4 and one.low <= one.value <= one.high for one in report.figures)
    assert 0 < figures["EM"].low < 0.5 < figures["EM"].high < 1
    assert scoring.score("vitextvqa", questions, said) == report  # drawn by a seed


def test_answers_are_told_apart_from_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text('{"question_id": 11, "prediction": "a"}\n{"id": "11", "answer": "b"}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="line 2 answers question 11 a second time"):
        predictions.read(path)
    path.write_text('{"id": 11}\n', encoding="utf-8")
    with pytest.raises(UsageError, match="line 1 has no"):
        predictions.read(path)
    with pytest.raises(UsageError, match="none of 1 answers is to one of the 4 questions"):
        scoring.score("x", benches.load("vitextvqa", sets.vitextvqa(tmp_path / "set")), {"x": "y"})


def test_a_half_written_line_is_dropped_and_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text('{"id": "1", "answer": "a"}\n{"id": "2", "ans', encoding="utf-8")
    with predictions.appended(path) as add:
        add({"id": "3", "answer": "dòng một\ndòng hai"})
    assert predictions.read(path).answers == {"1": "a", "3": "dòng một\ndòng hai"}
    with predictions.appended(tmp_path / "new.jsonl"):
        pass
    assert (tmp_path / "new.jsonl").stat().st_mode & 0o777 == 0o600
