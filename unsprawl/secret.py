"""A secret value in memory, and what may be said of it outside: a preview and a keyed fingerprint."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from unsprawl.structs import Guarded

__all__ = ["CONTENT", "NORMALISER", "Keys", "Secret", "normalise"]

#: Version of :func:`normalise`. It takes part in every fingerprint, so a change never mixes two meanings.
NORMALISER: Final = 1

#: How keys of documents begin that name content, wherever it lies.
CONTENT: Final = "content:"

_PEM = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----(.*?)-----END [A-Z0-9 ]+-----", re.DOTALL)
_PEM_BORDER = re.compile(r"-----BEGIN [A-Z0-9 ]{1,32}-----")
_PEM_HEADER = re.compile(rb"^[A-Za-z0-9-]+:.*$", re.MULTILINE)

#: Scheme, host and the plain words behind it, each a step of the path: ``https://hooks.slack.com/services/``.
#: A host may have a number, a step none but a version: ``ab12/cd34`` may be a key. Nothing is tried twice:
#: who writes the address may want it to take long.
_WORDS: Final = r"[a-z]{1,16}(?:[_-][a-z]{1,16}){0,3}"
_LABEL: Final = rf"(?>{_WORDS}-?[0-9]{{0,3}}(?![a-z0-9_-]))"
_STEP: Final = rf"(?>v[0-9]{{1,2}}|{_WORDS})/"
_ADDRESS = re.compile(rf"https?://(?:{_LABEL}\.)+[a-z]{{2,16}}(?::[0-9]{{1,5}})?/(?:{_STEP}){{0,4}}")

#: A preview shows this many characters of a value's public prefix at most, so that a rule
#: with a careless prefix cannot leak the value.
_LONGEST_PREFIX: Final = 12
#: Values shorter than this show nothing of themselves.
_SHORTEST_SHOWN: Final = 16
_TAIL: Final = 4


def normalise(value: bytes) -> bytes:
    """The form of a value that is fingerprinted: outer quotes and blanks off, PEM as DER.

    The same key pasted with CRLF, indented in YAML or with escaped newlines is then the same secret.
    """
    value = value.strip()
    while len(value) >= 2 and value[0] == value[-1] and value[:1] in (b'"', b"'", b"`"):
        value = value[1:-1].strip()
    pem = _PEM.search(value)
    if pem is None:
        return value
    body = pem.group(1).replace(b"\\r", b"").replace(b"\\n", b"\n")
    body = re.sub(rb"[^A-Za-z0-9+/=]", b"", _PEM_HEADER.sub(b"", body))
    try:
        return b64decode(body, validate=True)
    except Base64Error:
        return body


class Secret:
    """A value that prints redacted. Only :meth:`reveal` gives it away, so that leaks can be grepped for.

    ``prefix`` is the public part that a rule declares (``ghp_``, ``AKIA``): it identifies the kind,
    not the holder, and may be shown.
    """

    __slots__ = ("_value", "prefix")

    def __init__(self, value: bytes | str, prefix: str = "") -> None:
        self._value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
        self.prefix = prefix

    def reveal(self) -> bytes:
        """The value in clear."""
        return self._value

    def text(self) -> str:
        """The value in clear as text; bytes that are not UTF-8 become replacement characters."""
        return self._value.decode("utf-8", "replace")

    @property
    def preview(self) -> str:
        """What people may see: the public prefix and at most four characters, none below sixteen."""
        text = self.text()
        if text.startswith("-----BEGIN"):
            # Not the first line: where line ends are escaped or lost, the key stands on it.
            border = _PEM_BORDER.match(text)
            return f"{border.group()}…" if border else "-----BEGIN…"
        prefix = self._shown_prefix(text)
        hidden = len(text) - len(prefix)
        tail = text[-_TAIL:] if hidden >= _SHORTEST_SHOWN else ""
        # A preview is printed on terminals: what is no plain character there is not shown.
        return f"{prefix}…{tail}" if tail.isascii() and tail.isprintable() else f"{prefix}…"

    @property
    def public(self) -> str:
        """What of its begin is no secret: the prefix that a preview shows, of an address all but its keys."""
        text = self.text()
        address = _ADDRESS.match(text)
        begin = max(self._shown_prefix(text), address.group() if address else "", key=len)
        return begin if len(begin) < len(text) else ""

    def _shown_prefix(self, text: str) -> str:
        return self.prefix[:_LONGEST_PREFIX] if self.prefix and text.startswith(self.prefix) else ""

    def __repr__(self) -> str:
        return f"Secret({self.preview!r})"

    def __str__(self) -> str:
        return self.preview

    def __format__(self, spec: str) -> str:
        return format(self.preview, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        return (Secret, (self._value, self.prefix))


class Keys(Guarded, frozen=True):
    """The keys derived from one 32-byte master: who holds the store without it learns nothing.

    ``id`` names the master without telling it. Separate labels keep the fingerprint of a value,
    the names of things, sealed values and the seals of the audit log apart.
    """

    id: str
    fingerprint_key: bytes
    name_key: bytes
    seal_key: bytes
    audit_key: bytes
    unseen = ("fingerprint_key", "name_key", "seal_key", "audit_key")

    @classmethod
    def derive(cls, master: bytes) -> Keys:
        def label(name: bytes) -> bytes:
            return hmac.new(master, b"unsprawl/1/" + name, hashlib.sha256).digest()

        id_ = label(b"id").hex()[:16]
        return cls(id_, *(label(use) for use in (b"fingerprint", b"name", b"seal", b"audit")))

    def fingerprint(self, secret: Secret) -> str:
        """HMAC-SHA-256 of the normalised value alone: equal wherever the value stands."""
        return self._mac(self.fingerprint_key, b"value", normalise(secret.reveal()))

    def identity(self, secret: Secret, scope: Mapping[str, Secret] | None = None) -> str:
        """Which case this is: of the value alone, or of value, account and host for passwords."""
        parts = [normalise(secret.reveal())]
        for name in sorted(scope or ()):
            parts += [name.encode(), normalise((scope or {})[name].reveal()).lower()]
        return self._mac(self.fingerprint_key, b"case", *parts)

    def name(self, *parts: str) -> bytes:
        """A 16-byte keyed stand-in for a name (an object key, a path) that may itself hold a secret."""
        *first, last = parts
        return self.namer(*first)(last)

    def document(self, source: str, key: str) -> bytes:
        """The stand-in for a document's key. Content is the same in every source."""
        return self.documents(source)(key)

    def documents(self, source: str) -> Callable[[str], bytes]:
        """:meth:`document` for many documents of one source."""
        own, shared = self.namer(source), self.namer("")
        return lambda key: (shared if key.startswith(CONTENT) else own)(key)

    def namer(self, *first: str) -> Callable[[str], bytes]:
        """:meth:`name` for many names that begin with the same parts."""
        # Keyed BLAKE2 rather than HMAC: this runs for every document, at a tenth of the cost.
        begun = hashlib.blake2b(_framed(map(_encoded, first)), key=self.name_key, digest_size=16)

        def name(last: str) -> bytes:
            digest = begun.copy()
            text = _encoded(last)
            digest.update(len(text).to_bytes(8, "big") + text)
            return digest.digest()

        return name

    @staticmethod
    def _mac(key: bytes, *parts: bytes) -> str:
        return hmac.digest(key, bytes([NORMALISER]) + _framed(parts), "sha256").hex()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _framed(parts: Iterable[bytes]) -> bytes:
    """The parts with their lengths, which keep ("a", "bc") and ("ab", "c") apart."""
    message = b""
    for part in parts:
        message += len(part).to_bytes(8, "big") + part
    return message
