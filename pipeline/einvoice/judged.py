"""What the verdict on a document's signatures means for the document: a check."""

from __future__ import annotations

from pipeline.records import Check, Signature
from schemas.checks import Severity

CODE = "signature"


def check(signature: Signature) -> Check:
    """The check `signature`; what it found is the verdict.

    An altered document is an error. Whoever gives no trust anchors is told with every document that nobody
    has looked who signed it, and is not stopped by that. A signature by another than the seller, one of an
    unknown issuer, one of a certificate that had run out, one that is not verified, and none at all where one
    is needed send the document to review.
    """
    passed = signature.verdict == "valid"
    return Check(CODE, passed, _severity(signature), signature.why, (), "valid", signature.verdict)


def _severity(signature: Signature) -> Severity:
    if signature.verdict == "altered":
        return "error"
    if signature.verdict == "issuer_not_trusted" and not signature.anchored:
        return "info"
    return "info" if signature.verdict == "unsigned" and not signature.needed else "warning"
