"""For pipelines on Ray Data: a class for `map_batches` that turns documents' bytes into records.

    import ray
    from workers.ray_data import ReadDocuments

    ds = ray.data.read_binary_files("s3://bucket/cards/", include_paths=True)
    records = ds.map_batches(
        ReadDocuments,
        fn_constructor_kwargs={"schema": "id_card@1", "model": "demo"},
        compute=ray.data.ActorPoolStrategy(size=1),
        batch_size=8,
    )

Ray Data wants packages beside Ray (pip install "ray[data]"). What jobs have written it reads by itself:

    ray.data.read_sql("SELECT * FROM id_card_v1", lambda: sqlite3.connect("vinbatch.db"))
    ray.data.read_sql("SELECT * FROM id_card_v1", lambda: psycopg.connect("postgresql://…"))
    ray.data.read_parquet("s3://bucket/out/id_card_v1")  # vinbatch export --out s3://bucket/out/

The last one is partitioned by job, which is a column of it.

Nothing is remembered here: what a lost worker had read is read again, and a document that fails is a row with
its reason. A job of `vinbatch run` keeps every page, and resumes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.api import Reader
from pipeline.errors import Coded
from pipeline.records import Extraction


class ReadDocuments:
    """Loads the model once in each of the pool's actors."""

    def __init__(self, schema: str, model: str = "demo") -> None:
        self._reader = Reader(schema, model)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """`batch` has columns bytes and, if it likes, path. Gives path, state, record, confidence and reason.

        record is JSON; confidence is JSON too, of each value by its path.
        """
        rows = [self._row(bytes(data)) for data in batch["bytes"]]
        paths = batch.get("path", np.array([""] * len(rows), dtype=object))
        return {"path": paths, **{name: [row[name] for row in rows] for name in _COLUMNS}}

    def _row(self, data: bytes) -> dict[str, str | None]:
        try:
            return _of(self._reader.read(data))
        except Coded as error:
            return {**dict.fromkeys(_COLUMNS), "state": "quarantined", "reason": str(error.reason)}


_COLUMNS = ("state", "record", "confidence", "reason")


def _of(read: Extraction) -> dict[str, str | None]:
    sure = {field.path: field.confidence for field in read.fields if field.value is not None}
    return {
        "state": read.state,
        "record": json.dumps(read.record, ensure_ascii=False),
        "confidence": json.dumps(sure, ensure_ascii=False),
        "reason": None,
    }
