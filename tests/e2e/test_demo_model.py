"""The model that ships with the repository reads fresh specimens, by the command line, from files."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Command

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["id_card", "receipt"])
def test_it_reads_specimens_that_it_never_saw(vinbatch: Command, kind: str) -> None:
    """Its seeds are none of those drawn for training; the floor is below what its card says."""
    vinbatch("specimens", "--out", "in", "--count", 8, "--kind", kind, "--seed", 5_000)
    said = vinbatch(
        *("eval", "in", "--schema", f"{kind}@1", "--model", "demo", "--truth", "in/truth.jsonl"),
        *("--store", "sqlite:///rows.db", "--json", "scores.json", "--html", "page.html"),
    )
    assert "8 documents with truth" in said
    scores = json.loads((vinbatch.folder / "scores.json").read_text())
    assert scores["documents"] == 8
    assert scores["total"]["recall"] >= 0.88
    assert (vinbatch.folder / "page.html").read_text().count("<img") >= 1
