"""`vinbatch eval --bench` as it is typed: a model's answers, others' answers, judges, two side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests import typed as command
from tests.evaluation.bench import judges, sets
from tests.vintern import checkpoints

Typed = Callable[..., str]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    return partial(command.typed, monkeypatch, capfd)


@pytest.mark.slow
def test_a_model_answers_what_has_no_answer_yet_and_only_its_own_file(
    typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VINBATCH_ENGINE__MAX_NEW_TOKENS", "6")
    monkeypatch.setenv("VINBATCH_ENGINE__THREADS", "1")
    checkpoints.write(tmp_path / "tiny")
    sets.openvivqa(tmp_path / "set")
    (tmp_path / "set" / "test-images" / f"{901:012d}.png").write_bytes(b"no picture")
    words = (
        "eval",
        "--bench",
        "openvivqa",
        "--data",
        "set",
        "--model",
        "tiny",
        "--predictions",
        "said.jsonl",
    )
    out = typed(*words)
    assert "question 12 could not be asked: unsupported_type" in out
    assert "2 questions have no answer" in out and "2 of them could not be asked" in out
    rows = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text("utf-8").splitlines()]
    assert sorted(row["id"] for row in rows) == ["11", "13"]
    assert all(len(row["checkpoint"]) == 64 and row["prompt"] and row["answer"] for row in rows)
    sets.openvivqa(tmp_path / "set")  # the picture is mended
    typed(*words, "--json", "bench.json")
    again = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text("utf-8").splitlines()]
    assert again[:2] == rows and sorted(row["id"] for row in again[2:]) == ["12", "14"]
    report = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert report["unanswered"] == 0 and {one["n"] for one in report["figures"]} == {4}
    sets.answers(tmp_path / "theirs.jsonl", {"11": "a"})
    out = typed(*words[:-1], "theirs.jsonl", code=2)
    assert "holds answers of somebody else; give tiny a file of its own" in out


@pytest.mark.medium
def test_two_judges_and_how_they_agree(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets.vitextvqa(tmp_path / "set")
    sets.answers(tmp_path / "said.jsonl", {"11": "màu đỏ", "12": "phở bò", "13": "số 25", "14": "ba"})
    words = ("eval", "--bench", "vitextvqa", "--data", "set", "--predictions", "said.jsonl")

    def reply(model: str, case: dict[str, object]) -> str:
        right = case["answer"] in case["reference_answers"]  # type: ignore[operator]
        return json.dumps({"score": (10 if right else 2) - (model == "b" and case["answer"] == "ba")})

    assert "set VINBATCH_JUDGE_URL" in typed(*words, "--judge", "a", code=2)
    monkeypatch.setenv("VINBATCH_JUDGE_URL", "https://api.example.org/v1")
    assert "say --send-answers" in typed(*words, "--judge", "a", code=2)
    with judges.served(reply) as server:
        monkeypatch.setenv("VINBATCH_JUDGE_URL", server.url)
        out = typed(*words, "--judge", "a", "--judge", "b", "--json", "bench.json")
        assert "mark of a, 0 to 10" in out and "Cohen's kappa, quadratic weights" in out
        typed(*words, "--judge", "a", "--judge", "b")
        assert len(server.asked) == 8
    judged = {one["name"]: one for one in json.loads((tmp_path / "bench.json").read_text("utf-8"))["judged"]}
    assert judged["mark of a, 0 to 10"]["value"] == 6.0 and judged["mark of b, 0 to 10"]["value"] == 5.75
    assert all(one["n"] == 4 for one in judged.values()) and len(judged) == 5


@pytest.mark.medium
def test_two_files_of_answers_side_by_side(typed: Typed, tmp_path: Path) -> None:
    sets.mtvqa(tmp_path / "set")
    true = [answer for _, answer in sets.QUESTIONS.values()]
    sets.answers(tmp_path / "a.jsonl", {f"7-{i}": "sai" for i in range(3)})
    sets.answers(tmp_path / "b.jsonl", {f"7-{i}": answer for i, answer in enumerate(true)})
    words = ("eval", "--bench", "mtvqa-vi", "--data", "set", "--compare", "a.jsonl", "b.jsonl")
    out = typed(*words, "--json", "both.json")
    assert "1 questions have no answer in a.jsonl, and count as wrong." in out
    found = json.loads((tmp_path / "both.json").read_text("utf-8"))
    by_name = {one["name"]: one for one in found["differences"]}
    assert by_name["EM"] | {"low": 1, "high": 1} == {
        "name": "EM", "a": 0.0, "b": 1.0, "low": 1, "high": 1, "p": 0.125, "test": "McNemar, exact", "n": 4,
        "a_only": 0, "b_only": 4,
    }  # fmt: skip
    assert by_name["F1"]["test"] == "paired bootstrap" and by_name["F1"]["p"] < 0.05
    assert "B is better, beyond chance at 5%, in: F1" in out


def test_wrong_use_is_one_line(typed: Typed, tmp_path: Path) -> None:
    bench = ("eval", "--bench", "vlsp")
    assert "wants --data" in typed(*bench, code=2)
    assert "there is no file or folder nowhere" in typed(*bench, "--data", "nowhere", code=2)
    assert "not a job, SOURCE or --truth" in typed(*bench, "--data", ".", "--truth", "t", code=2)
    sets.openvivqa(tmp_path)
    assert "wants --predictions" in typed(*bench, "--data", ".", code=2)
    assert "are for --bench" in typed("eval", "--data", ".", code=2)
    assert "eval wants --truth" in typed("eval", "--job", "j", code=2)
