"""Data made with a teacher: a real server on this machine speaks the protocols, and what it says is ours."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from infra.benchmarks.stub_teacher import Said, Stub, serving
from pipeline.errors import Unavailable, UsageError
from pipeline.settings import load
from pipeline.store.teaching import Teaching
from pipeline.teacher import asking, making, prompts
from pipeline.teacher.asking import Asking, Pace, Purse, Teacher
from pipeline.teacher.held_out import HeldOut
from pipeline.teacher.making import LEDGER, Made, Making, Plan
from pipeline.teacher.pages import Pages
from pipeline.teacher.protocols import Decoding

VINBATCH = Path(sys.executable).with_name("vinbatch")
GOOD = json.dumps(
    [
        {"question": "Đây là loại giấy tờ gì?", "answer": "Đây là một tờ giấy trắng có kẻ ô."},
        {"question": "Trên giấy có màu gì?", "answer": "Trên giấy chỉ có màu đen và màu trắng."},
    ],
    ensure_ascii=False,
)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures, and what is none."""
    folder = tmp_path_factory.mktemp("papers")
    for number in range(3):
        image = Image.new("RGB", (400, 300), "white")
        ImageDraw.Draw(image).rectangle((40 * number, 20, 60 + 40 * number, 200), fill="black")
        image.save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return folder


