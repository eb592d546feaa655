"""What lies beside documents is passed over by its name and named; a person may leave out more."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pipeline.errors import Reason
from pipeline.settings import SourceSettings
from pipeline.sources import list_documents

JUNK = (
    "Thumbs.db", ".DS_Store", "desktop.ini", "list.xlsx", "a.xsl", "read me.TXT", "~$list.docx", "mail.url",
    "@eaDir/a.pdf/SYNOPHOTO_THUMB_M.jpg", "$RECYCLE.BIN/b.pdf", "System Volume Information/x",
    "__MACOSX/._a.pdf", "deep/Thumbs.db", "truth.jsonl", "README", "_SUCCESS", "in_$folder$", "a.pdf.sha256",
    "IMG_1.AAE",
)  # fmt: skip
DOCUMENTS = ("a.pdf", "b.HEIC", "c.avif", "d.gif", "e.bmp", "f.jp2", "archive.db/g.pdf", "no name", "h.xml")
UNREAD = (
    "letter.docx",
    "more.rar",
    "mail.eml",
    "scan.pdf.part",
    "IMG_1.DNG",
    "signed.pdf.p7m",
)  # may hold a document: a row says that they are not read


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return path


def listed(source: Path | str, base: Path | str, **settings: object) -> dict[str, str | None]:
    """What is listed, by its path below `base`, and why it is not read."""
    found = list_documents([str(source)], SourceSettings.model_validate(settings), passed_over=True)
    return {
        ref.uri.removeprefix(str(base)).lstrip("!/"): ref.failure and str(ref.failure.reason) for ref in found
    }


def wanted(found: dict[str, str | None]) -> set[str]:
    return {name for name, reason in found.items() if reason is None}


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_no_document_by_its_name_is_passed_over_and_named(tmp_path: Path, packed: bool) -> None:
    names = JUNK + DOCUMENTS + UNREAD
    source = zipped(tmp_path / "in.zip", *names) if packed else fill(tmp_path / "in", *names)
    found = listed(source, source)
    assert {name for name, reason in found.items() if reason == Reason.unsupported_type} == set(UNREAD)
    assert wanted(found) == set(DOCUMENTS)
    over = {name for name, reason in found.items() if reason == Reason.passed_over}
    tops = set(JUNK) if packed else {name.split("/")[0] if "/" in name else name for name in JUNK}
    assert over == (tops if packed else tops - {"deep"} | {"deep/Thumbs.db"})
    quiet = list(list_documents([str(source)], SourceSettings()))
    assert len(quiet) == len(DOCUMENTS) + len(UNREAD)


def test_a_file_that_is_named_by_itself_gets_a_row(tmp_path: Path) -> None:
    fill(tmp_path, "list.xlsx")
    (tmp_path / "these.jsonl").write_text('"list.xlsx"\n', encoding="utf-8")
    for source in ("list.xlsx", "these.jsonl"):
        assert listed(tmp_path / source, tmp_path) == {"list.xlsx": Reason.unsupported_type}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.pdf"], [], {"a.pdf", "b.PDF", "old/c.pdf", "x.zip!/m.pdf", "x.zip!/old/n.pdf"}),
        (["a.*", "*.png"], [], {"a.pdf", "d.png", "x.zip!/o.png"}),
        ([], ["old"], {"a.pdf", "b.PDF", "d.png", "x.zip!/m.pdf", "x.zip!/o.png"}),
        (["old/**"], [], {"old/c.pdf"}),
        (["**/old/*"], [], {"old/c.pdf", "x.zip!/old/n.pdf"}),
        (["*.pdf"], ["*.zip", "?.PDF"], set()),
        ([], ["x.zip/old"], {"a.pdf", "b.PDF", "old/c.pdf", "d.png", "x.zip!/m.pdf", "x.zip!/o.png"}),
        (["./old/"], [], {"old/c.pdf"}),
        ([], ["tmp*", "in"], {"a.pdf", "b.PDF", "old/c.pdf", "d.png", "x.zip!/m.pdf", "x.zip!/old/n.pdf",
                              "x.zip!/o.png"}),  # where the source lies says nothing
    ],
)  # fmt: skip
def test_globs_choose_by_name_or_by_path_below_the_source(
    tmp_path: Path, include: list[str], exclude: list[str], expected: set[str]
) -> None:
    folder = fill(tmp_path / "in", "a.pdf", "b.PDF", "old/c.pdf", "d.png")
    zipped(folder / "x.zip", "m.pdf", "old/n.pdf", "o.png")
    found = listed(folder, folder, include=include, exclude=exclude)
    assert wanted(found) == expected
    assert {found[name] for name in found.keys() - expected} <= {str(Reason.passed_over)}
    if "*.zip" not in exclude:  # then it is not opened
        assert len(found) == 7


def test_a_glob_and_a_manifest_are_chosen_from_likewise(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "a.pdf", "old/c.pdf")
    (folder / "these.jsonl").write_text('"a.pdf"\n"old/c.pdf"\n', encoding="utf-8")
    for source in ("**/*.pdf", "these.jsonl"):
        found = listed(folder / source, folder, exclude=["old"])
        assert found == {"a.pdf": None, "old/c.pdf": Reason.passed_over}


def test_what_cannot_be_listed_is_not_left_out_by_what_is_included(tmp_path: Path) -> None:
    folder = fill(tmp_path / "in", "a.pdf", "letter.docx")
    (folder / "broken.zip").write_bytes(b"PK no zip")
    found = listed(folder, folder, include=["*.pdf"])
    assert found["broken.zip"] == Reason.archive_damaged
    assert found["letter.docx"] == Reason.passed_over
    assert listed(folder, folder, exclude=["*.zip"])["broken.zip"] == Reason.passed_over
