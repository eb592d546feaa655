"""XML parsed into names and texts, without entities, document types or the network, and within bounds."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from lxml import etree

from pipeline.einvoice import canonical, signature
from pipeline.einvoice.anchors import Anchors
from pipeline.einvoice.tree import MOST_DEPTH
from pipeline.errors import Permanent, Reason
from pipeline.filetype import Kind, wide_coding
from pipeline.sandbox.drawer import SIGNATURE, PageLimits, mapped

MOST_BYTES = 32 * 2**20
MOST_ELEMENTS = 300_000  # 20,000 lines of an invoice
_SIGNED = "{http://www.w3.org/2000/09/xmldsig#}"  # of signatures: nothing in them is a field
# What .NET writes into a string and others then into a file of UTF-8.
_SAYS_WIDE = re.compile(rb"<\?xml[^>]{0,200}encoding\s*=\s*[\"']utf-?16", re.IGNORECASE)
_BOM = b"\xef\xbb\xbf"
# Before the root element, in any of which a document type may stand (XML 1.0, production 22).
_PROLOG = re.compile(rb"(?>\s+|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL)


class XmlFile:
    """An XML document."""

    def __init__(self, file: int, _kind: Kind, _limits: PageLimits) -> None:
        with mapped(file) as data:
            _bounded(len(data), MOST_BYTES, "bytes")
            self._root = _parsed(*_decoded(bytes(data)))

    def read(self, anchors: bytes) -> dict[str, Any]:
        """xml: the names, the texts (or null), and how many are within, of all elements and attributes, each
        before those within it; signature: of what its signatures are worth under these trust anchors.
        """
        told = _Told()
        told.tell(self._root, 1)
        found = signature.verdict(self._root, Anchors.unpacked(anchors))
        return {
            "xml": [told.names, told.texts, told.counts],
            "signature": [getattr(found, name) for name in SIGNATURE],
        }

    def close(self) -> None:
        pass


class _Told:
    """The tree as three lists: of an invoice's hundreds of elements each need not have a list of its own."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.texts: list[str | None] = []
        self.counts: list[int] = []
        self._left = MOST_ELEMENTS

    def tell(self, element: Any, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            _bounded(MOST_ELEMENTS + 1, MOST_ELEMENTS, "elements")
        _bounded(depth, MOST_DEPTH, "elements within each other")
        at = len(self.names)
        self._add(_local(element.tag), None)
        for name, value in element.items():
            self._add(f"@{_local(name)}", value)
            self.counts[at] += 1
        text, is_leaf = element.text, True
        if len(element):  # to begin to go through what is within costs as much as a leaf
            for child in element:
                tag = child.tag
                if not isinstance(tag, str):  # a comment or an instruction, which may stand within a text
                    text = f"{text or ''}{child.tail or ''}"
                    continue
                is_leaf = False
                if not tag.startswith(_SIGNED):
                    self.tell(child, depth + 1)
                    self.counts[at] += 1
        if is_leaf and text:
            self.texts[at] = text.strip() or None

    def _add(self, name: str, text: str | None) -> None:
        self.names.append(name)
        self.texts.append(text)
        self.counts.append(0)


def _decoded(data: bytes) -> tuple[bytes, str | None]:
    """The document as it can be parsed, and its encoding where its declaration need not say it.

    Programs copy a declaration (UTF-16 of a string in .NET, windows-1258) into files of UTF-8. Text in
    another coding is not UTF-8 by chance: there no letter of Vietnamese is followed by a sign.
    """
    coding = wide_coding(data)
    try:
        text = data if coding is None else data.decode(coding).encode()
    except ValueError as error:
        raise Permanent(Reason.xml_damaged, f"the XML cannot be parsed: {error.__class__.__name__}") from None
    text = text.removeprefix(_BOM).lstrip()
    return text, "utf-8" if coding or _SAYS_WIDE.match(text) or _is_utf8(text) else None


def _is_utf8(text: bytes) -> bool:
    """Whether there are letters beyond ASCII, all written in UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return not text.isascii()


def _parsed(text: bytes, encoding: str | None) -> Any:
    if _PROLOG.match(text):
        raise _unsafe()
    try:
        root = etree.fromstring(text, canonical.parser(encoding))
    except etree.XMLSyntaxError as error:
        raise Permanent(Reason.xml_damaged, f"the XML cannot be parsed: {error.msg}") from None
    about = root.getroottree().docinfo
    if about.internalDTD is not None or about.externalDTD is not None:  # in a coding unlike ASCII
        raise _unsafe()
    return root


def _unsafe() -> Permanent:
    message = "the XML has a document type (DOCTYPE), which no e-invoice has: it is not read"
    return Permanent(Reason.xml_unsafe, message)


@lru_cache(maxsize=1024)
def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _bounded(count: int, most: int, what: str) -> None:
    if count > most:
        raise Permanent(Reason.xml_too_large, f"the XML has more than {most:,} {what}", limit=most)
