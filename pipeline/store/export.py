"""A job's results as files or objects: csv, jsonl, parquet or xlsx, one each or in partitions by job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from sqlalchemy import column, select, table

from pipeline.errors import UsageError
from pipeline.outputs import whole
from pipeline.printable import as_json
from pipeline.settings import SourceSettings
from pipeline.store import formats, views
from pipeline.store.books import Books
from pipeline.store.database import Database
from pipeline.store.entities import Job, StoredExtraction, View
from pipeline.store.failures import Failures
from pipeline.store.jobs import Jobs
from pipeline.store.query import Rows
from pipeline.store.results import Results
from pipeline.store.values import typed

FORMATS = ("csv", "jsonl", "parquet", "xlsx")
_FIXED = ("document_uri", "job", "state")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, each with its number of rows; `left_out` documents are quarantined or unfinished."""

    files: tuple[tuple[str, int], ...]
    left_out: int


def export(
    db: Database,
    job: Job,
    out: str | Path,
    format: str | None = None,
    *,
    raw: bool = False,
    settings: SourceSettings | None = None,
) -> Exported:
    """Writes a job's results: csv, jsonl, parquet or xlsx, by the ending of `out` unless `format` says so.

    `out` is a path or s3://BUCKET/KEY; `settings` tell which S3. csv and parquet hold one view: OUT the
    documents, OUT_lines beside it the lines. Where `out` is a folder, or ends in "/", each view is a dataset
    in it (parquet, where no format is given), whose partitions are jobs: OUT/VIEW/job=NAME/part-0.parquet.
    A file appears whole or not at all, readable by its owner alone. In csv, cells that a spreadsheet would
    compute get an apostrophe unless `raw`. Raises UsageError for a format or a folder that is not there, and
    Permanent or Transient of S3.
    """
    target = _Target(job, str(out), format)
    settings = settings or SourceSettings()
    exported = job.views if target.format in ("csv", "parquet") else job.views[:1]
    files = []
    for view in exported:
        name = target.of(view)
        if target.parts and not name.startswith("s3://"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
        with whole(name, settings) as file:
            if target.format == "jsonl":
                number = _jsonl(db, job, file)
            elif target.format == "xlsx":
                number = _xlsx(db, job, file)
            else:
                with _view(db, job, view, named=not target.parts) as rows:
                    number = formats.write(rows, target.format, file, raw=raw)
        files.append((name, number))
    counts = Books(db).counts(job)
    return Exported(tuple(files), counts["quarantined"] + counts["pending"] + counts["leased"])


class _Target:
    """What the files of an export are called."""

    def __init__(self, job: Job, out: str, format: str | None) -> None:
        self.parts = out.endswith("/") or (not out.startswith("s3://") and Path(out).is_dir())
        self._job, self._out = job, out.rstrip("/") if self.parts else out
        _, dot, ending = out.rpartition("/")[2].rpartition(".")
        self.format = format or ("parquet" if self.parts else ending if dot else "")
        if not self.format:
            raise UsageError(f"{out} has no ending; give --format: {', '.join(FORMATS)}")
        if self.format not in FORMATS:
            raise UsageError(f"no format {self.format!r}; there are {', '.join(FORMATS)}")

    def of(self, view: View) -> str:
        if self.parts:
            # Spelled as Hive spells it, so that the name is one folder, and comes back as it was.
            return f"{self._out}/{view.name}/job={quote(self._job.name, safe='')}/part-0.{self.format}"
        folder, slash, name = self._out.rpartition("/")
        stem, dot, ending = name.rpartition(".") if "." in name else (name, "", "")
        return f"{folder}{slash}{stem}{view.name.removeprefix(self._job.views[0].name)}{dot}{ending}"


@contextmanager
def _view(db: Database, job: Job, view: View, *, named: bool = True) -> Iterator[Rows]:
    """The job's rows of one view, typed, in the order of the documents' URIs; `named` by job."""
    kinds: dict[str, str] = {name: "text" for name in _FIXED if named or name != "job"}
    if view.list_path is not None:
        kinds["line"] = "integer"
    kinds |= {item.name: item.kind for item in view.columns}
    names = tuple(kinds)
    source = table(view.name, *map(column, names))
    order = [source.c[name] for name in ("document_uri", "line") if name in kinds]
    query = select(source).where(column("job") == job.name).order_by(*order).execution_options(yield_per=1000)
    with db.snapshot() as connection, closing(connection.execute(query)) as found:
        yield Rows(names, (tuple(map(typed, row, kinds.values())) for row in found), kinds)


def _jsonl(db: Database, job: Job, file: IO[bytes]) -> int:
    """One line a document: its record as nested as its schema, or the reason why there is none."""
    number = 0
    names = list(
        dict.fromkeys(
            view.list_path[0] if view.list_path else item.path[0]
            for view in job.views
            for item in view.columns
            if item.path not in views.IN_JSON
        )
    )
    for found in Results(db, Jobs(db)).extractions(job):
        record = {name: found.extraction.record.get(name) for name in names}
        _line(file, found.uri, job, found.extraction.state, None, record, _told(found))
        number += 1
    for failure in Failures(db).each(job):
        if failure.failure.page is None:
            _line(file, failure.uri, job, "quarantined", str(failure.failure.reason), None)
            number += 1
    return number


def _told(found: StoredExtraction) -> dict[str, Any]:
    """Where values came from, why others are absent, what witnesses say, and a document's several files."""
    extraction = found.extraction
    parts = [{"uri": part.uri, "pages": part.pages, "sha256": part.sha256} for part in found.parts]
    sources = {field.path: field.source for field in extraction.fields if field.value is not None}
    absences = {field.path: field.absence for field in extraction.fields if field.absence is not None}
    witnesses = [asdict(item) for item in extraction.testimony]
    told: dict[str, Any] = {"sources": sources, "absences": absences, "witnesses": witnesses}
    return {**told, "parts": parts} if parts else told


def _line(
    file: IO[bytes],
    uri: str,
    job: Job,
    state: str,
    reason: str | None,
    record: Any,
    told: Mapping[str, Any] | None = None,
) -> None:
    item = {"document_uri": uri, "job": job.name, "state": state, "reason": reason, "record": record}
    item |= told or {}
    file.write(as_json(item).encode() + b"\n")


def _xlsx(db: Database, job: Job, file: IO[bytes]) -> int:
    """A sheet a view. Returns the number of documents."""
    from pipeline.store import xlsx

    book = xlsx.Book()
    written = []
    for view in job.views:
        with _view(db, job, view) as rows:
            written.append(book.add(view.name, rows))
    book.save(file)
    return written[0]
