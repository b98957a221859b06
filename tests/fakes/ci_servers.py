"""Build systems in the shapes that their documentation gives: GitLab, Jenkins, Buildbot, Travis.

Each shows the same :class:`Builds`, refuses who does not bring the token in its way, and pages its lists.
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import Any

from unsprawl.estate.actions_server import StorageServer
from unsprawl.estate.builds import Builds, Job, Project, Run, packed
from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data

__all__ = ["BuildbotServer", "GitLabServer", "JenkinsServer", "Shown", "TravisServer", "linked", "plain"]

ISO = "%Y-%m-%dT%H:%M:%SZ"


class Shown(LoopbackServer):
    """What all have in common: ``builds``, shown to who has ``token``, and a page's largest ``size``."""

    def __init__(self, builds: Builds, token: str, storage: StorageServer) -> None:
        super().__init__()
        self.builds = builds
        self.token = token
        self.storage = storage
        self.size = 20

    def shown(
        self, request: Request, rows: list[Any], size: str = "per_page"
    ) -> tuple[list[Any], int | None]:
        """A page of ``rows``, and the number of the next one."""
        count = min(request.number(size, 20), self.size)
        page = request.number("page", 1)
        more = page * count < len(rows)
        return rows[(page - 1) * count : page * count], page + 1 if more else None

    def by_link(self, request: Request, rows: list[Any]) -> Answer:
        shown, more = self.shown(request, rows)
        if more is None:
            return data(shown)
        kept = "&".join(
            f"{key}={one}" for key, values in request.query.items() for one in values if key != "page"
        )
        link = f"{self.url}{request.raw.partition('?')[0]}?{kept}&page={more}".replace("+", "%2B").replace(
            " ", "%20"
        )
        return data(shown, headers={"link": f'<{link}>; rel="next"'})

    def job(self, number: int) -> tuple[Project, Run, Job] | None:
        for project in self.builds.projects.values():
            for run in project.runs:
                for one in (run, *run.children):
                    for job in one.jobs:
                        if job.id == number:
                            return project, one, job
        return None


def plain(job: Job) -> bytes:
    """A log without anything a system adds."""
    return (
        job.log
        if job.log is not None
        else "".join(f"$ {one.name}\n{one.text}\n" for one in job.steps).encode()
    )


def linked(storage: StorageServer, path: str, content: bytes, status: int = 302) -> Answer:
    storage.signed[path] = content
    return Answer(status, b"", {"location": f"{storage.url}{path}?X-Signature=abc"})


def missing() -> Answer:
    return data({"message": "404 Not Found"}, 404)


