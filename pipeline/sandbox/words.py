"""The text of a PDF's page as words with their places, by PDFium, and what of it is no print.

A text layer may say what nobody sees: the invisible text that OCR lays over a scan, text off the page or
under a picture, white on white. And it may say what is not there: codes of which nothing tells the letters,
or those of fonts of before Unicode. Such words are told apart here. If they are few they are left out, and
the rest is print; if they are more, the layer is not trusted. What cannot be read is left out in any case.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image

from pipeline.sandbox import legacy, pictures, texts
from pipeline.sandbox.drawer import LONGEST_WORD, MOST_LETTERS, MOST_WORDS, Layer, Sides
from pipeline.sandbox.structure import PageFacts

_FEW = 0.1  # of a page's letters: with more of them no print, the layer is none
_PLACES = 4  # decimals of a word's sides: a fifth of a pixel of A4 at 200 dpi
_FINE = 1_000_000  # PDFium's device units along a page's side
_FAINT = 24  # of 255: a difference in brightness that nobody reads by
_LOWEST = 5  # pixels: the type size of letters that cannot be read
_MOSTLY = 0.5  # of what is around a word: if so much has the colour of its letters, they are not seen
_OPAQUE = 25  # of 255, opacity under which nothing is seen
_NAME_BYTES = 200
_UNSEEN_MODES = (pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP)
_FILLED_MODES = (pdfium.FPDF_TEXTRENDERMODE_FILL, pdfium.FPDF_TEXTRENDERMODE_FILL_CLIP)
_JOINERS = "\u00ad\u200b\u200c\u200d\u2060\ufeff"  # they show nothing
_OWN_BLANKS = (legacy.OWN_CODES + 0x20, legacy.OWN_CODES + 0xA0)
_HYPHENS = (0x02, 0xFFFE)  # PDFium's, for a hyphen at the end of a line

_INVISIBLE = "invisible text, as OCR lays over a scan"
_TRANSPARENT = "transparent text"
_COVERED = "under a picture"
_OFF = "off the page"
_SMALL = "too small to be seen"
_NO_INK = "nothing is seen where they stand"
_UNMAPPED = "in a font that does not say which letters its codes are"
_LEGACY = "in an encoding of before Unicode that cannot be read"
_UNREADABLE = (_UNMAPPED, _LEGACY)


def read(page: pypdfium2.PdfPage, canvas: mmap.mmap, size: tuple[int, int], facts: PageFacts) -> Layer:
    """The text of `page`, of which `canvas` shows the pixels. Nothing of it is trusted beyond the bounds."""
    textpage = page.get_textpage()
    try:
        count = pdfium.FPDFText_CountChars(textpage)
        if count <= 0:
            return Layer()
        upright = _Upright(page)
        looks = _Looks(page, upright, facts)
        words = list(_words(textpage.raw, min(count, MOST_LETTERS), looks))
    finally:
        textpage.close()
    shown = _Shown(canvas, size, page.get_height())
    for word in words:
        word.judge(shown, upright)
    full = count > MOST_LETTERS or len(words) > MOST_WORDS
    return _layer(words[:MOST_WORDS], full)


def _layer(words: list[_Word], full: bool) -> Layer:
    letters: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for word in words:
        if word.doubt is not None:
            letters[word.doubt] += len(word.letters)
            counts[word.doubt] += 1
    few = sum(letters.values()) <= _FEW * sum(len(word.letters) for word in words)
    trusted = few and not full
    said = [f"{counts[doubt]:,} of {len(words):,} words: {doubt}" for doubt, _ in letters.most_common()]
    if full:
        said.insert(0, f"the page has more than {MOST_WORDS:,} words or {MOST_LETTERS:,} letters")
    left_out = (*_UNREADABLE, _OFF)
    kept = [word for word in words if word.doubt is None or not (trusted or word.doubt in left_out)]
    told = ((text, word.sides) for word in kept for text in word.texts())
    return Layer(tuple(itertools.islice(told, MOST_WORDS)), trusted, "; ".join(said) or None)


@dataclass(slots=True)
class _Look:
    """What the letters of one text object have in common."""

    font: str
    encoding: legacy.Legacy | None
    doubt: str | None
    brightness: int | None  # of the fill, 0..255; None where it is not one colour
    covers: tuple[Sides, ...]  # what is drawn over it later


@dataclass(slots=True)
class _Word:
    look: _Look  # of its first letter
    box: Sides  # left, bottom, right, top in the page's own units
    size: float  # of its type, in the same
    place: Sides = (0.0, 0.0, 0.0, 0.0)  # on the page as it is drawn
    letters: list[tuple[str, _Look]] = field(default_factory=list)
    doubt: str | None = None
    text: str = ""

    def add(self, letter: str, look: _Look, box: Sides) -> None:
        self.letters.append((letter, look))
        (a, b, c, d), (e, f, g, h) = self.box, box
        self.box = (min(a, e), min(b, f), max(c, g), max(d, h))

    def goes_on(self, box: Sides) -> bool:
        """Whether a letter there is near enough to be the next one."""
        (a, b, c, d), (e, f, g, h), reach = self.box, box, self.size
        return e <= c + reach and g >= a - reach and f <= d + reach and h >= b - reach

    def judge(self, shown: _Shown, upright: _Upright) -> None:
        """Sets place and text, and what speaks against it, the worst first."""
        self.place = upright.box(self.box)
        self.doubt = next((look.doubt for _, look in self.letters if look.doubt in _UNREADABLE), None)
        read = self._read() if self.doubt is None else None
        if self.doubt is None and read is None:
            self.doubt = _LEGACY
        self.text = read or ""
        if self.doubt is None:
            self.doubt = next((look.doubt for _, look in self.letters if look.doubt), None) or self._unseen(
                shown
            )

    @property
    def sides(self) -> Sides:
        left, top, right, bottom = (round(min(max(side, 0.0), 1.0), _PLACES) for side in self.place)
        return left, top, right, bottom

    def texts(self) -> Iterator[str]:
        for start in range(0, len(self.text), LONGEST_WORD):
            yield self.text[start : start + LONGEST_WORD]

    def _read(self) -> str | None:
        """The letters in Unicode; None where those of an old encoding cannot be read."""
        parts: list[tuple[legacy.Legacy | None, str]] = []
        for letter, look in self.letters:
            if parts and parts[-1][0] == look.encoding:
                parts[-1] = (look.encoding, parts[-1][1] + letter)
            else:
                parts.append((look.encoding, letter))
        read = [text if encoding is None else legacy.to_unicode(text, encoding) for encoding, text in parts]
        return None if None in read else unicodedata.normalize("NFC", "".join(map(str, read)))

    def _unseen(self, shown: _Shown) -> str | None:
        left, top, right, bottom = self.place
        x, y = (left + right) / 2, (top + bottom) / 2
        if not (0 <= x <= 1 and 0 <= y <= 1):
            return _OFF
        if any(a <= x <= c and b <= y <= d for a, b, c, d in self.look.covers):
            return _COVERED
        if shown.height * self.size < _LOWEST * shown.units:
            return _SMALL
        return None if shown.has_ink(self.place, self.look.brightness) else _NO_INK


class _Upright:
    """From a page's own units to 0..1 of the page as it is drawn, from its upper left corner."""

    def __init__(self, page: pypdfium2.PdfPage) -> None:
        left, bottom, right, top = page.get_bbox()
        corners = ((left, bottom), (right, bottom), (left, top))
        (x, y), (x1, y1), (x2, y2) = (self._probe(page, *corner) for corner in corners)
        width, height = right - left or 1.0, top - bottom or 1.0
        self._a, self._b = (x1 - x) / width, (x2 - x) / height
        self._c, self._d = (y1 - y) / width, (y2 - y) / height
        self._x, self._y = x - self._a * left - self._b * bottom, y - self._c * left - self._d * bottom

    def box(self, box: Sides) -> Sides:
        left, bottom, right, top = box
        across = [self._a * x + self._b * y + self._x for x in (left, right) for y in (bottom, top)]
        down = [self._c * x + self._d * y + self._y for x in (left, right) for y in (bottom, top)]
        return min(across), min(down), max(across), max(down)

    @staticmethod
    def _probe(page: pypdfium2.PdfPage, x: float, y: float) -> tuple[float, float]:
        across, down = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(page, 0, 0, _FINE, _FINE, 0, x, y, across, down)
        return across.value / _FINE, down.value / _FINE


