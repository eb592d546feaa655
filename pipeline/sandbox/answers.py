"""The parent's judgement of what a child says. A child that a file has taken over may say anything.

Each function takes an answer and gives what it holds in our own types, or raises `Lie`.
"""

from __future__ import annotations

import json
import unicodedata
from types import NoneType
from typing import Any, get_args

from pipeline.einvoice.tree import MOST_DEPTH, Element
from pipeline.errors import Permanent, Reason
from pipeline.flags import MOST_FLAGS, FlagCode
from pipeline.records import Box, Code, Flag, Signature, SignatureVerdict, TextLayer, Word
from pipeline.sandbox.confine import Confinement
from pipeline.sandbox.drawer import (
    LARGEST_UNIT,
    LONGEST_CODE,
    LONGEST_NAME,
    LONGEST_WORD,
    MOST_ATTACHED,
    MOST_ATTACHED_BYTES,
    MOST_CODES,
    MOST_WORDS,
    SIGNATURE,
)

# What a child may give as the reason that it has no page.
REASONS = frozenset({
    Reason.pdf_encrypted, Reason.pdf_damaged, Reason.pdf_no_pages, Reason.image_damaged,
    Reason.too_many_pixels, Reason.too_many_pages, Reason.render_memory, Reason.xml_damaged,
    Reason.xml_unsafe, Reason.xml_too_large,
})  # fmt: skip
_DETAILS = frozenset({"pages", "limit", "width", "height", "lost"})  # integers, all of them
_LARGEST = 10**60  # of such an integer: a PDF's sizes are single-precision, times the dots of a point
_MESSAGE = 1000  # characters


class Lie(Exception):
    """The answer is none to what was asked; the message says why, in our own words."""


def parsed(line: bytes) -> dict[str, Any]:
    """The one object that a whole line of answer holds."""
    if line.find(b"\n") != len(line) - 1:
        raise Lie("several answers to one question")
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        raise Lie("nonsense") from None
    if not isinstance(answer, dict):
        raise Lie("nonsense")
    return answer


def confinement(answer: dict[str, Any]) -> Confinement:
    """Said before the child has seen a document; still it may be no child of ours."""
    _only(answer, "landlock", "seccomp")
    if type(answer["landlock"]) is not int or type(answer["seccomp"]) is not bool:
        raise Lie("a confinement of the wrong kind")
    return Confinement(answer["landlock"], answer["seccomp"])


def complaint(answer: dict[str, Any]) -> Permanent | None:
    """The failure that the answer is, if it is one."""
    if "reason" not in answer:
        return None
    _only(answer, "reason", "message", "details")
    reason, message, details = answer["reason"], answer["message"], answer["details"]
    if reason not in [str(known) for known in REASONS]:
        raise Lie("an unknown reason")
    if type(message) is not str or not isinstance(details, dict) or not details.keys() <= _DETAILS:
        raise Lie("a failure of the wrong kind")
    if any(type(value) is not int or abs(value) > _LARGEST for value in details.values()):
        raise Lie("a failure of the wrong kind")
    return Permanent(Reason(reason), plain(message[:_MESSAGE]), **details)


def pages(answer: dict[str, Any], most: int) -> int:
    _only(answer, "pages")
    count = answer["pages"]
    if type(count) is not int or not 1 <= count <= most:
        raise Lie(f"a number of pages that is not between 1 and {most:,} (render.max_pages)")
    return count


def drawing(answer: dict[str, Any], most: int) -> tuple[tuple[int, int], tuple[Flag, ...]]:
    """(width, height) of a page of at most so many pixels, and its flags."""
    _only(answer, "size", "flags")
    return _size(answer, most), _flags(answer)


def look(answer: dict[str, Any]) -> tuple[float, tuple[Flag, ...]]:
    """The unit of a page in points, and its flags."""
    _only(answer, "unit", "flags")
    unit = answer["unit"]
    if type(unit) not in (int, float) or not 0 < unit <= LARGEST_UNIT:
        raise Lie(f"a unit that is not between 0 and {LARGEST_UNIT:,} points")
    return float(unit), _flags(answer)


def attachments(answer: dict[str, Any]) -> tuple[list[tuple[str, bool]], bool]:
    """(name, whether it is a document) of each file within a document; whether it is a portfolio."""
    _only(answer, "attachments", "portfolio")
    found, portfolio = answer["attachments"], answer["portfolio"]
    if not isinstance(found, list) or len(found) > MOST_ATTACHED or type(portfolio) is not bool:
        raise Lie(f"more than {MOST_ATTACHED} files within a file, or none")
    return [_attachment(one) for one in found], portfolio


def _attachment(one: Any) -> tuple[str, bool]:
    if not isinstance(one, list) or len(one) != 2 or type(one[0]) is not str or type(one[1]) is not bool:
        raise Lie("a file of the wrong kind")
    return plain(one[0][:LONGEST_NAME].encode("utf-8", "replace").decode()) or "without a name", one[1]


def attachment(answer: dict[str, Any], most: int) -> int:
    """The bytes of a file that the canvas, which has `most`, holds now; 0: it has too many."""
    _only(answer, "bytes")
    count = answer["bytes"]
    if type(count) is not int or not 0 <= count <= min(most, MOST_ATTACHED_BYTES):
        raise Lie("a file larger than it may be")
    return count


def _flags(answer: dict[str, Any]) -> tuple[Flag, ...]:
    flags = answer["flags"]
    if not isinstance(flags, list) or len(flags) > MOST_FLAGS:
        raise Lie(f"more than {MOST_FLAGS} flags, or none")
    return tuple(map(_flag, flags))


