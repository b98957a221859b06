"""Jenkins: folders, multibranch pipelines, and every kind of job in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.ci.desk import Desk
from unsprawl.crawlers.ci.model import ExpiredError, Known, Piece, Project, Run, chosen, lines, place, when
from unsprawl.crawlers.ci.steps import by_markers
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Audience, Diagnosis, Skipped

__all__ = ["Jenkins"]

_PAGE: Final = 100
#: Folders within folders that one request shows; deeper ones are asked for on their own.
_LEVELS: Final = 4
_DEEPEST: Final = 32
_BUILD: Final = (
    "number,timestamp,duration,building,result,displayName,description,"
    "actions[parameters[name,value],causes[shortDescription,userId]],"
    "artifacts[relativePath],changeSets[items[msg,author[fullName]]],changeSet[items[msg,author[fullName]]]"
)
_CONFIG: Final = "Job/ExtendedRead shows a job's configuration"


class Jenkins:
    """``projects`` are full names (``folder/job/branch``), folders, or globs over full names."""

    days = None

    def __init__(self, desk: Desk, projects: Sequence[str]) -> None:
        self._desk = desk
        self._wanted = projects
        self._anonymous = False
        self._environments = True

    def login(self) -> str:
        answer = self._desk.spider.get("/whoAmI/api/json")
        if answer.status in (401, 403):
            raise AuthError(
                f"{self._desk.host} refused the credentials ({answer.status})", hint=self._desk.hint
            )
        me = answer.json() if answer.status == 200 else {}
        self._anonymous = bool(me.get("anonymous"))
        return "as nobody in particular" if self._anonymous else f"as {me.get('name')}"

    # --- jobs ------------------------------------------------------------------------------------

    def projects(self) -> Iterator[Project | Skipped]:
        yield from self._folder("", 0)

    def _folder(self, folder: str, depth: int) -> Iterator[Project | Skipped]:
        tree = "name"
        for _ in range(_LEVELS):
            tree = f"name,_class,description,color,jobs[{tree}]"
        try:
            listed = self._desk.json(f"{_path(folder)}/api/json", {"tree": f"jobs[{tree}]"}, what="the jobs")
        except AuthError:
            raise
        except UnreadableError as error:
            if not folder:
                raise
            uri = f"ci://{self._desk.spider.base.partition('://')[2]}/{place(folder)}"
            yield Skipped(uri, error.message, error.hint, parents=(folder,))
            return
        yield from self._jobs(listed, folder, 1, depth)

    def _jobs(
        self, listed: Mapping[str, Any], folder: str, level: int, depth: int
    ) -> Iterator[Project | Skipped]:
        for one in listed.get("jobs") or ():
            name = f"{folder}/{one.get('name')}".lstrip("/")
            inside = "jobs" in one or "older" in str(one.get("_class")).lower()
            if not inside or "color" in one:
                if chosen(name, self._wanted):
                    yield self._job(name, one)
            elif level < _LEVELS:
                yield from self._jobs(one, name, level + 1, depth)
            elif depth < _DEEPEST:
                yield from self._folder(name, depth + level)

    def _job(self, name: str, raw: Mapping[str, Any]) -> Project:
        audience = Audience.PUBLIC if self._anonymous else Audience.UNKNOWN
        about = {"description": raw.get("description")}
        return Project(name, name, f"{self._desk.spider.base}{_path(name)}/", audience, data=about)

    def project(self, key: str) -> Project:
        raw = self._desk.json(f"{_path(key)}/api/json", {"tree": "name,description"}, what=f"the job {key}")
        return self._job(key, raw)

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:
        yield Piece(
            "config.xml",
            partial(self._config, f"{_path(project.key)}/config.xml", project.name),
            media_type="application/xml",
            url=f"{project.url}configure",
        )

    def _config(self, path: str, name: str) -> bytes:
        try:
            return self._desk.ask(path, None, f"the configuration of {name}").body
        except UnreadableError as error:
            raise UnreadableError(error.message, hint=_CONFIG) from None

    # --- builds ----------------------------------------------------------------------------------

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        what = f"the builds of {project.name}"
        first = 0
        while True:
            field = "allBuilds" if first else "builds"
            tree = f"{field}[{_BUILD}]{{{first},{first + _PAGE}}}"
            listed = self._desk.json(f"{_path(project.key)}/api/json", {"tree": tree}, what=what)
            builds = listed.get(field) or []
            for raw in builds:
                yield self._run(project, raw)
            if len(builds) < _PAGE or (known and any(one["number"] <= known.number for one in builds)):
                return
            first += _PAGE

    def run(self, project: Project, key: str) -> Run:
        answer = self._desk.spider.get(f"{_path(project.key)}/{quote(key)}/api/json", params={"tree": _BUILD})
        if answer.status == 404:
            raise ExpiredError(f"{self._desk.host} no longer has the build {key}")
        return self._run(project, answer.expect(f"the build {key}", self._desk.hint).json())

    def _run(self, project: Project, raw: Mapping[str, Any]) -> Run:
        begun, took = raw.get("timestamp") or 0, raw.get("duration") or 0
        parameters: dict[str, Any] = {}
        causes: list[str] = []
        author = None
        for action in raw.get("actions") or ():
            parameters |= {str(one.get("name")): one.get("value") for one in action.get("parameters") or ()}
            for cause in action.get("causes") or ():
                causes.append(str(cause.get("shortDescription")))
                author = author or cause.get("userId")
        sets = [*(raw.get("changeSets") or ()), raw.get("changeSet") or {}]
        messages = [str(item.get("msg")) for one in sets for item in one.get("items") or ()]
        told = {
            "result": raw.get("result"),
            "description": raw.get("description"),
            "cause": ", ".join(causes),
        }
        text = lines(parameters).decode("utf-8", "replace") + "".join(f"{one}\n" for one in messages)
        number = int(raw["number"])
        return Run(
            str(number),
            number,
            None if raw.get("building") else when(begun + took),
            when(begun),
            f"{begun}.{took}",
            str(raw.get("displayName") or ""),
            author,
            f"{project.url}{number}/",
            {key: value for key, value in told.items() if value},
            {"text": text, "artifacts": [one.get("relativePath") for one in raw.get("artifacts") or ()]},
        )

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]:
        """The console, the environment where a plugin keeps it, the artifacts."""
        path = f"{_path(project.key)}/{run.key}"
        yield Piece(
            "job/console",
            partial(self._desk.text, f"{path}/consoleText", what=f"the console of {project.name} {run.key}"),
            path="console",
            url=f"{run.url}console",
            attrs={"job": project.name},
            parts=by_markers("jenkins", f"{run.url}console"),
        )
        environment = self._environment(path)
        if environment:
            yield Piece(
                "environment", lambda: environment, path="environment", url=f"{run.url}injectedEnvVars"
            )
        for name in run.data.get("artifacts") or ():
            if not name or ".." in str(name).split("/"):
                continue
            yield Piece(
                f"artifact/{quote(str(name))}",
                partial(self._desk.text, f"{path}/artifact/{quote(str(name))}", what=f"the artifact {name}"),
                path=f"artifact/{name}",
                media_type="",
                url=f"{run.url}artifact/{quote(str(name))}",
                attrs={"artifact": str(name)},
            )

    def _environment(self, path: str) -> bytes:
        """Kept by the plugin EnvInject alone: once it is known to be missing, it is not asked for again."""
        if not self._environments:
            return b""
        told = self._desk.optional(f"{path}/injectedEnvVars/api/json", what="the environment")
        if told is None:
            self._environments = False
            return b""
        return lines(told.get("envMap") or {})

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:
        answer = self._desk.spider.get(f"{_path(project.key)}/config.xml")
        if answer.status != 200:
            yield Diagnosis(f"configurations are not seen ({answer.status})", False, _CONFIG)


def _path(name: str) -> str:
    return "".join(f"/job/{quote(part, safe='')}" for part in name.split("/") if part)
