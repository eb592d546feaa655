"""No command lets a document's name, a message or a value that was read steer a person's terminal."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import store
from pipeline.errors import Reason
from pipeline.printable import as_json, command, printable
from pipeline.records import Check, Failure
from tests.e2e.conftest import VINBATCH, picture
from tests.store import samples
from workers.cli import books, corrections, documents, evaluating, jobs, report, results

# Window title, colours that nothing of ours uses, C1's CSI, bidirectional override, a forged line and more.
EVIL = "\x1b]0;pwned\x07\x1b[5;45mx\x9b31m\u202egnp.exe\u2066"
EVIL += "\r\nvinbatch: all is well\x08\x00\x7f\u2028\U000e0041"
NAME = EVIL.replace("\x00", "").replace("/", "")
# What rich itself writes: colours and weights, and the movements of a live table.
OURS = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[hl]|[0-9]*A|2K|1A)|\r(?=\x1b\[2K|\x1b\[1A)")
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)

Terminal = Callable[..., str]


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """Everything that a command wrote to a terminal of 200 columns."""

    def type_it(*arguments: object, codes: tuple[int, ...] = (0,)) -> str:
        ours, theirs = pty.openpty()
        attributes = termios.tcgetattr(theirs)
        attributes[1] &= ~termios.OPOST  # line ends as they are written
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(tmp_path)}
        process = subprocess.Popen(
            [str(VINBATCH), *map(str, arguments)],
            cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        written = b""
        while select.select([ours], [], [], 280)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux's way to say that nobody holds the other end
                break
            written += part
            if not part:
                break
        os.close(ours)
        code = process.wait(60)
        text = written.decode()
        assert code in codes, text
        assert "Traceback" not in text
        return text

    return type_it


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """A store in which every text of others is EVIL: two jobs that differ, failures, reasons, workers."""
    url = f"sqlite:///{tmp_path}/rows.db"
    with store.open(url) as ledger:
        for name, number in (("june" + NAME, "7" + EVIL), ("july" + NAME, "8" + EVIL)):
            job = samples.job(ledger, name, model="m" + NAME, sources=["in" + NAME])
            ledger.ledger.add(job, samples.refs("a" + NAME, "b" + NAME))
            first, second = ledger.ledger.claim(job, "worker" + NAME, 2, 60)
            extraction = samples.invoice(number.replace("\x00", ""))
            check = Check("words", False, "error", "said" + NAME, ("total",), NAME, NAME)
            samples.finish(
                ledger, first, type(extraction)("review", extraction.record, extraction.fields, (check,), 1)
            )
            ledger.ledger.quarantine(second, Failure(Reason.pdf_damaged, "bad" + NAME, traceback=NAME))
    return url


def clean(text: str) -> str:
    """What the terminal shows; fails where anything but our own styling steers it."""
    assert "pwned\x07" not in text and "5;45m" not in OURS.sub("", "".join(OURS.findall(text)))
    shown = OURS.sub("", text)
    found = HIDDEN.search(shown)
    assert found is None, f"{found[0]!r} in {shown[max(0, found.start() - 80) : found.end() + 40]!r}"
    assert "\nvinbatch: all is well" not in shown, "a value forged a line of its own"
    return shown


def truth(folder: Path) -> Path:
    path = folder / "papers.jsonl"
    path.write_text(json.dumps({"file": "a" + NAME, "number": "9" + NAME, "seller_name": NAME}) + "\n")
    return path


def answers(folder: Path, url: str) -> None:
    """The sheet to check of June, in which a person finds every value right."""
    with store.open(url) as ledger:
        ledger.export(ledger.jobs.find(JUNE), folder / "june.csv")
    with (folder / "june_to_check.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row | {"ruling": "accept"} for row in csv.DictReader(file)]
    with (folder / "answers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


JUNE, JULY = "june" + NAME, "july" + NAME
# Each command with everything that it can be asked to print.
CASES: dict[str, list[tuple[str, ...]]] = {
    "status": [(), ("--job", JUNE), ("--job", JUNE, "--json"), ("--verify",)],
    "cancel": [(JUNE,)],
    "failures": [("--job", JUNE), ("--job", JUNE, "--json")],
    "diff": [(JUNE, JULY), (JUNE, JULY, "--json"), (JUNE, JULY, "--against", "papers.jsonl")],
    "retry": [("--job", JUNE, "--document", "/in/b" + NAME)],
    "purge": [("--document", "/in/a" + NAME, "--dry-run"), ("--document", "/in/a" + NAME, "--yes")],
    "query": [
        ("SELECT number AS \"n\x1b[5;45m\", document_uri FROM invoice_v1", "--format", format)
        for format in ("table", "csv", "json")
    ] + [("SELECT document_uri, number FROM invoice_v1", "--format", "csv", "--raw")],
    "export": [("--job", JUNE, "--format", "csv", "--out", "out" + NAME)],
    "corrections": [("--job", JUNE, "--from", "answers.csv", *more) for more in ((), ("--apply",))],
    "eval": [("--job", JUNE, "--truth", "papers.jsonl", "--show", "3", "--json", "e.j"),
             ("--truth", "papers.jsonl", "--compare", JUNE, JULY)],
    "report": [(JUNE, "--truth", "papers.jsonl", "--out", "page" + NAME)],
    "todo": [(JUNE,), (JUNE, "--json")],
    "plan": [("in" + NAME,)],
    "specimens": [("--out", "made" + NAME, "--count", "1")],
    "run": [],  # below, on a Ray
    "judge": [],  # below: it says a job's name and counts
}  # fmt: skip


def test_every_command_has_its_case() -> None:
    modules = (books, documents, jobs, results, evaluating, corrections, report)
    commands = [command for module in modules for command in module.COMMANDS]
    assert {command.__name__ for command in commands} == CASES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name]])
def test_a_command_is_not_steered(terminal: Terminal, hostile: str, tmp_path: Path, name: str) -> None:
    truth(tmp_path)
    answers(tmp_path, hostile)
    folder = tmp_path / ("in" + NAME)
    folder.mkdir()
    (folder / ("bad" + NAME + ".pdf")).write_bytes(b"%PDF-1.4 nothing")
    shown = ""
    for arguments in CASES[name]:
        stores = () if name in ("plan", "specimens") else ("--store", hostile)
        shown += clean(terminal(name, *arguments, *stores, codes=(0, 3) if "--verify" in arguments else (0,)))
    if name not in ("retry", "purge"):
        assert r"\x1b" in shown or r"\u001b" in shown  # it was there to be shown


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        (NAME,),
        ("status", NAME),
        ("status", "--job", NAME),
        ("judge", "--job", NAME),
        ("query", f"SELECT {NAME}"),
        ("query", "SELECT 1", "--format", NAME),
        ("query", "SELECT 1", "--format", "parquet"),
        ("export", "--job", JUNE, "--format", NAME, "--out", "x"),
        ("export", "--job", JUNE, "--format", "csv", "--out", NAME + "/x"),
        ("failures", "--" + NAME),
        ("purge", "--older-than", NAME),
        ("plan", "no" + NAME),
        ("plan", ".", "--schema", NAME),
        ("run", "no" + NAME, "--schema", "receipt@1", "--model", "demo"),
        ("run", ".", "--schema", "receipt@1", "--model", NAME),
        ("eval", "--job", JUNE, "--truth", NAME),
        ("specimens", "--out", "x", "--kind", NAME),
    ],
)
def test_a_complaint_is_not_steered(terminal: Terminal, hostile: str, arguments: tuple[str, ...]) -> None:
    stores = (
        () if arguments[0] in (NAME, "plan", "specimens") or "--store" in arguments else ("--store", hostile)
    )
    shown = clean(terminal(*arguments, *stores, codes=(2,)))
    assert r"\x1b" in shown or "parquet" in arguments


@pytest.mark.slow
def test_a_run_is_not_steered(terminal: Terminal, tmp_path: Path, model: Path, slip: str) -> None:
    folder = tmp_path / ("in" + NAME)
    folder.mkdir()
    picture(1).save(folder / f"a{NAME}.png")
    (folder / f"b{NAME}.pdf").write_bytes(b"%PDF-1.4 nothing")
    url = f"sqlite:///{tmp_path}/rows.db"
    shown = clean(
        terminal("run", folder, "--schema", slip, "--model", model, "--store", url, "--job", JUNE, codes=(3,))
    )
    assert r"\x1b" in shown and "quarantined" in shown
    assert r"$'" in clean(terminal("failures", "--job", JUNE, "--store", url))


ODD = [
    "-x.pdf",
    "--help",
    "a b",
    "it's",
    'a"b',
    "$(touch pwned)",
    "`id`",
    "a\\b'\n",
    NAME,
    "đỏ.pdf",
    "\udcff\udc80",
    "",
]


@pytest.mark.parametrize("name", ODD)
def test_a_copied_command_means_the_name(name: str) -> None:
    words = ["printf", "%s\\0", name, "a'\\\x1b1"]
    typed = command(words)
    assert HIDDEN.search(typed) is None and typed == printable(typed)
    found = subprocess.run(["bash", "-c", typed], capture_output=True, check=True, timeout=20).stdout
    assert found == b"".join(os.fsencode(word) + b"\0" for word in words[2:])
    assert shlex.split(command(["a b", "c"])) == ["a b", "c"]


def test_json_is_exact_and_shows_what_is_hidden() -> None:
    value = {NAME: [EVIL, "đỏ", "😀", 1.5, None, "a\\u001b"]}
    for indent in (None, 2):
        told = as_json(value, indent)
        assert json.loads(told) == value and HIDDEN.search(told) is None and "đỏ" in told and "😀" in told


@pytest.mark.slow
def test_the_command_that_failures_offers_reads_the_document(
    terminal: Terminal, tmp_path: Path, model: Path, slip: str
) -> None:
    """Copied from the terminal into a shell, for a document with the worst of names."""
    place = tmp_path / f"-{NAME}'\"$(touch pwned).pdf"
    place.write_bytes(b"%PDF-1.4 nothing")
    url = f"sqlite:///{tmp_path}/rows.db"
    terminal(
        "run", "--schema", slip, "--model", model, "--store", url, "--job", "j", "--", tmp_path, codes=(3,)
    )
    shown = clean(terminal("failures", "--job", "j", "--store", url))
    [offered] = [line for line in shown.splitlines() if line.startswith("  vinbatch run ") and ".pdf" in line]
    path = f"{VINBATCH.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", offered],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        timeout=280,
    )
    assert done.returncode == 3, done.stderr.decode()
    with store.open(f"sqlite:///{tmp_path}/alone.db", create=False) as ledger:
        [failed] = ledger.failures.each(ledger.jobs.find("alone"))
    assert failed.uri == str(place) and failed.failure.reason == Reason.pdf_damaged
    assert not (tmp_path / "pwned").exists()