class _Looks:
    """Of text objects, each looked at once."""

    def __init__(self, page: pypdfium2.PdfPage, upright: _Upright, facts: PageFacts) -> None:
        self._unmapped = facts.unmapped
        self._known: dict[int, _Look] = {}
        self._order: dict[int, int] = {}
        self._covers: list[tuple[int, Sides]] = []
        for i, (kind, drawn, outer) in enumerate(pictures.drawn(page)):
            if kind == pdfium.FPDF_PAGEOBJ_TEXT:
                self._order[_address(drawn)] = i
            elif kind == pdfium.FPDF_PAGEOBJ_IMAGE and pictures.covers(drawn, facts.see_through):
                self._covers.append((i, upright.box(pictures.place(drawn, outer))))
            if i >= MOST_LETTERS:
                break

    def of(self, textpage: pdfium.FPDF_TEXTPAGE, index: int) -> _Look | None:
        """Of the letter's object; None for a letter that PDFium has put in, which has none."""
        drawn = pdfium.FPDFText_GetTextObject(textpage, index)
        if not drawn:
            return None
        address = _address(drawn)
        if address not in self._known:
            self._known[address] = self._looked(drawn, address)
        return self._known[address]

    def _looked(self, drawn: pdfium.FPDF_PAGEOBJECT, address: int) -> _Look:
        font = _font_name(drawn)
        mode = pdfium.FPDFTextObj_GetTextRenderMode(drawn)
        red, green, blue, opacity = (ctypes.c_uint() for _ in range(4))
        filled = mode in _FILLED_MODES and pdfium.FPDFPageObj_GetFillColor(drawn, red, green, blue, opacity)
        doubt = None
        if font in self._unmapped:
            doubt = _UNMAPPED
        elif mode in _UNSEEN_MODES:
            doubt = _INVISIBLE
        elif filled and opacity.value < _OPAQUE:
            doubt = _TRANSPARENT
        brightness = (299 * red.value + 587 * green.value + 114 * blue.value) // 1000 if filled else None
        at = self._order.get(address, -1)
        later = tuple(box for i, box in self._covers if 0 <= at < i)
        return _Look(font, legacy.of_font(font), doubt, brightness, later)


