"""`vinbatch show`: a document as one file that fetches nothing, runs nothing of the document's, and couples
every value with its place.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page
from typer.testing import CliRunner

from pipeline import merge, run
from pipeline import store as stores
from pipeline.normal import normal
from pipeline.recipe import Recipe
from pipeline.records import DocumentRef, Extraction, Field, PageRecord, PageResult, Quality
from pipeline.records import Testimony as Said
from pipeline.settings import Settings
from pipeline.specimens import make
from pipeline.specimens.files import encode
from pipeline.specimens.specimen import Specimen
from schemas.registry import SchemaSpec, resolve
from tests.einvoice.invoices import LINE, NOTE, SECOND, einvoice, written
from workers.cli import app

CARD = resolve("id_card@1")
HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=alert(1)>\u202e"\''


def fields(specimen: Specimen, spec: SchemaSpec, page: int, **instead: str) -> Iterator[Field]:
    """What a perfect reader reads from a page of a card, but for what stands there `instead`."""
    for path, leaf in spec.shape.of_pages.leaves():
        there = specimen.truth["fields"].get(path)
        here = there if there is not None and there["page"] == page else None
        raw = None if here is None else instead.get(path, here["raw"])
        value, problem = (None, None) if raw is None else normal(leaf, raw)
        sure = 0.5 if path == "sex" else 0.999
        yield Field(path, raw, value, sure, "read", page, here and tuple(here["box"]), problem)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one card of two sides that was read: its name is hostile, its sex is not sure."""
    folder = tmp_path_factory.mktemp("shown")
    specimen = make("id_card", 5, preset="clean")
    file = folder / "card & <b>.tiff"
    file.write_bytes(data := encode(specimen, "tiff"))
    quality = Quality("scan", 20.0, 0.1, 0.1, 0.0, 0.0, ("blurred",))
    records = [
        PageRecord(page, tuple(fields(specimen, CARD, page, full_name=HOSTILE)), quality=quality)
        for page in (1, 2)
    ]
    made = merge.document(records, CARD)
    said = Said("full_name", "reader", "differs", HOSTILE + "!", None, 1, (0.1, 0.1, 0.3, 0.2))
    made = replace(made, testimony=(*made.testimony, said))
    with stores.open(f"sqlite:///{folder / 'store.db'}") as store:
        job = store.jobs.ensure("cards", CARD, sources=["in"], settings={}, model="demo", checkpoint="c" * 64)
        store.ledger.add(job, [DocumentRef(str(file))])
        [lease] = store.ledger.claim(job, "w", 1, 60)
        pages = [
            PageResult(record.page, f"key-{record.page}", record, None, "pillow", 10, 10, 1, 1, 1, "{}")
            for record in records
        ]
        store.results.commit(lease, made, pages, sha256=hashlib.sha256(data).hexdigest())
    return folder


def show(folder: Path, *more: str, name: str = "card & <b>.tiff") -> str:
    """What the command says; it must end well."""
    url = f"sqlite:///{folder / 'store.db'}"
    ran = CliRunner().invoke(app, ["show", name, "--job", "cards", "--store", url, *more])
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    assert ran.exit_code == 0, ran.output
    return ran.output


