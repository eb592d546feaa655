"""A test authority that signs specimen e-invoices, in the ways of real issuers.

Its keys come from a fixed seed, so that the same specimen has the same bytes everywhere; they are public, and
nothing but specimens may ever be trusted for them. Every certificate says SPECIMEN.
"""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from random import Random
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from lxml import etree

from pipeline.einvoice import canonical
from pipeline.einvoice.canonical import EXCLUSIVE, INCLUSIVE, Method

Signer = Literal["NBan", "CQT"]
KeyName = Literal["root", "seller", "tax authority", "stranger"]

_DSIG = "http://www.w3.org/2000/09/xmldsig#"
_DS = f"{{{_DSIG}}}"
_URI = {
    INCLUSIVE: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
    EXCLUSIVE: "http://www.w3.org/2001/10/xml-exc-c14n#",
}
_DIGEST = {"sha1": f"{_DSIG}sha1", "sha256": "http://www.w3.org/2001/04/xmlenc#sha256"}
_SIGNING = {
    "sha1": f"{_DSIG}rsa-sha1",
    "sha256": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
}
_HASH: dict[str, hashes.HashAlgorithm] = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}
_VIETNAM = timezone(timedelta(hours=7))
_BEHIND: dict[KeyName, tuple[int, int]] = {
    "root": (293, 449),
    "seller": (670, 112),
    "tax authority": (1496, 315),
    "stranger": (1060, 152),
}


@dataclass(frozen=True, slots=True)
class Way:
    """How an issuer signs. The defaults are the commonest.

    named        canonicalisation as a transform of each reference
    property_id  the reference to the signing time leads to its SignatureProperty, not to the Object
    plain_time   the signing time's elements are in no namespace (.NET's SignedXml with an own element)
    whole        one reference to the whole file, the signature itself taken out
    """

    digest: Literal["sha1", "sha256"] = "sha256"
    method: Method = INCLUSIVE
    named: tuple[Method, ...] = ()
    property_id: bool = False
    plain_time: bool = False
    whole: bool = False
    zone: str = ""  # written behind the signing time

    @classmethod
    def drawn(cls, seed: int) -> Way:
        return Random(f"way:{seed}").choice(WAYS)


