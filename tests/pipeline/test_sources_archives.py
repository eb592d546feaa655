"""Archives as they are found: cut, joined, damaged, lying; and read by many threads at once."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import tempfile
import threading
import tracemalloc
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Coded, Permanent, Reason
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import archives, fetch, fetching, list_documents, zips
from pipeline.sources.positional import Positional
from tests.pipeline.test_sources import make_tar, make_zip
from tests.servers.s3 import S3Server

SETTINGS = SourceSettings(attempts=2)
# 100,000 in the long form; each archive is read that often by four threads.
FETCHES = int(os.environ.get("VINBATCH_TEST_FETCHES", "3000"))
MEMBERS = {f"in/{n}.pdf": f"document {n} ".encode() * 40 for n in range(6)}


def listed(path: Path | str) -> list[DocumentRef]:
    return list(list_documents([str(path)], SETTINGS))


def members(found: list[DocumentRef]) -> list[str]:
    return [ref.uri.partition("!/")[2] for ref in found if ref.failure is None]


def damage(found: list[DocumentRef], path: Path) -> str:
    """What the one failure says, which names the archive itself."""
    (failed,) = [ref for ref in found if ref.failure]
    assert failed.uri == str(path) and failed.failure and failed.failure.reason is Reason.archive_damaged
    return failed.failure.message


def all_read(found: list[DocumentRef]) -> None:
    for ref in found:
        if ref.failure is None:
            assert fetch(ref.uri, SETTINGS, ref.etag).data == MEMBERS[ref.uri.partition("!/")[2]]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def tar_bytes(members: dict[str, bytes] = MEMBERS, **options: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def zip_bytes(members: dict[str, bytes] = MEMBERS, streamed: bool = False) -> bytes:
    """`streamed`: sizes stand behind the members, as in a zip that was written to a pipe."""
    file = io.BytesIO()
    target = _Pipe(file) if streamed else file
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


class _Pipe:
    """A file that can only be written to."""

    def __init__(self, file: io.BytesIO) -> None:
        self.write, self.flush = file.write, file.flush


# Read by many threads at once


def fetched_by_threads(refs: list[DocumentRef], truth: Callable[[str], bytes], fetches: int) -> Counter[str]:
    """Outcomes of `fetches` fetches by four threads, as a reader has them; nothing is open before."""
    fetching.opened_archive.cache_clear()
    queue = deque(refs[n % len(refs)] for n in range(fetches))
    outcomes: list[str] = []

    def work() -> None:
        while True:
            try:
                ref = queue.popleft()
            except IndexError:
                return
            try:
                right = fetch(ref.uri, SETTINGS, ref.etag).data == truth(ref.uri)
                outcomes.append("right" if right else "wrong bytes")
            except Coded as error:
                outcomes.append(str(error.reason))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(outcomes)


def many(count: int = 300) -> dict[str, bytes]:
    return {f"{n:06}.png": f"{n:06}".encode() * (300 + 7 * n) + os.urandom(99) for n in range(count)}


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["in.tar", "in.tar.gz", "in.zip"])
def test_no_member_is_read_with_anothers_bytes(tmp_path: Path, kind: str) -> None:
    truth = many()
    path = tmp_path / kind
    if kind == "in.zip":
        make_zip(path, truth)
    else:
        make_tar(path, truth, "w" if kind == "in.tar" else "w:gz")
    outcomes = fetched_by_threads(listed(path), lambda uri: truth[uri.partition("!/")[2]], FETCHES)
    assert outcomes == {"right": FETCHES}


def test_archives_by_turns_are_each_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = many(100)
    half = dict(list(truth.items())[:50]), dict(list(truth.items())[50:])
    paths = [make_tar(tmp_path / "a.tar", half[0]), make_tar(tmp_path / "b.tar.gz", half[1], "w:gz")]
    found = [ref for pair in zip(*map(listed, paths), strict=True) for ref in pair]
    opened: list[str] = []

    def open_archive(uri: str, *rest: object) -> archives.Archive:
        opened.append(uri)
        return archives.open_archive(uri, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(fetching, "open_archive", open_archive)
    outcomes = fetched_by_threads(found, lambda uri: truth[uri.partition("!/")[2]], 400)
    assert outcomes == {"right": 400}
    assert sorted(opened) == sorted(map(str, paths))


def test_the_archive_that_nobody_asked_for_longest_is_closed(tmp_path: Path) -> None:
    a, b, c = (str(make_zip(tmp_path / f"{name}.zip", {"1.pdf": b"x"})) for name in "abc")
    opened = fetching._Opened(2)
    first, second = opened(a, None, SETTINGS), opened(b, None, SETTINGS)
    assert opened(a, None, SETTINGS) is first
    opened(c, None, SETTINGS)
    assert opened(a, None, SETTINGS) is first
    assert opened(b, None, SETTINGS) is not second


@pytest.mark.medium
@given(
    st.binary(max_size=6),
    st.binary(max_size=6),
    st.lists(st.tuples(st.integers(0, 2), st.integers(-4, 8), st.none() | st.integers(-1, 8)), max_size=8),
)
def test_a_place_of_ones_own_reads_as_a_file_does(
    content: bytes, tail: bytes, steps: list[tuple[int, int, int | None]]
) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        own, plain = Positional(file, 100, tail), io.BytesIO(content + tail)
        assert own.size == len(content + tail)
        assert (own.readable(), own.seekable()) == (plain.readable(), plain.seekable())
        for whence, place, size in steps:
            start = (0, plain.tell(), own.size)[whence] + place
            if start < 0:
                with pytest.raises(ValueError, match="before the file"):
                    own.seek(place, whence)
                continue
            assert own.seek(place, whence) == plain.seek(start)
            assert own.read(size) == plain.read(size)
            assert own.tell() == plain.tell()
        assert own.at(0, 100) == content + tail
        with pytest.raises(ValueError, match="asks for 101 bytes at once"):
            own.read(101)


def test_a_file_that_was_cut_while_it_is_open_ends_there() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        own = Positional(file, 100, b"tail")
        file.truncate(3)
        assert (own.at(0, 100), own.at(3, 100), own.at(10, 100)) == (b"012", b"", b"tail")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["in.tar", "in.tgz", "in.zip"])
def test_archives_of_a_bucket_by_many_threads(
    moto: S3Server, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = many(60)
    data = zip_bytes(truth) if kind == "in.zip" else tar_bytes(truth)
    bucket = moto.bucket({kind: gzip.compress(data) if kind == "in.tgz" else data})
    settings = SourceSettings(s3_endpoint=moto.endpoint, attempts=2)
    found = list(list_documents([f"s3://{bucket}/{kind}"], settings))
    monkeypatch.setattr(f"{__name__}.SETTINGS", settings)
    outcomes = fetched_by_threads(found, lambda uri: truth[uri.partition("!/")[2]], 600)
    assert outcomes == {"right": 600}


def test_bytes_that_are_not_where_the_header_says_are_refused(tmp_path: Path) -> None:
    """The archive is written to in its place, with the time that it had: only its headers can tell."""
    path = written(tmp_path / "a.tar", tar_bytes())
    found = listed(path)
    status = path.stat()
    other = tar_bytes({f"other/{n}.pdf": data for n, data in enumerate(MEMBERS.values())})
    with path.open("r+b") as file:
        file.write(other)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(Permanent, match="another header") as caught:
        fetch(found[2].uri, SETTINGS, found[2].etag)
    assert caught.value.reason is Reason.archive_damaged


# Tars


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_header_costs_one_member(tmp_path: Path, packed: bool) -> None:
    data = bytearray(tar_bytes())
    data[data.index(b"in/2.pdf") + 3] ^= 1
    path = written(tmp_path / "a.tar.gz", gzip.compress(bytes(data)) if packed else bytes(data))
    found = listed(path)
    assert members(found) == [f"in/{n}.pdf" for n in (0, 1, 3, 4, 5)]
    assert "5 members were seen" in damage(found, path)
    all_read(found)


def test_a_damaged_first_header_costs_one_member(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar", b"x" + tar_bytes()[1:])
    assert members(listed(path)) == [f"in/{n}.pdf" for n in range(1, 6)]
    assert "5 members were seen" in damage(listed(path), path)


def test_a_damaged_pax_header_costs_its_record_only(tmp_path: Path) -> None:
    long = {f"{'thư mục/' * 30}{n}.pdf": b"x" for n in range(3)}
    data = bytearray(tar_bytes(long, format=tarfile.PAX_FORMAT))
    second = data.index(b"path=", data.index(b"path=") + 1)
    data[second - 3 : second] = b"zzz"
    path = written(tmp_path / "a.tar", bytes(data))
    found = listed(path)
    assert [members(found)[0], members(found)[-1]] == [*long][::2]
    assert "3 members were seen" in damage(found, path)


@pytest.mark.parametrize(
    ("cut", "seen", "said"),
    [
        (lambda data: data.index(b"document 3") + 100, 4, "it ends within in/3.pdf"),
        (lambda data: data.index(b"in/3.pdf") + 100, 3, "no tar header"),
        (lambda data: data.index(b"in/3.pdf"), 3, "without the zero blocks"),
        (lambda data: 0, 0, "without the zero blocks"),
    ],
)
def test_a_cut_tar_is_read_as_far_as_it_goes(
    tmp_path: Path, cut: Callable[[bytes], int], seen: int, said: str
) -> None:
    whole = tar_bytes()
    path = written(tmp_path / "a.tar", whole[: cut(whole)])
    found = listed(path)
    assert members(found) == [f"in/{n}.pdf" for n in range(seen)]
    assert said in damage(found, path) and f"{seen} members were seen" in damage(found, path)
    all_read(found[: min(seen, 3)])
    if seen == 4:
        with pytest.raises(Permanent) as caught:
            fetch(found[3].uri, SETTINGS, found[3].etag)
        assert caught.value.reason is Reason.archive_damaged


def test_a_tar_ends_with_zeros_and_nothing_else(tmp_path: Path) -> None:
    whole = tar_bytes()
    for tail in (b"", bytes(5), bytes(100_000)):
        path = written(tmp_path / "a.tar", whole + tail)
        assert members(listed(path)) == list(MEMBERS) and len(listed(path)) == 6
    for tail in (b"left over", b"x" * 5000):
        path = written(tmp_path / "a.tar", whole + tail)
        assert members(listed(path)) == list(MEMBERS)
        assert "6 members were seen" in damage(listed(path), path)


def test_what_stands_behind_a_tar_is_told_by_its_block(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar", tar_bytes() + (bytes(10) + b"left over").ljust(1024, b"\0"))
    assert f"no tar header stands at byte {len(tar_bytes()):,} " in damage(listed(path), path)


def test_tars_one_after_the_other_are_all_read(tmp_path: Path) -> None:
    halves = [dict(list(MEMBERS.items())[:3]), dict(list(MEMBERS.items())[3:])]
    path = written(tmp_path / "a.tar", b"".join(map(tar_bytes, halves)))
    assert members(listed(path)) == list(MEMBERS) and len(listed(path)) == 6
    all_read(listed(path))


def test_one_zero_block_between_members_is_passed(tmp_path: Path) -> None:
    whole = tar_bytes()
    place = whole.index(b"in/3.pdf")
    path = written(tmp_path / "a.tar", whole[:place] + bytes(512) + whole[place:])
    assert members(listed(path)) == list(MEMBERS) and len(listed(path)) == 6


def test_zeros_in_the_place_of_members_are_told(tmp_path: Path) -> None:
    """As a hole in a file on a disk leaves them, from one header to another."""
    whole = tar_bytes()
    start, end = whole.index(b"in/2.pdf"), whole.index(b"in/4.pdf")
    path = written(tmp_path / "a.tar", whole[:start] + bytes(end - start) + whole[end:])
    assert members(listed(path)) == [f"in/{n}.pdf" for n in (0, 1, 4, 5)]
    assert f"from byte {start:,} to {end:,}; 4 members were seen" in damage(listed(path), path)


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"\xff" * 8 + b"\xff\xff\xf0\x00"])
def test_a_size_that_is_none_does_not_turn_the_reading_back(tmp_path: Path, size: bytes) -> None:
    """Negative sizes led back to the same header for ever."""
    data = bytearray(tar_bytes())
    place = data.index(b"in/2.pdf")
    data[place + 124 : place + 136] = size
    data[place + 148 : place + 156] = b" " * 8
    data[place + 148 : place + 156] = b"%06o\0 " % sum(data[place : place + 512])
    path = written(tmp_path / "a.tar", bytes(data))
    found = listed(path)
    assert members(found)[:2] == ["in/0.pdf", "in/1.pdf"]
    damage(found, path)


def test_pax_names_global_headers_and_long_names(tmp_path: Path) -> None:
    for number, form in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
        path = tmp_path / f"{number}.tar"
        names = [f"{'hóa đơn/' * 40}{n}.pdf" for n in range(3)]
        with tarfile.open(path, "w", format=form, pax_headers={"comment": "for all"}) as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = len(name)
                archive.addfile(info, io.BytesIO(name[::-1].encode("utf-8")[: len(name)]))
        found = listed(path)
        assert members(found) == names and len(found) == 3
        for ref, name in zip(found, names, strict=True):
            assert fetch(ref.uri, SETTINGS, ref.etag).data == name[::-1].encode()[: len(name)]


# Gzip


def test_a_gz_with_a_wrong_checksum_is_not_believed(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(tar_bytes()))
    data[-8] ^= 1
    path = written(tmp_path / "a.tgz", bytes(data))
    found = listed(path)
    assert members(found) == [] and "checksum" in damage(found, path)


def test_a_gz_is_believed_up_to_the_last_checksum_that_was_right(tmp_path: Path) -> None:
    whole = tar_bytes()
    place = whole.index(b"in/3.pdf")
    second = bytearray(gzip.compress(whole[place:]))
    path = written(tmp_path / "a.tgz", gzip.compress(whole[:place]) + bytes(second))
    assert members(listed(path)) == list(MEMBERS) and len(listed(path)) == 6
    second[-8] ^= 1
    written(path, gzip.compress(whole[:place]) + bytes(second))
    found = listed(path)
    assert members(found) == [f"in/{n}.pdf" for n in range(3)]
    assert "3 members were seen" in damage(found, path)
    all_read(found)


def test_a_cut_gz_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    truth = many(50)
    whole = gzip.compress(tar_bytes(truth))
    path = written(tmp_path / "a.tar.gz", whole[: len(whole) * 7 // 10])
    found = listed(path)
    assert 20 < len(members(found)) < 45
    assert f"{len(members(found))} members were seen" in damage(found, path)
    assert "cut short" in damage(found, path)
    for ref in found[:20]:
        assert fetch(ref.uri, SETTINGS, ref.etag).data == truth[ref.uri.partition("!/")[2]]


@pytest.mark.parametrize(("tail", "whole"), [(bytes(3000), True), (b"left over", False), (b"x", False)])
def test_what_follows_a_gz(tmp_path: Path, tail: bytes, whole: bool) -> None:
    path = written(tmp_path / "a.tar.gz", gzip.compress(tar_bytes()) + tail)
    found = listed(path)
    assert members(found) == list(MEMBERS)
    if whole:
        assert len(found) == 6
    else:
        assert "6 members were seen" in damage(found, path)
    all_read(found)


# Zips


@pytest.mark.parametrize("streamed", [False, True])
def test_a_zip_without_its_list_is_read_by_its_members(tmp_path: Path, streamed: bool) -> None:
    whole = zip_bytes(streamed=streamed)
    path = written(tmp_path / "a.zip", whole[: whole.index(b"PK\1\2") + 40])
    found = listed(path)
    assert members(found) == list(MEMBERS)
    assert "6 members were seen" in damage(found, path)
    all_read(found)
    written(path, whole[: whole.index(b"in/4.pdf") + 10])
    found = listed(path)
    assert members(found) == list(MEMBERS)[:4]
    assert "4 members were seen" in damage(found, path)
    all_read(found)


def test_a_zip_behind_a_program_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zip", b"#!/bin/sh\nexit 0\n" + zip_bytes())
    assert members(listed(path)) == list(MEMBERS) and len(listed(path)) == 6
    all_read(listed(path))


def test_two_zips_in_a_row_are_not_half_a_zip(tmp_path: Path) -> None:
    first, second = dict(list(MEMBERS.items())[:4]), dict(list(MEMBERS.items())[4:])
    path = written(tmp_path / "a.zip", zip_bytes(first) + zip_bytes(second))
    found = listed(path)
    assert members(found) == list(second)
    assert "not in its list" in damage(found, path) and "2 members were seen" in damage(found, path)
    all_read(found)


def test_a_list_that_names_less_than_the_zip_holds(tmp_path: Path) -> None:
    whole = zip_bytes()
    parts = whole.split(b"PK\1\2")
    dropped = b"PK\1\2" + parts[3]
    end = bytearray(parts[-1])
    at = end.index(b"PK\5\6")
    count, size, place = 5, len(whole) - whole.index(b"PK\1\2") - len(dropped) - 22, whole.index(b"PK\1\2")
    end[at : at + 20] = struct.pack("<4s4H2I", b"PK\5\6", 0, 0, count, count, size, place)
    listed_parts = [*parts[1:3], *parts[4:-1], bytes(end)]
    path = written(tmp_path / "a.zip", parts[0] + b"".join(b"PK\1\2" + part for part in listed_parts))
    found = listed(path)
    assert members(found) == [f"in/{n}.pdf" for n in (0, 1, 3, 4, 5)]
    assert "not in its list" in damage(found, path)
    all_read(found)


def test_what_follows_a_zip(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zip", zip_bytes() + b"left over")
    assert members(listed(path)) == list(MEMBERS)
    assert "follow its end" in damage(listed(path), path)
    written(path, zip_bytes() + bytes(2000))
    assert len(listed(path)) == 6


def test_a_mark_is_found_once_wherever_the_pieces_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "_PIECE", 8)
    for place in range(20):
        with tempfile.TemporaryFile() as file:
            file.write(b"P" * place + b"PK\3\4" + b"PK")
            file.flush()
            view = Positional(file, 100)
            assert [*zips._marks(view, b"PK\3\4", 0, view.size)] == [place]
            assert [*zips._marks(view, b"PK\3\4", place, place + 4)] == [place]
            assert [*zips._marks(view, b"PK\3\4", 0, place + 3)] == []
            assert [*zips._marks(view, b"PK\3\4", place + 1, view.size)] == []
            file.write(b"PK\3\4PK\3\4")
            file.flush()
            view = Positional(file, 100)
            assert [*zips._marks(view, b"PK\3\4", 0, view.size)] == [place, place + 6, place + 10]


def test_a_large_zip_form(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in MEMBERS.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)
        archive.comment = b"a comment"
    assert members(listed(path)) == list(MEMBERS) and len(listed(path)) == 6
    all_read(listed(path))


@pytest.mark.medium
def test_a_member_that_lies_about_its_size_is_cut_or_refused(tmp_path: Path) -> None:
    """It says 100 bytes and unpacks to 200 MB."""
    data = bytearray(zip_bytes({"1.pdf": bytes(200 * 2**20)}))
    place = data.index(b"PK\1\2")
    data[place + 24 : place + 28] = struct.pack("<I", 100)
    path = written(tmp_path / "a.zip", bytes(data))
    tracemalloc.start()
    try:
        with pytest.raises(Permanent) as caught:
            fetch(f"{path}!/1.pdf", SETTINGS)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert caught.value.reason is Reason.archive_damaged


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_that_only_c_code_knows_is_named(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("1.pdf", b"x" * 1000)
    (ref,) = listed(path)
    assert ref.failure and ref.failure.reason is Reason.archive_member
    assert "stored and deflated members are read" in ref.failure.message


# Names


def raw_zip(path: Path, names: list[bytes], flags: int = 0, extra: bytes = b"") -> Path:
    """A zip whose members' names are these bytes, each holding its own number."""
    file, listing = io.BytesIO(), b""
    for number, name in enumerate(names):
        data = str(number).encode()
        crc, place = zlib.crc32(data), file.tell()
        fields = (20, flags, 0, 0, 33, crc, len(data), len(data), len(name), len(extra))
        file.write(struct.pack("<4s5H3I2H", b"PK\3\4", *fields) + name + extra + data)
        listing += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *fields, 0, 0, 0, 0, place) + name + extra
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(names), len(names), len(listing), file.tell(), 0)
    path.write_bytes(file.getvalue() + listing + end)
    return path


