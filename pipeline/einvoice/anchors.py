"""Trust anchors: the certificates of issuers that a user trusts, and whether one of them leads to a signer.

Everything is offline: no certificate is fetched and no revocation is asked for. cryptography's own verifier
(`x509.verification`) is made for web servers and refuses what issuers of Vietnamese seals do (SHA-1, long
subjects, no alternative name), so the chain is walked here; each signature in it is verified by the library.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from pipeline.errors import UsageError

SUFFIXES = (".pem", ".crt", ".cer", ".der", ".p7b", ".p7c")
_LONGEST = 5  # certificates between a signer and its anchor
_LARGEST = 1 << 20  # bytes of a file


@dataclass(frozen=True, slots=True)
class Anchors:
    """Trusted certificates as DER, in the order of their digests: the same set is the same value."""

    certificates: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.certificates)

    def packed(self) -> bytes:
        """All of them as bytes, for another process."""
        return b"\n".join(map(base64.b64encode, self.certificates))

    @classmethod
    def unpacked(cls, packed: bytes) -> Anchors:
        return cls(tuple(map(base64.b64decode, packed.split())))

    @property
    def digest(self) -> str:
        """Names the set: a verdict was given against these anchors."""
        return hashlib.sha256(b"".join(self.certificates)).hexdigest()


NONE = Anchors()


def of(certificates: Iterable[bytes]) -> Anchors:
    return Anchors(tuple(sorted({*certificates}, key=lambda der: hashlib.sha256(der).digest())))


def load(folder: str | Path) -> Anchors:
    """Every certificate in the folder's .pem, .crt, .cer, .der, .p7b and .p7c.

    Other files are left alone, and hidden ones, such as those that a Mac puts beside each file of an archive.

    Raises UsageError for a folder that is not there or holds no certificate, and for a file that has none.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise UsageError(f"no folder of trust anchors at {place}: see trust_anchors in the settings")
    files = sorted(file for file in place.iterdir() if _may_hold_any(file))
    found = [der for file in files for der in _certificates(file)]
    if not found:
        kinds = ", ".join(SUFFIXES)
        raise UsageError(f"{place} holds no certificate ({kinds}): put those of the issuers you trust there")
    return of(found)


def _may_hold_any(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and not file.is_dir()


def _certificates(file: Path) -> list[bytes]:
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        data = file.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of long names, which issuers of seals have
            found = _parsed(data)
            return [certificate.public_bytes(Encoding.DER) for certificate in found]
    except (OSError, ValueError) as error:
        raise UsageError(f"no certificate can be read from {file}: {error}") from None


def _parsed(data: bytes) -> list[x509.Certificate]:
    if b"-----BEGIN PKCS7-----" in data:
        return pkcs7.load_pem_pkcs7_certificates(data)
    if b"-----BEGIN" in data:
        return x509.load_pem_x509_certificates(data)
    data = _unarmoured(data)
    try:
        return [x509.load_der_x509_certificate(data)]
    except ValueError:
        pass
    try:
        return pkcs7.load_der_pkcs7_certificates(data)
    except ValueError:
        raise ValueError("it holds none as PEM, DER or PKCS#7") from None


def _unarmoured(data: bytes) -> bytes:
    """The octets of a file in base64 alone, without the lines around it that PEM has."""
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        return data


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and what of it is compared often."""

    parsed: x509.Certificate
    der: bytes
    subject: bytes
    issuer: bytes


@lru_cache(maxsize=512)
def certificate(der: bytes) -> Certificate:
    """Raises ValueError where these bytes are no certificate."""
    parsed = x509.load_der_x509_certificate(der)
    return Certificate(parsed, der, parsed.subject.public_bytes(), parsed.issuer.public_bytes())


def leads_to(
    signer: Certificate, between: Sequence[Certificate], anchors: Anchors, at: datetime | None
) -> bool:
    """Whether a chain of certificates goes from an anchor to the signer, each of them good at that moment.

    between   those that came with the signature
    at        None where nothing says when: then no dates are asked
    """
    if signer.der in anchors.certificates:
        return True
    trusted = [certificate(der) for der in anchors.certificates]
    return _climb(signer, trusted, between, at, 0)


def _climb(
    below: Certificate,
    trusted: Sequence[Certificate],
    between: Sequence[Certificate],
    at: datetime | None,
    passed: int,
) -> bool:
    """`passed`: how many issuers stand between `below`'s issuer and the signer."""
    if any(_issued(below, issuer, at, passed) for issuer in trusted):
        return True
    if passed >= _LONGEST:
        return False
    return any(
        _issued(below, issuer, at, passed) and _climb(issuer, trusted, between, at, passed + 1)
        for issuer in between
        if issuer.der != below.der
    )


def _issued(below: Certificate, issuer: Certificate, at: datetime | None, passed: int) -> bool:
    if below.issuer != issuer.subject or not valid_at(issuer, at):
        return False
    try:
        return _may_issue(issuer, passed) and _signed(below.der, issuer.der)
    except ValueError:  # an extension that cannot be read
        return False


@lru_cache(maxsize=4096)
def _signed(below: bytes, issuer: bytes) -> bool:
    """Whether the issuer's key made the certificate's signature."""
    try:
        certificate(below).parsed.verify_directly_issued_by(certificate(issuer).parsed)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


def valid_at(certificate: Certificate, at: datetime | None) -> bool:
    parsed = certificate.parsed
    return at is None or parsed.not_valid_before_utc <= at <= parsed.not_valid_after_utc


def _may_issue(issuer: Certificate, passed: int) -> bool:
    """A certificate authority by its own constraints."""
    extensions = issuer.parsed.extensions
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return issuer.parsed.version is x509.Version.v1  # roots of old had no extensions
    if not constraints.ca or (constraints.path_length is not None and passed > constraints.path_length):
        return False
    try:
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True
