"""Files, globs, manifests and archives: everything found is named, nothing in silence."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import NoRoom, Permanent, Reason, Transient, UsageError
from pipeline.filetype import sniff
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import fetch, list_documents, local, refs, roots, s3
from pipeline.sources.limits import SizeLimits
from tests.pipeline import papers

SETTINGS = SourceSettings(attempts=2)


def listed(*sources: str | Path, settings: SourceSettings = SETTINGS) -> list[DocumentRef]:
    return list(list_documents([str(source) for source in sources], settings))


def names(found: list[DocumentRef], base: Path) -> list[str]:
    return [ref.uri.removeprefix(f"{base}/") for ref in found]


def reasons(found: list[DocumentRef], base: Path) -> dict[str, str]:
    return {ref.uri.removeprefix(f"{base}/"): ref.failure.reason for ref in found if ref.failure}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as people have them."""
    for name in (
        "b.pdf",
        "a/2.PNG",
        "a/1.jpeg",
        "a/deep/er/x.tiff",
        "noname",
        ".hidden.pdf",
        ".git/y.pdf",
        "a/n.docx",
        "a/list.xlsx",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_a_folder_is_walked_in_order_and_others_are_named(folder: Path) -> None:
    found = listed(folder)
    assert names(found, folder) == [
        "a/1.jpeg", "a/2.PNG", "a/deep/er/x.tiff", "a/n.docx", "b.pdf", "noname"
    ]  # fmt: skip
    assert reasons(found, folder) == {"a/n.docx": Reason.unsupported_type}
    assert found[0].size == len("a/1.jpeg") and found[0].etag


def test_a_single_file_whatever_its_name(folder: Path) -> None:
    assert names(listed(folder / "b.pdf", folder / "noname"), folder) == ["b.pdf", "noname"]


def test_paths_are_absolute_however_they_are_typed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    for typed in ("b.pdf", "./a/../b.pdf", "~/b.pdf", f"file://{folder}/b.pdf", "b*"):
        assert names(listed(typed), folder) == ["b.pdf"], typed


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.pdf", ["b.pdf"]),
        ("a/*", ["a/1.jpeg", "a/2.PNG", "a/n.docx"]),
        ("**/*.tiff", ["a/deep/er/x.tiff"]),
        ("a/**", ["a/1.jpeg", "a/2.PNG", "a/deep/er/x.tiff", "a/n.docx"]),
        ("a/[12].*", ["a/1.jpeg", "a/2.PNG"]),
        ("a/[!1n].*", ["a/2.PNG"]),
        ("?.pdf", ["b.pdf"]),
        ("*/deep/*/x.*", ["a/deep/er/x.tiff"]),
    ],
)
def test_globs(folder: Path, pattern: str, expected: list[str]) -> None:
    assert names(listed(folder / pattern), folder) == expected


def test_a_name_with_brackets_is_first_a_name(tmp_path: Path) -> None:
    (tmp_path / "scan[1].pdf").write_bytes(b"x")
    (tmp_path / "scan1.pdf").write_bytes(b"x")
    assert names(listed(tmp_path / "scan[1].pdf"), tmp_path) == ["scan[1].pdf"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "does not exist"),
        ("*.gif", "no file matches"),
        ("http://example.org/a.pdf", "files or from s3://"),
        ("s3://", "names no bucket"),
        ("b.zip!/gone.pdf", "does not exist"),
    ],
)
def test_a_source_that_is_not_there_is_wrong_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=said):
        list_documents(["b.pdf", source], SETTINGS)  # before anything is listed


def test_no_source_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="no source"):
        list_documents([], SETTINGS)


def test_odd_things_in_a_folder_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pdf")
    (tmp_path / "gone.pdf").symlink_to("nowhere")
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "real.pdf").write_bytes(b"x")
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff\xfe.pdf", os.O_CREAT | os.O_WRONLY))
    found = listed(tmp_path)
    assert reasons(found, tmp_path) == {
        "pipe.pdf": Reason.unsupported_type,
        "gone.pdf": Reason.object_missing,
        "\\udcff\\udcfe.pdf": Reason.unreadable_name,
    }
    assert len(found) == 4  # and no folder twice
    for ref in found:
        ref.uri.encode()


