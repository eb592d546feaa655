"""What was typed wrongly is one clear line on standard error and exit code 2, and nothing is started; what is
not there is exit code 4.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import store as stores
from schemas.registry import resolve
from tests.e2e.conftest import Command, write_slips
from workers.cli import main

RUN = ("--schema", "receipt@1", "--model", "MODEL", "--store", "sqlite:///rows.db")


@pytest.fixture
def says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Standard error of a command that must be wrong, typed in a folder with one picture."""
    write_slips(tmp_path / "in", pictures=1)
    monkeypatch.chdir(tmp_path)

    def type_it(*arguments: str, code: int = 2) -> str:
        monkeypatch.setattr(sys, "argv", ["vinbatch", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        assert left.value.code == code, out + err
        assert out == "" and "Traceback" not in err
        return err

    return type_it


@pytest.mark.medium
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "in", *RUN, "--schema", "invoise@1"), "no schema 'invoise@1'"),
        (("run", "in", *RUN, "--schema", "receipt@9"), "receipt has version 1"),
        (("run", "in", *RUN, "--schema", "mine.py:Slip"), "no schema file 'mine.py'"),
        (("run", "nowhere", *RUN), "nowhere does not exist"),
        (("run", "in/*.pdf", *RUN), "no file matches"),
        (("run", "ftp://host/x", *RUN), "documents come from files or from s3://"),
        (("run", "in", *RUN, "--model", "no-such-model"), "no-such-model"),
        (
            ("run", "in", *RUN, "--schema", "receipt@2", "--model", "demo"),
            "model demo reads id_card@1, receipt@1, invoice@1, not receipt@2",
        ),
        (("run", "in", *RUN, "--trust-anchors", "absent"), "no folder of trust anchors at"),
        (("run", "in", *RUN, "--store", "mysql://u:secret@h/db"), "is of a kind that is not known"),
        (("status", "--job", "x", "--store", "sqlite:///none.db"), "none.db"),
        (("query", "SELECT 1", "--store", "sqlite:///none.db"), "none.db"),
        (("query", "--store", "sqlite:///none.db"), "query wants one SELECT, or --named NAME"),
        (("query", "SELECT 1", "--named", "chains"), "query wants one SELECT, or --named NAME"),
        (("query", "SELECT 1", "--suppliers", "x.csv"), "--suppliers is for --named risky-suppliers"),
        (
            ("query", "--named", "risky-suppliers", "--suppliers", "x.csv"),
            "cannot read the list of suppliers",
        ),
        (("export", "--out", "x.csv"), "export wants --job NAME, or --format 01-1"),
        (("export", "--out", "x.csv", "--job", "x", "--all"), "--all are for --format label-studio"),
        (("corrections", "--job", "x"), "corrections wants --from FILE, or --undo BATCH"),
        (("export", "--out", "x.csv", "--job", "x", "--buyer", "1"), "--buyer are for --format 01-1"),
        (("export", "--out", "x.xlsx", "--format", "01-1", "--job", "x"), "leave --job out"),
        (("export", "--out", "x.xlsx", "--format", "01-1", "--since", "May"), "--since: May is no day"),
        (("export", "--out", "x.xlsx", "--format", "01-1", "--buyer", "12"), "--buyer: '12' is no tax code"),
        (("plan", "nowhere"), "nowhere does not exist"),
        (("plan", "in", "--model", "MODEL"), "--model says how much room an answer has"),
        (("specimens", "--out", "made", "--kind", "passport"), "unknown kind of specimen"),
        (("specimens", "--out", "made", "--xml"), "only invoices have XML"),
        (("specimens", "--out", "made", "--layouts", "baroque"), "unknown layouts 'baroque'"),
        (("specimens", "--out", "made", "--tier", "fax"), "unknown tier 'fax'"),
        (("specimens", "--out", "made", "--tier", "photo", "--worn"), "leave out --worn and --clean"),
        (("run", "in", *RUN, "--share", "0.1"), "--share is for --shadow MODEL"),
        (("run", "in", *RUN, "--shadow", "MODEL"), "is the job's own model"),
        (("run", "in", *RUN, "--shadow", "./nowhere"), "nowhere"),
        (("eval", "--truth", "truth.jsonl"), "eval wants --job"),
        (("eval", "in", "--truth", "truth.jsonl"), "eval wants --schema and --model"),
        (("eval", "in", "--truth", "truth.jsonl", *RUN), "truth.jsonl"),
    ],
)
def test_one_line(says: Callable[..., str], model: Path, arguments: tuple[str, ...], said: str) -> None:
    err = says(*(str(model) if argument == "MODEL" else argument for argument in arguments))
    assert said in err and len(err.splitlines()) == 1
    assert "secret" not in err


