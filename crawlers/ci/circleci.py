"""CircleCI: pipelines by its second API, what steps printed by the first, which alone has it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.ci.desk import Desk
from unsprawl.crawlers.ci.model import ExpiredError, Known, Piece, Project, Run, chosen, lines, when
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Audience, Diagnosis, Skipped
from unsprawl.wire.client import Response

__all__ = ["CircleCI"]

_DONE: Final = frozenset({"success", "failed", "error", "canceled", "unauthorized", "not_run"})
_HOSTS: Final = {"github": "gh", "bitbucket": "bb"}
#: Pages of an organisation's pipelines in which projects are looked for that nobody follows.
_ORGANISATION_PAGES: Final = 10


class CircleCI:
    """``projects`` are slugs (``gh/acme/shop``), organisations (``gh/acme``), or globs over slugs."""

    days = None

    def __init__(self, desk: Desk, projects: Sequence[str]) -> None:
        self._desk = desk
        self._wanted = tuple(_short(one) for one in projects)

    def login(self) -> str:
        return f"as {self._desk.json('/api/v2/me', what='the account').get('login')}"

    # --- projects --------------------------------------------------------------------------------

    def projects(self) -> Iterator[Project | Skipped]:
        told: set[str] = set()
        for slug in self._slugs():
            if slug in told or not chosen(slug, self._wanted):
                continue
            told.add(slug)
            try:
                yield self.project(slug)
            except AuthError:
                raise
            except UnreadableError as error:
                uri = f"ci://{self._desk.host}/{quote(slug, safe='')}"
                yield Skipped(uri, error.message, error.hint, parents=(slug,))

    def _slugs(self) -> Iterator[str]:
        fixed = [one for one in self._wanted if one.count("/") == 2 and not set("*?[") & set(one)]
        yield from sorted(fixed)
        if self._wanted and len(fixed) == len(self._wanted):
            return
        followed = self._desk.optional("/api/v1.1/projects", what="the projects that the account follows")
        for one in followed or ():
            yield _short(f"{one.get('vcs_type')}/{one.get('username')}/{one.get('reponame')}")
        for organisation in {"/".join(one.split("/")[:2]) for one in self._wanted if one.count("/") >= 1}:
            if set("*?[") & set(organisation):
                continue
            what = f"pipelines of {organisation}"
            given = {"org-slug": organisation}
            if self._desk.optional("/api/v2/pipeline", given, what=what) is None:
                continue
            listed = self._listed("/api/v2/pipeline", given, what)
            for number, page in enumerate(listed):
                yield from (str(one.get("project_slug")) for one in page)
                if number == _ORGANISATION_PAGES:
                    break

    def project(self, key: str) -> Project:
        raw = self._desk.json(f"/api/v2/project/{quote(key)}", what=f"the project {key}")
        url = f"https://app.circleci.com/pipelines/{quote(str(raw.get('slug') or key))}"
        return Project(key, key, url, Audience.UNKNOWN, data={"description": raw.get("name")})

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:  # noqa: ARG002 - values are masked
        yield from ()

    def _listed(self, path: str, params: Mapping[str, Any], what: str) -> Iterator[list[Any]]:
        for page in self._desk.pages(path, params, _more, what=what):
            yield page.get("items") or []

    # --- pipelines -------------------------------------------------------------------------------

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        path, what = f"/api/v2/project/{quote(project.key)}/pipeline", f"the pipelines of {project.name}"
        for page in self._listed(path, {}, what):
            for raw in page:
                if known is None or raw["number"] > known.number:
                    yield self._run(project, raw)
            if known and any(raw["number"] <= known.number for raw in page):
                return

    def run(self, project: Project, key: str) -> Run:
        answer = self._desk.spider.get(f"/api/v2/pipeline/{quote(key)}")
        if answer.status == 404:
            raise ExpiredError(f"{self._desk.host} no longer has the pipeline {key}")
        return self._run(project, answer.expect(f"the pipeline {key}", self._desk.hint).json())

    def _run(self, project: Project, raw: Mapping[str, Any]) -> Run:
        key, number = str(raw["id"]), int(raw["number"])
        workflows = [
            one
            for page in self._listed(
                f"/api/v2/pipeline/{quote(key)}/workflow", {}, f"the workflows of {number}"
            )
            for one in page
        ]
        ends = [when(one.get("stopped_at")) for one in workflows if one.get("status") in _DONE]
        ended = [one for one in ends if one]
        done = len(ended) == len(workflows) and raw.get("state") not in ("pending", "setup-pending", "setup")
        vcs, trigger = raw.get("vcs") or {}, raw.get("trigger") or {}
        known = {
            "event": trigger.get("type"),
            "branch": vcs.get("branch") or vcs.get("tag"),
            "commit": vcs.get("revision"),
            "message": (vcs.get("commit") or {}).get("subject"),
            "errors": "; ".join(str(one.get("message")) for one in raw.get("errors") or ()),
        }
        text = lines(raw.get("trigger_parameters") or {})
        return Run(
            key,
            number,
            (max(ended) if ended else when(raw.get("updated_at"))) if done else None,
            when(raw.get("created_at")),
            ",".join(sorted(f"{one['id']}:{one.get('status')}" for one in workflows))
            or str(raw.get("state")),
            str(known["message"] or ""),
            (trigger.get("actor") or {}).get("login"),
            f"{project.url}/{number}",
            {name: value for name, value in known.items() if value},
            {"text": text.decode("utf-8", "replace"), "workflows": workflows},
        )

    # --- one pipeline ----------------------------------------------------------------------------

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]:
        """What the steps of all jobs of all workflows printed, and what the jobs left."""
        for workflow in run.data.get("workflows") or ():
            path = f"/api/v2/workflow/{quote(str(workflow['id']))}/job"
            for page in self._listed(path, {}, f"the jobs of workflow {workflow.get('name')}"):
                for job in page:
                    if job.get("job_number") and job.get("started_at"):
                        yield from self._job(project, str(workflow.get("name")), job)

    def _job(self, project: Project, workflow: str, job: Mapping[str, Any]) -> Iterator[Piece]:
        number, name = int(job["job_number"]), str(job.get("name"))
        attrs = {"job": name, "workflow": workflow}
        ended = when(job.get("stopped_at"))
        url = f"{project.url}/jobs/{number}"
        steps = self._steps(project.key, number)
        for index, step in enumerate(steps):
            for action in step.get("actions") or ():
                if not action.get("has_output") and not action.get("output_url"):
                    continue
                node = int(action.get("index") or 0)
                label = str(step.get("name") or action.get("name"))
                yield Piece(
                    f"job/{number}/{index}.{node}",
                    partial(self._output, project.key, number, index, node, action.get("output_url")),
                    path=f"{workflow}/{name}/{index} {label}.log",
                    url=f"{url}/parallel-runs/{node}?filterBy=ALL",
                    at=when(action.get("end_time")) or ended,
                    attrs={**attrs, "step": label},
                )
        path = f"/api/v2/project/{quote(project.key)}/{number}/artifacts"
        for page in self._listed(path, {}, f"the artifacts of job {number}"):
            for one in page:
                file = str(one.get("path"))
                yield Piece(
                    f"artifact/{number}/{one.get('node_index') or 0}/{quote(file)}",
                    partial(self._desk.text, str(one.get("url")), what=f"the artifact {file}"),
                    path=f"{workflow}/{name}/artifacts/{file}",
                    media_type="",
                    url=url,
                    at=ended,
                    attrs={**attrs, "artifact": file},
                )

    def _steps(self, slug: str, number: int) -> list[Mapping[str, Any]]:
        """Only the first API knows what steps printed; its links are signed and die."""
        host, _, rest = slug.partition("/")
        long = {short: name for name, short in _HOSTS.items()}.get(host, host)
        job = self._desk.json(f"/api/v1.1/project/{long}/{quote(rest)}/{number}", what=f"the job {number}")
        steps: list[Mapping[str, Any]] = job.get("steps") or []
        return steps

    def _output(self, slug: str, number: int, index: int, node: int, url: str | None) -> bytes:
        what = f"the output of step {index} of job {number}"
        answer = self._desk.spider.get(url) if url else None
        if answer is None or answer.status in (401, 403, 404, 410):
            steps = self._steps(slug, number)
            actions = steps[index].get("actions") or () if index < len(steps) else ()
            fresh = [
                str(one["output_url"])
                for one in actions
                if one.get("index", 0) == node and one.get("output_url")
            ]
            if not fresh:
                raise ExpiredError(f"{self._desk.host} no longer has {what}")
            answer = self._desk.spider.get(fresh[0])
        if answer.status in (404, 410):
            raise ExpiredError(f"{self._desk.host} no longer has {what} ({answer.status})")
        return _joined(answer.expect(what).body)

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:  # noqa: ARG002
        yield Diagnosis("values of environment variables and contexts are masked by the API: not seen", True)


def _joined(body: bytes) -> bytes:
    """The output of a step is a list of messages; some servers give the text itself."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        return body
    return "".join(str(one.get("message") or "") for one in told).encode("utf-8", "replace")


def _short(slug: str) -> str:
    host, separator, rest = slug.partition("/")
    return f"{_HOSTS.get(host, host)}{separator}{rest}"


def _more(_answer: Response, content: Any) -> Mapping[str, str] | None:
    token = content.get("next_page_token")
    return {"page-token": token} if token else None
