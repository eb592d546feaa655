"""Canonical XML of an element as it stands in its document: what signatures are made over.

lxml canonicalises an element by pretending that it is the root of its document, and with inclusive
canonicalisation then writes `xmlns=""` onto elements that inherit a default namespace (seen with lxml 6.1.3
on the Object of a real signature). So the element is written out with the namespaces that are in scope,
parsed again as a document of its own, and that is canonicalised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

_XML = "{http://www.w3.org/XML/1998/namespace}"


@dataclass(frozen=True, slots=True)
class Method:
    exclusive: bool
    comments: bool = False


INCLUSIVE, EXCLUSIVE = Method(exclusive=False), Method(exclusive=True)
METHODS: Mapping[str, Method] = {
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315": INCLUSIVE,
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments": Method(False, comments=True),
    # 1.1 differs from 1.0 in the inheritance of xml:id and xml:base alone, which no invoice has.
    "http://www.w3.org/2006/12/xml-c14n11": INCLUSIVE,
    "http://www.w3.org/2006/12/xml-c14n11#WithComments": Method(False, comments=True),
    "http://www.w3.org/2001/10/xml-exc-c14n#": EXCLUSIVE,
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments": Method(True, comments=True),
}


def parser(encoding: str | None = None) -> etree.XMLParser:
    """No entities, no network, no DTD, and libxml2's own bounds on depth and on the length of texts.

    Comments and instructions stay: signatures are made over them.

    encoding   that of the bytes, whatever their declaration says
    """
    return etree.XMLParser(
        encoding=encoding,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        collect_ids=False,
    )


def alone(element: etree._Element, *, inherit: bool = True) -> etree._Element:
    """A copy of the element as the root of a document of its own, with the namespaces in scope.

    inherit   also the xml: attributes of its ancestors, as inclusive canonicalisation wants them
    """
    copy = etree.fromstring(etree.tostring(element, encoding="UTF-8", with_tail=False), parser())
    for ancestor in element.iterancestors() if inherit else ():
        for name, value in ancestor.attrib.items():
            if name.startswith(_XML) and name not in copy.attrib:
                copy.set(name, value)
    return copy


def canonical(element: etree._Element, method: Method, prefixes: Sequence[str] = ()) -> bytes:
    """The element's canonical octets. `prefixes`: of an exclusive method's InclusiveNamespaces."""
    return of_root(alone(element, inherit=not method.exclusive), method, prefixes)


def of_root(root: etree._Element, method: Method, prefixes: Sequence[str] = ()) -> bytes:
    """Those of an element that is the root of its document."""
    octets: bytes = etree.tostring(
        root.getroottree(),
        method="c14n",
        exclusive=method.exclusive,
        with_comments=method.comments,
        inclusive_ns_prefixes=list(prefixes) or None,
    )
    return octets


def of_document(root: etree._Element, method: Method, prefixes: Sequence[str] = ()) -> bytes:
    """Those of the whole document: with the instructions (and comments) before and behind its root."""
    return within_document(root, of_root(alone(root), method, prefixes), method)


def within_document(root: etree._Element, octets: bytes, method: Method) -> bytes:
    """The octets of a document's root between those of what stands outside of it."""
    before = [_outside(node, method) for node in root.itersiblings(preceding=True)]
    behind = [_outside(node, method) for node in root.itersiblings()]
    return b"".join(
        (
            *(text + b"\n" for text in reversed(before) if text),
            octets,
            *(b"\n" + text for text in behind if text),
        )
    )


def _outside(node: etree._Element, method: Method) -> bytes:
    if node.tag is etree.Comment and not method.comments:
        return b""
    text: bytes = etree.tostring(node, encoding="UTF-8", with_tail=False)
    return text
