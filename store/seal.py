"""Sealed bytes: AES-256-GCM under the store's key, bound to the place they belong to.

    version (1 byte) ‖ nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)

Nonces are random; one key may seal some 2**32 messages before a repeated nonce becomes thinkable, which a
store of values that can be checked and of cursors does not come near.
"""

from __future__ import annotations

import os
from typing import Final

from unsprawl.errors import StoreError
from unsprawl.secret import Keys

__all__ = ["seal", "unseal"]

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


def seal(keys: Keys, context: bytes, value: bytes) -> bytes:
    """``value`` encrypted for ``context`` (a finding's id): it opens there and nowhere else."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + AESGCM(keys.seal_key).encrypt(nonce, value, _VERSION + context)


def unseal(keys: Keys, context: bytes, sealed: bytes) -> bytes:
    """The value again. ``StoreError`` for another key, another context, or bytes that were changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if sealed[:1] != _VERSION or len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES:
        raise StoreError(
            "a sealed value is damaged or was written by a newer unsprawl", hint="upgrade unsprawl"
        )
    nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return AESGCM(keys.seal_key).decrypt(nonce, body, _VERSION + context)
    except InvalidTag:
        raise StoreError(
            "a sealed value does not open: it was changed, or sealed with another key",
            hint="use the key this store was made with, or restore the store from a backup",
        ) from None
