"""The text that a PDF's page brings along: its words and places, and what of it is no print."""

from __future__ import annotations

import os
import signal
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.records import PageImage, TextLayer
from pipeline.render import Renderer
from pipeline.sandbox import legacy
from pipeline.settings import RenderSettings
from pipeline.specimens.files import encode
from pipeline.specimens.making import make
from tests.pipeline import papers

A_MAP = b"""/CIDInit /ProcSet findresource begin 12 dict begin begincmap
1 begincodespacerange <00> <FF> endcodespacerange %s endcmap end end"""


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer(RenderSettings()) as renderer:
        yield renderer


def drawn(renderer: Renderer, data: bytes, number: int = 1) -> PageImage:
    page = renderer.page(papers.document(data), number)
    assert isinstance(page, PageImage), page
    return page


def layer(renderer: Renderer, data: bytes, number: int = 1) -> TextLayer:
    text = drawn(renderer, data, number).text
    assert text is not None
    return text


def said(text: TextLayer) -> str:
    return " ".join(word.text for word in text.words)


def line(words: bytes, at: tuple[int, int] = (60, 600), before: bytes = b"", size: int = 20) -> bytes:
    return b"BT %s /F %d Tf %d %d Td (%s) Tj ET\n" % (before, size, *at, words)


PRINT = b"".join(line(b"print that everybody can see and read", (60, y)) for y in range(300, 801, 25))


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["invoice", "receipt", "id_card"])
def test_a_page_gives_the_words_that_are_printed_on_it(renderer: Renderer, kind: str) -> None:
    specimen = make(kind, 2, preset="clean")
    data = encode(specimen, "pdf")
    for number, page in enumerate(specimen.pages, 1):
        text = layer(renderer, data, number)
        printed = unicodedata.normalize("NFC", " ".join(run.text for run in page.runs)).split()
        assert text.trusted and text.why is None
        assert Counter(word.text for word in text.words) == Counter(printed)


@pytest.mark.medium
def test_words_stand_where_they_are_printed(renderer: Renderer) -> None:
    specimen = make("invoice", 2, preset="clean")
    words = layer(renderer, encode(specimen, "pdf")).words
    placed = 0
    for path, box in specimen.pages[0].boxes.items():
        raw = unicodedata.normalize("NFC", str(specimen.truth["fields"][path]["raw"]))
        if " " in raw:
            continue
        left, top, right, bottom = box
        found = [
            word
            for word in words
            if left - 0.01 <= word.box[0] and word.box[2] <= right + 0.01
            and top - 0.01 <= word.box[1] and word.box[3] <= bottom + 0.01
        ]  # fmt: skip
        assert [word.text for word in found] == [raw], path
        placed += 1
    assert placed > 20


@pytest.mark.medium
@pytest.mark.parametrize(
    "page",
    [
        b"", b"/Rotate 90", b"/Rotate 180", b"/Rotate 270", b"/CropBox[40 500 400 700]",
        b"/CropBox[40 500 400 700]/Rotate 90", b"/UserUnit 2", b"/UserUnit 0.5/Rotate 270",
    ],
    ids=repr,
)  # fmt: skip
def test_places_are_those_of_the_page_as_it_is_drawn(renderer: Renderer, page: bytes) -> None:
    shown = drawn(renderer, papers.pages([papers.text("WORD")], page))
    assert shown.text is not None
    ((word,), (height, width)) = shown.text.words, shown.pixels.shape[:2]
    rows, columns = np.nonzero(shown.pixels[:, :, 0] < 128)
    ink = (columns.min() / width, rows.min() / height, columns.max() / width, rows.max() / height)
    assert word.text == "WORD"
    assert np.allclose(word.box, ink, atol=0.006), (word.box, ink)


@pytest.mark.medium
def test_upright_letters_on_a_turned_page_are_words(renderer: Renderer) -> None:
    """As a scanner's driver or a landscape form has them: the page is turned, and its letters against it."""
    turned = b"BT /F 20 Tf 0 1 -1 0 300 300 Tm (all upright letters) Tj ET"
    assert said(layer(renderer, papers.pages([turned], b"/Rotate 90"))) == "all upright letters"


def test_words_are_composed_unicode(renderer: Renderer) -> None:
    to_unicode = papers.stream(b"", A_MAP % b"1 beginbfchar <41> <006503230302> endbfchar")
    data = font(TYPE_3 + b"/ToUnicode 7 0 R", (GLYPH, to_unicode), line(b"A"))
    assert said(layer(renderer, data)) == "\N{LATIN SMALL LETTER E WITH CIRCUMFLEX AND DOT BELOW}"


