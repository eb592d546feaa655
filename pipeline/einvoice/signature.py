"""Whether an e-invoice is what was signed, by whom and when: XML-DSig as Vietnamese issuers use it.

    verdict(xml, anchors) -> Signature

valid                every signature fits what it was made over, one of them was made over the data that is
                     read, and each signer's certificate was issued under a trust anchor and in force then
altered              a signed part, or the signature itself, is not what it was; or what is read is not what
                     was signed (a second element of the name or the Id)
expired_at_signing   unaltered, but the signer's certificate was not in force on the signing time
issuer_not_trusted   unaltered, but no chain leads from an anchor to the signer, or no anchors are given
other_signer         unaltered, but the certificate names another tax code than the seller's (or than that of
                     whom the seller entrusted with its invoices)
not_verifiable       signed in a way that is not verified here, and so not judged
unsigned             there is no signature over the data

What is read of an e-invoice is the first HDon of the file and its one DLHDon, so that is the element which a
reference must lead to.

signxml is not used: it validates a signature against the W3C's schema first, and refuses every real one whose
SigningTime has no namespace (Viettel, VNPAY and others write it so); its canonicalisation is lxml's, with the
fault that `canonical` describes. Its other checks are made here: one element for an Id, no key but that of
the certificate, no transform but enveloped-signature and canonicalisation, nothing outside the file.

Where a digest does not fit under the canonicalisation that is named, the exclusive one is tried: so an
element fits that was signed before it stood in its document. Both write the same elements, attributes and
texts, and differ in declarations of namespaces alone, so nothing that is read can hide in the difference.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID
from lxml import etree

from pipeline.einvoice import anchors as trust
from pipeline.einvoice import canonical
from pipeline.einvoice.anchors import Anchors, Certificate
from pipeline.einvoice.canonical import EXCLUSIVE, INCLUSIVE, METHODS, Method
from pipeline.records import Signature, SignatureVerdict

DSIG = "http://www.w3.org/2000/09/xmldsig#"
_DS = f"{{{DSIG}}}"
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

_MOST_SIGNATURES = 16
_MOST_REFERENCES = 16
_MOST_TRANSFORMS = 4
_MOST_CERTIFICATES = 10
_VIETNAM = timezone(timedelta(hours=7))
# Issuers write local time with and without a "Z": a certificate's dates are asked with that much leeway.
_LEEWAY = timedelta(hours=7)
_TAX_CODE = re.compile(r"MST\s*[:=]\s*([0-9]{10}(?:-?[0-9]{3})?|[0-9]{12})(?![0-9])")
_ROLES = {"NBan": "the seller", "NMua": "the buyer", "CQT": "the tax authority"}


class _Altered(Exception):
    """Not what was signed."""


class _NotVerifiable(Exception):
    """Signed in a way that is not known here."""


@dataclass(frozen=True, slots=True)
class _File:
    """The document, its elements by Id, and what was canonicalised: two signatures are made over the data."""

    root: etree._Element
    by_id: Mapping[str, Sequence[etree._Element]]
    written: dict[tuple[etree._Element, Method, tuple[str, ...]], bytes] = field(default_factory=dict)

    def canonical(self, element: etree._Element, method: Method, prefixes: Sequence[str]) -> bytes:
        key = element, method, tuple(prefixes)
        if key not in self.written:
            write = canonical.of_document if element is self.root else canonical.canonical
            self.written[key] = write(element, method, prefixes)
        return self.written[key]


@dataclass(frozen=True, slots=True)
class _Seal:
    """One signature that fits: who made it over what, and when."""

    who: str  # "the seller"
    over: tuple[etree._Element, ...]
    signer: Certificate
    between: tuple[Certificate, ...]
    at: datetime | None


def verdict(data: bytes, anchors: Anchors = trust.NONE, encoding: str | None = None) -> Signature:
    """Raises ValueError for bytes that are no well-formed XML.

    encoding   that of the bytes, whatever their declaration says
    """
    try:
        root = etree.fromstring(data, canonical.parser(encoding))
    except etree.XMLSyntaxError as error:
        raise ValueError(f"no well-formed XML: {error}") from None
    return of_tree(root, anchors)


def of_tree(root: etree._Element, anchors: Anchors = trust.NONE) -> Signature:
    """The verdict on a document that is parsed: comments and instructions and blank texts still in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of long names in certificates, which real ones have
        try:
            return _judged(root, anchors)
        except _Altered as error:
            return Signature("altered", str(error), anchored=bool(anchors))
        except (_NotVerifiable, UnsupportedAlgorithm, ValueError) as error:
            # ValueError: what the libraries say of certificates that are not as they should be.
            return Signature("not_verifiable", str(error), anchored=bool(anchors))


