"""Receipts as a model read them, for tests of what goes out to people and comes in again."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline import merge
from pipeline.records import Extraction, Field, PageRecord
from pipeline.store import Job, Store
from schemas.registry import SchemaSpec, resolve
from tests.store import samples

RECEIPT: SchemaSpec = resolve("receipt@1")
_LINES = (("Bút bi", "2", "5.000", "10.000"), ("Vở", "1", "20.000", "20.000"))
_PRINTED = {"store": "Cửa hàng Mẫu", "number": "0012", "date": "01/05/2026", "total": "30.000"}
BOX = (0.1, 0.2, 0.3, 0.25)


def receipt(
    printed: Mapping[str, str | None] | None = None, unsure: Mapping[str, float] | None = None
) -> Extraction:
    """A receipt on which all is right but for what is given; `unsure` are confidences, else 0.995."""
    texts: dict[str, str | None] = {
        path: _PRINTED.get(path) for path, _ in RECEIPT.shape.leaves() if "[" not in path
    }
    for i, line in enumerate(_LINES):
        names = ("name", "quantity", "unit_price", "amount")
        texts |= {f"lines[{i}].{name}": text for name, text in zip(names, line, strict=True)}
    texts |= printed or {}
    sure = dict.fromkeys(texts, 0.995) | dict(unsure or {})
    fields = [
        Field(path, text, None, sure[path], "read", 1, None if text is None else BOX)
        for path, text in texts.items()
    ]
    count = Field("lines", None, len(_LINES), sure.get("lines", 0.995), "read", 1)
    return merge.document([PageRecord(1, (*fields, count))], RECEIPT)


def filled(store: Store, readings: Mapping[str, Extraction], name: str = "june") -> Job:
    """A job with these documents, by their names."""
    job = samples.job(store, name, RECEIPT)
    store.ledger.add(job, samples.refs(*readings))
    for lease in store.ledger.claim(job, "w", len(readings), 60):
        samples.finish(store, lease, readings[lease.uri.removeprefix("/in/")], sha256=lease.uri)
    return store.jobs.find(name)
