"""Values as text, as numbers, in their types, and as the columns of a Parquet file."""

from __future__ import annotations

import io
import json
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store import formats, links, parquet, shadows, url
from pipeline.store.query import Rows, number
from pipeline.store.values import plain, typed

DAY, MOMENT = date(2026, 5, 1), datetime(2026, 5, 1, 8, 30)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (0.1, "0.1"),
        (float("inf"), "inf"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.10"), "0.10"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (DAY, "2026-05-01"),
        (MOMENT, "2026-05-01T08:30:00"),
        ({"tên": ["Bút"]}, '{"tên": ["Bút"]}'),
        (["đỏ"], '["đỏ"]'),
        ("đỏ", "đỏ"),
    ],
)
def test_a_value_as_text(value: Any, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("1.50", "decimal", Decimal("1.50")),
        (1.5, "decimal", Decimal("1.5")),
        ("2026-05-01", "date", DAY),
        (DAY, "date", DAY),
        ("2026-05-01T08:30:00", "datetime", MOMENT),
        (MOMENT, "datetime", MOMENT),
        (1, "boolean", True),
        (0, "boolean", False),
        (True, "boolean", True),
        (None, "decimal", None),
        ("1.50", "text", "1.50"),
    ],
)
def test_a_value_in_its_type(value: Any, kind: str, expected: Any) -> None:
    assert typed(value, kind) == expected and type(typed(value, kind)) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"), [(True, "decimal"), (2, "boolean"), ("ja", "boolean"), ("x", "date")]
)
def test_a_value_of_another_type_is_told_apart(value: Any, kind: str) -> None:
    with pytest.raises((ValueError, InvalidOperation)):
        typed(value, kind)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("999999999999999999", 999999999999999999),
        ("-999999999999999999", -999999999999999999),
        ("1000000000000000000", "1000000000000000000"),
        ("123456789012.345", 123456789012.345),
        ("-12345678901234.5", -12345678901234.5),
        ("1234567890123456.5", "1234567890123456.5"),
        ("0.30", 0.3),
    ],
)
def test_a_decimal_is_a_number_where_one_holds_every_digit(value: str, shown: Any) -> None:
    assert number(Decimal(value)) == shown and type(number(Decimal(value))) is type(shown)


NINES = Decimal("9" * 28)


@pytest.mark.parametrize(
    ("kind", "values", "column"),
    [
        (None, [True, None, False], pa.bool_()),
        (None, [10**18 - 1], pa.int64()),
        (None, [10**18], pa.decimal128(38, 10)),
        (None, [1, 0.5], pa.float64()),
        (None, [Decimal("1.5"), 2], pa.decimal128(38, 10)),
        (None, [Decimal("0.123456789012")], pa.decimal128(38, 12)),
        (None, [NINES], pa.decimal128(38, 10)),
        (None, [NINES * 10], pa.decimal128(38, 0)),
        (None, [Decimal(10**40)], pa.decimal256(76, 0)),
        (None, [Decimal(10**75), Decimal("0.5")], pa.string()),
        (None, [DAY], pa.date32()),
        (None, [MOMENT], pa.timestamp("us")),
        (None, [DAY, "soon"], pa.string()),
        (None, [None], pa.string()),
        ("integer", [None], pa.int64()),
        ("integer", [10**18 - 1], pa.int64()),
        ("integer", [10**18], pa.decimal128(38, 10)),
        ("decimal", ["1.5", 2], pa.decimal128(38, 10)),
        ("decimal", [str(NINES)], pa.decimal128(38, 10)),
        ("decimal", ["0.12345678901"], pa.decimal128(38, 11)),
        ("decimal", [True], pa.bool_()),
        ("real", [1], pa.float64()),
        ("boolean", [0, 1], pa.bool_()),
        ("boolean", [0, 7], pa.int64()),  # another column of that name
        ("date", ["2026-05-01"], pa.date32()),
        ("date", ["2026-05-01", "soon"], pa.string()),
        ("datetime", ["2026-05-01T08:30:00"], pa.timestamp("us")),
        ("json", [{"a": 1}, "[]"], pa.string()),
        ("text", ["x"], pa.string()),
    ],
)
def test_a_parquet_column_has_the_type_that_holds_every_value(
    kind: str | None, values: list[Any], column: pa.DataType
) -> None:
    rows = Rows(("a",), iter([(value,) for value in values]), {} if kind is None else {"a": kind})
    formats.write(rows, "parquet", out := io.BytesIO())
    table = pq.read_table(out)
    assert table.schema.field("a").type == column
    read = table.column("a").to_pylist()
    if column == pa.string():
        assert read == [None if value is None else plain(value) for value in values]
    elif column in (pa.bool_(), pa.int64(), pa.float64()) or kind is None:
        assert read == values
    else:
        assert read == [typed(value, kind or "") for value in values]


