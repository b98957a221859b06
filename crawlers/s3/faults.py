"""What S3 and its client say when they refuse, sorted by what becomes of the work.

Nothing the server wrote goes into a message except its error code: bodies of refusals repeat access
keys, signed strings and whatever else the server likes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from unsprawl.errors import AuthError, GoneError, RetryableError, SourceError, UnreadableError

__all__ = ["DeniedError", "NotOfferedError", "archived", "broken_body", "faults"]

_REFUSED_KEYS: Final = {
    "InvalidAccessKeyId": "the access key is unknown",
    "InvalidClientTokenId": "the access key is unknown",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "ExpiredToken": "the session token has expired",
    "ExpiredTokenException": "the session token has expired",
    "TokenRefreshRequired": "the session token has expired",
    "InvalidToken": "the session token is not valid",
    "InvalidSecurity": "the credentials are not valid",
    "AccountProblem": "the account is blocked",
    "NotSignedUp": "the account has no S3",
    "RequestTimeTooSkewed": "the clock of this machine is wrong by more than 15 minutes",
}
_BUSY: Final = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "503", "429"}
)
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class DeniedError(UnreadableError):
    """We may not ask this."""


class NotOfferedError(UnreadableError):
    """The server knows no such request: many speak only a part of the protocol."""


@contextmanager
def faults(permission: str, bucket: str = "", key: str | None = None) -> Iterator[None]:
    """What boto3 raises within becomes one of ours. ``permission`` is what the request needs."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        if error.operation_name == "AssumeRole":
            hint = "its trust policy has to name us (and external_id), and ours to allow sts:AssumeRole"
            raise AuthError("the role may not be assumed", hint=hint) from None
        raise _answered(error.response, permission, bucket, key) from None
    except (BotoCoreError, HTTPError, OSError) as error:
        raise _failed(error) from None
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"the answer could not be understood ({type(error).__name__})") from None


def broken_body() -> tuple[type[Exception], ...]:
    """The exceptions of a body whose connection broke."""
    from botocore import exceptions as boto
    from urllib3.exceptions import HTTPError

    return (boto.HTTPClientError, boto.IncompleteReadError, HTTPError, OSError)


def _failed(error: Exception) -> SourceError:
    """The request got no answer."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    name = type(error).__name__
    if isinstance(
        error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError
    ):
        hint = "give access_key and secret_key, a profile, or anonymous: true"
        return AuthError("no usable credentials were found", hint=hint)
    if isinstance(error, boto.SSOError | boto.TokenRetrievalError):
        return AuthError("the single sign-on session is over", hint="aws sso login")
    if isinstance(error, boto.SSLError):
        hint = "name its authority in AWS_CA_BUNDLE"
        return RetryableError("the certificate of the endpoint is not trusted", hint=hint)
    if isinstance(error, ResponseParserError):
        return UnreadableError("the answer is not one of an S3 server", hint="is endpoint_url right?")
    if isinstance(error, (boto.ConnectionError, *broken_body())):
        hint = "is endpoint_url right, and can this machine reach it?"
        return RetryableError(f"the endpoint does not answer ({name})", hint=hint)
    return UnreadableError(f"the request could not be made ({name})")


def _answered(response: Any, permission: str, bucket: str, key: str | None) -> SourceError:
    fault = response.get("Error", {})
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(fault.get("Code", ""))
    code = code if _CODE.match(code) else str(status)
    message = str(fault.get("Message", ""))
    if code in _REFUSED_KEYS:
        return AuthError(f"{_REFUSED_KEYS[code]} ({code})", hint="check the credentials of this source")
    if code == "InvalidObjectState":
        storage = str(fault.get("AccessTier") or fault.get("StorageClass") or "an archive")
        return archived(storage)
    if code in _BUSY:
        return RetryableError(f"the server asks for less speed ({code})", hint="run at another time")
    if code.startswith("KMS.") or (status == 403 and re.search(r"\bkms:", message, re.IGNORECASE)):
        return UnreadableError(
            f"encrypted with a KMS key that refuses us ({code})", hint="allow kms:Decrypt on that key"
        )
    if code == "InvalidRequest" and "server side encryption" in message.lower().replace("-", " "):
        hint = "only who holds the customer's key can read it: accept the gap"
        return UnreadableError("encrypted with a key of the customer (SSE-C)", hint=hint)
    if status == 403 or code in ("AccessDenied", "AllAccessDisabled"):
        return _denied(code, permission, bucket, key)
    if code == "NoSuchBucket" or (status == 404 and key is None):
        return UnreadableError(f"there is no such bucket ({code})", hint="check buckets: and endpoint_url")
    if status == 404:
        hint = "nothing to do: the next crawl will not list it"
        return GoneError(f"deleted between listing and reading ({code})", hint=hint)
    if status == 412:
        return UnreadableError("changed while it was read", hint="the next run reads it again")
    if status in (301, 307, 400) and code in (
        "PermanentRedirect",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "TemporaryRedirect",
        "301",
        "307",
    ):
        return UnreadableError(
            f"the bucket lives in another region ({code})", hint="set region: of this source"
        )
    if status in (405, 501) or code in ("NotImplemented", "MethodNotAllowed"):
        return NotOfferedError(f"the server does not offer this ({code})", hint=f"it takes {permission}")
    if status >= 500:
        return RetryableError(f"the server failed ({code})", hint="the next run tries again")
    return UnreadableError(f"refused ({code})", hint=f"it takes {permission}")


def archived(storage: str) -> UnreadableError:
    storage = storage if _CODE.match(storage) else "an archive"
    return UnreadableError(
        f"archived in {storage}, not readable",
        hint="restore it (aws s3api restore-object), or accept the gap in the configuration",
    )


def _denied(code: str, permission: str, bucket: str, key: str | None) -> DeniedError:
    resource = f"arn:aws:s3:::{bucket}" + ("" if key is None else "/*") if bucket else "*"
    hint = f"allow {permission} on {resource}; if the bucket is requester-pays, set requester_pays: true"
    return DeniedError(f"access denied ({code})", hint=hint)
