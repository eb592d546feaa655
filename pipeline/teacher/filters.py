"""What is wrong with what a teacher said. A row that any of these names is not learnt from.

A teacher is wrong in few ways: it declines, speaks another language, leaves off diacritics, breaks off, goes
round in circles, or writes what is not there. What a page says by its own text settles the last one; a second
reader settles it where it is sure, about figures. Nothing here asks a model.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from pipeline import wording
from pipeline.store.teaching import TaughtPage
from pipeline.teacher.answers import Turn
from pipeline.teacher.prompts import Kind
from schemas.text import unaccented

VERSION = 2  # raise it with whatever gives another verdict

LEFT_OUT = 0.15  # of a page's words: what leaves out more is no copy of it
MADE_UP = 0.15  # of an answer's words
OTHER_PAPER = 0.6  # of an extraction's values that a second reader did not see
MISREAD = 0.5  # of a second reader's words, which misses many itself
LOPSIDED = 0.25  # by which one side has more words of its own than the other: misread ones are on both
CLEAR = 5  # figures that a second reader saw on a page: from here it sees most of them
FEW_UNSEEN = 0.25  # of an answer's figures: if it saw all others, these are not there

# Without diacritics, at the beginning of an answer.
_DECLINES = re.compile(
    r"(rat tiec|(toi )?(rat )?xin loi|toi (rat )?tiec"
    r"|(toi|minh) (hien |van )?(khong the|khong co kha nang|chua the)"
    r"|khong the (doc|xem|nhin|thay|ho tro|tra loi|cung cap|thuc hien|xac dinh)"
    r"|(voi tu cach |toi )?la (mot )?(mo hinh|tro ly)( ngon ngu| ai| tri tue)?"
    r"|i m sorry|i am sorry|sorry|i can ?not|i can t|i m unable|i am unable|as an ai|unfortunately"
    r"|hinh anh (qua )?(mo|khong ro)|anh khong (hien thi|ton tai|duoc tai))\b"
)
_LOOK = 120  # characters in which an answer declines, if it does
_WORD = re.compile(r"(?<!\w)[^\W\d_]+(?!\w)")  # not a code's letters
_MARKED = re.compile(
    r"[ăâđêôơưĂÂĐÊÔƠƯàáảãạằắẳẵặầấẩẫậèéẻẽẹềếểễệìíỉĩịòóỏõọồốổỗộờớởỡợùúủũụừứửữựỳýỷỹỵ]", re.IGNORECASE
)
_ENGLISH = re.compile(r"the|of|and|is|in|to|for|this|that|with|are|was|from|it|as|by|an|be|which|has|have")
_FEW = 5  # words: of fewer the language cannot be told
_SHORT_ANSWER = 12  # words: such an answer is taken from the page, not told about it
_YES_NO = frozenset(["co", "khong", "dung", "sai", "phai", "roi", "chua"])
_NAME = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a turn is not learnt from: a code, and a sentence without any value."""

    code: str
    why: str


def judged(kind: Kind, turn: Turn, page: TaughtPage, finish: str | None) -> Verdict | None:
    """What is wrong with the turn; None: nothing was found."""
    answer = turn.answer
    if finish == "blocked":
        return Verdict("refusal", "the teacher declined")
    if finish == "length":
        return Verdict("truncated", "the teacher was cut off at its limit of tokens")
    if not answer.strip():
        return Verdict("empty", "there is no answer")
    if kind != "extraction" and declines(answer):
        return Verdict("refusal", "the teacher declined in words")
    if goes_round(answer):
        return Verdict("loop", "the answer goes round in circles")
    if turn.failed:
        return Verdict("fails_checks", f"the schema's rules are broken: {', '.join(turn.failed)}")
    return _language(kind, turn, page) or _against_text(kind, turn, page) or _against_reader(kind, turn, page)


def declines(answer: str) -> bool:
    """Whether it says that it cannot or will not answer."""
    begin = re.sub(r"[^a-z]+", " ", unaccented(answer[:_LOOK]).casefold()).strip()
    return _DECLINES.match(begin) is not None


def goes_round(answer: str) -> bool:
    """Whether a piece of it comes again and again at once."""
    return re.search(r"(.{2,80}?)\1{7,}", re.sub(r"[\s._\-–=*]+", " ", answer), re.DOTALL) is not None


def _language(kind: Kind, turn: Turn, page: TaughtPage) -> Verdict | None:
    """Another language than Vietnamese, or Vietnamese without its diacritics."""
    text = " ".join(turn.values) if kind == "extraction" else turn.answer
    letters = [sign for sign in text if sign.isalpha()]
    foreign = sum(not unicodedata.name(sign, "").startswith(("LATIN", "GREEK")) for sign in letters)
    if foreign and foreign > 0.02 * len(letters):
        return Verdict("wrong_language", "it has letters of another script")
    if kind in ("ocr", "handwriting", "extraction"):
        words, on_page = _WORD.findall(text), _WORD.findall(page.text or page.reader or "")
        there, marked = _share_marked(on_page), _share_marked(words)
        if min(len(on_page), len(words)) >= _FEW and there > 0.2 and marked < there / 4:
            return Verdict("wrong_language", "the page has diacritics, and it has hardly any")
        return None
    return _prose(turn.answer) or (_prose(turn.question) if kind == "general" else None)


