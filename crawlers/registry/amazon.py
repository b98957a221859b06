"""Amazon ECR: repositories and images by the AWS API, and the login that it gives."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from unsprawl.crawlers.registry.api import items, text
from unsprawl.crawlers.registry.listing import Reference, Repository
from unsprawl.errors import AuthError, RetryableError, SourceError, UnreadableError
from unsprawl.secret import Secret

if TYPE_CHECKING:
    from botocore.client import BaseClient

__all__ = ["Account", "Amazon", "account_of", "client_of", "login"]

_HOST: Final = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_HINT: Final = (
    "the account needs ecr:GetAuthorizationToken, ecr:DescribeRepositories, ecr:ListImages, "
    "ecr:BatchGetImage and ecr:GetDownloadUrlForLayer"
)
_REFUSED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ExpiredTokenException",
        "InvalidClientTokenId",
    }
)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose registry it is (12 digits, "" for the caller's own) and where."""

    id: str = ""
    region: str = ""


def account_of(host: str) -> Account:
    match = _HOST.fullmatch(host)
    return Account(match[1], match[2]) if match else Account()


def client_of(account: Account, profile: str, endpoint_url: str) -> BaseClient:
    """A client of the usual chain: environment, ``profile``, single sign-on, role of the machine."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    settings = Config(retries={"mode": "standard", "total_max_attempts": 6})
    try:
        session = boto3.Session(profile_name=profile or None, region_name=account.region or None)
        client: BaseClient = session.client("ecr", endpoint_url=endpoint_url or None, config=settings)
    except (BotoCoreError, ValueError) as error:
        raise AuthError(f"no access to ECR: {type(error).__name__}", hint="see `profile`, `region`") from None
    return client


def login(client: Any) -> tuple[str, Secret]:
    """User and password for the registry, good for twelve hours."""
    content = _asked(client.get_authorization_token)
    for one in items(content, "authorizationData"):
        try:
            user, _, password = base64.b64decode(text(one.get("authorizationToken"))).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            continue
        if password:
            return user, Secret(password)
    raise UnreadableError("ECR answered without a login")


class Amazon:
    def __init__(self, client: BaseClient, account: Account) -> None:
        self._client = client
        self._registry = {"registryId": account.id} if account.id else {}

    def repositories(self) -> Iterator[Repository]:
        for page in self._pages("describe_repositories"):
            for one in items(page, "repositories"):
                yield Repository(text(one.get("repositoryName")))

    def references(self, name: str) -> Iterator[Reference]:
        """An image comes once for each of its tags, and once without when it has none."""
        for page in self._pages("list_images", repositoryName=name, filter={"tagStatus": "ANY"}):
            for one in items(page, "imageIds"):
                yield Reference(text(one.get("imageTag")), text(one.get("imageDigest")))

    def _pages(self, operation: str, **arguments: Any) -> Iterator[Any]:
        pages = iter(self._client.get_paginator(operation).paginate(**self._registry, **arguments))
        while (page := _asked(lambda: next(pages, None))) is not None:
            yield page


def _asked(request: Any) -> Any:
    """The answer; what the SDK raises becomes ours. Of what AWS wrote only its error code is told."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        return request()
    except (NoCredentialsError, PartialCredentialsError):
        raise AuthError("no credentials for ECR", hint="see `profile`; " + _HINT) from None
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        raise _sorted_out(re.sub(r"[^A-Za-z0-9]", "", code)) from None
    except BotoCoreError as error:
        raise RetryableError(f"ECR does not answer ({type(error).__name__})") from None


def _sorted_out(code: str) -> SourceError:
    if code in _REFUSED:
        return AuthError(f"ECR refuses it ({code})", hint=_HINT)
    if code == "RepositoryNotFoundException":
        return UnreadableError("ECR does not have this repository (404)")
    if code in {"ThrottlingException", "TooManyRequestsException", "ServerException"}:
        return RetryableError(f"ECR asks for patience ({code})", hint="the next run continues here")
    return UnreadableError(f"ECR answered {code[:60]}")
