"""Which letters a page has in fonts that are not in the file, by the codes of its text.

PDFium tells no text of which it draws nothing, so what is missing cannot be asked of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pikepdf
from pikepdf import Dictionary, Name

from pipeline.sandbox import fontfiles, legacy

_BUILT_IN = ("Symbol", "ZapfDingbats")  # every renderer has them
_EAST_ASIAN = ("Japan1", "GB1", "CNS1", "Korea1", "KR")
_SYMBOLIC = 1 << 2  # of a font descriptor's flags
SOME_IDEOGRAPH = 0x4E00  # for a text of such a font whose codes are in an encoding of their own
_MOST_CODES = 65_536
_SECTION_ENTRIES = 100  # the most that a section of a CMap may have
_SECTION = re.compile(rb"begin(bfchar|bfrange)(.*?)end\1", re.S)
_TOKEN = re.compile(rb"<([0-9A-Fa-f\s]*)>|(\[)|(\])")
_UNICODE_NAME = re.compile(r"uni([0-9A-F]{4})|u([0-9A-F]{4,6})")
_NUMBER_NAME = re.compile(r"(?:g|c|cid|glyph|index|G|C)\d+")  # a glyph of one font, and no letter's name
_LETTER_NAME = re.compile(r"([A-Za-z])(breve|circumflex|horn)?(acute|grave|hookabove|tilde|dotbelow)?")
_MARKS = {
    "breve": "\u0306", "circumflex": "\u0302", "horn": "\u031b", "acute": "\u0301", "grave": "\u0300",
    "hookabove": "\u0309", "tilde": "\u0303", "dotbelow": "\u0323",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Absent:
    """A font that is not in the file. `unknown`: nothing says which letters some of its codes are."""

    name: str
    letters: frozenset[int]
    unknown: bool


def absent(drawing: Callable[[], pikepdf.Stream], fonts: Any) -> Iterator[Absent]:
    """The fonts that `drawing` sets text in and that are not in the file, by their names in `fonts`.

    Those of which all codes are Western letters are left out: every renderer has these.
    """
    if not isinstance(fonts, Dictionary):
        return
    named = ((name, fonts.get(name)) for name in fonts.keys())  # noqa: SIM118  (a pikepdf object)
    wanted = {name: font for name, font in named if isinstance(font, Dictionary) and _is_wanted(font)}
    if not wanted:
        return
    shown: dict[str, set[bytes]] = {}
    current = ""
    for instruction in pikepdf.parse_content_stream(drawing(), "Tf Tj TJ ' \""):
        operator, operands = str(instruction.operator), list(instruction.operands)
        if operator == "Tf" and operands:
            current = str(operands[0])
        elif current in wanted and operands:
            last = operands[-1]
            parts = list(last) if isinstance(last, pikepdf.Array) else [last]
            shown.setdefault(current, set()).update(
                bytes(part) for part in parts if isinstance(part, pikepdf.String)
            )
    for name, texts in shown.items():
        yield _judged(wanted[name], texts)


def unmapped(fonts: Any) -> Iterator[str]:
    """Names of simple fonts of which nothing tells the letters (PDF 32000-1, 9.10.2), or a map other ones
    than are drawn.

    PDFium takes the codes of the first for Western letters. That others have no map, it tells itself.
    """
    for font in _each(fonts):
        if font.get("/Subtype") == "/Type0":
            continue
        if isinstance(font.get("/ToUnicode"), pikepdf.Stream):
            if _is_contradicted(font):
                yield base_name(font)
            continue
        numbered = any(_NUMBER_NAME.fullmatch(name) for _, name in _differences(font))
        if numbered or (font.get("/Encoding") is None and _is_symbolic_truetype(font) and _names_file(font)):
            yield base_name(font)


def _is_contradicted(font: Any) -> bool:
    """Whether a font that is not in the file, and so drawn by its encoding, has a map to other letters."""
    if looks_embedded(font) or _is_legacy(font):
        return False
    named = {code: "".join(map(chr, _named(name))) for code, name in _differences(font)}
    for code, letters in _map(font.ToUnicode.read_bytes(), 1).items():
        told = unicodedata.normalize("NFKC", "".join(map(chr, letters))).casefold()
        drawn = (named.get(code[0]) or _western(font, code[0])).casefold()
        if told.isalnum() and drawn.isalnum() and told != unicodedata.normalize("NFKC", drawn):
            return True
    return False


def _differences(font: Any) -> Iterator[tuple[int, str]]:
    """(code, glyph's name) of those that an encoding names."""
    encoding = font.get("/Encoding")
    entries: Any = encoding.get("/Differences") if isinstance(encoding, Dictionary) else None
    code = 0
    listed: Iterable[Any] = entries if isinstance(entries, pikepdf.Array) else ()
    for entry in listed:
        if isinstance(entry, int):
            code = entry
        elif isinstance(entry, Name):
            yield code, bytes(entry).decode("latin-1").lstrip("/")
            code += 1


def legacy_by_code(fonts: Any) -> Iterator[tuple[Any, bytes]]:
    """Fonts of before Unicode whose codes can be told, and a map of these to private characters.

    A renderer that takes the codes for Western letters takes some of them for the same letter, and one (AD)
    for a hyphen.
    """
    for font in _each(fonts):
        if not _is_legacy(font):
            continue
        encoding, composite = font.get("/Encoding"), font.get("/Subtype") == "/Type0"
        if isinstance(font.get("/ToUnicode"), pikepdf.Stream):
            length = 2 if composite else 1
            yield font, _private(_map(font.ToUnicode.read_bytes(), length), length)
        elif not composite and (
            encoding == "/WinAnsiEncoding" or (encoding is None and not looks_embedded(font))
        ):
            yield font, _private({bytes([code]): (code,) for code in range(256)}, 1)


def _private(known: Mapping[bytes, tuple[int, ...]], length: int) -> bytes:
    """A /ToUnicode CMap with private characters (`legacy.OWN_CODES`) in place of Latin ones."""
    entries = []
    for code, letters in known.items():
        meant = "".join(chr(legacy.OWN_CODES + letter if letter <= 0xFF else letter) for letter in letters)
        target = meant.encode("utf-16-be", "surrogatepass").hex()
        entries.append(f"<{code.hex()}> <{target}>")
    sections = "\n".join(
        f"{len(some)} beginbfchar\n" + "\n".join(some) + "\nendbfchar"
        for some in (
            entries[start : start + _SECTION_ENTRIES] for start in range(0, len(entries), _SECTION_ENTRIES)
        )
    )
    first, last = "00" * length, "FF" * length
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        f"1 begincodespacerange <{first}> <{last}> endcodespacerange\n{sections}\nendcmap end end"
    ).encode()


