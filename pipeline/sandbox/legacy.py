"""Vietnamese text in fonts of before Unicode, turned to Unicode by the encoding that a font's name tells.

TCVN3 is the part of TCVN 5712:1993 that Windows used, one byte a letter (the fonts .VnTime, .VnArial …; those
with an H at the end show small letters as capitals). VNI writes a vowel and, behind it, a byte for its marks
(VNI-Times, VNI-Helve …). Both lie over Latin-1, so who does not know the font reads "C«ng ty" or "Coâng ty".
Nothing is guessed: a byte that the encoding does not have makes the text unreadable. Where a font's name
tells nothing (a printer's driver may have given it another), the words may: they have signs within them that
no language of today has there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

OWN_CODES = 0xF000  # text whose bytes stand in the private characters that symbol fonts have for them

# TCVN 5712:1993, the set VN3. All below 0x80 is ASCII.
_TCVN3_CODES = (
    "A1Ă A2Â A3Ê A4Ô A5Ơ A6Ư A7Đ A8ă A9â AAê ABô ACơ ADư AEđ B5à B6ả B7ã B8á B9ạ BBằ BCẳ BDẵ BEắ "
    "C6ặ C7ầ C8ẩ C9ẫ CAấ CBậ CCè CEẻ CFẽ D0é D1ẹ D2ề D3ể D4ễ D5ế D6ệ D7ì D8ỉ DCĩ DDí DEị DFò "
    "E1ỏ E2õ E3ó E4ọ E5ồ E6ổ E7ỗ E8ố E9ộ EAờ EBở ECỡ EDớ EEợ EFù F1ủ F2ũ F3ú F4ụ F5ừ F6ử F7ữ F8ứ "
    "F9ự FAỳ FBỷ FCỹ FDý FEỵ"
)
_TCVN3: Mapping[int, str] = {int(entry[:2], 16): entry[2] for entry in _TCVN3_CODES.split()}

# VNI for Windows: letters that stand alone, and what a byte behind a vowel adds to it. Capitals have the
# capitals of the same Latin-1 letters.
_VNI_ALONE = {"ñ": "đ", "í": "í", "ì": "ì", "æ": "ỉ", "ó": "ĩ", "ò": "ị", "ô": "ơ", "ö": "ư", "î": "ỵ"}
_GRAVE, _ACUTE, _TILDE, _HOOK, _DOT = "\u0300", "\u0301", "\u0303", "\u0309", "\u0323"
_CIRCUMFLEX, _BREVE = "\u0302", "\u0306"
_VNI_MARKS = {
    "ù": _ACUTE, "ø": _GRAVE, "û": _HOOK, "õ": _TILDE, "ï": _DOT,
    "â": _CIRCUMFLEX, "á": _CIRCUMFLEX + _ACUTE, "à": _CIRCUMFLEX + _GRAVE, "å": _CIRCUMFLEX + _HOOK,
    "ã": _CIRCUMFLEX + _TILDE, "ä": _CIRCUMFLEX + _DOT,
    "ê": _BREVE, "é": _BREVE + _ACUTE, "è": _BREVE + _GRAVE, "ú": _BREVE + _HOOK,
    "ü": _BREVE + _TILDE, "ë": _BREVE + _DOT,
}  # fmt: skip
_VNI_TONES = "ùøûõï"
_VNI_BEARS = {"a": frozenset(_VNI_MARKS), "e": frozenset("ùøûõïâáàåãä"), "o": frozenset("ùøûõïâáàåãä"),
              "u": frozenset(_VNI_TONES), "y": frozenset("ùøûõ"), "ô": frozenset(_VNI_TONES),
              "ö": frozenset(_VNI_TONES)}  # fmt: skip

_NAMES = re.compile(
    r"""(?P<tcvn3>\.vn|vn(?:time(?!s)|arial|avant|black|bodoni|century|clarendon|cooper|courier|gothic|helvet
                         |lucida|memorandum|monotype|park|present|roman|shelley|tifani|univers|vogue))
      | (?P<vni>vni(?![a-z])|vni(?=times|helve|aptima))
      | (?P<other>vps(?![a-z])|vpstimes|vnu(?![a-z])|vnutimes|vntimes|vis?cii|bkhcm|vietware)""",
    re.VERBOSE | re.IGNORECASE,
)
_BETRAYED = re.compile(
    r"""(?-i:[a-zß-ÿ][À-ÖØ-Þ])  # ViÖt, nghÜa
      | [^\W\d_][«¬¸¼½¾µ¶¨©]  # C«ng, vµ
      | [^\W\d_][®¹º»ª][^\W\d_]  # H¹nh, but not Brand®, Total¹
      | ^[®¬¶¨][^\W\d_]  # ®Çu
      | [aeouy][äåëïøû]  # of VNI: Coäng hoøa
    """,
    re.VERBOSE | re.IGNORECASE,
)
_VIETNAMESE = re.compile("[ăĂđĐơƠưƯ\u1ea0-\u1ef9]")
_BETRAYED_SHARE, _BETRAYED_WORDS = 0.15, 3
_CAPITALS = re.compile(r"H(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Legacy:
    """An encoding of a font. `decode` gives None for what is not in it; None: there is no table."""

    name: str
    decode: Callable[[bytes], str | None] | None
    capitals: bool = False  # small letters look like capitals


def of_font(name: str) -> Legacy | None:
    """The encoding of the font with this name, without the tag of a subset; None for a font of today."""
    found = _NAMES.match(name)
    if found is None:
        return None
    if found["tcvn3"]:
        return Legacy("TCVN3", _tcvn3, _CAPITALS.search(name) is not None)
    return Legacy("VNI", _vni) if found["vni"] else Legacy(found[0], None)


def is_old(words: Collection[str]) -> bool:
    """Whether these words of one font are in an encoding of before Unicode, whatever the font's name."""
    if any(map(_VIETNAMESE.search, words)):
        return False
    spelt = [word for word in words if any(map(str.isalpha, word))]
    betrayed = sum(_BETRAYED.search(word) is not None for word in spelt)
    return betrayed >= max(_BETRAYED_WORDS, _BETRAYED_SHARE * len(spelt))


