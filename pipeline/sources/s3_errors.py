"""Every exception of boto3 as one of ours: the only place that knows their names."""

from __future__ import annotations

from typing import Any

from boto3.exceptions import Boto3Error
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from pipeline.errors import Coded, Permanent, Reason, Transient, one_line

EXPECTED = (
    boto.BotoCoreError,
    boto.ClientError,
    Boto3Error,
    ResponseParserError,
    HTTPError,
    OSError,
)  # what a call may raise

_DENIED = "check the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, …) and what they may read"
_PAYER = 'where the requester pays, set source.request_payer = "requester"'
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.NoAuthTokenError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.LoginError,
    boto.ProfileNotFound,
    boto.ConfigNotFound,
    boto.ConfigParseError,
    boto.RefreshWithMFAUnsupportedError,
    boto.MetadataRetrievalError,
)
_NETWORK = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.IncompleteReadError,
    boto.ResponseStreamingError,
    ResponseParserError,
    boto.FlexibleChecksumError,
    boto.ChecksumError,
    boto.CapacityNotAvailableError,
    HTTPError,
    OSError,
)
# Codes that ask for another try although their HTTP status is not 5xx.
_BUSY = {
    "SlowDown",
    "RequestTimeout",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "BadDigest",
}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_KEYED = {"SSEEncryptedObject", "InvalidSSECustomerParameters", "SSECustomerKeyMissing"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}


def translate(error: Exception, uri: str, endpoint: str | None) -> Coded:
    """Transient for the network and a busy server; Permanent for everything that asking again cannot mend."""
    where = f"{uri} at {endpoint}" if endpoint else uri
    if isinstance(error, boto.ClientError):
        return _answered(error, where)
    if isinstance(error, _NO_CREDENTIALS):
        return Permanent(Reason.access_denied, f"{where}: {error}; {_DENIED}")
    if isinstance(error, _NETWORK):
        return Transient(Reason.store_unreachable, f"{where}: {one_line(error)}")
    if isinstance(error, boto.ParamValidationError):
        return Permanent(Reason.object_missing, f"{where} is not a possible bucket or key: {one_line(error)}")
    return Permanent(Reason.access_denied, f"{where}: S3 cannot be used as configured: {one_line(error)}")


def _answered(error: boto.ClientError, where: str) -> Coded:
    """The server's own complaint, by its code and HTTP status."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    # S3 has no code of their own for SSE-C and for requester pays: there only its words tell them apart.
    message = str(error.response.get("Error", {}).get("Message", "")).lower().replace("-", " ")
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    if code in _EXPIRED:
        return Transient(Reason.access_denied, f"{where}: the credentials have expired ({code})")
    if code in _BUSY or status >= 500 or status == 429:
        return Transient(Reason.store_unreachable, f"{where}: the server answered {status} {code}")
    if code == "RequestTimeTooSkewed":
        return Permanent(Reason.access_denied, f"{where}: this machine's clock is wrong ({code})")
    if code == "NoSuchBucket":
        return Permanent(Reason.bucket_missing, f"{where}: the bucket does not exist")
    if status == 404 or code in ("NoSuchKey", "404", "NotFound"):
        return Permanent(Reason.object_missing, f"{where} does not exist")
    if status == 412 or code in ("PreconditionFailed", "412"):
        return Permanent(Reason.object_changed, f"{where} was replaced since it was listed; run again")
    if code == "InvalidObjectState":
        what = f"{where} lies in an archive: restore it first, then run again ({code})"
        return Permanent(Reason.object_archived, what)
    if status in (301, 307, 308) or code in _ELSEWHERE:
        return Permanent(Reason.wrong_region, f"{where}: the bucket is in another region; {_region(error)}")
    if "server side encryption" in message or code in _KEYED:
        what = f"{where} is encrypted with a key of its owner's (SSE-C), which is not in the store: copy it"
        return Permanent(Reason.customer_key, f"{what} to an object without, then run again")
    if "requester" in message and "pay" in message:
        return Permanent(Reason.requester_pays, f"{where}: who reads it pays for it; {_PAYER}")
    return Permanent(
        Reason.access_denied, f"{where}: the server refused with {status} {code}; {_DENIED}; {_PAYER}"
    )


def _region(error: boto.ClientError) -> str:
    """What to set, as far as the server says it."""
    answer: dict[str, Any] = dict(error.response)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = answer.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region")
    return f"set AWS_REGION={region}" if region else "set AWS_REGION to it"
