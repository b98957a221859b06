"""References: where a credential lies, written instead of the credential itself.

    ${NAME}                      an environment variable
    file:PATH                    the content of a file, without its last newline
    keyring:SERVICE/USER         the keyring of the desktop (package ``keyring``)
    aws-sm:NAME-OR-ARN#KEY       AWS Secrets Manager; ``#KEY`` picks one value of a JSON secret
    vault:MOUNT/PATH#KEY         HashiCorp Vault, KV version 2, by VAULT_ADDR and VAULT_TOKEN

They are resolved as late as possible, in the process that needs the value, and never stored.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec.inspect import type_info

from unsprawl import shape
from unsprawl.errors import ConfigError
from unsprawl.secret import Secret

__all__ = ["REFERENCE_PATTERN", "Reference", "check_references", "interpolate", "resolve"]

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
#: A whole value is one reference; ``Bearer ${TOKEN}`` is none.
REFERENCE_PATTERN: Final = (
    rf"^(\$\{{{_NAME}\}}|file:[^\r\n]+|keyring:[^/\r\n]+/[^\r\n]+"
    r"|aws-sm:[^#\r\n]+(#[^\r\n]+)?|vault:[^#/\r\n]+/[^#\r\n]+#[^\r\n]+)$"
)
FORMS: Final = "${NAME}, file:PATH, keyring:SERVICE/USER, aws-sm:NAME#KEY, vault:MOUNT/PATH#KEY"

#: The type of every field that takes a credential.
Reference: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=REFERENCE_PATTERN,
        description="Where the credential lies, never the credential itself.",
        examples=FORMS.split(", "),
        extra={"reference": True},
    ),
]

_LARGEST_FILE_BYTES: Final = 64 * 1024
_VARIABLE = re.compile(r"(\$?)\$\{([^}]*)\}")


def resolve(reference: str, place: str = "") -> Secret:
    """The value behind a reference. ``place`` (``sources.chat.token``) goes into the error.

    ``ConfigError`` when the reference itself is at fault (a variable that is not set, a file that is
    not there, a package that is missing), ``AuthError`` when a vault refuses or does not answer.
    """
    try:
        if re.fullmatch(REFERENCE_PATTERN, reference) is None:
            raise ConfigError("this is no reference to a credential", hint=f"write one of: {FORMS}")
        if reference.startswith("${"):
            return Secret(_variable(reference[2:-1]))
        scheme, _, rest = reference.partition(":")
        if scheme == "file":
            return Secret(_content(Path(rest).expanduser()))
        from unsprawl import vaults

        return vaults.fetch(scheme, rest)
    except Exception as error:
        if place and hasattr(error, "message"):
            error.message = f"{place}: {error.message}"
            error.args = (error.message,)
        raise


def interpolate(text: str) -> str:
    """Text with ``${NAME}`` replaced by the environment; ``$${`` stands for ``${``."""

    def value(match: re.Match[str]) -> str:
        if match.group(1):
            return match.group(0)[1:]
        if re.fullmatch(_NAME, match.group(2)) is None:
            raise ConfigError("only ${NAME} is understood here", hint="write $${ for the characters ${")
        return _variable(match.group(2))

    return _VARIABLE.sub(value, text) if "${" in text else text


def check_references(config: msgspec.Struct, place: str) -> None:
    """Resolve what lies on this machine, so that a missing variable or file shows before the work begins."""

    def check(text: str, extra: dict[str, Any], path: shape.Path) -> str:
        if extra.get("reference") and text.startswith(("${", "file:")):
            resolve(text, shape.dotted((*place.split("."), *path)))
        return text

    kind = type_info(type(config))
    shape.leaves(msgspec.to_builtins(config), kind, check)


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise ConfigError(
            f"the environment variable {name} {state}", hint=f"set {name} where unsprawl is started"
        )
    return value


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        what = f"cannot read {path}: {error.strerror}"
        raise ConfigError(what, hint="it should hold the credential") from None
    if len(content) > _LARGEST_FILE_BYTES:
        raise ConfigError(f"{path} is larger than 64 KiB, so it is no credential")
    content = re.sub(rb"\r?\n\Z", b"", content)
    if not content:
        raise ConfigError(f"{path} is empty", hint="it should hold the credential")
    return content
