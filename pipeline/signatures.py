"""What a document's electronic signatures are worth.

A record like those of `pipeline.records`, where it is named too, and apart from them for the decoding child:
what they need besides takes longer to import than all that the child needs to read XML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SignatureVerdict = Literal[
    "valid",
    "altered",
    "expired_at_signing",
    "issuer_not_trusted",
    "other_signer",
    "not_verifiable",
    "unsigned",
]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a document's electronic signatures are worth, the worst of them counting: `einvoice.signature`.

    `signer`, `tax_code` and `signed_at` (ISO 8601) are of the signature over what is read, and are claims as
    long as the issuer is not trusted.
    anchored   there were trust anchors to judge the issuer by
    needed     without a signature the document is worth nothing
    """

    verdict: SignatureVerdict
    why: str  # one sentence
    signer: str | None = None
    tax_code: str | None = None
    signed_at: str | None = None
    anchored: bool = False
    needed: bool = True
