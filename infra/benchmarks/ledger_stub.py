"""What the ledger's benchmarks share: a job of made-up names, and results that no engine has read."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from pipeline import store as stores
from pipeline.errors import Transient
from pipeline.records import Check, DocumentRef, Extraction, Field, PageRecord, PageResult
from pipeline.store import Store
from schemas.registry import resolve


def extraction(number: int) -> Extraction:
    record = {
        "number": str(number),
        "issue_date": "2026-05-01",
        "seller_name": "Công ty Trách nhiệm hữu hạn Mẫu",
        "total": "1100000",
        "lines": [{"no": 1, "name": "Bút bi", "quantity": "2", "unit_price": "500000", "amount": "1000000"}],
    }
    box = (0.1, 0.2, 0.3, 0.4)
    fields = tuple(
        Field(f"field_{i}", "Công ty Mẫu, phố Mẫu", "Công ty Mẫu, phố Mẫu", 0.97, "read", 1, box)
        for i in range(25)
    )
    checks = tuple(Check(f"check_{i}", True, "info", "the figures agree", ("total",)) for i in range(12))
    return Extraction("done", record, fields, checks, 1)


def page(key: str, result: Extraction) -> PageResult:
    text = json.dumps(result.record, ensure_ascii=False)
    return PageResult(1, key, PageRecord(1, result.fields), None, "pdfium", 1654, 2339, 7, 1900, 250, text)


def new_job(url: str, documents: int) -> tuple[Store, stores.Job, float]:
    """An opened store with a job; also the documents added per second."""
    store = stores.open(url)
    job = store.jobs.ensure(
        "bench", resolve("invoice"), sources=[], settings={}, model="stub", checkpoint="0"
    )
    start = time.perf_counter()
    store.ledger.add(job, (DocumentRef(f"s3://bench/{n:08}.pdf", 10, "e") for n in range(documents)))
    return store, job, documents / (time.perf_counter() - start)


def finish_most(url: str, store: Store, left: int) -> None:
    """End pending documents until `left` are left, with copies of the rows of one that has been read."""
    with store.query("SELECT min(document_id) FROM extractions") as rows:
        [[one]] = rows
    with store.query(
        f"SELECT id FROM documents WHERE state = 'pending' ORDER BY id DESC LIMIT {left}"
    ) as rows:
        first = min(document for (document,) in rows)
    with closing(_connect(url)) as connection:
        for statement in _FINISH:
            connection.execute(statement.format(one=one, first=first))
        connection.commit()
    if not store.one_machine:
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute("VACUUM ANALYZE")  # as autovacuum would have done on the way


_FINISH = (
    """UPDATE documents SET state = 'done', attempts = 1, pages = 1, sha256 = 'x', worker = 'bench',
    lease_token = 'copied', finished_at = added_at WHERE state = 'pending' AND id < {first}""",
    """INSERT INTO pages (document_id, page, key, record, attempts, read_at)
    SELECT d.id, 1, d.uri, o.record, 1, o.read_at FROM documents d, pages o
    WHERE o.document_id = {one} AND d.lease_token = 'copied'""",
    """INSERT INTO extractions (document_id, record, committed_at)
    SELECT d.id, o.record, o.committed_at FROM documents d, extractions o
    WHERE o.document_id = {one} AND d.lease_token = 'copied'""",
    """INSERT INTO fields (document_id, number, path, raw, value, type, confidence, source, page, box)
    SELECT d.id, number, path, raw, value, type, confidence, source, page, box FROM documents d, fields o
    WHERE o.document_id = {one} AND d.lease_token = 'copied'""",
    """INSERT INTO checks (document_id, number, code, passed, severity, message, fields)
    SELECT d.id, number, code, passed, o.severity, o.message, fields FROM documents d, checks o
    WHERE o.document_id = {one} AND d.lease_token = 'copied'""",
)


def _connect(url: str) -> Any:
    if url.startswith("sqlite:///"):
        return sqlite3.connect(url.removeprefix("sqlite:///"))
    connection = psycopg.connect(url)
    connection.execute("SET session_replication_role = replica")  # no look at each foreign key
    return connection


def patiently(call: Callable[[], Any]) -> Any:
    while True:
        try:
            return call()
        except Transient:
            time.sleep(0.05)
