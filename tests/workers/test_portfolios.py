"""The documents within a portfolio become documents of the job when it is read, each once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.einvoice.invoices import einvoice, written
from tests.pipeline.test_attached import holding, picture
from tests.workers.conftest import Bench

FILES = {"a.png": picture(40), "b.png": picture(41), "c.pdf": holding({}), "c.xml": written(einvoice())}


@pytest.fixture
def portfolio(bench: Bench) -> str:
    path = bench.folder / "p.pdf"
    path.write_bytes(holding(FILES, portfolio=True))
    bench.add(str(path))
    return str(path)


@pytest.mark.medium
def test_a_portfolios_documents_are_read_by_themselves(bench: Bench, portfolio: str) -> None:
    bench.work(bench.claim())
    names = [row.uri.removeprefix(portfolio) for row in bench.store.results.documents(bench.job)]
    assert sorted(names) == ["", "!/a.png", "!/b.png", "!/c.pdf"]
    cover = bench.store.results.extraction(bench.job, portfolio)
    assert cover is not None and cover.extraction.pages == 1
    [told] = [check for check in cover.extraction.checks if check.code == "placeholder"]
    assert "a.png, b.png, c.pdf, c.xml" in told.message
    bench.work(bench.claim())
    states = {row.uri.removeprefix(portfolio): row.state for row in bench.store.results.documents(bench.job)}
    assert states == {"": "review", "!/a.png": "done", "!/b.png": "done", "!/c.pdf": "partial"}
    parts = {row.uri: row.parts for row in bench.store.results.documents(bench.job)}[f"{portfolio}!/c.pdf"]
    assert [Path(part.uri).name for part in parts] == ["c.pdf", "c.xml"], "one document, as in a folder"
    assert bench.store.books.verify(bench.job).submitted == 4
    gone = bench.store.purge(document=portfolio)
    assert gone.documents == 4 and bench.store.books.verify(bench.job).submitted == 0
