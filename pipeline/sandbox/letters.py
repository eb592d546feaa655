"""Letters of a page that its font does not bring along and that no other face may have."""

from __future__ import annotations

import ctypes
import unicodedata
from collections.abc import Callable, Iterable, Iterator

import pypdfium2.raw as pdfium

from pipeline.flags import FlagCode
from pipeline.sandbox.structure import PageFacts, Told

# Beyond Latin-1, what PDFium's own faces have: the rest of the standard Latin set (PDF 32000-1, annex D).
_STANDARD = frozenset(map(ord, "ıŁłŒœŠšŸŽžƒˆˇ˘˙˚˛˜˝–—‘’‚“”„†‡•…‰‹›⁄€™−ﬁﬂ"))
_NAMED = 12  # letters in a message
_NAME_BYTES = 200

# Whether what stands for a font that is absent has a character; without a font: whether all that do have it.
Drawable = Callable[[pdfium.FPDF_FONT | None, int], bool]


def in_builtin_faces(_font: pdfium.FPDF_FONT | None, character: int) -> bool:
    return character <= 0xFF or character in _STANDARD


def face_size(font: pdfium.FPDF_FONT) -> int:
    """Bytes of the file that PDFium draws a font with."""
    size = ctypes.c_size_t()
    pdfium.FPDFFont_GetFontData(font, None, 0, ctypes.byref(size))
    return int(size.value)


def of_text(page: pdfium.FPDF_PAGE, facts: PageFacts, drawable: Drawable) -> Iterator[Told]:
    """What of the page's text is not drawn as it stands there, for want of its font."""
    if not facts.absent_fonts:
        return
    text = pdfium.FPDFText_LoadPage(page)
    try:
        missing, unknown = _judged(text, facts, drawable)
    finally:
        pdfium.FPDFText_ClosePage(text)
    if missing:
        yield (
            FlagCode.letters_missing,
            f"letters of fonts that are not embedded are not drawn: {_listed(missing)}",
        )
    if unknown:
        names = ", ".join(sorted(unknown))
        yield (
            FlagCode.letters_unknown,
            f"a font is not embedded and does not say which letters it has; others may stand there: {names}",
        )


def of_fields(facts: PageFacts, drawn_anew: bool, drawable: Drawable) -> Iterator[Told]:
    """Values of a form, and notes, that lose letters: PDFium makes the look of those that have none.

    For that it takes its own faces, whatever others it is given.
    """
    for field in facts.fields:
        can = drawable if field.appearance and not drawn_anew else in_builtin_faces
        if field.appearance and not drawn_anew and not facts.absent_fonts:
            continue
        missing = {ord(sign) for sign in field.text if not _is_drawn(None, ord(sign), can)}
        if missing:
            yield (
                FlagCode.field_not_drawn,
                f"letters of the value of the field “{field.name}” are not drawn: {_listed(missing)}",
            )


def _judged(text: pdfium.FPDF_TEXTPAGE, facts: PageFacts, drawable: Drawable) -> tuple[set[int], set[str]]:
    missing: set[int] = set()
    unknown: set[str] = set()
    for i in range(pdfium.FPDFText_CountChars(text)):
        character = pdfium.FPDFText_GetUnicode(text, i)
        nameless = bool(pdfium.FPDFText_HasUnicodeMapError(text, i) == 1)
        if not nameless and not facts.unknown_fonts and in_builtin_faces(None, character):
            continue
        drawn = pdfium.FPDFText_GetTextObject(text, i)
        font = pdfium.FPDFTextObj_GetFont(drawn) if drawn else None
        if not font or pdfium.FPDFFont_GetIsEmbedded(font) or pdfium.FPDFText_IsGenerated(text, i):
            continue
        name = _name(font)
        if nameless or name in facts.unknown_fonts:
            unknown.add(name or "without a name")
        elif not _is_drawn(font, character, drawable) and name not in ("Symbol", "ZapfDingbats"):
            missing.add(character)
    return missing, unknown


def _is_drawn(font: pdfium.FPDF_FONT | None, character: int, drawable: Drawable) -> bool:
    if drawable(font, character):
        return True
    return unicodedata.category(chr(character)) in ("Cc", "Cf", "Zs", "Zl", "Zp")  # nothing to see


def _name(font: pdfium.FPDF_FONT) -> str:
    buffer = ctypes.create_string_buffer(_NAME_BYTES)
    pdfium.FPDFFont_GetBaseFontName(font, buffer, _NAME_BYTES)
    return buffer.value.decode("utf-8", "replace")


def _listed(letters: Iterable[int]) -> str:
    ordered = sorted(letters)
    shown = " ".join(
        chr(letter) if chr(letter).isprintable() else f"U+{letter:04X}" for letter in ordered[:_NAMED]
    )
    return shown + (f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else "")
