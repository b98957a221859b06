"""Who asks an S3 server, and how: keys, profiles and roles, made into a client of boto3."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from unsprawl.errors import AuthError
from unsprawl.secret import Secret
from unsprawl.wire import usage

__all__ = ["Access", "client"]

_SESSION: Final = "unsprawl"


@dataclass(frozen=True, slots=True)
class Access:
    """Where the server is and who asks. Without keys the usual chain of AWS decides.

    ``role`` is assumed with these credentials before anything is asked; ``sts_url`` is where.
    """

    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    keys: tuple[Secret, Secret] | None = None
    session_token: Secret | None = None
    role: str = ""
    external_id: str = ""
    sts_url: str = ""
    anonymous: bool = False
    requester_pays: bool = False
    attempts: int = 6
    connections: int = 10

    def of_role(self, role: str) -> Access:
        return replace(self, role=role)


def client(access: Access) -> Any:
    """A client of S3. Raises ``AuthError`` and what boto3 raises."""
    import logging

    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ProfileNotFound

    # At DEBUG these write session tokens and object keys, which may be secrets themselves.
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO)
    config = Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "adaptive", "total_max_attempts": access.attempts},
        max_pool_connections=access.connections,
        s3={"addressing_style": "path" if access.endpoint_url else "auto"},
        tcp_keepalive=True,
        # Servers that are not AWS know nothing of the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        signature_version=UNSIGNED if access.anonymous else None,
        user_agent_extra="unsprawl",
    )
    given: dict[str, Any] = {}
    if access.keys is not None:
        given = {"aws_access_key_id": access.keys[0].text(), "aws_secret_access_key": access.keys[1].text()}
        if access.session_token is not None:
            given["aws_session_token"] = access.session_token.text()
    try:
        session = boto3.Session(
            profile_name=access.profile or None, region_name=access.region or None, **given
        )
    except ProfileNotFound:
        raise AuthError(f"there is no profile {access.profile}", hint="aws configure list-profiles") from None
    region = session.region_name or "us-east-1"
    if access.role:
        session = _assumed(session, access, region, config)
    made = session.client("s3", endpoint_url=access.endpoint_url or None, region_name=region, config=config)
    # Told of each attempt before it leaves.
    made.meta.events.register("before-send.s3", _counted)
    return made


def _counted(**_request: Any) -> None:
    usage.count()


def _assumed(session: Any, access: Access, region: str, config: Any) -> Any:
    """A session of the role, whose credentials renew themselves before they end."""
    import boto3
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
    from botocore.session import get_session

    def sts(service: str, **options: Any) -> Any:
        options.pop("config", None)  # ours has the same limits and retries as all other requests
        address = access.sts_url or None
        return session.client(service, region_name=region, endpoint_url=address, config=config, **options)

    source = session.get_credentials()
    if source is None:
        raise AuthError("no usable credentials were found", hint="a role is assumed with credentials")
    extra = {"RoleSessionName": _SESSION}
    if access.external_id:
        extra["ExternalId"] = access.external_id
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=sts, source_credentials=source, role_arn=access.role, extra_args=extra
    )
    inner = get_session()
    # The documented way to hand over credentials that renew themselves is none of the public ones.
    inner._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined]  # noqa: SLF001
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
    return boto3.Session(botocore_session=inner, region_name=region)
