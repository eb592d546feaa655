"""What a hostile list holds is one row, and the rest of the list is rows too: on both databases."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import Reason
from pipeline.settings import SourceSettings
from pipeline.sources import list_documents
from pipeline.store import Store
from tests.pipeline.test_sources_archives import tar_bytes
from tests.pipeline.test_sources_manifests import HOSTILE
from tests.store.samples import job


def test_hostile_lines_are_one_failure_each(ledger: Store, tmp_path: Path) -> None:
    lines = [line for hostile in HOSTILE.values() for line in (b'{"uri": "good.pdf", "size": 5}', hostile)]
    lines = [line.replace(b"good", b"good%d" % number) for number, line in enumerate(lines)]
    path = tmp_path / "list.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    june = job(ledger)
    added = ledger.add_documents(june, list_documents([str(path)], SourceSettings()))
    assert (added.added, added.failed) == (2 * len(HOSTILE), len(HOSTILE))
    assert ledger.counts(june)["pending"] == ledger.counts(june)["quarantined"] == len(HOSTILE)
    assert ledger.verify(june).submitted == 2 * len(HOSTILE)


def test_sizes_and_names_of_a_hostile_tar(ledger: Store, tmp_path: Path) -> None:
    data = bytearray(tar_bytes())
    for name, size in (
        (b"in/1.pdf", b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7),
        (b"in/3.pdf", b"\xff" * 12),
    ):
        place = data.index(name)
        data[place + 124 : place + 136] = size
        data[place + 148 : place + 156] = b" " * 8
        data[place + 148 : place + 156] = b"%06o\0 " % sum(data[place : place + 512])
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(data))
    june = job(ledger)
    added = ledger.add_documents(june, list_documents([str(path)], SourceSettings()))
    assert added.added >= 2 and added.failed >= 1
    assert ledger.verify(june).submitted == added.added
    reasons = {failure.reason for failure in ledger.failures(june)}
    assert Reason.archive_damaged in reasons