@pytest.fixture(scope="module")
def drawn(papers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all pages are drawn, and nothing is asked."""
    out = tmp_path_factory.mktemp("drawn")
    with Teaching(out / LEDGER) as ledger:
        assert len(list(Pages(out, ledger, load()).of([str(papers)]))) == 3
    return out


@pytest.fixture
def out(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / "out")


def make(
    papers: Path,
    out: Path,
    stub: Stub,
    *,
    protocol: str = "openai",
    kinds: tuple[str, ...] = ("general",),
    purse: Purse | None = None,
    stop: Callable[[], bool] = lambda: False,
    tries: int = 3,
    concurrency: int = 2,
) -> Made:
    async def work() -> Made:
        url = stub.gemini if protocol == "gemini" else stub.url
        teacher = Teacher(url, "big", protocol, "secret", "THE_KEY")
        asks = Asking(teacher, Decoding(500, 0.2, 7), tries=tries, first_pause=0.001)
        plan = Plan((str(papers),), prompts.chosen(kinds, ()), "CC-BY", concurrency)
        return await Making(out, plan, asks, purse or Purse(), load(), HeldOut(), stop).run()

    return asyncio.run(work())


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.medium
@pytest.mark.parametrize("protocol", ["openai", "gemini"])
def test_answers_become_rows_with_where_they_come_from(papers: Path, out: Path, protocol: str) -> None:
    with serving(lambda _image, _question: Said(f"```json\n{GOOD}\n```"), key="secret") as stub:
        made = make(papers, out, stub, protocol=protocol)
        assert (made.pages, made.asked, made.rows, made.turns) == (3, 3, 3, 6)
        assert [Path(uri).name for uri, _ in made.problems] == ["broken.png"]
        [teacher_prompt] = prompts.chosen(("general",), ())
        assert {question for _, question, _ in stub.asked} == {teacher_prompt.text}
        again = make(papers, out, stub, protocol=protocol)
        assert (again.asked, again.known, again.rows) == (0, 3, 3), "nothing is asked twice"
        assert len(stub.asked) == 3
    found, sources = rows(out / "train.jsonl"), rows(out / "provenance.jsonl")
    assert [row["id"] for row in found] == [source["id"] for source in sources]
    for row, source in zip(found, sources, strict=True):
        data = (out / "images" / row["image"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == source["image_sha256"]
        with Image.open(out / "images" / row["image"]) as image:
            assert image.size == (row["width"], row["height"]) == (400, 300)
        spoken = row["conversations"]
        assert [turn["from"] for turn in spoken] == ["human", "gpt"] * 2
        assert spoken[0]["value"].startswith("<image>\n") and "<image>" not in spoken[2]["value"]
        assert (source["teacher"], source["teacher_version"], source["protocol"]) == (
            "big",
            "stub-1",
            protocol,
        )
        assert source["decoding"] == {"max_tokens": 500, "temperature": 0.2, "seed": 7}
        assert (source["prompt"], source["licence"], source["verdict"]) == ("general@1", "CC-BY", "passed")
        assert source["tokens"]["in"] == 1000 and source["answer_sha256"]
    meta = json.loads((out / "meta.json").read_text())
    assert meta["teacher"]["annotation"] == "train.jsonl" and meta["teacher"]["length"] == 3
    assert "secret" not in "".join(path.read_text("utf-8") for path in out.glob("*.json*"))
    assert (out / LEDGER).stat().st_mode & 0o077 == 0


@pytest.mark.medium
def test_what_is_refused_is_named_and_rows_are_judged_anew(
    papers: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = json.dumps([*json.loads(GOOD), {"question": "Ai ký?", "answer": "Xin lỗi, tôi không thể đọc."}])
    with serving(lambda _image, _question: Said(bad)) as stub:
        made = make(papers, out, stub)
        assert (made.turns, made.refused) == (6, Counter(refusal=3))
        assert [row["verdict"] for row in rows(out / "refused.jsonl")] == ["refusal"] * 3
        monkeypatch.setattr(making.filters, "declines", lambda _answer: False)
        assert make(papers, out, stub).turns == 9, "other filters judge what was answered"
        assert len(stub.asked) == 3


@pytest.mark.medium
def test_what_passes_is_tried_again_and_what_the_server_will_not_do_is_not(papers: Path, out: Path) -> None:
    seen: Counter[str] = Counter()
    order: list[str] = []

    def says(image: str, _question: str) -> Said:
        seen[image] += 1
        if image not in order:
            order.append(image)
        if order.index(image) == 0:
            trouble = [
                Said("slow down", status=429, headers={"Retry-After": "0.01"}),
                Said("ill", status=503),
            ]
            return trouble[seen[image] - 1] if seen[image] <= 2 else Said(GOOD)
        return Said("too large for us", status=413) if order.index(image) == 1 else Said(GOOD)

    with serving(says) as stub:
        made = make(papers, out, stub, concurrency=1)
        assert (made.rows, made.refused_by_teacher, made.waiting) == (2, 1, 0)
        assert [seen[image] for image in order] == [3, 1, 1]
        assert make(papers, out, stub).asked == 0


@pytest.mark.medium
def test_a_teacher_that_is_away_ends_the_run_and_the_next_one_goes_on(papers: Path, out: Path) -> None:
    away = threading.Event()
    away.set()
    with serving(lambda _image, _question: Said("down", status=500) if away.is_set() else Said(GOOD)) as stub:
        with pytest.raises(Unavailable, match=r"no answer of http://127.0.0.1:.*HTTP 500: down.*goes on"):
            make(papers, out, stub, concurrency=3)
        assert rows(out / "train.jsonl") == []
        away.clear()
        made = make(papers, out, stub)
    assert (made.rows, made.spent) == (3, 0.0)


@pytest.mark.medium
def test_no_more_is_spent_than_allowed(papers: Path, out: Path) -> None:
    # A request costs at most 4000 + 500 tokens until one has told, then 1000 + 500; and 1000 + a little.
    price = {"price_in": 100.0, "price_out": 1000.0}
    with serving(lambda _image, _question: Said(GOOD)) as stub:
        none = make(papers, out, stub, purse=Purse(0.5, **price))
        assert none.asked == 0 and none.stopped is not None and "--max-cost" in none.stopped
        some = make(papers, out, stub, purse=Purse(0.91, **price), concurrency=8)
        assert 0 < some.asked < 3 and some.stopped is not None
        assert 0 < some.spent <= 0.91
        rest = make(papers, out, stub, purse=Purse(9.0, **price))
        assert some.asked + rest.asked == 3 and rest.stopped is None and rest.rows == 3
        paid = sum(len(GOOD) // 3 * 1000 + 1000 * 100 for _ in range(3)) / 1e6
        assert rest.spent == pytest.approx(paid)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (401, "Incorrect API key", r"does not take the key in THE_KEY \(HTTP 401: Incorrect API key"),
        (400, "API key not valid. Please pass a valid API key.", "does not take the key in THE_KEY"),
        (404, "no model big", "look at the teacher's URL, and at --teacher-model"),
        (402, "credit balance too low", "has no more credit"),
        (200, "", "is not understood"),
    ],
)
def test_what_is_wrong_with_all_requests_is_one_line(
    papers: Path, out: Path, monkeypatch: pytest.MonkeyPatch, status: int, text: str, told: str
) -> None:
    if status == 200:
        monkeypatch.setattr("infra.benchmarks.stub_teacher._as_openai", lambda _said: {"hello": "world"})
    with (
        serving(lambda _image, _question: Said(text, status=status)) as stub,
        pytest.raises((UsageError, Unavailable), match=told) as caught,
    ):
        make(papers, out, stub)
    assert "secret" not in caught.value.message and "\n" not in caught.value.message
    with Teaching(out / LEDGER) as ledger:
        assert ledger.spent() == 0.0
        assert "answered" not in ledger.counts()


@pytest.mark.medium
def test_newer_models_word_for_the_limit_is_learnt_from_what_they_say(papers: Path, out: Path) -> None:
    complaint = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    with serving(lambda _image, _question: Said(GOOD)) as stub:
        answer = Said(complaint, status=400)

        def says(_image: str, _question: str) -> Said:
            return Said(GOOD) if "max_completion_tokens" in newer.asked[-1][2] else answer

        with serving(says) as newer:
            assert make(papers, out, newer, concurrency=1).rows == 3
            assert len(newer.asked) == 4
        assert stub.asked == []


@pytest.mark.slow
def test_a_run_that_is_killed_asks_again_only_what_it_has_no_answer_to(papers: Path, tmp_path: Path) -> None:
    answered: list[str] = []
    reached = threading.Event()
    held = threading.Event()

    def says(image: str, _question: str) -> Said:
        if len(answered) >= 2 and not held.is_set():
            reached.set()
            held.wait(60)
        answered.append(image)
        return Said(GOOD)

    with serving(says) as stub:
        command = [VINBATCH, "dataset", "make", papers, "--out", tmp_path / "out", "--teacher", stub.url]
        command += ["--teacher-model", "big", "--tasks", "general", "--concurrency", "1"]
        command += ["--max-cost", "9", "--price-in", "100", "--price-out", "1000", "--json"]
        words = list(map(str, command))
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert reached.wait(120)
        process.send_signal(signal.SIGKILL)
        process.wait()
        held.set()
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
        found = json.loads(done.stdout)
        assert (found["asked"], found["known_before"], found["rows"]) == (1, 2, 3)
        assert found["exit_code"] == done.returncode == 3, "broken.png is a problem"
        asked = Counter(image for image, _, _ in stub.asked)
        assert sorted(asked.values()) == [1, 1, 2]
    # What was under way when it died counts with the most that it may have cost.
    least = sum(len(GOOD) // 3 * 1000 + 1000 * 100 for _ in range(3)) / 1e6
    assert found["spent"] > least + 0.5


@pytest.mark.slow
def test_nothing_leaves_the_machine_unless_told_to(papers: Path, tmp_path: Path) -> None:
    def run(*arguments: object, key: str = "") -> tuple[int, str]:
        words = [
            VINBATCH,
            "dataset",
            "make",
            papers,
            "--out",
            tmp_path / "out",
            "--teacher-model",
            "m",
            *arguments,
        ]
        environment = {**os.environ, "VINBATCH_TEACHER_KEY": key, "http_proxy": "http://127.0.0.1:9"}
        done = subprocess.run(
            list(map(str, words)), env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr

    code, said = run("--teacher", "http://teacher.example/v1")
    assert code == 2 and "http://teacher.example is another machine" in said and "--send-to-teacher" in said
    assert not (tmp_path / "out").exists()
    with serving(lambda _image, _question: Said(GOOD), key="right") as stub:
        code, said = run("--teacher", stub.url, "--tasks", "general", key="right")
        assert code == 3 and f"sent to {stub.url.removesuffix('/v1')}, on this machine" in said
        assert "broken.png" in said and len(stub.asked) == 3, "no proxy of the environment is asked"


def test_only_this_machine_is_this_machine() -> None:
    here = ["http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:80/v1", "http://127.8.9.1/v1"]
    there = [
        "https://api.openai.com/v1",
        "http://10.0.0.1/v1",
        "http://localhost.example/v1",
        "http://0.0.0.0/v1",
    ]
    assert [Teacher(url, "m").is_here for url in here + there] == [True] * 4 + [False] * 4
    for url in ("ftp://x/v1", "x", "http:///v1"):
        with pytest.raises(UsageError, match="must be like"):
            Teacher(url, "m").check()
    with pytest.raises(UsageError, match="neither key nor question") as caught:
        Teacher("http://user:hunter2@127.0.0.1/v1", "m").check()
    assert "hunter2" not in caught.value.message
    with pytest.raises(UsageError, match="the key in K is none"):
        Teacher(here[0], "m", key="a\nb", key_name="K").check()


def test_requests_are_spaced_and_a_servers_wait_holds_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(asking.time, "monotonic", lambda: now)
    pace = Pace(60)
    assert [pace.turn() for _ in range(3)] == [0.0, 1.0, 2.0]
    now = 200.0
    pace.hold(5)
    assert [pace.turn() for _ in range(2)] == [5.0, 6.0]
    assert [Pace(None).turn() for _ in range(2)] == [0.0, 0.0]
