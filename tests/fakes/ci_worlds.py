"""Small build systems for tests: what is planted in each, and the source that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from ci_clouds import AzureServer, BitbucketServer, BuildkiteServer, CircleServer, azure_log, buildkite_log
from ci_servers import (
    BuildbotServer,
    GitLabServer,
    JenkinsServer,
    TravisServer,
    console,
    gitlab_log,
    plain,
    travis_log,
)

from unsprawl.crawlers.ci.source import CiSource
from unsprawl.estate.actions_server import ActionsServer, StorageServer, log_of
from unsprawl.estate.builds import Builds, Job, Project, Run, Step, packed
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
    at_storage: bool = False
    """Logs are asked for at the storage, by links that the system gives."""
    name_of: Callable[[Job], str] = lambda job: f"job/{job.id}"
    """How the uri of a log names the job."""

    def refuse(self, job: Job) -> None:
        """Its log is not for this account."""
        where = self.storage if self.at_storage else self.server
        where.faults.append(Fault(self.log(job), 403, {}, b"{}"))

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


# --- the others ----------------------------------------------------------------------------------


def _made(
    system: str,
    server: Any,
    below: Callable[[Project], str],
    settings_of: Callable[[Project], dict[str, bytes | None]],
    key_of: Callable[[Run], str],
    pieces_of: Callable[[Run], dict[str, bytes | None]],
    **more: Any,
) -> CiWorld:
    def bodies() -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for project in server.builds.projects.values():
            top = quote(below(project), safe="")
            found[top] = None
            found |= {f"{top}/settings/{name}": body for name, body in settings_of(project).items()}
            for run in project.runs:
                if run.finished is not None:
                    own = f"{top}/run/{quote(key_of(run), safe='')}"
                    found |= {own: None, **{f"{own}/{name}": body for name, body in pieces_of(run).items()}}
        return found

    return CiWorld(system, server.builds, server, server.storage, bodies, **more)


def _name(project: Project) -> str:
    return project.name


def _env(values: dict[str, str]) -> bytes:
    return "".join(f"{name}={value}\n" for name, value in values.items()).encode()


def _variables(project: Project) -> dict[str, bytes | None]:
    return {"variables": _env(project.variables)}


def _logs(run: Run, log: Callable[[Job], bytes] = plain) -> dict[str, bytes | None]:
    return {f"job/{job.id}": log(job) for job in run.jobs if not job.gone}


@world("gitlab")
def _gitlab(builds: Builds, storage: StorageServer, stack: ExitStack) -> CiWorld:
    server = stack.enter_context(GitLabServer(builds, TOKEN, storage))

    def pieces(run: Run) -> dict[str, bytes | None]:
        found = {**_logs(run, gitlab_log)}
        for child in run.children:
            found |= pieces(child)
        if run.variables:
            found["variables"] = _env(run.variables)
        found |= {f"artifact/{run.jobs[-1].id}": packed(one.name, one.content) for one in run.files}
        return found

    return _made(
        "gitlab",
        server,
        _name,
        lambda one: {**_variables(one), "schedules": b""},
        lambda run: str(run.id),
        pieces,
        log=lambda job: f"jobs/{job.id}/trace",
    )


@world("jenkins")
def _jenkins(builds: Builds, storage: StorageServer, stack: ExitStack) -> CiWorld:
    server = stack.enter_context(JenkinsServer(builds, TOKEN, storage))

    def pieces(run: Run) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {"job/console": console(run)}
        found["environment"] = _env({"BUILD_NUMBER": str(run.number), **run.variables})
        return found | {f"artifact/out/{one.name}": one.content for one in run.files}

    def number(job: Job) -> int:
        found = server.job(job.id)
        assert found
        return found[1].number

    return _made(
        "jenkins",
        server,
        _name,
        lambda _: {"config.xml": None},
        lambda run: str(run.number),
        pieces,
        settings={"user": "auditor"},
        log=lambda job: f"/{number(job)}/consoleText",
        name_of=lambda job: f"{number(job)}/job/console",
    )


@world("buildbot")
def _buildbot(builds: Builds, storage: StorageServer, stack: ExitStack) -> CiWorld:
    server = stack.enter_context(BuildbotServer(builds, TOKEN, storage))
    return _made(
        "buildbot",
        server,
        lambda one: str(one.id),
        lambda _: {},
        lambda run: str(run.id),
        lambda run: {"properties": _env(run.variables), **_logs(run)},
        log=lambda job: f"logs/{job.id}/contents",
    )


@world("travis")
def _travis(builds: Builds, storage: StorageServer, stack: ExitStack) -> CiWorld:
    server = stack.enter_context(TravisServer(builds, TOKEN, storage))
    return _made(
        "travis",
        server,
        _name,
        _variables,
        lambda run: str(run.id),
        lambda run: _logs(run, travis_log),
        log=lambda job: f"job/{job.id}/log.txt",
    )


@world("circleci")
def _circleci(builds: Builds, storage: StorageServer, stack: ExitStack) -> CiWorld:
    server = stack.enter_context(CircleServer(builds, TOKEN, storage))

    def pieces(run: Run) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {
            f"job/{job.id}/{index}.0": f"{step.text}\n".encode()
            for job in run.jobs
            for index, step in enumerate(job.steps)
            if not job.gone
        }
        return found | {f"artifact/{run.jobs[-1].id}/0/out/{one.name}": one.content for one in run.files}

    return _made(
        "circleci",
        server,
        lambda one: f"gh/{one.name}",
        lambda _: {},
        lambda run: f"p-{run.id}",
        pieces,
        at_storage=True,
        log=lambda job: f"/output/{job.id}/0",
        name_of=lambda job: f"job/{job.id}/0.0",
    )


@world("buildkite")
def _buildkite(builds: Builds, storage: StorageServer, stack: ExitStack) -> CiWorld:
    server = stack.enter_context(BuildkiteServer(builds, TOKEN, storage))

    def pieces(run: Run) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {
            f"job/j-{job.id}": buildkite_log(job) for job in run.jobs if not job.gone
        }
        found |= {f"environment/j-{job.id}": None for job in run.jobs}
        return found | {f"artifact/a-{one.id}": one.content for one in run.files}

    return _made(
        "buildkite",
        server,
        _name,
        lambda _: {"configuration": None},
        lambda run: str(run.number),
        pieces,
        log=lambda job: f"jobs/j-{job.id}/log",
        name_of=lambda job: f"job/j-{job.id}",
    )


@world("azure")
def _azure(builds: Builds, storage: StorageServer, stack: ExitStack) -> CiWorld:
    server = stack.enter_context(AzureServer(builds, TOKEN, storage))

    def pieces(run: Run) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {
            f"job/{job.id * 100 + index}": azure_log(step)
            for job in run.jobs
            for index, step in enumerate(job.steps)
            if not job.gone
        }
        return found | {f"artifact/{one.name}": packed(one.name, one.content) for one in run.files}

    return _made(
        "azure",
        server,
        lambda one: one.name.partition("/")[2],
        lambda one: {**_variables(one), "definitions": b""},
        lambda run: str(run.id),
        pieces,
        url=f"{server.url}/acme",
        log=lambda job: f"/logs/{job.id * 100}",
        name_of=lambda job: f"job/{job.id * 100}",
    )


@world("bitbucket")
def _bitbucket(builds: Builds, storage: StorageServer, stack: ExitStack) -> CiWorld:
    server = stack.enter_context(BitbucketServer(builds, TOKEN, storage))
    return _made(
        "bitbucket",
        server,
        _name,
        _variables,
        lambda run: f"{{r-{run.id}}}",
        lambda run: {f"job/%7Bs-{job.id}%7D": plain(job) for job in run.jobs if not job.gone},
        settings={"user": "auditor@acme.test", "projects": ("acme",)},
        log=lambda job: rf"steps/{{s-{job.id}}}/log",
        name_of=lambda job: f"job/%7Bs-{job.id}%7D",
    )
