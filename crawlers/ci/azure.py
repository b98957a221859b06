"""Azure Pipelines, in the cloud and on Azure DevOps Server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlsplit

from unsprawl.crawlers.ci.desk import Desk
from unsprawl.crawlers.ci.model import ExpiredError, Known, Piece, Project, Run, chosen, lines, when
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Audience, Diagnosis, Skipped
from unsprawl.wire.client import Response

__all__ = ["Azure"]

_VERSION: Final = {"api-version": "7.1"}
_PAGE: Final = 200
_OVERLAP: Final = timedelta(minutes=10)
_AUDIENCES: Final = {
    "public": Audience.PUBLIC,
    "organization": Audience.ORGANISATION,
    "private": Audience.RESTRICTED,
}


class Azure:
    """``projects`` are ``organisation/project``, or projects alone where ``url`` names the organisation."""

    days = 30

    def __init__(self, desk: Desk, projects: Sequence[str]) -> None:
        self._desk = desk
        self._wanted = projects
        self._within = bool(urlsplit(desk.spider.base).path.strip("/"))

    def login(self) -> str:
        for organisation in self._organisations()[:1]:
            params = {**_VERSION, "$top": 1}
            self._desk.ask(f"{_slash(organisation)}/_apis/projects", params, "the projects")
        return "with the personal access token" if self._organisations() else "(no organisation is named)"

    # --- projects --------------------------------------------------------------------------------

    def projects(self) -> Iterator[Project | Skipped]:
        if not self._organisations():
            hint = "write `projects: [organisation/project]`, or the organisation into `url`"
            line = "personal access tokens cannot list organisations"
            yield Skipped(f"ci://{self._desk.host}/", line, hint, parents=("projects",))
        for organisation in self._organisations():
            path = f"{_slash(organisation)}/_apis/projects"
            try:
                for raw in self._listed(path, {"$top": 100}, "the projects"):
                    name = f"{organisation}/{raw.get('name')}".lstrip("/")
                    if chosen(name, self._wanted):
                        yield self._project(name, raw)
            except AuthError:
                raise
            except UnreadableError as error:
                uri = f"ci://{self._desk.host}/{quote(organisation)}"
                yield Skipped(uri, error.message, error.hint, parents=(organisation,))

    def _organisations(self) -> list[str]:
        """An address with a path names the one there is; else they have to be named."""
        if self._within:
            return [""]
        named = {one.partition("/")[0] for one in self._wanted}
        return sorted(one for one in named if one and not set("*?[") & set(one))

    def _project(self, name: str, raw: Mapping[str, Any]) -> Project:
        audience = _AUDIENCES.get(str(raw.get("visibility")).lower(), Audience.UNKNOWN)
        url = f"{self._desk.spider.base}{_path(name)}"
        return Project(name, name, url, audience, data={"description": raw.get("description")})

    def project(self, key: str) -> Project:
        organisation, _, name = key.rpartition("/")
        path = f"{_slash(organisation)}/_apis/projects/{quote(name, safe='')}"
        return self._project(key, self._desk.json(path, _VERSION, what=f"the project {key}"))

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:
        url = f"{project.url}/_library?itemType=VariableGroups"
        yield Piece("variables", partial(self._groups, project), url=url)
        yield Piece("definitions", partial(self._definitions, project), url=f"{project.url}/_build")

    def _groups(self, project: Project) -> bytes:
        path = f"{_path(project.key)}/_apis/distributedtask/variablegroups"
        groups = self._listed(path, {}, "the variable groups")
        return b"".join(_variables(one.get("variables")) for one in groups)

    def _definitions(self, project: Project) -> bytes:
        path = f"{_path(project.key)}/_apis/build/definitions"
        body = b""
        for one in self._listed(path, {"includeAllProperties": "true"}, "the definitions"):
            body += lines({"definition": one.get("name")}) + _variables(one.get("variables"))
        return body

    def _listed(self, path: str, params: Mapping[str, Any], what: str) -> Iterator[Mapping[str, Any]]:
        for page in self._desk.pages(path, {**_VERSION, **params}, _more, what=what):
            yield from page.get("value") or ()

    # --- builds ----------------------------------------------------------------------------------

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        """By the time at which they ended: what runs now comes when it has ended."""
        given: dict[str, Any] = {
            "$top": _PAGE,
            "queryOrder": "finishTimeDescending",
            "statusFilter": "completed",
        }
        if known:
            given["minTime"] = (known.at - _OVERLAP).isoformat()
        path = f"{_path(project.key)}/_apis/build/builds"
        for raw in self._listed(path, given, f"the builds of {project.name}"):
            yield _run(raw)

    def run(self, project: Project, key: str) -> Run:
        path = f"{_path(project.key)}/_apis/build/builds/{quote(key)}"
        answer = self._desk.spider.get(path, params=_VERSION)
        if answer.status == 404:
            raise ExpiredError(f"{self._desk.host} no longer has the build {key}")
        return _run(answer.expect(f"the build {key}", self._desk.hint).json())

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]:
        """A log for each task, named by the timeline; those of earlier attempts by theirs."""
        path = f"{_path(project.key)}/_apis/build/builds/{run.key}"
        records = self._records(path)
        parents = {str(one.get("id")): one for one in records}
        made = {int(one["log"]["id"]): one for one in records if one.get("log")}
        above = {str(one.get("parentId")) for one in made.values()}
        for log in self._listed(f"{path}/logs", {}, f"the logs of build {run.key}"):
            number = int(log["id"])
            record = made.get(number) or {}
            if record.get("type") in ("Job", "Stage", "Phase") and str(record.get("id")) in above:
                continue  # the logs of its tasks once more
            job, step = _job_of(record, parents), str(record.get("name") or f"log {number}")
            known = {
                "job": job,
                "step": step,
                "attempt": record.get("attempt"),
                "runner": record.get("workerName"),
            }
            yield Piece(
                f"job/{number}",
                partial(
                    self._desk.text,
                    f"{path}/logs/{number}?api-version=7.1",
                    what=f"log {number}",
                    accept="text/plain",
                ),
                path=f"{job or 'build'}/{number} {step}.log",
                url=f"{run.url}&view=logs&j={record.get('parentId')}&t={record.get('id')}"
                if record
                else run.url,
                at=when(record.get("finishTime")),
                attrs={name: value for name, value in known.items() if value},
            )
        for one in self._listed(f"{path}/artifacts", {}, f"the artifacts of build {run.key}"):
            yield self._artifact(path, run, one)

    def _records(self, path: str) -> list[Mapping[str, Any]]:
        """Of the timeline, and of those that earlier attempts left."""
        records: list[Mapping[str, Any]] = []
        waiting, asked = [""], set[str]()
        while waiting:
            name = waiting.pop()
            if name in asked:
                continue
            asked.add(name)
            timeline = self._desk.optional(
                f"{path}/timeline{name and '/' + quote(name)}", _VERSION, what="the timeline"
            )
            for one in (timeline or {}).get("records") or ():
                records.append(one)
                earlier = one.get("previousAttempts") or ()
                waiting += [str(each["timelineId"]) for each in earlier if each.get("timelineId")]
        return records

    def _artifact(self, path: str, run: Run, one: Mapping[str, Any]) -> Piece:
        name = str(one.get("name"))
        told = str(((one.get("resource") or {}).get("properties") or {}).get("artifactsize") or "")
        size = int(told) if told.isdigit() else None
        # The address in the answer is another host's, which would want the token.
        place = f"{path}/artifacts?artifactName={quote(name, safe='')}&api-version=7.1&%24format=zip"
        what = f"the artifact {name}"
        return Piece(
            f"artifact/{quote(name, safe='')}",
            partial(self._desk.text, place, what=what, size=size, accept="application/zip"),
            path=f"artifacts/{name}.zip",
            media_type="application/zip",
            url=f"{run.url}&view=artifacts",
            attrs={"artifact": name},
            size=size,
        )

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:
        path = f"{_path(project.key)}/_apis/distributedtask/variablegroups"
        if self._desk.optional(path, _VERSION, what="variable groups") is None:
            yield Diagnosis("variable groups are not seen", False, "the token needs Variable Groups (Read)")


def _run(raw: Mapping[str, Any]) -> Run:
    number = int(raw["id"])
    known = {
        "definition": (raw.get("definition") or {}).get("name"),
        "build": raw.get("buildNumber"),
        "event": raw.get("reason"),
        "branch": raw.get("sourceBranch"),
        "commit": raw.get("sourceVersion"),
        "result": raw.get("result"),
        "message": (raw.get("triggerInfo") or {}).get("ci.message"),
    }
    text = _parameters(raw.get("parameters")) + lines(raw.get("templateParameters") or {})
    links = (raw.get("_links") or {}).get("web") or {}
    return Run(
        str(number),
        number,
        when(raw.get("finishTime")) if raw.get("status") == "completed" else None,
        when(raw.get("startTime")),
        f"{raw.get('finishTime')}",
        str(raw.get("buildNumber") or ""),
        (raw.get("requestedFor") or {}).get("displayName"),
        str(links.get("href") or ""),
        {key: value for key, value in known.items() if value},
        {"text": text.decode("utf-8", "replace")},
    )


def _parameters(text: object) -> bytes:
    """Queue-time variables come as JSON in a string."""
    try:
        told = json.loads(text) if isinstance(text, str) and text else {}
    except (ValueError, RecursionError):
        return str(text).encode("utf-8", "replace")
    return lines(told) if isinstance(told, dict) else b""


def _variables(values: object) -> bytes:
    if not isinstance(values, Mapping):
        return b""
    return lines({name: one.get("value") for name, one in values.items() if isinstance(one, Mapping)})


def _job_of(record: Mapping[str, Any], parents: Mapping[str, Mapping[str, Any]]) -> str:
    for _ in range(8):
        if record.get("type") == "Job":
            return str(record.get("name"))
        record = parents.get(str(record.get("parentId"))) or {}
    return ""


def _slash(organisation: str) -> str:
    return f"/{quote(organisation)}" if organisation else ""


def _path(key: str) -> str:
    return "".join(f"/{quote(one, safe='')}" for one in key.split("/"))


def _more(answer: Response, _content: Any) -> Mapping[str, str] | None:
    token = answer.header("x-ms-continuationtoken")
    return {"continuationToken": token} if token else None
