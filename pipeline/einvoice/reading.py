"""A schema's fields out of an XML document, exactly: what the XML does not say is absent, and surely so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.einvoice.lexical import exact
from pipeline.einvoice.tree import Children, Element
from pipeline.errors import Permanent, Reason
from pipeline.flags import FlagCode
from pipeline.records import Field, Flag, PageRecord, Signature
from schemas import in_xml
from schemas.in_xml import NOTE, ROOT, InXml, Part, Step
from schemas.shape import Group, Leaf, Node, Repeated

if TYPE_CHECKING:
    from schemas.registry import SchemaSpec

PAGE = 1  # an XML document has one
_VERSIONS = ("2.0.0", "2.0.1", "2.1.0")  # of the tax authority's layout of an e-invoice
_VERSION, _NUMBER = in_xml.steps("DLHDon/TTChung/PBan"), in_xml.steps("DLHDon/TTChung/SHDon")
_MOST_NAMED = 5  # documents of one file that are named in its flag


def page_record(root: Element, spec: SchemaSpec, signature: Signature | None = None) -> PageRecord:
    """What the document says, every field of the schema with the source "xml".

    Of what is no e-invoice, and need not be signed, a `signature` is kept only where there is one.

    Of a file that holds several documents the first is read, and a flag says so: they are never mixed.
    Raises Permanent: schema_without_xml where the schema does not say where its fields stand, xml_other where
    the file is no such document.
    """
    if not is_in_xml(spec.shape):
        message = f"this is XML, and {spec.name}@{spec.version} does not say where its fields stand in XML"
        raise Permanent(Reason.schema_without_xml, message)
    documents = tuple(root.outermost(spec.shape.xml_root))
    if not documents:
        kind = "no e-invoice" if spec.shape.xml_root == ROOT else "not what the schema reads"
        message = f"the XML is {kind}: it is <{root.name[:80]}> and has no <{spec.shape.xml_root}>"
        raise Permanent(Reason.xml_other, message)
    found = _Found(root.above(documents[0]) if len(documents) == 1 else ())
    found.group(spec.shape, Children(documents[0]), "")
    flags = (*_several(documents), *_version(documents[0]), *found.flags)
    if signature and signature.verdict == "unsigned" and spec.shape.xml_root != ROOT:
        signature = None
    fields = tuple(found.fields)
    return PageRecord(PAGE, fields, flags=flags, signature=signature, normal_by=spec.page_hash)


def is_in_xml(node: Node) -> bool:
    """Whether the schema says of any field where it stands in XML."""
    if isinstance(node, Group):
        return any(map(is_in_xml, node.fields))
    return node.xml is not None


def _several(documents: tuple[Element, ...]) -> Iterator[Flag]:
    if len(documents) > 1:
        numbers = [next((e.text for e in one.find(_NUMBER) if e.text), "?") for one in documents]
        named = ", ".join(number[:20] for number in numbers[:_MOST_NAMED])
        more = ", …" if len(numbers) > _MOST_NAMED else ""
        message = f"the file holds {len(documents)} documents ({named}{more}); the first one alone is read"
        yield Flag(FlagCode.several_documents, message)


def _version(document: Element) -> Iterator[Flag]:
    versions = [element.text for element in document.find(_VERSION) if element.text]
    if document.name == ROOT and versions and versions[0] not in _VERSIONS:
        known = ", ".join(_VERSIONS)
        message = f"the e-invoice is of version {versions[0][:20]}; known are {known}"
        yield Flag(FlagCode.version_unknown, message)


class _Found:
    """Walks the schema along the tree; `fields` are those found, and `flags` says what was odd."""

    def __init__(self, envelopes: Sequence[Element]) -> None:
        self._envelopes = envelopes[::-1]  # the nearest first
        self.fields: list[Field] = []
        self.flags: list[Flag] = []

    def group(self, group: Group, among: Children | None, prefix: str) -> None:
        """`among`: what the element has that the group stands at; None: there is no such element."""
        for node in group.fields:
            path = f"{prefix}{node.name}"
            if isinstance(node, Leaf):
                self._add(node, self._text(node.xml, among, path), path)
            elif isinstance(node, Group):
                self.group(node, among if node.xml is None else self._first(node.xml, among), f"{path}.")
            else:
                self._list(node, among, path)

    def _first(self, place: InXml, among: Children | None) -> Children | None:
        found = self._elements(place, among)
        return Children(found[0]) if found else None

    def _list(self, node: Repeated, among: Children | None, path: str) -> None:
        """A list has a field of its own, whose value is the number of its items."""
        items = () if node.xml is None else self._elements(node.xml, among)
        if isinstance(node.item, Leaf):
            items = [item for item in items if item.text is not None]
        self.fields.append(Field(path, None, len(items), 1.0, "xml", PAGE))
        for number, item in enumerate(items):
            if isinstance(node.item, Group):
                self.group(node.item, Children(item), f"{path}[{number}].")
            else:
                self._add(node.item, item.text, f"{path}[{number}]")

    def _text(self, place: InXml | None, among: Children | None, path: str) -> str | None:
        """What stands at the place of a leaf."""
        if place is None or not (found := self._elements(place, among) or self._around(place)):
            return None
        if place.parts:
            return _together(found[0], place)
        if len(found) == 1:
            return found[0].text
        texts = [element.text for element in found if element.text is not None]
        if place.sole and len(texts) > 1:
            return None
        if len(set(texts)) > 1:
            message = f"{path}: the XML has it {len(texts)} times, and not always alike; the first is kept"
            self.flags.append(Flag(FlagCode.several_values, message))
        return texts[0] if texts else None

    def _elements(self, place: InXml, among: Children | None) -> Sequence[Element]:
        """Those at the first of the paths that leads to any with something in them."""
        if among is None:
            return ()
        for path in place.paths:
            found = among.find(_steps(path))
            if found and (full := [one for one in found if one.says]):
                return full
        return ()

    def _around(self, place: InXml) -> Sequence[Element]:
        if not place.around:
            return ()
        paths = [_steps(path) for path in place.around]
        found = [one for outer in self._envelopes for path in paths for one in outer.find(path)]
        return [one for one in found if one.text is not None]

    def _add(self, leaf: Leaf, raw: str | None, path: str) -> None:
        value, problem = (None, None) if raw is None else exact(leaf, raw)
        if problem is not None and raw is not None and not any(map(str.isalnum, raw)):
            raw = problem = None  # a dash or a full stop, where the issuer has nothing to write
        self.fields.append(Field(path, raw, value, 1.0, "xml", PAGE, None, problem))


def _together(whole: Element, place: InXml) -> str | None:
    """The parts that are there, each behind its words, then free words; or these, if they name the same."""
    there = [(part, text) for part in place.parts if (text := _text(whole, part.path)) is not None]
    free = _text(whole, place.free) if place.free else None
    if free is not None and all(text in free for part, text in there if part.names):
        return free
    told = " ".join(filter(None, (_said(part, text) for part, text in there)))
    return NOTE.join(filter(None, (told, free))) or None


def _said(part: Part, text: str) -> str:
    return f"{part.before} {(part.words or {}).get(text, text)}".strip()


def _text(element: Element, path: str) -> str | None:
    return next((found.text for found in element.find(_steps(path)) if found.text is not None), None)


@lru_cache(maxsize=4096)
def _steps(path: str) -> tuple[Step, ...]:
    return in_xml.steps(path)