def _judged(root: etree._Element, anchors: Anchors) -> Signature:
    if root.getroottree().docinfo.internalDTD is not None:
        raise _NotVerifiable("the file declares a document type, which can change what is read")
    data = _read(root)
    signatures = list(root.iter(f"{_DS}Signature"))
    if not signatures:
        why = "the file has no electronic signature"
        if not (needed := not _from_till(data)):
            why += ", which an invoice from a cash register needs not"
        return Signature("unsigned", why, anchored=bool(anchors), needed=needed)
    if len(signatures) > _MOST_SIGNATURES:
        raise _NotVerifiable(f"the file has {len(signatures)} signatures; {_MOST_SIGNATURES} are verified")
    file = _File(root, _by_id(root))
    seals = [_seal(signature, file) for signature in signatures]
    _no_comments_within_texts(data)
    over_data = [seal for seal in seals if any(_within(data, element) for element in seal.over)]
    if not over_data:
        return _nothing_over_data(seals, anchors)
    main = min(over_data, key=lambda seal: seal.who != _ROLES["NBan"])
    return _trusted(main, seals, anchors, data)


def _read(root: etree._Element) -> etree._Element:
    """The element that an invoice's values are read from."""
    # As for who reads: nothing within a signature is data.
    invoice = next((one for one in root.iter("{*}HDon") if not _in_signature(one)), root)
    found = [child for child in invoice if _name(child) == "DLHDon"]
    if len(found) > 1:
        raise _Altered(f"the invoice has {len(found)} elements DLHDon: one was put beside what was signed")
    return found[0] if found else invoice


def _from_till(data: etree._Element) -> bool:
    """An invoice made by a cash register that is connected to the tax authority: C26MAA."""
    series = (data.findtext("{*}TTChung/{*}KHHDon") or "").strip()
    return series[3:4] == "M"


def _in_signature(element: etree._Element) -> bool:
    return any(_of_dsig(one) for one in (element, *element.iterancestors()))


def _of_dsig(element: etree._Element) -> bool:
    return isinstance(element.tag, str) and element.tag.startswith(_DS)


