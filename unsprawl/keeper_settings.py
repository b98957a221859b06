"""The keys below ``known:`` in the configuration: where secrets are kept on purpose."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from unsprawl.references import Reference

__all__ = ["SETTINGS", "AwsParameters", "AwsSecrets", "KeeperSettings", "SecretFile", "Vault"]

_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]
_FilePath: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, extra={"path": True})]


class KeeperSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every keeper understands. ``exclude`` are patterns over paths that are not read."""

    exclude: tuple[_Text, ...] = ()


class Vault(KeeperSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HashiCorp Vault or OpenBao, KV engines of version 1 and 2.

    Without ``mounts`` all KV engines the token may see. ``versions: current`` leaves out what was replaced.
    """

    url: _Text
    token: Reference
    namespace: str = ""
    mounts: tuple[_Text, ...] = ()
    prefix: str = ""
    versions: Literal["all", "current"] = "all"


class AwsSecrets(KeeperSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AWS Secrets Manager, with the usual chain of AWS credentials."""

    region: str = ""
    profile: str = ""
    endpoint_url: str = ""
    prefix: str = ""
    versions: Literal["all", "current"] = "all"


class AwsParameters(KeeperSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Secure parameters of AWS Systems Manager; with ``plain`` those that are stored unencrypted too."""

    region: str = ""
    profile: str = ""
    endpoint_url: str = ""
    path: Annotated[str, msgspec.Meta(pattern="^/")] = "/"
    plain: bool = False
    versions: Literal["all", "current"] = "all"


class SecretFile(KeeperSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of values: ``lines``, an ``env`` file, ``json`` or ``yaml``; by its ending unless it is said."""

    path: _FilePath
    format: Literal["lines", "env", "json", "yaml"] | None = None


SETTINGS: Final[dict[str, type[KeeperSettings]]] = {
    "vault": Vault,
    "aws-secrets": AwsSecrets,
    "aws-parameters": AwsParameters,
    "file": SecretFile,
}
