"""What is listed into the ledger, and when the listing ends before its end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pipeline import store as stores
from pipeline.settings import SourceSettings
from tests.store import samples
from workers.ingest import Ingest, SourceListing


def test_no_more_than_the_limit_is_listed_over_all_sources(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            (tmp_path / folder / f"{number}.pdf").write_bytes(b"x")

    with stores.open(f"sqlite:///{tmp_path}/rows.db") as store:
        job = samples.job(store)

        def listed(limit: int | None) -> list[str]:
            sources = [SourceListing(str(tmp_path / folder), SourceSettings()) for folder in "abc"]
            with Ingest(store, job, sources, 60, threading.Event(), limit) as ingest:
                assert ingest.complete(None) and not ingest.cut_short and ingest.failed is None
            return [row.uri.removeprefix(f"{tmp_path}/") for row in store.results.documents(job)]

        assert listed(3) == ["a/0.pdf", "a/1.pdf", "b/0.pdf"]
        assert listed(3) == ["a/0.pdf", "a/1.pdf", "b/0.pdf"]  # the same command goes on with the same
        assert len(listed(None)) == 6


def test_what_is_likely_a_slip_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A pattern that nothing follows, and files that are not as they were read."""
    (tmp_path / "1-front.jpg").write_bytes(b"x")
    groups = ("{id}-front.jpg,{id}-back.jpg", "{id}_1.jpg,{id}_2.jpg")
    with stores.open(f"sqlite:///{tmp_path}/rows.db") as store:
        job = samples.job(store)

        def listed() -> str:
            caplog.clear()
            source = SourceListing(str(tmp_path / "*.jpg"), SourceSettings(group=groups))
            with Ingest(store, job, [source], 60, threading.Event()) as ingest:
                assert ingest.complete(None)
            return "\n".join(one.getMessage() for one in caplog.records if one.levelname == "WARNING")

        assert (
            listed() == "no file has a name of --group {id}_1.jpg,{id}_2.jpg: nothing is put together by it"
        )
        (tmp_path / "1-front.jpg").write_bytes(b"other")
        assert "files of 1 known documents were replaced since" in listed()
