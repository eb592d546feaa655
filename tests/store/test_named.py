"""Questions by name about spend, VAT, cards and what to look at: rows whose figures are added up by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import Reason
from pipeline.records import Check, Extraction, Failure, Field
from pipeline.records import Testimony as Said
from pipeline.store import Store
from schemas.registry import resolve
from tests.store import samples
from tests.store.samples import finish, refs
from tests.store.test_input_vat import OTHER, SELLER, ask, made, put


def cards(store: Store, job: str, version: int = 1, /, **documents: Extraction) -> None:
    target = samples.job(store, job, resolve(f"id_card@{version}"))
    store.ledger.add(target, refs(*documents))
    for lease in store.ledger.claim(target, "w", len(documents), 60):
        finish(store, lease, documents[lease.uri.removeprefix("/in/")])


def card(number: str | None, name: str = "NGUYỄN VĂN AN", **changes: Any) -> Extraction:
    record = {"number": number, "full_name": name, "date_of_birth": "1990-02-01", "expiry": "2030-02-01"}
    return Extraction("done", record | changes, (), (), 1)


@pytest.mark.medium
def test_spend_counts_each_invoice_once(store: Store) -> None:
    put(
        store,
        a=made("1", total=1_100_000),
        copy=made("1", total=1_100_000),
        b=made("2", total=2_200_000, state="review"),
        june=made("3", total=3_300_000, issue_date="2026-06-30"),
        other=made(
            "4", total=500_000, seller_tax_code=OTHER, seller_name="Công ty Khác", buyer_tax_code=SELLER
        ),
        gone=made("5", total=9_900_000),
        new=made("6", total=4_400_000, related_invoice="Thay thế cho hóa đơn mẫu số 1 ký hiệu C26TAA số 5"),
        dollars=made("7", total=100, currency="USD"),
    )
    columns = ("seller", "invoices", "spent_vnd", "to_review")
    assert ask(store, "spend-by-supplier", *columns) == [(SELLER, 4, 11_000_000, 1), (OTHER, 1, 500_000, 0)]
    assert ask(store, "spend-by-month", "month", "invoices", "suppliers", "spent_vnd") == [
        ("2026-05", 4, 2, 8_200_000),
        ("2026-06", 1, 1, 3_300_000),
    ]
    assert ask(store, "spend-by-supplier-and-month", "seller", "month", "spent_vnd") == [
        (SELLER, "2026-05", 7_700_000),
        (SELLER, "2026-06", 3_300_000),
        (OTHER, "2026-05", 500_000),
    ]


def test_vat_by_rate_has_a_share_for_each_rate_of_an_invoice(store: Store) -> None:
    two_rates = {
        "vat_rate": None,
        "net": "3000000",
        "vat": "250000",
        "lines": [
            {"name": "Bút", "amount": "1000000", "vat_rate": "5%"},
            {"name": "Vở", "amount": "2000000", "vat_rate": "10%"},
        ],
    }
    dollars = {"currency": "USD", "exchange_rate": "25000"}
    put(
        store,
        a=made("1", total=1_100_000),
        copy=made("1", total=1_100_000),
        b=made("2", total=3_250_000, **two_rates),
        c=made("3", total=110, **dollars),
        unread=made("4", vat=None, vat_rate=None, lines=[]),
    )
    assert ask(store, "vat-by-rate", "rate", "invoices", "net_vnd", "vat_vnd") == [
        ("10%", 3, 1_000_000 + 2_000_000 + 100 * 25_000, 100_000 + 200_000 + 10 * 25_000),
        ("5%", 1, 1_000_000, 50_000),
        (None, 1, None, None),
    ]


@pytest.mark.medium
def test_cards_that_expire_and_people_with_several_of_them(store: Store) -> None:
    """The store's clock stands at 22 November 2026."""
    cards(
        store,
        "front",
        past=card("001090000001", expiry="2026-11-21"),
        today=card("001090000002", "LÊ BÌNH", expiry="2026-11-22"),
        month=card("001090000003", "LÊ CHI", expiry="2026-12-22"),
        quarter=card("001090000004", "LÊ DUNG", expiry="2027-02-20"),
        later=card("001090000005", "LÊ GIA", expiry="2027-02-21"),
        never=card("001090000006", "LÊ HOA", expiry="9999-12-31"),
    )
    cards(
        store,
        "newer",
        2,
        again=card("001090000002", "LÊ BÌNH", expiry="2040-01-01"),
        old=card("012345678", "LÊ CHI"),
        namesake=card("001090000009", "LÊ DUNG", date_of_birth="1991-01-01"),
    )
    assert ask(store, "expired-cards", "document_uri") == [("/in/past",)]
    assert ask(store, "expiring-cards", "document_uri", "within") == [
        ("/in/today", "30 days"),
        ("/in/month", "30 days"),
        ("/in/quarter", "90 days"),
    ]
    assert ask(store, "duplicate-people", "same", "document_uri", "number") == [
        ("number", "/in/again", "001090000002"),
        ("number", "/in/today", "001090000002"),
        ("name and birth", "/in/month", "001090000003"),
        ("name and birth", "/in/old", "012345678"),
    ]
    assert ask(store, "duplicate-people", "document_uri", job="newer") == []


