"""Documents within a PDF are read as pages behind its own; what is not read is named."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pikepdf
import pytest
from PIL import Image

from pipeline import attached, grammar, run
from pipeline.flags import FlagCode
from pipeline.keys import ModelFacts
from pipeline.reading import Commit
from pipeline.recipe import Recipe
from pipeline.records import Document, Failure, PageImage
from pipeline.render import Renderer
from pipeline.settings import RenderSettings, Settings
from schemas.registry import resolve
from tests.einvoice.invoices import einvoice, written
from tests.pipeline import papers
from tests.pipeline.walker import recite

INVOICE, RECEIPT = resolve("invoice@1"), resolve("receipt@1")
MODEL = ModelFacts("c" * 64, max_tiles=1, numerics="cpu float32")
XML = written(einvoice())


def holding(files: dict[str, bytes], *, pages: int = 1, portfolio: bool = False) -> bytes:
    """A PDF with these files within it."""
    with pikepdf.open(io.BytesIO(papers.pages([papers.text("Label")] * pages))) as pdf:
        for name, data in files.items():
            pdf.attachments[name] = data
        if portfolio:
            pdf.Root.Collection = pikepdf.Dictionary(Type=pikepdf.Name.Collection)
        saved = io.BytesIO()
        pdf.save(saved)
    return saved.getvalue()


def picture(side: int) -> bytes:
    saved = io.BytesIO()
    Image.new("RGB", (side, side), (9, 9, 9)).save(saved, "PNG")
    return saved.getvalue()


@pytest.fixture(scope="module", params=("pdfium", "poppler"))
def renderer(request: pytest.FixtureRequest) -> Iterator[Renderer]:
    with Renderer(RenderSettings(dpi=36, max_pages=9, renderer=request.param), xml_root="HDon") as shared:
        yield shared


def drawn(renderer: Renderer, paper: Document, number: int) -> PageImage:
    page = renderer.page(paper, number)
    assert isinstance(page, PageImage), page
    assert page.page == number
    return page


def flags(renderer: Renderer, data: bytes) -> list[tuple[FlagCode, str]]:
    return [(flag.code, flag.message) for flag in drawn(renderer, papers.document(data), 1).flags]


@pytest.mark.medium
def test_attached_documents_are_pages_behind_the_pdfs_own(renderer: Renderer) -> None:
    two = papers.pages([papers.text("One"), papers.text("Two")])
    files = {"a.xml": XML, "b.pdf": two, "c.png": picture(40), "list.csv": b"1;2"}
    paper = papers.document(holding(files, pages=2, portfolio=True))
    assert renderer.page_count(paper) == 6
    assert renderer.attached_kinds(paper) == ("pdf", "pdf", "png", "xml")
    assert [renderer.kind(paper, n) for n in range(1, 7)] == ["pdf", "pdf", "pdf", "pdf", "png", "xml"]
    texts = [drawn(renderer, paper, n).text for n in (4, 1, 3)]  # in whatever order
    assert [text and [word.text for word in text.words] for text in texts] == [["Two"], ["Label"], ["One"]]
    assert drawn(renderer, paper, 5).pixels.shape == (40, 40, 3)
    root, _ = renderer.read(paper, number=6)
    assert any(root.outermost("HDon"))
    beyond = renderer.page(paper, 7)
    assert isinstance(beyond, Failure) and beyond.page == 7
    [portfolio] = drawn(renderer, paper, 1).flags  # all of it is read, and as one document
    assert portfolio.code is FlagCode.several_documents and "2 documents: b.pdf, c.png" in portfolio.message
    one = papers.document(holding({"a.xml": XML, "b.pdf": two}, portfolio=True))
    assert drawn(renderer, one, 1).flags == ()


@pytest.mark.medium
def test_documents_of_a_portfolio_are_told_to_who_has_a_place_for_them() -> None:
    files = {
        "b.pdf": papers.pages([papers.text("One")]),
        "in/c.png": picture(40),
        "a.xml": XML,
        "x.csv": b"1;2",
    }

    def of(uri: str, files: dict[str, bytes], *, portfolio: bool = True) -> tuple[int, tuple[str, ...]]:
        paper = replace(papers.document(holding(files, portfolio=portfolio)), uri=uri)
        return apart.page_count(paper), apart.members(paper)

    with Renderer(RenderSettings(dpi=36), xml_root="HDon", members=True) as apart:
        paper = replace(papers.document(holding(files, portfolio=True)), uri="s3://b/p.PDF")
        assert (apart.page_count(paper), apart.members(paper)) == (1, ("a.xml", "b.pdf", "in_c.png"))
        [flag] = drawn(apart, paper, 1).flags
        assert flag.code is FlagCode.placeholder and "3 documents within it" in flag.message
        assert of("/a.zip!/p.pdf", files) == (1, ("a.xml", "b.pdf", "in_c.png"))
        # One document, of which there is more; no portfolio; within another one, or not known as a PDF.
        assert of("/p.pdf", {"b.pdf": files["b.pdf"], "a.xml": XML}) == (3, ())
        assert of("/p.pdf", files, portfolio=False) == (4, ())
        assert of("/q.pdf!/p.pdf", files) == of("/p", files) == (4, ())


def hanging(on: dict[int, list[tuple[str, bytes]]], *, twice: str = "") -> bytes:
    """A PDF of three pages with files on annotations, by page from 0; `twice` also as one of the whole."""
    with pikepdf.open(io.BytesIO(papers.pages([papers.text("Label")] * 3))) as pdf:
        for page, files in on.items():
            for name, data in files:
                spec = pikepdf.AttachedFileSpec(pdf, data, filename=name)
                mark = pikepdf.Dictionary(
                    Type=pikepdf.Name.Annot,
                    Subtype=pikepdf.Name.FileAttachment,
                    Rect=[0, 0, 9, 9],
                    FS=spec.obj,
                )
                if name == twice:
                    pdf.attachments[name] = spec
                pdf.pages[page].Annots = pikepdf.Array([*pdf.pages[page].get("/Annots", []), mark])
        saved = io.BytesIO()
        pdf.save(saved)
    return saved.getvalue()


@pytest.mark.medium
def test_what_hangs_on_a_page_is_read_as_well_and_each_file_once(renderer: Renderer) -> None:
    files = {
        0: [("a.png", picture(40)), ("list.csv", b"1;2")],
        2: [("b.xml", XML), ("gone.png", picture(9)[:30])],
    }
    paper = papers.document(hanging(files, twice="a.png"))
    assert renderer.page_count(paper) == 5
    assert [renderer.kind(paper, n) for n in range(1, 6)] == ["pdf", "pdf", "pdf", "png", "xml"]
    assert drawn(renderer, paper, 4).pixels.shape == (40, 40, 3)
    told = "documents are attached to the PDF and are not read: gone.png"
    assert [(flag.code, flag.message) for flag in drawn(renderer, paper, 1).flags] == [
        (FlagCode.attachment_not_read, told)
    ]
    assert drawn(renderer, paper, 3).flags == ()


@pytest.mark.medium
def test_what_is_not_read_is_named(renderer: Renderer) -> None:
    deep = holding({"deeper.pdf": papers.pages([b""])})
    damaged = papers.pages([papers.text("x")])[:60]
    paper = holding({"deep.pdf": deep, "gone.pdf": damaged, "other.xml": b"<x/>", "list.csv": b"1;2"})
    told = "documents are attached to the PDF and are not read: gone.pdf, other.xml"
    assert flags(renderer, paper) == [(FlagCode.attachment_not_read, told)]
    document = papers.document(paper)
    assert renderer.page_count(document) == 2
    assert [flag.message for flag in drawn(renderer, document, 2).flags] == [
        "documents are attached to the PDF and are not read: deeper.pdf"
    ]
    assert flags(renderer, holding({"list.csv": b"1;2"})) == []
    cover = flags(renderer, holding({"a.csv": b"1;2", "\nb\x1b.csv": b""}, portfolio=True))
    assert [code for code, _ in cover] == [FlagCode.placeholder] and "a.csv" in cover[0][1]
    assert cover[0][1].isprintable()


@pytest.mark.medium
def test_their_number_pages_and_bytes_are_bounded(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"{n:02}.png": picture(20 + n) for n in range(attached.MOST + 2)}
    with Renderer(RenderSettings(dpi=36)) as alone:
        paper = papers.document(holding(many))
        assert alone.page_count(paper) == 1 + attached.MOST
        assert "20.png, 21.png" in drawn(alone, paper, 1).flags[0].message
    eight = papers.pages([papers.text(str(n)) for n in range(8)])
    paper = papers.document(holding({"a.pdf": eight, "b.png": picture(20)}))
    assert renderer.page_count(paper) == 9  # of 9 (render.max_pages)
    assert "not read: b.png" in drawn(renderer, paper, 1).flags[0].message
    monkeypatch.setattr(attached, "MOST_BYTES", 50)
    paper = papers.document(holding({"a.png": picture(20), "b.png": picture(21)}))
    assert renderer.page_count(paper) == 1


@pytest.mark.medium
def test_an_invoice_within_its_picture_is_its_authority(tmp_path: Path) -> None:
    path = tmp_path / "paper.pdf"
    path.write_bytes(holding({"invoice.xml": XML}))

    def read(spec_name: str) -> run.DocumentResult:
        recipe = Recipe.of(resolve(spec_name), Settings(render={"dpi": 72}), MODEL)
        text = grammar.answer(recipe.spec.shape, {"number": "999"} if spec_name == "invoice@1" else {})
        return run.document(str(path), recipe, lambda asked: (recite(text, one.id) for one in asked))

    found = read("invoice@1")
    assert isinstance(found.verdict, Commit)
    assert [(page.page, page.renderer) for page in found.pages] == [(1, "pdfium"), (2, "lxml")]
    record = found.verdict.extraction.record
    assert (record["number"], record["series"]) == ("1234", "C26TAA")
    number = next(field for field in found.verdict.extraction.fields if field.path == "number")
    assert (number.source, number.page) == ("xml", 2)
    other = read("receipt@1")  # says nothing of XML
    assert isinstance(other.verdict, Commit) and len(other.pages) == 1
    assert any(check.code == "attachment_not_read" for check in other.verdict.extraction.checks)


def test_a_page_that_was_read_before_its_attachments_were_is_read_again() -> None:
    recipe = Recipe.of(INVOICE, Settings(), MODEL)
    assert recipe.page_key("a" * 64, 1, "pdf") != recipe.page_key("a" * 64, 1, "pdf", attached=True)