@pytest.mark.slow
def test_a_browser_couples_values_and_places_and_runs_nothing_of_the_documents(
    folder: Path, tmp_path: Path, page: Page
) -> None:
    out = tmp_path / "card.html"
    assert "2 of 2 pages" in show(folder, "--out", str(out))
    assert out.stat().st_mode & 0o077 == 0
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(out.as_uri())
    assert asked == ["file"] and complaints == []
    assert page.title().endswith("card & <b>.tiff")
    name = page.locator("#f-full_name")
    assert HOSTILE.replace("\u202e", r"\u202e") in name.inner_text()  # what is hidden is shown
    assert "Họ và tên" in name.inner_text() and "máy đọc thứ hai" in name.inner_text()
    assert (
        page.locator("img").count() == 2
        and page.locator("figcaption .tag.bad").all_inner_texts() == ["blurred"] * 2
    )
    # Pointing at a value lights its place, and those of its witnesses, of which the MRZ is one; pointing at
    # the place lights the value.
    lit = "rect.lit[data-cell='f-full_name']"
    assert page.locator(lit).count() == 0
    name.hover()
    assert page.locator(lit).count() == 3 and page.locator("rect.witness.lit").first.is_visible()
    page.locator("#page-1 rect[data-cell='f-sex']").hover()
    assert "lit" in (page.locator("#f-sex").get_attribute("class") or "")
    page.locator("#f-number").focus()
    assert page.locator("rect.lit").first.get_attribute("data-cell") == "f-number"
    shape = "rect[data-cell='f-{}']:not(.witness)".format
    assert "low" in (page.locator(shape("sex")).get_attribute("class") or "")
    assert "high" in (page.locator(shape("number")).get_attribute("class") or "")
    # Where the box says, on the page as it is shown.
    at = page.locator(shape("number")).bounding_box()
    sheet = page.locator(".sheet").first.bounding_box()
    assert at is not None and sheet is not None
    true = make("id_card", 5, preset="clean").truth["fields"]["number"]["box"]
    assert (at["x"] - sheet["x"]) / sheet["width"] == pytest.approx(true[0], abs=0.01)
    for width in (1280, 500):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.medium
def test_one_page_as_a_picture(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "card.png"
    show(folder, "--out", str(out), "--page", "2")
    image = Image.open(io.BytesIO(out.read_bytes()))
    paper = make("id_card", 5, preset="clean").pages[1].pixels
    assert image.width > paper.shape[1] and image.height >= paper.shape[0]


def test_a_page_whose_file_is_gone_is_shown_without_its_picture(folder: Path, tmp_path: Path) -> None:
    file = folder / "card & <b>.tiff"
    data = file.read_bytes()
    file.unlink()
    try:
        out = tmp_path / "card.html"
        show(folder, "--out", str(out), "--page", "1")
    finally:
        file.write_bytes(data)
    text = out.read_text(encoding="utf-8")
    assert "does not exist" in text and "data:image" not in text and "f-number" in text


def _nobody(requests: Iterable[Any]) -> Iterator[Any]:
    """The model of a document that needs none."""
    return iter([request for request in requests if False])


@pytest.mark.medium
def test_an_invoice_is_shown_with_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "one.xml"
    file.write_bytes(data := written(einvoice(lines=(LINE, SECOND, NOTE))))
    made = run.document(str(file), Recipe.of(resolve("invoice@1"), Settings(), None), _nobody)
    assert isinstance(made.outcome, Extraction)
    with stores.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        job = store.jobs.ensure(
            "cards", resolve("invoice@1"), sources=["in"], settings={}, model="demo", checkpoint=""
        )
        store.ledger.add(job, [DocumentRef(str(file))])
        [lease] = store.ledger.claim(job, "w", 1, 60)
        store.results.commit(lease, made.outcome, made.pages, sha256=hashlib.sha256(data).hexdigest())
    out = tmp_path / "one.html"
    show(tmp_path, "--out", str(out), name="one.xml")
    [table] = [part for part in out.read_text(encoding="utf-8").split("<table>") if "Vận chuyển" in part]
    heads = re.findall(r'<th scope="col">([^<]*[^ <])', table)
    assert heads[:4] == ["#", "STT", "Tên hàng hóa, dịch vụ", "Đơn vị tính"] and "Tiền thuế" in heads
    for row in re.findall(r'<th scope="row">.*?</tr>', table, re.DOTALL):
        assert row.count("<td") == len(heads) - 1, "a cell for each column"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--out", "card.pdf"), r"neither FILE\.html nor FILE\.png"),
        (("--page", "3"), "has 2 pages; there is no page 3"),
        (("--out", "nowhere/card.html"), "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_shown_is_said(folder: Path, more: tuple[str, ...], said: str) -> None:
    from pipeline.errors import UsageError

    with pytest.raises(UsageError) as caught:
        show(folder, *more)
    assert re.search(said, caught.value.message)
