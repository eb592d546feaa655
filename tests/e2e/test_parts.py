"""A document of two files by the command line: one is missing, comes later, and names the document."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Command, picture

pytestmark = pytest.mark.slow
STORE = "sqlite:///rows.db"


def test_front_and_back_of_which_one_comes_later(vinbatch: Command, model: Path, slip: str) -> None:
    folder = vinbatch.folder / "in"
    folder.mkdir()
    picture(1).save(folder / "7-front.png")
    job = (
        "run", "in", "--schema", slip, "--model", model, "--store", STORE, "--job", "cards",
    )  # fmt: skip
    cards = ("--group", "{id}-front.png,{id}-back.png")
    told = vinbatch(*job, *cards, code=3)
    assert "job cards: 1 documents" in told and "1 partial" in told and "1 pages read" in told
    failed = vinbatch("failures", "--job", "cards", "--store", STORE, "--json")
    assert "object_missing" in failed and f"{folder}/7-back.png is not there" in failed

    assert "group was ['{id}-front.png,{id}-back.png']" in vinbatch.fails(*job)

    picture(2).save(folder / "7-back.png")
    told = vinbatch(*job, *cards)
    assert "job cards: 1 documents" in told and "0 partial" in told
    assert "1 pages read, 1 known before" in told
    parts = vinbatch.rows("SELECT uri, part, pages, reason FROM parts ORDER BY part", STORE)
    assert [(Path(part["uri"]).name, part["part"], part["pages"], part["reason"]) for part in parts] == [
        ("7-front.png", 1, 1, None),
        ("7-back.png", 2, 1, None),
    ]
    [row] = vinbatch.rows("SELECT uri, parts, pages FROM documents", STORE)
    assert (Path(row["uri"]).name, row["parts"], row["pages"]) == ("7-front.png", 2, 2)
    assert "the books balance" in vinbatch("status", "--job", "cards", "--store", STORE, "--verify")

    purge = ("purge", "--document", str(folder / "7-back.png"), "--store", STORE, "--yes")
    assert "1 documents" in vinbatch(*purge)
    assert vinbatch.rows("SELECT count(*) AS n FROM parts", STORE) == [{"n": 0}]