def test_fetch_pins_the_version(folder: Path) -> None:
    path = folder / "b.pdf"
    (ref,) = listed(path)
    document = fetch(ref.uri, SETTINGS, ref.etag)
    assert (document.uri, document.data, document.etag) == (str(path), b"b.pdf", ref.etag)
    assert document.sha256 == hashlib.sha256(b"b.pdf").hexdigest()
    path.write_bytes(b"another")
    with pytest.raises(Permanent) as caught:
        fetch(ref.uri, SETTINGS, ref.etag)
    assert caught.value.reason is Reason.object_changed
    assert fetch(ref.uri, SETTINGS).data == b"another"


def test_fetch_says_why_it_cannot(folder: Path) -> None:
    (folder / "empty.pdf").touch()
    os.mkfifo(folder / "pipe.pdf")
    small = SourceSettings(max_bytes=3, attempts=1)
    for name, settings, reason in (
        ("gone.pdf", SETTINGS, Reason.object_missing),
        ("empty.pdf", SETTINGS, Reason.empty_file),
        ("pipe.pdf", SETTINGS, Reason.unsupported_type),
        ("a", SETTINGS, Reason.unsupported_type),
        ("b.pdf", small, Reason.too_many_bytes),
        ("b.pdf/c.pdf", SETTINGS, Reason.object_missing),
    ):
        with pytest.raises(Permanent) as caught:
            fetch(str(folder / name), settings)
        assert caught.value.reason is reason, name
        assert str(folder / name) in caught.value.message


def test_a_file_that_grows_while_it_is_read_is_tried_again() -> None:
    """/proc files say that they have no bytes, and then have some."""
    with pytest.raises(Transient) as caught:
        fetch("/proc/self/status", SETTINGS)
    assert caught.value.reason is Reason.object_changed


# Manifests


def test_a_manifest_of_json_lines(folder: Path) -> None:
    manifest = folder / "list.jsonl"
    manifest.write_bytes(
        '\ufeff"b.pdf"\n\n{"uri": "a/1.jpeg", "etag": "e", "size": 5}\n{"uri": "s3://bucket/k.pdf"}\n'.encode()
        + f'"{folder}/noname"\n'.encode()
    )
    found = listed(manifest)
    assert names(found, folder) == ["b.pdf", "a/1.jpeg", "s3://bucket/k.pdf", "noname"]
    assert (found[1].etag, found[1].size) == ("e", 5)
    assert not reasons(found, folder)


@pytest.mark.parametrize(
    "text", ["id,URI\n1,b.pdf\n2,a/1.jpeg\n", "b.pdf\na/1.jpeg\n", '"b.pdf"\r\na/1.jpeg,x\r\n']
)
def test_a_manifest_of_comma_separated_values(folder: Path, text: str) -> None:
    (folder / "list.csv").write_text(text, newline="")
    assert names(listed(folder / "list.csv"), folder) == ["b.pdf", "a/1.jpeg"]


def test_a_broken_line_is_named_and_harms_no_other(folder: Path) -> None:
    lines = [
        b'"b.pdf"',
        b"{not json",
        b'{"url": "b.pdf"}',
        b"17",
        b"\xff\xfe",
        b'"http://example.org/x"',
        b'"s3://bucket"',
        b'{"uri": "b.pdf", "size": "5"}',
        b'"' + b"x" * 100_000 + b'"',
        b'"b\\u0000.pdf"',
        b'"noname"',
    ]
    (folder / "list.jsonl").write_bytes(b"\n".join(lines))
    found = listed(folder / "list.jsonl")
    assert names(found, folder) == ["b.pdf", *(f"list.jsonl#line-{n}" for n in range(2, 11)), "noname"]
    assert set(reasons(found, folder).values()) == {Reason.manifest_line}
    for number, ref in enumerate(found[1:-1], start=2):
        assert ref.failure and ref.failure.message.startswith(f"line {number}: ")


