"""The text of a PDF's page as words with their places, by PDFium, and what of it is no print.

A text layer may say what nobody sees: the invisible text that OCR lays over a scan, text off the page or
under a picture, clipped away, white on white. And it may say what is not there: codes of which nothing tells
the letters, those of fonts of before Unicode, or another text for programs to read in the letters' place
(/ActualText, which is not listened to). Such words are told apart here. If they are few they are left out,
and the rest is print; if they are more, the layer is not trusted. What cannot be read is left out always.
"""

from __future__ import annotations

import ctypes
import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pypdfium2
import pypdfium2.raw as pdfium

from pipeline.sandbox import legacy, pictures, texts
from pipeline.sandbox.drawer import LONGEST_WORD, MOST_LETTERS, MOST_WORDS, Layer, Sides
from pipeline.sandbox.seen import Mark, address, over, seen
from pipeline.sandbox.structure import PageFacts

_FEW = 0.1  # of a page's letters: with more of them no print, the layer is none
_PLACES = 4  # decimals of a word's sides: a fifth of a pixel of A4 at 200 dpi
_FINE = 1_000_000  # PDFium's device units along a page's side
_LOWEST = 5  # pixels: the type size of letters that cannot be read
_NAME_BYTES = 200
_UNSEEN_MODES = (pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP)
_FILLED_MODES = (pdfium.FPDF_TEXTRENDERMODE_FILL, pdfium.FPDF_TEXTRENDERMODE_FILL_CLIP)
_SOFT_HYPHEN = "\u00ad"  # it is a hyphen where it is drawn
_JOINERS = "\u00ad\u200b\u200c\u200d\u2060\ufeff"  # they show nothing
_OWN_BLANKS = (legacy.OWN_CODES + 0x20, legacy.OWN_CODES + 0xA0)
_HYPHENS = (0x02, 0xFFFE)  # PDFium's, for a hyphen at the end of a line

_INVISIBLE = "invisible text, as OCR lays over a scan"
_OFF = "off the page"
_SMALL = "too small to be seen"
_UNSEEN = "not seen where they stand: hidden, covered or cut off"
_UNMAPPED = "in a font that does not say which letters its codes are, or says it wrongly"
_LEGACY = "in an encoding of before Unicode that cannot be read"
_UNREADABLE = (_UNMAPPED, _LEGACY)


def read(page: pypdfium2.PdfPage, size: tuple[int, int], facts: PageFacts) -> Layer:
    """The text of `page`, which is drawn in `size` pixels. Nothing of it is trusted beyond the bounds."""
    _forget_other_text(page)
    textpage = page.get_textpage()
    try:
        count = pdfium.FPDFText_CountChars(textpage)
        if count <= 0:
            return Layer()
        words = list(_words(textpage.raw, min(count, MOST_LETTERS), _Looks(facts)))
    finally:
        textpage.close()
    upright = _Upright(page)
    smallest = _LOWEST * page.get_height() / size[1]
    for word in words:
        word.judge(upright, smallest)
    _refuse_old(words)
    _look_for(words, page, size)
    full = count > MOST_LETTERS or len(words) > MOST_WORDS
    return _layer(_once(words)[:MOST_WORDS], full)


def _forget_other_text(page: pypdfium2.PdfPage) -> None:
    for kind, drawn, _ in itertools.islice(pictures.drawn(page), MOST_LETTERS):
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            for number in range(pdfium.FPDFPageObj_CountMarks(drawn)):
                mark = pdfium.FPDFPageObj_GetMark(drawn, number)
                pdfium.FPDFPageObjMark_RemoveParam(drawn, mark, b"ActualText")


def _refuse_old(words: list[_Word]) -> None:
    """Says so of words in fonts whose names do not tell that they are of before Unicode, but the words do."""
    by_font: dict[str, list[_Word]] = {}
    for word in words:
        if word.doubt not in _UNREADABLE and word.letters[0][1].encoding is None:
            by_font.setdefault(word.letters[0][1].font, []).append(word)
    for own in by_font.values():
        if legacy.is_old([word.text for word in own]):
            for word in own:
                if not legacy.is_plain(word.text):
                    word.doubt, word.text = _LEGACY, ""


def _look_for(words: list[_Word], page: pypdfium2.PdfPage, size: tuple[int, int]) -> None:
    """Sets what speaks against words that are not seen on the page."""
    marks = [(word, mark) for word in words if word.doubt is None for mark in word.marks()]
    found = seen(page, [mark for _, mark in marks], size)
    for (word, _), is_seen in zip(marks, found, strict=True):
        if not is_seen:
            word.doubt = _UNSEEN


def _once(words: list[_Word]) -> list[_Word]:
    """Without words that stand there twice: drawn once more a little beside, they look bold."""
    kept: list[_Word] = []
    places: dict[str, list[Sides]] = {}
    for word in words:
        same = places.setdefault(word.text, [])
        if word.doubt is None and any(over(word.place, other) for other in same):
            continue
        kept.append(word)
        if word.doubt is None:
            same.append(word.place)
    return kept


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

    drawn: pdfium.FPDF_PAGEOBJECT
    font: str
    encoding: legacy.Legacy | None
    doubt: str | None
    brightness: int | None  # of the fill, 0..255; None where it is not one colour
    lacking: bool  # its font is not in the file: some letters may not be drawn


