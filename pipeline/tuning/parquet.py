"""Rows and pictures of Parquet files as Hugging Face's data sets are kept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import UsageError

_COLUMNS = ("id", "description", "conversations")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Each row without its picture. Raises UsageError for a file without the columns."""
    file = _opened(path)
    there = set(file.schema_arrow.names)
    if "image" not in there or not there & {"description", "conversations"}:
        raise UsageError(f"{path} has the columns {', '.join(sorted(there))}; expected image, conversations")
    for batch in file.iter_batches(columns=[name for name in _COLUMNS if name in there]):
        yield from batch.to_pylist()


def picture(path: Path, row: int) -> bytes:
    """The bytes of the picture in a row. Raises UsageError where it holds none."""
    file = _opened(path)
    first = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if row < first + count:
            found = _pictures(str(path), group)[row - first].as_py()
            data = found.get("bytes") if isinstance(found, dict) else found
            if not isinstance(data, bytes) or not data:
                raise UsageError(f"{path}, row {row + 1}: the picture is not in the file")
            return data
        first += count
    raise UsageError(f"{path} has no row {row + 1}")


@lru_cache(maxsize=2)
def _pictures(path: str, group: int) -> Any:
    return _opened(Path(path)).read_row_group(group, columns=["image"]).column("image")


def _opened(path: Path) -> Any:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path} is no Parquet file: {error}") from None
