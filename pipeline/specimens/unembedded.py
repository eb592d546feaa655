"""A PDF whose fonts are not in it, as many issuers make them: it names Arial or Times, and hopes."""

from __future__ import annotations

import io
import re

import pikepdf

_PAIR = re.compile(rb"<([0-9A-Fa-f]{2})>\s*<([0-9A-Fa-f]{4})>")


def without_fonts(data: bytes, *, unicode: bool = True) -> bytes:
    """A PDF of ours (`files`, the form "pdf") without its embedded fonts: letters are told of by glyph name.

    unicode   with the fonts' mapping to Unicode, from which text can be copied
    """
    with pikepdf.open(io.BytesIO(data)) as pdf:
        fonts = [thing for thing in pdf.objects if isinstance(thing, pikepdf.Dictionary) and _embedded(thing)]
        for font in fonts:
            _take_out(font, unicode)
        out = io.BytesIO()
        pdf.save(out, deterministic_id=True)
    return out.getvalue()


def _embedded(thing: pikepdf.Dictionary) -> bool:
    return thing.get("/Subtype") == "/TrueType" and "/FontFile2" in thing.get("/FontDescriptor", {})


def _take_out(font: pikepdf.Dictionary, unicode: bool) -> None:
    codes = _PAIR.findall(font.ToUnicode.read_bytes())
    differences: list[int | pikepdf.Name] = []
    for code, letter in codes:
        differences += [int(code, 16), pikepdf.Name(f"/uni{letter.decode().upper()}")]
    font.Encoding = pikepdf.Dictionary(
        Type=pikepdf.Name.Encoding,
        BaseEncoding=pikepdf.Name.WinAnsiEncoding,
        Differences=pikepdf.Array(differences),
    )
    font.BaseFont = font.FontDescriptor.FontName = pikepdf.Name(_known_as(str(font.BaseFont)))
    del font.FontDescriptor["/FontFile2"]
    font.FontDescriptor.Flags = 32  # nonsymbolic: letters go by their names
    if not unicode:
        del font["/ToUnicode"]


def _known_as(name: str) -> str:
    """The face of Windows that stands nearest."""
    bold = "Bold" in name
    if "Serif" in name:
        return "/TimesNewRomanPS-BoldMT" if bold else "/TimesNewRomanPSMT"
    return "/Arial-BoldMT" if bold else "/ArialMT"
