"""Pages asked in free words, as a person types it: read, ask, and a model that does not know the task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from pipeline.vintern import tokenizer
from tests.e2e.conftest import Command, picture
from tests.vintern import checkpoints

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that say a few letters and then, by themselves, that they are at the end."""
    directory = tmp_path_factory.mktemp("talker") / "tiny"
    checkpoints.write(directory)
    weights = load_file(directory / "model.safetensors")
    weights["language_model.lm_head.weight"][tokenizer.load(directory).end_of_turn] *= 3
    save_file(weights, directory / "model.safetensors")
    return directory


@pytest.fixture
def slips(vinbatch: Command) -> Path:
    folder = vinbatch.folder / "slips"
    (folder / "more").mkdir(parents=True)
    picture(1).save(folder / "1.png")
    picture(2).save(folder / "more" / "2.png")
    return folder


def test_read_gives_the_text_of_files_without_a_store(vinbatch: Command, talker: Path, slips: Path) -> None:
    (slips / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    told = vinbatch("read", slips, "--model", talker, "--out", vinbatch.folder / "texts", "--json", code=3)
    found = {Path(row["uri"]).name: row for row in map(json.loads, told.splitlines())}
    assert found["broken.png"]["state"] == "failed" and found["broken.png"]["reason"]
    for name in ("1.png", "more/2.png"):
        row = found[Path(name).name]
        text = (vinbatch.folder / "texts" / f"{name}.txt").read_text("utf-8")
        assert text == f"{row['pages'][0]['text'] or ''}\n"
        assert row["state"] == "review" and row["doubts"], "random letters are not passed on in silence"
    assert not list(vinbatch.folder.glob("*.db"))
    refused = vinbatch.fails("read", slips, "--model", "demo")
    assert "model demo reads" in refused and "not ocr@1" in refused


def test_ask_makes_rows_and_the_same_question_is_not_read_again(
    vinbatch: Command, talker: Path, slips: Path
) -> None:
    asked = ("ask", slips, "Ai ký: tờ này?", "--model", talker, "--store", "a.db", "--json")
    first = [json.loads(line) for line in vinbatch(*asked).splitlines()]
    assert [Path(row["uri"]).name for row in first] == ["1.png", "2.png"]
    again = [json.loads(line) for line in vinbatch(*asked).splitlines()]
    assert again == first
    rows = vinbatch.rows("SELECT document_uri, job, line, text FROM ask_v1_pages", "a.db")
    assert {row["document_uri"]: row["text"] for row in rows} == {
        row["uri"]: row["pages"][0]["text"] for row in first
    }
    [job] = vinbatch.rows("SELECT name, schema_reference, submitted FROM jobs", "a.db")
    assert job["schema_reference"] == "ask@1:Ai ký: tờ này?" and job["submitted"] == 2
    assert job["name"].startswith("ask-1-ai-ky-to-nay-")
