"""PDF pages drawn by PDFium with the system's faces in place of its own, for letters that its own lack.

PDFium keeps the faces that it has chosen, and all other pages are to look as they always have: so this is a
child of its own, and is asked for such pages only.
"""

from __future__ import annotations

import ctypes
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from pipeline.filetype import Kind
from pipeline.sandbox import faces
from pipeline.sandbox.drawer import PageLimits
from pipeline.sandbox.faces import Face
from pipeline.sandbox.letters import Drawable, in_builtin_faces
from pipeline.sandbox.pdfium import PdfiumPdf

_BOLD = 600  # weight from which a face is
_ANSI, _DEFAULT, _VIETNAMESE = 0, 1, 163  # character sets, of <fpdf_sysfontinfo.h>
_FIXED, _ROMAN = 1, 16  # of a pitch and family
_CALLBACKS: Any = dict(pdfium.FPDF_SYSFONTINFO._fields_)


class PdfiumWithFaces(PdfiumPdf):
    """As `PdfiumPdf`, but a font that is not embedded is drawn with a face of the system."""

    def __init__(self, file: int, kind: Kind, limits: PageLimits) -> None:
        _GIVER.install()
        super().__init__(file, kind, limits)

    def drawable(self, _page: pypdfium2.PdfPage) -> Drawable:
        """Says whether every face that was given so far has a character."""
        return _GIVER.has


class _Giver:
    """Answers PDFium's questions after fonts (<fpdf_sysfontinfo.h>). A face's handle is its number."""

    def __init__(self) -> None:
        self.given: list[Face] = []
        self._installed: pdfium.FPDF_SYSFONTINFO | None = None

    def install(self) -> None:
        """For this process, once and for good."""
        if self._installed is None:
            asked = {
                "Release": lambda _: None,
                "EnumFonts": lambda *_: None,
                "MapFont": self._map,
                "GetFont": lambda *_: None,
                "GetFontData": self._data,
                "GetFaceName": self._name,
                "GetFontCharset": lambda *_: _DEFAULT,
                "DeleteFont": lambda *_: None,
            }
            callbacks = {name: _CALLBACKS[name](answer) for name, answer in asked.items()}
            self._installed = pdfium.FPDF_SYSFONTINFO(version=1, **callbacks)
            pdfium.FPDF_SetSystemFontInfo(self._installed)

    def has(self, font: str, character: int) -> bool:
        """Whether every face that was given so far has a character."""
        if not self.given:
            return in_builtin_faces(font, character)
        return all(character in face.characters for face in self.given)

    def _map(
        self, _: Any, weight: int, italic: int, charset: int, pitch: int, name: Any, __: Any
    ) -> int | None:
        if charset not in (_ANSI, _DEFAULT, _VIETNAMESE):  # symbols and the scripts of East Asia
            return None
        called = (ctypes.cast(name, ctypes.c_char_p).value or b"").lower()
        serif = pitch & _ROMAN or b"times" in called or b"serif" in called.replace(b"sans", b"")
        style: faces.Style = (
            "mono" if pitch & _FIXED or b"courier" in called else "serif" if serif else "sans"
        )
        face = faces.choose(style, bold=weight >= _BOLD, slanted=bool(italic))
        if face is None:
            return None
        if face not in self.given:
            self.given.append(face)
        return self.given.index(face) + 1

    def _data(self, _: Any, handle: int, tag: int, buffer: Any, room: int) -> int:
        data = self.given[handle - 1].data
        if tag:
            offset, length = faces.table(data, tag.to_bytes(4, "big"))
            data = data[offset : offset + length]
        return _put(data, buffer, room)

    def _name(self, _: Any, handle: int, buffer: Any, room: int) -> int:
        return _put(self.given[handle - 1].name.encode() + b"\0", buffer, room)


def _put(data: bytes, buffer: Any, room: int) -> int:
    if data and buffer and room >= len(data):
        ctypes.memmove(buffer, data, len(data))
    return len(data)


_GIVER = _Giver()