def _each(fonts: Any) -> Iterator[Any]:
    """The fonts of a page's resources, or of a list."""
    if isinstance(fonts, Dictionary):
        fonts = [fonts.get(name) for name in fonts.keys()]  # noqa: SIM118  (a pikepdf object)
    for font in fonts or ():
        if isinstance(font, Dictionary) and font.get("/Type", "/Font") == "/Font":
            yield font


def _is_symbolic_truetype(font: Any) -> bool:
    descriptor = font.get("/FontDescriptor")
    flags = int(descriptor.get("/Flags", 0)) if isinstance(descriptor, Dictionary) else 0
    return bool(font.get("/Subtype") == "/TrueType" and flags & _SYMBOLIC)


def looks_embedded(font: Any) -> bool:
    """Whether a font brings its glyphs along, or every renderer has them."""
    if font.get("/Subtype") == "/Type3" or base_name(font) in _BUILT_IN:
        return True
    descriptor = _descriptor(font)
    return descriptor is not None and fontfiles.is_there(descriptor)


def _has_damaged_file(font: Any) -> bool:
    descriptor = _descriptor(font)
    return descriptor is not None and fontfiles.is_damaged(descriptor)


def _names_file(font: Any) -> bool:
    """Whether a font says that it brings its glyphs along, in a file that may be damaged."""
    descriptor = _descriptor(font)
    return descriptor is not None and any(name in descriptor for name in fontfiles.NAMES)


def _descriptor(font: Any) -> Dictionary | None:
    found = (_descendant(font) or font).get("/FontDescriptor")
    return found if isinstance(found, Dictionary) else None


def base_name(font: Any) -> str:
    return without_tag(bytes(font.get("/BaseFont", Name.Nameless)).decode("utf-8", "replace").lstrip("/"))


def without_tag(name: str) -> str:
    """A font's name without the six letters before it that tell one subset from another."""
    prefix, plus, rest = name.partition("+")
    return rest if plus and len(prefix) == 6 else name


def _is_wanted(font: Any) -> bool:
    encoding = font.get("/Encoding")
    differs = isinstance(encoding, Dictionary) and "/Differences" in encoding
    mapped = isinstance(font.get("/ToUnicode"), pikepdf.Stream)
    lost = encoding is None and _names_file(font)
    other = font.get("/Subtype") == "/Type0" or differs or mapped or lost or _is_legacy(font)
    return (other and not looks_embedded(font)) or _has_damaged_file(font)


def _is_legacy(font: Any) -> bool:
    """Whether its codes for Western letters show Vietnamese ones (TCVN3, VNI)."""
    return legacy.of_font(base_name(font)) is not None


def _descendant(font: Any) -> Any:
    found = font.get("/DescendantFonts")
    first = found[0] if isinstance(found, pikepdf.Array) and len(found) else None
    return first if isinstance(first, Dictionary) else None