@pytest.mark.medium
def test_what_has_no_text_has_no_layer(renderer: Renderer) -> None:
    scan = encode(make("receipt", 1, preset="clean"), "scanned-pdf")
    for data in (scan, papers.picture("png"), papers.pages([b""])):
        assert drawn(renderer, data).text is None


@pytest.mark.medium
def test_a_page_that_another_renderer_draws_has_its_text(renderer: Renderer) -> None:
    with Renderer(RenderSettings(renderer="poppler")) as poppler:
        page = drawn(poppler, papers.pages([PRINT]))
    assert page.renderer == "poppler"
    assert page.text == layer(renderer, papers.pages([PRINT]))


IMAGE = b"q %s cm BI /W 1 /H 1 /CS /RGB /BPC 8 ID \xc8\xdc\xf0 EI Q\n"
OVER_ALL = IMAGE % b"595 0 0 842 0 0"
OVER_SOME = b"".join(IMAGE % b"500 0 0 7 50 %d" % y for y in range(300, 801, 9))  # as print on a scan
NOT_PRINT = {
    "invisible over a scan": (OVER_ALL + PRINT.replace(b"BT ", b"BT 3 Tr "), "invisible text"),
    "as a clip": (PRINT.replace(b"BT ", b"BT 7 Tr "), "invisible text"),
    "under a picture": (PRINT + OVER_ALL, "not seen"),
    "white on white": (b"1 g\n" + PRINT, "not seen"),
    "white over a scan's letters": (PRINT + b"1 g\n" + PRINT * 2, "not seen"),
    "black on black": (b"0 g 0 0 595 842 re f\n" + PRINT, "not seen"),
    "painted over": (PRINT + b"1 g 0 0 595 842 re f\n", "not seen"),
    "clipped away": (b"0 0 5 5 re W n\n" + PRINT, "not seen"),
    "clipped away over a scan": (OVER_SOME + b"0 0 5 5 re W n\n" + PRINT, "not seen"),
    "cut in the middle of words": (b"0 0 130 842 re W n\n" + PRINT, "not seen"),
    "tiny": (PRINT.replace(b"/F 20", b"/F 1"), "too small"),
    "off the page": (PRINT.replace(b" 60 ", b" 2060 "), "off the page"),
}


@pytest.mark.medium
@pytest.mark.parametrize("name", NOT_PRINT)
def test_text_that_nobody_sees_is_not_trusted(renderer: Renderer, name: str) -> None:
    contents, why = NOT_PRINT[name]
    text = layer(renderer, papers.pages([contents]))
    assert not text.trusted
    assert text.why is not None and why in text.why and " of " in text.why


@pytest.mark.medium
def test_transparent_text_is_not_trusted(renderer: Renderer) -> None:
    resources = b"/ExtGState<</G <</ca 0>>>>"
    text = layer(renderer, papers.pages([b"/G gs\n" + PRINT], resources=resources))
    assert not text.trusted and text.why is not None and "not seen" in text.why


VISIBLE = {
    "black on white": PRINT,
    "over a scan": OVER_ALL + PRINT,
    "white on a dark bar": b"0 0 0.5 rg 0 0 595 842 re f 1 g\n" + PRINT,
    "grey": b"0.6 g\n" + PRINT,
    "only outlines": PRINT.replace(b"BT ", b"BT 1 Tr "),
    "beside a picture": PRINT + IMAGE % b"50 0 0 50 5 5",
    "small": PRINT.replace(b"/F 20", b"/F 5"),
    "before a picture of which a corner is shown": PRINT + b"q 0 0 9 9 re W n " + OVER_ALL + b"Q ",
    "marks alone": b"".join(line(b". - , : |", (60, y)) for y in range(300, 801, 25)),
}


@pytest.mark.parametrize("name", VISIBLE)
def test_print_is_trusted(renderer: Renderer, name: str) -> None:
    """The control."""
    text = layer(renderer, papers.pages([VISIBLE[name]]))
    assert text.trusted and text.why is None
    assert len(text.words) >= 100


