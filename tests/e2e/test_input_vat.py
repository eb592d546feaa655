"""Named queries and the purchase list, as a person types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import openpyxl
import pytest

from pipeline import store as stores
from tests.store import samples
from tests.store.test_input_vat import made, put
from workers.cli import main


@pytest.mark.medium
def test_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vinbatch.toml").write_text("[[law.cash_limits]]\nfrom = 2026-05-01\namount = 1_000_000\n")
    (tmp_path / "risky.csv").write_text("MST;Ghi ch\u00fa\n9900000016;gone\n", encoding="utf-8")
    with stores.open("sqlite:///vinbatch.db", clock=samples.Clock()) as store:
        put(store, a=made("1"), b=made("0001", series="1C26TAA", form_no=None))

    def typed(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["vinbatch", *words])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        assert left.value.code in (None, 0), err
        return out

    assert "duplicate-invoices" in typed("query", "--named", "list") and "purchase-list" in typed(
        "query", "--named", "list"
    )
    found = json.loads(typed("query", "--named", "duplicate-invoices", "--format", "json"))
    assert [row["document_uri"] for row in found] == ["/in/a", "/in/b"]
    said = typed("todo", "may")
    assert "2 documents: same invoice: another document of the store shows the same invoice" in said
    assert "next: vinbatch query --named duplicate-invoices" in said
    asked = ("query", "--named", "risky-suppliers", "--suppliers", "risky.csv", "--format", "json")
    assert {row["note"] for row in json.loads(typed(*asked))} == {"gone"}
    [first, _] = json.loads(typed("query", "--named", "non-cash-payments", "--format", "json"))
    assert (first["needed"], first["limit_vnd"]) == ("yes", 1_000_000)  # of the user's own law
    said = typed(
        "export", "--format", "01-1", "--out", "q2.xlsx", "--since", "2026-04-01", "--buyer", "9900000024"
    )
    assert said == "q2.xlsx: 1 rows, net 1,000,000, VAT 100,000\n"
    assert openpyxl.load_workbook("q2.xlsx").sheetnames == ["01-1", "Để riêng"]