WAYS = (
    Way("sha1"),
    Way("sha1", named=(INCLUSIVE,)),
    Way("sha1", plain_time=True, zone="Z"),
    Way("sha1", property_id=True),
    Way("sha256"),
    Way("sha256", method=EXCLUSIVE, named=(EXCLUSIVE,)),
    Way("sha256", named=(EXCLUSIVE, INCLUSIVE)),
    Way("sha256", plain_time=True, zone="+07:00"),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs: a key and its certificate."""

    name: x509.Name
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


@cache
def key(name: KeyName) -> rsa.RSAPrivateKey:
    """The same key of 2,048 bits for the same name, on every machine."""
    p, q = _primes(name, 1024)
    e = 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key()


def _primes(name: KeyName, bits: int) -> tuple[int, int]:
    """Two primes with both upper bits set; how far each lies behind its random start was found once."""
    rng = Random(f"specimen key:{name}")
    first, second = (rng.getrandbits(bits) | 3 << (bits - 2) | 1 for _ in range(2))
    return first + 2 * _BEHIND[name][0], second + 2 * _BEHIND[name][1]


@cache
def root() -> Identity:
    """The authority itself: give its certificate as a trust anchor, and its specimens are valid."""
    own = key("root")
    name = _name("SPECIMEN Test Authority – KHÔNG CÓ GIÁ TRỊ", None)
    return Identity(
        name, own, _certificate(name, own.public_key(), name, own, datetime(2020, 1, 1), 20, ca=True)
    )


def identity(
    name: str,
    tax_code: str | None,
    *,
    since: datetime = datetime(2022, 1, 1),
    years: int = 6,
    issuer: Identity | None = None,
    own: KeyName = "seller",
    ca: bool = False,
) -> Identity:
    """Someone with a certificate of the authority, or of another issuer.

    All sellers have one key, and each a certificate of its own.
    """
    issuer = issuer or root()
    subject, signed_for = _name(f"{name} (SPECIMEN)", tax_code), key(own)
    certificate = _certificate(subject, signed_for.public_key(), issuer.name, issuer.key, since, years, ca=ca)
    return Identity(subject, signed_for, certificate)


@cache
def tax_authority() -> Identity:
    own, issuer = key("tax authority"), root()
    subject = _name("Cục Thuế (SPECIMEN)", None)
    certificate = _certificate(
        subject, own.public_key(), issuer.name, issuer.key, datetime(2021, 1, 1), 10, ca=False
    )
    return Identity(subject, own, certificate)


def _name(common: str, tax_code: str | None) -> x509.Name:
    """Names of companies are often longer than the 64 letters of the standard, and so issued all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = x509.NameAttribute(NameOID.COMMON_NAME, common, _validate=False)
    country = x509.NameAttribute(NameOID.COUNTRY_NAME, "VN")
    code = [] if tax_code is None else [x509.NameAttribute(NameOID.USER_ID, f"MST:{tax_code}")]
    return x509.Name([country, name, *code])


def _certificate(
    subject: x509.Name,
    public: rsa.RSAPublicKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    since: datetime,
    years: int,
    *,
    ca: bool,
) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=not ca, content_commitment=not ca, key_cert_sign=ca, crl_sign=ca,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    serial = hashlib.sha256(subject.public_bytes() + f"{since}{years}".encode()).digest()[:16]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(int.from_bytes(serial, "big") >> 1)
        .not_valid_before(since)
        .not_valid_after(since.replace(year=since.year + years))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=1 if ca else None), critical=True)
        .add_extension(usage, critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def sign(
    xml: bytes,
    *,
    way: Way | None = None,
    seed: int = 0,
    by: Identity | None = None,
    with_it: Sequence[Identity] = (),
) -> bytes:
    """The e-invoice with the seller's signature, and the tax authority's where it has a code.

    The same arguments give the same bytes. `seed` decides the time of day; `by`: who signs for the seller,
    `with_it`: whose certificates come with the signer's.
    """
    way = way or Way()
    document = etree.fromstring(xml, canonical.parser())
    invoice = document if document.tag == "HDon" else document.find("DLieu/HDon")
    data, code = invoice.find("DLHDon"), invoice.find("MCCQT")
    rng = Random(f"signing:{seed}")
    day = datetime.fromisoformat(data.findtext("TTChung/NLap"))
    at = day + timedelta(hours=8, seconds=rng.randrange(9 * 3600))
    party = data.find("NDHDon/NBan")
    by = by or identity(party.findtext("Ten") or "Không tên", party.findtext("MST"))
    seal(document, _place(invoice, "NBan"), [data], by, at, way, with_it)
    if code is not None and not way.whole:
        later = at + timedelta(seconds=rng.randrange(2, 90))
        seal(document, _place(invoice, "CQT"), [data, code], tax_authority(), later, Way())
    signed: bytes = etree.tostring(
        document.getroottree(), encoding="UTF-8", xml_declaration=xml.startswith(b"<?xml")
    )
    return signed


def _place(invoice: etree._Element, signer: Signer) -> etree._Element:
    signatures = invoice.find("DSCKS")
    found = signatures.find(signer)
    return etree.SubElement(signatures, signer) if found is None else found


def seal(
    document: etree._Element,
    place: etree._Element,
    parts: Sequence[etree._Element],
    by: Identity,
    at: datetime,
    way: Way,
    with_it: Sequence[Identity] = (),
) -> None:
    """Appends a signature over the parts and its own time."""
    signature = etree.SubElement(place, f"{_DS}Signature", nsmap={None: _DSIG}, Id=f"{place.tag}-signature")
    info = etree.SubElement(signature, f"{_DS}SignedInfo")
    value = etree.SubElement(signature, f"{_DS}SignatureValue")
    _key_info(signature, by, with_it)
    time = _signing_time(signature, place.tag, at, way)
    etree.SubElement(info, f"{_DS}CanonicalizationMethod", Algorithm=_URI[way.method])
    etree.SubElement(info, f"{_DS}SignatureMethod", Algorithm=_SIGNING[way.digest])
    for part in [document] if way.whole else [*parts, time]:
        _refer(info, part, "" if part is document else f"#{part.get('Id')}", signature, way)
    octets = canonical.canonical(info, way.method)
    value.text = base64.b64encode(by.key.sign(octets, padding.PKCS1v15(), _HASH[way.digest])).decode()


def _key_info(signature: etree._Element, by: Identity, with_it: Sequence[Identity]) -> None:
    data = etree.SubElement(etree.SubElement(signature, f"{_DS}KeyInfo"), f"{_DS}X509Data")
    etree.SubElement(data, f"{_DS}X509SubjectName").text = by.name.rfc4514_string()
    for one in (by, *with_it):
        etree.SubElement(data, f"{_DS}X509Certificate").text = base64.b64encode(one.der).decode()


def _signing_time(signature: etree._Element, who: str, at: datetime, way: Way) -> etree._Element:
    """The element that the reference to the signing time leads to."""
    holder = etree.SubElement(signature, f"{_DS}Object")
    space = "" if way.plain_time else _DS
    nsmap = {None: ""} if way.plain_time else None
    properties = etree.SubElement(holder, f"{space}SignatureProperties", nsmap=nsmap)
    one = etree.SubElement(properties, f"{space}SignatureProperty", Target=f"#{who}-signature")
    shown = at.replace(tzinfo=_VIETNAM).astimezone(UTC) if way.zone == "Z" else at
    etree.SubElement(one, f"{space}SigningTime").text = f"{shown:%Y-%m-%dT%H:%M:%S}{way.zone}"
    target = one if way.property_id else holder
    target.set("Id", f"SigningTime-{who}")
    return target


def _refer(info: etree._Element, part: etree._Element, uri: str, signature: etree._Element, way: Way) -> None:
    reference = etree.SubElement(info, f"{_DS}Reference", URI=uri)
    enveloped = uri == "" or part.tag == "DLHDon"
    if enveloped or way.named:
        transforms = etree.SubElement(reference, f"{_DS}Transforms")
        if enveloped:
            etree.SubElement(transforms, f"{_DS}Transform", Algorithm=f"{_DSIG}enveloped-signature")
        for method in way.named:
            etree.SubElement(transforms, f"{_DS}Transform", Algorithm=_URI[method])
    octets = _octets(part, signature, way)
    etree.SubElement(reference, f"{_DS}DigestMethod", Algorithm=_DIGEST[way.digest])
    digest = hashlib.new(way.digest, octets).digest()
    etree.SubElement(reference, f"{_DS}DigestValue").text = base64.b64encode(digest).decode()


def _octets(part: etree._Element, signature: etree._Element, way: Way) -> bytes:
    first, *others = way.named or (INCLUSIVE,)
    if signature in part.iter(signature.tag):
        place = signature.getparent()
        place.remove(signature)
        octets = canonical.of_document(part, first)
        place.append(signature)
    else:
        octets = canonical.canonical(part, first)
    for method in others:
        octets = canonical.of_root(etree.fromstring(octets, canonical.parser()), method)
    return octets
