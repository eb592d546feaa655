"""A document by what a person calls it: never another one than was meant."""

from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.records import DocumentRef
from pipeline.store import Store
from tests.store import samples
from tests.store.samples import refs


def test_a_document_is_found_by_its_name_or_the_end_of_it(store: Store) -> None:
    job, other = samples.job(store, "june"), samples.job(store, "july")
    card = DocumentRef.of_parts(refs("cards/1-front.jpg", "cards/1-back.jpg"), "one card")
    store.ledger.add(job, [*refs("may/7.pdf", "june/7.pdf", "june/17.pdf", "50%.pdf", "500.pdf"), card])
    store.ledger.add(other, refs("july/9.pdf"))

    def found(name: str) -> str:
        return store.document(job, name).uri

    assert found("/in/may/7.pdf") == found("may/7.pdf") == found("/may/7.pdf") == "/in/may/7.pdf"
    assert found("17.pdf") == "/in/june/17.pdf"
    assert found("50%.pdf") == "/in/50%.pdf"
    assert found("1-back.jpg") == found("/in/cards/1-back.jpg") == card.uri
    assert len(store.document(job, "1-front.jpg").parts) == 2
    with pytest.raises(
        UsageError, match=r"^7\.pdf names several documents of job june: /in/may/7\.pdf, /in/june/7\.pdf;"
    ):
        found("7.pdf")
    for name in ("pdf", "9.pdf", "0%.pdf", "may"):
        with pytest.raises(UsageError, match=f"job june has no document {name}; "):
            found(name)


def test_of_many_that_a_name_fits_three_are_named(store: Store) -> None:
    job = samples.job(store, "june")
    for count, told in ((3, "/in/0/a.pdf, /in/1/a.pdf, /in/2/a.pdf;"), (4, "/in/2/a.pdf …;")):
        store.ledger.add(job, refs(*(f"{n}/a.pdf" for n in range(count))))
        with pytest.raises(UsageError, match=told):
            store.document(job, "a.pdf")
