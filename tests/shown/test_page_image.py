"""A page is drawn again from the very bytes that were read, and nothing else is shown in its place."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pipeline import store as stores
from pipeline.errors import Coded, Reason, UsageError
from pipeline.records import DocumentRef, Part
from pipeline.settings import Settings
from pipeline.shown import PageImages, page_png
from pipeline.store import Store
from tests.pipeline import papers
from tests.store import samples

SETTINGS = Settings()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with stores.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


def file(path: Path, colour: str, pages: int = 1) -> tuple[Path, Part]:
    """A picture of one colour, or a PDF of so many pages."""
    if pages == 1:
        Image.new("RGB", (60, 40), colour).save(path)
    else:
        path.write_bytes(papers.pages([papers.text(f"page {n}") for n in range(pages)]))
    data = path.read_bytes()
    return path, Part(str(path), hashlib.sha256(data).hexdigest(), None, len(data), pages)


def read(store: Store, *files: tuple[Path, Part]) -> str:
    """The URI of a document of these files, which is read."""
    job = samples.job(store)
    ref = DocumentRef.of_parts([DocumentRef(part.uri) for _, part in files])
    store.ledger.add(job, [ref])
    [lease] = store.ledger.claim(job, "w", 1, 60)
    parts = [part for _, part in files]
    count = sum(part.pages for part in parts)
    store.results.commit(
        lease,
        samples.invoice(pages=count),
        [samples.page(number, f"key-{number}") for number in range(1, count + 1)],
        sha256=parts[0].sha256,
        parts=parts if len(parts) > 1 else (),
    )
    return ref.uri


def colour(png: bytes) -> tuple[int, ...]:
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    found = image.getpixel((5, 5))
    assert isinstance(found, tuple)
    return found


@pytest.mark.medium
def test_pages_are_numbered_through_the_files_of_a_document(store: Store, tmp_path: Path) -> None:
    files = (
        file(tmp_path / "1.png", "red"),
        file(tmp_path / "2.pdf", "white", 2),
        file(tmp_path / "3.png", "blue"),
    )
    uri = read(store, *files)
    job = store.jobs.find("june")
    with PageImages(store, SETTINGS) as images:
        assert colour(images.png(job, uri, 1)) == (255, 0, 0)
        assert images.pixels(job, uri, 3).shape[0] > 2000
        assert colour(images.png(job, "3.png", 4)) == (0, 0, 255)  # by the end of any of its files' names
        with pytest.raises(UsageError, match="has 4 pages; there is no page 5"):
            images.png(job, uri, 5)
    small = Image.open(io.BytesIO(page_png(store, job, uri, 2, SETTINGS, longest=300)))
    assert max(small.size) == 300


@pytest.mark.medium
def test_a_file_that_is_not_what_was_read_is_not_shown(store: Store, tmp_path: Path) -> None:
    one = file(tmp_path / "a.png", "red")
    uri = read(store, one)
    job = store.jobs.find("june")
    os.utime(one[0], (1, 1))
    assert colour(page_png(store, job, uri, 1, SETTINGS)) == (255, 0, 0)  # only touched
    file(one[0], "blue")
    with pytest.raises(Coded, match="has other bytes than those that were read") as changed:
        page_png(store, job, uri, 1, SETTINGS)
    assert changed.value.reason is Reason.object_changed
    one[0].unlink()
    with pytest.raises(Coded, match=r"no picture of the page: .*a\.png does not exist") as gone:
        page_png(store, job, uri, 1, SETTINGS)
    assert gone.value.reason is Reason.object_missing


def test_names_that_fit_none_or_several(store: Store, tmp_path: Path) -> None:
    job = samples.job(store)
    store.ledger.add(job, [DocumentRef(f"/in/{folder}/7_.pdf") for folder in "ab"])
    assert store.document(job, "a/7_.pdf").uri == "/in/a/7_.pdf"
    with pytest.raises(UsageError, match=r"several documents of job june: /in/a/7_\.pdf, /in/b/7_\.pdf"):
        store.document(job, "7_.pdf")
    with pytest.raises(UsageError, match=r"has no document _\.pdf"):
        store.document(job, "_.pdf")