def _prose(text: str) -> Verdict | None:
    words = _WORD.findall(text)
    if len(words) < _FEW:
        return None
    english = sum(_ENGLISH.fullmatch(word.casefold()) is not None for word in words) / len(words)
    if english > 0.12 and _share_marked(words) < 0.3:
        return Verdict("wrong_language", "it is English")
    if _share_marked(words) < 0.15:
        return Verdict("wrong_language", "it has hardly a diacritic")
    return None


def _share_marked(words: list[str]) -> float:
    """Of words with a letter or mark that only Vietnamese has; in running text they are over half."""
    marked = sum(_MARKED.search(unicodedata.normalize("NFC", word)) is not None for word in words)
    return marked / len(words) if words else 0.0


def _against_text(kind: Kind, turn: Turn, page: TaughtPage) -> Verdict | None:
    """What the page's own text contradicts."""
    if not page.exact or page.text is None:
        return None
    if kind == "extraction":
        strange = [value for value in turn.values if not _stands(value, page.text)]
        if strange:
            return Verdict(
                "contradicts_text", f"{len(strange)} of {len(turn.values)} values are not in the page's text"
            )
        return None
    known = f"{page.text}\n{turn.question}"
    short = kind == "general" and len(turn.answer.split()) <= _SHORT_ANSWER
    if figures := wording.made_up(turn.answer, known, 2 if short else 4):
        return Verdict("contradicts_text", f"{len(figures)} figures of it are not in the page's text")
    if kind == "ocr":
        left, of = wording.left_out(page.text, turn.answer)
        more, said = wording.left_out(turn.answer, page.text)
        if left > LEFT_OUT * of or more > MADE_UP * said:
            return Verdict(
                "contradicts_text", f"{left} of {of} words are left out, {more} of {said} are made up"
            )
        return None
    return _strange_words(turn, known) if kind == "general" else None


def _strange_words(turn: Turn, known: str) -> Verdict | None:
    """Names that stand nowhere on the page, and short answers of which most words do not."""
    there = _bare(known)
    if names := _names(turn.answer) - there:
        return Verdict("contradicts_text", f"{len(names)} names in it are not in the page's text")
    words = [word for word in _bare(turn.answer) if word not in _YES_NO]
    if (
        words
        and len(turn.answer.split()) <= _SHORT_ANSWER
        and sum(word in there for word in words) < len(words) / 2
    ):
        return Verdict("contradicts_text", "most of its words are not in the page's text")
    return None


def _stands(value: str, text: str) -> bool:
    """Whether a printed value stands in the text: as it is, or word by word where lines break it."""
    if _packed(value) in _packed(text):
        return True
    left, _ = wording.left_out(value, text)
    return left == 0 and not wording.made_up(value, text, 1)


@lru_cache(maxsize=8)  # a page's text is held against each of its values
def _packed(text: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFC", text).casefold() if sign.isalnum())


def _names(answer: str) -> set[str]:
    """Capitalised words that do not begin a sentence, without diacritics."""
    found = set()
    for match in _NAME.finditer(answer):
        before = answer[: match.start()].rstrip(" \"'“‘(")
        begins = not before or before[-1] in ".!?:;\n-•*"
        if match[0][0].isupper() and not begins:
            found.add(unaccented(match[0]).casefold())
    return found


def _bare(text: str) -> set[str]:
    return {unaccented(word).casefold() for word in _NAME.findall(text)}


def _against_reader(kind: Kind, turn: Turn, page: TaughtPage) -> Verdict | None:
    """What a second reader contradicts: a figure that it saw with one digit other, a page of other words."""
    if page.reader is None or (page.exact and page.text is not None):
        return None
    said = " ".join(turn.values) if kind == "extraction" else turn.answer
    strange = wording.made_up(said, f"{page.reader}\n{turn.question}")
    seen = wording.figures(page.reader)
    if near := [one for one in strange if any(_one_off(one, other) for other in seen)]:
        return Verdict("contradicts_reader", f"{len(near)} figures of it were read with another digit")
    most = 1 if kind == "general" else FEW_UNSEEN * len(wording.figures(said))
    if strange and len(seen) >= CLEAR and len(strange) <= most:
        return Verdict("contradicts_reader", f"{len(strange)} figures of it were not read, and others were")
    if kind == "extraction":
        unseen = [one for one in turn.values if not _stands(unaccented(one), unaccented(page.reader))]
        if len(unseen) > OTHER_PAPER * len(turn.values) and len(unseen) >= 3:
            why = f"{len(unseen)} of {len(turn.values)} values were not read on the page"
            return Verdict("contradicts_reader", why)
    if kind == "ocr":
        left, of = wording.left_out(unaccented(page.reader), unaccented(turn.answer))
        more, words = wording.left_out(unaccented(turn.answer), unaccented(page.reader))
        if of >= 10 and (left > MISREAD * of or more > MISREAD * words):
            return Verdict("contradicts_reader", f"{left} of {of} words that were read are not in it")
        if of >= 10 and words and abs(left / of - more / words) > LOPSIDED:
            why = (
                f"{left} of {of} words that were read are not in it, and {more} of its {words} were not read"
            )
            return Verdict("contradicts_reader", why)
    return None


def _one_off(one: str, other: str) -> bool:
    """Equal but for one digit, or two swapped."""
    if len(one) != len(other):
        return False
    apart = [at for at in range(len(one)) if one[at] != other[at]]
    if len(apart) == 2 and apart[1] == apart[0] + 1:
        return sorted(one[at] for at in apart) == sorted(other[at] for at in apart)
    return len(apart) == 1
