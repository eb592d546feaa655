"""Documents within a portfolio are fetched by their names, as an archive's members are."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

import pytest

from pipeline.errors import Permanent, Reason, UsageError
from pipeline.filetype import sniff
from pipeline.records import Document
from pipeline.settings import RenderSettings, SourceSettings
from pipeline.sources import fetch, fetching, list_documents, local, members, portfolios, refs
from tests.pipeline.test_attached import holding, picture

SETTINGS = SourceSettings(attempts=2)


@pytest.fixture
def portfolio(tmp_path: Path) -> Path:
    path = tmp_path / "p.pdf"
    path.write_bytes(
        holding({"a.png": picture(40), "list.csv": b"1;2", "b.png": picture(41)}, portfolio=True)
    )
    return path


@pytest.mark.medium
def test_members_are_read_at_the_version_that_was_listed(portfolio: Path) -> None:
    etag = local.etag(str(portfolio))
    found = fetch(f"{portfolio}!/b.png", SETTINGS, etag)
    assert (found.data, found.etag, sniff(found.data)) == (picture(41), etag, "png")
    [listed] = list_documents([f"{portfolio}!/a.png"], SETTINGS)
    assert (listed.uri, listed.etag, listed.size) == (f"{portfolio}!/a.png", etag, len(picture(40)))
    assert [ref.uri for ref in list_documents([str(portfolio)], SETTINGS)] == [str(portfolio)], "not opened"
    for name in ("list.csv", "c.png"):
        with pytest.raises(Permanent, match="is no document within the PDF") as missing:
            fetch(f"{portfolio}!/{name}", SETTINGS, etag)
        assert missing.value.reason is Reason.object_missing
    with pytest.raises(UsageError, match="is not in the archive"):
        list(list_documents([f"{portfolio}!/c.png"], SETTINGS))
    portfolio.write_bytes(holding({"b.png": picture(50)}))
    with pytest.raises(Permanent) as changed:
        fetch(f"{portfolio}!/b.png", SETTINGS, etag)
    assert changed.value.reason is Reason.object_changed


@pytest.mark.medium
def test_what_they_unpack_to_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "p.pdf"
    path.write_bytes(holding({"a.png": picture(40), "b.png": picture(41) + bytes(2**21)}))
    small = SourceSettings(attempts=1, archive_ratio=2.0)
    assert fetch(f"{path}!/a.png", small).data == picture(40)
    with pytest.raises(Permanent, match="unpacks to more than 1,048,576 bytes") as large:
        fetch(f"{path}!/b.png", small)
    assert large.value.reason is Reason.archive_member
    [told] = list_documents([f"{path}!/b.png"], small)
    assert told.uri == f"{path}!/b.png" and told.failure and told.failure.reason is Reason.archive_member
    cut = tmp_path / "cut.pdf"
    cut.write_bytes(b"%PDF-1.7\n")
    with pytest.raises(Permanent, match="what it holds cannot be read") as damaged:
        fetch(f"{cut}!/a.png", SETTINGS)
    assert damaged.value.reason is Reason.pdf_damaged


@pytest.mark.medium
def test_a_member_that_is_too_large_for_a_document_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.pdf"
    path.write_bytes(holding({"a.png": picture(40), "b.png": picture(41) + bytes(2**21)}, pages=2))
    monkeypatch.setattr(portfolios, "RenderSettings", partial(RenderSettings, max_pixels=2**12))
    assert fetch(f"{path}!/a.png", SETTINGS).data == picture(40)
    with pytest.raises(Permanent, match="it has more bytes than a document within a PDF may have"):
        fetch(f"{path}!/b.png", SETTINGS)
    fetching.opened_archive.cache_clear()
    monkeypatch.setattr(portfolios, "_PAGES", 1)  # of the PDF's own: `render.max_pages` does not count here
    with pytest.raises(Permanent, match="2 pages; at most 1"):
        fetch(f"{path}!/a.png", SETTINGS)


def test_no_two_names_are_alike_and_none_is_a_path() -> None:
    listed = [("a.pdf", True), ("a.csv", False), ("a.pdf", True), ("../a.pdf", True), ("3 a.pdf", True)]
    assert portfolios.member_names(listed) == {0: "a.pdf", 2: "3 a.pdf", 3: ".._a.pdf", 4: "5 3 a.pdf"}
    # The second name is taken as well, and so on.
    listed = [(name, True) for name in ("4 4 a.pdf", "4 a.pdf", "a.pdf", "a.pdf")]
    assert portfolios.member_names(listed) == {
        **{n: name for n, (name, _) in enumerate(listed)},
        3: "4 4 4 a.pdf",
    }


@pytest.mark.medium
def test_a_portfolio_within_an_archive_is_opened_there(tmp_path: Path, portfolio: Path) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deep/p.pdf", portfolio.read_bytes())
        archive.writestr("plain.png", picture(50))
    uri = f"{path}!/deep/p.pdf!/b.png"
    assert refs.split_member(uri) == (f"{path}!/deep/p.pdf", "b.png") and refs.file_of(uri) == str(path)
    assert fetch(uri, SETTINGS).data == picture(41)
    [listed] = list_documents([uri], SETTINGS)
    assert (listed.uri, listed.etag, listed.size) == (uri, local.etag(str(path)), len(picture(41)))
    assert fetch(f"{path}!/plain.png", SETTINGS).data == picture(50)
    with pytest.raises(Permanent, match=r"deep/q\.pdf is not in the archive"):
        fetch(f"{path}!/deep/q.pdf!/b.png", SETTINGS)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(Permanent) as changed:
        fetch(uri, SETTINGS, listed.etag)
    assert changed.value.reason is Reason.object_changed


@pytest.mark.parametrize(
    ("exclude", "listed", "expected"),
    [
        (["*.png"], ["in"], {"c.pdf"}),
        (["p.pdf/?.png"], ["in"], {"a.png", "b.png", "c.pdf"}),
        (["x/p.pdf/?.png"], ["in"], {"c.pdf"}),
        (["p.pdf/?.png"], ["in/x"], {"c.pdf"}),
        (["p.pdf/?.png"], ["in/x/*.pdf"], {"c.pdf"}),
        (["p.pdf/?.png"], ["in/x", "in"], {"a.png", "b.png", "c.pdf"}),  # one source wants them
        (["p.pdf/?.png"], ["in/x", "elsewhere"], {"c.pdf"}),
        (["**/a.*"], [], {"b.png", "c.pdf"}),
    ],
)
def test_what_is_left_out_of_a_portfolio_is_by_paths_below_the_source(
    tmp_path: Path, exclude: list[str], listed: list[str], expected: set[str]
) -> None:
    for folder in ("in/x", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    paper = Document(f"{tmp_path}/in/x/p.pdf", b"", "", "1-1")
    chosen = SourceSettings.model_validate({"exclude": exclude})
    sources = [str(tmp_path / one) for one in listed]
    found = members(paper, ["a.png", "b.png", "c.pdf"], chosen, sources)
    assert {ref.uri.rpartition("!/")[2] for ref in found} == expected
    assert {ref.etag for ref in found} == {"1-1"}
    told = members(paper, ["a.png", "b.png", "c.pdf"], chosen, sources, passed_over=True)
    left_out = [ref.failure.message for ref in told if ref.failure]
    assert len(told) == 3 and left_out == [f"left out by --exclude {exclude[0]}"] * (3 - len(expected))
