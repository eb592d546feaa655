"""What a plan says: what is left out is named, and what a list may not name is asked for by a flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import specimens
from tests.e2e.conftest import Command, write_slips
from tests.pipeline.test_attached import holding, picture
from tests.vintern import checkpoints


@pytest.mark.medium
def test_a_plan_names_what_is_left_out_and_what_a_list_may_not_name(vinbatch: Command) -> None:
    write_slips(vinbatch.folder / "in", pictures=1)
    write_slips(vinbatch.folder / "elsewhere", pictures=2)
    (vinbatch.folder / "in/.hidden.pdf").write_bytes(b"x")
    (vinbatch.folder / "in/list.csv").write_text("slip-000.png\n../elsewhere/slip-001.png\n", "utf-8")
    told = vinbatch("plan", "in")
    assert "left out   2: hidden" in told and f"  {vinbatch.folder}/in/.hidden.pdf: hidden" in told
    told = vinbatch("plan", "in/list.csv")
    assert "outside_root 1" in told and "line 2: " in told and "--trust-manifests" in told
    told = vinbatch("plan", "in/list.csv", "--trust-manifests")
    assert "documents  2" in told and "pages      2" in told and "skipped    none" in told


@pytest.mark.medium
def test_a_plan_says_how_many_pages_leave_too_little_room(vinbatch: Command, tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "model", "v2")
    (tmp_path / "model" / "model.safetensors").unlink()  # a plan asks for no weights
    specimens.write(vinbatch.folder / "in", 1, ["invoice"], 6, formats=["pdf"])
    (vinbatch.folder / "in" / "truth.jsonl").unlink()
    asked = ("plan", "in", "--schema", "invoice@1", "--model", str(tmp_path / "model"))
    told = vinbatch(*asked)
    assert "tight      1 of 1 pages in a context of 4,096 tokens: 1 in several passes, at most 2" in told
    specimens.write(vinbatch.folder / "cards", 1, ["id_card"], 6, formats=["pdf"])
    told = vinbatch("plan", "cards", "--schema", "id_card@1", "--model", str(tmp_path / "model"))
    assert "tight      none of 1 pages in a context of 4,096 tokens" in told
    assert "tight" not in vinbatch("plan", "in", "--schema", "invoice@1")


@pytest.mark.medium
def test_a_folder_with_other_files_is_all_done_and_the_rest_is_named(vinbatch: Command) -> None:
    write_slips(vinbatch.folder / "in", pictures=2)
    for name in ("Thumbs.db", "desktop.ini", "list.xlsx", ".DS_Store"):
        (vinbatch.folder / "in" / name).write_bytes(b"x")
    told = vinbatch("plan", "in", "--exclude", "*-001.*")  # leaves with 0
    assert "documents  1," in told and "skipped    none" in told and "left out   5: " in told
    for name, why in (
        ("Thumbs.db", "no document by its name"),
        ("list.xlsx", "no document by its name"),
        (".DS_Store", "hidden"),
        ("slip-001.png", "left out by --exclude *-001.*"),
    ):
        assert f"  {vinbatch.folder}/in/{name}: {why}" in told
    assert "documents  1," in vinbatch("plan", "in", "--include", "slip-000*")


@pytest.mark.medium
def test_a_plan_says_which_files_are_one_document(vinbatch: Command) -> None:
    write_slips(vinbatch.folder / "in", pictures=3)
    told = vinbatch("plan", "in", "--group", "{id}-000.png,{id}-001.png", "--group", "none")
    assert "documents  2," in told and "pages      3" in told and "skipped    none" in told
    assert "grouped    2 files as 1 documents: --group {id}-000.png,{id}-001.png 1" in told
    assert f"  {vinbatch.folder}/in/slip-000.png + slip-001.png" in told
    told = vinbatch("plan", "in", "--group", "{id}-002.png,{id}-003.png")
    assert "skipped    1: object_missing 1" in told and "slip-003.png is not there" in told
    assert "each of its names has {id} once" in vinbatch.fails("plan", "in", "--group", "front.png,back.png")


@pytest.mark.medium
def test_a_plan_counts_what_lies_within_portfolios(vinbatch: Command) -> None:
    write_slips(vinbatch.folder / "in", pictures=1)
    within = {"a.png": picture(40), "b.png": picture(41), "c.png": picture(42)}
    (vinbatch.folder / "in/p.pdf").write_bytes(holding(within, portfolio=True))
    told = vinbatch("plan", "in", "--exclude", "p.pdf/b.*")
    assert "documents  4," in told and "2 of them within portfolios" in told and "pages      4" in told
    assert f"  {vinbatch.folder}/in/p.pdf!/b.png: left out by --exclude p.pdf/b.*" in told
    assert "within portfolios" not in vinbatch("plan", "in", "--exclude", "p.pdf")
