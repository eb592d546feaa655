"""A session as the store has it: its settings, its clock, its words, what it may see and tell."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from pipeline import store as stores
from pipeline.errors import VinbatchError
from pipeline.store import Store
from pipeline.store.database import Database
from pipeline.store.tables import documents, moment
from tests.store import samples
from tests.store.samples import refs


def test_what_a_session_is_set_to(store: Store) -> None:
    if store.one_machine:
        pragmas = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys", "secure_delete")
        with store._db.read() as connection:
            set_to = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in pragmas]
        assert set_to == ["wal", 1, 30000, 1, 1]
        return
    names = ("synchronous_commit", "timezone", "lock_timeout", "idle_in_transaction_session_timeout")
    with store._db.read() as connection:
        set_to = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
        raw = connection.connection.driver_connection
        assert raw is not None
        given = raw.info.get_parameters()
    assert set_to == ["off", "UTC", "1min", "1min"]
    waits = ("connect_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count")
    assert [given[name] for name in waits] == ["10", "30", "10", "3"]
    assert given["tcp_user_timeout"] == "30000"
    assert given["application_name"] == "vinbatch"


def test_what_must_be_on_the_disk_is_waited_for_and_nothing_else(store: Store) -> None:
    asked, usual, durable = (
        ("PRAGMA synchronous", 1, 2) if store.one_machine else ("SHOW synchronous_commit", "off", "on")
    )
    for wait in (True, False, True):
        with store._db.write(durable=wait) as connection:
            assert connection.exec_driver_sql(asked).scalar_one() == (durable if wait else usual)
    with store._db.read() as connection:
        assert connection.exec_driver_sql(asked).scalar_one() == usual


def test_a_snapshot_sees_one_moment_and_changes_nothing(store: Store) -> None:
    job = samples.job(store)
    count = "SELECT count(*) FROM documents"
    with store._db.snapshot() as connection:
        assert connection.exec_driver_sql(count).scalar_one() == 0
        store.ledger.add(job, refs("a"))
        assert connection.exec_driver_sql(count).scalar_one() == 0
    if not store.one_machine:
        with pytest.raises(VinbatchError, match="may only be read"), store._db.snapshot() as connection:
            connection.exec_driver_sql("DELETE FROM documents")
    with store._db.read() as connection:
        assert connection.exec_driver_sql(count).scalar_one() == 1


def test_a_single_statement_is_kept_and_a_broken_one_leaves_nothing(store: Store) -> None:
    job = samples.job(store)
    with store._db.single() as connection:
        store._db.sql(connection, "UPDATE jobs SET submitted = 7 WHERE id = :job", job=job.id)
    with store._db.read() as connection:
        assert connection.exec_driver_sql("SELECT submitted FROM jobs").scalar_one() == 7


def test_times_are_reckoned_in_seconds_by_the_databases_clock(url: str) -> None:
    """Its own on PostgreSQL, however wrong a worker's may be."""
    with stores.open(url) as store, store._db.read() as connection:
        if store.one_machine:
            [[end, now]] = store._db.sql(connection, "SELECT @end, @now", end=90)
            assert (moment(end) - moment(now)).total_seconds() == 90
        else:
            [[apart]] = store._db.sql(connection, "SELECT @end - @now", end=90)
            assert 89 < apart.total_seconds() < 91
        later, now = connection.execute(select(store._db.later(90.0), store._db.now())).one()
        assert 89 < (later - now).total_seconds() < 91
        ago = connection.execute(select(store._db.later(-90.0))).scalar_one()
        assert 89 < (now - ago).total_seconds() < 91
        assert abs((store._db.read_clock() - now).total_seconds()) < 60


ROWS = """
SELECT a FROM json_to_recordset(CAST(:rows AS json)) AS given(a bigint, b text)
WHERE a > :least AND ready_at <= @end FOR UPDATE SKIP LOCKED"""


def test_a_statement_is_put_in_the_words_of_each_database() -> None:
    with closing(Database("/in/a.db")) as sqlite, closing(Database("postgresql://h/db")) as postgres:
        assert sqlite.words(ROWS) == (
            "\nSELECT a FROM (SELECT json_extract(value, '$.a') AS a, json_extract(value, '$.b') AS b"
            " FROM json_each(:rows)) AS given\nWHERE a > :least AND ready_at <= :end"
        )
        assert postgres.words(ROWS) == ROWS.replace(":rows", "%(rows)s").replace(
            ":least", "%(least)s"
        ).replace("@end", "(clock_timestamp() + make_interval(secs => %(end)s))")
        assert (sqlite.is_sqlite, postgres.is_sqlite) == (True, False)
        assert (sqlite.quote("a b"), postgres.quote('a"b')) == ('"a b"', '"a""b"')


def test_no_value_is_in_what_sqlalchemy_says(store: Store) -> None:
    with pytest.raises(DBAPIError) as caught, store._db.engine.begin() as connection:
        connection.execute(text("UPDATE no_such_table SET a = :value"), {"value": "secret-7"})
    assert "secret" not in str(caught.value)


def test_rows_that_are_locked_come_in_the_order_of_their_ids(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*"abcde"))
    with store._db.write() as connection:
        connection.exec_driver_sql("UPDATE documents SET size = 11 WHERE uri = '/in/a'")
        newest_first = select(documents.c.id).where(documents.c.uri != "/in/c")
        ids = store._db.locked(connection, newest_first, documents.c.id)
    assert len(ids) == 4 and ids == sorted(ids)
