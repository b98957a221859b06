"""A found credential on its way to be checked, and the words a check speaks with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from unsprawl.records import Check, Validity
from unsprawl.secret import Keys, Secret

__all__ = ["LEVELS", "Audit", "Credential", "Refused", "nobody", "opened", "unknown"]

#: Action, subject (a finding's id), detail without values. Called before every request; what it raises
#: keeps the request from being made.
Audit: TypeAlias = Callable[[str, str, Mapping[str, Any]], None]

#: How a privilege begins, the greatest first. What follows a colon says more.
LEVELS: Final = ("admin", "write", "read", "none")


class Refused(Exception):  # noqa: N818 - not an error: it is why nothing was asked, or why nothing is proven
    """No verdict can be had, for this reason. Its text holds no value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def nobody(_action: str, _subject: str, _detail: Mapping[str, Any]) -> None:
    """An audit that nobody keeps."""


def unknown(reason: str) -> Check:
    return Check(Validity.UNKNOWN, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One finding with its value and what stood beside it. ``offline`` is what its format tells."""

    finding: str
    fingerprint: str
    rule: str
    secret: Secret
    companions: Mapping[str, Secret] = field(default_factory=dict)
    offline: Check = Check(Validity.UNKNOWN)

    def text(self, name: str) -> str:
        """The companion of this name, "" where there is none."""
        value = self.companions.get(name)
        return "" if value is None else value.text()

    def need(self, name: str, what: str = "") -> str:
        """The companion of this name, or :class:`Refused`."""
        text = self.text(name)
        if not text:
            raise Refused(f"its {what or name} was not found beside it")
        return text


def opened(keys: Keys, finding: str, sealed: bytes) -> tuple[Secret, dict[str, Secret]]:
    """The value and the companions that ``examine`` has sealed. ``StoreError`` when they do not open."""
    import msgspec

    from unsprawl.store.seal import unseal

    values = msgspec.msgpack.decode(unseal(keys, finding.encode(), sealed), type=dict[str, bytes])
    secret = Secret(values.pop("secret", b""))
    return secret, {name.removeprefix("companion."): Secret(value) for name, value in values.items()}