def _flag(one: Any) -> Flag:
    if not isinstance(one, list) or len(one) != 2 or not all(type(part) is str for part in one):
        raise Lie("a flag of the wrong kind")
    code, message = one
    if code not in [str(known) for known in FlagCode]:
        raise Lie("an unknown flag")
    return Flag(FlagCode(code), plain(message[:_MESSAGE]))


def _size(answer: dict[str, Any], most: int) -> tuple[int, int]:
    sides = answer["size"]
    if not isinstance(sides, list) or len(sides) != 2 or any(type(side) is not int for side in sides):
        raise Lie("a size that is not two whole numbers")
    width, height = sides
    if not (1 <= width <= most and 1 <= height <= most and width * height <= most):
        raise Lie(f"a size that does not have between 1 and {most:,} pixels (render.max_pixels)")
    return width, height


def xml(answer: dict[str, Any], anchored: bool) -> tuple[Element, Signature]:
    """The document as a tree, and what its signatures are worth."""
    _only(answer, "xml", "signature")
    return _tree(answer["xml"]), _signature(answer["signature"], anchored)


def _signature(told: Any, anchored: bool) -> Signature:
    if not isinstance(told, list) or len(told) != len(SIGNATURE):
        raise Lie("a signature of the wrong kind")
    verdict, why, *who, needed = told
    if type(why) is not str or not all(text is None or type(text) is str for text in who):
        raise Lie("a signature of the wrong kind")
    if verdict not in get_args(SignatureVerdict) or type(needed) is not bool:
        raise Lie("an unknown verdict")
    signer, tax_code, signed_at = (text and plain(text[:_MESSAGE]) for text in who)
    return Signature(verdict, plain(why[:_MESSAGE]), signer, tax_code, signed_at, anchored, needed)


def _tree(told: Any) -> Element:
    """The root, of names, texts and numbers of inner elements, each element before those within it."""
    if type(told) is not list or len(told) != 3 or any(type(some) is not list for some in told):
        raise Lie("a tree of the wrong kind")
    names, texts, counts = told
    # An invoice has hundreds of elements: what holds of each is asked of all at once.
    kinds = set(map(type, names)) <= {str} and set(map(type, texts)) <= {str, NoneType}
    if not kinds or not set(map(type, counts)) <= {int} or not len(names) == len(texts) == len(counts):
        raise Lie("an element of the wrong kind")
    whole: list[Element] = []  # from the last one on: those that follow, and stand in none of each other
    levels: list[int] = []  # within each of them
    for name, text, count in zip(reversed(names), reversed(texts), reversed(counts), strict=True):
        if not count:
            whole.append(Element(name, text))
            levels.append(0)
            continue
        if not 0 < count <= len(whole):
            raise Lie("an element that has more within it than there is")
        within, below = tuple(whole[: -count - 1 : -1]), 1 + max(levels[-count:])
        if below > MOST_DEPTH:
            raise Lie(f"more than {MOST_DEPTH} elements within each other")
        whole[-count:], levels[-count:] = [Element(name, text, within)], [below]
    if len(whole) != 1:
        raise Lie("not one element that holds all others")
    return whole[0]


def codes(answer: dict[str, Any]) -> tuple[Code, ...]:
    _only(answer, "codes")
    found = answer["codes"]
    if not isinstance(found, list) or len(found) > MOST_CODES:
        raise Lie(f"more than {MOST_CODES} codes, or none")
    return tuple(_code(one) for one in found)


def words(answer: dict[str, Any]) -> TextLayer | None:
    """The text of a page; None if it has none."""
    _only(answer, "words", "trusted", "why")
    found, trusted, why = answer["words"], answer["trusted"], answer["why"]
    if not isinstance(found, list) or len(found) > MOST_WORDS:
        raise Lie(f"more than {MOST_WORDS:,} words, or none")
    if type(trusted) is not bool or (why is not None and type(why) is not str):
        raise Lie("a text of the wrong kind")
    if not found and why is None:
        return None
    return TextLayer(tuple(map(_word, found)), trusted, None if why is None else plain(why[:_MESSAGE]))


def _word(one: Any) -> Word:
    if not isinstance(one, list) or len(one) != 2 or type(one[0]) is not str:
        raise Lie("a word of the wrong kind")
    text, box = one
    if not 1 <= len(text) <= LONGEST_WORD or not text.isprintable() or " " in text:
        raise Lie("a word that is none")
    if not unicodedata.is_normalized("NFC", text):
        raise Lie("a word that is not in NFC")
    return Word(text, _box(box))


def plain(words: str) -> str:
    """`words` on one line, without anything that a terminal would obey or a database refuse."""
    return "".join(
        sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in " ".join(words.split())
    )


def _code(one: Any) -> Code:
    if not isinstance(one, list) or len(one) != 2:
        raise Lie("a code of the wrong kind")
    text, box = one
    if (
        type(text) is not str
        or not 1 <= len(text) <= LONGEST_CODE
        or any(0xD800 <= ord(c) < 0xE000 for c in text)
    ):
        raise Lie("a code whose text no QR code can hold")
    return Code("qr", text, _box(box))


def _box(box: Any) -> Box:
    if not isinstance(box, list) or len(box) != 4 or any(type(side) not in (int, float) for side in box):
        raise Lie("a place that is not four numbers")
    left, top, right, bottom = box
    if not all(0 <= side <= 1 for side in box) or left > right or top > bottom:
        raise Lie("a place outside the page")
    return float(left), float(top), float(right), float(bottom)


def _only(answer: dict[str, Any], *names: str) -> None:
    if answer.keys() != set(names):
        raise Lie(f"an answer without {' and '.join(names)}, or with more than that")
