"""A store of an earlier Vinbatch, with what was read into it, goes on as today's."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select

from pipeline import store as stores
from pipeline.errors import Reason
from pipeline.records import Failure
from pipeline.store.database import Database
from pipeline.store.tables import REVISION, metadata
from tests.store import samples
from tests.store.samples import finish, refs

CONFIG = Config()
CONFIG.set_main_option("script_location", "pipeline.store:migrations")
OLDER = [
    script.revision
    for script in ScriptDirectory.from_config(CONFIG).walk_revisions()
    if script.revision != REVISION
]
ASKED = "SELECT document_uri, number, seller_name, total FROM invoice_v1 ORDER BY document_uri"


def _with_rows(path: Path) -> str:
    """A document that was read, one that failed, one that waits."""
    url = f"sqlite:///{path}"
    with stores.open(url) as store:
        job = samples.job(store, "june")
        store.ledger.add(job, refs("a", "b", "c"))
        read, failed = store.ledger.claim(job, "w", 2, 60)
        finish(store, read)
        store.ledger.quarantine(failed, Failure(Reason.pdf_damaged, "it ends within its header"))
    return url


def _as_it_was(now: str, then: str, revision: str) -> None:
    """The same rows in tables of that revision, less what these did not have."""
    with closing(Database(now)) as new, closing(Database(then)) as old:
        if old.is_sqlite:
            old.path.touch()
        with new.read() as rows, old.writer.begin() as connection:
            CONFIG.attributes["connection"] = connection
            command.upgrade(CONFIG, revision)
            there = inspect(connection)
            for table in metadata.sorted_tables:
                if not there.has_table(table.name):
                    continue
                columns = {column["name"] for column in there.get_columns(table.name)}
                chosen = [column for column in table.c if column.name in columns]
                for row in rows.execute(select(*chosen)).mappings():
                    connection.execute(insert(table).values({column: row[column] for column in chosen}))


def _asked(url: str) -> list[tuple[object, ...]]:
    with stores.open(url) as store, store.query(ASKED) as rows:
        return [tuple(map(str, row)) for row in rows]


@pytest.mark.medium
@pytest.mark.parametrize("revision", OLDER)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_an_older_version_read_is_there_after_the_upgrade(
    kind: str, revision: str, tmp_path: Path, postgres_url: str
) -> None:
    now = _with_rows(tmp_path / "now.db")
    then = postgres_url if kind == "postgresql" else f"sqlite:///{tmp_path / 'then.db'}"
    _as_it_was(now, then, revision)
    with stores.open(then) as store:
        job = store.jobs.find("june")
        assert store.books.verify(job).done + store.books.verify(job).review == 1
        assert [group.reason for group in store.failures.groups(job)] == ["pdf_damaged"]
        [lease] = store.ledger.claim(job, "w", 9, 60)
        finish(store, lease)
    assert _asked(then)[0] == _asked(now)[0]
    assert len(_asked(then)) == 2
