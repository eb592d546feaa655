"""Every exception of boto3 as one of ours: the only place that knows their names."""

from __future__ import annotations

from boto3.exceptions import Boto3Error
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from pipeline.errors import Coded, Permanent, Reason, Transient

EXPECTED = (
    boto.BotoCoreError,
    boto.ClientError,
    Boto3Error,
    ResponseParserError,
    HTTPError,
    OSError,
)  # what a call may raise

_DENIED = "check the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, …) and what they may read"
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
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}


def translate(error: Exception, uri: str, endpoint: str | None) -> Coded:
    """Transient for the network and a busy server; Permanent for everything that asking again cannot mend."""
    where = f"{uri} at {endpoint}" if endpoint else uri
    if isinstance(error, boto.ClientError):
        return _answered(error, where)
    if isinstance(error, _NO_CREDENTIALS):
        return Permanent(Reason.access_denied, f"{where}: {error}; {_DENIED}")
    if isinstance(error, _NETWORK):
        return Transient(Reason.store_unreachable, f"{where}: {_one_line(error)}")
    if isinstance(error, boto.ParamValidationError):
        return Permanent(
            Reason.object_missing, f"{where} is not a possible bucket or key: {_one_line(error)}"
        )
    return Permanent(Reason.access_denied, f"{where}: S3 cannot be used as configured: {_one_line(error)}")


def _answered(error: boto.ClientError, where: str) -> Coded:
    """The server's own complaint, by its code and HTTP status."""
    code = str(error.response.get("Error", {}).get("Code", ""))
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
        return Permanent(Reason.access_denied, f"{where} is archived: restore it first ({code})")
    if status in (301, 307, 308):
        return Permanent(
            Reason.access_denied, f"{where}: the bucket is in another region; set AWS_REGION ({code})"
        )
    return Permanent(Reason.access_denied, f"{where}: the server refused with {status} {code}; {_DENIED}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
