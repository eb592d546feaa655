"""Specimens as files: each format opens, and a PDF's text is the truth."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
import pypdfium2
import pytest
from lxml import etree
from PIL import Image

from pipeline.einvoice import anchors, canonical
from pipeline.einvoice.signature import verdict
from pipeline.errors import UsageError
from pipeline.records import Tier
from pipeline.specimens import files, make, write

FONT_SETS = ("standard", "held-out")


def pdf_pages(data: bytes) -> list[tuple[str, Image.Image]]:
    """Text and picture of each page."""
    pdf = pypdfium2.PdfDocument(data)
    try:
        return [
            (page.get_textpage().get_text_bounded(), page.render(scale=200 / 72).to_pil().convert("RGB"))
            for page in pdf
        ]
    finally:
        pdf.close()


@pytest.mark.medium
@pytest.mark.parametrize("font_set", FONT_SETS)
@pytest.mark.parametrize("kind", ["id_card", "receipt", "invoice"])
def test_the_text_of_a_pdf_is_the_truth(kind: str, font_set: str) -> None:
    specimen = make(kind, 2, preset="clean", fonts=font_set)
    pages = pdf_pages(files.encode(specimen, "pdf"))
    assert len(pages) == len(specimen.pages)
    for number, (text, _) in enumerate(pages, 1):
        words = " ".join(text.split())
        for path, field in specimen.truth["fields"].items():
            if field["page"] == number:
                assert field["raw"] in words, path


@pytest.mark.medium
def test_a_pdf_without_its_fonts_has_the_same_text() -> None:
    specimen = make("invoice", 2, preset="clean")
    data = files.encode(specimen, "pdf-fonts-absent")
    assert b"FontFile" not in data
    with_fonts, without = pdf_pages(files.encode(specimen, "pdf")), pdf_pages(data)
    assert [text for text, _ in without] == [text for text, _ in with_fonts]
    with pikepdf.open(io.BytesIO(data)) as pdf:
        names = {str(font.BaseFont) for font in pdf.pages[0].Resources.Font.values()}
    assert names <= {
        "/Helvetica",
        "/ArialMT",
        "/Arial-BoldMT",
        "/TimesNewRomanPSMT",
        "/TimesNewRomanPS-BoldMT",
    }


def test_a_pdf_looks_like_the_page() -> None:
    specimen = make("receipt", 2, preset="clean")
    ((_, picture),) = pdf_pages(files.encode(specimen, "pdf"))
    page = specimen.pages[0].pixels
    small = (180, 220)
    drawn = np.asarray(picture.resize(small, Image.Resampling.BOX), float)
    meant = np.asarray(Image.fromarray(page).resize(small, Image.Resampling.BOX), float)
    assert np.abs(drawn - meant).mean() < 6


@pytest.mark.medium
def test_a_scanned_pdf_has_a_picture_and_no_text() -> None:
    specimen = make("id_card", 1, preset="worn")
    pages = pdf_pages(files.encode(specimen, "scanned-pdf"))
    assert len(pages) == 2
    assert all(text.strip() == "" and np.asarray(picture).std() > 10 for text, picture in pages)


@pytest.mark.parametrize(("form", "codec"), [("jpeg", "JPEG"), ("png", "PNG"), ("tiff", "TIFF")])
def test_images_open_with_the_pixels_of_the_page(form: str, codec: str) -> None:
    specimen = make("receipt", 4, preset="worn")
    image = Image.open(io.BytesIO(files.encode(specimen, form)))
    assert image.format == codec
    difference = np.abs(np.asarray(image.convert("RGB"), int) - specimen.pages[0].pixels).mean()
    assert difference < (6 if form == "jpeg" else 1e-9)


def test_a_tiff_holds_several_pages_and_a_jpeg_refuses_them() -> None:
    specimen = make("id_card", 4)
    assert Image.open(io.BytesIO(files.encode(specimen, "tiff"))).n_frames == 2
    with pytest.raises(ValueError, match="one page"):
        files.encode(specimen, "jpeg")


@pytest.mark.medium
def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    kinds = ("id_card", "receipt", "blank")
    for name in "ab":
        write(tmp_path / name, 5, kinds, 5, blank=0.1)
    write(tmp_path / "c", 5, kinds, 6, blank=0.1)
    a, b, c = (sorted((tmp_path / name).iterdir()) for name in "abc")
    assert [path.name for path in a] == [path.name for path in b]
    assert all(x.read_bytes() == y.read_bytes() for x, y in zip(a, b, strict=True))
    assert {path.read_bytes() for path in a}.isdisjoint({path.read_bytes() for path in c})


@pytest.mark.medium
def test_truth_has_a_line_for_each_file(tmp_path: Path) -> None:
    returned = write(tmp_path, 6, ["id_card", "receipt"], 3, worn=False)
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text("utf-8").splitlines()]
    assert [line["file"] for line in lines] == [line["file"] for line in returned]
    assert {path.name for path in tmp_path.iterdir()} == {line["file"] for line in lines} | {"truth.jsonl"}
    assert not any(line["worn"] for line in lines)
    for line in lines:
        assert line["schema"] == ("id_card@1" if line["kind"].startswith("id_card") else "receipt@1")
        printed = {field["path"]: field for field in line["fields"]}
        for name, value in line["record"].items():
            if name != "lines":
                assert (value is not None) == (name in printed)
        assert all(1 <= field["page"] <= line["pages"] for field in line["fields"])


@pytest.mark.medium
def test_formats_and_wear_are_as_asked(tmp_path: Path) -> None:
    lines = write(tmp_path, 6, ["id_card"], 1, worn=True, formats=["png", "jpeg"], font_set="held-out")
    assert {line["format"] for line in lines} <= {"png", "jpeg"}
    assert all(line["worn"] and line["pages"] == 1 for line in lines)
    assert {line["font"] for line in lines} <= {"Lato", "FreeSans"}


@pytest.mark.medium
def test_repeating_the_command_changes_nothing_and_another_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 3, ["receipt"], 1)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    write(tmp_path, 3, ["receipt"], 1)
    for arguments in ((4, ["receipt"], 1), (2, ["receipt"], 1), (3, ["receipt"], 2)):
        with pytest.raises(UsageError, match=r"truth\.jsonl"):
            write(tmp_path, *arguments)
    assert all(path.stat().st_mtime_ns == time for path, (_, time) in before.items())


@pytest.mark.medium
@pytest.mark.parametrize("worn", [False, True])
def test_xml_lies_beside_its_invoice_signed_and_with_its_truth(tmp_path: Path, worn: bool) -> None:
    how: dict[str, Any] = {"worn": worn, "formats": ["jpeg", "tiff"], "blank": 0.3}
    lines = write(tmp_path, 3, ["invoice", "receipt"], 9, **how, xml=True)
    assert [Path(line["file"]).suffix == ".xml" for line in lines] == [False, True, False, False, True]
    trusted = anchors.load(tmp_path / ".trust-anchors")
    for printed, line in itertools.pairwise(lines):
        if line["format"] != "xml":
            continue
        assert Path(printed["file"]).stem == Path(line["file"]).stem
        data = (tmp_path / line["file"]).read_bytes()
        assert verdict(etree.fromstring(data, canonical.parser()), trusted).verdict == "valid"
        assert line["record"]["total"].encode() in data
        assert None not in [line["record"][name] for name in ("total", "net", "seller_tax_code", "number")]
        for name in ("total", "seller_name", "issue_date"):
            assert printed["record"][name] in (None, line["record"][name])
    assert any(None in printed["record"].values() for printed in lines if printed["format"] != "xml")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write(tmp_path, 3, ["invoice", "receipt"], 9, **how, xml=True)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(UsageError, match=r"truth\.jsonl"):
        write(tmp_path, 3, ["invoice", "receipt"], 9, **how)


@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [
        ((0, ["receipt"], 1), {}, "0"),
        ((1, ["receit"], 1), {}, "receit"),
        ((1, [], 1), {}, "kind"),
        ((1, ["receipt"], 1), {"formats": ["gif"]}, "gif"),
        ((1, ["receipt"], 1), {"blank": 2.0}, "2.0"),
        ((1, ["receipt"], 1), {"font_set": "wingdings"}, "wingdings"),
        ((1, ["receipt"], 1), {"xml": True}, "invoice"),
    ],
)
def test_wrong_use_is_one_clear_line(tmp_path: Path, arguments, options, named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        write(tmp_path / "out", *arguments, **options)
    assert "\n" not in caught.value.message


@pytest.mark.medium
def test_documents_come_in_by_the_tiers_that_are_asked_for(tmp_path: Path) -> None:
    lines = write(tmp_path, 12, ["receipt"], 5, tiers=["clean", "photo"])
    told = [(line["tier"], line["format"]) for line in lines]
    assert {tier for tier, _ in told} == {"clean", "photo"}
    assert all(tier == "clean" for tier, form in told if form in files.TEXT)
    with pytest.raises(UsageError, match="a PDF with text is clean"):
        write(tmp_path / "b", 1, ["receipt"], 5, tiers=["photo"], formats=["pdf"])


@pytest.mark.medium
@pytest.mark.parametrize("tier", ["scan", "noisy", "photo"])
def test_truth_stays_where_the_ink_is(tier: Tier) -> None:
    """Whatever happened to a page: where its boxes are it is darker than the page is usually."""
    page = make("receipt", 6, preset=tier).pages[0]
    grey = page.pixels.mean(axis=2)
    height, width = grey.shape
    for left, top, right, bottom in page.boxes.values():
        box = grey[int(top * height) : int(bottom * height) + 1, int(left * width) : int(right * width) + 1]
        assert box.min() < np.percentile(box, 90) - 45
    for x, y in zip(page.glyphs.x, page.glyphs.y, strict=True):
        assert 0 <= x < width and 0 <= y < height