def test_names_of_zips_as_old_tools_write_them(tmp_path: Path) -> None:
    names = [
        "hóa đơn.pdf".encode(),  # UTF-8 without the flag
        b"ch\x82que.pdf",  # code page 437
        b"DIR\\",  # a folder of PowerShell 5
        b"DIR\\sub\\x.pdf",
        b"1: don.pdf",
        b"C:\\windows\\evil.pdf",
        b"..\\up.pdf",
    ]
    found = listed(raw_zip(tmp_path / "a.zip", names))
    assert members(found) == ["hóa đơn.pdf", "chéque.pdf", "DIR/sub/x.pdf", "1: don.pdf"]
    refused = {ref.uri.partition("!/")[2]: ref.failure.reason for ref in found if ref.failure}
    assert refused == dict.fromkeys(("C:\\windows\\evil.pdf", "..\\up.pdf"), Reason.archive_member)
    for ref, number in zip([ref for ref in found if not ref.failure], (0, 1, 3, 4), strict=True):
        assert fetch(ref.uri, SETTINGS, ref.etag).data == str(number).encode()


@pytest.mark.filterwarnings("ignore:Empty unicode path")  # of Python 3.12's zipfile
def test_a_unicode_name_beside_the_old_one(tmp_path: Path) -> None:
    old, new = b"h?a.pdf", "hóa.pdf".encode()
    field = struct.pack("<BI", 1, zlib.crc32(old)) + new
    extra = struct.pack("<HH", 0x7075, len(field)) + field
    assert members(listed(raw_zip(tmp_path / "a.zip", [old], extra=extra))) == ["hóa.pdf"]
    assert members(listed(raw_zip(tmp_path / "b.zip", [b"x.pdf"], extra=extra))) == ["x.pdf"]
    for name in (b"", b"a"):  # the shortest there are: none, and one byte
        field = struct.pack("<BI", 1, zlib.crc32(old)) + name
        extra = struct.pack("<HH", 0x7075, len(field)) + field
        (ref,) = listed(raw_zip(tmp_path / "c.zip", [old], extra=extra))
        assert ref.uri == f"{tmp_path / 'c.zip'}!/{(name or old).decode()}"


def test_a_member_that_is_encrypted_has_its_name(tmp_path: Path) -> None:
    (ref,) = listed(raw_zip(tmp_path / "a.zip", ["hóa đơn.pdf".encode()], flags=1))
    assert ref.uri.endswith("!/hóa đơn.pdf") and ref.failure is not None
    assert "encrypted" in ref.failure.message


def test_hidden_members_are_named_when_asked_for(tmp_path: Path) -> None:
    names = {"a.pdf": b"1", ".hid/b.pdf": b"2", "__MACOSX/._a.pdf": b"3", "x/truth.jsonl": b"4"}
    path = make_zip(tmp_path / "a.zip", names)
    assert members(listed(path)) == ["a.pdf"] and len(listed(path)) == 1
    all_of_them = list(list_documents([str(path)], SETTINGS, passed_over=True))
    assert [ref.failure.reason for ref in all_of_them if ref.failure] == [Reason.passed_over] * 3
