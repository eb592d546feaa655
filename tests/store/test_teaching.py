"""What a teacher was asked: nothing is paid for twice, and what it may have cost is never told too low."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from pipeline.errors import UsageError
from pipeline.store import teaching
from pipeline.store.teaching import Asked, TaughtPage, Teaching

PAGE = TaughtPage("sha-1", "/in/a.pdf", "doc-a", 1, 2, 1654, 2339, "Hóa đơn", True, "Hoa don")
BARE = TaughtPage("sha-2", "/in/a.pdf", "doc-a", 2, 2, 1654, 2339)
ASK = Asked("key-1", "sha-1", "facts", {"teacher": "big", "temperature": 0}, cost=0.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "asked.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Teaching]:
    with Teaching(path) as opened:
        yield opened


def test_a_file_is_known_by_its_version(ledger: Teaching) -> None:
    ledger.keep_file("/in/a.pdf", "v1", [PAGE, BARE])
    ledger.keep_file("/in/copy.pdf", "v1", [replace(PAGE, uri="/in/copy.pdf", text=None)])
    ledger.keep_file("/in/b.pdf", "v1", [], "it is locked")
    ledger.keep_file("/in/bad.pdf", None, [], "it ends early")
    known = [
        ledger.known_file(*asked)
        for asked in (("/in/a.pdf", "v1"), ("/in/a.pdf", "v2"), ("/in/a.pdf", None), ("/in/bad.pdf", None))
    ]
    assert known == [True, False, False, False] and not ledger.known_file("/in/c.pdf", "v1")
    assert ledger.pages_of("/in/a.pdf") == [PAGE, BARE]
    assert ledger.pages_of("/in/copy.pdf") == []  # the picture stays as it was first found
    assert ledger.page("sha-1") == PAGE and ledger.page("sha-2") == BARE
    assert ledger.problems() == [("/in/b.pdf", "it is locked"), ("/in/bad.pdf", "it ends early")]
    ledger.keep_file("/in/b.pdf", "v2", [])
    assert ledger.problems() == [("/in/bad.pdf", "it ends early")] and ledger.known_file("/in/b.pdf", "v2")


def test_what_was_answered_or_refused_is_not_asked_again(ledger: Teaching) -> None:
    ledger.keep_file("/in/a.pdf", "v1", [PAGE, BARE])
    assert not ledger.ended("key-1")
    ledger.begin(ASK)
    assert not ledger.ended("key-1") and list(ledger.answers()) == []
    answer = replace(
        ASK, state="answered", cost=0.2, text="{}", finish="stop", version="big-1", tokens_in=9, tokens_out=3
    )
    ledger.end(answer, 0.5)
    refused = replace(ASK, key="key-2", image="sha-2", state="refused", cost=0.0, problem="no such picture")
    ledger.begin(replace(refused, state="asked"))
    ledger.end(refused, 0.0)
    assert ledger.ended("key-1") and ledger.ended("key-2")
    [(page, found)] = ledger.answers()
    assert page == PAGE and replace(found, at="") == answer
    assert found.at.endswith("+00:00") and ledger.counts() == {"answered": 1, "refused": 1}


def test_what_may_have_been_spent(ledger: Teaching) -> None:
    assert ledger.spent() == 0.0
    ledger.begin(ASK)
    assert ledger.spent() == 0.5, "the most, while it is asked"
    ledger.begin(ASK)  # the process died: what the first try may have cost stays
    assert ledger.spent() == 1.0
    ledger.end(replace(ASK, state="answered", cost=0.125), 0.5)
    assert ledger.spent() == 0.625
    other = replace(ASK, key="key-2")
    ledger.begin(other)
    ledger.give_up("key-2", 0.5, 0.25)
    assert ledger.spent() == 0.625 + 0.25 and not ledger.ended("key-2")
    ledger.begin(other)
    ledger.give_up("key-2", 0.5, 0.0)
    assert ledger.spent() == 0.625 + 0.25, "what the earlier try cost stays"
    ledger.end(replace(ASK, cost=0.0), 9.0)
    assert ledger.spent() == 0.25, "never less than nothing"


def test_answers_come_in_the_order_in_which_they_were_asked(
    ledger: Teaching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teaching, "_BATCH", 2)
    ledger.keep_file("/in/a.pdf", "v1", [PAGE, BARE])
    keys = ["e", "d", "c", "b", "a"]
    for key in keys:
        ledger.begin(replace(ASK, key=key))
    for key in reversed(keys):
        ledger.end(replace(ASK, key=key, state="refused" if key == "c" else "answered"), 0.5)
    assert [ask.key for _, ask in ledger.answers()] == ["e", "d", "b", "a"]


def test_a_ledger_is_for_its_owner_and_of_this_version(ledger: Teaching, path: Path) -> None:
    ledger.begin(ASK)
    assert path.stat().st_mode & 0o777 == 0o600
    with ledger._engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "user_version")
        ]
    assert settings == ["wal", 2, 30000, teaching.FORM]
    with Teaching(path) as again:
        assert again.counts() == {"asked": 1}
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 2")
    engine.dispose()
    with pytest.raises(UsageError, match=r"is of another version of vinbatch \(2\)"):
        Teaching(path)
    (path.parent / "no.db").write_bytes(b"no database" * 100)
    with pytest.raises(UsageError, match="is no ledger of answers: file is not a database"):
        Teaching(path.parent / "no.db")


TABLES = {
    "files": "uri VARCHAR NOT NULL, etag VARCHAR, problem VARCHAR, PRIMARY KEY (uri)",
    "pages": "number INTEGER NOT NULL, image VARCHAR NOT NULL, uri VARCHAR NOT NULL,"
    " document VARCHAR NOT NULL, page INTEGER NOT NULL, of INTEGER NOT NULL, width INTEGER NOT NULL,"
    " height INTEGER NOT NULL, text TEXT, exact BOOLEAN NOT NULL, reader TEXT, PRIMARY KEY (number),"
    " UNIQUE (image)",
    "asks": "number INTEGER NOT NULL, key VARCHAR NOT NULL, image VARCHAR NOT NULL, prompt VARCHAR NOT NULL,"
    " asked JSON NOT NULL, state VARCHAR NOT NULL, cost FLOAT NOT NULL, text TEXT, finish VARCHAR,"
    " version VARCHAR, tokens_in INTEGER, tokens_out INTEGER, problem VARCHAR, at VARCHAR NOT NULL,"
    " PRIMARY KEY (number), UNIQUE (key)",
}


def test_the_tables_are_those_of_their_form(ledger: Teaching) -> None:
    """Who changes them gives them another `FORM`: ledgers lie beside data sets for years."""
    with ledger._engine.connect() as connection:
        made = dict(
            connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
        )
        index = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        assert connection.exec_driver_sql(index).scalars().all() == [
            "CREATE INDEX ix_pages_uri ON pages (uri)"
        ]
    plain = {name: " ".join(sql.replace('"', "").split()) for name, sql in made.items()}
    assert teaching.FORM == 1
    assert plain == {name: f"CREATE TABLE {name} ( {columns} )" for name, columns in TABLES.items()}