def test_a_broken_line_of_a_csv_is_named(folder: Path) -> None:
    (folder / "list.csv").write_bytes(b'uri,size\nb.pdf,5\n"b.pdf,5\nnoname,many\n,5\nnoname,\n')
    found = listed(folder / "list.csv")
    assert list(reasons(found, folder)) == [f"list.csv#line-{n}" for n in (3, 4, 5)]
    assert len(found) == 5


# Archives


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


MEMBERS = {
    "x/1.pdf": b"one",
    "x/2.pdf": b"two",
    "../out.pdf": b"!",
    "/root.pdf": b"!",
    "a\\..\\..\\w.pdf": b"!",
    "inner.zip": b"PK",
    "note.docx": b"n",
    ".hidden/h.pdf": b"h",
    "empty.pdf": b"",
}


@pytest.mark.parametrize("kind", ["in.zip", "in.tar", "in.tar.gz", "in.TGZ"])
def test_an_archive_is_its_members(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind.endswith("zip"):
        make_zip(path, MEMBERS)
    else:
        make_tar(path, MEMBERS, "w" if kind.endswith("tar") else "w:gz")
    found = listed(path)
    assert found == listed(tmp_path)
    assert [ref.uri.partition("!/")[2] for ref in found if not ref.failure] == [
        "x/1.pdf",
        "x/2.pdf",
        "empty.pdf",
    ]
    broken = {name.partition("!/")[2]: reason for name, reason in reasons(found, tmp_path).items()}
    assert broken == {
        "../out.pdf": Reason.archive_member,
        "/root.pdf": Reason.archive_member,
        "a\\..\\..\\w.pdf": Reason.archive_member,
        "inner.zip": Reason.archive_member,
        "note.docx": Reason.unsupported_type,
    }
    for name in ("x/2.pdf", "x/1.pdf", "x/2.pdf"):  # in any order
        document = fetch(f"{path}!/{name}", SETTINGS, found[0].etag)
        assert (document.data, document.etag) == (MEMBERS[name], found[0].etag)
    with pytest.raises(Permanent) as caught:
        fetch(f"{path}!/x/3.pdf", SETTINGS)
    assert caught.value.reason is Reason.object_missing
    with pytest.raises(Permanent) as caught:
        fetch(f"{path}!/empty.pdf", SETTINGS)
    assert caught.value.reason is Reason.empty_file
    assert listed(f"{path}!/x/2.pdf") == [found[1]]


def test_an_archive_that_changed_is_not_mixed_up(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"1.pdf": b"old"})
    (ref,) = listed(path)
    assert fetch(ref.uri, SETTINGS, ref.etag).data == b"old"
    make_zip(path, {"1.pdf": b"newer"})
    assert fetch(ref.uri, SETTINGS).data == b"newer"
    with pytest.raises(Permanent) as caught:
        fetch(ref.uri, SETTINGS, ref.etag)
    assert caught.value.reason is Reason.object_changed
    with pytest.raises(Permanent, match="written to since it was listed"):
        local.open_pinned(str(path), ref.etag)
    with local.open_pinned(str(path), local.etag(str(path))) as file:
        assert file.read(2) == b"PK"


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["in.zip", "in.tar.gz"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, kind: str) -> None:
    members = {"small.pdf": b"x", "bomb.pdf": bytes(100 * 2**20), "after.pdf": b"y"}
    path = tmp_path / kind
    make_zip(path, members) if kind == "in.zip" else make_tar(path, members, "w:gz")
    found = listed(path)
    assert any(ref.failure and "source.archive_ratio" in ref.failure.message for ref in found)
    with pytest.raises(Permanent, match="archive_ratio") as caught:
        fetch(f"{path}!/bomb.pdf", SETTINGS)
    if kind == "in.zip":  # the other members are harmless; a .gz is one whole
        assert [bool(ref.failure) for ref in found] == [False, True, False]
        assert caught.value.reason is Reason.archive_member
        assert fetch(f"{path}!/small.pdf", SETTINGS).data == b"x"


def test_a_member_larger_than_allowed(tmp_path: Path) -> None:
    small = SourceSettings(max_bytes=10)
    for path in (
        make_zip(tmp_path / "a.zip", {"1.pdf": b"x" * 11}),
        make_tar(tmp_path / "a.tar", {"1.pdf": b"x" * 11}),
    ):
        with pytest.raises(Permanent) as caught:
            fetch(f"{path}!/1.pdf", small)
        assert caught.value.reason is Reason.too_many_bytes