class GitLabServer(Shown):
    """Traces come from storage, as with object storage switched on."""

    def answer(self, request: Request) -> Answer:
        if request.headers.get("private-token") != self.token:
            return data({"message": "401 Unauthorized"}, 401)
        path = request.path.removeprefix("/api/v4")
        if path == "/user":
            return data({"id": 1, "username": "auditor"})
        if path in ("/projects", "/groups/acme/projects"):
            return self.by_link(request, [self._project(one) for one in self.builds.projects.values()])
        found = re.fullmatch(r"/projects/(acme/[^/]+|\d+)(/.*)?", path)
        project = self._named(found[1]) if found else None
        if not found or project is None:
            return missing()
        rest = found[2] or ""
        if not rest:
            return data(self._project(project))
        if rest == "/variables":
            rows = [
                {"key": key, "value": value, "environment_scope": "*"}
                for key, value in project.variables.items()
            ]
            return self.by_link(request, rows)
        if rest == "/pipeline_schedules":
            return self.by_link(request, [])
        if rest == "/pipelines":
            return self._pipelines(project, request)
        if one := re.fullmatch(r"/pipelines/(\d+)(/jobs|/bridges|/variables)?", rest):
            return self._pipeline(project, int(one[1]), one[2] or "", request)
        if one := re.fullmatch(r"/jobs/(\d+)/(trace|artifacts)", rest):
            return self._file(int(one[1]), one[2])
        return missing()

    def _named(self, name: str) -> Project | None:
        found = self.builds.projects.get(name)
        return found or next((one for one in self.builds.projects.values() if str(one.id) == name), None)

    def _project(self, project: Project) -> dict[str, Any]:
        return {
            "id": project.id,
            "path_with_namespace": project.name,
            "description": "",
            "visibility": "private" if project.private else "public",
            "public_jobs": True,
            "namespace": {"kind": "user"},
            "web_url": f"https://gitlab.test/{project.name}",
        }

    def _pipelines(self, project: Project, request: Request) -> Answer:
        rows = [self._run(project, run) for run in project.runs]
        rows.sort(key=lambda row: row["updated_at"], reverse=True)
        if after := request.last("updated_after"):
            rows = [row for row in rows if row["updated_at"] >= after[:19]]
        if before := request.last("updated_before"):
            rows = [row for row in rows if row["updated_at"][:19] <= before[:19]]
        return self.by_link(request, rows)

    def _run(self, project: Project, run: Run) -> dict[str, Any]:
        return {
            "id": run.id,
            "iid": run.number,
            "status": "success" if run.finished else "running",
            "source": "push",
            "ref": "main",
            "sha": f"{run.id:040x}",
            "name": run.title,
            "web_url": f"https://gitlab.test/{project.name}/-/pipelines/{run.id}",
            "created_at": run.started.strftime(ISO),
            "updated_at": (run.finished or run.started).strftime(ISO),
            "user": {"username": run.author},
        }

    def _pipeline(self, project: Project, number: int, rest: str, request: Request) -> Answer:
        runs = [one for run in project.runs for one in (run, *run.children)]
        run = next((one for one in runs if one.id == number), None)
        if run is None:
            return missing()
        if rest == "/variables":
            return data([{"key": key, "value": value} for key, value in run.variables.items()])
        if rest == "/bridges":
            rows = [
                {
                    "id": child.id + 1_000_000,
                    "name": f"child-{child.id}",
                    "downstream_pipeline": {
                        "id": child.id,
                        "project_id": project.id,
                        "web_url": f"https://gitlab.test/{project.name}/-/pipelines/{child.id}",
                    },
                }
                for child in run.children
            ]
            return self.by_link(request, rows)
        if rest == "/jobs":
            return self.by_link(request, [self._job(project, run, job) for job in run.jobs])
        return data(self._run(project, run))

    def _job(self, project: Project, run: Run, job: Job) -> dict[str, Any]:
        files = run.files if job is run.jobs[-1] else []
        file = {"filename": f"{files[0].name}.zip", "size": len(_zip(files))} if files else None
        ended = job.finished
        return {
            "id": job.id,
            "name": job.name,
            "stage": "test",
            "status": "success" if ended else "running",
            "started_at": job.started.strftime(ISO),
            "finished_at": ended.strftime(ISO) if ended else None,
            "erased_at": None,
            "artifacts_file": file,
            "artifacts_expire_at": (ended + timedelta(days=7)).strftime(ISO) if ended and files else None,
            "web_url": f"https://gitlab.test/{project.name}/-/jobs/{job.id}",
            "user": {"username": run.author},
        }

    def _file(self, number: int, kind: str) -> Answer:
        found = self.job(number)
        if found is None or found[2].gone:
            return missing()
        content = gitlab_log(found[2]) if kind == "trace" else _zip(found[1].files)
        return linked(self.storage, f"/{kind}/{number}", content)


def gitlab_log(job: Job) -> bytes:
    if job.log is not None:
        return job.log
    rows = ["\x1b[0KRunning with gitlab-runner 17.0\x1b[0;m"]
    for number, step in enumerate(job.steps):
        rows += [
            f"section_start:17000000{number:02}:{step.name}\r\x1b[0K\x1b[32;1m$ {step.name}\x1b[0;m",
            step.text,
            f"section_end:17000000{number:02}:{step.name}\r\x1b[0K",
        ]
    return "\n".join(rows).encode() + b"\n"


def _zip(files: list[Any]) -> bytes:
    return packed(files[0].name, files[0].content)


