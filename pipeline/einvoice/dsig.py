"""One signature of a file, verified as XML-DSig: what it was made over is as it was, and whose key made it.

What is not known here is refused, and what was changed is told by another exception: `signature` makes a
verdict of both. Why no library does this, and where it differs from the W3C's letter, is said there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from lxml import etree

from pipeline.einvoice import anchors as trust
from pipeline.einvoice import canonical
from pipeline.einvoice.anchors import Certificate
from pipeline.einvoice.canonical import EXCLUSIVE, INCLUSIVE, METHODS, Method

DSIG = "http://www.w3.org/2000/09/xmldsig#"
DS = f"{{{DSIG}}}"
_ENVELOPED = f"{DSIG}enveloped-signature"
_PREFIX_LIST = "{http://www.w3.org/2001/10/xml-exc-c14n#}InclusiveNamespaces"
_ATTRIBUTES = etree.XPath("//@*")  # an invoice has few
_ID_NAMES = ("Id", "ID", "id", "{http://www.w3.org/XML/1998/namespace}id")

_DIGESTS = {
    f"{DSIG}sha1": "sha1",
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()
}  # fmt: skip
_SIGNING = {
    f"{DSIG}rsa-sha1": ("rsa", "sha1"),
    **{
        f"http://www.w3.org/2001/04/xmldsig-more#{kind}-{name}": (kind, name)
        for kind in ("rsa", "ecdsa")
        for name in ("sha256", "sha384", "sha512")
    },
}

_MOST_REFERENCES = 16
_MOST_TRANSFORMS = 4
_MOST_CERTIFICATES = 10
_VIETNAM = timezone(timedelta(hours=7))
ROLES = {"NBan": "the seller", "NMua": "the buyer", "CQT": "the tax authority"}


class Altered(Exception):
    """Not what was signed."""


class NotVerifiable(Exception):
    """Signed in a way that is not known here."""


@dataclass(frozen=True, slots=True)
class File:
    """The document, its elements by Id, and what was canonicalised: two signatures are made over the data."""

    root: etree._Element
    by_id: Mapping[str, Sequence[etree._Element]]
    written: dict[tuple[etree._Element, Method, tuple[str, ...]], bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, root: etree._Element) -> File:
        found: dict[str, list[etree._Element]] = {}
        for value in _ATTRIBUTES(root):
            if value.attrname in _ID_NAMES and value.getparent() not in found.setdefault(str(value), []):
                found[str(value)].append(value.getparent())
        return cls(root, found)

    def canonical(self, element: etree._Element, method: Method, prefixes: Sequence[str]) -> bytes:
        key = element, method, tuple(prefixes)
        if key not in self.written:
            write = canonical.of_document if element is self.root else canonical.canonical
            self.written[key] = write(element, method, prefixes)
        return self.written[key]


@dataclass(frozen=True, slots=True)
class Seal:
    """One signature that fits: who made it over what, and when."""

    who: str  # "the seller"
    over: tuple[etree._Element, ...]
    signer: Certificate
    between: tuple[Certificate, ...]
    at: datetime | None


def name(element: etree._Element) -> str:
    """The name without its namespace; "" of a comment or an instruction."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def within(element: etree._Element, other: etree._Element) -> bool:
    return element is other or any(ancestor is other for ancestor in element.iterancestors())


def seal(signature: etree._Element, file: File) -> Seal:
    """Raises Altered or NotVerifiable."""
    who = _role(signature)
    info = _one(signature, "SignedInfo", who)
    references = info.findall(f"{DS}Reference")
    if not 0 < len(references) <= _MOST_REFERENCES:
        raise NotVerifiable(f"the signature of {who} has {len(references)} references")
    over = tuple(_referred(reference, signature, file, who) for reference in references)
    certificates = _certificates(signature, who)
    signer = _signed_by(info, signature, certificates, who)
    between = tuple(one for one in certificates if one is not signer)
    return Seal(who, over, signer, between, _signing_time(signature, over))


def _role(signature: etree._Element) -> str:
    return ROLES.get(name(signature.getparent()) if signature.getparent() is not None else "", "a signer")


