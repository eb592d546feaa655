"""A file of answers, by its first bytes: a workbook, a CSV or Label Studio's JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.corrections.entry import Entry
from pipeline.errors import UsageError
from pipeline.store import Job, Store

MOST_BYTES = 200 * 2**20


@dataclass(frozen=True, slots=True)
class File:
    """What a file says. `batch` is a name for its decisions: the same file of the same job has the same."""

    entries: Sequence[Entry]
    batch: str


def read(path: Path, store: Store, job: Job) -> File:
    """The answers in a file to what was exported of the job.

    Raises UsageError, in one line, for a file that cannot be read, is too large, or is none of these.
    """
    data = _bytes(path)
    digest = hashlib.sha256(job.name.encode() + b"\0" + data).hexdigest()
    batch = f"import-{digest[:12]}"
    if data.startswith(b"PK"):
        from pipeline.corrections import workbook  # openpyxl takes long to load

        return File(workbook.entries(data, path.name), batch)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        from pipeline.corrections import tasks

        return File(tasks.entries(data, path.name, store, job), batch)
    from pipeline.corrections import table

    return File(table.entries(data, path.name), batch)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path} has more than {MOST_BYTES:,} bytes, the most for a file of corrections")
    return data
