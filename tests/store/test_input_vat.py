"""Questions over all invoices of a store, with planted cases; the purchase list; a list of suppliers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from sqlalchemy import delete

from pipeline.errors import UsageError
from pipeline.records import Extraction
from pipeline.store import Store, invoices, named, suppliers
from pipeline.store.shares import Share, shares
from pipeline.store.suppliers import Supplier
from pipeline.store.tables import invoice_index
from tests.store import samples
from tests.store.samples import finish, refs

SELLER, OTHER = "9900000016", "9900000024"


def made(number: str, total: int = 1_100_000, state: Any = "done", **changes: Any) -> Extraction:
    """An invoice of 10% VAT; `total` in đồng."""
    net = total * 10 // 11
    head = {
        "form_no": "1",
        "series": "C26TAA",
        "number": number,
        "issue_date": "2026-05-01",
        "seller_name": "Công ty Mẫu",
        "seller_tax_code": SELLER,
        "buyer_tax_code": OTHER,
        "payment_method": "Chuyển khoản",
        "lines": [{"name": "Bút", "amount": str(net), "vat_rate": "10%"}],
        "net": str(net),
        "vat_rate": "10%",
        "vat": str(total - net),
        "total": str(total),
    }
    return Extraction(state, head | changes, (), (), 1)


def put(store: Store, job: str = "may", /, **documents: Extraction) -> None:
    """One document each under its name; where a name begins with "same", the bytes are the same too."""
    target = samples.job(store, job)
    store.ledger.add(target, refs(*documents))
    for lease in store.ledger.claim(target, "w", len(documents), 60):
        name = lease.uri.removeprefix("/in/")
        finish(store, lease, documents[name], sha256="same" if name.startswith("same") else name)


def ask(store: Store, name: str, *columns: str, **options: Any) -> list[tuple[Any, ...]]:
    with store.named(name, **options) as rows:
        at = [rows.columns.index(column) for column in columns]
        return [tuple(row[i] for i in at) for row in rows]


@pytest.mark.medium
def test_every_named_query_runs_on_an_empty_store_and_says_what_it_answers(store: Store) -> None:
    for one in named.every():
        given = () if "suppliers" in one.needs else None
        assert one.title.endswith(".") and ask(store, one.name, suppliers=given) == []
    with pytest.raises(UsageError, match="no named query 'dups'; there are card-mismatches, "):
        ask(store, "dups")
    with pytest.raises(UsageError, match="risky-suppliers wants --suppliers"):
        ask(store, "risky-suppliers")
    with pytest.raises(UsageError, match="duplicate-invoices reads no list of suppliers"):
        ask(store, "duplicate-invoices", suppliers=())


def test_duplicates_have_one_common_form(store: Store) -> None:
    put(
        store,
        a=made("7"),
        b=made("00000007", form_no=None, series="1C26TAA"),
        c=made("7", total=2_200_000, form_no="01"),
        d=made("70"),
        e=made("7", seller_tax_code=OTHER),
        f=made("7", series="C25TAA", issue_date="2025-12-01"),
        g=made("7", seller_tax_code=None),
        same1=made("9"),
        same2=made("9"),
    )
    found = ask(store, "duplicate-invoices", "document_uri", "documents", "totals_differ", "same_file")
    assert sorted(found) == [
        ("/in/a", 3, "yes", "no"),
        ("/in/b", 3, "yes", "no"),
        ("/in/c", 3, "yes", "no"),
        ("/in/same1", 2, "no", "yes"),
        ("/in/same2", 2, "no", "yes"),
    ]
    assert ask(store, "unidentified-invoices", "document_uri") == [("/in/g",)]


def test_a_document_that_is_read_again_is_no_duplicate_and_its_newest_reading_counts(store: Store) -> None:
    put(store, "first", a=made("7"))
    store._db._clock.pass_(5)  # type: ignore[union-attr]
    put(store, "second", a=made("8"), b=made("8"))
    assert ask(store, "duplicate-invoices", "document_uri", "job") == [
        ("/in/a", "second"),
        ("/in/b", "second"),
    ]


@pytest.mark.medium
def test_the_index_follows_what_is_read_judged_and_purged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, a=made("7"), b=made("8"))
    assert invoices.update(store._db) == 0  # they came with the results
    with store._db.write() as connection:  # as an older Vinbatch left them
        connection.execute(delete(invoice_index))
    assert invoices.update(store._db) == 2 and invoices.update(store._db) == 0
    put(store, "june", c=made("8"))
    assert ask(store, "duplicate-invoices", "document_uri") == [("/in/b",), ("/in/c",)]
    job = store.jobs.find("june")
    [row] = store.results.finished(job)
    store.results.replace(job, row, made("7"))  # as `judge` does
    assert ask(store, "duplicate-invoices", "document_uri") == [("/in/a",), ("/in/c",)]
    store.purge(document="/in/a")
    assert ask(store, "duplicate-invoices", "document_uri") == []
    monkeypatch.setattr(invoices, "payment", lambda method: "cash")
    spec = replace(samples.INVOICE, hash="of other rules")
    monkeypatch.setattr(invoices, "resolve", lambda name: spec)
    assert invoices.update(store._db) == 2
    with store.query("SELECT DISTINCT payment, rules FROM invoice_index") as rows:
        assert list(rows) == [("cash", "of other rules")]


def test_chains_of_replaced_and_adjusted_invoices(store: Store) -> None:
    def of(verb: str, number: str) -> str:
        return f"{verb} hóa đơn mẫu số 1 ký hiệu C26TAA số {number} ngày 01/05/2026"

    put(
        store,
        a=made("1"),
        b=made("2", related_invoice=of("Thay thế cho", "0001")),
        c=made("3", related_invoice=of("Điều chỉnh cho", "2")),
        d=made("4", related_invoice=of("Thay thế cho", "99")),
        e=made("5", related_invoice=of("Đã bị thay thế bởi", "6")),
        f=made("7", related_invoice=of("Thay thế cho", "8")),
        g=made("8", related_invoice=of("Thay thế cho", "7")),
        h=made("9", related_invoice="Điều chỉnh giảm giá"),
        i=made("1", seller_tax_code=OTHER),
    )
    found = ask(
        store,
        "replaced-invoices",
        "first_invoice",
        "step",
        "relation",
        "identity",
        "standing",
        "document_uri",
    )
    short = [
        (a.rpartition("|")[2], step, how, one.rpartition("|")[2], now, uri)
        for a, step, how, one, now, uri in found
    ]
    assert sorted(short) == [
        ("1", 1, "", "1", "replaced", "/in/a"),
        ("1", 2, "replaces", "2", "adjusted", "/in/b"),
        ("1", 3, "adjusts", "3", "in force", "/in/c"),
        ("5", 1, "", "5", "replaced", "/in/e"),
        ("5", 2, "replaces", "6", "missing", None),
        ("99", 1, "", "99", "missing", None),
        ("99", 2, "replaces", "4", "in force", "/in/d"),
        ("circle", 0, "replaces", "7", "circle", "/in/f"),
        ("circle", 0, "replaces", "8", "circle", "/in/g"),
    ]
    assert ask(store, "unclear-corrections", "document_uri", "relation") == [("/in/h", "adjusts")]


def test_payment_without_cash_from_five_million(store: Store) -> None:
    day = {"issue_date": "2026-06-02"}
    put(
        store,
        below=made("1", total=4_999_999),
        at=made("2", total=5_000_000, issue_date="2026-05-02"),
        cash=made("3", total=9_000_000, payment_method="Tiền mặt", issue_date="2026-05-03"),
        open=made("4", total=9_000_000, payment_method="TM/CK", issue_date="2026-05-04"),
        silent=made("5", total=9_000_000, payment_method=None, issue_date="2026-05-05"),
        twice1=made("6", total=3_000_000, payment_method="TM", **day),
        twice2=made("7", total=3_000_000, **day),
        copy1=made("8", total=3_000_000, issue_date="2026-06-03"),
        copy2=made("08", total=3_000_000, issue_date="2026-06-03"),
        before=made("9", total=19_999_999, issue_date="2025-06-30", series="C25TAA"),
        dollars=made("10", total=900, currency="USD", payment_method="CK", issue_date="2026-06-04"),
        undated=made("11", total=9_000_000, issue_date=None),
        replaced=made("12", total=3_000_000, issue_date="2026-06-05"),
        replacing=made(
            "13",
            total=3_000_000,
            issue_date="2026-06-05",
            related_invoice="Thay thế hóa đơn ký hiệu C26TAA số 12",
        ),
        firm1=made("14", total=3_000_000, issue_date="2026-06-06"),
        firm2=made("15", total=3_000_000, issue_date="2026-06-06", buyer_tax_code="9900000032"),
    )
    found = {
        uri.removeprefix("/in/"): rest
        for uri, *rest in ask(store, "non-cash-payments", "document_uri", "needed", "payment", "day_vnd")
    }
    assert found == {
        "at": ["yes", "without cash", 5_000_000],
        "cash": ["yes", "cash", 9_000_000],
        "open": ["yes", "unknown", 9_000_000],
        "silent": ["yes", "unknown", 9_000_000],
        "twice1": ["yes", "cash", 6_000_000],
        "twice2": ["yes", "without cash", 6_000_000],
        "dollars": ["unknown", "without cash", None],
        "undated": ["unknown", "without cash", 9_000_000],
    }


@pytest.mark.medium
def test_suppliers_on_a_list(store: Store, tmp_path: Path) -> None:
    put(
        store,
        a=made("1", issue_date="2026-01-31"),
        b=made("2", issue_date="2026-02-01"),
        c=made("3", issue_date=None),
        d=made("4", seller_tax_code=f"{SELLER}-001", issue_date="2026-03-01"),
        e=made("5", seller_tax_code=OTHER),
        f=made("6", seller_tax_code="990000001677"),
        g=made("7", seller_tax_code="990000001"),  # its first zero was lost
    )
    listed = (Supplier(SELLER, since=date(2026, 2, 1), note="bỏ trốn"), Supplier("9900000032"))
    found = ask(store, "risky-suppliers", "document_uri", "note", "dated", suppliers=listed)
    assert sorted(found) == [
        ("/in/b", "bỏ trốn", "yes"),
        ("/in/c", "bỏ trốn", "unknown"),
        ("/in/d", "bỏ trốn", "yes"),
    ]
    zero = ask(store, "risky-suppliers", "document_uri", suppliers=(Supplier("0990000001"),))
    assert zero == [("/in/g",)]
    branch = ask(store, "risky-suppliers", "document_uri", suppliers=(Supplier(f"{SELLER}-001"),))
    assert branch == [("/in/d",)]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("tax_code,since,until,note\n9900000016,2026-02-01,,it's gone\n\n", "utf-8"),
        ("STT;Mã số thuế;Từ ngày;Tên người nộp thuế\r\n1;9900000016;01/02/2026;it's gone\r\n", "utf-8-sig"),
        ("MST;Từ ngày;Lý do\n9900000016;2026-02-01;it's gone\n", "utf-8"),
        ("MST\tTỪ NGÀY\tLý do\n9900000016\t01/02/2026\tit's gone\n", "utf-16"),
    ],
)
def test_a_list_of_suppliers_as_people_have_it(text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "risky.csv").write_text(text, encoding)
    [one] = suppliers.read(tmp_path / "risky.csv")
    assert one == Supplier("9900000016", date(2026, 2, 1), None, "it's gone")


HEADINGS = {
    "tax_code": ("tax_code", "Tax code", "MST", "Mã số thuế", "mã số doanh nghiệp", "taxcode"),
    "since": ("since", "from", "Từ ngày", "ngày bắt đầu", "ngày bỏ trốn"),
    "until": ("until", "to", "đến_ngày", "ngày  kết thúc"),
    "note": ("note", "ghi chú", "Lý do", "reason", "trạng thái", "tên", "TÊN NGƯỜI NỘP THUẾ", "name"),
}


def test_headings_of_a_list_of_suppliers(tmp_path: Path) -> None:
    cells = {"tax_code": SELLER, "since": "01/02/2026", "until": "2026-03-31", "note": "bỏ trốn"}
    for name, words in HEADINGS.items():
        for word in words:
            heads = [word if each == name else each for each in HEADINGS]
            (tmp_path / "risky.csv").write_text(f"{';'.join(heads)}\n{';'.join(cells.values())}\n", "utf-8")
            [one] = suppliers.read(tmp_path / "risky.csv")
            assert one == Supplier(SELLER, date(2026, 2, 1), date(2026, 3, 31), "bỏ trốn"), word


def test_columns_of_a_list_of_suppliers_that_mean_one_thing(tmp_path: Path) -> None:
    """The first that is filled counts; lines that say nothing are passed over."""
    lines = ("mst,từ_ngày,đến ngày,ghi chú,tên", "9900000016,01/02/2026,2026-03-31,,Công ty", ",,,")
    text = "\n".join((*lines, "9900000024,,,bỏ trốn,Khác", ""))
    (tmp_path / "risky.csv").write_text(text, "utf-8")
    assert suppliers.read(tmp_path / "risky.csv") == (
        Supplier("9900000016", date(2026, 2, 1), date(2026, 3, 31), "Công ty"),
        Supplier("9900000024", None, None, "bỏ trốn"),
    )
    (tmp_path / "risky.csv").write_bytes(b"mst\n\xff\xff9900000016\n")
    with pytest.raises(UsageError, match="is no text in UTF-8"):
        suppliers.read(tmp_path / "risky.csv")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no column tax_code or MST; found an empty line"),
        ("name,city\n", "names no column tax_code or MST; found name, city"),
        ("mst\n9900000016\n12\n", "line 3: '12' is no tax code"),
        ("mst,since\n9900000016,soon\n", "line 2: 'soon' is no date"),
        ("mst,since\n,2026-01-01\n", "line 2: there is no tax code"),
    ],
)
def test_a_broken_list_of_suppliers_is_told_in_one_line(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "risky.csv").write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        suppliers.read(tmp_path / "risky.csv")
    assert "\n" not in caught.value.message
    with pytest.raises(UsageError, match=r"cannot read the list of suppliers .*: No such file"):
        suppliers.read(tmp_path / "absent.csv")


def _sheet(path: Path, name: str) -> list[dict[str, Any]]:
    head, *rows = openpyxl.load_workbook(path)[name].iter_rows(values_only=True)
    return [dict(zip(map(str, head), row, strict=True)) for row in rows]


@pytest.mark.medium
def test_the_purchase_list(store: Store, tmp_path: Path) -> None:
    two_rates: dict[str, Any] = {
        "vat_rate": None,
        "lines": [
            {"name": "Gạo", "amount": "1000000", "vat_rate": "5%"},
            {"name": "=Bút", "amount": "2000000", "vat_rate": "8%"},
        ],
        "net": "3000000",
        "vat": "210000",
    }
    put(
        store,
        a=made("1"),
        b=made("2", issue_date="2026-05-02", **two_rates, total=3_210_000),
        c=made("3", issue_date="2026-05-03", **(two_rates | {"vat": "210001"})),
        review=made("4", state="review", payment_method="TM", total=9_000_000, issue_date="2026-05-04"),
        copy=made("00001"),
        old=made("5", issue_date="2026-05-05"),
        new=made("6", issue_date="2026-05-06", related_invoice="Thay thế cho hóa đơn ký hiệu C26TAA số 5"),
        half=made("7", state="partial"),
        bare=made("8", vat=None),
        undated=made("9", issue_date=None),
        nameless=made("9", series=None),
        dollars=made("10", currency="USD"),
        rated=made("13", total=110, currency="USD", exchange_rate="25400.5", issue_date="2026-05-07"),
        by_rate=made(
            "14",
            issue_date="2026-05-08",
            vat_rate=None,
            lines=[{"name": "Gạo", "amount": "300"}],
            net="300",
            vat="21",
            by_rate=[{"rate": "8%", "net": "200", "vat": "16"}, {"rate": "5%", "net": "100", "vat": "5"}],
        ),
        free=made(
            "15",
            issue_date="2026-05-09",
            vat_rate=None,
            lines=[
                {"name": "Muối", "amount": "500", "vat_rate": "KCT"},
                {"name": "Bút", "amount": "100", "vat_rate": "8%"},
            ],
            net="600",
            vat="8",
        ),
        less=made(
            "17",
            issue_date="2026-05-11",
            related_invoice="Điều chỉnh giảm cho hóa đơn mẫu số 1 ký hiệu C26TAA số 1",
        ),
        minus=made(
            "18",
            total=-1_100_000,
            issue_date="2026-05-12",
            related_invoice="Điều chỉnh giảm cho hóa đơn mẫu số 1 ký hiệu C26TAA số 1",
        ),
        fewer=made(
            "19",
            issue_date="2026-05-13",
            related_invoice="Điều chỉnh cho hóa đơn mẫu số 1 ký hiệu C26TAA số 1",
            lines=[{"name": "Giảm số lượng gạo", "amount": "1000000", "vat_rate": "10%"}],
        ),
        spelt=made(
            "20",
            issue_date="2026-05-14",
            related_invoice="Điều chỉnh cho hóa đơn mẫu số 1 ký hiệu C26TAA số 1",
            total_in_words="Giảm một triệu một trăm nghìn đồng",
        ),
        noted=made(
            "21",
            issue_date="2026-05-15",
            related_invoice="Điều chỉnh cho hóa đơn ký hiệu C26TAA số 1; ghi chú: điều chỉnh giảm",
        ),
        raised=made(
            "22",
            issue_date="2026-04-16",
            related_invoice="Điều chỉnh cho hóa đơn ký hiệu C26TAA số 1; ghi chú: thiếu phí giám định",
        ),
        whose=made("16", issue_date="2026-05-10", buyer_tax_code=None),
        early=made("11", issue_date="2026-04-30"),
        ours=made("12", buyer_tax_code="9900000032"),
    )
    out = tmp_path / "list.xlsx"
    period = {"since": date(2026, 5, 1), "until": date(2026, 5, 31)}
    listed = store.purchases(out, buyer=OTHER, **period)
    *rows, total = _sheet(out, "01-1")
    short = [
        (row["STT"], row["Số hóa đơn"], row["Giá trị chưa có thuế GTGT"], row["Thuế suất"], row["Thuế GTGT"])
        for row in rows
    ]
    assert short == [
        (1, "1", 1_000_000, "10%", 100_000),
        (2, "2", 1_000_000, "5%", 50_000),
        (3, "2", 2_000_000, "8%", 160_000),
        (4, "3", 3_000_000, None, 210_001),
        (5, "4", 8_181_818, "10%", 818_182),
        (6, "6", 1_000_000, "10%", 100_000),
        (7, "13", 2_540_050, "10%", 254_005),
        (8, "14", 200, "8%", 16),
        (9, "14", 100, "5%", 5),
        (10, "15", 100, "8%", 8),
        (11, "18", -1_000_000, "10%", -100_000),
    ]
    assert rows[6]["Ghi chú"] == "quy đổi từ USD, tỷ giá 25400.5"
    remarks = {row["Số hóa đơn"]: row["Ghi chú"] for row in rows}
    assert remarks["1"] is None and remarks["3"] == "chưa rõ thuế suất, hoặc nhiều thuế suất"
    assert remarks["4"] == "cần kiểm tra lại; trả bằng tiền mặt từ mức phải thanh toán không dùng tiền mặt"
    assert remarks["6"] == "thay thế cho hóa đơn mẫu số 1 ký hiệu C26TAA số 5"
    assert rows[1]["Mặt hàng"] == "Gạo và 1 mặt hàng khác" and rows[0]["Ngày lập"].date() == date(2026, 5, 1)
    assert (total["Giá trị chưa có thuế GTGT"], total["Thuế GTGT"]) == (listed.net, listed.vat)
    assert listed.net == sum(row[2] for row in short) and listed.rows == 11
    aside = {row["Tài liệu"].removeprefix("/in/"): row["Lý do"] for row in _sheet(out, "Để riêng")}
    assert aside == {
        "copy": "bản khác của cùng hóa đơn: /in/a",
        "old": "đã bị thay thế bởi hóa đơn khác",
        "half": "có trang chưa đọc được",
        "bare": "không đọc được giá trị chưa thuế hoặc tiền thuế",
        "undated": "không đọc được ngày lập",
        "nameless": "không đọc được mã số thuế người bán, ký hiệu hoặc số hóa đơn",
        "dollars": "không có tổng tiền bằng đồng",
        "free": "không chịu thuế hoặc không phải kê khai thuế: không có thuế được khấu trừ",
        "less": "điều chỉnh giảm mà số tiền in không có dấu âm: cần xác định dấu",
        "fewer": "điều chỉnh giảm mà số tiền in không có dấu âm: cần xác định dấu",
        "spelt": "điều chỉnh giảm mà số tiền in không có dấu âm: cần xác định dấu",
        "noted": "điều chỉnh giảm mà số tiền in không có dấu âm: cần xác định dấu",
        "whose": "không đọc được mã số thuế người mua",
    }
    assert store.purchases(out, **period).rows == 13  # with those of the other buyer
    april = {"since": date(2026, 4, 16), "until": date(2026, 4, 16)}
    assert store.purchases(out, **april).rows == 1, "an inspection is no reduction"
    with pytest.raises(UsageError, match=r"give a name that ends in \.xlsx"):
        store.purchases(tmp_path / "list.csv")


def test_shares_are_printed_or_proved() -> None:
    free = {"net": "100", "vat": None, "vat_rate": "KCT"}
    assert shares(free) == (Share("KCT", 100, 0),)  # type: ignore[arg-type]
    assert shares({"net": "0", "vat": "0"}) == (Share(None, 0, 0),)  # type: ignore[arg-type]
    assert shares({"net": "100"}) == ()
    line = {"amount": "100", "vat_rate": "8%"}
    lines = [line, {"amount": "100", "vat_rate": "10%"}]
    for printed in (None, "8%; 10%"):
        several = {"net": "200", "vat": "18", "vat_rate": printed, "lines": lines}
        assert shares(several) == (Share("10%", 100, 10), Share("8%", 100, 8))  # type: ignore[arg-type]
    both = {"net": "200", "vat": "8", "lines": [line, {"amount": "100", "vat_rate": None}]}
    assert [share.rate for share in shares(both)] == [None]
    # What is printed by rate goes before the lines; a rate of nothing needs no VAT of its own.
    by_rate = [{"rate": "KCT", "net": "150", "vat": None}, {"rate": "8%", "net": "50", "vat": "4"}]
    printed = {"net": "200", "vat": "4", "lines": lines, "by_rate": by_rate}
    assert shares(printed) == (Share("KCT", 150, 0), Share("8%", 50, 4))  # type: ignore[arg-type]
    for odd in (
        {"net": "201"},
        {"vat": "5"},
        {"by_rate": [by_rate[0], {"rate": None, "net": "50", "vat": "4"}]},
    ):
        assert [share.rate for share in shares(printed | odd)] == [None]
    # Lines without an amount say nothing; half a đồng of VAT is rounded up; one rate of all is the invoice's.
    half = [{"amount": "6.25", "vat_rate": "8%"}, {"amount": "10", "vat_rate": "10%"}, {"amount": None}]
    found = shares({"net": "16.25", "vat": "2", "lines": half})
    assert [(share.rate, share.net, share.vat) for share in found] == [
        ("10%", 10, 1), ("8%", Decimal("6.25"), 1)
    ]  # fmt: skip
    assert shares({"net": "1", "vat": "1", "lines": [line, line]}) == (Share("8%", 1, 1),)  # type: ignore[arg-type]
    assert shares({"net": "1", "vat": "1", "vat_rate": "5%", "lines": lines})[0].rate == "5%"
    assert shares({"net": "0", "vat": None, "lines": [{"amount": "1", "vat_rate": "0%"}]}) == (
        Share("0%", 0, 0),  # type: ignore[arg-type]
    )