@dataclass(slots=True)
class _Word:
    box: Sides  # left, bottom, right, top in the page's own units
    size: float  # of its type, in the same
    place: Sides = (0.0, 0.0, 0.0, 0.0)  # on the page as it is drawn
    letters: list[tuple[str, _Look, Sides]] = field(default_factory=list)
    doubt: str | None = None
    text: str = ""

    def add(self, letter: str, look: _Look, box: Sides) -> None:
        self.letters.append((letter, look, box))
        (a, b, c, d), (e, f, g, h) = self.box, box
        self.box = (min(a, e), min(b, f), max(c, g), max(d, h))

    def goes_on(self, box: Sides) -> bool:
        """Whether a letter there is near enough to be the next one."""
        (a, b, c, d), (e, f, g, h), reach = self.box, box, self.size
        return e <= c + reach and g >= a - reach and f <= d + reach and h >= b - reach

    def judge(self, upright: _Upright, smallest: float) -> None:
        """Sets place and text, and what speaks against it but for what is seen, the worst first."""
        self.place = upright.box(self.box)
        self.letters = [(letter, look, upright.box(box)) for letter, look, box in self.letters]
        self.doubt = next((look.doubt for _, look, _ in self.letters if look.doubt in _UNREADABLE), None)
        read = self._read() if self.doubt is None else None
        if self.doubt is None and read is None:
            self.doubt = _LEGACY
        self.text = read or ""
        if self.doubt is None:
            self.doubt = next((look.doubt for _, look, _ in self.letters if look.doubt), None)
        if self.doubt is None:
            left, top, right, bottom = self.place
            within = 0 <= left + right <= 2 and 0 <= top + bottom <= 2
            self.doubt = _OFF if not within else _SMALL if self.size < smallest else None

    def marks(self) -> Iterator[Mark]:
        """What each text object draws of it."""
        parts: dict[int, tuple[_Look, list[Sides]]] = {}
        for _, look, box in self.letters:
            parts.setdefault(address(look.drawn), (look, []))[1].append(box)
        for look, boxes in parts.values():
            left, top, right, bottom = zip(*boxes, strict=True)
            around = min(left), min(top), max(right), max(bottom)
            yield Mark(look.drawn, self.text, around, [around] if look.lacking else boxes, look.brightness)

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
        for letter, look, _ in self.letters:
            if parts and parts[-1][0] == look.encoding:
                parts[-1] = (look.encoding, parts[-1][1] + letter)
            else:
                parts.append((look.encoding, letter))
        read = [text if encoding is None else legacy.to_unicode(text, encoding) for encoding, text in parts]
        return None if None in read else unicodedata.normalize("NFC", "".join(map(str, read)))


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

    def __init__(self, facts: PageFacts) -> None:
        self._unmapped = facts.unmapped
        self._absent = {font.name for font in facts.absent}
        self._known: dict[int, _Look] = {}

    def of(self, textpage: pdfium.FPDF_TEXTPAGE, index: int) -> _Look | None:
        """Of the letter's object; None for a letter that PDFium has put in, which has none."""
        drawn = pdfium.FPDFText_GetTextObject(textpage, index)
        if not drawn:
            return None
        at = address(drawn)
        if at not in self._known:
            self._known[at] = self._looked(drawn)
        return self._known[at]

    def _looked(self, drawn: pdfium.FPDF_PAGEOBJECT) -> _Look:
        font = _font_name(drawn)
        mode = pdfium.FPDFTextObj_GetTextRenderMode(drawn)
        doubt = _UNMAPPED if font in self._unmapped else _INVISIBLE if mode in _UNSEEN_MODES else None
        red, green, blue, opacity = (ctypes.c_uint() for _ in range(4))
        filled = mode in _FILLED_MODES and pdfium.FPDFPageObj_GetFillColor(drawn, red, green, blue, opacity)
        brightness = (299 * red.value + 587 * green.value + 114 * blue.value) // 1000 if filled else None
        return _Look(drawn, font, legacy.of_font(font), doubt, brightness, font in self._absent)


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
                if letter != _SOFT_HYPHEN or not place.is_drawn(index):
                    continue
                letter = "-"
            if look.doubt is None and not _is_letter(letter, look):
                look = replace(look, doubt=_UNMAPPED)
        if pdfium.FPDFText_HasUnicodeMapError(textpage, index) == 1:
            look = replace(look, doubt=_UNMAPPED)
        box = place.of(index)
        if word is None or not word.goes_on(box):
            if word is not None:
                yield word
            word = _Word(box, place.size(index))
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
        box = self._tight(index)
        return box if box[2] > box[0] and box[3] > box[1] else self._loose(index)

    def is_drawn(self, index: int) -> bool:
        box = self._tight(index)
        return box[2] > box[0] and box[3] > box[1]

    def size(self, index: int) -> float:
        """The letter's type size, whichever way it is turned."""
        left, bottom, right, top = self._loose(index)
        return max(right - left, top - bottom)

    def _tight(self, index: int) -> Sides:
        left, right, bottom, top = self._sides
        pdfium.FPDFText_GetCharBox(self._textpage, index, *self._pointers)
        return left.value, bottom.value, right.value, top.value

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
