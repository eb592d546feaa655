"""Small documents and results for the store's tests, and a clock that a test sets."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from pipeline.errors import Reason
from pipeline.flags import FlagCode
from pipeline.records import (
    Check,
    Code,
    DocumentRef,
    Extraction,
    Failure,
    Field,
    Flag,
    PageRecord,
    PageResult,
    Testimony,
    TextLayer,
    Word,
)
from pipeline.store import Job, Store
from schemas.registry import SchemaSpec, resolve

INVOICE: SchemaSpec = resolve("invoice@1")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def job(store: Store, name: str = "june", spec: SchemaSpec = INVOICE, **changes: Any) -> Job:
    settings = {"render": {"dpi": 200}, "engine": {"max_new_tokens": 2048}}
    given: dict[str, Any] = {"sources": ["in"], "settings": settings, "model": "demo", "checkpoint": "c" * 64}
    return store.jobs.ensure(name, spec, **{**given, **changes})


def refs(*names: str) -> list[DocumentRef]:
    return [DocumentRef(f"/in/{name}", size=10, etag=f"etag-{name}") for name in names]


def invoice(
    number: str = "7", total: str | None = "1100000", pages: int = 1, state: Any = "done"
) -> Extraction:
    record = {
        "number": number,
        "issue_date": "2026-05-01",
        "seller_name": "Công ty Mẫu",
        "seller_tax_code": "9900000016",
        "lines": [
            {"no": 1, "name": "Bút", "quantity": "2.5", "unit_price": "400000", "amount": "1000000"},
            {"no": 2, "name": None, "quantity": None, "unit_price": None, "amount": None},
        ],
        "net": "1000000",
        "vat": "100000",
        "total": total,
    }
    fields = (
        Field("number", number, number, 0.98, "read", 1, (0.1, 0.2, 0.3, 0.4)),
        Field("issue_date", "01/05/2026", "2026-05-01", 0.97, "read", 1),
        Field("seller_name", "Công ty Mẫu", "Công ty Mẫu", 0.9, "xml", 1),
        Field("lines", None, 2, 0.99, "read", 1),
        Field("lines[0].quantity", "2,5", "2.5", 0.5, "read", 1),
        Field("total", total, total, 0.99, "read", 1),
        Field("vat_rate", "?", None, 0.2, "read", 1, problem="not a rate"),
        Field("buyer_name", None, None, 0.9, "read", 1, absence="not_on_page"),
    )
    checks = (
        Check("words", True, "error", "the words say the same", ("total",)),
        Check("total", False, "warning", "no sum", ("net", "vat"), "1100000", "1", suspects=("vat",)),
    )
    testimony = (
        Testimony("number", "qr", "agrees", number, number, 1, (0.5, 0.5, 0.6, 0.6)),
        Testimony("lines[0].quantity", "text", "differs", "2,6", "2.6", 1),
        Testimony("vat_rate", "qr", "offers", "8 %", "8%", 1, (0.5, 0.5, 0.6, 0.6)),
    )
    return Extraction(state, record, fields, checks, pages, testimony)


def page(number: int = 1, key: str | None = None, text: str = "{}") -> PageResult:
    codes = (Code("qr", "a|b", (0.0, 0.0, 0.1, 0.1)),)
    flags = (Flag(FlagCode.annotation_not_drawn, "a Stamp has no appearance"),)
    words = (Word("Hóa", (0.1, 0.0123, 0.1456, 0.0199)), Word("đơn", (0.15, 0.0123, 0.2, 1.0)))
    layer = TextLayer(words, True, "1 of 3 words: under a picture")
    read = tuple(field for field in invoice().fields if field.absence is None)  # merging tells it
    day = date(2026, 11, 20)
    record = PageRecord(number, read, codes, flags, seams=("lines[1]",), text=layer, read_on=day)
    key = key or f"key-{number}"
    return PageResult(number, key, record, None, "pdfium", 1654, 2339, 7, 1900, 250, text, passes=2)


def failed_page(number: int = 2, reason: Reason = Reason.generation_loop) -> PageResult:
    return PageResult(number, f"key-{number}", None, Failure(reason, "it went round and round", number))


def finish(store: Store, lease: Any, extraction: Extraction | None = None, sha256: str = "ab") -> None:
    extraction = extraction or invoice()
    pages = [page(number, f"{lease.uri}-{number}") for number in range(1, extraction.pages + 1)]
    store.results.commit(lease, extraction, pages, sha256=sha256)
