"""Letters of a page that are not drawn because their font is not in the file and no other face has them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator

from pipeline.flags import FlagCode
from pipeline.sandbox.annotations import Told
from pipeline.sandbox.structure import PageFacts
from pipeline.sandbox.texts import SOME_IDEOGRAPH

# Beyond Latin-1, what PDFium's own faces have: the rest of the standard Latin set (PDF 32000-1, annex D).
_STANDARD = frozenset(map(ord, "ıŁłŒœŠšŸŽžƒˆˇ˘˙˚˛˜˝–—‘’‚“”„†‡•…‰‹›⁄€™−ﬁﬂ"))
_NAMED = 12  # letters in a message
_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")  # categories of characters that show nothing

Drawable = Callable[[str, int], bool]  # whether what stands for the font of this name has a character


def in_builtin_faces(_font: str, character: int) -> bool:
    return character <= 0xFF or character in _STANDARD


def of_text(facts: PageFacts, drawable: Drawable) -> Iterator[Told]:
    """What of the page's text is not drawn as it stands there, for want of its font."""
    missing = {
        letter
        for font in facts.absent
        for letter in font.letters
        if not _is_drawn(font.name, letter, drawable)
    }
    if missing:
        yield (
            FlagCode.letters_missing,
            f"letters of fonts that are not embedded are not drawn: {_listed(missing)}",
        )
    unknown = sorted({font.name for font in facts.absent if font.unknown})
    if unknown:
        yield (
            FlagCode.letters_unknown,
            "a font is not embedded, or is damaged, and does not say which letters it has; others may stand "
            f"there: {', '.join(unknown)}",
        )


def of_fields(facts: PageFacts, drawn_anew: bool, drawable: Drawable) -> Iterator[Told]:
    """Values of a form, and notes, that lose letters: PDFium makes the look of those that have none.

    For that it takes its own faces, whatever others it is given.
    """
    for field in facts.fields:
        has_look = field.appearance and not drawn_anew
        if has_look and not facts.absent:
            continue
        can = drawable if has_look else in_builtin_faces
        missing = {ord(sign) for sign in field.text if not _is_drawn("", ord(sign), can)}
        if missing:
            yield (
                FlagCode.field_not_drawn,
                f"letters of the value of the field “{field.name}” are not drawn: {_listed(missing)}",
            )


def _is_drawn(font: str, character: int, drawable: Drawable) -> bool:
    return drawable(font, character) or unicodedata.category(chr(character)) in _UNSEEN


def _listed(letters: Iterable[int]) -> str:
    ordered = sorted(letters)
    shown = (
        "ideographs"
        if letter == SOME_IDEOGRAPH
        else chr(letter)
        if chr(letter).isprintable()
        else f"U+{letter:04X}"
        for letter in ordered[:_NAMED]
    )
    return " ".join(shown) + (f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else "")
