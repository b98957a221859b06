"""References: where a credential lies, written instead of the credential itself.

    ${NAME}                      an environment variable
    file:PATH                    the content of a file, without its last newline
    keyring:SERVICE/USER         the keyring of the desktop (package ``keyring``)
    aws-sm:NAME-OR-ARN#KEY       AWS Secrets Manager; ``#KEY`` picks one value of a JSON secret
    vault:PATH#KEY               HashiCorp Vault, KV version 2, by VAULT_ADDR and VAULT_TOKEN

They are resolved as late as possible, in the process that needs the value, and never stored.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import msgspec

from unsprawl.errors import ConfigError
from unsprawl.secret import Secret

__all__ = ["REFERENCE_PATTERN", "Reference", "resolve"]

#: A whole value is one reference; ``Bearer ${TOKEN}`` is none. Line breaks are refused with it.
REFERENCE_PATTERN: Final = (
    r"^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:[^\r\n]+|keyring:[^/\r\n]+/[^\r\n]+|aws-sm:[^#\r\n]+(#[^\r\n]+)?|vault:[^#\r\n]+#[^\r\n]+)$"
)

#: The type of every field that takes a credential.
Reference: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=REFERENCE_PATTERN,
        description="Where the credential lies, never the credential itself.",
        examples=["${NAME}", "file:PATH", "keyring:SERVICE/USER", "aws-sm:NAME#KEY", "vault:PATH#KEY"],
        extra={"reference": True},
    ),
]

_LARGEST_FILE_BYTES: Final = 64 * 1024


def resolve(reference: str, place: str = "") -> Secret:
    """The value behind a reference. ``place`` (``sources.chat.token``) goes into the error."""
    prefix = f"{place}: " if place else ""
    if reference.startswith("${") and reference.endswith("}"):
        name = reference[2:-1]
        value = os.environ.get(name)
        if not value:
            state = "is not set" if value is None else "is empty"
            raise ConfigError(f"{prefix}the environment variable {name} {state}", hint=f"export {name}=…")
        return Secret(value)
    if reference.startswith("file:"):
        path = Path(reference.removeprefix("file:")).expanduser()
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST_FILE_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"{prefix}cannot read {path}: {error.strerror}") from None
        if len(content) > _LARGEST_FILE_BYTES:
            raise ConfigError(f"{prefix}{path} is larger than 64 KiB, so it is no credential")
        return Secret(re.sub(rb"\r?\n\Z", b"", content))
    raise ConfigError(f"{prefix}this is no reference", hint="write ${NAME} or file:PATH")