@pytest.mark.medium
def test_what_to_look_at(store: Store) -> None:
    checks = (
        Check("tax_code", False, "error", "the tax code is not valid", ("seller_tax_code",), None, "99"),
        Check("total", False, "error", "net and VAT give 2, the total is 1", ("total",), "2", "1"),
        Check("required", False, "error", "number: no page shows it", ("number",)),
        Check("letters_missing", False, "warning", "3 letters are missing"),
        Check("net", True, "error", "the lines add up", ("net",)),
        Check("total", False, "info", "a remark", ("total",)),
    )
    fields = (
        Field("total", "1", "1", 0.95, "read", 1, score=0.41),
        Field("series", "C26TAA", "C26TAA", 0.7, "read", 2),
        Field("number", None, None, 0.2, "read", 1),
        Field("form_no", "1", "1", 0.99, "read", 1),
    )
    said = (
        Said("total", "qr", "differs", "3", "3", 1),
        Said("number", "text", "offers", "8", "8", 1),
        Said("series", "qr", "agrees", "C26TAA", "C26TAA", 1),
    )
    many = replace(made("1", state="review"), checks=checks, fields=fields, testimony=said)
    one = replace(made("2", state="review"), checks=checks[:1])
    put(store, many=many, one=one, fine=made("3"), halved=replace(made("4"), state="partial"))

    assert ask(store, "to-review", "document_uri", "failed_checks", "first_check") == [
        ("/in/halved", 0, None),
        ("/in/one", 1, "the tax code is not valid"),
        ("/in/many", 4, "the tax code is not valid"),
    ]
    assert ask(store, "wrong-totals", "document_uri", "expected", "found") == [("/in/many", "2", "1")]
    assert ask(store, "wrong-tax-codes", "document_uri", "tax_code") == [
        ("/in/many", "99"),
        ("/in/one", "99"),
    ]
    assert ask(store, "missing-values", "document_uri", "fields") == [("/in/many", '["number"]')]
    assert ask(store, "pages-not-drawn", "code", "message") == [("letters_missing", "3 letters are missing")]
    assert ask(store, "unsure-values", "field", "page", "sure", "calibrated") == [
        ("total", 1, 0.41, "yes"),
        ("series", 2, 0.7, "no"),
    ]
    assert ask(store, "differs-from-witness", "field", "read", "witness", "witness_says", "verdict") == [
        ("total", "1", "qr", "3", "differs"),
        ("number", None, "text", "8", "offers"),
    ]


@pytest.mark.medium
def test_what_became_of_documents_and_where_cards_disagree(store: Store) -> None:
    put(store, a=made("1"), b=made("2"))
    job = samples.job(store, "may")
    store.ledger.add(job, refs("broken"))
    [lease] = store.ledger.claim(job, "w", 1, 60)
    store.ledger.quarantine(lease, Failure(Reason.pdf_damaged, "bad"))
    differs = Check("qr_number", False, "error", "the QR code has another", ("number",), "1", "2")
    crossed = Check("mrz_check_digits", False, "error", "the MRZ is wrong", ("mrz",))
    cards(store, "front", a=replace(card("001090000001"), checks=(differs, crossed), state="review"))
    assert ask(store, "document-states", "job", "state", "reason", "documents") == [
        ("front", "review", None, 1),
        ("may", "done", None, 2),
        ("may", "quarantined", "pdf_damaged", 1),
    ]
    assert ask(store, "document-states", "state", "documents", job="front") == [("review", 1)]
    assert ask(store, "card-mismatches", "code") == [("qr_number",), ("mrz_check_digits",)]
