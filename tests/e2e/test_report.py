"""`report`, `todo` and named queries as a person types them, on terminals of several widths."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import store as stores
from pipeline.errors import Reason
from pipeline.records import Check, Failure
from tests.e2e.conftest import Command
from tests.store import samples
from tests.store.samples import Clock, refs
from tests.store.test_input_vat import made

NAME = "/kho hóa đơn/tháng 05/0100109106-C26TAA-00000007 bản sao số 2.pdf"
MESSAGE = "net and VAT give 1,100,000, the total is 1,000,000: they differ by 100,000"


@pytest.fixture
def filled(vinbatch: Command) -> Command:
    """A job of two documents in the folder's own store, one of them with a failed check and a long name."""
    with stores.open(f"sqlite:///{vinbatch.folder}/vinbatch.db", clock=Clock()) as store:
        job = samples.job(store, "may")
        store.ledger.add(job, [replace(refs("x")[0], uri=NAME), *refs("bad")])
        first, second = store.ledger.claim(job, "w", 2, 60)
        wrong = Check("total", False, "error", MESSAGE, ("total",), "1100000", "1000000")
        samples.finish(store, first, replace(made("7", state="review"), checks=(wrong,)))
        store.ledger.quarantine(second, Failure(Reason.pdf_encrypted, "locked"))
    return vinbatch


@pytest.mark.slow
def test_typed(filled: Command) -> None:
    said = filled("report", "may", "--out", "may.html")
    assert said == "may.html: job may, 2 documents\n"
    page = filled.folder / "may.html"
    assert page.stat().st_mode & 0o777 == 0o600 and "Job may" in page.read_text()

    (filled.folder / "truth.csv").write_text(f"file,number,total\n{Path(NAME).name},8,1100000\n")
    filled("report", "may", "--truth", "truth.csv", "--out", "may.html", "--no-pictures")
    assert "1 documents with truth, 2 fields" in page.read_text()

    todo = filled("todo", "may").splitlines()
    assert todo[0] == "1. 1 documents: pdf_encrypted: save it without its password"
    assert todo[2] == "   next: vinbatch retry --job may --reason pdf_encrypted"
    assert f"   next: vinbatch show --job may -- '{NAME}'" in todo
    groups = json.loads(filled("todo", "may", "--json"))
    assert [one["what"] for one in groups][:2] == ["pdf_encrypted", "total"] and groups[1]["examples"] == [
        NAME
    ]

    assert "no folder nowhere" in filled.fails("report", "may", "--out", "nowhere/may.html")
    assert "no job june" in filled.fails("report", "june", "--out", "june.html")
    assert "no job june" in filled.fails("todo", "june")
    assert "--job is for --named" in filled.fails("query", "SELECT 1", "--job", "may")
    assert "no job june" in filled.fails("query", "--named", "to-review", "--job", "june")


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_table_cuts_a_path_or_a_figure(filled: Command, columns: int) -> None:
    filled.environment["COLUMNS"] = str(columns)
    for arguments in (("--named", "to-review"), ("--named", "wrong-totals", "--job", "may")):
        lines = filled("query", *arguments).splitlines()
        assert sum(NAME in line for line in lines) == 1 and not any("…" in line for line in lines)
        text = " ".join(" ".join(lines).replace("│", " ").split())
        assert all(word in text for word in MESSAGE.split())
    money = "SELECT 1e16 AS large, 0.00001 AS small, 'C26TAA' AS series"
    figures = filled("query", money).splitlines()
    assert any("10000000000000000" in line and "0.00001" in line for line in figures)
    listed = filled("query", "--named", "list")
    assert "spend-by-supplier-and-month" in listed and "…" not in listed
