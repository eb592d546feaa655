"""Pictures that come with an invoice's XML and are no documents: what its stylesheet shows, and logos."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

from pipeline.errors import Coded
from pipeline.filetype import promises_picture
from pipeline.records import DocumentRef
from pipeline.sources import refs

LARGEST = 4 * 2**20  # bytes of a stylesheet that is looked into; some hold their pictures themselves
_MOST = 20  # stylesheets of one archive
_STYLES = (".xsl", ".xslt", ".css")  # not .html: a page may well show a scan
_LOGO = re.compile(r"(?<![a-z])logo(?![a-z])", re.IGNORECASE)


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
    texts: list[bytes] = []
    for ref in given:
        if ref.uri.lower().endswith(_STYLES) and len(texts) < _MOST:
            try:
                texts.append(text_of(ref).lower())
            except Coded:
                continue
    for ref in given:
        why = _look(ref, texts)
        yield ref if why is None else refs.passed_over(ref.uri, why, ref.size)


def _look(ref: DocumentRef, texts: list[bytes]) -> str | None:
    name = ref.uri[len(refs.folder_of(ref.uri)) :]
    if ref.failure is not None or not promises_picture(name) or name.lower().endswith(".pdf"):
        return None
    if _LOGO.search(name.rpartition(".")[0]):
        return "a logo beside an XML"
    spellings = {name.lower().encode(), quote(name).lower().encode()}
    shown = any(_names(text, spelling) for text in texts for spelling in spellings)
    return "a picture that the stylesheet beside it shows" if shown else None


def _names(text: bytes, name: bytes) -> bool:
    """Whether a stylesheet names this file, and none whose name ends so: it stands behind a quote, a slash or
    a bracket, or a space as in `url( a.png )`."""
    return re.search(rb"[\"'/(\s>\\;]" + re.escape(name) + rb"[\"')\s<?#&]", text) is not None
