"""Which build systems there are: where each stands, and how it wants to be told who asks."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from unsprawl.crawlers.ci.azure import Azure
from unsprawl.crawlers.ci.bitbucket import Bitbucket
from unsprawl.crawlers.ci.buildbot import Buildbot
from unsprawl.crawlers.ci.buildkite import Buildkite
from unsprawl.crawlers.ci.circleci import CircleCI
from unsprawl.crawlers.ci.desk import Desk
from unsprawl.crawlers.ci.github import GitHub
from unsprawl.crawlers.ci.gitlab import GitLab
from unsprawl.crawlers.ci.jenkins import Jenkins
from unsprawl.crawlers.ci.model import System
from unsprawl.crawlers.ci.travis import Travis
from unsprawl.crawlers.spider.session import Spider
from unsprawl.errors import ConfigError
from unsprawl.wire.patience import Patience

__all__ = ["address", "opened"]

_CLOUDS: Final[Mapping[str, str]] = {
    "github": "https://api.github.com",
    "gitlab": "https://gitlab.com",
    "circleci": "https://circleci.com",
    "buildkite": "https://api.buildkite.com",
    "azure": "https://dev.azure.com",
    "bitbucket": "https://api.bitbucket.org",
    "travis": "https://api.travis-ci.com",
}
#: What people copy from their browser, and where its API stands.
_PAGES: Final[Mapping[str, str]] = {
    "https://github.com": "https://api.github.com",
    "https://www.github.com": "https://api.github.com",
    "https://bitbucket.org": "https://api.bitbucket.org",
    "https://buildkite.com": "https://api.buildkite.com",
    "https://app.circleci.com": "https://circleci.com",
    "https://app.travis-ci.com": "https://api.travis-ci.com",
}
_MAKERS: Final[Mapping[str, Callable[[Desk, Sequence[str]], System]]] = {
    "github": GitHub,
    "gitlab": GitLab,
    "jenkins": Jenkins,
    "circleci": CircleCI,
    "buildkite": Buildkite,
    "azure": Azure,
    "bitbucket": Bitbucket,
    "travis": Travis,
    "buildbot": Buildbot,
}
_HEADERS: Final[Mapping[str, Mapping[str, str]]] = {
    "github": {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"},
    "travis": {"travis-api-version": "3"},
}
#: What a token needs at least, told when access is refused.
_HINTS: Final[Mapping[str, str]] = {
    "github": "the token needs Actions: read of these repositories (classic: the scope repo)",
    "gitlab": "the token needs the scope read_api, its account at least the role Reporter",
    "jenkins": "the account needs Overall/Read, Job/Read and, for artifacts, Run/Artifacts",
    "circleci": "a personal API token of somebody who may see the project",
    "buildkite": "the token needs read_organizations, read_pipelines, read_builds, read_build_logs, "
    "read_artifacts",
    "azure": "the personal access token needs Build (Read)",
    "bitbucket": "the API token needs read:pipeline:bitbucket and read:repository:bitbucket",
    "travis": "the token of somebody who may see the repository",
    "buildbot": "the account needs to be allowed to read by the master's authorisation",
}


class Settings(Protocol):
    @property
    def system(self) -> str: ...
    @property
    def projects(self) -> Sequence[str]: ...
    @property
    def user(self) -> str: ...
    @property
    def max_wait(self) -> float: ...
    @property
    def request_interval(self) -> float: ...
    @property
    def at_once(self) -> int: ...


def address(name: str, system: str, url: str) -> str:
    """Where the API stands. Raises ``ConfigError`` for systems that have no cloud of their own."""
    if url:
        return _PAGES.get(url.rstrip("/"), url)
    if system not in _CLOUDS:
        hint = "give the address of the server"
        raise ConfigError(f"sources.{name}: {system} has no address of its own", hint=hint)
    return _CLOUDS[system]


def opened(name: str, settings: Settings, base: str, token: str) -> tuple[Spider, System]:
    """The way to the system, and the system."""
    kind = settings.system
    if kind == "gitlab":
        base = base.removesuffix("/api/v4")
    spider = Spider(
        name,
        base,
        secret=_secret(kind, settings.user, token),
        patience=Patience(total=settings.max_wait),
        interval=settings.request_interval,
        concurrency=settings.at_once,
    )
    desk = Desk(spider, _HEADERS.get(kind), _HINTS[kind], page_means_login=kind == "azure")
    return spider, _MAKERS[kind](desk, settings.projects)


def _secret(kind: str, user: str, token: str) -> dict[str, str]:
    if not token:
        return {}
    if user or kind == "azure":
        pair = base64.b64encode(f"{user}:{token}".encode()).decode()
        return {"authorization": f"Basic {pair}"}
    if kind == "gitlab":
        return {"private-token": token}
    if kind == "circleci":
        return {"circle-token": token}
    return {"authorization": f"token {token}" if kind == "travis" else f"Bearer {token}"}