def _name(element: etree._Element) -> str:
    """The name without its namespace; "" of a comment or an instruction."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _by_id(root: etree._Element) -> Mapping[str, Sequence[etree._Element]]:
    found: dict[str, list[etree._Element]] = {}
    for value in _ATTRIBUTES(root):
        if value.attrname in _ID_NAMES and value.getparent() not in found.setdefault(str(value), []):
            found[str(value)].append(value.getparent())
    return found


def _within(element: etree._Element, other: etree._Element) -> bool:
    return element is other or any(ancestor is other for ancestor in element.iterancestors())


def _no_comments_within_texts(data: etree._Element) -> None:
    """Canonical XML leaves comments out: one within a text could cut it short for who reads it."""
    for comment in data.iter(etree.Comment):
        beside = (comment.getparent().text, comment.tail, *(child.tail for child in comment.getparent()))
        if any(text and text.strip() for text in beside):
            raise _Altered(f"a comment stands within the text of {_name(comment.getparent())}")


def _nothing_over_data(seals: Sequence[_Seal], anchors: Anchors) -> Signature:
    sellers = [seal for seal in seals if seal.who == _ROLES["NBan"]]
    if sellers:
        raise _Altered("the seller's signature was made over other data than those that are read")
    why = f"the invoice's data are signed by nobody; {_listed(seals)} signed other parts of the file"
    return Signature("unsigned", why, anchored=bool(anchors))


def _listed(seals: Sequence[_Seal]) -> str:
    return " and ".join(dict.fromkeys(seal.who for seal in seals))


def _remark(data: etree._Element, seals: Sequence[_Seal]) -> str:
    """What of the invoice is read and stands outside of what was signed."""
    codes = (
        [] if data.getparent() is None else [e for e in data.getparent() if _name(e) == "MCCQT" and e.text]
    )
    covered = all(any(_within(code, over) for seal in seals for over in seal.over) for code in codes)
    return "" if covered else "; the tax authority's code is signed by nobody"


def _trusted(main: _Seal, seals: Sequence[_Seal], anchors: Anchors, data: etree._Element) -> Signature:
    """The verdict on signatures that all fit. `main` is the one over the data."""
    name, tax_code = _identity(main.signer)
    result, why = _worst(main, seals, anchors, data)
    at = None if main.at is None else main.at.isoformat()
    return Signature(result, why + _remark(data, seals), name, tax_code, at, bool(anchors))


def _worst(
    main: _Seal, seals: Sequence[_Seal], anchors: Anchors, data: etree._Element
) -> tuple[SignatureVerdict, str]:
    for seal in seals:
        if not _in_force(seal):
            parsed = seal.signer.parsed
            first, last = parsed.not_valid_before_utc.date(), parsed.not_valid_after_utc.date()
            when = "" if seal.at is None else f" on {seal.at.date()}"
            why = f"the certificate of {seal.who} was not in force at the signing{when}"
            return "expired_at_signing", f"{why}, but from {first} to {last}"
    for seal in seals:
        if anchors and not trust.leads_to(seal.signer, seal.between, anchors, seal.at):
            issuer = _common_name(seal.signer.parsed.issuer)
            why = f"the certificate of {seal.who} was issued by {issuer}"
            return "issuer_not_trusted", f"{why}, to which none of the trust anchors leads"
    if other := _other(main, data):
        return "other_signer", other
    if not anchors:
        why = "nothing was altered since it was signed; who signed was not checked"
        return "issuer_not_trusted", f"{why}, because no trust anchors are given (setting trust_anchors)"
    return "valid", f"nothing was altered since {_listed(seals)} signed"


def _other(main: _Seal, data: etree._Element) -> str | None:
    """Who signed, where that is another than who may. A branch and its company are one."""
    name, code = _identity(main.signer)
    places = ("{*}NDHDon/{*}NBan/{*}MST", "{*}TTChung/{*}MSTDVNUNLHDon")
    may = [text for place in places if (text := (data.findtext(place) or "").strip())]
    if code is None or not may or code[:10] in [text[:10] for text in may]:
        return None
    return f"{name} signed, whose tax code is {code}; the seller's is {may[0][:20]}"


def _in_force(seal: _Seal) -> bool:
    parsed = seal.signer.parsed
    if seal.at is None:
        return True
    return parsed.not_valid_before_utc - _LEEWAY <= seal.at <= parsed.not_valid_after_utc + _LEEWAY


def _identity(signer: Certificate) -> tuple[str, str | None]:
    """Name and tax code of a certificate's subject; the code stands in its UID, or else in its name."""
    subject = signer.parsed.subject
    found = _TAX_CODE.search(" ".join(str(attribute.value) for attribute in subject))
    code = found[1] if found else None
    if code is not None and len(code) == 13:
        code = f"{code[:10]}-{code[10:]}"
    return _common_name(subject), code


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME) or list(name)
    return " ".join(str(found[0].value).split())[:200] if found else "nobody"


def _seal(signature: etree._Element, file: _File) -> _Seal:
    """Raises _Altered or _NotVerifiable."""
    who = _role(signature)
    info = _one(signature, "SignedInfo", who)
    references = info.findall(f"{_DS}Reference")
    if not 0 < len(references) <= _MOST_REFERENCES:
        raise _NotVerifiable(f"the signature of {who} has {len(references)} references")
    over = tuple(_referred(reference, signature, file, who) for reference in references)
    certificates = _certificates(signature, who)
    signer = _signed_by(info, signature, certificates, who)
    between = tuple(one for one in certificates if one is not signer)
    return _Seal(who, over, signer, between, _signing_time(signature, over))


def _role(signature: etree._Element) -> str:
    return _ROLES.get(_name(signature.getparent()) if signature.getparent() is not None else "", "a signer")


def _one(parent: etree._Element, tag: str, who: str) -> etree._Element:
    found = parent.findall(f"{_DS}{tag}")
    if len(found) != 1:
        raise _NotVerifiable(f"the signature of {who} has {len(found)} elements {tag}")
    return found[0]


def _algorithm(element: etree._Element | None, known: Mapping[str, object], who: str) -> str:
    name = "" if element is None else element.get("Algorithm", "")
    if name not in known:
        raise _NotVerifiable(
            f"the signature of {who} uses {name[:100] or 'no algorithm'}, which is not known"
        )
    return name


def _referred(reference: etree._Element, signature: etree._Element, file: _File, who: str) -> etree._Element:
    """The element that a reference leads to, if it is still what it was."""
    element = _target(reference.get("URI"), file, who)
    digest = _DIGESTS[_algorithm(reference.find(f"{_DS}DigestMethod"), _DIGESTS, who)]
    expected = _octets(reference.find(f"{_DS}DigestValue"), who)
    steps = _steps(reference, who)
    for methods in (steps.methods, [EXCLUSIVE]):
        octets = _transformed(element, signature, file, steps.enveloped, methods, steps.prefixes)
        if hashlib.new(digest, octets).digest() == expected:
            return element
    raise _Altered(f"{_called(element)} changed after {who} signed")


