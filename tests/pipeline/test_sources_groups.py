"""Which files are one document, and what is told of those that cannot be put together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import Reason
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import groups, list_documents
from tests.pipeline.test_sources import make_zip

CARD = "{id}-front.jpg,{id}-back.jpg"


def listed(source: Path | str, *group: str, **settings: object) -> list[DocumentRef]:
    return list(list_documents([str(source)], SourceSettings(attempts=2, group=group, **settings)))  # type: ignore[arg-type]


def shown(found: list[DocumentRef], base: Path) -> list[str]:
    """Each document by its files, those that cannot be had in brackets."""
    names = []
    for ref in found:
        files = [
            f"({part.uri})" if part.failure else part.uri for part in ref.parts or (ref,)
        ]  # fmt: skip
        names.append(" + ".join(files).replace(f"{base}/", ""))
    return names


def folder_of(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"%PDF-")
    return path


def test_a_list_says_which_files_are_one_document(tmp_path: Path) -> None:
    folder_of(tmp_path, "f1.png", "b1.png", "f2.png", "alone.png")
    (tmp_path / "list.csv").write_text(
        "path,group\nf1.png,1\nalone.png,\nf2.png,2\nb1.png,1\nmissing.png,2\n../outside.png,2\n"
    )
    found = listed(tmp_path / "list.csv")
    assert shown(found, tmp_path) == [
        "f1.png + b1.png",
        "alone.png",
        "f2.png + missing.png + (list.csv#line-7)",
    ]
    assert [ref.group for ref in found] == ["group 1 of the list", None, "group 2 of the list"]
    assert found[0].uri == found[0].parts[0].uri
    outside = found[2].parts[2].failure
    assert outside is not None and outside.reason is Reason.outside_root
    entries = [
        {"uri": "f1.png", "group": 7, "etag": "e", "size": 3},
        {"uri": "b1.png", "group": "7", "size": 4},
    ]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    [ref] = listed(tmp_path / "list.jsonl")
    assert (ref.size, ref.etag, [part.size for part in ref.parts]) == (7, "e", [3, 4])


def test_what_is_wrong_with_a_group_is_said(tmp_path: Path) -> None:
    entries = [{"uri": "a.png", "group": ["1"]}, {"uri": "b.png", "group": "x" * 501}, {"uri": "c.png"}]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    first, second, third = listed(tmp_path / "list.jsonl")
    assert first.failure is not None and "group" in first.failure.message
    assert second.failure is not None and "500 characters" in second.failure.message
    assert third.failure is None
    many = [{"uri": f"{n}.png", "group": 1} for n in range(groups.MOST_PARTS + 1)]
    (tmp_path / "many.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in many))
    found = listed(tmp_path / "many.jsonl")
    assert len(found) == len(many)
    assert all(ref.failure is not None and "at most 200" in ref.failure.message for ref in found)


def test_a_group_whose_entries_lie_far_apart_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "HELD", 5)
    entries = [{"uri": f"{n}.png", "group": min(n, 6) % 6} for n in range(12)]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    found = listed(tmp_path / "list.jsonl")
    assert sum(len(ref.parts or (ref,)) for ref in found) == 12
    late = [ref for ref in found if ref.failure is not None]
    assert late and all("group 0 ended" in ref.failure.message for ref in late if ref.failure)


def test_a_list_may_name_an_archive_as_a_part(tmp_path: Path) -> None:
    make_zip(tmp_path / "mail.zip", {"1.pdf": b"%PDF-", "2.png": b"x"})
    folder_of(tmp_path, "photo.jpg")
    entries = [{"uri": "mail.zip", "group": "a"}, {"uri": "photo.jpg", "group": "a"}]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    assert shown(listed(tmp_path / "list.jsonl"), tmp_path) == [
        "mail.zip!/1.pdf + mail.zip!/2.png + photo.jpg"
    ]