class _Shown:
    """What is seen of the page, in grey."""

    def __init__(self, canvas: mmap.mmap, size: tuple[int, int], units: float) -> None:
        """`units`: the page's height in its own units."""
        self.width, self.height = size
        self.units = units
        with memoryview(canvas) as whole, whole[: 3 * self.width * self.height] as pixels:
            self._grey = Image.frombytes("RGB", (self.width, self.height), pixels).convert("L")

    def has_ink(self, box: Sides, brightness: int | None) -> bool:
        """Whether something stands out in a word's box that may be letters of this brightness."""
        left, right = (round(side * self.width) for side in (box[0], box[2]))
        top, bottom = (round(side * self.height) for side in (box[1], box[3]))
        around = 2 + (bottom - top) // 3
        edges = (left - around, top - around, right + around, bottom + around)
        seen = self._grey.crop(
            (max(edges[0], 0), max(edges[1], 0), min(edges[2], self.width), min(edges[3], self.height))
        )
        counts = seen.histogram()
        present = [grey for grey, count in enumerate(counts) if count]
        if not present or present[-1] - present[0] < _FAINT:
            return False
        if brightness is None:
            return True
        near = counts[max(0, brightness - _FAINT) : brightness + _FAINT]
        return sum(near) < _MOSTLY * seen.width * seen.height


def _words(textpage: pdfium.FPDF_TEXTPAGE, count: int, looks: _Looks) -> Iterator[_Word]:
    word: _Word | None = None
    place = _Places(textpage)
    for index in range(count):
        code = pdfium.FPDFText_GetUnicode(textpage, index)
        letter = "-" if code in _HYPHENS else chr(code)
        look = looks.of(textpage, index)
        if look is None or letter.isspace() or code in _OWN_BLANKS:
            if word is not None:
                yield word
            word = None
            continue
        if not (letter.isascii() and letter.isprintable()):
            if letter in _JOINERS and look.encoding is None:
                continue
            if look.doubt is None and not _is_letter(letter, look):
                look = replace(look, doubt=_UNMAPPED)
        if pdfium.FPDFText_HasUnicodeMapError(textpage, index) == 1:
            look = replace(look, doubt=_UNMAPPED)
        box = place.of(index)
        if word is None or not word.goes_on(box):
            if word is not None:
                yield word
            word = _Word(look, box, place.size(index))
        word.add(letter, look, box)
    if word is not None:
        yield word


def _is_letter(letter: str, look: _Look) -> bool:
    """Whether a character stands for something that can be read; what old fonts have, `legacy` judges."""
    return look.encoding is not None or (letter.isprintable() and letter != "\ufffd")


class _Places:
    """Where letters stand, in the page's own units."""

    def __init__(self, textpage: pdfium.FPDF_TEXTPAGE) -> None:
        self._textpage = textpage
        self._sides = [ctypes.c_double() for _ in range(4)]
        self._pointers = [ctypes.byref(side) for side in self._sides]
        self._line = pdfium.FS_RECTF()

    def of(self, index: int) -> Sides:
        left, right, bottom, top = self._sides
        pdfium.FPDFText_GetCharBox(self._textpage, index, *self._pointers)
        box = left.value, bottom.value, right.value, top.value
        return box if box[2] > box[0] and box[3] > box[1] else self._loose(index)

    def size(self, index: int) -> float:
        """The letter's type size, whichever way it is turned."""
        left, bottom, right, top = self._loose(index)
        return max(right - left, top - bottom)

    def _loose(self, index: int) -> Sides:
        line = self._line
        pdfium.FPDFText_GetLooseCharBox(self._textpage, index, ctypes.byref(line))
        return line.left, line.bottom, line.right, line.top


def _font_name(drawn: pdfium.FPDF_PAGEOBJECT) -> str:
    font = pdfium.FPDFTextObj_GetFont(drawn)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    if font:
        pdfium.FPDFFont_GetBaseFontName(font, name, _NAME_BYTES)
    return texts.without_tag(name.value.decode("utf-8", "replace"))


def _address(drawn: pdfium.FPDF_PAGEOBJECT) -> int:
    return ctypes.addressof(drawn.contents)
