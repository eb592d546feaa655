"""The store: one object with all that the rest of Vinbatch asks of the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import Unbalanced
from pipeline.records import DocumentRef, Extraction, Failure, PageResult
from pipeline.store import (
    books,
    changes,
    export,
    jobs,
    ledger,
    listing,
    migrate,
    purging,
    query,
    results,
    writing,
)
from pipeline.store.database import Clock, Database
from pipeline.store.records import (
    Added,
    Balance,
    Change,
    DocumentRow,
    FailedItem,
    FailureGroup,
    Job,
    Lease,
    Purged,
    Repair,
    State,
    StoredExtraction,
)
from schemas.registry import SchemaSpec


def open(url: str, *, create: bool = True, proven: bool = False, clock: Clock | None = None) -> Store:
    """The store at a URL: sqlite:///FILE.db or postgresql://USER:PASSWORD@HOST/DATABASE.

    Makes the tables or brings older ones up to date; with create=False a store that is not there is an
    error. `clock` replaces the database's clock in tests. Raises UsageError, in one line and without the
    password, for a URL that cannot be used, a server that does not answer, or tables of a newer Vinbatch;
    Transient for a database that is busy. `proven` says that somebody has opened this very store before, a
    lane's driver for one: then a server that does not answer is Transient too, and worth waiting for.
    """
    database = Database(url, clock)
    try:
        migrate.up(database, create=create, proven=proven)
    except BaseException:
        database.close()
        raise
    return Store(database)


class Store:
    """Safe to share between threads; sent to another process it opens the same URL anew."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._db.url.render_as_string(hide_password=False),)

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @property
    def url(self) -> str:
        """For people: without the password."""
        return self._db.shown

    @property
    def one_machine(self) -> bool:
        """True for SQLite, whose file must not be shared between machines."""
        return self._db.is_sqlite

    # jobs

    def ensure_job(
        self,
        name: str,
        spec: SchemaSpec,
        *,
        sources: Sequence[str],
        settings: Mapping[str, Any],
        model: str,
        checkpoint: str,
    ) -> Job:
        """The job of that name, made now or resumed. Makes the typed views of its schema.

        `settings` is JSON-ready and holds whatever, besides schema and checkpoint, can change a result.
        Raises UsageError naming the difference when the name belongs to a job with another schema,
        checkpoint or settings. Further sources are added to the job's list.
        """
        return jobs.ensure(self._db, name, spec, sources, settings, model, checkpoint)

    def find_job(self, name: str) -> Job:
        """The job of that name; UsageError names those that exist."""
        return jobs.find(self._db, name)

    def jobs(self) -> list[Job]:
        """All jobs, the newest first."""
        return jobs.every(self._db)

    # the ledger

    def add_documents(self, job: Job, refs: Iterable[DocumentRef], batch: int = 1000) -> Added:
        """Adds the documents of a listing, a batch a transaction, in bounded memory. Known ones stay as they
        are.

        A ref with a failure becomes a quarantined row at once.
        """
        return listing.add(self._db, job, refs, batch)

    def claim(
        self,
        job: Job,
        worker: str,
        limit: int,
        lease_seconds: float,
        *,
        max_losses: int = 5,
        suspects: bool = True,
    ) -> list[Lease]:
        """Up to `limit` documents to work on; none when nothing is due now (see `next_due`).

        First takes back what vanished workers held: those documents become suspects or, after
        `max_losses` vanished workers, are quarantined as worker_lost. With `suspects` a suspect that is
        due comes first and comes alone, so that one deadly document takes no neighbours with it; a lane
        that still holds other documents asks with suspects=False.
        """
        return ledger.claim(self._db, job, worker, limit, lease_seconds, max_losses, suspects)

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        """Lengthens leases from now; returns those that are lost, whose work is to be dropped."""
        return ledger.renew(self._db, leases, lease_seconds)

    def release(
        self, lease: Lease, failure: Failure | None = None, *, delay: float = 0.0, attempts: int = 3
    ) -> State:
        """Gives a document back, to be tried again after `delay` seconds; returns the state it is in now.

        Without a failure (a lane that stops) the try is not counted. With one, the document is
        quarantined for that reason once it has been tried `attempts` times; after worker_lost or
        out_of_memory it is a suspect. Raises LeaseLost.
        """
        return ledger.release(self._db, lease, failure, delay, attempts)

    def quarantine(self, lease: Lease, failure: Failure, *, sha256: str | None = None) -> State:
        """Ends a document with a reason; returns the state it is in now. Its saved pages stay.

        Raises LeaseLost.
        """
        return ledger.quarantine(self._db, lease, failure, sha256)

    def next_due(self, job: Job) -> float | None:
        """Seconds until something unfinished may be claimable: 0.0 for now, None when all documents are
        finished.
        """
        return ledger.next_due(self._db, job)

    # results

    def save_page(self, lease: Lease, page: PageResult) -> None:
        """Keeps a page as soon as it is read, so that no crash makes it be read again. Raises LeaseLost."""
        writing.page(self._db, lease, page)

    def known_pages(self, keys: Iterable[str]) -> dict[str, PageResult]:
        """Pages already read under these keys, by any job and under any document's name. Failed ones are
        left out.

        `page` in the result is the number it had there; the caller sets its own.
        """
        return results.known_pages(self._db, keys)

    def commit(
        self,
        lease: Lease,
        extraction: Extraction,
        pages: Sequence[PageResult],
        *,
        sha256: str,
        etag: str | None = None,
    ) -> State:
        """Ends a document with its result: state, extraction, fields, checks and pages in one transaction.

        Returns the state that the document is in now.

        Raises LeaseLost, and leaves nothing, when the document is no longer this lease's. The same commit
        again is no error and changes nothing. Raises Permanent(schema_mismatch) when a value is not of
        its field's type.
        """
        return writing.document(self._db, lease, extraction, pages, sha256, etag)

    def documents(self, job: Job) -> Iterator[DocumentRow]:
        """All documents of a job in the order they were added, streamed."""
        return results.documents_of(self._db, job)

    def extractions(self, job: Job) -> Iterator[StoredExtraction]:
        """All results of a job in the order its documents were added, streamed."""
        return results.extractions_of(self._db, job)

    def page_results(self, job: Job, uri: str) -> list[PageResult]:
        """The pages of one document in order, with what the model wrote."""
        return results.page_results(self._db, job, uri)

    # the books

    def counts(self, job: Job) -> dict[str, int]:
        """How many documents are in each state; every state is a key."""
        return books.counts(self._db, job)

    def balance(self, job: Job) -> Balance:
        """Counts the books and looks for differences."""
        return books.balance(self._db, job)

    def verify(self, job: Job) -> Balance:
        """The balance of what is safe on the disk. Raises Unbalanced, naming documents, if it is off."""
        books.settle(self._db, job)
        found = self.balance(job)
        if not found.balanced:
            named = "; ".join(d.message for d in found.differences[:10])
            raise Unbalanced(f"job {job.name}: {found.difference_count} differences in the ledger: {named}")
        return found

    def repair(self, job: Job) -> list[Repair]:
        """Puts right what can be worked out from what is there, and says what it did; nothing is made up.

        Documents whose result is not whole are pending again, results that belong to no finished document
        go, and the documents are counted anew. Lanes may work meanwhile.
        """
        return books.repair(self._db, job)

    def failures(self, job: Job) -> list[FailureGroup]:
        """Failures by reason, the most frequent first."""
        return books.failures(self._db, job)

    def failed(self, job: Job, reason: str | None = None) -> Iterator[FailedItem]:
        """Each quarantined document and each failed page of a partial one, streamed."""
        return books.failed(self._db, job, reason)

    def retry(self, job: Job, *, reason: str | None = None, document: str | None = None) -> int:
        """Puts quarantined and partial documents back to pending, with fresh attempts; returns how many.

        Their good pages are kept. Exactly one of `reason` and `document` is given. Raises UsageError when the
        document is unknown, finished or being worked on.
        """
        return books.retry(self._db, job, reason, document)

    def diff(self, before: Job, after: Job) -> Iterator[Change]:
        """What differs between two jobs, by document URI and field path in byte order, streamed."""
        return changes.diff(self._db, before, after)

    def purge(
        self,
        *,
        document: str | None = None,
        older_than: timedelta | None = None,
        subject: str | None = None,
        dry_run: bool = False,
    ) -> Purged:
        """Removes documents with their pages, cached results, extractions, fields and checks, in all jobs.

        Exactly one of: `document`, a URI; `older_than`, finished that long ago; `subject`, a value such as a
        person's number or name, looked for in fields, in what the model wrote, in codes and in file names, as
        a whole word and without regard to case. With dry_run nothing is removed. A document that somebody
        works on is removed too: that worker's lease is lost.
        """
        return purging.purge(self._db, document, older_than, subject, dry_run)

    # reading

    def query(self, sql: str, *, seconds: float = 300.0) -> AbstractContextManager[query.Rows]:
        """Runs one SELECT that cannot write, by the database's own means.

        Its rows are read to the end before the first is handed out, so a reader that pauses holds up nobody.
        Raises UsageError with the database's complaint in one line, or when they take more than `seconds`.
        """
        return query.run(self._db, sql, seconds)

    def export(self, job: Job, format: str, out: Path, *, raw: bool = False) -> export.Exported:
        """Writes a job's results to files: csv, jsonl, parquet or xlsx.

        csv and parquet hold one view: OUT the documents, OUT_lines beside it the lines. A file appears
        whole or not at all, readable by its owner alone. In csv, cells that a spreadsheet would compute get
        an apostrophe unless `raw`. Raises UsageError for a format or a folder that is not there.
        """
        return export.job(self._db, job, format, out, raw=raw)

    def now(self) -> datetime:
        """The clock that leases go by."""
        return self._db.read_clock()


def _reopen(url: str) -> Store:
    return open(url, create=False, proven=True)
