"""The documents within a portfolio become documents of the job when it is read, each once."""

from __future__ import annotations

import zipfile
from dataclasses import replace
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


@pytest.mark.medium
def test_what_is_excluded_within_a_portfolio_is_no_document(bench: Bench, portfolio: str) -> None:
    chosen = {"exclude": ("b.*", "p.pdf/c.*")}
    bench.use(bench.settings.model_copy(update={"source": bench.settings.source.model_copy(update=chosen)}))
    bench.lane_job = replace(bench.lane_job, sources=(str(bench.folder),))
    bench.work(bench.claim())
    names = [row.uri.removeprefix(portfolio) for row in bench.store.results.documents(bench.job)]
    assert sorted(names) == ["", "!/a.png"]


@pytest.mark.medium
def test_a_portfolio_within_an_archive_is_read_likewise(bench: Bench) -> None:
    path = bench.folder / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("p.pdf", holding({"a.png": picture(40), "b.png": picture(41)}, portfolio=True))
    bench.add(f"{path}!/p.pdf")
    bench.work(bench.claim())
    bench.work(bench.claim())
    states = {
        row.uri.removeprefix(f"{path}!/"): row.state for row in bench.store.results.documents(bench.job)
    }
    assert states == {"p.pdf": "review", "p.pdf!/a.png": "done", "p.pdf!/b.png": "done"}
    assert bench.store.purge(document=f"{path}!/p.pdf").documents == 3
