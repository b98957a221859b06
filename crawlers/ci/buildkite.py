"""Buildkite: builds with their jobs, logs, environments, annotations and artifacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from unsprawl.crawlers.ci.desk import Desk, next_link
from unsprawl.crawlers.ci.model import ExpiredError, Known, Piece, Project, Run, chosen, lines, when
from unsprawl.crawlers.ci.steps import by_markers
from unsprawl.errors import AuthError, UnreadableError
from unsprawl.records import Audience, Diagnosis, Skipped

__all__ = ["Buildkite"]

_PAGE: Final = 100
_OVERLAP: Final = timedelta(minutes=10)
_AUDIENCES: Final = {"public": Audience.PUBLIC, "private": Audience.ORGANISATION}


class Buildkite:
    """``projects`` are ``organisation/pipeline``, organisations, or globs over both."""

    days = None

    def __init__(self, desk: Desk, projects: Sequence[str]) -> None:
        self._desk = desk
        self._wanted = projects

    def login(self) -> str:
        token = self._desk.json("/v2/access-token", what="the token")
        return f"with the scopes {', '.join(token.get('scopes') or ())}"

    # --- pipelines -------------------------------------------------------------------------------

    def projects(self) -> Iterator[Project | Skipped]:
        for organisation in self._organisations():
            path = f"/v2/organizations/{quote(organisation)}/pipelines"
            try:
                for page in self._desk.pages(
                    path, {"per_page": _PAGE}, next_link, what=f"pipelines of {organisation}"
                ):
                    for raw in page:
                        if chosen(f"{organisation}/{raw.get('slug')}", self._wanted):
                            yield _project(organisation, raw)
            except AuthError:
                raise
            except UnreadableError as error:
                uri = f"ci://{self._desk.host}/{quote(organisation)}"
                yield Skipped(uri, error.message, error.hint, parents=(organisation,))

    def _organisations(self) -> list[str]:
        named = {one.partition("/")[0] for one in self._wanted}
        if named and not any(set("*?[") & set(one) for one in named):
            return sorted(named)
        listed = self._desk.pages(
            "/v2/organizations", {"per_page": _PAGE}, next_link, what="the organisations"
        )
        return [str(one.get("slug")) for page in listed for one in page]

    def project(self, key: str) -> Project:
        organisation, _, slug = key.partition("/")
        raw = self._desk.json(f"{_path(key)}", what=f"the pipeline {slug}")
        return _project(organisation, raw)

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:
        yield Piece("configuration", partial(self._configuration, project), url=f"{project.url}/settings")

    def _configuration(self, project: Project) -> bytes:
        raw = self._desk.json(_path(project.key), what=f"the pipeline {project.name}")
        return lines(raw.get("env") or {}) + str(raw.get("configuration") or "").encode("utf-8", "replace")

    # --- builds ----------------------------------------------------------------------------------

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        """Those that ended since, or all: what runs now comes when it has ended."""
        given: dict[str, Any] = {"per_page": _PAGE, "include_retried_jobs": "true"}
        if known:
            given["finished_from"] = (known.at - _OVERLAP).isoformat()
        what = f"the builds of {project.name}"
        for page in self._desk.pages(f"{_path(project.key)}/builds", given, next_link, what=what):
            for raw in page:
                yield _run(raw)

    def run(self, project: Project, key: str) -> Run:
        answer = self._desk.spider.get(
            f"{_path(project.key)}/builds/{quote(key)}", params={"include_retried_jobs": "true"}
        )
        if answer.status == 404:
            raise ExpiredError(f"{self._desk.host} no longer has the build {key}")
        return _run(answer.expect(f"the build {key}", self._desk.hint).json())

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]:
        path = f"{_path(project.key)}/builds/{run.key}"
        for job in run.data.get("jobs") or ():
            if job.get("type") == "script" and job.get("started_at"):
                yield from self._job(path, job)
        notes = self._desk.optional(f"{path}/annotations", {"per_page": _PAGE}, what="the annotations")
        for one in notes or ():
            body = str(one.get("body_html") or "").encode("utf-8", "replace")
            yield Piece(
                f"annotation/{one.get('id')}",
                partial(bytes, body),
                path=f"annotations/{one.get('context')}.html",
                media_type="text/html",
                url=run.url,
                at=when(one.get("updated_at")),
            )
        listed = self._desk.pages(f"{path}/artifacts", {"per_page": _PAGE}, next_link, what="the artifacts")
        for page in listed:
            for one in page:
                yield self._artifact(path, run, one)

    def _job(self, path: str, job: Mapping[str, Any]) -> Iterator[Piece]:
        name, url = str(job.get("name") or job.get("command") or job["id"]), str(job.get("web_url") or "")
        known = {
            "job": name,
            "runner": (job.get("agent") or {}).get("name"),
            "attempt": job.get("retries_count"),
        }
        attrs = {key: value for key, value in known.items() if value}
        own, ended = f"{path}/jobs/{job['id']}", when(job.get("finished_at"))
        label = name.replace("/", "-")[:80]
        yield Piece(
            f"job/{job['id']}",
            partial(self._desk.text, f"{own}/log", what=f"the log of job {name}", accept="text/plain"),
            path=f"{label}.log",
            url=url,
            at=ended,
            attrs=attrs,
            parts=by_markers("buildkite", url),
        )
        environment = self._desk.optional(f"{own}/env", what="the environment of a job")
        if environment and environment.get("env"):
            body = lines(environment["env"])
            yield Piece(
                f"environment/{job['id']}", partial(bytes, body), path=f"{label}.env", url=url, attrs=attrs
            )

    def _artifact(self, path: str, run: Run, one: Mapping[str, Any]) -> Piece:
        name, size = str(one.get("path") or one.get("filename")), one.get("file_size")
        place = f"{path}/jobs/{one.get('job_id')}/artifacts/{one['id']}/download"

        def read() -> Any:
            if one.get("state") in ("deleted", "expired"):
                raise ExpiredError(f"the artifact {name} was deleted")
            return self._desk.text(place, what=f"the artifact {name}", size=size)

        return Piece(
            f"artifact/{one['id']}",
            read,
            path=f"artifacts/{name}",
            media_type=str(one.get("mime_type") or ""),
            url=run.url,
            attrs={"artifact": name},
            size=size,
        )

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:  # noqa: ARG002
        scopes = set(self._desk.json("/v2/access-token", what="the token").get("scopes") or ())
        for scope, what in (("read_job_env", "environments of jobs"), ("read_artifacts", "artifacts")):
            if scope not in scopes:
                yield Diagnosis(f"{what} are not seen", False, f"the token needs the scope {scope}")


def _path(key: str) -> str:
    organisation, _, slug = key.partition("/")
    return f"/v2/organizations/{quote(organisation)}/pipelines/{quote(slug)}"


def _project(organisation: str, raw: Mapping[str, Any]) -> Project:
    name = f"{organisation}/{raw.get('slug')}"
    audience = _AUDIENCES.get(str(raw.get("visibility")), Audience.UNKNOWN)
    return Project(
        name, name, str(raw.get("web_url") or ""), audience, data={"description": raw.get("description")}
    )


def _run(raw: Mapping[str, Any]) -> Run:
    number = int(raw["number"])
    known = {
        "branch": raw.get("branch"),
        "commit": raw.get("commit"),
        "source": raw.get("source"),
        "result": raw.get("state"),
    }
    text = lines(raw.get("env") or {}) + lines(raw.get("meta_data") or {})
    return Run(
        str(number),
        number,
        when(raw.get("finished_at")),
        when(raw.get("started_at") or raw.get("created_at")),
        str(raw.get("finished_at")),
        str(raw.get("message") or ""),
        (raw.get("creator") or {}).get("name"),
        str(raw.get("web_url") or ""),
        {key: value for key, value in known.items() if value},
        {"text": text.decode("utf-8", "replace"), "jobs": raw.get("jobs") or []},
    )
