"""What a hostile list holds is one row, and the rest of the list is rows too: on both databases."""

from __future__ import annotations

import struct
from pathlib import Path

from pipeline.errors import Reason
from pipeline.settings import SourceSettings
from pipeline.sources import list_documents
from pipeline.store import Store
from tests.pipeline.test_sources_archives import tar_bytes, zip_bytes
from tests.pipeline.test_sources_manifests import HOSTILE
from tests.store.samples import job


def test_hostile_lines_are_one_failure_each(store: Store, tmp_path: Path) -> None:
    lines = [line for hostile in HOSTILE.values() for line in (b'{"uri": "good.pdf", "size": 5}', hostile)]
    lines = [line.replace(b"good", b"good%d" % number) for number, line in enumerate(lines)]
    path = tmp_path / "list.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    june = job(store)
    added = store.ledger.add(june, list_documents([str(path)], SourceSettings()))
    assert (added.added, added.failed) == (2 * len(HOSTILE), len(HOSTILE))
    assert store.books.counts(june)["pending"] == store.books.counts(june)["quarantined"] == len(HOSTILE)
    assert store.books.verify(june).submitted == 2 * len(HOSTILE)


def test_sizes_of_hostile_archives(store: Store, tmp_path: Path) -> None:
    data = bytearray(tar_bytes())
    for name, size in (
        (b"in/1.pdf", b"\x80" + b"\x7f" * 11),
        (b"in/3.pdf", b"\xff" * 12),
    ):
        place = data.index(name)
        data[place + 124 : place + 136] = size
        data[place + 148 : place + 156] = b" " * 8
        data[place + 148 : place + 156] = b"%06o\0 " % sum(data[place : place + 512])
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(data))
    june = job(store)
    packed = bytearray(zip_bytes({"1.pdf": b"x", "2.pdf": b"x"}))
    place, end = packed.index(b"PK\1\2"), packed.index(b"PK\5\6")
    extra = struct.pack("<HHQQ", 1, 16, 2**64 - 1, 2**64 - 1)
    packed[place + 20 : place + 28] = b"\xff" * 8
    packed[place + 30 : place + 32] = struct.pack("<H", len(extra))
    packed[end + 12 : end + 16] = struct.pack("<I", end - place + len(extra))
    name_end = place + 46 + len("1.pdf")
    (tmp_path / "b.zip").write_bytes(bytes(packed[:name_end]) + extra + bytes(packed[name_end:]))
    found = [*list_documents([str(path), f"{tmp_path}/b.zip"], SourceSettings())]
    assert any(ref.failure and "says that it has" in ref.failure.message for ref in found[-2:])
    added = store.ledger.add(june, iter(found))
    assert added.added == len(found) and added.failed >= 2
    assert store.books.verify(june).submitted == added.added
    reasons = {failure.reason for failure in store.failures.groups(june)}
    assert Reason.archive_damaged in reasons
