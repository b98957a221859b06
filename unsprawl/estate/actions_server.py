"""GitHub Actions on loopback: repositories, runs, jobs, logs behind links to a second host, artifacts.

Follows the REST API of GitHub, version 2022-11-28, as far as runs go: ``Link`` paging, a search that ends at
a thousand results, redirects to storage that live a minute, 410 for what has expired.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Final

from unsprawl.estate.builds import Builds, Job, Project, Run, packed
from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data

__all__ = ["ActionsServer", "StorageServer", "log_of"]

_STAMP: Final = "%Y-%m-%dT%H:%M:%SZ"
_ACCOUNT: Final = {"login": "auditor", "id": 7, "type": "User"}


class StorageServer(LoopbackServer):
    """Where the links lead. Nobody may bring a credential here. ``signed`` are the files by their path."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.signed: dict[str, bytes] = {}

    def answer(self, request: Request) -> Answer:
        held = self.signed.get(request.path)
        if held is None:
            return Answer(404, b"<?xml version='1.0'?><Error><Code>BlobNotFound</Code></Error>")
        return Answer(200, held, {"content-type": "text/plain"}, ranges=True)


class ActionsServer(LoopbackServer):
    """Shows ``builds`` to who has ``token``. ``cap`` is where a search ends."""

    def __init__(self, builds: Builds, token: str, storage: StorageServer, port: int = 0) -> None:
        super().__init__(port)
        self.builds = builds
        self.token = token
        self.storage = storage
        self.cap = 1000
        self.days: int | None = None
        """How long logs are kept; None: the account may not ask."""

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return data({"message": "Bad credentials"}, 401)
        path = request.path
        if path == "/user":
            return data(_ACCOUNT)
        if path in ("/user/repos", "/orgs/acme/repos"):
            return self._page(request, [self._repository(one) for one in self.builds.projects.values()])
        if path == "/orgs/acme":
            return data({"login": "acme"})
        found = re.fullmatch(r"/repos/([^/]+/[^/]+)(/.*)?", path)
        project = self.builds.projects.get(found[1]) if found else None
        if not found or project is None:
            return _missing()
        if project.closed and found[2]:
            return data({"message": "Resource not accessible by personal access token"}, 403)
        return self._of_repository(project, found[2] or "", request)

    def _of_repository(self, project: Project, path: str, request: Request) -> Answer:
        if not path:
            return data(self._repository(project))
        if path == "/actions/variables":
            rows = [_variable(name, value) for name, value in project.variables.items()]
            return self._page(request, rows, "variables")
        if path == "/actions/organization-variables":
            return self._page(request, [], "variables")
        if path == "/environments":
            return self._page(request, [], "environments")
        if path == "/actions/permissions/artifact-and-log-retention":
            limits = {"days": self.days, "maximum_allowed_days": 400}
            return data(limits) if self.days else data({"message": "Must have admin rights"}, 403)
        if path == "/actions/runs":
            return self._runs(project, request)
        if path == "/commits/HEAD/check-runs":
            return data({"total_count": 0, "check_runs": []})
        if found := re.fullmatch(r"/actions/runs/(\d+)(/jobs|/artifacts)?", path):
            run = next((one for one in project.runs if one.id == int(found[1])), None)
            if run is None:
                return _missing()
            if found[2] == "/jobs":
                return self._page(request, [self._job(project, run, job) for job in run.jobs], "jobs")
            if found[2] == "/artifacts":
                return self._page(request, self._artifacts(project, run), "artifacts")
            return data(self._run(project, run))
        if found := re.fullmatch(r"/check-suites/(\d+)/check-runs", path):
            return self._checks(project, int(found[1]), request)
        if found := re.fullmatch(r"/actions/jobs/(\d+)/logs", path):
            return self._log(project, int(found[1]))
        if found := re.fullmatch(r"/actions/artifacts/(\d+)/zip", path):
            return self._artifact(project, int(found[1]))
        return _missing()

    def _runs(self, project: Project, request: Request) -> Answer:
        runs = sorted(project.runs, key=lambda run: run.id, reverse=True)
        bound = request.last("created")
        if bound.startswith("<="):
            runs = [run for run in runs if run.started.strftime(_STAMP) <= bound[2:]]
        rows = [self._run(project, run) for run in runs]
        return self._page(request, rows, "workflow_runs", self.cap)

    def _page(self, request: Request, rows: list[Any], name: str = "", cap: int | None = None) -> Answer:
        size, page = min(request.number("per_page", 30), 100), request.number("page", 1)
        shown = rows[:cap][(page - 1) * size : page * size]
        headers = {}
        if page * size < len(rows[:cap]):
            kept = "&".join(
                f"{key}={value}" for key, values in request.query.items() for value in values if key != "page"
            ).replace("<", "%3C")
            link = f"{self.url}{request.path}?{kept}&page={page + 1}"
            headers["link"] = f'<{link}>; rel="next", <{self.url}{request.path}?page=9>; rel="last"'
        return data({"total_count": len(rows), name: shown} if name else shown, headers=headers)

    # --- shapes ----------------------------------------------------------------------------------

    def _repository(self, project: Project) -> dict[str, Any]:
        return {
            "id": project.id,
            "name": project.name.partition("/")[2],
            "full_name": project.name,
            "private": project.private,
            "visibility": "private" if project.private else "public",
            "description": None,
            "html_url": f"https://github.com/{project.name}",
        }

    def _run(self, project: Project, run: Run) -> dict[str, Any]:
        done = run.finished is not None
        return {
            "id": run.id,
            "name": "CI",
            "display_title": run.title,
            "path": ".github/workflows/ci.yml",
            "run_number": run.number,
            "run_attempt": run.attempt,
            "event": "push",
            "status": "completed" if done else "in_progress",
            "conclusion": "success" if done else None,
            "head_branch": "main",
            "head_sha": f"{run.id:040x}",
            "check_suite_id": run.id,
            "created_at": run.started.strftime(_STAMP),
            "run_started_at": run.started.strftime(_STAMP),
            "updated_at": (run.finished or run.started).strftime(_STAMP),
            "html_url": f"https://github.com/{project.name}/actions/runs/{run.id}",
            "actor": {"login": run.author},
            "triggering_actor": {"login": run.author},
            "head_commit": {"id": f"{run.id:040x}", "message": run.title},
        }

    def _job(self, project: Project, run: Run, job: Job) -> dict[str, Any]:
        begun, ended = _stamp(job.started), _stamp(job.finished)
        steps = [
            {
                "name": step.name,
                "number": number,
                "status": "completed",
                "conclusion": "success",
                "started_at": _stamp(job.started + timedelta(seconds=number)),
                "completed_at": _stamp(job.started + timedelta(seconds=number + 1)),
            }
            for number, step in enumerate(job.steps, 1)
        ]
        return {
            "id": job.id,
            "run_id": run.id,
            "run_attempt": job.attempt,
            "name": job.name,
            "status": "completed" if ended else "in_progress",
            "conclusion": "success" if ended else None,
            "started_at": begun,
            "completed_at": ended,
            "html_url": f"https://github.com/{project.name}/actions/runs/{run.id}/job/{job.id}",
            "runner_name": "hosted-1",
            "steps": steps,
        }

    def _checks(self, project: Project, suite: int, request: Request) -> Answer:
        run = next((one for one in project.runs if one.id == suite), None)
        jobs = run.jobs if run else []
        rows = [
            {
                "id": job.id,
                "name": job.name,
                "html_url": f"https://github.com/{project.name}/runs/{job.id}",
                "completed_at": _stamp(job.finished),
                "output": {
                    "title": None,
                    "summary": job.summary or None,
                    "text": None,
                    "annotations_count": 0,
                },
            }
            for job in jobs
        ]
        return self._page(request, rows, "check_runs")

    def _artifacts(self, project: Project, run: Run) -> list[dict[str, Any]]:
        ended = run.finished or run.started
        return [
            {
                "id": file.id,
                "name": file.name,
                "size_in_bytes": len(packed(file.name, file.content)),
                "expired": file.expired,
                "created_at": _stamp(ended),
                "expires_at": _stamp(ended + timedelta(days=30)),
                "archive_download_url": f"{self.url}/repos/{project.name}/actions/artifacts/{file.id}/zip",
            }
            for file in run.files
        ]

    def _log(self, project: Project, number: int) -> Answer:
        job = next((job for run in project.runs for job in run.jobs if job.id == number), None)
        if job is None:
            return _missing()
        if job.gone:
            return data({"message": "Logs have expired"}, 410)
        return self._linked(f"/logs/{number}", log_of(job))

    def _artifact(self, project: Project, number: int) -> Answer:
        for run in project.runs:
            for file in run.files:
                if file.id == number:
                    gone = data({"message": "Artifact has expired"}, 410)
                    return (
                        gone
                        if file.expired
                        else self._linked(f"/files/{number}", packed(file.name, file.content))
                    )
        return _missing()

    def _linked(self, path: str, content: bytes) -> Answer:
        """The file lies elsewhere, behind a link that is good for a while."""
        self.storage.signed[path] = content
        return Answer(302, b"", {"location": f"{self.storage.url}{path}?sig=abc&se=2026"})


def log_of(job: Job) -> bytes:
    """A log as GitHub writes it: a time before each line, a group around what each step ran."""
    if job.log is not None:
        return job.log
    rows = []
    for number, step in enumerate(job.steps, 1):
        at = job.started + timedelta(seconds=number)
        said = [
            f"##[group]Run {step.name}",
            "shell: /usr/bin/bash -e {0}",
            "##[endgroup]",
            *step.text.split("\n"),
        ]
        rows += [f"{at:%Y-%m-%dT%H:%M:%S}.{index:07}Z {line}" for index, line in enumerate(said)]
    return ("\ufeff" + "\n".join(rows) + "\n").encode()


def _variable(name: str, value: str) -> dict[str, str]:
    at = "2026-01-01T00:00:00Z"
    return {"name": name, "value": value, "created_at": at, "updated_at": at}


def _stamp(time: datetime | None) -> str | None:
    return time.strftime(_STAMP) if time else None


def _missing() -> Answer:
    return data({"message": "Not Found"}, 404)