@pytest.mark.medium
@pytest.mark.parametrize(("opacity", "trusted"), [(b"\x40", True), (b"\xff", False)])
def test_text_under_a_picture_that_is_seen_through_is_print(
    renderer: Renderer, opacity: bytes, trusted: bool
) -> None:
    """A seal over a signature's name; some writers give every picture a mask, also one that covers all."""
    picture = b"/Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/"
    seal = papers.stream(picture + b"DeviceRGB/SMask 7 0 R", b"\xff\x00\x00")
    beside = PRINT + line(b"seen", (60, 270), b"0 0 1 rg")
    data = papers.pages(
        [beside + b"q 595 0 0 842 0 0 cm /S Do Q"],
        resources=b"/XObject<</S 6 0 R>>",
        extra=[seal, papers.stream(picture + b"DeviceGray", opacity)],
    )
    text = layer(renderer, data)
    assert text.trusted is trusted
    assert trusted or "not seen" in str(text.why)


BEFORE = line(b"Total 1.234.567", (60, 100))
INSTEAD = line(b"Total 9.876.543", (60, 100))
HIDING = {
    "painted over": BEFORE + b"1 g 50 90 300 40 re f 0 g\n" + INSTEAD,
    "clipped away": b"q 0 0 5 5 re W n\n" + BEFORE + b"Q\n" + INSTEAD,
    "in a layer that is off": b"/OC /L BDC\n" + BEFORE + b"EMC\n" + INSTEAD,
    "in a form's part that is not shown": INSTEAD + b"/X Do\n",
    "for programs to read": b"/Span<</ActualText(1.234.567)>>BDC\n" + INSTEAD + b"EMC\n",
}


@pytest.mark.medium
@pytest.mark.parametrize("name", HIDING)
def test_a_word_in_whose_place_another_is_seen_is_left_out(renderer: Renderer, name: str) -> None:
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 5 5]/Resources<</Font<</F 3 0 R>>>>"
    data = papers.pages(
        [PRINT + HIDING[name]],
        resources=b"/Properties<</L 6 0 R>>/XObject<</X 7 0 R>>",
        extra=[b"<</Type/OCG/Name(L)>>", papers.stream(form, BEFORE)],
    )
    off = b"/Catalog/OCProperties<</OCGs[6 0 R]/D<</OFF[6 0 R]>>>>"
    text = layer(renderer, data.replace(b"/Catalog", off))
    assert text.trusted
    assert "9.876.543" in said(text) and "1.234.567" not in said(text)


def test_a_word_that_is_drawn_twice_to_look_bold_stands_there_once(renderer: Renderer) -> None:
    text = layer(renderer, papers.pages([PRINT + b"1 0 0 1 0.4 0 cm\n" + PRINT]))
    assert text == layer(renderer, papers.pages([PRINT]))


def test_a_few_words_that_are_no_print_are_left_out(renderer: Renderer) -> None:
    text = layer(renderer, papers.pages([PRINT + line(b"hidden", (60, 100), b"3 Tr")]))
    assert text.trusted
    assert "hidden" not in said(text) and "everybody" in said(text)
    assert text.why is not None and text.why.startswith("1 of 148 words: invisible")


def font(entries: bytes, extra: tuple[bytes, ...] = (), contents: bytes = PRINT) -> bytes:
    """A PDF of `contents` in a font with these entries; what they name begins with object 6."""
    plain = b"/Subtype/Type1/BaseFont/Helvetica"
    data = papers.pages([contents], extra=extra)
    assert plain in data
    return data.replace(plain, entries)


EMBEDDED = b"/FontDescriptor<</Type/FontDescriptor/FontName/X/Flags 4/FontFile2 6 0 R>>"
NAMES = [b"".join(b"/%s%d" % (letter, i) for i in range(256)) for letter in (b"c", b"g")]
CIRCLES = b"/CharProcs<<" + b"".join(b"/c%d 6 0 R" % i for i in range(256)) + b">>"
TYPE_3 = (
    b"/Subtype/Type3/FontBBox[0 0 1000 1000]/FontMatrix[.001 0 0 .001 0 0]/FirstChar 0/LastChar 255"
    b"/Widths[" + b"600 " * 256 + b"]/Encoding<</Differences[0 " + NAMES[0] + b"]>>"
    + CIRCLES
)  # fmt: skip
GLYPH = papers.stream(b"", b"600 0 0 0 600 700 d1 0 0 500 700 re f")
HALF_A_MAP = papers.stream(b"", A_MAP % b"1 beginbfrange <20> <6A> <0020> endbfrange")
WHOLE_MAP = papers.stream(b"", A_MAP % b"1 beginbfrange <20> <7E> <0020> endbfrange")
UNREADABLE = {
    "Type 3": (TYPE_3, (GLYPH,)),
    "half a map": (TYPE_3 + b"/ToUnicode 7 0 R", (GLYPH, HALF_A_MAP)),
    "glyphs by number": (
        b"/Subtype/Type1/BaseFont/X/Encoding<</Differences[0 " + NAMES[1] + b"]>>",
        (),
    ),
    "TrueType without an encoding": (
        b"/Subtype/TrueType/BaseFont/ABCDEF+X" + EMBEDDED,
        (papers.stream(b"", b"x"),),
    ),
    "composite without a map": (
        b"/Subtype/Type0/BaseFont/X/Encoding/Identity-H/DescendantFonts[<</Type/Font/Subtype/CIDFontType2"
        b"/BaseFont/X/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>]",
        (),
    ),
}  # fmt: skip


