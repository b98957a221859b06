"""Credentials that are kept elsewhere: the desktop's keyring, AWS Secrets Manager, HashiCorp Vault.

What was fetched is kept in memory for five minutes, for a source is built anew for every step.
"""

from __future__ import annotations

import json
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from unsprawl.errors import AuthError, ConfigError
from unsprawl.secret import Secret

__all__ = ["fetch", "forget"]

_KEPT_S: Final = 300.0
_TIMEOUT_S: Final = 10.0
_LARGEST_BYTES: Final = 1 << 20
_kept: dict[tuple[str, str], tuple[float, Secret]] = {}


def fetch(scheme: str, reference: str) -> Secret:
    """The credential behind ``scheme:reference``.

    ``ConfigError`` when a package or a setting is missing, ``AuthError`` when the keeper refuses, has no
    such credential or does not answer.
    """
    now = time.monotonic()
    known = _kept.get((scheme, reference))
    if known is not None and now - known[0] < _KEPT_S:
        return known[1]
    keepers = {"keyring": _from_keyring, "aws-sm": _from_aws, "vault": _from_vault}
    secret = Secret(keepers[scheme](reference))
    _kept[scheme, reference] = (now, secret)
    return secret


def forget() -> None:
    """Fetch everything anew: after a rotation, and between tests."""
    _kept.clear()


def _from_keyring(reference: str) -> str:
    service, _, user = reference.partition("/")
    try:
        keyring = import_module("keyring")  # optional, so neither a dependency nor known to the checker
    except ImportError:
        hint = "pip install keyring, or use another kind of reference"
        raise ConfigError("keyring: references need the package keyring", hint=hint) from None
    try:
        password = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001  # each desktop has errors of its own
        raise AuthError(f"the keyring does not answer: {type(error).__name__}") from None
    if not password:
        raise AuthError(
            f"the keyring has no password of {user} for {service}", hint=f"keyring set {service} {user}"
        )
    return str(password)


def _from_aws(reference: str) -> str:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    name, _, key = reference.partition("#")
    region = name.split(":")[3] if name.startswith("arn:") and name.count(":") >= 6 else None
    settings = Config(connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries={"total_max_attempts": 3})
    try:
        client: Any = boto3.client("secretsmanager", region_name=region, config=settings)
        answer = client.get_secret_value(SecretId=name)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown error")
        hint = "the role needs secretsmanager:GetSecretValue, and kms:Decrypt for a key of your own"
        raise AuthError(f"AWS Secrets Manager refused {name}: {code}", hint=hint) from None
    except BotoCoreError as error:
        raise AuthError(f"AWS Secrets Manager cannot be asked for {name}: {type(error).__name__}") from None
    text = answer.get("SecretString")
    if not text:
        raise AuthError(f"the AWS secret {name} holds no text")
    return _picked(text, key, f"the AWS secret {name}") if key else str(text)


def _from_vault(reference: str) -> str:
    import httpx2

    path, _, key = reference.partition("#")
    address = os.environ.get("VAULT_ADDR", "")
    if not address.startswith(("https://", "http://")):
        raise ConfigError("vault: references need VAULT_ADDR", hint="VAULT_ADDR=https://vault.example:8200")
    mount, _, name = path.partition("/")
    url = f"{address.rstrip('/')}/v1/{quote(mount)}/data/{quote(name)}"
    headers = {"X-Vault-Token": _vault_token(), "X-Vault-Request": "true"}
    if namespace := os.environ.get("VAULT_NAMESPACE"):
        headers["X-Vault-Namespace"] = namespace
    try:
        # No redirects: the token goes to the host that the owner named, and to no other.
        with (
            httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=False, verify=_vault_trust()) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            content = b""
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > _LARGEST_BYTES:
                    raise AuthError("Vault's answer is larger than 1 MiB")
            status = response.status_code
    except httpx2.HTTPError as error:
        raise AuthError(f"Vault cannot be reached: {type(error).__name__}") from None
    if status != 200:
        hint = {403: "the token needs read on that path", 404: "is it MOUNT/PATH of a KV version 2 engine?"}
        raise AuthError(f"Vault refused {path}: HTTP {status}", hint=hint.get(status, ""))
    try:
        values = json.loads(content)["data"]["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise AuthError("Vault's answer is not that of a KV version 2 engine") from None
    return _value(values, key, f"the Vault secret {path}")


def _vault_token() -> str:
    if token := os.environ.get("VAULT_TOKEN"):
        return token
    try:
        return (Path.home() / ".vault-token").read_text("utf-8").strip()
    except (OSError, ValueError, RuntimeError):
        raise ConfigError("vault: references need VAULT_TOKEN", hint="or log in: vault login") from None


def _vault_trust() -> Any:
    import ssl

    certificate = os.environ.get("VAULT_CACERT")
    try:
        return ssl.create_default_context(cafile=certificate) if certificate else True
    except (OSError, ssl.SSLError):
        raise ConfigError("VAULT_CACERT names no readable certificate") from None


def _picked(text: str, key: str, what: str) -> str:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise AuthError(f"{what} is not JSON", hint="leave out the part behind #") from None
    return _value(values, key, what)


def _value(values: object, key: str, what: str) -> str:
    value = values.get(key) if isinstance(values, dict) else None
    if not isinstance(value, str) or not value:
        raise AuthError(f"{what} has no text under {key}")
    return value
