"""GitHub Actions, on github.com and on servers of one's own (``https://HOST/api/v3``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.ci.desk import Desk, next_link
from unsprawl.crawlers.ci.model import ExpiredError, Known, Piece, Project, Run, chosen, lines, when
from unsprawl.crawlers.ci.steps import by_times
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Audience, Diagnosis, Skipped, Stream

__all__ = ["GitHub"]

#: Runs that one search shows at most, whatever there is.
_CAP: Final = 1000
_PAGE: Final = 100
_AUDIENCES: Final = {
    "public": Audience.PUBLIC,
    "internal": Audience.ORGANISATION,
    "private": Audience.RESTRICTED,
}
_FINE: Final = "a fine-grained token needs Variables: read and Environments: read"


class GitHub:
    """``projects`` are ``owner/repository``, owners, or globs over both."""

    days = 90

    def __init__(self, desk: Desk, projects: Sequence[str]) -> None:
        self._desk = desk
        self._wanted = projects
        self._days: dict[str, int | None] = {}

    def login(self) -> str:
        answer = self._desk.spider.get("/user")
        if answer.status == 401:
            raise AuthError(f"{self._desk.host} does not know this token (401)", hint=self._desk.hint)
        # Tokens of installations are nobody's: they may not ask who they are.
        return f"as {answer.json().get('login')}" if answer.status == 200 else "with the token of an app"

    # --- repositories ----------------------------------------------------------------------------

    def projects(self) -> Iterator[Project | Skipped]:
        if not self._wanted or any("/" not in one and "*" in one for one in self._wanted):
            yield from self._listed("/user/repos", "the repositories")
            return
        for one in self._wanted:
            owner, _, name = one.partition("/")
            if name and not set("*?[") & set(one):
                try:
                    yield self.project(one)
                except AuthError:
                    raise
                except UnreadableError as error:
                    yield Skipped(
                        f"ci://{self._desk.host}/{quote(one, safe='')}",
                        error.message,
                        error.hint,
                        parents=(one,),
                    )
            elif set("*?[") & set(owner):
                yield from self._listed("/user/repos", "the repositories")
            else:
                yield from self._owned(owner)

    def _owned(self, owner: str) -> Iterator[Project | Skipped]:
        kind = "orgs" if self._desk.optional(f"/orgs/{quote(owner)}", what=owner) is not None else "users"
        yield from self._listed(f"/{kind}/{quote(owner)}/repos", f"the repositories of {owner}")

    def _listed(self, path: str, what: str) -> Iterator[Project | Skipped]:
        for page in self._desk.pages(path, {"per_page": _PAGE}, next_link, what=what):
            for raw in page:
                if chosen(str(raw.get("full_name")), self._wanted):
                    yield _project(raw)

    def project(self, key: str) -> Project:
        return _project(self._desk.json(f"/repos/{key}", what=f"the repository {key}"))

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:
        """Variables, which can be read, unlike secrets: of the repository, the organisation, environments."""
        page = f"{project.url}/settings/variables/actions"
        for name, path in (
            ("variables", f"/repos/{project.key}/actions/variables"),
            ("organisation-variables", f"/repos/{project.key}/actions/organization-variables"),
        ):
            yield Piece(name, partial(self._variables, path, f"the {name} of {project.name}"), url=page)
        path = f"/repos/{project.key}/environments"
        for content in self._optional_pages(path, f"the environments of {project.name}"):
            for one in content.get("environments") or ():
                name = str(one.get("name"))
                own = f"{path}/{quote(name, safe='')}/variables"
                what = f"the variables of the environment {name}"
                yield Piece(
                    f"environment/{quote(name, safe='')}", partial(self._variables, own, what), url=page
                )

    def _variables(self, path: str, what: str) -> bytes:
        values: dict[str, Any] = {}
        try:
            for page in self._desk.pages(path, {"per_page": 30}, next_link, what=what):
                values |= {str(one.get("name")): one.get("value") for one in page.get("variables") or ()}
        except UnreadableError as error:
            raise UnreadableError(error.message, hint=_FINE) from None
        return lines(values)

    def _optional_pages(self, path: str, what: str) -> Iterator[Any]:
        if self._desk.optional(path, {"per_page": 1}, what=what) is not None:
            yield from self._desk.pages(path, {"per_page": _PAGE}, next_link, what=what)

    # --- runs ------------------------------------------------------------------------------------

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        """A search ends at a thousand runs; what is older is asked for by the time at which it ended."""
        path, what = f"/repos/{project.key}/actions/runs", f"the runs of {project.name}"
        told: set[int] = set()
        upper: str | None = None
        while True:
            seen = fresh = 0
            last = ""
            for page in self._desk.pages(
                path, {"per_page": _PAGE, "created": upper and f"<={upper}"}, next_link, what=what
            ):
                raws = page.get("workflow_runs") or []
                seen += len(raws)
                for raw in raws:
                    last = str(raw.get("created_at") or "")
                    if raw["id"] not in told:
                        told.add(raw["id"])
                        fresh += 1
                        yield _run(raw)
                if known and any(raw["id"] <= known.number for raw in raws):
                    return
            if seen < _CAP:
                return
            if not fresh or not last:
                line = f"{what}: more than {_CAP} began in the second {upper}, the rest of them is not shown"
                yield Skipped(f"ci://{self._desk.host}/{quote(project.key, safe='')}/run", line)
                return
            upper = last

    def run(self, project: Project, key: str) -> Run:
        answer = self._desk.spider.get(f"/repos/{project.key}/actions/runs/{quote(key)}")
        if answer.status == 404:
            raise ExpiredError(f"{self._desk.host} no longer has the run {key}")
        return _run(answer.expect(f"the run {key}", self._desk.hint).json())

    # --- a run -----------------------------------------------------------------------------------

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]:
        """The logs of all attempts, what checks said of it, and its artifacts."""
        days = self._retention(project.key)
        path = f"/repos/{project.key}/actions/runs/{run.key}"
        jobs: list[Mapping[str, Any]] = []
        for page in self._desk.pages(
            f"{path}/jobs", {"filter": "all", "per_page": _PAGE}, next_link, what=f"the jobs of run {run.key}"
        ):
            jobs += page.get("jobs") or ()
        for job in jobs:
            if job.get("conclusion") != "skipped" and job.get("started_at"):
                yield self._job(project, job, days)
        yield from self._checks(project, run)
        listed = self._desk.pages(
            f"{path}/artifacts", {"per_page": _PAGE}, next_link, what=f"the artifacts of run {run.key}"
        )
        for page in listed:
            for one in page.get("artifacts") or ():
                yield self._artifact(project, run, one)

    def _job(self, project: Project, job: Mapping[str, Any], days: int | None) -> Piece:
        name, attempt, url = str(job.get("name")), job.get("run_attempt") or 1, str(job.get("html_url") or "")
        ended = when(job.get("completed_at"))
        path = f"/repos/{project.key}/actions/jobs/{job['id']}/logs"
        known = {"job": name, "attempt": attempt, "runner": job.get("runner_name")}
        return Piece(
            f"job/{job['id']}",
            partial(self._desk.text, path, what=f"the log of job {name}"),
            path=f"{attempt}/{name}.log",
            url=url,
            at=ended,
            attrs={key: value for key, value in known.items() if value},
            parts=by_times(job.get("steps") or (), url),
            expires=ended + timedelta(days=days) if ended and days else None,
        )

    def _checks(self, project: Project, run: Run) -> Iterator[Piece]:
        """What jobs and apps wrote about the run: summaries, texts, annotations."""
        suite = run.data.get("suite")
        if not suite:
            return
        path = f"/repos/{project.key}/check-suites/{suite}/check-runs"
        what = f"the checks of run {run.key}"
        try:
            listed = [
                one
                for page in self._desk.pages(path, {"filter": "all", "per_page": _PAGE}, next_link, what=what)
                for one in page.get("check_runs") or ()
            ]
        except UnreadableError:
            return  # a right of its own, which `doctor` asks for
        for one in listed:
            told = one.get("output") or {}
            texts = [str(told[part]) for part in ("title", "summary", "text") if told.get(part)]
            if not texts and not told.get("annotations_count"):
                continue
            yield Piece(
                f"check/{one['id']}",
                partial(self._check, project.key, one["id"], texts, bool(told.get("annotations_count"))),
                path=f"checks/{one.get('name')}.md",
                media_type="text/markdown",
                url=str(one.get("html_url") or ""),
                at=when(one.get("completed_at")),
                attrs={"job": str(one.get("name"))},
            )

    def _check(self, repository: str, number: int, texts: Sequence[str], annotated: bool) -> bytes:
        said = list(texts)
        if annotated:
            path = f"/repos/{repository}/check-runs/{number}/annotations"
            for page in self._desk.pages(path, {"per_page": _PAGE}, next_link, what="annotations"):
                said += [_annotation(one) for one in page]
        return "\n".join(said).encode("utf-8", "replace")

    def _artifact(self, project: Project, run: Run, one: Mapping[str, Any]) -> Piece:
        name = str(one.get("name"))
        path = f"/repos/{project.key}/actions/artifacts/{one['id']}/zip"
        size = one.get("size_in_bytes")

        def read() -> bytes | Stream:
            if one.get("expired"):
                raise ExpiredError(f"the artifact {name} has expired")
            return self._desk.text(path, what=f"the artifact {name}", size=size)

        return Piece(
            f"artifact/{one['id']}",
            read,
            path=f"{name}.zip",
            media_type="application/zip",
            url=f"{run.url}/artifacts/{one['id']}" if run.url else "",
            at=when(one.get("created_at")),
            attrs={"artifact": name},
            expires=when(one.get("expires_at")),
            size=size,
        )

    def _retention(self, repository: str) -> int | None:
        """Days that logs are kept, as far as this account may ask."""
        if repository not in self._days:
            path = f"/repos/{repository}/actions/permissions/artifact-and-log-retention"
            told = self._desk.optional(path, what="the retention") or {}
            days = told.get("days")
            self._days[repository] = days if isinstance(days, int) and days > 0 else None
        return self._days[repository]

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:
        if (
            self._desk.optional(f"/repos/{project.key}/actions/variables", {"per_page": 1}, what="variables")
            is None
        ):
            yield Diagnosis(f"variables of {project.name} are not seen", False, _FINE)
        checks = f"/repos/{project.key}/commits/HEAD/check-runs"
        if self._desk.optional(checks, {"per_page": 1}, what="checks") is None:
            yield Diagnosis(f"checks of {project.name} are not seen", False, "the token needs Checks: read")
        if self._retention(project.key) is None:
            hint = "only administrators may ask; `retention_days` says it, 90 are assumed"
            yield Diagnosis("how long logs are kept is not told to this account", True, hint)
        yield Diagnosis("summaries that steps write to GITHUB_STEP_SUMMARY have no API: not seen", True)


def _project(raw: Mapping[str, Any]) -> Project:
    visibility = str(raw.get("visibility") or ("private" if raw.get("private") else "public"))
    name = str(raw.get("full_name"))
    about = {"description": raw.get("description")}
    audience = _AUDIENCES.get(visibility, Audience.UNKNOWN)
    return Project(name, name, str(raw.get("html_url") or ""), audience, data=about)


def _run(raw: Mapping[str, Any]) -> Run:
    done = raw.get("status") == "completed"
    commit = raw.get("head_commit") or {}
    known = {
        "workflow": raw.get("name"),
        "file": raw.get("path"),
        "event": raw.get("event"),
        "branch": raw.get("head_branch"),
        "commit": raw.get("head_sha"),
        "attempt": raw.get("run_attempt"),
        "result": raw.get("conclusion"),
        "message": commit.get("message"),
    }
    return Run(
        str(raw["id"]),
        int(raw["id"]),
        when(raw.get("updated_at")) if done else None,
        when(raw.get("run_started_at")),
        f"{raw.get('run_attempt') or 1}",
        str(raw.get("display_title") or raw.get("name") or ""),
        (raw.get("triggering_actor") or raw.get("actor") or {}).get("login"),
        str(raw.get("html_url") or ""),
        {key: value for key, value in known.items() if value},
        {"suite": raw.get("check_suite_id")},
    )


def _annotation(one: Mapping[str, Any]) -> str:
    told = " ".join(str(one[name]) for name in ("title", "message", "raw_details") if one.get(name))
    return f"{one.get('path')}:{one.get('start_line')}: {told}"
