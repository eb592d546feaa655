"""Canonical XML of a part of a document, by examples worked out by hand."""

from __future__ import annotations

import pytest
from lxml import etree

from pipeline.einvoice.canonical import EXCLUSIVE, INCLUSIVE, Method, canonical, of_document

_SEAL = (
    b'<HDon><DSCKS><Signature xmlns="urn:s" Id="a"><Object Id="t"><Properties Id="p">'
    b'<Property Target="#a" Id="q">'
    b"<SigningTime>2026-01-02T03:04:05</SigningTime></Property></Properties></Object></Signature></DSCKS></HDon>"
)


@pytest.mark.parametrize("method", [INCLUSIVE, EXCLUSIVE])
def test_a_default_namespace_is_inherited_and_written_once(method: Method) -> None:
    """Canonicalised in place, lxml writes xmlns="" onto the inner elements."""
    part = etree.fromstring(_SEAL).find(".//{urn:s}Object")
    assert canonical(part, method) == (
        b'<Object xmlns="urn:s" Id="t"><Properties Id="p"><Property Id="q" Target="#a">'
        b"<SigningTime>2026-01-02T03:04:05</SigningTime></Property></Properties></Object>"
    )


def test_inclusive_takes_what_is_in_scope_and_exclusive_what_is_used() -> None:
    root = etree.fromstring(
        b'<a xmlns="urn:d" xmlns:p="urn:p" xmlns:q="urn:q" xml:lang="vi"><b p:x="1"><c xmlns=""/></b></a>'
    )
    assert canonical(root[0], INCLUSIVE) == (
        b'<b xmlns="urn:d" xmlns:p="urn:p" xmlns:q="urn:q" xml:lang="vi" p:x="1"><c xmlns=""></c></b>'
    )
    assert canonical(root[0], EXCLUSIVE) == b'<b xmlns="urn:d" xmlns:p="urn:p" p:x="1"><c xmlns=""></c></b>'
    assert canonical(root[0], EXCLUSIVE, ["q"]) == (
        b'<b xmlns="urn:d" xmlns:p="urn:p" xmlns:q="urn:q" p:x="1"><c xmlns=""></c></b>'
    )


def test_texts_keep_their_white_space_and_comments_go() -> None:
    root = etree.fromstring("<a><b z='2' a=\"1\"> Đỗ&#13;\n<!-- x --><![CDATA[<&>]]></b> tail</a>".encode())
    written = '<b a="1" z="2"> Đỗ&#xD;\n&lt;&amp;&gt;</b>'.encode()
    assert canonical(root[0], INCLUSIVE) == written
    with_comment = Method(exclusive=False, comments=True)
    assert canonical(root[0], with_comment) == written.replace(b"&lt;", b"<!-- x -->&lt;")


def test_a_whole_document_has_its_instructions() -> None:
    root = etree.fromstring(
        b'<?xml version="1.0"?><?xml-stylesheet href="x.xsl"?><!-- c --><a><b/></a><?end it?>'
    )
    assert of_document(root, INCLUSIVE) == b'<?xml-stylesheet href="x.xsl"?>\n<a><b></b></a>\n<?end it?>'