@pytest.mark.parametrize("kind", ["in.zip", "in.tar", "in.tar.gz"])
def test_a_damaged_archive_is_named(tmp_path: Path, kind: str) -> None:
    members = {f"{n}.pdf": os.urandom(3000) for n in range(9)}
    path = tmp_path / kind
    make_zip(path, members) if kind == "in.zip" else make_tar(
        path, members, "w" if kind == "in.tar" else "w:gz"
    )
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"nonsense" * 100, b""):
        path.write_bytes(damaged)
        found = listed(path)
        failure = found[-1].failure
        assert failure and failure.reason is Reason.archive_damaged, damaged[:10]
    flipped = bytearray(whole)
    flipped[whole.index(b"4.pdf" if kind != "in.tar.gz" else whole[10:20]) + 200] ^= 0xFF
    path.write_bytes(flipped)
    outcomes = []
    for name, data in members.items():
        try:
            outcomes.append(fetch(f"{path}!/{name}", SETTINGS).data == data)
        except Permanent as error:
            outcomes.append(error.reason is Reason.archive_damaged)
    if kind != "in.tar":  # a plain tar has no sums of its members
        assert all(outcomes)


def test_links_and_second_members_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("same.pdf"))
        link = tarfile.TarInfo("link.pdf")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    found = listed(path)
    assert [bool(ref.failure) for ref in found] == [False, True, True]
    assert len({ref.uri for ref in found}) == 3
    with pytest.raises(Permanent) as caught:
        fetch(f"{path}!/link.pdf", SETTINGS)
    assert caught.value.reason is Reason.archive_member


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"1.pdf": b"x"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the member's header,
    data[data.index(b"PK\1\2") + 8] |= 1  # and in the list
    path.write_bytes(data)
    (ref,) = listed(path)
    assert ref.failure and "encrypted" in ref.failure.message


# Names and bytes


def test_kinds_are_told_by_bytes() -> None:
    assert [sniff(papers.picture(kind)) for kind in ("PNG", "JPEG", "WEBP", "TIFF")] == [
        "png",
        "jpeg",
        "webp",
        "tiff",
    ]
    assert sniff(papers.picture("TIFF", big_tiff=True)) == "tiff"
    assert sniff(b"\n junk \n" + papers.pages([b""])) == "pdf"
    assert sniff(b"hello") is None and sniff(b"") is None


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("a/*.pdf", ["a/x.pdf", "a/.pdf"], ["a/b/x.pdf", "a/xpdf"]),
        ("a/**/x", ["a/x", "a/b/x", "a/b/c/x"], ["a/xx", "b/x"]),
        ("**", ["", "a/b\nc"], []),
        ("[]a]", ["]", "a"], ["b"]),
        ("[^a-c].x", ["d.x", "-.x"], ["b.x", "b,x"]),
        ("a+(b).$", ["a+(b).$"], ["aab.$"]),
        ("[", ["["], ["x"]),
    ],
)
def test_glob_patterns(pattern: str, yes: list[str], no: list[str]) -> None:
    regex = refs.glob_regex(pattern)
    assert [name for name in yes + no if regex.fullmatch(name)] == yes


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ENOENT, Permanent, Reason.object_missing),
        (errno.ENOTDIR, Permanent, Reason.object_missing),
        (errno.ELOOP, Permanent, Reason.object_missing),
        (errno.ENAMETOOLONG, Permanent, Reason.object_missing),
        (errno.EACCES, Permanent, Reason.access_denied),
        (errno.EPERM, Permanent, Reason.access_denied),
        (errno.EISDIR, Permanent, Reason.unsupported_type),
        (errno.ENXIO, Permanent, Reason.unsupported_type),
        (errno.ENOSPC, Transient, Reason.disk_full),
        (errno.EDQUOT, Transient, Reason.disk_full),
        (errno.EIO, Transient, Reason.store_unreachable),
        (errno.ESTALE, Transient, Reason.store_unreachable),
    ],
)
def test_what_the_system_says_of_a_file_has_a_reason(number: int, kind: type, reason: Reason) -> None:
    found = local.translated(OSError(number, os.strerror(number)), "/a/b.pdf")
    assert (type(found), found.reason) == (kind, reason)
    assert found.message.startswith("/a/b.pdf ")


