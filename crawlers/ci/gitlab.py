"""GitLab CI, on gitlab.com and on servers of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlsplit

from unsprawl.crawlers.ci.desk import Desk, next_link
from unsprawl.crawlers.ci.model import ExpiredError, Known, Piece, Project, Run, chosen, lines, when
from unsprawl.crawlers.ci.steps import by_markers
from unsprawl.errors import UnreadableError
from unsprawl.records import Audience, Diagnosis, Skipped, Stream

__all__ = ["GitLab"]

_API: Final = "/api/v4"
_PAGE: Final = 100
#: Offset paging ends here; what is older is asked for by the time of its last change.
_MOST_PAGES: Final = 400
_OVERLAP: Final = timedelta(minutes=10)
_AUDIENCES: Final = {
    "public": Audience.PUBLIC,
    "internal": Audience.ORGANISATION,
    "private": Audience.RESTRICTED,
}
_DONE: Final = frozenset({"success", "failed", "canceled", "skipped", "manual"})
_NEVER_RAN: Final = frozenset(
    {"created", "manual", "pending", "skipped", "waiting_for_resource", "scheduled"}
)
#: Children of children of pipelines: GitLab itself allows two levels.
_DEPTH: Final = 4
_MAINTAINER: Final = "only the role Maintainer may read variables"


class GitLab:
    """``projects`` are full paths, groups, or globs over full paths."""

    days = None

    def __init__(self, desk: Desk, projects: Sequence[str]) -> None:
        self._desk = desk
        self._wanted = projects

    def login(self) -> str:
        answer = self._desk.spider.get(f"{_API}/user")
        if answer.status in (403, 404):
            return "with a token of a project or group"
        return f"as {answer.expect('the account', self._desk.hint).json().get('username')}"

    # --- projects --------------------------------------------------------------------------------

    def projects(self) -> Iterator[Project | Skipped]:
        if not self._wanted:
            yield from self._listed(f"{_API}/projects", {"membership": "true"}, "the projects")
        for one in self._wanted:
            fixed = one
            while set("*?[") & set(fixed):
                fixed = fixed.rpartition("/")[0]
            if not fixed:
                yield from self._listed(f"{_API}/projects", {"membership": "true"}, "the projects")
                continue
            name = quote(fixed, safe="")
            if fixed == one and "/" in one and self._desk.optional(f"{_API}/projects/{name}", what=one):
                yield self.project(one)
                continue
            path = f"{_API}/groups/{name}/projects"
            if self._desk.optional(path, {"per_page": 1}, what=one) is None:
                path = f"{_API}/users/{name}/projects"
            try:
                yield from self._listed(path, {"include_subgroups": "true"}, f"the projects of {fixed}")
            except UnreadableError as error:
                yield Skipped(f"ci://{self._desk.host}/{name}", error.message, error.hint, parents=(one,))

    def _listed(self, path: str, params: Mapping[str, str], what: str) -> Iterator[Project]:
        given = {**params, "per_page": _PAGE, "order_by": "id", "sort": "asc", "pagination": "keyset"}
        for page in self._desk.pages(path, given, next_link, what=what):
            for raw in page:
                if chosen(str(raw.get("path_with_namespace")), self._wanted):
                    yield _project(raw)

    def project(self, key: str) -> Project:
        return _project(self._desk.json(f"{_API}/projects/{quote(key, safe='')}", what=f"the project {key}"))

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:
        page = f"{project.url}/-/settings/ci_cd"
        own = f"{_API}/projects/{quote(project.key, safe='')}"
        yield Piece("variables", partial(self._variables, f"{own}/variables"), url=page)
        group = project.key.rpartition("/")[0]
        if project.data.get("group"):
            path = f"{_API}/groups/{quote(group, safe='')}/variables"
            yield Piece("group-variables", partial(self._variables, path), url=page)
        yield Piece("schedules", partial(self._schedules, own), url=f"{project.url}/-/pipeline_schedules")

    def _variables(self, path: str) -> bytes:
        values: dict[str, Any] = {}
        try:
            for page in self._desk.pages(path, {"per_page": _PAGE}, next_link, what="the variables"):
                for one in page:
                    scope = one.get("environment_scope") or "*"
                    name = str(one.get("key"))
                    values[name if scope == "*" else f"{name} ({scope})"] = one.get("value")
        except UnreadableError as error:
            raise UnreadableError(error.message, hint=_MAINTAINER) from None
        return lines(values)

    def _schedules(self, own: str) -> bytes:
        body = b""
        path = f"{own}/pipeline_schedules"
        for page in self._desk.pages(path, {"per_page": _PAGE}, next_link, what="the schedules"):
            for one in page:
                whole = self._desk.json(f"{path}/{one['id']}", what="a schedule")
                body += lines({"description": one.get("description")})
                body += lines(
                    {str(each.get("key")): each.get("value") for each in whole.get("variables") or ()}
                )
        return body

    # --- pipelines -------------------------------------------------------------------------------

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        """Those that changed since, or all; jobs that were retried change their pipeline."""
        path = f"{_API}/projects/{quote(project.key, safe='')}/pipelines"
        given: dict[str, Any] = {"per_page": _PAGE, "order_by": "updated_at", "sort": "desc"}
        if known:
            given["updated_after"] = (known.at - _OVERLAP).isoformat()
        told: set[int] = set()
        while True:
            pages = fresh = 0
            last = ""
            what = f"the pipelines of {project.name}"
            for page in self._desk.pages(path, given, next_link, what=what):
                pages += 1
                for raw in page:
                    last = str(raw.get("updated_at") or "")
                    if raw["id"] not in told:
                        told.add(raw["id"])
                        fresh += 1
                        yield _run(raw)
                if pages == _MOST_PAGES:
                    break
            if pages < _MOST_PAGES or not fresh:
                return
            given["updated_before"] = last

    def run(self, project: Project, key: str) -> Run:
        path = f"{_API}/projects/{quote(project.key, safe='')}/pipelines/{quote(key)}"
        answer = self._desk.spider.get(path)
        if answer.status == 404:
            raise ExpiredError(f"{self._desk.host} no longer has the pipeline {key}")
        return _run(answer.expect(f"the pipeline {key}", self._desk.hint).json())

    # --- one pipeline ----------------------------------------------------------------------------

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]:
        """Its variables, and the jobs with their files: its own, and those of its children."""
        own = f"{_API}/projects/{quote(project.key, safe='')}"
        variables = self._desk.optional(f"{own}/pipelines/{run.key}/variables", what="variables")
        if variables:
            body = lines({str(one.get("key")): one.get("value") for one in variables})
            yield Piece("variables", lambda: body, path="variables", at=run.started)
        yield from self._jobs(project, own, run.key, "", 0, set())

    def _jobs(
        self, project: Project, own: str, pipeline: str, above: str, depth: int, told: set[str]
    ) -> Iterator[Piece]:
        if depth > _DEPTH or pipeline in told:
            return
        told.add(pipeline)
        path = f"{own}/pipelines/{pipeline}"
        given = {"per_page": _PAGE, "include_retried": "true"}
        for page in self._desk.pages(
            f"{path}/jobs", given, next_link, what=f"the jobs of pipeline {pipeline}"
        ):
            for job in page:
                yield from self._job(own, job, above)
        for page in self._desk.pages(f"{path}/bridges", {"per_page": _PAGE}, next_link, what="its children"):
            for bridge in page:
                child = bridge.get("downstream_pipeline") or {}
                if not child.get("id"):
                    continue
                name = urlsplit(str(child.get("web_url") or "")).path.partition("/-/")[0].strip("/")
                elsewhere = name and not project.url.endswith(f"/{name}")
                if elsewhere and chosen(name, self._wanted):
                    continue  # it is a run of that project
                home = f"{_API}/projects/{child['project_id']}" if child.get("project_id") else own
                led = f"{above}{bridge.get('name')}/"
                yield from self._jobs(project, home, str(child["id"]), led, depth + 1, told)

    def _job(self, own: str, job: Mapping[str, Any], above: str) -> Iterator[Piece]:
        name, number = f"{above}{job.get('name')}", job["id"]
        url = str(job.get("web_url") or "")
        ended = when(job.get("finished_at")) or when(job.get("erased_at"))
        known = {
            "job": name,
            "stage": job.get("stage"),
            "runner": (job.get("runner") or {}).get("description"),
            "erased_at": job.get("erased_at"),
        }
        attrs = {key: value for key, value in known.items() if value}
        author = (job.get("user") or {}).get("username")
        if job.get("started_at") and job.get("status") not in _NEVER_RAN and not job.get("erased_at"):
            yield Piece(
                f"job/{number}",
                partial(self._desk.text, f"{own}/jobs/{number}/trace", what=f"the log of job {name}"),
                path=f"{name}.log",
                url=url,
                author=author,
                at=ended,
                attrs=attrs,
                parts=by_markers("gitlab", url),
            )
        file = job.get("artifacts_file") or {}
        if file.get("filename") and not job.get("erased_at"):
            expires = when(job.get("artifacts_expire_at"))
            yield Piece(
                f"artifact/{number}",
                partial(self._artifact, f"{own}/jobs/{number}/artifacts", name, file.get("size")),
                path=f"{name}/{file['filename']}",
                media_type="application/zip",
                url=f"{url}/artifacts/browse" if url else "",
                author=author,
                at=ended,
                attrs=attrs,
                expires=expires,
                size=file.get("size"),
            )

    def _artifact(self, path: str, name: str, size: int | None) -> bytes | Stream:
        return self._desk.text(path, what=f"the artifacts of job {name}", size=size)

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:
        own = f"{_API}/projects/{quote(project.key, safe='')}"
        if self._desk.optional(f"{own}/variables", {"per_page": 1}, what="variables") is None:
            yield Diagnosis(f"variables of {project.name} are not seen", False, _MAINTAINER)


def _project(raw: Mapping[str, Any]) -> Project:
    visibility = str(raw.get("visibility"))
    audience = _AUDIENCES.get(visibility, Audience.UNKNOWN)
    if raw.get("public_jobs") is False:
        audience = Audience.RESTRICTED
    name = str(raw.get("path_with_namespace"))
    group = (raw.get("namespace") or {}).get("kind") == "group"
    about = {"description": raw.get("description"), "group": group}
    return Project(name, name, str(raw.get("web_url") or ""), audience, data=about)


def _run(raw: Mapping[str, Any]) -> Run:
    known = {
        "source": raw.get("source"),
        "branch": raw.get("ref"),
        "commit": raw.get("sha"),
        "result": raw.get("status"),
    }
    return Run(
        str(raw["id"]),
        int(raw["id"]),
        when(raw.get("updated_at")) if raw.get("status") in _DONE else None,
        when(raw.get("created_at")),
        str(raw.get("updated_at")),
        str(raw.get("name") or ""),
        (raw.get("user") or {}).get("username"),
        str(raw.get("web_url") or ""),
        {key: value for key, value in known.items() if value},
    )
