"""Whether an e-invoice is what was signed, by whom and when: XML-DSig as Vietnamese issuers use it.

    verdict(root, anchors) -> Signature

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

import re
import warnings
from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import NameOID
from lxml import etree

from pipeline.einvoice import anchors as trust
from pipeline.einvoice import dsig
from pipeline.einvoice.anchors import Anchors, Certificate
from pipeline.einvoice.dsig import Altered, File, NotVerifiable, Seal
from pipeline.signatures import Signature, SignatureVerdict

_MOST_SIGNATURES = 16
# Issuers write local time with and without a "Z": a certificate's dates are asked with that much leeway.
_LEEWAY = timedelta(hours=7)
_TAX_CODE = re.compile(r"MST\s*[:=]\s*([0-9]{10}(?:-?[0-9]{3})?|[0-9]{12})(?![0-9])")


def verdict(root: etree._Element, anchors: Anchors = trust.NONE) -> Signature:
    """On a document as `canonical.parser` parses it: comments, instructions and blank texts still in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of long names in certificates, which real ones have
        try:
            return _judged(root, anchors)
        except Altered as error:
            return Signature("altered", str(error), anchored=bool(anchors))
        except (NotVerifiable, UnsupportedAlgorithm, ValueError) as error:
            # ValueError: what the libraries say of certificates that are not as they should be.
            return Signature("not_verifiable", str(error), anchored=bool(anchors))


def _judged(root: etree._Element, anchors: Anchors) -> Signature:
    if root.getroottree().docinfo.internalDTD is not None:
        raise NotVerifiable("the file declares a document type, which can change what is read")
    data = _read(root)
    signatures = list(root.iter(f"{dsig.DS}Signature"))
    if not signatures:
        why = "the file has no electronic signature"
        if not (needed := not _from_till(data)):
            why += ", which an invoice from a cash register needs not"
        return Signature("unsigned", why, anchored=bool(anchors), needed=needed)
    if len(signatures) > _MOST_SIGNATURES:
        raise NotVerifiable(f"the file has {len(signatures)} signatures; {_MOST_SIGNATURES} are verified")
    file = File.of(root)
    seals = [dsig.seal(signature, file) for signature in signatures]
    _no_comments_within_texts(data)
    over_data = [seal for seal in seals if any(dsig.within(data, element) for element in seal.over)]
    if not over_data:
        return _nothing_over_data(seals, anchors)
    main = min(over_data, key=lambda seal: seal.who != dsig.ROLES["NBan"])
    return _trusted(main, seals, anchors, data)


def _read(root: etree._Element) -> etree._Element:
    """The element that an invoice's values are read from."""
    # As for who reads: nothing within a signature is data.
    invoice = next((one for one in root.iter("{*}HDon") if not _in_signature(one)), root)
    found = [child for child in invoice if dsig.name(child) == "DLHDon"]
    if len(found) > 1:
        raise Altered(f"the invoice has {len(found)} elements DLHDon: one was put beside what was signed")
    return found[0] if found else invoice


def _from_till(data: etree._Element) -> bool:
    """An invoice made by a cash register that is connected to the tax authority: C26MAA."""
    series = (data.findtext("{*}TTChung/{*}KHHDon") or "").strip()
    return series[3:4] == "M"


def _in_signature(element: etree._Element) -> bool:
    return any(_of_dsig(one) for one in (element, *element.iterancestors()))


def _of_dsig(element: etree._Element) -> bool:
    return isinstance(element.tag, str) and element.tag.startswith(dsig.DS)


def _no_comments_within_texts(data: etree._Element) -> None:
    """Canonical XML leaves comments out: one within a text could cut it short for who reads it."""
    for comment in data.iter(etree.Comment):
        beside = (comment.getparent().text, comment.tail, *(child.tail for child in comment.getparent()))
        if any(text and text.strip() for text in beside):
            raise Altered(f"a comment stands within the text of {dsig.name(comment.getparent())}")


def _nothing_over_data(seals: Sequence[Seal], anchors: Anchors) -> Signature:
    sellers = [seal for seal in seals if seal.who == dsig.ROLES["NBan"]]
    if sellers:
        raise Altered("the seller's signature was made over other data than those that are read")
    why = f"the invoice's data are signed by nobody; {_listed(seals)} signed other parts of the file"
    return Signature("unsigned", why, anchored=bool(anchors))


def _listed(seals: Sequence[Seal]) -> str:
    return " and ".join(dict.fromkeys(seal.who for seal in seals))


def _remark(data: etree._Element, seals: Sequence[Seal]) -> str:
    """What of the invoice is read and stands outside of what was signed."""
    codes = [one for outer in data.iterancestors() for one in outer if dsig.name(one) == "MCCQT" and one.text]
    covered = all(any(dsig.within(code, over) for seal in seals for over in seal.over) for code in codes)
    return "" if covered else "; the tax authority's code is signed by nobody"


def _trusted(main: Seal, seals: Sequence[Seal], anchors: Anchors, data: etree._Element) -> Signature:
    """The verdict on signatures that all fit. `main` is the one over the data."""
    name, tax_code = _identity(main.signer)
    result, why = _worst(main, seals, anchors, data)
    at = None if main.at is None else main.at.isoformat()
    return Signature(result, why + _remark(data, seals), name, tax_code, at, bool(anchors))


def _worst(
    main: Seal, seals: Sequence[Seal], anchors: Anchors, data: etree._Element
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


def _other(main: Seal, data: etree._Element) -> str | None:
    """Who signed, where that is another than who may. A branch and its company are one."""
    name, code = _identity(main.signer)
    places = ("{*}NDHDon/{*}NBan/{*}MST", "{*}TTChung/{*}MSTDVNUNLHDon")
    may = [text for place in places if (text := (data.findtext(place) or "").strip())]
    if code is None or not may or code[:10] in [text[:10] for text in may]:
        return None
    return f"{name} signed, whose tax code is {code}; the seller's is {may[0][:20]}"


def _in_force(seal: Seal) -> bool:
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