@pytest.mark.parametrize(
    ("prefix", "key", "hidden"),
    [
        ("", "a.pdf", False),
        ("", ".a.pdf", True),
        ("", "in/.hid/a.pdf", True),
        ("p/", "p/.a.pdf", True),
        ("p/a", "p/a.pdf", False),
        ("p/.hid", "p/.hid/a.pdf", False),  # named by whoever typed it
        ("p/.hid", "p/.hid/.a.pdf", True),
        (".p/q/", ".p/q/a.pdf", False),
        ("p/.a.pdf", "p/.a.pdf", False),
        ("in/truth.jsonl", "in/truth.jsonl", False),  # all of it was typed
        ("in/truth", "in/truth.jsonl", True),
        ("/", "/.a.pdf", True),
        ("/", "/a.pdf", False),
    ],
)
def test_what_is_hidden_under_a_prefix_is_judged_by_whole_names(prefix: str, key: str, hidden: bool) -> None:
    assert (refs.passed_over_under(prefix, key) is not None) is hidden


def test_what_is_as_large_as_allowed_is_fetched_and_one_byte_more_is_not() -> None:
    SizeLimits(10).judge("/in/a.pdf", 10)
    SizeLimits(10, 5).judge("/in/a.pdf", 5)
    with pytest.raises(Permanent, match="11 bytes; at most 10"):
        SizeLimits(10).judge("/in/a.pdf", 11)
    with pytest.raises(NoRoom, match="6 bytes; there is room for 5"):
        SizeLimits(10, 5).judge("/in/a.pdf", 6)


@pytest.mark.parametrize(
    ("uri", "root", "within"),
    [
        ("s3://bucket/a.pdf", "s3://bucket/", True),
        ("s3://bucket/a.pdf", "s3://buck", False),
        ("s3://bucket/../other/a.pdf", "s3://bucket/", False),
        ("s3://bucket/a.pdf", "/", False),
        ("/in/a.pdf", "s3://in/", False),
        ("/in/a.pdf", "/in", True),
        ("/input/a.pdf", "/in", False),
    ],
)
def test_what_lies_under_an_allowed_root(uri: str, root: str, within: bool) -> None:
    assert roots._within(uri, root) is within


@pytest.mark.parametrize(
    ("manifest", "uri", "may"),
    [
        ("s3://bucket/list.csv", "s3://bucket/a.pdf", True),
        ("s3://bucket/list.csv", "s3://other/a.pdf", False),
        ("s3://bucket/list.csv", "/etc/hostname", False),
        ("/in/list.csv", "s3://other/a.pdf", True),
        ("/in/list.csv", "/in/a.pdf", True),
        ("/in/list.csv", "/etc/hostname", False),
    ],
)
def test_what_a_manifest_may_name(manifest: str, uri: str, may: bool) -> None:
    assert (roots.manifest_refusal(manifest, uri, SourceSettings()) is None) is may


def test_the_etag_of_an_object_that_is_encrypted_with_a_key_is_no_md5() -> None:
    answer = {"ETag": '"' + "0" * 32 + '"'}
    assert not s3._as_promised("1" * 32, answer)
    assert s3._as_promised("1" * 32, answer | {"ServerSideEncryption": "aws:kms"})
    assert not s3._as_promised("1" * 32, answer | {"ServerSideEncryption": "AES256"})
    assert s3._as_promised("1" * 32, answer | {"SSECustomerAlgorithm": "AES256"})
    # Boto3 itself has compared one of these.
    for checksum in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        assert s3._as_promised("1" * 32, answer | {f"Checksum{checksum}": "AAAAAA=="})
    assert s3._as_promised("1" * 32, {"ETag": '"' + "0" * 32 + '-2"'})
    assert s3._as_promised("0" * 32, answer) and s3._as_promised("1" * 32, {})
