"""Travis CI, on travis-ci.com and on servers of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.ci.desk import Desk
from unsprawl.crawlers.ci.model import ExpiredError, Known, Piece, Project, Run, chosen, lines, when
from unsprawl.crawlers.ci.steps import by_markers
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Audience, Diagnosis, Skipped
from unsprawl.wire.client import Response

__all__ = ["Travis"]

_PAGE: Final = 100
_DONE: Final = frozenset({"passed", "failed", "errored", "canceled"})


class Travis:
    """``projects`` are ``owner/repository``, owners, or globs over both."""

    days = None

    def __init__(self, desk: Desk, projects: Sequence[str]) -> None:
        self._desk = desk
        self._wanted = projects

    def login(self) -> str:
        answer = self._desk.spider.get("/user", headers={"travis-api-version": "3"})
        if answer.status in (401, 403):
            raise AuthError(f"{self._desk.host} refused the token ({answer.status})", hint=self._desk.hint)
        return f"as {answer.expect('the account').json().get('login')}"

    # --- repositories ----------------------------------------------------------------------------

    def projects(self) -> Iterator[Project | Skipped]:
        owners = sorted({one.partition("/")[0] for one in self._wanted})
        if not owners or any(set("*?[") & set(one) for one in owners):
            yield from self._listed("/repos")
            return
        fixed = [one for one in self._wanted if "/" in one and not set("*?[") & set(one)]
        for one in fixed:
            try:
                yield self.project(one)
            except AuthError:
                raise
            except UnreadableError as error:
                uri = f"ci://{self._desk.host}/{quote(one, safe='')}"
                yield Skipped(uri, error.message, error.hint, parents=(one,))
        for owner in owners:
            if any(one not in fixed for one in self._wanted if one.partition("/")[0] == owner):
                yield from self._listed(f"/owner/{quote(owner)}/repos")

    def _listed(self, path: str) -> Iterator[Project]:
        for page in self._desk.pages(path, {"limit": _PAGE}, _more, what="the repositories"):
            for raw in page.get("repositories") or ():
                if chosen(str(raw.get("slug")), self._wanted):
                    yield self._project(raw)

    def _project(self, raw: Mapping[str, Any]) -> Project:
        name = str(raw.get("slug"))
        audience = Audience.RESTRICTED if raw.get("private") else Audience.PUBLIC
        url = f"https://app.travis-ci.com/{name}"
        return Project(name, name, url, audience, data={"description": raw.get("description")})

    def project(self, key: str) -> Project:
        return self._project(self._desk.json(f"/repo/{quote(key, safe='')}", what=f"the repository {key}"))

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:
        path = f"/repo/{quote(project.key, safe='')}/env_vars"
        yield Piece("variables", partial(self._variables, path), url=f"{project.url}/settings")

    def _variables(self, path: str) -> bytes:
        told = self._desk.json(path, what="the variables")
        return lines({str(one.get("name")): one.get("value") for one in told.get("env_vars") or ()})

    # --- builds ----------------------------------------------------------------------------------

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        path = f"/repo/{quote(project.key, safe='')}/builds"
        given = {"limit": _PAGE, "sort_by": "id:desc"}
        for page in self._desk.pages(path, given, _more, what=f"the builds of {project.name}"):
            raws = page.get("builds") or []
            for raw in raws:
                yield _run(project, raw)
            if known and any(raw["id"] <= known.number for raw in raws):
                return

    def run(self, project: Project, key: str) -> Run:
        answer = self._desk.spider.get(f"/build/{quote(key)}", headers={"travis-api-version": "3"})
        if answer.status == 404:
            raise ExpiredError(f"{self._desk.host} no longer has the build {key}")
        return _run(project, answer.expect(f"the build {key}", self._desk.hint).json())

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]:
        """The logs of its jobs, and what each was configured to do."""
        told = self._desk.json(
            f"/build/{run.key}/jobs", {"include": "job.config"}, what=f"the jobs of build {run.key}"
        )
        for job in told.get("jobs") or ():
            name, number = str(job.get("number")), job["id"]
            url = f"{project.url}/jobs/{number}"
            attrs = {"job": name}
            if job.get("config"):
                import json

                body = json.dumps(job["config"], ensure_ascii=False, indent=1).encode("utf-8", "replace")
                path = f"{name}/config.json"
                yield Piece(
                    f"config/{number}",
                    partial(bytes, body),
                    path,
                    "application/json",
                    url=f"{url}/config",
                    attrs=attrs,
                )
            if job.get("started_at"):
                yield Piece(
                    f"job/{number}",
                    partial(self._desk.text, f"/job/{number}/log.txt", what=f"the log of job {name}"),
                    path=f"{name}.log",
                    url=url,
                    at=when(job.get("finished_at")),
                    attrs=attrs,
                    parts=by_markers("travis", url),
                )

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:
        path = f"/repo/{quote(project.key, safe='')}/env_vars"
        if self._desk.optional(path, what="variables") is None:
            hint = "only who may push may read them"
            yield Diagnosis(f"variables of {project.name} are not seen", False, hint)


def _run(project: Project, raw: Mapping[str, Any]) -> Run:
    number, commit = int(raw["id"]), raw.get("commit") or {}
    known = {
        "build": raw.get("number"),
        "event": raw.get("event_type"),
        "branch": (raw.get("branch") or {}).get("name"),
        "commit": commit.get("sha"),
        "message": commit.get("message"),
        "result": raw.get("state"),
    }
    return Run(
        str(number),
        number,
        when(raw.get("finished_at")) if raw.get("state") in _DONE else None,
        when(raw.get("started_at")),
        f"{raw.get('started_at')}/{raw.get('finished_at')}",
        str(commit.get("message") or ""),
        (raw.get("created_by") or {}).get("login"),
        f"{project.url}/builds/{number}",
        {key: value for key, value in known.items() if value},
    )


def _more(_answer: Response, content: Any) -> Mapping[str, Any] | None:
    paging = content.get("@pagination") or {}
    behind = paging.get("next") or {}
    return None if paging.get("is_last", True) else {"offset": behind.get("offset")}
