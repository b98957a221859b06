"""Which kind of registry this is, and how that kind is logged in to and enumerated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

from unsprawl.crawlers.registry import amazon, azure
from unsprawl.crawlers.registry.api import Api
from unsprawl.crawlers.registry.github import GITHUB_API, GITHUB_HEADERS, GitHub
from unsprawl.crawlers.registry.gitlab import GITLAB_API, GitLab
from unsprawl.crawlers.registry.google import GOOGLE_API, Google, location_of
from unsprawl.crawlers.registry.harbor import Harbor
from unsprawl.crawlers.registry.hub import HUB_API, Hub, HubLogin
from unsprawl.crawlers.registry.listing import Catalog, Listing
from unsprawl.crawlers.registry.quay import Quay
from unsprawl.errors import ConfigError
from unsprawl.oci.distribution import Distribution
from unsprawl.secret import Secret
from unsprawl.wire import hosts
from unsprawl.wire.client import Client, Credentials, Fixed
from unsprawl.wire.pacing import Pace
from unsprawl.wire.patience import Patience

if TYPE_CHECKING:
    from botocore.client import BaseClient

__all__ = ["Kind", "Kinds", "Settings"]

Kind: TypeAlias = Literal[
    "auto", "catalog", "hub", "github", "ecr", "artifact-registry", "acr", "harbor", "quay", "gitlab"
]

_HOSTS: Final[dict[str, Kind]] = {
    "registry-1.docker.io": "hub",
    "index.docker.io": "hub",
    "docker.io": "hub",
    "ghcr.io": "github",
    "quay.io": "quay",
    "registry.gitlab.com": "gitlab",
}
#: Where nobody can see everything, the owner has to say whose repositories are meant.
_NAMESPACES: Final[dict[str, str]] = {
    "hub": "users or organisations",
    "github": "organisations or users",
    "quay": "organisations or users",
    "artifact-registry": "projects, or project/repository",
}


class Settings(Protocol):
    """What the owner says about the kind."""

    @property
    def url(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def listing(self) -> Kind: ...
    @property
    def namespaces(self) -> tuple[str, ...]: ...
    @property
    def repositories(self) -> tuple[str, ...]: ...
    @property
    def api_url(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def profile(self) -> str: ...
    @property
    def max_wait(self) -> float: ...
    @property
    def request_interval(self) -> float: ...


class Kinds:
    """One source's kind. ``secret`` opens the registry, ``api_secret`` the API beside it."""

    def __init__(
        self, name: str, settings: Settings, secret: Secret | None, api_secret: Secret | None
    ) -> None:
        self.kind: Kind = _kind_of(settings)
        self._name = name
        self._settings = settings
        self._secret = secret
        self._api_secret = api_secret
        self._clients: list[Client] = []
        self._ecr: BaseClient | None = None

    @property
    def required(self) -> bool:
        """Whether a refusal of the API is a gap: not when it was chosen by the registry's name alone."""
        return self._settings.listing != "auto"

    def fresh_login(self) -> Callable[[], tuple[str, Secret]] | None:
        """What gives a login of some hours, for kinds that take no lasting one."""
        if self.kind == "ecr" and self._secret is None:
            return lambda: amazon.login(self._amazon())
        if self.kind == "acr" and self._secret is not None and not self._settings.user:
            return partial(azure.exchange, self._settings.url, self._secret)
        return None

    def realms(self) -> tuple[str, ...]:
        """Token servers that the owner named by naming the API: GitLab's registry is told to ask GitLab."""
        own = self._settings.api_url
        return (hosts.origin(hosts.base_url(own))[1],) if own and self.kind == "gitlab" else ()

    def listing(self, registry: Distribution) -> Listing | None:
        """None where the catalog and the tags of the protocol are all there is."""
        settings = self._settings
        names = settings.namespaces
        needed = _NAMESPACES.get(self.kind)
        if needed and not names and not settings.repositories:
            raise ConfigError(
                f"sources.{self._name}: this registry has no catalog",
                hint=f"list {needed} under `namespaces`, or names under `repositories`",
            )
        tags = Catalog(registry)
        if self.kind == "hub":
            return Hub(self._api(HUB_API, self._hub_login(), "the token needs the right to read"), names)
        if self.kind == "github":
            hint = "the token needs the scope read:packages, and the single sign-on of the organisation"
            return GitHub(self._api(GITHUB_API, self._bearer(), hint, GITHUB_HEADERS), names)
        if self.kind == "quay":
            hint = "give `api_token`: an OAuth token that may read repositories; a robot account may not"
            return Quay(self._api(_own(settings.url), self._bearer(own=False), hint), names)
        if self.kind == "harbor":
            hint = "the account needs the right to list projects, repositories, artifacts and tags"
            return Harbor(self._api(_own(settings.url), self._basic(), hint), names)
        if self.kind == "gitlab":
            hint = "give `api_token`: an access token with the scope read_api"
            return GitLab(self._api(GITLAB_API, self._private(), hint), names, tags)
        if self.kind == "artifact-registry":
            hint = "the account needs the role Artifact Registry Reader"
            location = settings.region or location_of(hosts.origin(settings.url)[1])
            if not location:
                raise ConfigError(
                    f"sources.{self._name}: which location?", hint="give it as `region`, such as europe-west3"
                )
            return Google(self._api(GOOGLE_API, self._bearer(), hint), location, names)
        if self.kind == "acr":
            hint = "the account needs the role AcrPull, a token the right metadata/read"
            return azure.Azure(Api(registry.client, hint), tags)
        if self.kind == "ecr":
            return amazon.Amazon(self._amazon(), amazon.account_of(hosts.origin(settings.url)[1]))
        return None

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self._ecr is not None:
            self._ecr.close()
            self._ecr = None

    # --- who asks ------------------------------------------------------------------------------------

    def _api(
        self, base: str, credentials: Credentials, hint: str, headers: dict[str, str] | None = None
    ) -> Api:
        settings = self._settings
        client = Client(
            settings.api_url or base,
            credentials=credentials,
            patience=Patience(total=settings.max_wait),
            pace=Pace(settings.request_interval),
        )
        self._clients.append(client)
        return Api(client, hint, headers)

    def _bearer(self, *, own: bool = True) -> Fixed:
        """``own``: the API takes the token that opens the registry, too."""
        secret = self._api_secret or (self._secret if own else None)
        return Fixed({"authorization": f"Bearer {secret.text()}"} if secret else {})

    def _private(self) -> Fixed:
        secret = self._api_secret or self._secret
        return Fixed({"private-token": secret.text()} if secret else {})

    def _basic(self) -> Credentials:
        import base64

        secret = self._api_secret or self._secret
        if secret is None or not self._settings.user:
            return Fixed()
        pair = base64.b64encode(self._settings.user.encode() + b":" + secret.reveal()).decode()
        return Fixed({"authorization": f"Basic {pair}"})

    def _hub_login(self) -> Credentials:
        secret, user = self._api_secret or self._secret, self._settings.user
        return HubLogin(self._settings.api_url or HUB_API, user, secret) if secret and user else Fixed()

    def _amazon(self) -> BaseClient:
        if self._ecr is None:
            settings = self._settings
            account = amazon.account_of(hosts.origin(settings.url)[1])
            region = settings.region or account.region
            self._ecr = amazon.client_of(
                amazon.Account(account.id, region), settings.profile, settings.api_url
            )
        return self._ecr


def _kind_of(settings: Settings) -> Kind:
    if settings.listing != "auto":
        return settings.listing
    host = hosts.origin(settings.url)[1]
    if host in _HOSTS:
        return _HOSTS[host]
    if amazon.account_of(host).id:
        return "ecr"
    if location_of(host):
        return "artifact-registry"
    return "acr" if host.endswith((".azurecr.io", ".azurecr.cn", ".azurecr.us")) else "catalog"


def _own(url: str) -> str:
    """The registry's own host: its API stands there, whatever path the registry has."""
    parts = urlsplit(hosts.base_url(url))
    return f"{parts.scheme}://{parts.netloc}"
