"""What a command leaves with, where neither typing nor a missing thing decides it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import store as stores
from pipeline.errors import Reason
from pipeline.records import DocumentRef, Failure
from tests.e2e.conftest import VINBATCH, Command, write_slips
from tests.store import samples
from workers.cli import main


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with one finished document, whose books do not balance."""
    url = f"sqlite:///{tmp_path}/rows.db"
    with stores.open(url) as store:
        job = samples.job(store)
        store.ledger.add(job, samples.refs("a", "b"))
        [lease] = store.ledger.claim(job, "w", 1, 60)
        samples.finish(store, lease)
        with store._db.write() as connection:
            connection.exec_driver_sql("UPDATE jobs SET submitted = 9")
    return url


@pytest.mark.slow
def test_books_that_do_not_balance_are_3_until_they_are_repaired(vinbatch: Command, url: str) -> None:
    of_it = ("status", "--job", "june", "--store", url)
    assert "9 documents were submitted, 2 are there" in vinbatch.fails(*of_it, "--verify", code=3)
    process = vinbatch.start(*of_it, "--repair", "--verify", "--json")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and '"submitted": 2' in out
    assert "job june: 2 documents are there, and 9 were on the books: now 2" in err
    vinbatch(*of_it, "--verify")


@pytest.mark.medium
def test_a_plan_that_could_not_look_is_3(vinbatch: Command) -> None:
    write_slips(vinbatch.folder / "in", pictures=1)
    vinbatch.environment.update({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    told = vinbatch("plan", "in", "s3://nowhere/in", "--s3-endpoint", "http://127.0.0.1:1", code=3)
    assert "documents  2" in told and "pages      1" in told  # the rest is looked at all the same
    assert "skipped    1: store_unreachable 1" in told and "s3://nowhere/in" in told


def test_a_command_that_is_interrupted_is_130(
    url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_url: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workers.cli.options.opened", interrupted)
    monkeypatch.setattr(sys, "argv", ["vinbatch", "status", "--store", url])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130 and "Traceback" not in capfd.readouterr().err


@pytest.mark.medium
def test_a_reader_that_has_gone_away_is_130(url: str) -> None:
    """As with `vinbatch query … | head -1`."""
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i FROM n"
    )
    query = [str(VINBATCH), "query", numbers, "--store", url, "--format", "csv"]
    with subprocess.Popen(query, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "i\n"
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 130 and "Traceback" not in err, err


PURGE = ("purge", "--store", "rows.db")


@pytest.mark.slow
def test_what_is_purged_is_named_as_run_was_given_it_and_agreed_to(vinbatch: Command) -> None:
    """A relative path, a bare path for the store; nobody to ask; nothing that matches."""
    with stores.open(f"sqlite:///{vinbatch.folder}/rows.db") as store:
        for name in ("june", "july"):
            job = samples.job(store, name)
            store.ledger.add(job, [DocumentRef(f"{vinbatch.folder}/in/{one}.pdf") for one in "abc"])
            for lease in store.ledger.claim(job, "w", 3, 60):
                store.ledger.quarantine(lease, Failure(Reason.pdf_damaged, "bad"))
        assert "so say --yes" in vinbatch.fails(*PURGE, "--document", "in/a.pdf")
        assert "nothing was removed" in vinbatch.fails(*PURGE, "--document", "a.pdf", "--yes")
        assert "would remove 2 documents" in vinbatch(*PURGE, "--document", "in/a.pdf", "--dry-run")
        assert "removed 1 documents" in vinbatch(*PURGE, "--document", "in/a.pdf", "--job", "june", "--yes")
        assert "removed 3 documents" in vinbatch(*PURGE, "--job", "july", "--yes")
        retry = ("retry", "--store", "rows.db", "--job", "june", "--document")
        assert f"job june has no document {vinbatch.folder}/b.pdf" in vinbatch.fails(*retry, "b.pdf")
        assert "1 documents of job june are pending again" in vinbatch(*retry, "in/b.pdf")
        assert store.books.verify(store.jobs.find("june")).submitted == 2


@pytest.mark.slow
def test_a_purge_asks_where_somebody_can_answer(url: str) -> None:
    for answer, code, said in ((b"\n", 2, b""), (b"y\n", 0, b"removed 1 documents")):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        command = [str(VINBATCH), "purge", "--document", "/in/a", "--store", url]
        done = subprocess.run(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, check=False)
        shown = os.read(ours, 65536)
        os.close(ours), os.close(theirs)
        assert (
            done.returncode == code
            and b"this would remove 1 documents" in done.stdout
            and said in done.stdout
        )
        assert b"remove them for good? [y/N]" in shown and (b"nothing was removed" in shown) == (code == 2)
