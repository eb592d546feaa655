"""What is not on a drawn page although the PDF has it: the page fails, or a flag says what is missing."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pikepdf
import pytest
from PIL import Image
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from pipeline.errors import Permanent, Reason
from pipeline.flags import FlagCode
from pipeline.records import Failure, PageImage, Pixels
from pipeline.render import Renderer
from pipeline.sandbox import faces
from pipeline.settings import RenderSettings
from tests.pipeline import papers

BOTH = ("pdfium", "poppler")


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer(RenderSettings(dpi=72)) as shared:
        yield shared


@pytest.fixture(scope="module")
def by_poppler() -> Iterator[Renderer]:
    with Renderer(RenderSettings(dpi=72, renderer="poppler")) as shared:
        yield shared


def page_of(renderer: Renderer, pdf: bytes, number: int = 1) -> PageImage:
    page = renderer.page(papers.document(pdf), number)
    assert isinstance(page, PageImage), page
    return page


def failure_of(renderer: Renderer, pdf: bytes, number: int = 1) -> Failure:
    failure = renderer.page(papers.document(pdf), number)
    assert isinstance(failure, Failure), (failure.renderer, failure.flags)
    return failure


def flagged(page: PageImage) -> list[FlagCode]:
    return [flag.code for flag in page.flags]


def dark(pixels: Pixels) -> int:
    return int((pixels.min(axis=2) < 128).sum())


# pages


@pytest.mark.medium
def test_a_page_that_is_not_in_the_file_fails_and_the_other_is_read(renderer: Renderer) -> None:
    two = papers.pages([papers.text("one"), papers.text("two")]).replace(b"6 0 R]", b"9 0 R]")
    assert page_of(renderer, two).flags == ()
    assert failure_of(renderer, two, 2).reason is Reason.pdf_damaged


@pytest.mark.medium
@pytest.mark.parametrize(
    ("box", "page"),
    [
        (papers.A4, b"/CropBox[1000 1000 1200 1200]"),
        (b"0 0 1 1", b""),
        (b"0 0 5 800", b""),
    ],
    ids=["the crop box is outside", "a pixel", "a line"],
)
@pytest.mark.parametrize("name", BOTH)
def test_a_page_without_a_size_is_damaged(name: str, box: bytes, page: bytes) -> None:
    paper = papers.pages([papers.text("x")], box=box, page=page)
    with Renderer(RenderSettings(dpi=72, renderer=name)) as renderer:
        assert failure_of(renderer, paper).reason is Reason.pdf_damaged


@pytest.mark.medium
def test_a_page_whose_size_is_guessed_says_so(renderer: Renderer) -> None:
    page = page_of(renderer, papers.pages([papers.text("x")], box=b"0 0 0 0"))
    assert flagged(page) == [FlagCode.size_missing] and dark(page.pixels)


@pytest.mark.parametrize("box", [b"0 0 595", b"(a) (b) 5 5"])
def test_a_page_without_a_whole_box_says_so(renderer: Renderer, box: bytes) -> None:
    page = renderer.page(papers.document(papers.pages([papers.text("x")], box=box)), 1)
    assert isinstance(page, Failure) or page.flags


@pytest.mark.medium
@pytest.mark.parametrize("said", [b"1", b"0", b"-7"])
def test_pages_that_the_file_does_not_count_are_read(renderer: Renderer, said: bytes) -> None:
    paper = papers.pages([papers.text("one"), papers.text("two")]).replace(b"/Count 2", b"/Count " + said)
    document = papers.document(paper)
    assert renderer.page_count(document) == 2
    assert page_of(renderer, paper, 2).flags == () and dark(page_of(renderer, paper, 2).pixels)


@pytest.mark.medium
@pytest.mark.parametrize("kid", [b"7 0 R", b"null ", b"3 0 R", b"(pag)"])
def test_what_stands_in_the_place_of_a_page_is_none(renderer: Renderer, kid: bytes) -> None:
    two = papers.pages([papers.text("one"), papers.text("two")]).replace(b"6 0 R]", kid + b"]")
    assert page_of(renderer, two).flags == ()
    assert failure_of(renderer, two, 2).reason is Reason.pdf_damaged


def test_another_page_of_the_second_renderer_does_not_stand_for_a_lost_one(renderer: Renderer) -> None:
    """Poppler leaves out a page that is not there, and counts on."""
    three = papers.pages([papers.text("one"), papers.text("two"), papers.text("three")])
    place = three.index(b"6 0 obj")
    lost = three[:place] + bytes(60) + three[place + 60 :]
    assert failure_of(renderer, lost, 2).reason is Reason.pdf_damaged
    assert dark(page_of(renderer, lost, 3).pixels)


@pytest.mark.medium
def test_the_second_renderers_blank_does_not_excuse_the_first_ones_error(renderer: Renderer) -> None:
    unknown = papers.pages([b"", b""]).replace(b"/Type/Page/", b"/Type/Pag/", 1)
    why = failure_of(renderer, unknown)
    assert why.reason is Reason.pdf_damaged and "PDFium cannot load the page" in why.message


# sizes


@pytest.mark.medium
@pytest.mark.parametrize("name", BOTH)
def test_a_page_has_the_size_that_its_unit_gives_it(name: str) -> None:
    paper = papers.pages([b"BT /F 4 Tf 6 60 Td (Label) Tj ET"], box=b"0 0 59.5 84.2", page=b"/UserUnit 10")
    plain = papers.pages([b"BT /F 40 Tf 60 600 Td (Label) Tj ET"])
    with Renderer(RenderSettings(dpi=200, renderer=name)) as renderer:
        page = page_of(renderer, paper)
        assert page.pixels.shape == page_of(renderer, plain).pixels.shape == (2339, 1653, 3)
        assert np.abs(page.pixels.astype(int) - page_of(renderer, plain).pixels).mean() < 1


@pytest.mark.parametrize("unit", [b"0", b"-3", b"(x)", b"1000000"])
def test_a_unit_that_cannot_be_is_none(renderer: Renderer, unit: bytes) -> None:
    paper = papers.pages([papers.text("x")], page=b"/UserUnit " + unit)
    assert page_of(renderer, paper).pixels.shape == (842, 595, 3)


def photo(*, also: bytes = b"", turned: int = 0) -> bytes:
    """One picture, a pixel a point, as phones write it."""
    entries = b"/Type/XObject/Subtype/Image/Width 800/Height 600/ColorSpace/DeviceGray/BitsPerComponent 8"
    picture = papers.stream(entries, Image.effect_noise((800, 600), 90).tobytes())
    return papers.pages(
        [b"q 800 0 0 600 0 0 cm /I Do Q " + also],
        page=b"/Rotate %d" % turned,
        resources=b"/XObject<</I 6 0 R>>",
        box=b"0 0 800 600",
        extra=[picture],
    )


@pytest.mark.medium
def test_a_photo_of_a_pixel_a_point_is_drawn_pixel_for_pixel() -> None:
    with Renderer(RenderSettings(dpi=200, max_pixels=500_000)) as renderer:
        assert page_of(renderer, photo()).pixels.shape == (600, 800, 3)
        assert page_of(renderer, photo(turned=90)).pixels.shape == (800, 600, 3)


@pytest.mark.medium
@pytest.mark.parametrize("name", BOTH)
def test_a_page_too_large_is_drawn_as_large_as_it_may_be(name: str) -> None:
    with Renderer(RenderSettings(dpi=200, max_pixels=3_000_000, renderer=name)) as renderer:
        for paper in (papers.pages([papers.text("x")], box=b"0 0 595 4000"), photo(also=papers.text("PAID"))):
            height, width, _ = page_of(renderer, paper).pixels.shape
            assert 2_900_000 < width * height <= 3_000_000
        assert abs(width / height - 4 / 3) < 0.01


# what is drawn


def with_picture(entries: bytes, data: bytes, content: bytes = b"595 0 0 842 0 0 cm /I Do") -> bytes:
    picture = papers.stream(b"/Type/XObject/Subtype/Image" + entries, data)
    return papers.pages([content], resources=b"/XObject<</I 6 0 R>>", extra=[picture])


GREY = b"/Width 400/Height 300/ColorSpace/DeviceGray/BitsPerComponent 8"
NOISE = bytes(Image.effect_noise((400, 300), 90).tobytes())
SMALL = b"q 60 0 0 40 10 10 cm /I Do Q BT /F 40 Tf 60 600 Td (Total) Tj ET"


def jpeg() -> bytes:
    data = io.BytesIO()
    Image.frombytes("L", (400, 300), NOISE).save(data, "JPEG")
    return data.getvalue()


def jpeg_2000() -> bytes:
    data = io.BytesIO()
    Image.frombytes("L", (400, 300), NOISE).save(data, "JPEG2000")
    return data.getvalue()


def fax() -> bytes:
    """Group 4, a line of it all white, and others with marks."""
    packed = io.BytesIO()
    Image.frombytes("L", (400, 300), NOISE).resize((100, 75)).resize((400, 300)).convert("1", dither=0).save(
        packed, "TIFF", compression="group4"
    )
    with Image.open(packed) as found:
        (start,), (size,) = found.tag_v2[273], found.tag_v2[279]
        assert found.tag_v2[262] == 1
    return packed.getvalue()[start : start + size]


def jbig2(length: int, held: int) -> bytes:
    """A page's information, and a region of which so many bytes are there."""
    page = b"\0\0\0\0" + b"\x30" + b"\0" + b"\x01" + (19).to_bytes(4, "big") + bytes(19)
    return page + b"\0\0\0\x01" + b"\x26" + b"\0" + b"\x01" + length.to_bytes(4, "big") + bytes(held)


