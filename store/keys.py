"""The master key: in the user's configuration directory, or behind a reference, never beside the store.

Whoever copies the store without the key learns no value, no object name and no fingerprint that could be
compared with another store's.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from unsprawl.errors import StoreError, UnsprawlError
from unsprawl.secret import Keys
from unsprawl.store.publish import publish

__all__ = ["CONFIG_DIR_VARIABLE", "config_dir", "key_path", "load_keys"]

#: Overrides the directory that holds the key.
CONFIG_DIR_VARIABLE: Final = "UNSPRAWL_CONFIG_DIR"
_BYTES: Final = 32
_LONGEST_FILE_BYTES: Final = 1024
_FORM: Final = "a key is 32 random bytes as hex or base64, for example from: openssl rand -hex 32"


def config_dir() -> Path:
    """The user's configuration directory for unsprawl; it need not exist."""
    given = os.environ.get(CONFIG_DIR_VARIABLE)
    if given:
        return Path(given).expanduser()
    from platformdirs import user_config_path

    return user_config_path("unsprawl", appauthor=False)


def key_path() -> Path:
    """Where the master key lies unless the configuration names a reference."""
    return config_dir() / "key"


def load_keys(reference: str | None = None, *, create: bool = True) -> Keys:
    """The keys of this user, made on first use, or those behind ``reference``.

    Raises ``StoreError`` when the key is missing (and ``create`` is off), malformed, or open to others.
    """
    if reference is not None:
        return _referenced(reference)
    path = key_path()
    content = _read(path)
    if content is None:
        if not create:
            raise StoreError(
                f"there is no key at {path}",
                hint="restore it from a backup, or say where it is (`key:`, UNSPRAWL_CONFIG_DIR); "
                "without it the store cannot be continued: move it away and crawl into a new one",
            )
        _create(path)
        content = _read(path)
    if content is None:
        raise StoreError(f"the key {path} vanished while it was made")
    return _derive(content, str(path))


def _referenced(reference: str) -> Keys:
    from unsprawl.config import resolve

    try:
        secret = resolve(reference)
    except UnsprawlError as error:
        raise StoreError(f"the store's key cannot be resolved: {error.message}", hint=error.hint) from error
    return _derive(secret.reveal(), "the referenced key")


def _derive(content: bytes, place: str) -> Keys:
    text = content.strip()
    master: bytes | None = None
    if re.fullmatch(rb"[0-9A-Fa-f]{64}", text):
        master = bytes.fromhex(text.decode("ascii"))
    else:
        try:
            master = base64.b64decode(
                text.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(text) % 4), validate=True
            )
        except binascii.Error:
            master = None
    if master is None or len(master) != _BYTES:
        raise StoreError(f"{place} does not hold a key of 32 bytes", hint=_FORM)
    if len(set(master)) == 1:
        raise StoreError(f"{place} holds one byte repeated, which is no key", hint=_FORM)
    return Keys.derive(master)


def _read(path: Path) -> bytes | None:
    try:
        # Without waiting: a pipe in the place of the key must not hold the crawl.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"cannot read the key {path}: {error.strerror}", hint="run as the user who owns it"
        ) from None
    try:
        _check_private(path, os.fstat(descriptor))
        return os.read(descriptor, _LONGEST_FILE_BYTES)
    except OSError as error:
        raise StoreError(f"cannot read the key {path}: {error.strerror}", hint="look at the disk") from None
    finally:
        os.close(descriptor)


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(
            f"the key {path} is no regular file", hint="give other places as a reference: key: file:PATH"
        )
    if os.name != "posix":
        return
    if status.st_mode & 0o077:
        raise StoreError(
            f"the key {path} can be read or changed by other users (mode {status.st_mode & 0o777:04o})",
            hint=f"chmod 600 {path}; whoever copied it can test guesses against every fingerprint",
        )
    if status.st_uid not in (os.geteuid(), 0):
        raise StoreError(
            f"the key {path} belongs to another user", hint=f"chown it, or set {CONFIG_DIR_VARIABLE}"
        )
    folder = path.parent.stat().st_mode
    # A sticky directory (like /tmp) lets nobody replace a file that is not theirs.
    if folder & 0o022 and not folder & stat.S_ISVTX:
        raise StoreError(
            f"other users can write into {path.parent}, where the key lies (mode {folder & 0o777:04o})",
            hint=f"chmod 700 {path.parent}",
        )


def _create(path: Path) -> None:
    """Write a fresh key beside its final name, then publish it: of two first runs one wins, both use it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_hex(_BYTES).encode("ascii") + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        publish(draft, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StoreError(
            f"cannot make a key at {path}: {error.strerror}",
            hint=f"make it writable, set {CONFIG_DIR_VARIABLE}, or give a reference (key: file:PATH)",
        ) from None