def is_plain(word: str) -> bool:
    """Whether a word is the same in these encodings as today. A hyphen may be the ư of TCVN3."""
    return word.isascii() and not ("-" in word and any(map(str.isalpha, word)))


def to_unicode(text: str, encoding: Legacy) -> str | None:
    """`text`, as a PDF reader that knows nothing of the encoding gives it, as it looks on paper; NFC.

    None where it cannot be told: then what was given is not to be passed on.
    """
    codes = _bytes(text)
    read = None if codes is None or encoding.decode is None else encoding.decode(codes)
    if read is None:
        return None
    return unicodedata.normalize("NFC", read.upper() if encoding.capitals else read)


def _bytes(text: str) -> bytes | None:
    """The text's codes: its own where a reader kept them, else those of Windows' Latin letters."""
    codes = bytearray()
    for sign in text:
        code = ord(sign)
        if OWN_CODES <= code <= OWN_CODES + 0xFF:
            codes.append(code - OWN_CODES)
        elif code <= 0xFF:
            codes.append(code)
        else:
            try:
                codes += sign.encode("cp1252")
            except UnicodeEncodeError:
                return None
    return bytes(codes)


def _common(code: int) -> str | None:
    """What all of these fonts have as Windows has it: ASCII, and the marks of punctuation below 0xA0."""
    if code < 0x80:
        return chr(code) if code >= 0x20 else None
    sign = bytes([code]).decode("cp1252", "replace") if code <= 0xA0 else "\ufffd"
    return None if sign == "\ufffd" or sign.isalpha() else sign


def _tcvn3(codes: bytes) -> str | None:
    letters = [_TCVN3.get(code) or _common(code) for code in codes]
    return None if None in letters else "".join(map(str, letters))


def _vni(codes: bytes) -> str | None:
    read: list[str] = []
    bearing = ""  # the vowel before, in small letters, as long as it has no mark
    for code in codes:
        sign = bytes([code]).decode("latin-1")
        small = sign.lower()
        if code >= 0xA1 and small in _VNI_BEARS.get(bearing, ()):
            read.append(_VNI_MARKS[small])
            bearing = ""
            continue
        alone = _VNI_ALONE.get(small) if code >= 0xA1 else _common(code)
        if alone is None:
            return None
        read.append(alone.upper() if code >= 0xA1 and sign != small else alone)
        bearing = small
    return "".join(read)