def wrong_in(data: bytes, place: float) -> bytes:
    """One bit in it is another one."""
    at = int(place * len(data))
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


def as_85(data: bytes) -> bytes:
    return base64.a85encode(data) + b"~>"


FAX = b"/DecodeParms<</K -1/Columns 400/Rows 300>>/Filter/CCITTFaxDecode"
ONE_BIT = b"/ColorSpace/DeviceGray/BitsPerComponent 1"
BROKEN = {
    "JPEG 2000": (b"/Filter/JPXDecode", b"garbage" * 50),
    "JPEG 2000 cut": (b"/Filter/JPXDecode", jpeg_2000()[:20_000]),
    "JPEG": (b"/Filter/DCTDecode", b"garbage" * 50),
    "JPEG cut": (b"/Filter/DCTDecode", jpeg()[: len(jpeg()) // 2]),
    "JBIG2": (b"/Filter/JBIG2Decode", b"garbage" * 50),
    "deflated": (b"/Filter/FlateDecode", zlib.compress(NOISE)[:40_000]),
    "deflated, too little": (b"/Filter/FlateDecode", zlib.compress(NOISE[:60_000])),
    "deflated, all lost": (b"/Filter/FlateDecode", b"garbage" * 50),
    "JBIG2 cut": (b"/Filter/JBIG2Decode", jbig2(4000, 500)),
    "fax cut": (ONE_BIT + FAX, fax()[: len(fax()) // 2]),
    "plain, too little": (b"", NOISE[:60_000]),
    "deflated and written as text": (
        b"/Filter[/ASCII85Decode/FlateDecode]",
        as_85(zlib.compress(NOISE))[:40_000],
    ),
    "JPEG cut and written as text": (
        b"/Filter[/ASCIIHexDecode/DCTDecode]",
        jpeg()[: len(jpeg()) // 2].hex().encode() + b">",
    ),
}
# One bit is wrong, of which a decoder tells nothing or goes on.
ALTERED = {
    "deflated": (b"/Filter/FlateDecode", wrong_in(zlib.compress(NOISE, 0), 0.5)),
    "JPEG": (b"/Filter/DCTDecode", wrong_in(jpeg(), 0.5)),
    "fax": (ONE_BIT + FAX, wrong_in(fax(), 0.9)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_page_that_has_lost_its_picture_fails(renderer: Renderer, name: str) -> None:
    filters, data = BROKEN[name]
    why = failure_of(renderer, with_picture(GREY + filters, data))
    assert why.reason is Reason.image_damaged and "picture" in why.message


@pytest.mark.medium
@pytest.mark.parametrize("name", BROKEN)
def test_a_small_picture_that_is_lost_is_named(renderer: Renderer, name: str) -> None:
    filters, data = BROKEN[name]
    page = page_of(renderer, with_picture(GREY + filters, data, SMALL))
    assert flagged(page) == [FlagCode.picture_damaged] and dark(page.pixels)
    assert "of the page" in page.flags[0].message


@pytest.mark.medium
@pytest.mark.parametrize("name", ALTERED)
def test_a_picture_that_may_be_wrong_is_named(renderer: Renderer, name: str) -> None:
    filters, data = ALTERED[name]
    page = page_of(renderer, with_picture(GREY + filters, data))
    assert flagged(page) == [FlagCode.picture_damaged] and dark(page.pixels)


def test_a_picture_within_the_content_is_looked_at(renderer: Renderer) -> None:
    def drawn(data: bytes) -> bytes:
        return papers.pages(
            [b"q 500 0 0 600 40 100 cm BI /W 40 /H 40 /CS /G /BPC 8 /F /Fl ID " + data + b" EI Q"]
        )

    assert page_of(renderer, drawn(zlib.compress(NOISE[:1600]))).flags == ()
    assert failure_of(renderer, drawn(zlib.compress(NOISE[:300]))).reason is Reason.image_damaged


@pytest.mark.medium
@pytest.mark.parametrize(
    ("filters", "data"),
    [
        (b"", NOISE),
        (ONE_BIT + FAX, fax()),
        (ONE_BIT + FAX, fax()[:-3]),
        (b"/Filter[/ASCII85Decode/FlateDecode]", as_85(zlib.compress(NOISE))),
        (b"/Filter[/ASCIIHexDecode/DCTDecode]", jpeg().hex().encode() + b">"),
        (b"/Filter/FlateDecode", zlib.compress(NOISE)[:-4] + bytes(4)),
        (b"/Filter/FlateDecode", zlib.compress(NOISE)),
        (b"/Filter/FlateDecode", zlib.compress(NOISE)[:-4]),
        (b"/Filter/DCTDecode", jpeg()),
        (b"/Filter/DCTDecode", jpeg()[:-2]),
        (b"/Filter/DCTDecode", jpeg() + b"\0" * 40),
        (b"/Filter/JPXDecode", jpeg_2000()),
        (b"/Filter/FlateDecode", zlib.compress(b"\xff" * 120_000)),
    ],
    ids=[
        "plain",
        "fax",
        "fax without its end",
        "as text",
        "jpeg as text",
        "zeros",
        "deflated",
        "no checksum",
        "jpeg",
        "no end mark",
        "more behind",
        "jpeg 2000",
        "white",
    ],
)
def test_a_whole_picture_is_not_complained_of(renderer: Renderer, filters: bytes, data: bytes) -> None:
    assert page_of(renderer, with_picture(GREY + filters, data)).flags == ()


def test_pictures_within_forms_are_looked_at(renderer: Renderer) -> None:
    form = papers.stream(
        b"/Type/XObject/Subtype/Form/BBox[0 0 1 1]/Resources<</XObject<</I 7 0 R>>>>", b"/I Do"
    )
    picture = papers.stream(b"/Type/XObject/Subtype/Image" + GREY + b"/Filter/JBIG2Decode", b"garbage" * 9)
    content = b"q 595 0 0 400 0 0 cm /N Do Q " + papers.text("Total")
    paper = papers.pages([content], resources=b"/XObject<</N 6 0 R>>", extra=[form, picture])
    assert failure_of(renderer, paper).reason is Reason.image_damaged


LINES = b"".join(b"BT /F 12 Tf 60 %d Td (line %d) Tj ET\n" % (800 - 12 * n, n) for n in range(60))


def deflated(data: bytes, content: bytes = papers.text("x")) -> bytes:
    """A page whose content stream is `data` as it stands, under /FlateDecode."""
    plain = papers.stream(b"", content)
    assert plain in papers.pages([content])
    return papers.pages([content]).replace(plain, papers.stream(b"/Filter/FlateDecode", data))


@pytest.mark.medium
@pytest.mark.parametrize("name", BOTH)
def test_a_page_whose_content_breaks_off_fails(name: str) -> None:
    packed = zlib.compress(LINES)
    with Renderer(RenderSettings(dpi=72, renderer=name)) as renderer:
        for part in (2, 3, 5):
            why = failure_of(renderer, deflated(packed[: len(packed) // part]))
            assert why.reason is Reason.pdf_damaged and "breaks off" in why.message
        page = page_of(renderer, deflated(b"\xff" * 300))
        assert FlagCode.content_cut in flagged(page)


def test_content_that_may_be_wrong_is_named(renderer: Renderer) -> None:
    """A bit that changes what is read ("line 6e 1"), and no renderer compares the checksum."""
    page = page_of(renderer, deflated(wrong_in(zlib.compress(LINES), 0.7)))
    assert flagged(page) == [FlagCode.content_cut] and "checksum" in page.flags[0].message


@pytest.mark.medium
@pytest.mark.parametrize(
    ("content", "within"),
    [
        (LINES[:1000].rpartition(b"Tf")[0], "a text"),
        (LINES[:1000].rpartition(b"(")[0] + b"(line", "a string"),
        (LINES[:1000].replace(b"(line 3)", rb"(line \(3)"), None),
        (rb"BT /F 9 Tf (BT \\) Tj (a (b) c) Tj ET", None),
        (b"q " + LINES, None),  # which sloppy writers leave open
    ],
)
def test_content_that_ends_in_the_middle_of_something(
    renderer: Renderer, content: bytes, within: str | None
) -> None:
    content = content if within else content.rpartition(b"ET")[0] + b"ET"
    page = page_of(renderer, papers.pages([content]))
    assert flagged(page) == ([FlagCode.content_cut] if within else [])
    assert within is None or f"in the middle of {within}" in page.flags[0].message


def test_content_within_several_filters_breaks_off(renderer: Renderer) -> None:
    packed = zlib.compress(LINES)
    half = packed[: len(packed) // 2]
    for filters, data in (
        (b"[/ASCII85Decode/FlateDecode]", as_85(half)),
        (b"[/FlateDecode/FlateDecode]", zlib.compress(half)),
    ):
        plain = deflated(data).replace(b"/Filter/FlateDecode", b"/Filter" + filters)
        assert failure_of(renderer, plain).reason is Reason.pdf_damaged


def test_a_whole_content_without_its_end_marks_is_read(renderer: Renderer) -> None:
    flushed = zlib.compressobj()
    streams = {
        "no checksum": zlib.compress(LINES)[:-4],
        "flushed": flushed.compress(LINES) + flushed.flush(zlib.Z_SYNC_FLUSH),
    }
    for name, data in streams.items():
        page = page_of(renderer, deflated(data))
        assert page.flags == () and dark(page.pixels), name


def test_content_that_is_not_in_the_file_is_missed(renderer: Renderer) -> None:
    paper = papers.pages([papers.text("x")]).replace(b"/Contents 5 0 R", b"/Contents 9 0 R")
    page = page_of(renderer, paper)
    assert flagged(page) == [FlagCode.content_cut]
    several = papers.pages([papers.text("x")]).replace(b"/Contents 5 0 R", b"/Contents[5 0 R 9 0 R]")
    assert failure_of(renderer, several).reason is Reason.pdf_damaged
    assert page_of(renderer, papers.pages([b""])).flags == ()


def test_what_is_drawn_by_a_name_that_nothing_has_is_named(renderer: Renderer) -> None:
    page = page_of(renderer, papers.pages([papers.text("x") + b" /Logo Do"]))
    assert flagged(page) == [FlagCode.content_cut] and "Logo" in page.flags[0].message


@pytest.mark.medium
def test_what_poppler_complains_of_belongs_to_the_page(by_poppler: Renderer) -> None:
    page = page_of(by_poppler, with_picture(GREY + b"/Filter/JBIG2Decode", b"garbage" * 50, SMALL))
    assert FlagCode.renderer_complained in flagged(page)
    assert page_of(by_poppler, papers.pages([papers.text("x")])).flags == ()


# fonts

LETTERS = "ộảĐườễị"


def absent_font(words: str, *, name: str = "ArialMT", kind: str = "cid", unicode: bool = True) -> bytes:
    """A page of `words`, a letter below the other, in a font that is not embedded."""
    codes = [ord(sign) for sign in words] if kind == "cid" else range(128, 128 + len(words))
    shown = [b"<%04x>" % code if kind == "cid" else b"<%02x>" % code for code in codes]
    content = b"".join(b"BT /G 40 Tf 60 %d Td %s Tj ET\n" % (760 - 60 * i, s) for i, s in enumerate(shown))
    if kind == "cid":
        font = b"<</Type/Font/Subtype/Type0/BaseFont/%s/Encoding/Identity-H/DescendantFonts[7 0 R]%s>>" % (
            name.encode(),
            b"/ToUnicode 8 0 R" if unicode else b"",
        )
    else:
        glyphs = b"".join(b"/uni%04X" % ord(sign) for sign in words)
        font = (
            b"<</Type/Font/Subtype/TrueType/BaseFont/%s/FirstChar 128/LastChar 140/Widths[%s]/Encoding"
            b"<</Type/Encoding/BaseEncoding/WinAnsiEncoding/Differences[128%s]>>>>"
            % (name.encode(), b"600 " * 13, glyphs)
        )
    descendant = (
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/%s/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)"
        b"/Supplement 0>>/DW 600>>" % name.encode()
    )
    pairs = b"\n".join(b"<%04X> <%04X>" % (ord(sign), ord(sign)) for sign in words)
    mapped = papers.stream(
        b"",
        b"/CIDInit /ProcSet findresource begin begincmap /CMapName /X def 1 begincodespacerange <0000> <FFFF>"
        b" endcodespacerange %d beginbfchar\n%s\nendbfchar endcmap end" % (len(words), pairs),
    )
    resources = b"/Font<</F 3 0 R/G 6 0 R>>"
    paper = papers.pages([content], extra=[font, descendant, mapped])
    return paper.replace(b"/Font<</F 3 0 R>>", resources)


def embedded(words: str, face: str) -> bytes:
    """The same page in a face that is embedded."""
    pdfmetrics.registerFont(TTFont(face, faces.installed()[face]))
    data = io.BytesIO()
    pdf = Canvas(data, pagesize=(595, 842))
    pdf.setFont(face, 40)
    for i, sign in enumerate(words):
        pdf.drawString(60, 760 - 60 * i, sign)
    pdf.save()
    return data.getvalue()


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["cid", "simple"])
@pytest.mark.parametrize(
    ("name", "face"),
    [
        ("ArialMT", "LiberationSans-Regular"),
        ("TimesNewRomanPSMT", "LiberationSerif-Regular"),
        ("CourierNewPSMT", "LiberationMono-Regular"),
        ("Arial-BoldMT", "LiberationSans-Bold"),
    ],
)
def test_letters_of_a_font_that_is_not_embedded_are_drawn(
    renderer: Renderer, name: str, face: str, kind: str
) -> None:
    page = page_of(renderer, absent_font(LETTERS, name=name, kind=kind))
    assert (page.renderer, page.flags) == ("pdfium-faces", ())
    expected = page_of(renderer, embedded(LETTERS, face))
    assert expected.renderer == "pdfium"
    for i in range(len(LETTERS)):  # each letter is that letter, as far as the width allows
        lines = slice(842 - 760 + 60 * i - 45, 842 - 760 + 60 * i + 14)
        one, other = page.pixels[lines].astype(int), expected.pixels[lines].astype(int)
        assert dark(page.pixels[lines]) > 30
        assert np.abs(one - other).sum() < 0.6 * np.abs(255 - other).sum(), LETTERS[i]


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["cid", "simple"])
@pytest.mark.parametrize("name", ["Tahoma", "Verdana-Bold", "Calibri", "ArialNarrow", "MyriadPro-Regular"])
def test_so_are_those_of_fonts_that_nobody_has(renderer: Renderer, name: str, kind: str) -> None:
    page = page_of(renderer, absent_font(LETTERS, name=name, kind=kind))
    assert (page.renderer, page.flags) == ("pdfium-faces", ())
    for i in range(len(LETTERS)):
        assert dark(page.pixels[842 - 760 + 60 * i - 45 : 842 - 760 + 60 * i + 14]) > 30, LETTERS[i]


@pytest.mark.medium
def test_poppler_leaves_such_pages_to_the_faces_too(by_poppler: Renderer) -> None:
    page = page_of(by_poppler, absent_font(LETTERS))
    assert (page.renderer, page.flags) == ("pdfium-faces", ())


def test_letters_that_no_face_has_are_named(renderer: Renderer) -> None:
    page = page_of(renderer, absent_font("ộ\U0000a984"))
    assert flagged(page) == [FlagCode.letters_missing] and "\ua984" in page.flags[0].message
    assert "ộ" not in page.flags[0].message


@pytest.mark.medium
def test_without_faces_the_letters_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where no fonts are installed: the child that has them fails."""
    with Renderer(RenderSettings(dpi=72)) as renderer:
        monkeypatch.setattr(renderer, "_with_faces", lambda *page: None)
        page = page_of(renderer, absent_font("H" + LETTERS))
    assert page.renderer == "pdfium" and flagged(page) == [FlagCode.letters_missing]
    assert all(letter in page.flags[0].message for letter in LETTERS)


def test_codes_that_nobody_can_read_are_named(renderer: Renderer) -> None:
    nameless = page_of(renderer, absent_font("ABC", unicode=False))
    assert flagged(nameless) == [FlagCode.letters_unknown] and "ArialMT" in nameless.flags[0].message
    legacy = papers.pages([papers.text("C\xabng ty")]).replace(b"/Helvetica", b"/.VnTime")
    assert flagged(page_of(renderer, legacy)) == [FlagCode.letters_unknown]


@pytest.mark.parametrize("words", ["HOA DON – “5 €” • œuvre", "Société Générale"])
def test_western_letters_are_drawn_as_ever(renderer: Renderer, words: str) -> None:
    page = page_of(renderer, absent_font(words))
    assert (page.renderer, page.flags) == ("pdfium", ())
    plain = papers.pages([b"BT /F 40 Tf 60 600 Td (Total 5) Tj ET"])
    assert page_of(renderer, plain).renderer == "pdfium"


# forms and annotations

LOOK = papers.stream(b"/Type/XObject/Subtype/Form/BBox[0 0 200 50]", b"0 0 200 50 re f")


def annotated(annotation: bytes, catalogue: bytes = b"", extra: tuple[bytes, ...] = (LOOK,)) -> bytes:
    paper = papers.pages([papers.text("Label")], page=b"/Annots[6 0 R]", extra=[annotation, *extra])
    return paper.replace(b"/Catalog/Pages 2 0 R", b"/Catalog/Pages 2 0 R" + catalogue)


FORM = b"/AcroForm<</NeedAppearances true/DR<</Font<</F 3 0 R>>>>/Fields[6 0 R]>>"
FIELD = b"<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V%s/DA(/F 20 Tf 0 g)/F 4/Rect[100 100 300 150]%s>>"


@pytest.mark.parametrize("kind", [b"/FT/Tx/T(a)/V(x)", b"/FT/Sig/T(s)"], ids=["value", "signature"])
def test_fields_that_the_document_does_not_count_are_drawn(renderer: Renderer, kind: bytes) -> None:
    widget = b"<</Type/Annot/Subtype/Widget%s/F 4/Rect[100 100 300 150]/AP<</N 7 0 R>>>>" % kind
    page = page_of(renderer, annotated(widget))
    assert page.renderer == "pdfium" and page.flags == ()
    assert page.pixels[842 - 125, 200].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("field", "catalogue"),
    [
        (FIELD % (b"<FEFF004e1ec50068>", b""), FORM),
        (FIELD % (b"<FEFF004e1ec50068>", b""), b""),
        (FIELD % (b"<FEFF004e1ec50068>", b"/AP<</N 7 0 R>>"), FORM),
        (FIELD.replace(b"/Tx", b"/Ch") % (b"[<FEFF004e1ec50068>]", b""), FORM),
        (b"<</Type/Annot/Subtype/FreeText/F 4/Contents<FEFF1ec5>/DA(/F 9 Tf)/Rect[100 100 300 150]>>", b""),
    ],
    ids=["no look", "no form", "made anew", "a choice", "a note"],
)
def test_a_value_that_loses_letters_says_which(renderer: Renderer, field: bytes, catalogue: bytes) -> None:
    page = page_of(renderer, annotated(field, catalogue))
    assert flagged(page) == [FlagCode.field_not_drawn] and "ễ" in page.flags[0].message


@pytest.mark.parametrize(
    ("field", "catalogue"),
    [
        (FIELD % (b"(Hoa)", b""), FORM),
        (FIELD % (b"<FEFF004e1ec50068>", b"/AP<</N 7 0 R>>"), b""),
        (FIELD.replace(b"/F 4", b"/F 2") % (b"<FEFF004e1ec50068>", b""), FORM),
    ],
    ids=["plain letters", "its own look", "hidden"],
)
def test_a_value_that_is_seen_is_not_complained_of(
    renderer: Renderer, field: bytes, catalogue: bytes
) -> None:
    assert page_of(renderer, annotated(field, catalogue)).flags == ()


EMPTY = papers.stream(b"/Type/XObject/Subtype/Form/BBox[0 0 200 50]", b"/Tx BMC EMC")
OPTIONS = b"/Opt[[(1)(Nam)][(2)<FEFF004e1eef>]]"
TICK = b"<</Type/Annot/Subtype/Widget/FT/Btn/T(a)/F 4/Rect[100 100 120 120]%s>>"


@pytest.mark.medium
@pytest.mark.parametrize(
    ("field", "looks", "told"),
    [
        (FIELD % (b"(Hoa)", b"/AP<</N 7 0 R>>"), EMPTY, "shows nothing"),
        (FIELD % (b"()", b"/AP<</N 7 0 R>>"), EMPTY, None),
        (FIELD.replace(b"/Tx", b"/Ch/Ff 131072") % (b"(2)" + OPTIONS, b""), LOOK, "ữ"),
        (FIELD.replace(b"/Tx", b"/Ch/Ff 131072") % (b"(1)" + OPTIONS, b""), LOOK, None),
        (TICK % b"/AS/Yes/V/Yes/AP<</N<</Off 7 0 R>>>>", LOOK, "ticked"),
        (TICK % b"/Ff 32768/AS/Nam/V/Nam", LOOK, "ticked"),
        (TICK % b"/AS/Off/V/Off/AP<</N<</Yes 7 0 R>>>>", LOOK, None),
        (TICK % b"/AS/Yes/V/Yes/AP<</N<</Yes 7 0 R>>>>", LOOK, None),
        (TICK % b"/AS/Yes/V/Yes", LOOK, None),  # which PDFium draws
    ],
)
def test_a_value_that_nobody_draws_is_named(
    renderer: Renderer, field: bytes, looks: bytes, told: str | None
) -> None:
    page = page_of(renderer, annotated(field, extra=(looks,)))
    assert flagged(page) == ([FlagCode.field_not_drawn] if told else [])
    assert told is None or told in page.flags[0].message


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["Stamp", "Line", "Polygon", "PolyLine", "Caret", "Watermark"])
def test_an_annotation_without_a_look_is_named(renderer: Renderer, kind: str) -> None:
    bare = b"<</Type/Annot/Subtype/%s/F 4/Name/Approved/L[9 9 99 99]/Vertices[9 9 99 99]/Rect[9 9 99 99]%s>>"
    page = page_of(renderer, annotated(bare % (kind.encode(), b"")))
    assert flagged(page) == [FlagCode.annotation_not_drawn] and kind in page.flags[0].message
    assert page_of(renderer, annotated(bare % (kind.encode(), b"/AP<</N 7 0 R>>"))).flags == ()
    hidden = (bare % (kind.encode(), b"")).replace(b"/F 4", b"/F 2")
    assert page_of(renderer, annotated(hidden)).flags == ()


def test_a_dynamic_form_is_named(renderer: Renderer) -> None:
    for catalogue, words in (
        (b"/NeedsRendering true/AcroForm<</XFA(x)/Fields[]>>", "Label"),
        (b"/AcroForm<</XFA(x)/Fields[]>>", "Please wait..."),
    ):
        paper = papers.pages([papers.text(words)]).replace(b"/Pages 2 0 R>>", b"/Pages 2 0 R%s>>" % catalogue)
        page = page_of(renderer, paper)
        assert flagged(page) == [FlagCode.placeholder] and "XFA" in page.flags[0].message
    static = papers.pages([papers.text("Label")]).replace(b"/Pages 2 0 R>>", b"/Pages 2 0 R%s>>" % catalogue)
    assert page_of(renderer, static).flags == ()


# locks


def locked(**keys: str) -> bytes:
    with pikepdf.open(io.BytesIO(papers.pages([papers.text("Label")]))) as pdf:
        saved = io.BytesIO()
        pdf.save(saved, encryption=pikepdf.Encryption(**keys))  # type: ignore[arg-type]
    return saved.getvalue()


def test_only_what_needs_a_password_is_encrypted(renderer: Renderer) -> None:
    assert page_of(renderer, locked(owner="secret", user="")).flags == ()
    with pytest.raises(Permanent, match="asks for a password") as caught:
        renderer.page_count(papers.document(locked(owner="secret", user="secret")))
    assert caught.value.reason is Reason.pdf_encrypted


def test_a_lock_that_no_password_opens_says_so(renderer: Renderer) -> None:
    lock = b"<</Filter/Adobe.PubSec/SubFilter/adbe.pkcs7.s4/V 2/Length 128>>"
    paper = papers.pages([papers.text("x")], extra=[lock]).replace(
        b"/Root 1 0 R", b"/Root 1 0 R/Encrypt 6 0 R/ID[<00><00>]"
    )
    with pytest.raises(Permanent, match="certificate") as caught:
        renderer.page_count(papers.document(paper))
    assert caught.value.reason is Reason.pdf_encrypted


# what a document may cost


@pytest.mark.medium
def test_the_second_opinions_ends_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Permanent(Reason.render_timeout, "not finished after 30 s (render.seconds)")
    asked: list[int] = []

    def never(page: int, _unit: float = 1.0) -> None:
        asked.append(page)
        raise ended

    blank = papers.document(papers.pages([b""] * 8))
    with Renderer(RenderSettings(dpi=36)) as renderer:
        opened = renderer._opened

        def hooked(document: object, name: str) -> object:
            child, count = opened(document, name)  # type: ignore[arg-type]
            if name == "poppler":
                monkeypatch.setattr(child, "draw", never)
            return child, count

        monkeypatch.setattr(renderer, "_opened", hooked)
        pages = list(renderer.pages(blank))
        assert asked == [1, 2, 3, 4, 5]
        assert [flagged(page) for page in pages if isinstance(page, PageImage)] == [
            [FlagCode.blank_unconfirmed]
        ] * 8
        first = pages[0]
        assert isinstance(first, PageImage) and first.ended is not None
        assert first.ended.reason is Reason.render_timeout
        list(renderer.pages(papers.document(papers.pages([b"", b""]))))
        assert len(asked) == 7  # another document begins anew


@pytest.mark.medium
def test_a_document_has_a_bound_in_seconds() -> None:
    paper = papers.document(papers.pages([papers.text(str(n)) for n in range(3)]))
    with Renderer(RenderSettings(dpi=72, document_seconds=1e-6)) as renderer:
        first, second, third = renderer.pages(paper)
        assert isinstance(first, PageImage)
        for page in (second, third):
            assert isinstance(page, Failure) and page.reason is Reason.render_timeout
            assert "render.document_seconds" in page.message
        other = papers.document(papers.pages([papers.text("other")]))
        assert isinstance(renderer.page(other, 1), PageImage)


def _cut(file: pikepdf.Stream) -> None:
    file.write(file.read_bytes()[:4000])


def _altered(file: pikepdf.Stream) -> None:
    file.write(wrong_in(zlib.compress(file.read_bytes()), 0.4), filter=pikepdf.Name.FlateDecode)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_cut, [FlagCode.letters_unknown]),
        (lambda file: file.write(b"garbage" * 100), []),
        (lambda file: file.write(b""), []),
        (_altered, [FlagCode.letters_unknown]),
    ],
    ids=["cut", "no font", "empty", "altered"],
)
def test_a_font_whose_file_is_damaged_is_as_one_that_is_not_there(
    renderer: Renderer, harm: Callable[[pikepdf.Stream], None], told: list[FlagCode]
) -> None:
    """PDFium takes a face of its own for it, without Vietnamese letters, or draws nothing."""
    whole = embedded(LETTERS, "LiberationSans-Regular")
    with pikepdf.open(io.BytesIO(whole)) as pdf:
        (file,) = [o for o in pdf.objects if isinstance(o, pikepdf.Stream) and "/Length1" in o]
        harm(file)
        saved = io.BytesIO()
        pdf.save(saved, stream_decode_level=pikepdf.StreamDecodeLevel.none, compress_streams=False)
    page = page_of(renderer, saved.getvalue())
    assert page.renderer == "pdfium-faces" and flagged(page) == told
    if not told:
        assert dark(page.pixels) > 0.9 * dark(page_of(renderer, whole).pixels)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("code", "told"), [(b"01", []), (b"41", [FlagCode.letters_unknown])], ids=["a code of its own", "A"]
)
def test_codes_of_a_subset_that_is_not_there(renderer: Renderer, code: bytes, told: list[FlagCode]) -> None:
    """Its map says "ộ": PDFium believes it unless the code is a Western letter's."""
    cmap = b"begincmap 1 begincodespacerange <00><FF> endcodespacerange 1 beginbfchar <%s> <1ED9> endbfchar"
    font = (
        b"<</Type/Font/Subtype/TrueType/BaseFont/ABCDEF+Arial/FirstChar 0/LastChar 255/Widths[%s]"
        b"/ToUnicode 7 0 R/FontDescriptor<</Type/FontDescriptor/FontName/ABCDEF+Arial/Flags 4"
        b"/FontBBox[0 0 1000 1000]/ItalicAngle 0/Ascent 900/Descent -200/CapHeight 700/StemV 80>>>>"
    )
    paper = papers.pages(
        [b"BT /G 40 Tf 60 600 Td <%s> Tj ET" % code],
        extra=[font % (b"600 " * 256), papers.stream(b"", cmap % code)],
    ).replace(b"/Font<</F 3 0 R>>", b"/Font<</F 3 0 R/G 6 0 R>>")
    page = page_of(renderer, paper)
    assert page.renderer == "pdfium-faces" and flagged(page) == told and dark(page.pixels)


@pytest.mark.parametrize("named", [b"/FontFile2 7 0 R", b""], ids=["a damaged file", "no file"])
def test_a_subset_whose_file_is_lost_and_that_has_no_map_is_named(renderer: Renderer, named: bytes) -> None:
    """Its codes are drawn as if they were Western letters."""
    font = (
        b"<</Type/Font/Subtype/TrueType/BaseFont/ABCDEF+Arial/FontDescriptor<</Type/FontDescriptor"
        b"/FontName/ABCDEF+Arial/Flags 4%s>>>>" % named
    )
    paper = papers.pages([b"BT /G 40 Tf 60 600 Td (AB) Tj ET"], extra=[font, papers.stream(b"", b"x" * 200)])
    page = page_of(renderer, paper.replace(b"/Font<</F 3 0 R>>", b"/Font<</F 3 0 R/G 6 0 R>>"))
    assert flagged(page) == ([FlagCode.letters_unknown] if named else []) and dark(page.pixels)


def test_objects_that_lie_in_a_damaged_stream_are_missed(renderer: Renderer) -> None:
    """The font and the form's field are null then, and nobody says so."""
    with pikepdf.open(io.BytesIO(annotated(FIELD % (b"(Hoa)", b"/AP<</N 7 0 R>>"), FORM))) as pdf:
        saved = io.BytesIO()
        pdf.save(saved, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    whole = saved.getvalue()
    assert page_of(renderer, whole).flags == ()
    start = whole.index(b"stream", whole.index(b"/ObjStm")) + 10
    for place in range(start, start + 60, 6):
        harmed = whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :]
        page = renderer.page(papers.document(harmed), 1)
        assert isinstance(page, Failure) or page.flags, place
