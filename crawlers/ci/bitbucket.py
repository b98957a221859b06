"""Bitbucket Pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.ci.desk import Desk
from unsprawl.crawlers.ci.model import ExpiredError, Known, Piece, Project, Run, chosen, lines, when
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Audience, Diagnosis, Skipped
from unsprawl.wire.client import Response

__all__ = ["Bitbucket"]

_API: Final = "/2.0"
_PAGE: Final = 100
_RIGHT: Final = "the token needs read:pipeline:bitbucket and the account administration of the repository"


class Bitbucket:
    """``projects`` are ``workspace/repository``, workspaces, or globs with a workspace named."""

    days = 120

    def __init__(self, desk: Desk, projects: Sequence[str]) -> None:
        self._desk = desk
        self._wanted = projects

    def login(self) -> str:
        answer = self._desk.spider.get(f"{_API}/user")
        if answer.status == 401:
            raise AuthError(
                f"{self._desk.host} does not know this user and token (401)", hint=self._desk.hint
            )
        return (
            f"as {answer.json().get('display_name')}"
            if answer.status == 200
            else "with a token of a repository"
        )

    # --- repositories ----------------------------------------------------------------------------

    def projects(self) -> Iterator[Project | Skipped]:
        spaces = sorted({one.partition("/")[0] for one in self._wanted})
        if not spaces or any(set("*?[") & set(one) for one in spaces):
            hint = "write `projects: [workspace]` or `[workspace/repository]`"
            yield Skipped(
                f"ci://{self._desk.host}/", "workspaces have to be named", hint, parents=("projects",)
            )
        fixed = [one for one in self._wanted if "/" in one and not set("*?[") & set(one)]
        for one in fixed:
            yield from self._told(one, lambda one=one: iter((self.project(one),)))
        for space in spaces:
            if set("*?[") & set(space) or all(
                one in fixed for one in self._wanted if one.split("/")[0] == space
            ):
                continue
            yield from self._told(space, partial(self._listed, space))

    def _told(self, name: str, read: Any) -> Iterator[Project | Skipped]:
        try:
            yield from read()
        except AuthError:
            raise
        except UnreadableError as error:
            uri = f"ci://{self._desk.host}/{quote(name, safe='')}"
            yield Skipped(uri, error.message, error.hint, parents=(name,))

    def _listed(self, space: str) -> Iterator[Project]:
        given = {"pagelen": _PAGE, "sort": "full_name"}
        for page in self._desk.pages(
            f"{_API}/repositories/{quote(space)}", given, _more, what=f"the repositories of {space}"
        ):
            for raw in page.get("values") or ():
                if chosen(str(raw.get("full_name")), self._wanted):
                    yield _project(raw)

    def project(self, key: str) -> Project:
        return _project(self._desk.json(f"{_API}/repositories/{quote(key)}", what=f"the repository {key}"))

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:
        own = f"{_API}/repositories/{quote(project.key)}"
        page = f"{project.url}/admin/pipelines/repository-variables"
        yield Piece("variables", partial(self._variables, f"{own}/pipelines_config/variables/"), url=page)
        for one in self._optional(f"{own}/environments/", "the environments"):
            path = f"{own}/deployments_config/environments/{quote(str(one.get('uuid')))}/variables"
            name = quote(str(one.get("name")), safe="")
            yield Piece(f"environment/{name}", partial(self._variables, path), url=page)

    def _variables(self, path: str) -> bytes:
        values: dict[str, Any] = {}
        try:
            for page in self._desk.pages(path, {"pagelen": _PAGE}, _more, what="the variables"):
                values |= {str(one.get("key")): one.get("value") for one in page.get("values") or ()}
        except UnreadableError as error:
            raise UnreadableError(error.message, hint=_RIGHT) from None
        return lines(values)

    def _optional(self, path: str, what: str) -> Iterator[Mapping[str, Any]]:
        if self._desk.optional(path, {"pagelen": 1}, what=what) is None:
            return
        for page in self._desk.pages(path, {"pagelen": _PAGE}, _more, what=what):
            yield from page.get("values") or ()

    # --- pipelines -------------------------------------------------------------------------------

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        path = f"{_API}/repositories/{quote(project.key)}/pipelines/"
        given = {"sort": "-created_on", "pagelen": _PAGE}
        for page in self._desk.pages(path, given, _more, what=f"the pipelines of {project.name}"):
            raws = page.get("values") or []
            for raw in raws:
                yield _run(project, raw)
            if known and any(raw["build_number"] <= known.number for raw in raws):
                return

    def run(self, project: Project, key: str) -> Run:
        answer = self._desk.spider.get(f"{_API}/repositories/{quote(project.key)}/pipelines/{quote(key)}")
        if answer.status == 404:
            raise ExpiredError(f"{self._desk.host} no longer has the pipeline {key}")
        return _run(project, answer.expect(f"the pipeline {key}", self._desk.hint).json())

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]:
        path = f"{_API}/repositories/{quote(project.key)}/pipelines/{quote(run.key)}/steps"
        for page in self._desk.pages(
            f"{path}/", {"pagelen": _PAGE}, _more, what=f"the steps of pipeline {run.number}"
        ):
            for step in page.get("values") or ():
                if not step.get("started_on"):
                    continue
                name, number = str(step.get("name") or "step"), str(step["uuid"])
                yield Piece(
                    f"job/{quote(number, safe='')}",
                    partial(self._desk.text, f"{path}/{quote(number)}/log", what=f"the log of step {name}"),
                    path=f"{name}.log",
                    url=f"{run.url}/steps/{quote(number)}",
                    at=when(step.get("completed_on")),
                    attrs={"job": name, "step": name},
                )

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:
        path = f"{_API}/repositories/{quote(project.key)}/pipelines_config/variables/"
        if self._desk.optional(path, {"pagelen": 1}, what="variables") is None:
            yield Diagnosis(f"variables of {project.name} are not seen", False, _RIGHT)
        yield Diagnosis("artifacts of pipelines have no API: not seen", True)


def _project(raw: Mapping[str, Any]) -> Project:
    audience = Audience.RESTRICTED if raw.get("is_private", True) else Audience.PUBLIC
    name = str(raw.get("full_name"))
    url = str(((raw.get("links") or {}).get("html") or {}).get("href") or f"https://bitbucket.org/{name}")
    return Project(name, name, url, audience, data={"description": raw.get("description")})


def _run(project: Project, raw: Mapping[str, Any]) -> Run:
    state, target = raw.get("state") or {}, raw.get("target") or {}
    number = int(raw["build_number"])
    commit = target.get("commit") or {}
    known = {
        "event": (raw.get("trigger") or {}).get("name"),
        "branch": target.get("ref_name"),
        "commit": commit.get("hash"),
        "message": commit.get("message"),
        "result": (state.get("result") or {}).get("name"),
    }
    text = lines({str(one.get("key")): one.get("value") for one in raw.get("variables") or ()})
    return Run(
        str(raw["uuid"]),
        number,
        when(raw.get("completed_on")) if state.get("name") == "COMPLETED" else None,
        when(raw.get("created_on")),
        str(raw.get("completed_on")),
        "",
        (raw.get("creator") or {}).get("display_name"),
        f"{project.url}/pipelines/results/{number}",
        {key: value for key, value in known.items() if value},
        {"text": text.decode("utf-8", "replace")},
    )


def _more(_answer: Response, content: Any) -> str | Mapping[str, Any] | None:
    """The next page by its address; lists of pipelines tell numbers instead."""
    if content.get("next"):
        return str(content["next"])
    page, size, total = content.get("page"), content.get("pagelen"), content.get("size")
    if (
        all(isinstance(one, int) for one in (page, size, total))
        and page * size < total
        and content.get("values")
    ):
        return {"page": page + 1}
    return None
