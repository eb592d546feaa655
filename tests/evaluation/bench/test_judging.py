"""Two judges on this machine: their marks, their agreement, and what they are never asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Unavailable, UsageError
from pipeline.evaluation.bench import agreement, benches, judging
from pipeline.evaluation.bench.chat import ChatServer
from pipeline.evaluation.bench.judging import Judge
from tests.evaluation.bench import judges, sets

REFERENCE: dict[str, Any] = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))
SAID = {"11": "màu xanh", "12": "phở bò", "13": "không rõ", "14": "ba người"}


def right_or_not(model: str, case: dict[str, Any]) -> str:
    if model == "mild":
        return '{"score": 9}' if case["answer"] in case["reference_answers"] else "8/10"
    return '```json\n{"score": 10}\n```' if case["answer"] in case["reference_answers"] else "No idea."


@pytest.mark.medium
def test_marks_are_kept_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    questions = benches.load("vitextvqa", sets.vitextvqa(tmp_path / "set"))
    path = tmp_path / "marks.jsonl"
    with judges.served(right_or_not) as server:
        server.fail_first = 2
        judge = Judge("strict", ChatServer(server.url, "secret", wait=0.01))
        first = judging.judge(judge, questions[:2], SAID, path)
        assert first.marks == {"11": None, "12": 10} and first.asked == 2 and first.unreadable == 1
        both = judging.judge(judge, questions, SAID, path)
        assert both.marks == {"11": None, "12": 10, "13": None, "14": None} and both.asked == 2
        assert judging.judge(judge, questions, SAID, path).asked == 0
        other = judging.judge(judge, questions[:1], {"11": "màu đỏ"}, path)  # another answer
        assert other.asked == 1
        assert len(server.asked) == 5 and server.keys == {"Bearer secret"}
        mild = judging.judge(Judge("mild", judge.server), questions, SAID, path)
        assert mild.asked == 4 and mild.marks == {"11": 8, "12": 9, "13": 8, "14": 8}
    assert "phở bò" not in path.read_text(encoding="utf-8")  # marks hold no answers


@pytest.mark.medium
def test_a_judge_that_refuses_ends_it_and_what_it_gave_is_kept(tmp_path: Path) -> None:
    questions = benches.load("vitextvqa", sets.vitextvqa(tmp_path / "set"))
    path = tmp_path / "marks.jsonl"

    def tired(_: str, case: dict[str, Any]) -> str | int:
        return '{"score": 3}' if case["answer"] == "màu xanh" else 401

    with judges.served(tired) as server:
        with pytest.raises(UsageError, match="refuses: HTTP 401"):
            judging.judge(Judge("m", ChatServer(server.url)), questions, SAID, path)
        server.reply = lambda *_: '{"score": 3}'
        again = judging.judge(Judge("m", ChatServer(server.url)), questions, SAID, path)
        assert again.asked in (3, 4) and set(again.marks.values()) == {3}
        url = server.url
    with pytest.raises(Unavailable, match="does not answer after 5 tries"):
        judging.judge(Judge("other", ChatServer(url, wait=0.001)), questions[:1], SAID, path)


def test_answers_leave_this_machine_only_where_that_is_said() -> None:
    for url in ("http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:80/v1"):
        ChatServer(url).check(elsewhere=False)
    for url in ("https://api.example.org/v1", "http://127.0.0.1.example.org/v1", "http://10.0.0.7/v1"):
        with pytest.raises(UsageError, match="say --send-answers"):
            ChatServer(url).check(elsewhere=False)
        ChatServer(url).check(elsewhere=True)
    with pytest.raises(UsageError, match="must be like"):
        ChatServer("file:///etc/passwd").check(elsewhere=True)


@pytest.mark.parametrize(
    ("said", "mark"),
    [
        ('{"score": 7}', 7),
        ('thinking {"score": 2} … final: {"score": 9.0}', 9),
        ("10", 10),
        (" 8/10. ", 8),
        ("11", None),
        ("7.5", None),
        ("I give it 7 because 3 words are wrong", None),
        ("", None),
    ],
)
def test_a_mark_is_read_or_it_is_none(said: str, mark: int | None) -> None:
    assert judging.mark(said) == mark


@pytest.mark.medium
@pytest.mark.parametrize("made", REFERENCE["agreement"], ids=["twelve", "six"])
def test_agreement_is_that_of_scikit_learn_and_scipy(made: dict[str, Any]) -> None:
    one, other = ({str(i): mark for i, mark in enumerate(marks)} for marks in made["marks"])
    found = agreement.agreement(("a", "b"), {**one, "x": None}, {**other, "x": 3, "y": 4})
    assert found.n == len(one)
    values = [figure.value for figure in found.figures]
    assert values == pytest.approx([made["kappa"], made["quadratic"], made["spearman"]], abs=1e-9)
    assert all(figure.low <= figure.value <= figure.high <= 1 for figure in found.figures)


def test_of_one_and_the_same_mark_no_agreement_is_told() -> None:
    same: dict[str, int | None] = {"1": 10, "2": 10}
    assert agreement.agreement(("a", "b"), same, same).figures == ()
