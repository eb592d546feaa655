"""A job's results as files or objects: csv, jsonl, parquet or xlsx, one each or in partitions by job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import Connection, column, select, table

from pipeline.addresses import REVIEW_URL
from pipeline.errors import UsageError
from pipeline.outputs import whole
from pipeline.settings import SourceSettings
from pipeline.store import doubts, formats, jsonl, to_check
from pipeline.store.books import Books
from pipeline.store.database import Database
from pipeline.store.doubts import Doubt
from pipeline.store.entities import Job, View
from pipeline.store.evidence import Beside
from pipeline.store.failures import Failures
from pipeline.store.query import Rows
from pipeline.store.stored import StoredResults
from pipeline.store.values import typed

if TYPE_CHECKING:
    from pipeline.store.xlsx import Book

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
    plain: bool = False,
    raw: bool = False,
    bom: bool = True,
    review_url: str = REVIEW_URL,
    settings: SourceSettings | None = None,
) -> Exported:
    """Writes a job's results: csv, jsonl, parquet or xlsx, by the ending of `out` unless `format` says so.

    Beside each value stand its confidence, source and page, with each document its state, reasons and score
    (`store.evidence`), unless `plain`.

    `out` is a path or s3://BUCKET/KEY; `settings` tell which S3. csv and parquet hold one view: OUT the
    documents, OUT_lines beside it the lines, and for csv OUT_to_check the values that a person should look
    at, for `vinbatch corrections`. Where `out` is a folder, or ends in "/", each view is a dataset
    in it (parquet, where no format is given), whose partitions are jobs: OUT/VIEW/job=NAME/part-0.parquet.
    A file appears whole or not at all, readable by its owner alone. In csv, which begins with a byte order
    mark for Excel unless not `bom`, cells that a spreadsheet would compute get an apostrophe unless `raw`.
    Links of a workbook lead to the review at `review_url`. Raises UsageError for a format or a folder that is
    not there, and Permanent or Transient of S3.
    """
    target = _Target(job, str(out), format)
    written = _Written(db, job, target, settings or SourceSettings(), raw=raw, bom=bom)
    if target.format == "jsonl":
        written.add(job.views[0], lambda file: jsonl.write(db, job, file, plain=plain))
    elif target.format == "xlsx":
        written.add(job.views[0], lambda file: _xlsx(db, job, file, plain=plain, review_url=review_url))
    else:
        for view in job.views:
            written.add_view(view, plain=plain)
        if target.format == "csv" and not plain and not target.parts:
            written.add_rows("to_check", _to_check(db, job))
    counts = Books(db).counts(job)
    return Exported(tuple(written.files), counts["quarantined"] + counts["pending"] + counts["leased"])


class _Written:
    """The files of an export, each with its number of rows."""

    def __init__(
        self, db: Database, job: Job, target: _Target, settings: SourceSettings, *, raw: bool, bom: bool
    ) -> None:
        self._db, self._job, self._target, self._settings = db, job, target, settings
        self._options = {"raw": raw, "bom": bom}
        self.files: list[tuple[str, int]] = []

    def add(self, view: View, write: Callable[[IO[bytes]], int]) -> None:
        name = self._target.of(view)
        if self._target.parts and not name.startswith("s3://"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
        self._put(name, write)

    def add_view(self, view: View, *, plain: bool) -> None:
        named = not self._target.parts

        def write(file: IO[bytes]) -> int:
            with _beside(self._db, self._job, view, named=named) as beside:
                return self._rows(beside.rows(), file)

        def write_plain(file: IO[bytes]) -> int:
            with _view(self._db, self._job, view, named=named) as (rows, _):
                return self._rows(rows, file)

        self.add(view, write_plain if plain else write)

    def add_rows(self, name: str, rows: Rows) -> None:
        self._put(self._target.beside(name), lambda file: self._rows(rows, file))

    def _rows(self, rows: Rows, file: IO[bytes]) -> int:
        return formats.write(rows, self._target.format, file, **self._options)

    def _put(self, name: str, write: Callable[[IO[bytes]], int]) -> None:
        with whole(name, self._settings) as file:
            number = write(file)
        self.files.append((name, number))


def format_of(out: str, format: str | None = None) -> str:
    """The format of an export to `out`: what is given, else as the name ends; parquet in a folder.

    Raises UsageError for one that is not known.
    """
    _, dot, ending = out.rpartition("/")[2].rpartition(".")
    found = format or ("parquet" if _is_folder(out) else ending if dot else "")
    if not found:
        raise UsageError(f"{out} has no ending; give --format: {', '.join(FORMATS)}")
    if found not in FORMATS:
        raise UsageError(f"no format {found!r}; there are {', '.join(FORMATS)}")
    return found


def _is_folder(out: str) -> bool:
    return out.endswith("/") or (not out.startswith("s3://") and Path(out).is_dir())


class _Target:
    """What the files of an export are called."""

    def __init__(self, job: Job, out: str, format: str | None) -> None:
        self.parts = _is_folder(out)
        self._job, self._out = job, out.rstrip("/") if self.parts else out
        self.format = format_of(out, format)

    def of(self, view: View) -> str:
        if self.parts:
            # Spelled as Hive spells it, so that the name is one folder, and comes back as it was.
            return f"{self._out}/{view.name}/job={quote(self._job.name, safe='')}/part-0.{self.format}"
        return self.beside(view.name.removeprefix(self._job.views[0].name).removeprefix("_"))

    def beside(self, what: str) -> str:
        """The name of one more file, OUT_lines.csv; "": of the first."""
        folder, slash, name = self._out.rpartition("/")
        stem, dot, ending = name.rpartition(".") if "." in name else (name, "", "")
        return f"{folder}{slash}{stem}{'_' if what else ''}{what}{dot}{ending}"


@contextmanager
def _view(db: Database, job: Job, view: View, *, named: bool = True) -> Iterator[tuple[Rows, Connection]]:
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
        yield Rows(names, (tuple(map(typed, row, kinds.values())) for row in found), kinds), connection


@contextmanager
def _beside(db: Database, job: Job, view: View, *, named: bool = True) -> Iterator[Beside]:
    """The same rows with what is known beside their values."""
    with _view(db, job, view, named=named) as (rows, connection):
        yield Beside(view, rows, connection, job)


def _doubts(db: Database, job: Job) -> Iterator[Doubt]:
    known = doubts.names(job)
    for found in StoredResults(db).extractions(job):
        yield from doubts.of(found, job, known)


def _to_check(db: Database, job: Job) -> Rows:
    """What a person should look at, as rows of the sheet of that name."""
    return Rows(to_check.NAMES, map(to_check.row, _doubts(db, job)), {})


def _xlsx(db: Database, job: Job, file: IO[bytes], *, plain: bool, review_url: str) -> int:
    """A sheet a view; unless `plain`, also what is to be checked. Returns the number of documents."""
    from pipeline.store import workbook, xlsx

    with xlsx.Book(file) as book:
        if plain:
            numbers = [_plain_sheet(db, job, view, book) for view in job.views]
            return numbers[0]
        documents, *lists = job.views
        with _beside(db, job, documents) as beside:
            sheet = workbook.ViewSheet(book, documents.name, beside, review_url, linked=True)
            checked = workbook.ToCheck(book, review_url)
            number = sheet.fill()
        for doubt in _doubts(db, job):
            checked.add(doubt)
        checked.add_free_rows()
        for view in lists:
            with _beside(db, job, view) as beside:
                workbook.ViewSheet(book, view.name, beside, review_url, linked=False).fill()
        whole = (item for item in Failures(db).each(job) if item.failure.page is None)
        workbook.add_not_read(book, whole)
        workbook.add_legend(book, job)
    return number


def _plain_sheet(db: Database, job: Job, view: View, book: Book) -> int:
    with _view(db, job, view) as (rows, _):
        return book.add(view.name, rows)
