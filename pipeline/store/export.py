"""A job's results as files: csv, jsonl, parquet or xlsx."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import column, select, table

from pipeline.errors import UsageError
from pipeline.printable import as_json
from pipeline.private import whole_file
from pipeline.store import formats
from pipeline.store.books import Books
from pipeline.store.database import Database
from pipeline.store.entities import Job, View
from pipeline.store.failures import Failures
from pipeline.store.jobs import Jobs
from pipeline.store.query import Rows
from pipeline.store.results import Results
from pipeline.store.values import typed

FORMATS = ("csv", "jsonl", "parquet", "xlsx")
_FIXED = ("document_uri", "job", "state")


@dataclass(frozen=True, slots=True)
class Exported:
    """The files written, each with its number of rows; `left_out` documents are quarantined or unfinished."""

    files: tuple[tuple[Path, int], ...]
    left_out: int


def export(db: Database, job: Job, format: str, out: Path, *, raw: bool = False) -> Exported:
    """Writes a job's results to files: csv, jsonl, parquet or xlsx.

    csv and parquet hold one view: OUT the documents, OUT_lines beside it the lines. A file appears
    whole or not at all, readable by its owner alone. In csv, cells that a spreadsheet would compute get
    an apostrophe unless `raw`. Raises UsageError for a format or a folder that is not there.
    """
    if format not in FORMATS:
        raise UsageError(f"no format {format!r}; there are {', '.join(FORMATS)}")
    if not out.parent.is_dir():
        raise UsageError(f"cannot write {out}: there is no folder {out.parent}")
    if format == "jsonl":
        files = [(out, _jsonl(db, job, out))]
    elif format == "xlsx":
        files = [(out, _xlsx(db, job, out))]
    else:
        files = []
        for view in job.views:
            path = out.with_name(f"{out.stem}{view.name.removeprefix(job.views[0].name)}{out.suffix}")
            with _view(db, job, view) as rows, whole_file(path) as file:
                files.append((path, formats.write(rows, format, file, raw=raw)))
    counts = Books(db).counts(job)
    return Exported(tuple(files), counts["quarantined"] + counts["pending"] + counts["leased"])


@contextmanager
def _view(db: Database, job: Job, view: View) -> Iterator[Rows]:
    """The job's rows of one view, typed, in the order of the documents' URIs."""
    fixed = _FIXED if view.list_path is None else (*_FIXED, "line")
    kinds = {**dict.fromkeys(fixed, "text"), **{item.name: item.kind for item in view.columns}}
    names = tuple(kinds)
    source = table(view.name, *map(column, names))
    order = [source.c[name] for name in ("document_uri", "line") if name in fixed]
    query = select(source).where(source.c.job == job.name).order_by(*order).execution_options(yield_per=1000)
    with db.snapshot() as connection, closing(connection.execute(query)) as found:
        yield Rows(names, (tuple(map(typed, row, kinds.values())) for row in found), kinds)


def _jsonl(db: Database, job: Job, out: Path) -> int:
    """One line a document: its record as nested as its schema, or the reason why there is none."""
    number = 0
    names = list(
        dict.fromkeys(
            view.list_path[0] if view.list_path else item.path[0]
            for view in job.views
            for item in view.columns
        )
    )
    with whole_file(out) as file:
        for found in Results(db, Jobs(db)).extractions(job):
            record = {name: found.extraction.record.get(name) for name in names}
            _line(file, found.uri, job, found.extraction.state, None, record)
            number += 1
        for failure in Failures(db).each(job):
            if failure.failure.page is None:
                _line(file, failure.uri, job, "quarantined", str(failure.failure.reason), None)
                number += 1
    return number


def _line(file: IO[bytes], uri: str, job: Job, state: str, reason: str | None, record: Any) -> None:
    item = {"document_uri": uri, "job": job.name, "state": state, "reason": reason, "record": record}
    file.write(as_json(item).encode() + b"\n")


def _xlsx(db: Database, job: Job, out: Path) -> int:
    """A sheet a view. Returns the number of documents."""
    from pipeline.store import xlsx

    book = xlsx.Book()
    written = []
    for view in job.views:
        with _view(db, job, view) as rows:
            written.append(book.add(view.name, rows))
    with whole_file(out) as file:
        book.save(file)
    return written[0]
