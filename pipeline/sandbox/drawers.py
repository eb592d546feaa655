"""The registry of the ways to draw pages. A new one is a class after `Drawer` and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.filetype import Kind
from pipeline.sandbox.confine import PROGRAMS
from pipeline.sandbox.seccomp import Role


@dataclass(frozen=True, slots=True)
class DrawerEntry:
    """`drawer` is a class in `module` of this package; it is called with (file descriptor, kind, limits).

    kinds     the files that it can open
    codes     its child also searches pages for QR codes
    looks     its child also says what is on a page, without drawing it, for renderers that do not, and what
              files the document holds
    words     its child also gives a page's text
    reads     its documents are no pictures: they are read when they are opened, and not drawn
    opinion   it is asked when another fails or shows nothing
    role      what its child may do once it is confined
    programs  that must be installed
    documents that a child opens before a fresh one takes its place: what a library leaks ends with it
    """

    module: str
    drawer: str
    kinds: tuple[Kind, ...]
    codes: bool = True
    looks: bool = False
    words: bool = False
    reads: bool = False
    opinion: bool = True
    role: Role = "decoder"
    programs: tuple[str, ...] = ()
    documents: int = 500


# In the order in which they are asked, after the one that the settings name.
DRAWERS: Mapping[str, DrawerEntry] = {
    "pdfium": DrawerEntry("pdfium", "PdfiumPdf", ("pdf",), looks=True, words=True),
    "pdfium-faces": DrawerEntry("pdfium_faces", "PdfiumWithFaces", ("pdf",), words=True, opinion=False),
    "poppler": DrawerEntry(
        "poppler", "PopplerPdf", ("pdf",), codes=False, role="supervisor", programs=PROGRAMS
    ),
    "pillow": DrawerEntry(
        "images", "Picture", ("png", "jpeg", "webp", "tiff", "heic", "avif", "gif", "bmp", "jp2")
    ),
    # To start a child takes as long as a hundred of its documents.
    "lxml": DrawerEntry("xmlfile", "XmlFile", ("xml",), codes=False, reads=True, documents=5000),
}
