"""Queries cannot write, whatever they say; answers in each format; exports."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from pipeline import store as stores
from pipeline.errors import Permanent, Reason, UsageError
from pipeline.records import Failure
from pipeline.settings import SourceSettings
from pipeline.store import Store, formats, query, reader
from pipeline.store.query import Rows
from pipeline.store.tables import metadata
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Server
from tests.store import samples
from tests.store.samples import finish, invoice, refs

LONG_SUM = "1234567890123456.78"


@pytest.fixture
def filled(store: Store) -> Store:
    job = samples.job(store)
    store.ledger.add(job, refs("a", "b", "c"))
    a, b, c = store.ledger.claim(job, "w", 3, 60)
    finish(store, a, invoice("=1+1", total="1100000.50"))
    finish(store, b, invoice("\x1b[31mđỏ\n", total=LONG_SUM, state="review"))
    store.ledger.quarantine(c, Failure(Reason.pdf_damaged, "bad"))
    return store


WRITES = (
    "DELETE FROM documents",
    "UPDATE jobs SET name = 'x'",
    "INSERT INTO jobs (name) VALUES ('x')",
    "DROP TABLE checks",
    "DROP VIEW invoice_v1",
    "CREATE TABLE t (a int)",
    "SELECT 1; DELETE FROM documents",
    "COMMIT; DELETE FROM documents",
    "WITH gone AS (DELETE FROM documents RETURNING 1) SELECT * FROM gone",
    "SELECT nextval('jobs_id_seq')",
    "PRAGMA query_only = OFF",
    "ATTACH DATABASE 'FOLDER/other.db' AS other",
    "VACUUM INTO 'FOLDER/other.db'",
    "COPY documents TO 'FOLDER/other.db'",
    "SET TRANSACTION READ WRITE",
    "VACUUM",
    "SELEC 1",
    "SELECT * FROM no_such_table",
    "",
)


@pytest.mark.medium
def test_a_query_cannot_write(filled: Store, tmp_path: Path) -> None:
    def everything() -> list[object]:
        with filled._db.read() as connection:
            return [
                connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2").all()
                for table in ("jobs", "documents", "pages", "extractions", "fields", "checks")
            ]

    before = everything()
    for sql in (text.replace("FOLDER", str(tmp_path)) for text in WRITES):
        with pytest.raises(UsageError, match=r"^the query failed: .+") as caught, filled.query(sql) as rows:
            list(rows)
        assert "\n" not in caught.value.message
        assert everything() == before and not (tmp_path / "other.db").exists(), sql


def test_a_query_reads_while_others_write(filled: Store) -> None:
    job = filled.jobs.find("june")
    with filled.query("SELECT uri FROM documents ORDER BY uri;") as rows:
        first = next(iter(rows))
        filled.ledger.add(job, refs("new"))
        assert [first, *rows] == [("/in/a",), ("/in/b",), ("/in/c",)]
    with filled.query("SELECT 'a:b %s %(x)s' AS text") as rows:
        assert list(rows) == [("a:b %s %(x)s",)]


def _written(store: Store, format: str, sql: str) -> bytes:
    out = io.BytesIO()
    with store.query(sql) as rows:
        formats.write(rows, format, out)
    return out.getvalue()


VIEW = "SELECT number, issue_date, total, vat_rate FROM invoice_v1 ORDER BY document_uri"


def test_csv_and_json_keep_every_digit(filled: Store) -> None:
    read = list(csv.DictReader(io.StringIO(_written(filled, "csv", VIEW).decode())))
    assert (
        read[0]["number"] == "'=1+1" and read[0]["issue_date"] == "2026-05-01" and read[0]["vat_rate"] == ""
    )
    assert Decimal(read[0]["total"]) == Decimal("1100000.5") and read[1]["total"] == LONG_SUM
    parsed = json.loads(_written(filled, "json", VIEW))
    assert [row["total"] for row in parsed] == [1100000.5, LONG_SUM]
    assert parsed[0]["issue_date"] == "2026-05-01" and parsed[0]["vat_rate"] is None
    assert json.loads(_written(filled, "json", "SELECT uri FROM documents WHERE uri = 'no'")) == []


COMPUTED = (
    "=1+1", "+84 90", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\rx", "\n=1", "  =1", "\u00a0=1", "\u200b=1",
    "\ufeff=1", "\x00=1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20A", "'=1", "''=1", "-1+2", "-",
    "-1e5", "+5",
)  # fmt: skip
KEPT = ("", "7", "-5", "-5.25", "a=1", "Bút", "'tis", "1-2", "đ@", "'")


@pytest.mark.parametrize("text", COMPUTED)
def test_a_spreadsheet_computes_nothing(text: str) -> None:
    cell = formats.harmless(text)
    assert cell == "'" + text
    assert formats.harmless(cell) == "'" + cell  # so that one apostrophe always comes off


@pytest.mark.parametrize("text", KEPT)
def test_a_cell_that_is_no_formula_stays(text: str) -> None:
    assert formats.harmless(text) == text


@pytest.mark.medium
def test_csv_is_harmless_in_a_query_and_an_export_unless_it_is_raw(store: Store, tmp_path: Path) -> None:
    job = samples.job(store)
    texts = [text for text in COMPUTED if "\x00" not in text]
    store.ledger.add(job, refs(*map(str, range(len(texts)))))
    for lease, text in zip(store.ledger.claim(job, "w", len(texts), 60), texts, strict=True):
        finish(store, lease, invoice(text, total="-5.25"))
    sql = "SELECT number, total, -5 AS five, '=2' AS two FROM invoice_v1"

    def rows(text: bytes) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline="")))

    def written(name: str, **options: bool) -> list[dict[str, str]]:
        store.export(job, tmp_path / name, **options)
        return rows((tmp_path / name).read_bytes())

    with store.query(sql) as found:
        formats.write(found, "csv", raw := io.BytesIO(), raw=True)
    for exact in (rows(raw.getvalue()), written("raw.csv", raw=True)):
        assert sorted(row["number"] for row in exact) == sorted(texts)
    for safe in (rows(_written(store, "csv", sql)), written("safe.csv")):
        assert sorted(row["number"][1:] for row in safe) == sorted(texts)
        assert {row["number"][0] for row in safe} == {"'"}
        assert {Decimal(row["total"]) for row in safe} == {Decimal("-5.25")}
    assert {(row["five"], row["two"]) for row in rows(_written(store, "csv", sql))} == {("-5", "'=2")}


@pytest.mark.medium
@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet", "xlsx"])
def test_an_export_is_for_its_owner_alone(filled: Store, tmp_path: Path, format: str) -> None:
    out = tmp_path / f"out.{format}"
    out.touch(0o644)  # from an older version
    before = os.umask(0)
    try:
        exported = filled.export(filled.jobs.find("june"), out)
    finally:
        os.umask(before)
    assert [Path(path).stat().st_mode & 0o777 for path, _ in exported.files] == [0o600] * len(exported.files)


def test_a_row_of_too_many_columns_is_shown_as_a_list(filled: Store) -> None:
    columns = ", ".join(f"'value {number}' AS column_{number}" for number in range(15))
    lines = _written(filled, "table", f"SELECT {columns}").decode().splitlines()
    assert any("column_14" in line and "value 14" in line for line in lines)


def test_a_table_does_not_steer_the_terminal(filled: Store) -> None:
    text = _written(filled, "table", VIEW).decode()
    assert "\x1b" not in text and "đỏ" in text and "=1+1" in text
    assert "no rows (uri)" in _written(filled, "table", "SELECT uri FROM documents WHERE uri = 'no'").decode()


def test_parquet_has_decimals_and_dates(filled: Store) -> None:
    table = pq.read_table(io.BytesIO(_written(filled, "parquet", VIEW + ", number")))
    assert table.schema.field("total").type == pa.decimal128(38, 10)
    assert table.schema.field("issue_date").type == pa.date32()
    assert table.schema.field("number").type == pa.string()
    assert table.column("total").to_pylist() == [Decimal("1100000.5"), Decimal(LONG_SUM)]
    assert table.column("issue_date").to_pylist() == [date(2026, 5, 1)] * 2
    counted = pq.read_table(io.BytesIO(_written(filled, "parquet", "SELECT count(*) AS n FROM documents")))
    assert counted.schema.field("n").type == pa.int64() and counted.to_pylist() == [{"n": 3}]
    empty = pq.read_table(io.BytesIO(_written(filled, "parquet", VIEW.replace("ORDER", "WHERE 1 = 0 ORDER"))))
    assert empty.num_rows == 0 and empty.column_names == ["number", "issue_date", "total", "vat_rate"]


def test_parquet_has_the_types_of_the_schema_whatever_the_data(store: Store, tmp_path: Path) -> None:
    """A month without one date or sum has the same columns as any other, and the two are one table."""
    for name, total in (("full", "1100000.50"), ("empty", None)):
        job = samples.job(store, name)
        store.ledger.add(job, refs(name))
        [lease] = store.ledger.claim(job, "w", 1, 60)
        made = invoice(total=total)
        if total is None:
            made = replace(made, record=dict.fromkeys(made.record, None) | {"lines": []}, fields=())
        finish(store, lease, made)
        store.export(job, tmp_path / f"{name}.parquet")
    full, empty = (pq.read_schema(tmp_path / f"{name}.parquet") for name in ("full", "empty"))
    assert full == empty and full.field("issue_date").type == pa.date32()
    assert full.field("total").type == pa.decimal128(38, 10)
    lines, no_lines = (pq.read_schema(tmp_path / f"{name}_lines.parquet") for name in ("full", "empty"))
    assert lines == no_lines and lines.field("no").type == pa.int64()


def test_a_number_that_the_schemas_type_cannot_hold_is_exact_all_the_same() -> None:
    long = Decimal("0.123456789012")
    rows = Rows(("total", "n"), iter([(long, 2**63)]), {"total": "decimal", "n": "integer"})
    formats.write(rows, "parquet", out := io.BytesIO())
    [read] = pq.read_table(out).to_pylist()
    assert read["total"] == long and str(read["n"]).partition(".")[0] == str(2**63)


@pytest.mark.medium
def test_a_folder_becomes_a_dataset_with_a_partition_for_each_job(filled: Store, tmp_path: Path) -> None:
    odd = samples.job(filled, "a/b=c d%")
    filled.ledger.add(odd, refs("z"))
    [lease] = filled.ledger.claim(odd, "w", 1, 60)
    finish(filled, lease, invoice("z"))
    for job in (filled.jobs.find("june"), odd, odd):  # once more replaces its own
        exported = filled.export(job, f"{tmp_path}/lake/")
    assert exported.files[0] == (f"{tmp_path}/lake/invoice_v1/job=a%2Fb%3Dc%20d%25/part-0.parquet", 1)
    table = dataset.dataset(tmp_path / "lake/invoice_v1", partitioning="hive").to_table()
    assert sorted(zip(table["job"].to_pylist(), table["document_uri"].to_pylist(), strict=True)) == [
        ("a/b=c d%", "/in/z"),
        ("june", "/in/a"),
        ("june", "/in/b"),
    ]
    assert dataset.dataset(tmp_path / "lake/invoice_v1_lines", partitioning="hive").count_rows() == 6
    assert filled.export(odd, tmp_path / "lake", "csv").files[0][0].endswith("/part-0.csv")


@pytest.mark.medium
def test_an_export_goes_to_a_bucket(
    filled: Store, moto: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    bucket = moto.bucket()
    settings = SourceSettings(s3_endpoint=moto.endpoint, attempts=1)
    job = filled.jobs.find("june")
    filled.export(job, f"s3://{bucket}/out.csv", settings=settings)
    filled.export(job, f"s3://{bucket}/lake/", settings=settings)
    there = {item["Key"] for item in moto.client().list_objects_v2(Bucket=bucket)["Contents"]}
    part = "job=june/part-0.parquet"
    lists = ("", "_lines", "_each_fee", "_by_rate")
    parts = {f"lake/invoice_v1{name}/{part}" for name in lists}
    assert there == {f"out{name}.csv" for name in (*lists, "_to_check")} | parts
    read = pq.read_table(
        io.BytesIO(moto.client().get_object(Bucket=bucket, Key=f"lake/invoice_v1/{part}")["Body"].read())
    )
    assert read["document_uri"].to_pylist() == ["/in/a", "/in/b"]
    assert list(Path().iterdir()) == []  # and nowhere else
    with pytest.raises(Permanent, match="no-such-bucket") as caught:
        filled.export(job, "s3://no-such-bucket/out.csv", settings=settings)
    assert caught.value.reason is Reason.bucket_missing


def test_json_is_json_on_both_databases(filled: Store) -> None:
    sql = "SELECT sources, record FROM jobs, extractions WHERE jobs.name = 'june'"
    first = json.loads(_written(filled, "json", sql))[0]
    assert first["sources"] == ["in"] and first["record"]["lines"][0]["no"] == 1
    assert json.loads(_written(filled, "json", "SELECT 'no JSON' AS record"))[0] == {"record": "no JSON"}


def test_what_the_tables_hold_as_json_is_json(filled: Store) -> None:
    for column, table in (
        ("settings", "jobs"), ("sources", "jobs"), ("views", "jobs"), ("record", "extractions"),
        ("box", "fields"), ("fields", "checks"), ("suspects", "checks"),
    ):  # fmt: skip
        sql = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"
        found = [row[column] for row in json.loads(_written(filled, "json", sql))]
        assert found and all(isinstance(value, (list, dict)) for value in found), column


def test_what_a_query_does_wrong_is_told_in_its_own_words(filled: Store) -> None:
    if filled.one_machine:
        wrong = {"SELECT json('{')": "malformed JSON", "SELECT no_such": "no such column: no_such"}
    else:
        wrong = {
            "SELECT 1 / 0": "division by zero",
            "SELECT (SELECT 1 UNION SELECT 2)": "more than one row returned by a subquery .* expression",
            "SELECT repeat('x', 1500000000)": "requested length too large",
            "SELECT uri FROM documents GROUP BY 1 FOR UPDATE": "FOR UPDATE is not allowed with GROUP BY .*",
            "SELECT no_such": 'column "no_such" does not exist',
        }
    for sql, told in wrong.items():
        with pytest.raises(UsageError, match=f"^the query failed: {told}$"), filled.query(sql) as rows:
            list(rows)


def test_an_answer_that_finds_no_room_is_no_short_one(
    filled: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(query, "_IN_MEMORY", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with (
        pytest.raises(UsageError, match=r"does not fit into the temporary folder \(No such file"),
        filled.query("SELECT uri FROM documents") as rows,
    ):
        list(rows)


def test_an_unknown_format_is_told(filled: Store) -> None:
    with pytest.raises(UsageError, match="no format 'pdf'; there are table, csv, json, parquet"):
        _written(filled, "pdf", VIEW)


def test_exports_have_every_result(filled: Store, tmp_path: Path) -> None:
    job = filled.jobs.find("june")
    exported = filled.export(job, tmp_path / "out.csv")
    assert [(Path(path).name, number) for path, number in exported.files] == [
        ("out.csv", 2),
        ("out_lines.csv", 4),
        ("out_each_fee.csv", 0),
        ("out_by_rate.csv", 0),
        ("out_to_check.csv", 1),
    ]
    assert exported.left_out == 1
    lines = list(csv.DictReader((tmp_path / "out_lines.csv").read_text("utf-8-sig").splitlines()))
    assert (lines[0]["document_uri"], lines[0]["line"], lines[0]["name"]) == ("/in/a", "1", "Bút")

    filled.export(job, tmp_path / "out.jsonl")
    documents = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [(found["document_uri"], found["state"], found["reason"]) for found in documents] == [
        ("/in/a", "done", None),
        ("/in/b", "review", None),
        ("/in/c", "quarantined", "pdf_damaged"),
    ]
    assert documents[1]["record"]["total"] == LONG_SUM and documents[1]["record"]["lines"][0]["name"] == "Bút"
    assert documents[1]["sources"]["seller_name"] == "xml" and documents[1]["sources"]["number"] == "read"
    assert documents[1]["fields"]["buyer_name"]["absence"] == "not_on_page"
    assert [told["verdict"] for told in documents[1]["witnesses"]] == ["agrees", "differs", "offers"]
    assert list(documents[0]["record"])[:2] == ["form_no", "series"]  # in the order of the schema

    filled.export(job, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.field("issue_date").type == pa.date32()
    assert table.column("total").to_pylist() == [Decimal("1100000.5"), Decimal(LONG_SUM)]
    assert pq.read_schema(tmp_path / "out_lines.parquet").field("line").type == pa.int64()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".db")[0] == "out.csv"


def test_a_workbook_computes_nothing(filled: Store, tmp_path: Path) -> None:
    exported = filled.export(filled.jobs.find("june"), tmp_path / "out.xlsx")
    assert exported.files == ((f"{tmp_path}/out.xlsx", 2),)
    book = openpyxl.load_workbook(tmp_path / "out.xlsx")
    lists = ["invoice_v1_lines", "invoice_v1_each_fee", "invoice_v1_by_rate"]
    assert book.sheetnames == ["invoice_v1", "to check", *lists, "not read", "legend"]
    unread = [[cell.value for cell in row] for row in book["not read"].iter_rows(min_row=3)]
    assert unread == [["/in/c", "pdf_damaged", "bad"]]
    header, _, first, second = book["invoice_v1"].iter_rows()
    columns = [cell.value for cell in header]
    number, total, day = (columns.index(name) for name in ("number", "total", "issue_date"))
    assert (first[number].value, first[number].data_type) == ("=1+1", "s")
    assert "đỏ" in second[number].value and "\x1b" not in second[number].value
    assert first[total].value == 1100000.5 and second[total].value == LONG_SUM
    assert first[day].value.date() == date(2026, 5, 1)


def test_an_export_appears_whole_or_not_at_all(filled: Store, tmp_path: Path) -> None:
    job = filled.jobs.find("june")
    with pytest.raises(UsageError, match="there is no folder"):
        filled.export(job, tmp_path / "no" / "out.csv")
    with pytest.raises(UsageError, match="no format 'pdf'; there are csv, jsonl, parquet, xlsx"):
        filled.export(job, tmp_path / "out.pdf")
    (tmp_path / "out.jsonl").write_text("older")
    with filled._db.write() as connection:
        connection.exec_driver_sql("UPDATE fields SET type = 'integer', value = 'x'")
    with pytest.raises(ValueError, match="invalid literal"):
        filled.export(job, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "older"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


def test_a_store_that_may_only_be_read_can_be_queried(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with stores.open(f"sqlite:///{path}") as store:
        samples.job(store)
    path.chmod(0o444)
    with (
        stores.open(f"sqlite:///{path}", create=False) as store,
        store.query("SELECT name FROM jobs") as rows,
    ):
        assert list(rows) == [("june",)]


# what a query may not do on PostgreSQL, whoever the store's user is

REACHES_OUT = (
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT rolpassword FROM pg_authid",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "COPY documents TO PROGRAM 'cat'",
    "COPY (SELECT 1) TO STDOUT",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity",
    "SELECT pg_reload_conf()",
    "SELECT pg_advisory_lock(1)",
    'SELECT "pg_advisory_lock" /* a name in quotes */ (1)',
    "SELECT PG_TRY_ADVISORY_LOCK_SHARED(1)",
    "SELECT pg_catalog.pg_advisory_xact_lock(1, 2)",
    r'SELECT U&"pg_advisory\005flock"(1)',
    "SELECT * FROM documents FOR UPDATE",
    "SELECT pg_create_physical_replication_slot('mine')",
    "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')",
    "SELECT pg_drop_replication_slot('mine')",
    "SELECT pg_switch_wal()",
    "SELECT pg_notify('a', 'b')",
    "SELECT pg_sleep(1)",
    "SELECT set_config('role', 'none', false), query_to_xml('SELECT pg_read_file(1)', true, true, '')",
    "SELECT query_to_xml('SELECT pg_advisory_' || 'lock(1)', true, true, '')",
    "SELECT ts_stat('SELECT pg_advisory_' || 'lock(1)')",
    "SET ROLE none",
    "RESET ROLE",
    "SET LOCAL statement_timeout = 0",
    "SELECT 1; RESET ROLE; SELECT pg_read_file('/etc/passwd')",
    "SELECT 1; COMMIT; DELETE FROM documents",
    "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$",
    "LISTEN a",
    "LOCK TABLE documents",
)


@pytest.fixture
def superusers(postgres_url: str) -> Iterator[Store]:
    with stores.open(postgres_url) as store:
        samples.job(store)
        yield store


@pytest.mark.parametrize("has_role", [True, False], ids=["as the reader", "with its own rights"])
def test_a_query_reaches_nothing_but_rows(superusers: Store, has_role: bool) -> None:
    refused = REACHES_OUT
    if not has_role:
        _without_reader(superusers)
        # What a superuser may read by no function's name: that is what the role is for.
        refused = tuple(sql for sql in REACHES_OUT if "hba" not in sql and "authid" not in sql)
    for sql in refused:
        with pytest.raises(UsageError, match=r"^the query failed: .+") as caught, superusers.query(sql):
            pytest.fail(f"{sql} was let through")
        assert "\n" not in caught.value.message
    with superusers._db.read() as connection:
        for left in (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
            "SELECT count(*) FROM pg_replication_slots",
            "SELECT count(*) FROM pg_largeobject_metadata",
        ):
            assert connection.exec_driver_sql(left).scalar_one() == 0


def _without_reader(store: Store) -> None:
    with store._db.write() as connection:
        role = reader.name(connection)
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")


def test_a_database_that_was_restored_without_its_role_gets_it_again(superusers: Store) -> None:
    _without_reader(superusers)
    with superusers._db.write() as connection:
        connection.exec_driver_sql("CREATE TABLE foreign_to_us (a text)")
    with stores.open(superusers._db.url.render_as_string(hide_password=False), create=False) as store:
        for name in (*metadata.tables, "invoice_v1", "invoice_v1_lines"):
            with store.query(f"SELECT count(*), current_user LIKE 'vinbatch_reader_%' FROM {name}") as rows:
                [(_, as_reader)] = list(rows)
                assert as_reader
        denied = r"permission denied for table foreign_to_us \(it runs as vinbatch_reader_\d+\)$"
        with pytest.raises(UsageError, match=denied), store.query("SELECT * FROM foreign_to_us"):
            pass


@pytest.mark.medium
def test_a_role_that_may_do_more_than_read_is_not_taken(superusers: Store) -> None:
    with superusers._db.write() as connection:
        role = reader.name(connection)
        assert reader.usable(connection) == role
        for right in ("SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"):
            connection.exec_driver_sql(f"ALTER ROLE {role} {right}")
            assert reader.usable(connection) is None, right
            connection.exec_driver_sql(f"ALTER ROLE {role} NO{right}")
        assert reader.usable(connection) == role


HARMLESS = """array_sample array_shuffle bernoulli clock_timestamp gen_random_uuid pg_database_size
pg_indexes_size pg_relation_size pg_table_size pg_total_relation_size random random_normal system timeofday
uuidv4 uuidv7"""


def test_functions_that_only_compute_are_let_through(superusers: Store) -> None:
    with superusers.query(f"SELECT '{HARMLESS}'") as rows:  # a name is looked for wherever it stands
        assert len(list(rows)) == 1
    for sql in (
        "SELECT count(*), max(name) FROM jobs WHERE random() < 2 AND clock_timestamp() > now()",
        "SELECT current_user LIKE 'vinbatch_reader_%', 'a lock (of no function)'",
        "SELECT pg_total_relation_size('documents') > 0, coalesce(lower('A'), version())",
    ):
        with superusers.query(sql) as rows:
            assert len(list(rows)) == 1


def test_a_superusers_url_is_warned_of_and_so_is_a_missing_role(
    superusers: Store, postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    def told(store: Store) -> list[str]:
        caplog.clear()
        with store.query("SELECT current_user") as rows:
            list(rows)
        return [record.getMessage() for record in caplog.records]

    [superuser] = told(superusers)
    assert "is a superuser; give Vinbatch one of its own" in superuser
    name = superusers._db.url.database
    with superusers._db.write() as connection:
        role = reader.name(connection)
        connection.exec_driver_sql("DROP ROLE IF EXISTS plain")
        connection.exec_driver_sql("CREATE ROLE plain LOGIN")
        connection.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain")
    with stores.open(f"postgresql://plain@127.0.0.1:{postgres_server.port}/{name}", create=False) as store:
        [missing] = told(store)
        assert missing.startswith("the query runs with all the rights of the store's user: ")
        assert missing.endswith(f"there is no role {role} that it may take")
        with superusers._db.write() as connection:
            connection.exec_driver_sql(f"GRANT {role} TO plain")
        assert told(store) == []
        with superusers._db.write() as connection:  # a role that may do more than read is not taken
            connection.exec_driver_sql(f"GRANT pg_read_server_files TO {role}")
        assert "no role" in told(store)[0]
    with superusers._db.write() as connection:
        connection.exec_driver_sql("DROP OWNED BY plain")
        connection.exec_driver_sql("DROP ROLE plain")


@pytest.mark.medium
def test_a_user_who_may_make_no_roles_can_have_a_store(postgres_server: PostgresServer) -> None:
    postgres_server.execute("DROP ROLE IF EXISTS modest")
    postgres_server.execute("CREATE ROLE modest LOGIN")
    name = postgres_server.create_database("OWNER modest").rpartition("/")[2]
    with stores.open(f"postgresql://modest@127.0.0.1:{postgres_server.port}/{name}") as store:
        samples.job(store)
        with store.query("SELECT name FROM jobs") as rows:
            assert list(rows) == [("june",)]
        with pytest.raises(UsageError, match="pg_terminate_backend does more than read"):
            store.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity").__enter__()
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    postgres_server.execute("DROP ROLE modest")


ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT count(*) FROM generate_series(1, 1000000000000) AS n(i) WHERE i % 7 = 1",
}
ROW_BY_ROW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    "postgresql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
}


@pytest.mark.medium
@pytest.mark.parametrize("endless", [ENDLESS, ROW_BY_ROW], ids=["at one go", "row by row"])
def test_a_query_ends_when_its_time_is_over(filled: Store, endless: dict[str, str]) -> None:
    kind = "sqlite" if filled.one_machine else "postgresql"
    with pytest.raises(UsageError, match=r"it took longer than 0\.5 s; .*query_seconds"):
        filled.query(endless[kind], seconds=0.5).__enter__()
    with filled.query("SELECT count(*) FROM documents") as rows:
        assert list(rows) == [(3,)]


def test_a_reader_that_pauses_holds_up_nobody(filled: Store) -> None:
    """SQLite can empty its log, and PostgreSQL has no transaction of the reader's open."""
    job = filled.jobs.find("june")
    with filled.query("SELECT uri FROM documents ORDER BY uri") as rows:
        assert next(iter(rows)) == ("/in/a",)
        filled.ledger.add(job, refs(*map(str, range(100))))
        with filled._db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if filled.one_machine:
                busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
                assert busy == 0
                assert Path(f"{filled._db.path}-wal").stat().st_size == 0
            else:
                open_ = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                others = f"{open_} AND state <> 'idle' AND pid <> pg_backend_pid()"
                assert connection.exec_driver_sql(others).scalar_one() == 0
        assert list(rows) == [("/in/b",), ("/in/c",)]


def test_a_long_answer_is_handed_out_whole(filled: Store) -> None:
    count = 60_000  # more than is held in memory
    with filled.query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)"
        " SELECT i, '" + "x" * 400 + "' AS text FROM n"
    ) as rows:
        assert rows.columns == ("i", "text")
        assert [row[0] for row in rows] == list(range(1, count + 1))
