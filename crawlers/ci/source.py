"""Build logs, artifacts and variables of CI systems: what a build said stays readable until it is deleted.

    ci://HOST/PROJECT                       a project: name and description
    ci://HOST/PROJECT/settings/NAME         its variables, its configuration
    ci://HOST/PROJECT/run/RUN               a run: title, parameters, who and what set it off
    ci://HOST/PROJECT/run/RUN/job/JOB       a log; its steps follow a ``#``
    ci://HOST/PROJECT/run/RUN/artifact/ID   a file that it left

A project is a row of the ledger and a unit. Within it the oldest run is read first, for its logs die first.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import unquote
from uuid import uuid4

import msgspec

from unsprawl.config import Reference, SourceConfig, resolve
from unsprawl.crawlers.ci.course import Course, Listing, all_understood
from unsprawl.crawlers.ci.doctor import diagnosed
from unsprawl.crawlers.ci.model import ExpiredError, Project, System, place, understood
from unsprawl.crawlers.ci.systems import address, opened
from unsprawl.crawlers.spider.session import NEEDS, Spider
from unsprawl.errors import AuthError, ConfigError, SourceError
from unsprawl.records import Cursor, Diagnosis, Document, Event, Seen, Skipped, Unit
from unsprawl.secret import Secret
from unsprawl.wire import hosts

__all__ = ["CiSource"]

_EXCLUDED: Final = "left out by exclude"


class CiSource:
    """``ci {system, url, projects, user, token}``: one build system, read as one account sees it."""

    type = "ci"
    needs: ClassVar[tuple[str, ...]] = NEEDS
    reads_in: Literal["coordinator"] = "coordinator"

    class Config(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Keys of a source of ``type: ci``.

        ``url`` is the API's address (default: the vendor's cloud, where there is one), ``projects`` are
        names, folders or globs as the system writes them (default: all that are shown), ``user`` goes with
        ``token`` where the system wants both. ``artifacts: false`` reads logs alone, ``max_artifact_bytes``
        leaves larger files out. ``retention_days`` is how long logs are kept, where the system does not
        say it; ``lookback_days`` leaves older runs out. After ``relist_days`` every run is listed again, for
        an old one may have been started anew. ``max_wait`` is the patience with the host in seconds,
        ``request_interval`` the pause between requests, ``at_once`` how many it answers side by side.
        """

        system: Literal[
            "github",
            "gitlab",
            "jenkins",
            "circleci",
            "buildkite",
            "azure",
            "bitbucket",
            "travis",
            "buildbot",
        ]
        url: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\s/?#]+[^\s?#]*)?$")] = ""
        projects: tuple[Annotated[str, msgspec.Meta(min_length=1)], ...] = ()
        user: str = ""
        token: Reference | None = None
        artifacts: bool = True
        max_artifact_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1 << 30
        retention_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] | None = None
        lookback_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] | None = None
        relist_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 7
        max_wait: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 300.0
        request_interval: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0
        at_once: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.config = config
        self.base = hosts.base_url(address(name, config.system, config.url))
        self.top = f"ci://{self.base.partition('://')[2]}"
        if config.user and config.token is None:
            raise ConfigError(f"sources.{name}: `user` without `token`", hint="give both")
        self._lock = Lock()
        self._opened: tuple[Spider, System] | None = None
        self._listings: dict[str, Listing] = {}

    # --- what there is ---------------------------------------------------------------------------

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002 - known by runs and times
        """The projects, as the system lists them."""
        system = self._system()
        with understood("the account"):
            system.login()
        shared = {"walk": uuid4().hex, "now": datetime.now(UTC).isoformat()}
        known: set[str] = set()
        for project in all_understood(system.projects(), "the projects"):
            if isinstance(project, Skipped):
                yield project
                continue
            uri = self._uri(project.key)
            if uri in known:
                continue
            known.add(uri)
            if self.config.excludes(project.name):
                yield Skipped(uri, _EXCLUDED, excluded=True, parents=(project.name,))
            else:
                yield Unit(uri, project.name, (project.name,), {**shared, "project": project})
        if not known:
            hint = "is `projects` spelt as the system spells it, and may the token list them?"
            yield Skipped(f"{self.top}/", "no project is shown to this account", hint, parents=("projects",))

    # --- reading ---------------------------------------------------------------------------------

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """A project: itself, then its runs from the oldest on, with a checkpoint behind each."""
        with self._lock:
            listing = self._listings.setdefault(unit.id, Listing())
        course = self._course(unit.data["project"], seen)
        yield from course.walk(unit.data["walk"], unit.data["now"], since or {}, listing)
        with self._lock:
            self._listings.pop(unit.id, None)

    # --- asked for one by one --------------------------------------------------------------------

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one document again, whatever its version."""
        names = uri.partition("#")[0].removeprefix(f"{self.top}/").split("/")
        if not uri.startswith(f"{self.top}/") or not names[0]:
            return Skipped(uri, "not an address of this source")
        try:
            with understood("the project"):
                project = self._system().project(unquote(names[0]))
            course = self._course(project, lambda _: None)
            found = course.one(names[1:])
        except ExpiredError as error:
            return Skipped(uri, f"no longer there: {error.message}")
        except AuthError:
            raise
        except SourceError as error:
            return Skipped(uri, error.message, error.hint)
        return found or Skipped(uri, "no longer there")

    def diagnose(self) -> Iterator[Diagnosis]:
        """Who asks, what is shown, and what will not be seen."""
        return diagnosed(self._system(), self.base, self.config.projects)

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            made, self._opened = self._opened, None
        if made is not None:
            made[0].close()

    # --- parts -----------------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        """What was asked so far, retries too."""
        return self._opened[0].requests if self._opened else 0

    def _course(self, project: Project, seen: Seen) -> Course:
        return Course(self._system(), project, self._uri(project.key), self.config, seen)

    def _uri(self, key: str) -> str:
        return f"{self.top}/{place(key)}"

    def _system(self) -> System:
        with self._lock:
            if self._opened is None:
                config = self.config
                token = resolve(config.token, f"sources.{self.name}.token") if config.token else None
                spider, system = opened(self.name, config, self.base, _stripped(token))
                self._opened = (spider, system)
            return self._opened[1]


def _stripped(token: Secret | None) -> str:
    """The token as a header takes it: files end with a line end."""
    return token.text().strip() if token is not None else ""
