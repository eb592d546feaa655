"""Transactions: kept as a whole or not at all, and in SQLite with a writer's turn from their beginning."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline import store as stores
from pipeline.store import Store
from tests.store import samples
from tests.store.samples import refs


def test_what_breaks_off_leaves_nothing(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    with pytest.raises(RuntimeError, match="the power went"), store._db.write() as connection:
        connection.exec_driver_sql("UPDATE jobs SET submitted = 7")
        raise RuntimeError("the power went")
    assert store.books.verify(job).submitted == 1


def test_a_writer_of_sqlite_has_its_turn_before_it_reads(tmp_path: Path) -> None:
    """One that reads first and writes later would fail where another one wrote in between."""
    path = tmp_path / "a.db"
    with (
        stores.open(f"sqlite:///{path}") as store,
        closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other,
    ):
        with store._db.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        with store._db.read() as reading:
            reading.exec_driver_sql("SELECT count(*) FROM documents").scalar_one()
            other.execute("BEGIN IMMEDIATE")
            other.execute("COMMIT")