@pytest.mark.medium
@pytest.mark.parametrize("name", UNREADABLE)
def test_codes_of_which_nothing_tells_the_letters_are_never_passed_on(renderer: Renderer, name: str) -> None:
    text = layer(renderer, font(*UNREADABLE[name]))
    assert not text.trusted
    assert text.why is not None and "does not say which letters" in text.why
    assert "everybody" not in said(text)


ANOTHER_NINE = papers.stream(b"", A_MAP % b"2 beginbfrange <20> <38> <0020> <3A> <7E> <003A> endbfrange "
                             b"1 beginbfchar <39> <0030> endbfchar")  # fmt: skip


@pytest.mark.parametrize(
    "encoding", [b"", b"/Encoding/WinAnsiEncoding", b"/Encoding<</Differences[57/nine]>>"]
)
def test_a_map_to_other_letters_than_are_drawn_is_not_believed(renderer: Renderer, encoding: bytes) -> None:
    plain = b"/Subtype/Type1/BaseFont/Helvetica" + encoding + b"/ToUnicode 6 0 R"
    text = layer(renderer, font(plain, (ANOTHER_NINE,), PRINT + line(b"Total 1.299.000", (60, 200))))
    assert not text.trusted and "says it wrongly" in str(text.why)
    assert "1.200.000" not in said(text)
    assert layer(renderer, font(plain, (WHOLE_MAP,))).trusted  # the control


def test_a_soft_hyphen_that_is_drawn_is_a_hyphen(renderer: Renderer) -> None:
    soft = papers.stream(b"", A_MAP % b"2 beginbfrange <20> <2C> <0020> <2E> <7E> <002E> endbfrange "
                         b"1 beginbfchar <2D> <00AD> endbfchar")  # fmt: skip
    data = font(TYPE_3 + b"/ToUnicode 7 0 R", (GLYPH, soft), line(b"no 0123-456 of"))
    assert said(layer(renderer, data)) == "no 0123-456 of"


def test_a_type_3_font_with_a_whole_map_is_read(renderer: Renderer) -> None:
    """The control."""
    text = layer(renderer, font(TYPE_3 + b"/ToUnicode 7 0 R", (GLYPH, WHOLE_MAP)))
    assert text.trusted and "everybody" in said(text)