def _called(element: etree._Element) -> str:
    return "the invoice's data were" if _name(element) in ("DLHDon", "HDon") else f"{_name(element)} was"


def _target(uri: str | None, file: _File, who: str) -> etree._Element:
    if uri == "":
        return file.root
    if uri is None or not uri.startswith("#") or uri.startswith("#xpointer"):
        raise _NotVerifiable(
            f"the signature of {who} refers to {str(uri)[:100]}, and not to a part of the file"
        )
    found = file.by_id.get(uri[1:], [])
    if not found:
        raise _Altered(f"what {who} signed, {uri[:100]}, is not in the file")
    if len(found) > 1:
        raise _Altered(f"what {who} signed, {uri[:100]}, is {len(found)} times in the file")
    return found[0]


@dataclass(frozen=True, slots=True)
class _Steps:
    """A reference's transforms: canonicalisations one after the other, the signature taken out before."""

    enveloped: bool
    methods: list[Method]
    prefixes: list[str]


def _steps(reference: etree._Element, who: str) -> _Steps:
    transforms = reference.findall(f"{_DS}Transforms/{_DS}Transform")
    if len(transforms) > _MOST_TRANSFORMS:
        raise _NotVerifiable(f"the signature of {who} has {len(transforms)} transforms of one part")
    known = {_ENVELOPED, *METHODS}
    names = [_algorithm(transform, dict.fromkeys(known), who) for transform in transforms]
    methods = [METHODS[name] for name in names if name != _ENVELOPED]
    prefixes = [prefix for transform in transforms for prefix in _prefixes(transform)]
    if _ENVELOPED in names[1:]:
        raise _NotVerifiable(f"the signature of {who} takes itself out after another transform")
    return _Steps(_ENVELOPED in names, methods or [INCLUSIVE], prefixes)


def _prefixes(holder: etree._Element) -> list[str]:
    listed = holder.find(_PREFIX_LIST)
    return [] if listed is None else listed.get("PrefixList", "").split()


def _transformed(
    element: etree._Element,
    signature: etree._Element,
    file: _File,
    enveloped: bool,
    methods: Sequence[Method],
    prefixes: Sequence[str],
) -> bytes:
    first, *others = methods
    if enveloped and signature is not element and _within(signature, element):
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
        value = "a value" if element is None else _name(element)
        raise _Altered(f"the signature of {who} is damaged: {value} is not base64 as it is written")
    return octets


def _certificates(signature: etree._Element, who: str) -> tuple[Certificate, ...]:
    elements = signature.findall(f"{_DS}KeyInfo/{_DS}X509Data/{_DS}X509Certificate")
    if not elements:
        raise _NotVerifiable(f"the signature of {who} comes without a certificate")
    if len(elements) > _MOST_CERTIFICATES:
        raise _NotVerifiable(f"the signature of {who} comes with {len(elements)} certificates")
    try:
        return tuple(trust.certificate(_octets(element, who)) for element in elements)
    except ValueError as error:
        raise _NotVerifiable(f"the certificate of {who} cannot be read: {error}") from None


def _signed_by(
    info: etree._Element, signature: etree._Element, certificates: Sequence[Certificate], who: str
) -> Certificate:
    """The certificate whose key made the signature."""
    method = _algorithm(info.find(f"{_DS}CanonicalizationMethod"), METHODS, who)
    kind, digest = _SIGNING[_algorithm(info.find(f"{_DS}SignatureMethod"), _SIGNING, who)]
    value = _octets(signature.find(f"{_DS}SignatureValue"), who)
    prefixes = _prefixes(info.find(f"{_DS}CanonicalizationMethod"))
    for way in dict.fromkeys((METHODS[method], EXCLUSIVE)):
        octets = canonical.canonical(info, way, prefixes)
        for one in certificates:
            if _fits(one, kind, value, octets, _HASHES[digest]):
                return one
    raise _Altered(f"the signature of {who} is not that of its certificate: one of both was changed")


def _fits(
    certificate: Certificate, kind: str, value: bytes, octets: bytes, digest: hashes.HashAlgorithm
) -> bool:
    try:
        key = certificate.parsed.public_key()
    except ValueError as error:
        raise _NotVerifiable(f"the key of a certificate cannot be used: {error}") from None
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
    signed = [one for one in _moments(signature, "SigningTime") if any(_within(one[0], o) for o in over)]
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