def test_parquet_of_several_batches_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_BATCH", 2)
    for count in (4, 5):
        rows = Rows(("n", "odd"), iter([(n, bool(n % 2)) for n in range(count)]), {})
        out = io.BytesIO()
        assert formats.write(rows, "parquet", out) == count
        assert pq.read_table(out).column("n").to_pylist() == list(range(count))


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("/in/Hóa đơn 1.pdf", "file:///in/Hóa%20đơn%201.pdf"),
        ("/in/may.zip!/inner/1.pdf", "file:///in/may.zip"),
        ('/in/a"b#c%\u200bd', "file:///in/a%22b%23c%25%E2%80%8Bd"),
        ("s3://kho/1.pdf", None),
    ],
)
def test_where_a_person_finds_a_file(uri: str, link: str | None) -> None:
    assert links.of_file(uri) == link
    assert links.of_review("http://127.0.0.1:8760/", 7) == "http://127.0.0.1:8760/documents/7"


def test_a_share_of_documents_is_the_same_in_every_version() -> None:
    """Else a shadow that goes on would read others."""
    share = {name: shadows.is_chosen(f"/in/{name}.pdf", 0.607) for name in "abc"}
    assert share == {"a": True, "b": False, "c": True}
    assert not shadows.is_chosen("/in/a.pdf", 0.606)
    assert shadows.is_chosen("/in/b.pdf", 1.0) and not shadows.is_chosen("/in/b.pdf", 0.0)
    assert shadows._named("x" * 55) == f"_shadow_{'x' * 55}"
    assert shadows._named("x" * 56) == f"_shadow_{'x' * 46}_04c26261"


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ("postgres://an@h/db", "postgresql+psycopg://an@h/db"),
        ("postgresql+psycopg://an@h/db", "postgresql+psycopg://an@h/db"),
        ("sqlite+pysqlite:////in/a.db", "sqlite+pysqlite:////in/a.db"),
        ("sqlite:////in/a.db", "sqlite+pysqlite:////in/a.db"),
        ("/in/a.db", "sqlite+pysqlite:////in/a.db"),
    ],
)
def test_forms_of_a_stores_address(given: str, parsed: str) -> None:
    assert url.parse(given).render_as_string() == parsed


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql+psycopg://an:s3cret@h:5/db", "postgresql://an:***@h:5/db"),
        (
            "postgresql://h/db?sslmode=require&sslpassword=s3cret",
            "postgresql://h/db?sslmode=require&sslpassword=***",
        ),
        ("an:s3cret@h", "(not a database URL)"),
        ("mysql://an:s3cret@h", "mysql://an:***@h"),
    ],
)
def test_an_address_is_shown_without_its_password(given: str, shown: str) -> None:
    assert url.shown(given) == shown


def test_columns_of_figures_stand_to_the_right() -> None:
    batch = [(1, "x", None, True, Decimal("2.5"), None), (2.5, "y", None, False, None, 3)]
    rows = Rows(tuple("abcdef"), iter(batch), {"c": "decimal", "b": "text"})
    assert formats._figures(rows, batch) == {0, 2, 4, 5}
    assert formats._figures(Rows(("a", "b"), iter([]), {"a": "integer", "b": "real"}), []) == {0, 1}


def test_json_of_a_query_has_values_of_its_own_kinds() -> None:
    values = ('{"a": 1}', Decimal("1.50"), DAY, [1], "[no json", True, None, Decimal("7"))
    rows = Rows(tuple("abcdefgh"), iter([values, values]), {"a": "json", "e": "json", "f": "json"})
    out = io.BytesIO()
    assert formats.write(rows, "json", out) == 2
    first, second = json.loads(out.getvalue())
    assert first == second == {
        "a": {"a": 1}, "b": 1.5, "c": "2026-05-01", "d": [1], "e": "[no json", "f": True, "g": None, "h": 7
    }  # fmt: skip


def test_csv_for_a_persons_terminal_keeps_to_its_line() -> None:
    rows = lambda: Rows(("a\n", "b"), iter([("x\ny", "=1"), (None, "\x1b[31m")]), {})  # noqa: E731
    formats.write(rows(), "csv", plain_ := io.BytesIO())
    formats.write(rows(), "csv", shown := io.BytesIO(), shown=True, bom=True)
    assert plain_.getvalue().decode() == '"a\n",b\n"x\ny",\'=1\n,\x1b[31m\n'
    text = shown.getvalue().decode()
    assert text.startswith("\ufeff") and text.count("\n") == 3 and "\x1b" not in text