def _one(parent: etree._Element, tag: str, who: str) -> etree._Element:
    found = parent.findall(f"{DS}{tag}")
    if len(found) != 1:
        raise NotVerifiable(f"the signature of {who} has {len(found)} elements {tag}")
    return found[0]


def _algorithm(element: etree._Element | None, known: Mapping[str, object], who: str) -> str:
    name = "" if element is None else element.get("Algorithm", "")
    if name not in known:
        raise NotVerifiable(f"the signature of {who} uses {name[:100] or 'no algorithm'}, which is not known")
    return name


def _referred(reference: etree._Element, signature: etree._Element, file: File, who: str) -> etree._Element:
    """The element that a reference leads to, if it is still what it was."""
    element = _target(reference.get("URI"), file, who)
    digest = _DIGESTS[_algorithm(reference.find(f"{DS}DigestMethod"), _DIGESTS, who)]
    expected = _octets(reference.find(f"{DS}DigestValue"), who)
    steps = _steps(reference, who)
    for methods in (steps.methods, [EXCLUSIVE]):
        octets = _transformed(element, signature, file, steps.enveloped, methods, steps.prefixes)
        if hashlib.new(digest, octets).digest() == expected:
            return element
    raise Altered(f"{_called(element)} changed after {who} signed")


def _called(element: etree._Element) -> str:
    return "the invoice's data were" if name(element) in ("DLHDon", "HDon") else f"{name(element)} was"


def _target(uri: str | None, file: File, who: str) -> etree._Element:
    if uri == "":
        return file.root
    if uri is None or not uri.startswith("#") or uri.startswith("#xpointer"):
        raise NotVerifiable(
            f"the signature of {who} refers to {str(uri)[:100]}, and not to a part of the file"
        )
    found = file.by_id.get(uri[1:], [])
    if not found:
        raise Altered(f"what {who} signed, {uri[:100]}, is not in the file")
    if len(found) > 1:
        raise Altered(f"what {who} signed, {uri[:100]}, is {len(found)} times in the file")
    return found[0]


@dataclass(frozen=True, slots=True)
class _Steps:
    """A reference's transforms: canonicalisations one after the other, the signature taken out before."""

    enveloped: bool
    methods: list[Method]
    prefixes: list[str]


def _steps(reference: etree._Element, who: str) -> _Steps:
    transforms = reference.findall(f"{DS}Transforms/{DS}Transform")
    if len(transforms) > _MOST_TRANSFORMS:
        raise NotVerifiable(f"the signature of {who} has {len(transforms)} transforms of one part")
    known = {_ENVELOPED, *METHODS}
    names = [_algorithm(transform, dict.fromkeys(known), who) for transform in transforms]
    methods = [METHODS[name] for name in names if name != _ENVELOPED]
    prefixes = [prefix for transform in transforms for prefix in _prefixes(transform)]
    if _ENVELOPED in names[1:]:
        raise NotVerifiable(f"the signature of {who} takes itself out after another transform")
    return _Steps(_ENVELOPED in names, methods or [INCLUSIVE], prefixes)


def _prefixes(holder: etree._Element) -> list[str]:
    listed = holder.find(_PREFIX_LIST)
    return [] if listed is None else listed.get("PrefixList", "").split()


def _transformed(
    element: etree._Element,
    signature: etree._Element,
    file: File,
    enveloped: bool,
    methods: Sequence[Method],
    prefixes: Sequence[str],
) -> bytes:
    first, *others = methods
    if enveloped and signature is not element and within(signature, element):
        octets = _without(element, signature, first, prefixes)
        if element is file.root:
            octets = canonical.within_document(element, octets, first)
    else:
        octets = file.canonical(element, first, prefixes)
    for method in others:
        octets = canonical.of_root(etree.fromstring(octets, canonical.parser()), method, prefixes)
    return octets