# As these sentences look on any page in the old encodings that is read as Western: copied from such pages.
REPUBLIC = "Cộng hòa xã hội chủ nghĩa Việt Nam; Độc lập - Tự do - Hạnh phúc"
IN_TCVN3 = "Céng hßa x· héi chñ nghÜa ViÖt Nam; §éc lËp - Tù do - H¹nh phóc"
IN_VNI = "Coäng hoøa xaõ hoäi chuû nghóa Vieät Nam; Ñoäc laäp - Töï do - Haïnh phuùc"
# By iconv's TCVN5712-1. It holds AD, the letter ư, which a PDF reader takes for a hyphen.
GOODS = "Hóa đơn giá trị gia tăng, Ký hiệu số lượng, đơn giá; cộng tiền hàng - thuế suất, mườiưửữựỵ"
GOODS_IN_TCVN3 = bytes.fromhex(
    "48e36120aeac6e206769b8207472de206769612074a86e672c204bfd206869d6752073e8206cadee6e672c20aeac6e206769b83b20"
    "63e96e67207469d26e2068b56e67202d20746875d5207375ca742c206dadea69adf6f7f9fe"
)
OLD_FONTS = {
    ".VnTime": (IN_TCVN3.encode("latin-1"), REPUBLIC),
    ".VnArial": (GOODS_IN_TCVN3, GOODS),
    "ABCDEF+.VnTime,Bold": (GOODS_IN_TCVN3, GOODS),
    "VnTime": (IN_TCVN3.encode("latin-1"), REPUBLIC),
    ".VnTimeH": (IN_TCVN3.encode("latin-1"), REPUBLIC.upper()),
    ".VnArialH-Bold": (GOODS_IN_TCVN3, GOODS.upper()),
    "VNI-Times": (IN_VNI.encode("latin-1"), REPUBLIC),
    "VNI-Helve-Condense": (IN_VNI.upper().encode("latin-1"), REPUBLIC.upper()),
}
_TRUE_TYPE = b"/Subtype/TrueType/BaseFont/%s/FirstChar 0/LastChar 255/Widths[" + b"500 " * 256 + b"]"
ENCODINGS = {
    "none, not embedded": (b"", ()),
    "WinAnsi": (b"/Encoding/WinAnsiEncoding", ()),
    "a map to Latin-1": (
        b"/Encoding/WinAnsiEncoding/ToUnicode 6 0 R",
        (papers.stream(b"", A_MAP % b"1 beginbfrange <00> <FF> <0000> endbfrange"),),
    ),
    "a map to a symbol font's characters": (
        b"/Encoding/WinAnsiEncoding/ToUnicode 6 0 R",
        (papers.stream(b"", A_MAP % b"1 beginbfrange <20> <FF> <F020> endbfrange"),),
    ),
}


@pytest.mark.medium
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", OLD_FONTS)
def test_text_in_the_fonts_of_before_unicode_is_turned_to_unicode(
    renderer: Renderer, name: str, encoding: str
) -> None:
    codes, words = OLD_FONTS[name]
    entries, extra = ENCODINGS[encoding]
    data = font(_TRUE_TYPE % name.encode() + entries, extra, line(codes, size=10))
    text = layer(renderer, data)
    assert said(text) == unicodedata.normalize("NFC", words)
    assert text.trusted and text.why is None


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_old_letter_at_the_end_of_a_line_is_no_hyphen(renderer: Renderer, encoding: str) -> None:
    """PDFium takes the code AD there for one."""
    entries, extra = ENCODINGS[encoding]
    lines = line(b"h\xadng t\xad", (60, 700)) + line(b"h\xadng", (60, 670))
    assert said(layer(renderer, font(_TRUE_TYPE % b".VnTime" + entries, extra, lines))) == "hưng tư hưng"


@pytest.mark.parametrize("codes", [IN_TCVN3, IN_VNI.upper(), GOODS_IN_TCVN3.decode("latin-1"), IN_VNI])
def test_old_text_in_a_font_of_another_name_is_refused(renderer: Renderer, codes: str) -> None:
    """As printers' drivers name fonts of their own."""
    entries = _TRUE_TYPE % b"TTE1B2A3C8t00" + b"/Encoding/WinAnsiEncoding"
    text = layer(renderer, font(entries, contents=line(codes.encode("latin-1"), size=10)))
    assert not text.trusted and "before Unicode" in str(text.why)
    assert said(text).isascii()


@pytest.mark.parametrize(
    "words",
    [
        "Größe und Straße für Übung der Müller AG, Bäume Räume Häuser, ca. 25 µm © 2026",
        "Les «prix» français sont très élevés, naïve Noël, n° 12, 1ª Brand® Total¹",
        "Hà Nội: số 5, đường Láng, Công ty CP Sữa «Việt» ®",
    ],
)
def test_text_of_today_is_not_taken_for_old(words: str) -> None:
    assert not legacy.is_old(words.split())


