"""A job as a file: what is typed wins over it, unknown words are refused, rows go where it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import specimens
from tests.e2e.conftest import Command

JOB = """
sources = ["in/*.xml"]
schema = "invoice@1"
model = "demo"
any_schema = true
store = "rows.db"
job = "from-file"
targets = ["rows.csv"]
on_finish = "tee told.json"

[source]
max_bytes = 1000000
exclude = ["*-2.xml"]
"""


@pytest.fixture
def folder(vinbatch: Command) -> Path:
    specimens.write(vinbatch.folder / "in", 2, ["invoice"], 3, xml=True)
    (vinbatch.folder / "job.toml").write_text(JOB, "utf-8")
    return vinbatch.folder


@pytest.mark.slow
def test_a_file_runs_and_what_is_typed_wins(vinbatch: Command, folder: Path) -> None:
    told = json.loads(vinbatch("run", "--file", "job.toml", "--accept-failures", "--json"))
    assert told["job"] == "from-file" and told["documents"]["submitted"] == 2
    assert told["written"][0] == {"path": "rows.csv", "rows": 2} and told["exit_code"] == 0
    sent = json.loads((folder / "told.json").read_text("utf-8"))
    assert sent.pop("id").startswith("msg_") and sent == told
    values = (folder / "rows.csv").read_text("utf-8").splitlines()[1].split(",")[3:]
    words = json.dumps({**told, "trust": ""}, ensure_ascii=False)  # which says "calibrated", as a column does
    assert not any(len(value) > 5 and value in words for value in values)
    assert vinbatch("run", "--file", "job.toml", "--print-job", "--job", "typed") == "typed\n"
    typed = ("run", "--file", "job.toml", "--job", "typed", "--target", "other.jsonl", "--on-finish", "true")
    assert "job typed: 2 documents" in vinbatch(*typed, "--store", "other.db", "--accept-failures")
    assert (folder / "other.jsonl").exists() and (folder / "other.db").exists()
    written = json.loads(
        vinbatch("export", "--job", "typed", "--out", "x.csv", "--store", "other.db", "--json")
    )
    assert written["written"][0] == {"path": "x.csv", "rows": 2} and written["left_out"] == 0
    purge = ("purge", "--job", "typed", "--store", "other.db", "--json")
    assert "--yes" in vinbatch.fails(*purge)
    assert json.loads(vinbatch(*purge, "--dry-run"))["documents"] == 2
    assert json.loads(vinbatch(*purge, "--yes"))["removed"] is True


@pytest.mark.slow
def test_whoever_is_named_is_told_of_a_failure_too(vinbatch: Command, folder: Path) -> None:
    typed = ("run", "--file", "job.toml", "--include", "nothing*")
    assert "there is no document" in vinbatch.fails(*typed)
    sent = json.loads((folder / "told.json").read_text("utf-8"))
    assert sent["job"] == "from-file" and sent["exit_code"] == 2 and "there is no document" in sent["error"]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "modle = 'demo'",
            "job.toml has modle, which is no word of a job and no setting; did you mean model?",
        ),
        ("[lane]\nreaderz = 1", "job.toml has lane.readerz, which"),
        ("limit = 0", "job.toml: limit: Input should be greater than or equal to 1"),
        ("sources = 3", "job.toml: sources: Input should be a valid list"),
        ("x = [", "job.toml is not TOML"),
        ("", "run wants a SOURCE, or a --file with sources"),
        ("sources = ['in']", "run wants --schema, or a --file with a schema"),
        ("sources = ['in']\nschema = 'x'\nmodel = 'y'\ntargets = ['rows.doc']", "no format 'doc'"),
        ("sources = ['in']\nschema = 'x'\nmodel = 'y'\non_finish = 'ftp://x'", "--on-finish wants a command"),
        ("[engine]\nmax_batch = 0", "engine.max_batch: Input should be greater than"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(line: str, said: str, vinbatch: Command) -> None:
    (vinbatch.folder / "job.toml").write_text(line, "utf-8")
    err = vinbatch.fails("run", "--file", "job.toml")
    assert said in err and err.count("\n") == 1


@pytest.mark.medium
def test_a_plan_is_json_too(vinbatch: Command, folder: Path) -> None:
    (folder / "in" / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    chosen = ("--include", "*.xml", "--include", "broken.pdf")
    plan = json.loads(vinbatch("plan", "in", "--schema", "invoice@1", *chosen, "--json"))
    assert (plan["schema"], plan["documents"], plan["pages"]) == ("invoice@1", 3, 2)
    assert plan["skipped"] == {"pdf_damaged": 1} and plan["skipped_named"][0]["uri"].endswith("broken.pdf")
    assert plan["left_out_named"] and plan["unseen"] == 0