def _without(
    element: etree._Element, signature: etree._Element, method: Method, prefixes: Sequence[str]
) -> bytes:
    """The element's canonical octets without a signature that is in it."""
    way = []
    inner = signature
    while inner is not element:
        outer = inner.getparent()
        way.append(outer.index(inner))
        inner = outer
    copy = canonical.alone(element, inherit=not method.exclusive)
    taken = copy
    for index in reversed(way):
        taken = taken[index]
    before, parent = taken.getprevious(), taken.getparent()
    if before is not None:
        before.tail = (before.tail or "") + (taken.tail or "") or None
    else:
        parent.text = (parent.text or "") + (taken.tail or "") or None
    parent.remove(taken)
    return canonical.of_root(copy, method, prefixes)


def _octets(element: etree._Element | None, who: str) -> bytes:
    """What stands there as base64, and only as an encoder writes it: no byte of it is without a meaning."""
    text = "" if element is None or len(element) else "".join((element.text or "").split())
    try:
        octets = base64.b64decode(text, validate=True)
    except binascii.Error:
        octets = b""
    if not octets or base64.b64encode(octets).decode() != text:
        value = "a value" if element is None else name(element)
        raise Altered(f"the signature of {who} is damaged: {value} is not base64 as it is written")
    return octets


def _certificates(signature: etree._Element, who: str) -> tuple[Certificate, ...]:
    elements = signature.findall(f"{DS}KeyInfo/{DS}X509Data/{DS}X509Certificate")
    if not elements:
        raise NotVerifiable(f"the signature of {who} comes without a certificate")
    if len(elements) > _MOST_CERTIFICATES:
        raise NotVerifiable(f"the signature of {who} comes with {len(elements)} certificates")
    try:
        return tuple(trust.certificate(_octets(element, who)) for element in elements)
    except ValueError as error:
        raise NotVerifiable(f"the certificate of {who} cannot be read: {error}") from None


def _signed_by(
    info: etree._Element, signature: etree._Element, certificates: Sequence[Certificate], who: str
) -> Certificate:
    """The certificate whose key made the signature."""
    method = _algorithm(info.find(f"{DS}CanonicalizationMethod"), METHODS, who)
    kind, digest = _SIGNING[_algorithm(info.find(f"{DS}SignatureMethod"), _SIGNING, who)]
    value = _octets(signature.find(f"{DS}SignatureValue"), who)
    prefixes = _prefixes(info.find(f"{DS}CanonicalizationMethod"))
    for way in dict.fromkeys((METHODS[method], EXCLUSIVE)):
        octets = canonical.canonical(info, way, prefixes)
        for one in certificates:
            if _fits(one, kind, value, octets, _HASHES[digest]):
                return one
    raise Altered(f"the signature of {who} is not that of its certificate: one of both was changed")


def _fits(
    certificate: Certificate, kind: str, value: bytes, octets: bytes, digest: hashes.HashAlgorithm
) -> bool:
    try:
        key = certificate.parsed.public_key()
    except ValueError as error:
        raise NotVerifiable(f"the key of a certificate cannot be used: {error}") from None
    try:
        if isinstance(key, rsa.RSAPublicKey) and kind == "rsa":
            key.verify(value, octets, padding.PKCS1v15(), digest)
        elif isinstance(key, ec.EllipticCurvePublicKey) and kind == "ecdsa":
            half = len(value) // 2  # XML-DSig writes r and s one after the other
            pair = int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big")
            key.verify(encode_dss_signature(*pair), octets, ec.ECDSA(digest))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _signing_time(signature: etree._Element, over: Sequence[etree._Element]) -> datetime | None:
    """That of the signature, where a reference covers it; else the day of the invoice that was signed."""
    signed = [one for one in _moments(signature, "SigningTime") if any(within(one[0], o) for o in over)]
    dated = [one for element in over for one in _moments(element, "NLap")]
    for _, moment in (*signed, *dated):
        return moment
    return None


def _moments(element: etree._Element, name: str) -> Iterator[tuple[etree._Element, datetime]]:
    for found in element.iter(f"{{*}}{name}"):
        try:
            moment = datetime.fromisoformat((found.text or "").strip())
        except ValueError:
            continue
        yield found, moment if moment.tzinfo else moment.replace(tzinfo=_VIETNAM)
