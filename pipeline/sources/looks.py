"""Pictures that come with an invoice's XML and are no documents: its stylesheet's, logos and backgrounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from urllib.parse import unquote

from pipeline.errors import Coded
from pipeline.filetype import promises_picture
from pipeline.records import DocumentRef
from pipeline.sources import refs

LARGEST = 4 * 2**20  # bytes of a stylesheet that is looked into; some hold their pictures themselves
_MOST = 20  # stylesheets of one archive
_STYLES = (".xsl", ".xslt", ".css")  # not .html: a page may well show a scan
# A name behind a quote, a bracket or a slash, up to what ends it: `src="img/a.png"`, `url( a.png )`.
_NAMED = re.compile(rb"[\"'(/\\]([^\"'()/\\<>]{1,200}\.[a-z0-9]{3,4})(?=[\"')\s<?#&])", re.IGNORECASE)
_LOGO = re.compile(r"(?<![a-z])logo(?![a-z])")
# Viettel's archives bring a wartermark.png, which their stylesheet spells otherwise; those of the tax
# authority's portal the page's background and the stamp of a signature that was checked, which .html shows.
_BACKGROUNDS = re.compile(r"(?<![a-z])(?:war?termark|viewinvoice-bg|sign-check)(?![a-z])")


def passed_over(
    members: Iterable[DocumentRef], text_of: Callable[[DocumentRef], bytes]
) -> Iterator[DocumentRef]:
    """The members of an archive; if there is an XML among them, pictures of its looks as passed over.

    A stylesheet is for all documents of its kind, so a picture that it names is none of them. `text_of` gives
    a stylesheet's bytes, or raises Coded: it then names nothing.
    """
    given = list(members)
    if not any(ref.uri.lower().endswith(".xml") for ref in given):
        yield from given
        return
    styles = [ref for ref in given if ref.uri.lower().endswith(_STYLES)]
    shown = {name for style in styles[:_MOST] for name in _named(style, text_of)}
    for ref in given:
        why = _look(ref, shown)
        yield ref if why is None else refs.passed_over(ref.uri, why, ref.size)


def _named(style: DocumentRef, text_of: Callable[[DocumentRef], bytes]) -> Iterator[str]:
    """The names of files in a stylesheet, in small letters, without their folders."""
    try:
        text = text_of(style)
    except Coded:
        return
    for found in _NAMED.finditer(text):
        yield unquote(found[1].decode(errors="replace")).strip().lower()


def _look(ref: DocumentRef, shown: Collection[str]) -> str | None:
    name = ref.uri[len(refs.folder_of(ref.uri)) :].lower()
    if ref.failure is not None or not promises_picture(name) or name.endswith(".pdf"):
        return None
    stem = name.rpartition(".")[0]
    if _LOGO.search(stem):
        return "a logo beside an XML"
    if _BACKGROUNDS.search(stem):
        return "a background or a stamp beside an XML"
    return "a picture that the stylesheet beside it shows" if name in shown else None
