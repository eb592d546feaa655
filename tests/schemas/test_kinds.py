"""Sound papers of unusual kinds go through; the same papers with a planted error do not."""

from __future__ import annotations

import pytest

from tests.schemas.kinds import CARDS, INVOICES, RECEIPTS, stopped


@pytest.mark.parametrize("kind", INVOICES)
def test_a_sound_invoice_is_not_stopped(kind: str) -> None:
    assert stopped("invoice@2", INVOICES[kind]) == {}


@pytest.mark.parametrize("kind", RECEIPTS)
def test_a_sound_receipt_is_not_stopped(kind: str) -> None:
    assert stopped("receipt@2", RECEIPTS[kind]) == {}


@pytest.mark.parametrize("kind", CARDS)
def test_a_sound_card_is_not_stopped(kind: str) -> None:
    assert stopped("id_card@2", CARDS[kind]) == {}