@pytest.mark.medium
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--store", "postgresql://u:secret@127.0.0.1:1/db"), "127.0.0.1"),
        (("--model", "nobody/has-this-model"), "nobody/has-this-model"),
        (("--address", "127.0.0.1:1"), "no Ray cluster answers at 127.0.0.1:1"),
    ],
)
def test_what_is_not_there_is_4(
    says: Callable[..., str], model: Path, flags: tuple[str, ...], said: str
) -> None:
    """Typed rightly; no store, no model, no Ray."""
    err = says("run", "in", *(str(model) if word == "MODEL" else word for word in RUN), *flags, code=4)
    assert said in err.splitlines()[-1] and "secret" not in err


def test_what_nobody_foresaw_is_4_and_keeps_its_traceback(
    says: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_name: str) -> None:
        raise ZeroDivisionError("a fault\nof ours")

    monkeypatch.setattr("workers.cli.options.schema", breaks)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    err = says("plan", "in", "--schema", "receipt", code=4)
    assert "ZeroDivisionError: a fault of ours" in err and len(err.splitlines()) == 1
    [kept] = tmp_path.glob("vinbatch-traceback-*")
    assert kept.stat().st_mode & 0o077 == 0 and "in breaks" in kept.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "in", "--colour"), "--colour"),
        (("run", "--schema", "receipt"), "SOURCE"),
        (("run", "in", *RUN, "--replicas", "0"), "--replicas"),
        (("run", "in", *RUN, "--gpus-per-replica", "half"), "--gpus-per-replica"),
        (("retry", "--job", "x"), "exactly one of --reason and --document"),
        (("purge", "--older-than", "long"), "90d"),
        (("purge", "--older-than", "1d", "--subject", "x"), "exactly one of"),
        (("harvest",), "harvest"),
    ],
)
def test_wrong_flags(says: Callable[..., str], arguments: tuple[str, ...], said: str) -> None:
    assert said in says(*arguments)


def test_a_second_reader_that_is_not_installed_is_named_before_anything_starts(
    says: Callable[..., str], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("VINBATCH_SECOND_READER__READERS", '["tesseract"]')
    command = ("run", "in", *RUN, "--model", str(model), "--second-reader")
    assert says(*command) == (
        "vinbatch: the second reader tesseract wants tesseract: apt install tesseract-ocr tesseract-ocr-vie\n"
    )
    assert not (tmp_path / "rows.db").exists()


def test_a_context_beyond_the_models_positions_is_refused_before_anything_starts(
    says: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VINBATCH_ENGINE__CONTEXT_LENGTH", "16384")  # the demo model has 8,192
    for command in (("run", "in", *RUN, "--model", "demo"), ("plan", "in", *RUN[:2], "--model", "demo")):
        err = says(*command)
        assert "engine.context_length is 16384, expected 1 to 8192" in err and "config.json" in err


def test_a_schema_that_the_model_does_not_name_can_be_insisted_on(
    says: Callable[..., str], tmp_path: Path
) -> None:
    """The next thing that is wrong is then said: the job is there, with other settings."""
    with stores.open(f"sqlite:///{tmp_path / 'rows.db'}") as store:
        store.jobs.ensure("x", resolve("invoice"), sources=[], settings={}, model="demo", checkpoint="none")
    typed = ("run", "in", *RUN, "--schema", "invoice", "--model", "demo", "--job", "x")
    assert "model demo reads" in says(*typed)
    assert "job x was begun otherwise" in says(*typed, "--any-schema")


def test_bad_settings_are_named(
    says: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VINBATCH_RENDER__DPI", "9000")
    (tmp_path / "vinbatch.toml").write_text("[lane]\nreader = 3\n", encoding="utf-8")
    err = says("plan", "in")
    assert "render.dpi (in the environment, VINBATCH_RENDER__DPI): Input should be less" in err
    assert "lane.reader (in vinbatch.toml): there is no such setting; did you mean lane.readers?" in err
    (tmp_path / "vinbatch.toml").write_text("dpi = 300\n[rendr]\n", encoding="utf-8")
    monkeypatch.delenv("VINBATCH_RENDER__DPI")
    err = says("plan", "in")
    assert "did you mean render.dpi?" in err and "did you mean render?" in err
    (tmp_path / "vinbatch.toml").write_text("dpi: 300\n", encoding="utf-8")
    assert "vinbatch.toml is not TOML: " in says("plan", "in")


@pytest.mark.medium
def test_help_imports_nothing_heavy(vinbatch: Command) -> None:
    vinbatch.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    process = vinbatch.start("--help")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "eval" in out
    imported = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert not imported & {"ray", "torch", "boto3", "sqlalchemy", "numpy", "pyarrow"}
