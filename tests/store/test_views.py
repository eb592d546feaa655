"""Typed views: exact money, dates, identity numbers as text, for any schema a person writes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.errors import Permanent
from pipeline.records import Check
from pipeline.store import Store, views
from pipeline.store.entities import Column, View
from pipeline.store.views import of
from schemas.registry import SchemaSpec, resolve
from schemas.shape import shape_of
from tests.store import samples
from tests.store.samples import finish, invoice, page, refs


def spec_of(model: type[BaseModel], name: str | None = None, hash: str = "1" * 64) -> SchemaSpec:
    return SchemaSpec(name or model.__name__, 1, model.__name__, model, shape_of(model), hash)


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    with store.query(sql) as found:
        return list(found)


def commit(store: Store, name: str, spec: SchemaSpec, record: dict[str, Any]) -> None:
    job = samples.job(store, name, spec)
    store.ledger.add(job, refs(name))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    from pipeline.records import Extraction

    store.results.commit(lease, Extraction("done", record, (), (), 1), [page()], sha256="ab")


def test_the_built_in_schemas_have_the_promised_views() -> None:
    schemas = (f"{name}@{version}" for name in ("invoice", "id_card", "receipt") for version in (1, 2))
    names = {view.name for schema in schemas for view in of(resolve(schema))}
    assert names == {
        *(
            "invoice_v1",
            "invoice_v1_lines",
            "invoice_v1_by_rate",
            "invoice_v1_each_fee",
            "id_card_v1",
            "receipt_v1",
            "receipt_v1_lines",
        ),
        *(
            "invoice_v2",
            "invoice_v2_lines",
            "invoice_v2_by_rate",
            "invoice_v2_each_fee",
            "id_card_v2",
            "receipt_v2",
            "receipt_v2_lines",
        ),
    }


def test_an_invoice_is_a_row_with_types(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    finish(store, store.ledger.claim(job, "w", 1, 60)[0], invoice("007"))
    [row] = rows(
        store, "SELECT document_uri, job, state, number, seller_tax_code, issue_date, total FROM invoice_v1"
    )
    money, day = (1100000, "2026-05-01") if store.one_machine else (Decimal(1100000), date(2026, 5, 1))
    assert row == ("/in/a", "june", "done", "007", "9900000016", day, money)
    lines = rows(store, "SELECT line, no, quantity, amount FROM invoice_v1_lines ORDER BY line")
    quantity = 2.5 if store.one_machine else Decimal("2.5")
    assert lines == [(1, 1, quantity, 1000000), (2, 2, None, None)]


def test_the_view_of_an_invoice_shows_the_verdict_on_its_signature(store: Store) -> None:
    job = samples.job(store)
    found = {"a": ("valid",), "b": ("valid", "altered"), "c": ()}
    store.ledger.add(job, refs(*found))
    for lease in store.ledger.claim(job, "w", 3, 60):
        verdicts = found[lease.uri[-1]]
        checks = tuple(
            Check("signature", verdict == "valid", "error", "why", (), "valid", verdict)
            for verdict in verdicts
        )
        finish(store, lease, replace(invoice("007"), checks=checks))
    sql = "SELECT document_uri, signature FROM invoice_v1 ORDER BY document_uri"
    assert rows(store, sql) == [("/in/a", "valid"), ("/in/b", "altered"), ("/in/c", None)]
    for name in ("receipt", "id_card"):
        columns = [column.name for view in of(resolve(name)) for column in view.columns]
        assert "signature" not in columns


MONEY = [
    "0", "-5", "1100000.50", "0.1", "999999999999999999", "-1000000000000000000000", "123456789012.345",
    "1234567890123.4567", "0.30", "12345678901234567890.12",
]  # fmt: skip


def test_money_is_never_rounded_and_compares_as_numbers(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs(*(f"{n:02}" for n in range(len(MONEY)))))
    for lease, total in zip(store.ledger.claim(job, "w", 99, 60), MONEY, strict=True):
        finish(store, lease, invoice(total=total))
    found = [row[0] for row in rows(store, "SELECT total FROM invoice_v1 ORDER BY document_uri")]
    assert [Decimal(str(value)) for value in found] == [Decimal(text) for text in MONEY]
    if not store.one_machine:
        assert all(isinstance(value, Decimal) for value in found)
    above = rows(store, "SELECT count(*) FROM invoice_v1 WHERE total > 200000 AND total < 1e18")
    # In SQLite a decimal of more than 15 digits is text, which is greater than any number.
    assert above == [(3 if store.one_machine else 4,)]
    total = "decimal_sum(total)" if store.one_machine else "sum(total)"
    [(added,)] = rows(store, f"SELECT {total} FROM invoice_v1")
    assert Decimal(str(added)) == sum(map(Decimal, MONEY))


class Party(BaseModel):
    name: str | None = None
    line: int | None = None


class Goods(BaseModel):
    what: str | None = None
    marks: list[str] = []


class DeliveryNote(BaseModel):
    """Phiếu giao hàng"""

    state: str | None = None
    buyer: Party | None = None
    buyer_name: str | None = None
    order: int | None = None
    weight: float | None = None
    urgent: bool | None = None
    at: datetime | None = None
    seals: list[str] = []
    goods: list[Goods] = []


NOTE = {
    "state": "mới",
    "buyer": {"name": "An", "line": 7},
    "buyer_name": "Bình",
    "order": 12,
    "weight": 1.5,
    "urgent": True,
    "at": "2026-05-01T08:30:00",
    "seals": ["x", "y"],
    "goods": [{"what": "Gạo", "marks": ["1", "2"]}, {"what": None, "marks": []}],
}


def test_any_schema_has_views(store: Store) -> None:
    spec = spec_of(DeliveryNote)
    commit(store, "notes", spec, NOTE)
    [row] = rows(store, "SELECT * FROM delivery_note_v1")
    with store.query("SELECT * FROM delivery_note_v1") as found:
        assert found.columns == (
            "document_uri", "job", "state", "state_2", "buyer_name", "buyer_line", "buyer_name_2", "order",
            "weight", "urgent", "at", "sources", "absences", "witnesses",
        )  # fmt: skip
    at = "2026-05-01T08:30:00" if store.one_machine else datetime(2026, 5, 1, 8, 30)
    nothing = ("{}", "{}", "[]") if store.one_machine else ({}, {}, [])
    assert row == ("/in/notes", "notes", "done", "mới", "An", 7, "Bình", 12, 1.5, True, at, *nothing)
    assert rows(store, "SELECT line, value FROM delivery_note_v1_seals") == [(1, "x"), (2, "y")]
    marks = '["1","2"]' if store.one_machine else ["1", "2"]
    assert rows(store, "SELECT line, what, marks FROM delivery_note_v1_goods WHERE what IS NOT NULL") == [
        (1, "Gạo", marks)
    ]


def test_absent_lists_give_no_lines(store: Store) -> None:
    spec = spec_of(DeliveryNote)
    for name, goods in (("a", None), ("b", [])):
        commit(store, name, spec, {"goods": goods})
    commit(store, "c", spec, {})
    assert rows(store, "SELECT count(*) FROM delivery_note_v1") == [(3,)]
    assert rows(store, "SELECT * FROM delivery_note_v1_goods") == []


class Slip(BaseModel):
    number: str | None = None
    day: date | None = None


class ChangedSlip(BaseModel):
    number: str | None = None
    day: str | None = None
    extra: int | None = None


def test_a_schema_that_changes_keeps_its_older_jobs_readable(store: Store) -> None:
    commit(store, "first", spec_of(Slip, "Slip"), {"number": "1", "day": "2026-05-01"})
    commit(store, "second", spec_of(ChangedSlip, "Slip", "2" * 64), {"number": "2", "day": "mai", "extra": 3})
    commit(store, "third", spec_of(Slip, "Slip"), {"number": "3", "day": "2026-05-03"})
    assert rows(store, 'SELECT job, number, "day", extra FROM slip_v1 ORDER BY job') == [
        ("first", "1", "2026-05-01", None),
        ("second", "2", "mai", 3),
        ("third", "3", "2026-05-03", None),
    ]


def test_names_that_are_too_long_or_alike_are_told_apart() -> None:
    long = "x" * 70
    model = type(
        "Long",
        (BaseModel,),
        {"__annotations__": {long + "a": str | None, long + "b": str | None, "Job": str | None}},
    )
    [view] = of(spec_of(model, "Phiếu " + "é" * 40))
    assert len(view.name.encode()) <= 63 and view.name.startswith("phiếu_é")
    names = [column.name for column in view.columns]
    assert len(set(names)) == 6 and all(len(name.encode()) <= 63 for name in names)
    assert view.columns[2] == Column("Job_2", ("Job",), "text")


class Sources(BaseModel):
    sources: str | None = None
    witnesses: list[str] = []


def test_a_field_keeps_its_name_where_a_column_of_the_views_has_it_too(store: Store) -> None:
    spec = spec_of(Sources)
    commit(store, "named", spec, {"sources": "mine", "witnesses": ["x"]})
    [[mine, added, others]] = rows(store, "SELECT sources, sources_2, witnesses FROM sources_v1")
    assert (mine, json.loads(added) if store.one_machine else added) == ("mine", {})
    assert (json.loads(others) if store.one_machine else others) == []
    assert rows(store, "SELECT value FROM sources_v1_witnesses") == [("x",)]


def test_the_views_tell_where_values_come_from_and_what_witnesses_say(store: Store) -> None:
    job = samples.job(store)
    store.ledger.add(job, refs("a"))
    finish(store, store.ledger.claim(job, "w", 1, 60)[0])
    [row] = rows(store, "SELECT sources, witnesses FROM invoice_v1")
    lines = rows(store, "SELECT sources, witnesses FROM invoice_v1_lines ORDER BY line")
    [[sources, said], *of_lines] = [
        [json.loads(item) if store.one_machine else item for item in each] for each in (row, *lines)
    ]
    assert sources == {
        "number": "read", "issue_date": "read", "seller_name": "xml", "lines": "read", "total": "read"
    }  # fmt: skip
    one = {"field": "number", "source": "qr", "verdict": "agrees", "raw": "7", "value": "7", "page": 1}
    assert said == [one, one | {"field": "vat_rate", "verdict": "offers", "raw": "8 %", "value": "8%"}]
    quantity = one | {
        "field": "quantity",
        "source": "text",
        "verdict": "differs",
        "raw": "2,6",
        "value": "2.6",
    }
    assert of_lines == [[{"quantity": "read"}, [quantity]], [{}, []]]
    [[absences]] = rows(store, "SELECT absences FROM invoice_v1")
    assert (json.loads(absences) if store.one_machine else absences) == {"buyer_name": "not_on_page"}


def test_a_view_of_the_persons_own_is_not_in_the_way(store: Store) -> None:
    samples.job(store)
    with store._db.write() as connection:
        connection.exec_driver_sql("CREATE VIEW mine AS SELECT total FROM invoice_v1")
    samples.job(store, "july")
    assert rows(store, "SELECT * FROM mine") == []


def test_the_registry_finds_a_schema_in_a_file(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from pydantic import BaseModel, Field\n"
        "class WeighSlip(BaseModel):\n"
        "    '''Phiếu cân'''\n"
        "    net: int | None = Field(None, title='Khối lượng')\n"
    )
    commit(store, "weighed", resolve(f"{file}:WeighSlip"), {"net": 40})
    [view] = {view.name for view in store.jobs.find("weighed").views}
    assert rows(store, f"SELECT job, net FROM {view}") == [("weighed", 40)]


@pytest.mark.parametrize(
    ("kind", "fit", "others"),
    [
        ("integer", (0, 2**63 - 1, 1 - 2**63), (2**63, -(2**63), True, 1.0, "1")),
        ("decimal", ("1.50", "-5", 7, "1e5"), ("Infinity", "NaN", "x", True, 1.5, {})),
        ("date", ("2026-05-01",), ("01/05/2026", "2026-02-30", 20260501, "2026-05-01T08:30:00")),
        ("datetime", ("2026-05-01T08:30:00", "2026-05-01"), ("soon", 5)),
        ("real", (1, 1.5), (True, "1.5")),
        ("boolean", (True, False), (1, "true")),
        ("text", ("x", 1, 1.5, True), ([], {"a": 1})),
        ("json", ([], {"a": 1}, "x", 1), ()),
    ],
)
def test_a_column_holds_values_of_its_kind(kind: str, fit: tuple[Any, ...], others: tuple[Any, ...]) -> None:
    assert [views._fits(value, kind) for value in fit] == [True] * len(fit)
    assert [views._fits(value, kind) for value in others] == [False] * len(others)


def test_what_does_not_fit_is_named_by_its_path() -> None:
    listed = View("v", (Column("amount", ("money", "amount"), "decimal"),), ("deep", "lines"))
    views.check([listed], {"deep": {"lines": [{"money": {"amount": "1"}}, {"money": None}, {}]}})
    views.check([listed], {"deep": None})
    with pytest.raises(
        Permanent, match=r"^field deep\.lines\[1\]\.money\.amount: .* type decimal$"
    ) as caught:
        views.check([listed], {"deep": {"lines": [{}, {"money": {"amount": "secret"}}]}})
    assert caught.value.details == {"field": "deep.lines[1].money.amount"}
    plain = View("v", (Column("value", (), "integer"),), ("numbers",))
    with pytest.raises(Permanent, match=r"^field numbers\[0\]: "):
        views.check([plain], {"numbers": ["x"]})


def test_names_of_views_and_columns() -> None:
    named = {
        "DeliveryNote": "delivery_note",
        "Phiếu giao-hàng 2": "phiếu_giao_hàng_2",
        "a1B": "a1_b",
        "!": "schema",
    }
    assert {name: views._snake(name) for name in named} == named
    assert views.unique("total", {"Total", "total_2"}) == "total_3"
    long = "é" * 40
    assert views.unique(long, set()) == "é" * 31 and views.unique(long, {"é" * 31}) == "é" * 29 + "_2"
