"""What a plan says: what is left out is named, and what a list may not name is asked for by a flag."""

from __future__ import annotations

from tests.e2e.conftest import Command, write_slips


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