def test_an_old_font_on_a_page_leaves_the_others_alone(renderer: Renderer) -> None:
    old = b"<</Type/Font" + _TRUE_TYPE % b".VnTime" + b"/Encoding/WinAnsiEncoding>>"
    both = line(b"caf\\351 \\253 100 \\273 -", (60, 700)) + line(b"h\xadng", (60, 600)).replace(b"/F", b"/O")
    data = papers.pages([both], extra=[old]).replace(b"/F 3 0 R", b"/F 3 0 R/O 6 0 R")
    data = data.replace(b"/Helvetica", b"/Helvetica/Encoding/WinAnsiEncoding")
    assert said(layer(renderer, data)) == "café « 100 » - hưng"


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        (".VnTime", b"C\xcdng ty"),  # no letter of TCVN3
        ("VNI-Times", b"C\xe4ng ty"),  # marks without a vowel
        ("VNI-Times", b"C\xd7ng ty"),
        ("VPS Times", b"C\xf4ng ty"),  # known by name, and no table is here
        ("VNU-Times", b"C\xf4ng ty"),
    ],
)
def test_old_text_that_cannot_be_turned_is_refused(renderer: Renderer, name: str, codes: bytes) -> None:
    entries = _TRUE_TYPE % name.replace(" ", "#20").encode() + b"/Encoding/WinAnsiEncoding"
    text = layer(renderer, font(entries, contents=line(codes)))
    assert not text.trusted and said(text) in ("", "ty")
    assert text.why is not None and "before Unicode" in text.why


def test_old_text_with_a_map_to_real_unicode_is_refused(renderer: Renderer) -> None:
    """What of it is in which encoding nobody can tell."""
    real = papers.stream(b"", A_MAP % b"2 beginbfchar <41> <1ED9> <42> <00E9> endbfchar")
    data = font(_TRUE_TYPE % b".VnTime" + b"/ToUnicode 6 0 R", (real,), line(b"ABA"))
    text = layer(renderer, data)
    assert not text.trusted and text.words == ()


VOWELS = "aăâeêioôơuưy"
TONES = "\u0300\u0301\u0303\u0309\u0323"
LETTERS = {unicodedata.normalize("NFC", vowel + tone) for vowel in VOWELS for tone in TONES} | set("ăâêôơưđ")


def test_the_tables_are_whole() -> None:
    tcvn3, vni = legacy.of_font(".VnTime"), legacy.of_font("VNI-Times")
    assert tcvn3 is not None and vni is not None
    singles = {legacy.to_unicode(chr(code), tcvn3) for code in range(0xA1, 0x100)} - {None}
    assert singles == LETTERS | set("ĂÂÊÔƠƯĐ")
    latin = [chr(code) for code in range(0xC0, 0x100)]
    bases = [*"aeiouyAEIOUY", *latin]
    found = {legacy.to_unicode(base + mark, vni) for base in bases for mark in ("", *latin)} - {None}
    letters = LETTERS | {letter.upper() for letter in LETTERS}
    assert {text for text in found if text is not None and len(text) == 1} == letters | set("aeiouyAEIOUY")


@pytest.mark.parametrize(
    "name", ["Times New Roman", "Arial", "UTM Times", "SVN-Arial", "Vnesans", "Vnikel", "Vivaldi"]
)
def test_fonts_of_today_are_none_of_these(name: str) -> None:
    assert legacy.of_font(name) is None


def test_a_word_has_an_end(renderer: Renderer) -> None:
    text = layer(renderer, papers.pages([line(b"x" * 450, size=2)]))
    assert [len(word.text) for word in text.words] == [200, 200, 50]


@pytest.mark.medium
def test_a_page_has_a_bound(renderer: Renderer) -> None:
    """What is beyond it is not read, and then nothing of the page is taken for all that stands there."""
    row = b"a b c d e f g h i j k l m n o p " * 4
    crowd = b"".join(line(row, (x, y), size=3) for y in range(0, 840, 5) for x in (0, 300))
    text = layer(renderer, papers.pages([crowd]))
    assert len(text.words) == 20_000 and not text.trusted
    assert text.why is not None and text.why.startswith("the page has more than 20,000 words")


@pytest.mark.medium
def test_a_page_whose_text_ends_the_process_is_still_a_page(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = papers.document(papers.pages([PRINT, PRINT]))
    first = renderer.page(document, 1)
    child = renderer._children["pdfium"]
    words = child.words

    def killed(*arguments: Any) -> TextLayer | None:
        os.killpg(child._process.pid, signal.SIGSEGV)
        return words(*arguments)

    monkeypatch.setattr(child, "words", killed)
    second = renderer.page(document, 2)
    third = renderer.page(document, 1)
    assert isinstance(first, PageImage) and isinstance(second, PageImage) and isinstance(third, PageImage)
    assert second.text is not None and not second.text.trusted and second.text.words == ()
    assert (
        second.text.why is not None
        and "the text cannot be read: the rendering process died" in second.text.why
    )
    assert third.text == second.text  # it is not tried again on the same document
    assert np.array_equal(third.pixels, first.pixels)
