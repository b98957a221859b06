"""Who can read a bucket: by its policy, its list, its ownership and what blocks public access."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from unsprawl.errors import SourceError
from unsprawl.records import Audience

__all__ = ["audience_of"]

_EVERYONE: Final = (
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
)


def audience_of(client: Any, bucket: str) -> Audience:
    """As far as it is told. ``external``: its list grants something to other accounts."""
    blocked = _ask(client, "get_public_access_block", bucket, "NoSuchPublicAccessBlockConfiguration")
    block = (blocked or {}).get("PublicAccessBlockConfiguration", {})
    policy = _ask(client, "get_bucket_policy_status", bucket, "NoSuchBucketPolicy")
    owned = _ask(client, "get_bucket_ownership_controls", bucket, "OwnershipControlsNotFoundError")
    acl = _ask(client, "get_bucket_acl", bucket, "")
    by_policy = bool((policy or {}).get("PolicyStatus", {}).get("IsPublic"))
    grantees = {} if _owner_alone(owned) else _grantees(acl)
    by_acl = not grantees.keys().isdisjoint(_EVERYONE)
    if (by_policy and not block.get("RestrictPublicBuckets")) or (
        by_acl and not block.get("IgnorePublicAcls")
    ):
        return Audience.PUBLIC
    owner = ((acl or {}).get("Owner") or {}).get("ID")
    if owner and any(kind == "CanonicalUser" and name != owner for name, kind in grantees.items()):
        return Audience.EXTERNAL
    if blocked is None or policy is None or acl is None:
        return Audience.UNKNOWN
    return Audience.RESTRICTED


def _owner_alone(owned: Mapping[str, Any] | None) -> bool:
    """Whether lists count for nothing in this bucket, as in all that AWS makes since 2023."""
    rules = ((owned or {}).get("OwnershipControls") or {}).get("Rules") or []
    return any(rule.get("ObjectOwnership") == "BucketOwnerEnforced" for rule in rules)


def _grantees(acl: Mapping[str, Any] | None) -> dict[str, str]:
    """Who is granted something: an address of a group or the id of an account, and of what kind it is."""
    found: dict[str, str] = {}
    for grant in (acl or {}).get("Grants") or []:
        grantee = grant.get("Grantee") or {}
        found[str(grantee.get("URI") or grantee.get("ID") or "")] = str(grantee.get("Type") or "")
    found.pop("", None)
    return found


def _ask(client: Any, operation: str, bucket: str, absent: str) -> dict[str, Any] | None:
    """An answer about the bucket; ``{}`` when it has none (``absent``), None when we may not know."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return cast("dict[str, Any]", getattr(client, operation)(Bucket=bucket))
    except ClientError as error:
        return {} if absent and error.response.get("Error", {}).get("Code") == absent else None
    except (BotoCoreError, SourceError):
        return None
