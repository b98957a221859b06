"""The token flow of container registries: a 401 names a realm, the realm gives a short-lived token.

The password goes to the realm, so whoever can name the realm could ask for the password. It is
sent to the registry's own host and to hosts that the owner or the table below names, no other.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from unsprawl.errors import AuthError, ConfigError, UnreadableError
from unsprawl.secret import Secret
from unsprawl.wire import hosts
from unsprawl.wire.client import Client, Fixed, Response

__all__ = ["BearerFlow", "Challenge", "parse_challenges"]

#: Registries whose token server is known to stand elsewhere.
KNOWN_REALMS: Final[Mapping[str, str]] = {
    "registry-1.docker.io": "auth.docker.io",
    "index.docker.io": "auth.docker.io",
    "registry.gitlab.com": "gitlab.com",
}
#: A token is renewed this long before its end, so that it does not die on the way.
_MARGIN: Final = 10.0
_LIFETIME: Final = 60.0
#: A login that was refused is renewed when it is older than this, in seconds.
_RENEWED_AFTER: Final = 60.0
_LARGEST_TOKEN_ANSWER: Final = 256 * 1024

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s,"]*)')


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a 401 offers. ``scheme`` and the names of ``parameters`` are in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> list[Challenge]:
    """All challenges of a ``WWW-Authenticate``; quoted values may hold commas, the malformed is left out."""
    found: list[tuple[str, dict[str, str]]] = []
    for name, value in _pairs(header):
        if value is None:
            found.append((name.lower(), {}))
        elif found:
            found[-1][1].setdefault(name.lower(), value)
    return [Challenge(scheme, parameters) for scheme, parameters in found]


def _pairs(header: str) -> Iterator[tuple[str, str | None]]:
    """(name, value) of each parameter, (scheme, None) where a challenge begins."""
    at = 0
    while at < len(header):
        if header[at] in ", \t":
            at += 1
            continue
        name = _TOKEN.match(header, at)
        if name is None:
            at += 1
            continue
        after = len(header) - len(header[name.end() :].lstrip(" \t"))
        if header[after : after + 1] != "=":
            yield name[0], None
            at = after
            continue
        after = len(header) - len(header[after + 1 :].lstrip(" \t"))
        value = _VALUE.match(header, after)
        if value is None:
            return
        yield name[0], re.sub(r"\\(.)", r"\1", value[1]) if value[1] is not None else value[2]
        at = max(value.end(), after)


def _basic(user: str, secret: Secret) -> str:
    return f"Basic {base64.b64encode(user.encode() + b':' + secret.reveal()).decode()}"


@dataclass(slots=True)
class _Held:
    header: str = field(repr=False)
    until: float


class BearerFlow:
    """Credentials of one registry: anonymous, Basic, a fixed token, or tokens a scope from its realm.

    ``user`` with ``secret`` is a login; ``secret`` alone is sent as the token itself. ``fresh`` gives a
    login that lives for some hours, again when the host refuses it. ``realms`` are the other hosts that
    may see the login. Threads may share it.
    """

    def __init__(
        self,
        base: str,
        user: str = "",
        secret: Secret | None = None,
        realms: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
        client: Callable[..., Client] = Client,
        fresh: Callable[[], tuple[str, Secret]] | None = None,
    ) -> None:
        self._base = base
        self._secret = secret
        self._fresh = fresh
        self._fetched = -_RENEWED_AFTER
        self._login = _basic(user, secret) if secret is not None and user else ""
        self._realms = frozenset(realms)
        self._clock = clock
        self._client = client
        self._basic = False
        self._held: dict[str, _Held] = {}
        self._lock = Lock()

    @property
    def given(self) -> bool:
        """Whether there is anything but anonymous access."""
        return self._secret is not None or self._fresh is not None

    @property
    def tokens(self) -> bool:
        """Whether the realm took the login, if there is one, and gave a token."""
        return bool(self._held)

    def headers(self, scope: str) -> Mapping[str, str]:
        if self._basic:
            return {"authorization": self._login}
        if self._secret is not None and not self._login:
            return {"authorization": f"Bearer {self._secret.text()}"}
        with self._lock:
            held = self._held.get(scope)
        return {"authorization": held.header} if held and held.until > self._clock() else {}

    def renew(self, scope: str, challenge: str) -> bool:
        """Answer a challenge with a token for ``scope``. False when there is nothing new to offer."""
        challenges = {one.scheme: one.parameters for one in reversed(parse_challenges(challenge))}
        if self._secret is not None and not self._login:
            return False
        renewed = self._renew_login()
        if "bearer" in challenges:
            header, lifetime = self._fetch(challenges["bearer"], scope)
            with self._lock:
                self._held[scope] = _Held(header, self._clock() + max(lifetime - _MARGIN, lifetime / 2))
            return True
        if "basic" in challenges and self._login and (renewed or not self._basic):
            self._basic = True
            return True
        return False

    def _renew_login(self) -> bool:
        """Have a new login, unless the last one is so young that another would be refused as well."""
        if self._fresh is None:
            return False
        with self._lock:
            if self._clock() - self._fetched < _RENEWED_AFTER:
                return False
            self._login = _basic(*self._fresh())
            self._fetched = self._clock()
            return True

    def _fetch(self, parameters: Mapping[str, str], scope: str) -> tuple[str, float]:
        realm = parameters.get("realm", "")
        with_login = self._check(realm)
        query = {"service": parameters["service"]} if parameters.get("service") else {}
        if scope:
            query["scope"] = scope
        login = Fixed({"authorization": self._login}) if with_login else None
        parts = urlsplit(realm)
        with self._client(f"{parts.scheme}://{parts.netloc}", credentials=login) as client:
            answer = client.get(
                parts.path + (f"?{parts.query}" if parts.query else ""),
                params=query,
                limit=_LARGEST_TOKEN_ANSWER,
            )
        return self._token(answer)

    def _check(self, realm: str) -> bool:
        """Whether the login may be sent to ``realm``; raises when the realm may not be asked at all."""
        try:
            hosts.base_url(realm)
        except ConfigError:
            raise UnreadableError("the registry names a token server that is no address") from None
        host = hosts.origin(realm)[1]
        registry = hosts.origin(self._base)[1]
        encrypted = realm.startswith("https://") or self._base.startswith("http://")
        if hosts.same_host(realm, self._base) and encrypted:
            return bool(self._login)
        if host in self._realms or (KNOWN_REALMS.get(registry) == host and realm.startswith("https://")):
            return bool(self._login)
        if not realm.startswith("https://"):
            raise AuthError(
                f"{registry} sends its users to an unencrypted token server, {host}: refused",
                hint=f"if it is yours, add it to the source: `token_realms: [{host}]`",
            )
        if self._login:
            raise AuthError(
                f"{registry} asks for the password to be sent to another host, {host}: refused",
                hint=f"if it is its token server, add it to the source: `token_realms: [{host}]`",
            )
        return False

    def _token(self, answer: Response) -> tuple[str, float]:
        host = hosts.origin(answer.url)[1]
        if answer.status in (400, 401, 403):
            if self._login:
                raise AuthError(
                    f"the token server {host} refused user and token ({answer.status})",
                    hint="check `user` and `token` of this source",
                )
            raise AuthError(
                f"the token server {host} refused anonymous access ({answer.status})",
                hint="give `user` and `token` for this source",
            )
        content = answer.expect("a token").json()
        token = (content.get("token") or content.get("access_token")) if isinstance(content, dict) else None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UnreadableError(f"the token server {host} answered without a token")
        lifetime = content.get("expires_in")
        seconds = float(lifetime) if isinstance(lifetime, int | float) and lifetime > 0 else _LIFETIME
        return f"Bearer {token}", seconds