def _judged(font: Any, texts: set[bytes]) -> Absent:
    if font.get("/Subtype") == "/Type0":
        letters, unknown = _composite(font, texts)
    else:
        letters, unknown = _simple(font, texts)
    unknown |= _is_legacy(font) or _has_damaged_file(font)
    # Its codes are those of its own file, and nothing else says what they are.
    own = font.get("/Subtype") != "/Type0" and "/Encoding" not in font and "/ToUnicode" not in font
    unknown |= own and _names_file(font)
    return Absent(base_name(font), frozenset(letters), unknown)


def _composite(font: Any, texts: set[bytes]) -> tuple[set[int], bool]:
    codes = {text[i : i + 2] for text in texts for i in range(0, len(text) - 1, 2)}
    encoding = str(font.get("/Encoding")) if isinstance(font.get("/Encoding"), Name) else ""
    to_unicode = font.get("/ToUnicode")
    if isinstance(to_unicode, pikepdf.Stream):
        known = _map(to_unicode.read_bytes(), 2)
        return {letter for code in codes for letter in known.get(code, ())}, not codes <= known.keys()
    if "UCS2" in encoding or "UTF16" in encoding:
        return {ord(sign) for text in texts for sign in text.decode("utf-16-be", "replace")}, False
    info = (_descendant(font) or Dictionary()).get("/CIDSystemInfo")
    ordering = str(info.get("/Ordering", "Identity")) if isinstance(info, Dictionary) else "Identity"
    return ({SOME_IDEOGRAPH}, False) if ordering in _EAST_ASIAN else (set(), bool(codes))


def _simple(font: Any, texts: set[bytes]) -> tuple[set[int], bool]:
    used = {code for text in texts for code in text}
    letters: set[int] = set()
    unknown = False
    named = list(_differences(font))
    for code, name in named:
        if code in used:
            letters |= _named(name)
            unknown |= _NUMBER_NAME.fullmatch(name) is not None
    to_unicode = font.get("/ToUnicode")
    if isinstance(to_unicode, pikepdf.Stream) and not named:
        known = _map(to_unicode.read_bytes(), 1)
        for code in used:
            meant = known.get(bytes([code]), ())
            letters.update(meant)
            western = _western(font, code)
            # Of a code that is no Western letter PDFium believes the map.
            other = (
                "".join(map(chr, meant)).casefold() != western.casefold()
            )  # small capitals are letters too
            unknown |= bool(meant) and western.isprintable() and other
    return letters, unknown


def _western(font: Any, code: int) -> str:
    """What a renderer takes a code for where the font is not in the file and names no glyphs."""
    encoding = font.get("/Encoding")
    given = encoding.get("/BaseEncoding") if isinstance(encoding, Dictionary) else encoding
    return bytes([code]).decode("mac_roman" if given == "/MacRomanEncoding" else "cp1252", "replace")


def _named(name: str) -> set[int]:
    """The letters that a glyph's name stands for (Adobe Glyph List), if they may be Vietnamese ones."""
    coded = _UNICODE_NAME.fullmatch(name)
    if coded is not None:
        return {int(coded[1] or coded[2], 16)}
    if name in ("dcroat", "dmacron", "Dcroat", "Dmacron"):
        return {ord("đ" if name[0] == "d" else "Đ")}
    built = _LETTER_NAME.fullmatch(name)
    if built is None:
        return {0x20AB} if name == "dong" else set()
    marks = "".join(_MARKS[mark] for mark in built.groups()[1:] if mark)
    return {ord(sign) for sign in unicodedata.normalize("NFC", built[1] + marks)}


def _map(data: bytes, length: int) -> Mapping[bytes, tuple[int, ...]]:
    """What a /ToUnicode CMap says of codes of so many bytes (PDF 32000-1, 9.10.3)."""
    found: dict[bytes, tuple[int, ...]] = {}
    for kind, body in _SECTION.findall(data):
        tokens = [
            _hex(text) if not opens + closes else opens + closes
            for text, opens, closes in _TOKEN.findall(body)
        ]
        place = 0
        while place + 1 < len(tokens):
            first = int.from_bytes(tokens[place], "big")
            if kind == b"bfchar":
                found[first.to_bytes(length, "big")] = _letters(tokens[place + 1])
                place += 2
                continue
            if place + 2 >= len(tokens):
                break
            last = min(int.from_bytes(tokens[place + 1], "big"), first + _MOST_CODES)
            place += 2
            if tokens[place] == b"[":
                end = tokens.index(b"]", place)
                targets = [_letters(target) for target in tokens[place + 1 : end]]
                place = end + 1
            else:
                start = _letters(tokens[place])
                targets = [(*start[:-1], start[-1] + i) for i in range(last - first + 1)] if start else []
                place += 1
            for i, target in enumerate(targets[: last - first + 1]):
                found[(first + i).to_bytes(length, "big")] = target
    return found


def _hex(text: bytes) -> bytes:
    digits = b"".join(text.split())
    return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())


def _letters(target: bytes) -> tuple[int, ...]:
    return tuple(map(ord, target.decode("utf-16-be", "replace")))