class JenkinsServer(Shown):
    """Each project is a job in a folder. ``size`` bounds no list here, ``tree`` does."""

    def answer(self, request: Request) -> Answer:
        pair = base64.b64encode(f"auditor:{self.token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            return Answer(401, b"<html>", {"content-type": "text/html"})
        if request.path == "/whoAmI/api/json":
            return data({"name": "auditor", "anonymous": False, "authenticated": True})
        if request.path == "/api/json":
            return data({"jobs": self._folders()})
        for project in self.builds.projects.values():
            path = "".join(f"/job/{part}" for part in project.name.split("/"))
            if request.path.startswith(f"{path}/"):
                return self._of_job(project, request.path.removeprefix(path), request)
        return Answer(404, b"<html>")

    def _folders(self) -> list[dict[str, Any]]:
        folders: dict[str, list[dict[str, Any]]] = {}
        for project in self.builds.projects.values():
            folder, _, name = project.name.partition("/")
            kind = "org.jenkinsci.plugins.workflow.job.WorkflowJob"
            folders.setdefault(folder, []).append({"_class": kind, "name": name, "color": "blue"})
        kind = "com.cloudbees.hudson.plugins.folder.Folder"
        return [{"_class": kind, "name": name, "jobs": jobs} for name, jobs in folders.items()]

    def _of_job(self, project: Project, rest: str, request: Request) -> Answer:
        if rest == "/api/json":
            tree = request.last("tree")
            found = re.match(r"(builds|allBuilds)\[.*\]\{(\d+),(\d+)\}$", tree)
            if not found:
                return data({"name": project.name.partition("/")[2], "description": ""})
            rows = [self._build(run) for run in sorted(project.runs, key=lambda run: -run.number)]
            return data({found[1]: rows[int(found[2]) : int(found[3])]})
        if rest == "/config.xml":
            text = "".join(f"<{key}>{value}</{key}>" for key, value in project.variables.items())
            return Answer(
                200,
                f"<flow-definition>{text}</flow-definition>".encode(),
                {"content-type": "application/xml"},
            )
        found = re.fullmatch(r"/(\d+)/(.*)", rest)
        run = next((one for one in project.runs if found and one.number == int(found[1])), None)
        if not found or run is None:
            return Answer(404, b"<html>", {"content-type": "text/html"})
        if found[2] == "api/json":
            return data(self._build(run))
        if found[2] == "consoleText" and not any(job.gone for job in run.jobs):
            return Answer(200, console(run), {"content-type": "text/plain;charset=utf-8"})
        if found[2] == "injectedEnvVars/api/json":
            return data({"envMap": {"BUILD_NUMBER": str(run.number), **run.variables}})
        file = next((one for one in run.files if found[2] == f"artifact/out/{one.name}"), None)
        return Answer(200, file.content, {"content-type": "text/plain"}) if file else Answer(404, b"<html>")

    def _build(self, run: Run) -> dict[str, Any]:
        parameters = [{"name": key, "value": value} for key, value in run.variables.items()]
        took = int((run.finished - run.started).total_seconds() * 1000) if run.finished else 0
        return {
            "number": run.number,
            "timestamp": int(run.started.timestamp() * 1000),
            "duration": took,
            "building": run.finished is None,
            "result": "SUCCESS" if run.finished else None,
            "displayName": f"#{run.number}",
            "actions": [
                {"parameters": parameters},
                {"causes": [{"shortDescription": "push", "userId": run.author}]},
                {},
            ],
            "artifacts": [{"relativePath": f"out/{file.name}"} for file in run.files],
            "changeSets": [{"items": [{"msg": run.title, "author": {"fullName": run.author}}]}],
        }


def console(run: Run) -> bytes:
    """A pipeline's console: one for all jobs, which are its stages."""
    rows = [f"Started by user {run.author}", "[Pipeline] Start of Pipeline"]
    for job in run.jobs:
        text = plain(job).decode("utf-8", "replace").rstrip("\n")
        rows += ["[Pipeline] stage", f"[Pipeline] {{ ({job.name})", "[Pipeline] sh", text, "[Pipeline] }"]
    return "\n".join([*rows, "Finished: SUCCESS", ""]).encode()


class BuildbotServer(Shown):
    """The REST API of a master: fields with operators, chunks of logs whose lines begin with a letter."""

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return data({"error": "forbidden"}, 403)
        path = request.path.removeprefix("/api/v2")
        projects = list(self.builds.projects.values())
        if path == "/builders":
            return data({"builders": [_builder(one) for one in projects]})
        if one := re.fullmatch(r"/builders/(\d+)(/builds)?", path):
            project = next((each for each in projects if each.id == int(one[1])), None)
            if project is None:
                return data({"error": "not found"}, 404)
            return self._builds(project, request) if one[2] else data({"builders": [_builder(project)]})
        if one := re.fullmatch(r"/builds/(\d+)(/steps|/properties)?", path):
            found = self.builds.of(int(one[1]))
            return self._build(found[1], one[2] or "") if found else data({"error": "not found"}, 404)
        if one := re.fullmatch(r"/steps/(\d+)/logs", path):
            job = self.job(int(one[1]))
            assert job
            count = len(plain(job[2]).split(b"\n")) - 1
            log = {"logid": job[2].id, "name": "stdio", "slug": "stdio", "type": "s", "num_lines": count}
            return data({"logs": [log]})
        if one := re.fullmatch(r"/logs/(\d+)/contents", path):
            return self._contents(int(one[1]), request)
        return data({"error": "not found"}, 404)

    def _builds(self, project: Project, request: Request) -> Answer:
        runs = sorted(project.runs, key=lambda run: -run.number)
        if bound := request.number("number__gt", 0):
            runs = [run for run in runs if run.number > bound]
        if bound := request.number("number__lt", 0):
            runs = [run for run in runs if run.number < bound]
        return data({"builds": [_bb(run) for run in runs[: request.number("limit", 100)]]})

    def _build(self, run: Run, rest: str) -> Answer:
        if rest == "/properties":
            return data({"properties": [{key: [value, "Force"] for key, value in run.variables.items()}]})
        if rest == "/steps":
            steps = [
                {"stepid": job.id, "name": job.name, "number": index, "complete_at": _epoch(job.finished)}
                for index, job in enumerate(run.jobs)
            ]
            return data({"steps": steps})
        return data({"builds": [_bb(run)]})

    def _contents(self, number: int, request: Request) -> Answer:
        found = self.job(number)
        if found is None or found[2].gone:
            return data({"error": "not found"}, 404)
        rows = plain(found[2]).decode("utf-8", "replace").split("\n")[:-1]
        first, count = request.number("offset", 0), request.number("limit", 1000)
        content = "".join(f"o{row}\n" for row in rows[first : first + count])
        return data({"logchunks": [{"firstline": first, "logid": number, "content": content}]})


def _builder(project: Project) -> dict[str, Any]:
    return {"builderid": project.id, "name": project.name, "description": None, "masterids": [1], "tags": []}


def _bb(run: Run) -> dict[str, Any]:
    return {
        "buildid": run.id,
        "number": run.number,
        "complete": run.finished is not None,
        "complete_at": _epoch(run.finished),
        "started_at": _epoch(run.started),
        "state_string": run.title,
        "results": 0,
    }


def _epoch(time: Any) -> int | None:
    return int(time.timestamp()) if time else None


class TravisServer(Shown):
    """Version 3 of the API; lists tell their next page by an offset."""

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"token {self.token}":
            return data({"@type": "error", "error_message": "access denied"}, 403)
        assert request.headers.get("travis-api-version") == "3", "every request names the version"
        path = request.path
        if path == "/user":
            return data({"login": "auditor"})
        if path in ("/repos", "/owner/acme/repos"):
            return self._list(request, "repositories", [_repo(one) for one in self.builds.projects.values()])
        if one := re.fullmatch(r"/repo/(acme/[^/]+)(/builds|/env_vars)?", path):
            project = self.builds.projects.get(one[1])
            if project is None:
                return data({"@type": "error"}, 404)
            if one[2] == "/env_vars":
                rows = [
                    {"name": key, "value": value, "public": True} for key, value in project.variables.items()
                ]
                return data({"env_vars": [*rows, {"name": "HIDDEN", "value": None, "public": False}]})
            if one[2] == "/builds":
                runs = sorted(project.runs, key=lambda run: -run.id)
                return self._list(request, "builds", [_travis(run) for run in runs])
            return data(_repo(project))
        if one := re.fullmatch(r"/build/(\d+)(/jobs)?", path):
            found = self.builds.of(int(one[1]))
            if found is None:
                return data({"@type": "error"}, 404)
            return data({"jobs": [_job(job) for job in found[1].jobs]} if one[2] else _travis(found[1]))
        if one := re.fullmatch(r"/job/(\d+)/log.txt", path):
            job = self.job(int(one[1]))
            return (
                Answer(200, travis_log(job[2]), {"content-type": "text/plain"})
                if job and not job[2].gone
                else missing()
            )
        return data({"@type": "error"}, 404)

    def _list(self, request: Request, name: str, rows: list[Any]) -> Answer:
        first, size = request.number("offset", 0), min(request.number("limit", 25), self.size)
        last = first + size >= len(rows)
        paging = {"is_last": last, "next": None if last else {"offset": first + size, "limit": size}}
        return data({"@pagination": paging, name: rows[first : first + size]})


def travis_log(job: Job) -> bytes:
    if job.log is not None:
        return job.log
    rows = [
        f"travis_fold:start:{one.name}\r\x1b[0K$ {one.name}\n{one.text}\ntravis_fold:end:{one.name}\r"
        for one in job.steps
    ]
    return "\n".join(rows).encode() + b"\n"


def _repo(project: Project) -> dict[str, Any]:
    return {"id": project.id, "slug": project.name, "private": project.private, "description": None}


def _travis(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "number": str(run.number),
        "state": "passed" if run.finished else "started",
        "event_type": "push",
        "started_at": run.started.strftime(ISO),
        "finished_at": run.finished.strftime(ISO) if run.finished else None,
        "branch": {"name": "main"},
        "commit": {"sha": f"{run.id:040x}", "message": run.title},
        "created_by": {"login": run.author},
    }


def _job(job: Job) -> dict[str, Any]:
    ended = job.finished.strftime(ISO) if job.finished else None
    return {
        "id": job.id,
        "number": f"{job.id}.1",
        "started_at": job.started.strftime(ISO),
        "finished_at": ended,
    }
