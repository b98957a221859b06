"""Small build systems for tests: what is planted in each, and the source that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from unsprawl.crawlers.ci.source import CiSource
from unsprawl.estate.actions_server import ActionsServer, StorageServer, log_of
from unsprawl.estate.builds import Builds, Job, Step, packed
from unsprawl.estate.loopback import Fault, LoopbackServer

TOKEN = uuid4().hex
VARIABLE = "CI_TEST_TOKEN"


@dataclass
class CiWorld:
    """A system with its servers. ``bodies`` are all documents by their uri below the source's top."""

    system: str
    builds: Builds
    server: LoopbackServer
    storage: StorageServer
    bodies: Callable[[], dict[str, bytes | None]]
    settings: dict[str, Any] = field(default_factory=dict)
    url: str = ""

    @property
    def top(self) -> str:
        return "ci://" + (self.url or self.server.url).removeprefix("http://")

    @property
    def path(self) -> str:
        """Of the address that the source is given."""
        return "/" + self.url.partition("://")[2].partition("/")[2] if self.url else ""

    log: Callable[[Job], str] = lambda job: f"jobs/{job.id}/logs"
    """What the path of a job's log looks like, as a pattern."""
    name_of: Callable[[Job], str] = lambda job: str(job.id)
    """How the uri of a log names the job."""

    def refuse(self, job: Job) -> None:
        """Its log is not for this account."""
        self.server.faults.append(Fault(self.log(job), 403, {}, b"{}"))

    def build(self, url: str = "", **more: Any) -> CiSource:
        given: dict[str, Any] = {"token": "${" + VARIABLE + "}", "max_wait": 3.0, **self.settings, **more}
        config = CiSource.Config(system=self.system, url=url or self.url or self.server.url, **given)  # type: ignore[arg-type]
        return CiSource("builds", config)


WORLDS: dict[str, Callable[[Builds, StorageServer, ExitStack], CiWorld]] = {}


def world(name: str) -> Callable[[Any], Any]:
    def register(make: Any) -> Any:
        WORLDS[name] = make
        return make

    return register


@contextmanager
def opened(name: str, fill: Callable[[Builds], None] | None = None) -> Iterator[CiWorld]:
    """The world of one system, filled like all others."""
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv(VARIABLE, TOKEN)
        storage = stack.enter_context(StorageServer())
        builds = Builds()
        (fill or small)(builds)
        yield WORLDS[name](builds, storage, stack)


def small(builds: Builds) -> None:
    """Two projects, one of which refuses, with runs in all states."""
    shop = builds.project("acme/shop")
    shop.variables = {"DEPLOY_HOST": "shop.acme.test", "RETRIES": "3"}
    builds.project("acme/web", private=False)
    for number in range(3):
        run = builds.run("acme/shop", age=timedelta(days=20 - number), title=f"change {number}")
        run.variables = {"TARGET": f"stage{number}"}
        builds.job(run, "build", Step("make", f"compiling {number}\ndone"), Step("test", "all is well"))
        builds.job(run, "deploy", Step("push", f"pushed {number}"))
    builds.file(run, "report", b"nothing to see " * 50)
    run = builds.run("acme/shop", age=timedelta(minutes=5), running=True, title="still at it")
    builds.job(run, "build", Step("make", "compiling"))
    run = builds.run("acme/web", age=timedelta(days=3))
    builds.job(run, "lint", Step("lint", "fine"))


@world("github")
def _github(builds: Builds, storage: StorageServer, stack: ExitStack) -> CiWorld:
    server = stack.enter_context(ActionsServer(builds, TOKEN, storage))

    def bodies() -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for project in builds.projects.values():
            if project.closed:
                continue
            top = project.name.replace("/", "%2F")
            found |= {
                top: None,
                f"{top}/settings/variables": None,
                f"{top}/settings/organisation-variables": b"",
            }
            for run in project.runs:
                if run.finished is None:
                    continue
                own = f"{top}/run/{run.id}"
                found[own] = None
                found |= {f"{own}/job/{job.id}": log_of(job) for job in run.jobs if not job.gone}
                found |= {f"{own}/check/{job.id}": job.summary.encode() for job in run.jobs if job.summary}
                found |= {
                    f"{own}/artifact/{one.id}": packed(one.name, one.content)
                    for one in run.files
                    if not one.expired
                }
        return found

    return CiWorld("github", builds, server, storage, bodies)
