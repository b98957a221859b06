"""AWS Secrets Manager and Systems Manager: every secret and secure parameter, with its versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from unsprawl.errors import AuthError, UnreadableError
from unsprawl.globs import matches
from unsprawl.keeper_settings import AwsParameters, AwsSecrets
from unsprawl.keepers.entries import Kept, flat, values_in
from unsprawl.records import Skipped

__all__ = ["read_parameters", "read_secrets"]

_TIMEOUT_S: Final = 20.0
_CURRENT: Final = "AWSCURRENT"
#: What AWS says when the whole keeper is closed to these credentials.
_REFUSED: Final = frozenset(
    {
        "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException",
        "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)  # fmt: skip


def read_secrets(name: str, settings: AwsSecrets) -> Iterator[Kept | Skipped]:
    """All values of Secrets Manager. ``AuthError`` when they cannot be listed."""
    client = _client("secretsmanager", settings.region, settings.profile, settings.endpoint_url)
    with _faults(f"the secrets of {name}", "allow secretsmanager:ListSecrets"):
        pages = client.get_paginator("list_secrets").paginate()
        for page in pages:
            for secret in page.get("SecretList", ()):
                path = str(secret.get("Name", ""))
                if settings.prefix and not path.startswith(settings.prefix):
                    continue
                if matches(settings.exclude, path):
                    yield Skipped(path, "excluded by the configuration", excluded=True)
                else:
                    yield from _secret(client, path, settings)


def _secret(client: Any, path: str, settings: AwsSecrets) -> Iterator[Kept | Skipped]:
    try:
        with _faults(path, "allow secretsmanager:GetSecretValue and kms:Decrypt"):
            for version, stages in _versions(client, path, settings):
                answer = client.get_secret_value(SecretId=path, VersionId=version)
                content = answer.get("SecretString")
                if content is None:
                    content = answer.get("SecretBinary") or b""
                yield from values_in(path, content, version, current=_CURRENT in stages)
    except (AuthError, UnreadableError) as error:
        yield Skipped(path, error.message, error.hint)


def _versions(client: Any, path: str, settings: AwsSecrets) -> Iterator[tuple[str, list[str]]]:
    token: dict[str, str] = {}
    while True:
        # Versions without a stage are deprecated, and still were a credential once.
        answer = client.list_secret_version_ids(
            SecretId=path, IncludeDeprecated=settings.versions == "all", **token
        )
        for version in answer.get("Versions", ()):
            stages = list(version.get("VersionStages") or ())
            if settings.versions == "all" or _CURRENT in stages:
                yield str(version["VersionId"]), stages
        if not answer.get("NextToken"):
            return
        token = {"NextToken": answer["NextToken"]}


def read_parameters(name: str, settings: AwsParameters) -> Iterator[Kept | Skipped]:
    """All secure parameters below the path. ``AuthError`` when they cannot be listed."""
    client = _client("ssm", settings.region, settings.profile, settings.endpoint_url)
    with _faults(f"the parameters of {name}", "allow ssm:GetParametersByPath and kms:Decrypt"):
        pages = client.get_paginator("get_parameters_by_path").paginate(
            Path=settings.path, Recursive=True, WithDecryption=True
        )
        for page in pages:
            for parameter in page.get("Parameters", ()):
                path = str(parameter.get("Name", ""))
                if parameter.get("Type") != "SecureString" and not settings.plain:
                    continue
                if matches(settings.exclude, path):
                    yield Skipped(path, "excluded by the configuration", excluded=True)
                    continue
                newest = str(parameter.get("Version", ""))
                yield from _parameter(path, parameter, newest, current=True)
                if settings.versions == "all" and newest not in ("", "1"):
                    yield from _history(client, path, newest)


def _history(client: Any, path: str, newest: str) -> Iterator[Kept | Skipped]:
    try:
        with _faults(path, "allow ssm:GetParameterHistory"):
            for page in client.get_paginator("get_parameter_history").paginate(
                Name=path, WithDecryption=True
            ):
                for parameter in page.get("Parameters", ()):
                    version = str(parameter.get("Version", ""))
                    if version != newest:
                        yield from _parameter(path, parameter, version, current=False)
    except (AuthError, UnreadableError) as error:
        yield Skipped(path, error.message, error.hint)


def _parameter(path: str, parameter: Any, version: str, *, current: bool) -> Iterator[Kept]:
    value = str(parameter.get("Value", ""))
    if parameter.get("Type") == "StringList":
        yield from flat(path, value.split(","), version, current=current)
    else:
        yield from values_in(path, value, version, current=current)


def _client(service: str, region: str, profile: str, endpoint: str) -> Any:
    import boto3
    from botocore.config import Config

    settings = Config(
        connect_timeout=_TIMEOUT_S,
        read_timeout=_TIMEOUT_S,
        retries={"total_max_attempts": 5, "mode": "standard"},
    )
    with _faults(service, "give `region:`, or configure AWS"):
        session: Any = boto3.Session(profile_name=profile or None, region_name=region or None)
        return session.client(service, endpoint_url=endpoint or None, config=settings)


@contextmanager
def _faults(what: str, hint: str) -> Iterator[None]:
    """What AWS refuses, and how; its own words may quote names, so only the code is told."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in _REFUSED:
            raise AuthError(f"AWS refused {what} ({code})", hint=hint) from None
        raise UnreadableError(f"AWS could not give {what} ({code})", hint=hint) from None
    except NoCredentialsError:
        raise AuthError(
            f"there are no AWS credentials for {what}", hint="configure AWS, or a profile"
        ) from None
    except BotoCoreError as error:
        raise UnreadableError(f"AWS could not give {what}: {type(error).__name__}", hint=hint) from None
