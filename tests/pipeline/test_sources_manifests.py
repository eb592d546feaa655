"""Lists of documents: as programs write them, as somebody hostile writes them, and what they may name."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipeline.errors import Reason
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import list_documents
from tests.pipeline.test_sources import make_zip
from tests.servers.s3 import S3Server

SETTINGS = SourceSettings(attempts=2)
HOSTILE = {
    "brackets": b"[" * 60_000,
    "braces": b'{"uri":' * 9_000,
    "largest size": b'{"uri": "a.pdf", "size": 9223372036854775807}',
    "larger size": b'{"uri": "a.pdf", "size": 1' + b"0" * 60 + b"}",
    "too many digits": b'{"uri": "a.pdf", "size": ' + b"9" * 60_000 + b"}",
    "negative size": b'{"uri": "a.pdf", "size": -1}',
    "a size that is none": b'{"uri": "a.pdf", "size": NaN}',
    "true as a size": b'{"uri": "a.pdf", "size": true}',
    "a zero byte": b'{"uri": "a\\u0000.pdf"}',
    "half a character in the etag": b'{"uri": "a.pdf", "etag": "\\ud800"}',
    "a zero byte in the etag": b'{"uri": "a.pdf", "etag": "\\u0000"}',
    "a header in the etag": b'{"uri": "a.pdf", "etag": "x\\r\\nHost: evil"}',
    "a long etag": b'{"uri": "a.pdf", "etag": "' + b"e" * 10_000 + b'"}',
    "a list as the name": b'{"uri": ["a.pdf"]}',
    "raw zero bytes": bytes(100),
    "a long line": b'"' + b"x" * 5_000_000,
}


def listed(path: Path | str, **settings: object) -> list[DocumentRef]:
    return list(list_documents([str(path)], SourceSettings(attempts=2, **settings)))  # type: ignore[arg-type]


def names(found: list[DocumentRef], base: Path) -> list[str]:
    return [ref.uri.removeprefix(f"{base}/") for ref in found if ref.failure is None]


def failures(found: list[DocumentRef]) -> list[tuple[str, str]]:
    return [(ref.failure.reason, ref.failure.message) for ref in found if ref.failure]


# Dialects


@pytest.mark.parametrize(
    "text",
    [
        "uri;etag\na.pdf;abc\nb.pdf;def\n",
        "uri\tsize\na.pdf\t1\nb.pdf\t\n",
        "path,size\na.pdf,10\nb.pdf,10\n",
        "\ufeffURL;Note\r\na.pdf;1,5\r\nb.pdf;x\r\n",
        "id,key\n1,a.pdf\n2,b.pdf\n",
        "sep=;\nid;File Name\n1;a.pdf\n2;b.pdf\n",
        'path,note\na.pdf,"first\nsecond"\nb.pdf,"a ""quoted"" word"\n',
        '"a.pdf";"1"\n"b.pdf";"2"\n',
        "a.pdf\tone, two\nb.pdf\tx\n",
        "path|note\na.pdf|x\nb.pdf|y\n",
        "a.pdf|1\nb.pdf|2\n",
        "1;a.pdf;x\n2;b.pdf;y\n",
        "2026-10-01,a.pdf\n2026-10-02,b.pdf\n",
        "#Path\na.pdf\nb.pdf\n",
        "Đường dẫn;Ghi chú\na.pdf;x\nb.pdf;y\n",
        "S3 key\na.pdf\nb.pdf\n",
        "path\ra.pdf\rb.pdf\r",  # as an old Mac ends lines
        'path,note\ra.pdf,"first\rsecond"\rb.pdf,x',
        ".\\a.pdf\nb.pdf\n",  # as Windows writes paths
        '"b\n.pdf",x\na.pdf\nb.pdf\n'.removeprefix('"b\n.pdf",x\n'),
    ],
)
def test_separated_values_as_programs_write_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.csv").write_text(text, newline="")
    found = listed(tmp_path / "list.csv")
    assert names(found, tmp_path) == ["a.pdf", "b.pdf"]
    assert not failures(found)


def test_unicode_text_of_excel(tmp_path: Path) -> None:
    for name, encoding in (("list.tsv", "utf-16"), ("list.csv", "utf-16")):
        (tmp_path / name).write_bytes("path\tsize\r\nhóa đơn.pdf\t5\r\nb.pdf\t\r\n".encode(encoding))
        found = listed(tmp_path / name)
        assert names(found, tmp_path) == ["hóa đơn.pdf", "b.pdf"] and found[0].size == 5


def test_a_packed_list(tmp_path: Path) -> None:
    """As S3 delivers an inventory."""
    packed = gzip.compress(b'"bkt","p1/a+b.pdf"\n"bkt","c.pdf"\n' + b'"bkt","d.pdf"\n' * 5000)
    (tmp_path / "list.csv.gz").write_bytes(packed)
    uris = [ref.uri for ref in listed(tmp_path / "list.csv.gz")]
    assert uris[:3] == ["s3://bkt/p1/a b.pdf", "s3://bkt/c.pdf", "s3://bkt/d.pdf"] and len(uris) == 5002
    (tmp_path / "list.csv.gz").write_bytes(packed[:-9])
    *found, last = listed(tmp_path / "list.csv.gz")
    assert len(found) > 1 and last.uri == f"{tmp_path}/list.csv.gz"
    assert last.failure is not None and "documents may be missing" in last.failure.message
    (tmp_path / "list.csv.gz").write_bytes(packed[:-3] + bytes(3))
    assert failures(listed(tmp_path / "list.csv.gz"))[0][0] == Reason.manifest_form


@pytest.mark.parametrize("other", ["", ',"100"', ',"100","2026-11-05T08:00:00.000Z"'])
def test_an_s3_inventory(tmp_path: Path, other: str) -> None:
    """Bucket and URL-encoded key, without headings; other columns may stand behind them."""
    keys = ("p1/a+b.pdf", "p1/c%20d%2B.pdf", "p1/h%C3%B3a.pdf")
    (tmp_path / "inventory.csv").write_text("".join(f'"bkt","{key}"{other}\n' for key in keys))
    uris = [ref.uri for ref in listed(tmp_path / "inventory.csv")]
    assert uris == ["s3://bkt/p1/a b.pdf", "s3://bkt/p1/c d+.pdf", "s3://bkt/p1/hóa.pdf"]


def test_bucket_and_key_with_headings(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("Bucket,Key,Size,ETag\nbkt,p1/a+b.pdf,100,0123abc\n")
    assert listed(tmp_path / "list.csv") == [DocumentRef("s3://bkt/p1/a+b.pdf", 100, "0123abc")]


def test_json_lines_with_another_name_for_the_document(tmp_path: Path) -> None:
    for name in ("list.jsonl", "list.ndjson"):
        (tmp_path / name).write_text('{"path": "a.pdf"}\n{"path": "b.pdf", "size": 3}\n')
        assert names(listed(tmp_path / name), tmp_path) == ["a.pdf", "b.pdf"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "id,amount\n" + "".join(f"{n},{n}00\n" for n in range(1000))),
        ("list.csv", "Số phiếu;Tên hàng\n" + "1;x\n" * 1000),
        ("list.csv", "1,2.500,3\n" * 1000),
        ("list.csv", "C:\\scan\\a.pdf\n" * 1000),
        ("list.jsonl", "[\n" + '"a.pdf",\n' * 1000 + "]"),
        ("list.jsonl", json.dumps([{"uri": "a.pdf"}] * 1000, indent=1)),
        ("list.jsonl", json.dumps({"files": [{"key": "a.pdf"}] * 1000}, indent=1)),
        ("list.jsonl", '{"name": "x"}\n' * 1000),
        ("list.jsonl", "a.pdf\n" * 1000),
        ("list.jsonl", "a.pdf\nb.pdf\n"),
        ("list.csv", "PK\3\4\0\0\0\0\xff\xfe\n" * 1000),
    ],
)
def test_a_form_that_is_not_known_is_one_failure(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1" if "\xff" in text else "utf-8"))
    (failure,) = failures(listed(tmp_path / name))
    assert failure[0] == Reason.manifest_form


def test_a_file_may_be_named_by_its_address(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"file://{tmp_path}/a.pdf\nfile:///etc/hostname\n")
    found = listed(tmp_path / "list.csv")
    assert names(found, tmp_path) == ["a.pdf"] and failures(found)[0][0] == Reason.outside_root


@pytest.mark.parametrize("text", ['[\n"a.pdf"\n]', '{\n"uri": "a.pdf"\n}'])
def test_one_document_over_several_lines_is_called_that(tmp_path: Path, text: str) -> None:
    (tmp_path / "list.jsonl").write_text(text)
    (failure,) = failures(listed(tmp_path / "list.jsonl"))
    assert failure[0] == Reason.manifest_form and "one JSON document over several lines" in failure[1]


def test_a_quote_that_is_never_closed_breaks_its_own_line(tmp_path: Path) -> None:
    lines = ["uri,note", "a.pdf,x", '"b.pdf,5', *(f"{n}.pdf,x" for n in range(50)), 'c.pdf,"y"']
    (tmp_path / "list.csv").write_text("\n".join(lines))
    found = listed(tmp_path / "list.csv")
    assert names(found, tmp_path) == ["a.pdf", *(f"{n}.pdf" for n in range(50)), "c.pdf"]
    assert [ref.uri.rpartition("#")[2] for ref in found if ref.failure] == ["line-3"]


# Hostile lines


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_line_is_one_failure(tmp_path: Path, kind: str) -> None:
    for before, number in ((b'"0.pdf"\n', 2), (b"", 1)):
        (tmp_path / "list.jsonl").write_bytes(before + HOSTILE[kind] + b'\n"1.pdf"\n{"uri": "2.pdf"}\n')
        found = listed(tmp_path / "list.jsonl")
        assert names(found, tmp_path) == (["0.pdf"] if before else []) + ["1.pdf", "2.pdf"]
        ((reason, message),) = failures(found)
        assert reason == Reason.manifest_line and message.startswith(f"line {number}: ")
        assert len(message) < 300
        assert found[number - 1].uri == f"{tmp_path}/list.jsonl#line-{number}"


@pytest.mark.parametrize("size", ["9223372036854775807", "-1", "9" * 5000, "1e9", "٣"])
def test_a_hostile_size_in_a_csv(tmp_path: Path, size: str) -> None:
    (tmp_path / "list.csv").write_text(f"uri,size\na.pdf,{size}\nb.pdf,5\n")
    found = listed(tmp_path / "list.csv")
    assert names(found, tmp_path) == ["b.pdf"]
    assert failures(found)[0][1].startswith("line 2: ") and len(failures(found)) == 1


# What a list may name


@pytest.fixture
def two_folders(tmp_path: Path) -> Path:
    for name in ("mine/a.pdf", "other/b.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    make_zip(tmp_path / "other/z.zip", {"1.pdf": b"x"})
    (tmp_path / "mine/link.pdf").symlink_to(tmp_path / "other/b.pdf")
    (tmp_path / "mine/folder").symlink_to(tmp_path / "other")
    (tmp_path / "mine/inside.pdf").symlink_to(tmp_path / "mine/a.pdf")
    return tmp_path


def test_a_manifest_names_files_under_its_own_folder(two_folders: Path) -> None:
    other = two_folders / "other"
    named = [
        "a.pdf", "../other/b.pdf", str(other / "b.pdf"), f"{other}/z.zip!/1.pdf", "link.pdf", "folder/b.pdf",
        "/etc/hostname", "s3://bucket/key.pdf", "inside.pdf", "./a.pdf",
    ]  # fmt: skip
    path = two_folders / "mine/list.jsonl"
    path.write_text("".join(f"{json.dumps(name)}\n" for name in named))
    found = listed(path)
    assert names(found, two_folders / "mine") == ["a.pdf", "s3://bucket/key.pdf", "inside.pdf", "a.pdf"]
    refused = [ref for ref in found if ref.failure]
    assert [ref.uri.rpartition("#")[2] for ref in refused] == [f"line-{n}" for n in range(2, 8)]
    for number, ref in enumerate(refused, start=2):
        assert ref.failure and ref.failure.reason is Reason.outside_root
        assert ref.failure.message.startswith(f"line {number}: ")
        assert "--trust-manifests" in ref.failure.message and "source.allowed_roots" in ref.failure.message
    assert not [ref for ref in listed(path, trust_manifests=True) if ref.failure]
    allowed = listed(path, allowed_roots=(str(other),))
    assert [ref.uri.rpartition("#")[2] for ref in allowed if ref.failure] == ["line-7"]


def test_a_sibling_with_the_same_beginning_is_another_folder(two_folders: Path) -> None:
    (two_folders / "mine2").mkdir()
    (two_folders / "mine2/c.pdf").write_bytes(b"x")
    (two_folders / "mine/list.csv").write_text("uri\n../mine2/c.pdf\n")
    assert failures(listed(two_folders / "mine/list.csv"))[0][0] == Reason.outside_root
    assert not failures(listed(two_folders / "mine/list.csv", allowed_roots=(f"{two_folders}/mine2/",)))


def test_a_link_that_leads_out_of_its_folder_is_named(two_folders: Path) -> None:
    mine = two_folders / "mine"
    found = listed(mine)
    assert names(found, mine) == ["a.pdf", "inside.pdf"]
    assert {Path(ref.uri).name: ref.failure.reason for ref in found if ref.failure} == {
        "link.pdf": Reason.outside_root,
        "folder": Reason.outside_root,
    }
    for allowed in ({"allowed_roots": (str(two_folders / "other"),)}, {"trust_manifests": True}):
        assert names(listed(mine, **allowed), mine) == [
            "a.pdf", "folder/b.pdf", "folder/z.zip!/1.pdf", "inside.pdf", "link.pdf",
        ]  # fmt: skip
    assert names(listed(mine / "link.pdf"), mine) == ["link.pdf"]  # the person named it
    (two_folders / "named").symlink_to(two_folders / "other")
    assert len(listed(two_folders / "named")) == 2


@pytest.mark.slow
def test_a_manifest_of_a_bucket_names_its_own_objects(moto: S3Server, two_folders: Path) -> None:
    bucket, other = moto.bucket({"in/a.pdf": b"x", "b.pdf": b"x"}), moto.bucket({"c.pdf": b"x"})
    named = [
        "a.pdf", "../b.pdf", f"s3://{bucket}/b.pdf", f"s3://{other}/c.pdf", f"../../{other}/c.pdf",
        str(two_folders / "mine/a.pdf"), "/etc/hostname", f"s3://{bucket}/../{other}/c.pdf", "https://host/x",
        f"s3://{bucket}x/c.pdf", "a.pdf",
    ]  # fmt: skip
    lines = "".join(f"{json.dumps(name)}\n" for name in named)
    moto.client().put_object(Bucket=bucket, Key="in/list.jsonl", Body=lines.encode())
    uri = f"s3://{bucket}/in/list.jsonl"
    found = listed(uri, s3_endpoint=moto.endpoint)
    assert [ref.uri for ref in found if not ref.failure] == [
        f"s3://{bucket}/in/a.pdf", f"s3://{bucket}/b.pdf", f"s3://{bucket}/b.pdf", f"s3://{bucket}/in/a.pdf",
    ]  # fmt: skip
    reasons = [reason for reason, _ in failures(found)]
    assert reasons == [Reason.outside_root] * 5 + [Reason.manifest_line, Reason.outside_root]
    roots = (f"s3://{other}", str(two_folders))
    allowed = listed(uri, s3_endpoint=moto.endpoint, allowed_roots=roots)
    assert len(failures(allowed)) == 4
    trusted = listed(uri, s3_endpoint=moto.endpoint, trust_manifests=True)
    assert [reason for reason, _ in failures(trusted)] == [Reason.manifest_line]
