"""Build systems in the shapes that their documentation gives: CircleCI, Buildkite, Azure, Bitbucket."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from ci_servers import ISO, Shown, linked, missing, plain

from unsprawl.estate.builds import Job, Project, Run, Step, packed
from unsprawl.estate.loopback import Answer, Request, data

__all__ = ["AzureServer", "BitbucketServer", "BuildkiteServer", "CircleServer"]


class CircleServer(Shown):
    """Both APIs: what steps printed lies in storage, behind links that the first one signs."""

    def answer(self, request: Request) -> Answer:
        if request.headers.get("circle-token") != self.token:
            return data({"message": "You must log in first."}, 401)
        path = request.path
        if path == "/api/v2/me":
            return data({"login": "auditor", "id": "1"})
        if path == "/api/v1.1/projects":
            rows = [one.name.partition("/") for one in self.builds.projects.values()]
            return data(
                [{"vcs_type": "github", "username": owner, "reponame": name} for owner, _, name in rows]
            )
        if one := re.fullmatch(r"/api/v2/project/gh/(acme/[^/]+)(/pipeline)?", path):
            project = self.builds.projects.get(one[1])
            if project is None:
                return missing()
            if not one[2]:
                return data({"slug": f"gh/{project.name}", "name": project.name.partition("/")[2]})
            runs = sorted(project.runs, key=lambda run: -run.number)
            return self._items(request, [self._pipeline(project, run) for run in runs])
        if one := re.fullmatch(r"/api/v2/pipeline/p-(\d+)(/workflow)?", path):
            found = self.builds.of(int(one[1]))
            if found is None:
                return missing()
            return self._items(request, [_workflow(found[1])]) if one[2] else data(self._pipeline(*found))
        if one := re.fullmatch(r"/api/v2/workflow/w-(\d+)/job", path):
            found = self.builds.of(int(one[1]))
            assert found
            return self._items(request, [_circle_job(job) for job in found[1].jobs])
        if one := re.fullmatch(r"/api/v2/project/gh/acme/[^/]+/(\d+)/artifacts", path):
            return self._artifacts(int(one[1]), request)
        if one := re.fullmatch(r"/api/v1.1/project/github/acme/[^/]+/(\d+)", path):
            return self._steps(int(one[1]))
        return missing()

    def _items(self, request: Request, rows: list[Any]) -> Answer:
        first = request.number("page-token", 0)
        more = first + self.size
        token = str(more) if more < len(rows) else None
        return data({"items": rows[first:more], "next_page_token": token})

    def _pipeline(self, project: Project, run: Run) -> dict[str, Any]:
        return {
            "id": f"p-{run.id}",
            "number": run.number,
            "project_slug": f"gh/{project.name}",
            "state": "created",
            "created_at": run.started.strftime(ISO),
            "updated_at": run.started.strftime(ISO),
            "trigger": {"type": "webhook", "actor": {"login": run.author}},
            "vcs": {"branch": "main", "revision": f"{run.id:040x}", "commit": {"subject": run.title}},
            "trigger_parameters": run.variables,
            "errors": [],
        }

    def _steps(self, number: int) -> Answer:
        found = self.job(number)
        if found is None:
            return missing()
        steps = []
        for index, step in enumerate(found[2].steps):
            path = f"/output/{number}/{index}"
            if not found[2].gone:
                said = [{"type": "out", "message": f"{step.text}\n", "time": "2026-01-01T00:00:00Z"}]
                self.storage.signed[path] = json.dumps(said).encode()
            url = None if found[2].gone else f"{self.storage.url}{path}?sig=abc"
            steps.append(
                {"name": step.name, "actions": [{"index": 0, "has_output": True, "output_url": url}]}
            )
        return data({"build_num": number, "steps": steps})

    def _artifacts(self, number: int, request: Request) -> Answer:
        found = self.job(number)
        assert found
        _, run, job = found
        rows = []
        for file in run.files if job is run.jobs[-1] else ():
            self.storage.signed[f"/artifact/{file.id}"] = file.content
            rows.append(
                {"path": f"out/{file.name}", "node_index": 0, "url": f"{self.storage.url}/artifact/{file.id}"}
            )
        return self._items(request, rows)


def _workflow(run: Run) -> dict[str, Any]:
    ended = run.finished.strftime(ISO) if run.finished else None
    return {
        "id": f"w-{run.id}",
        "name": "main",
        "status": "success" if ended else "running",
        "created_at": run.started.strftime(ISO),
        "stopped_at": ended,
    }


def _circle_job(job: Job) -> dict[str, Any]:
    ended = job.finished.strftime(ISO) if job.finished else None
    started = job.started.strftime(ISO)
    return {
        "job_number": job.id,
        "name": job.name,
        "type": "build",
        "started_at": started,
        "stopped_at": ended,
    }


class BuildkiteServer(Shown):
    """Builds with their jobs in them; logs as text."""

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return data({"message": "Authentication required"}, 401)
        path = request.path
        if path == "/v2/access-token":
            return data(
                {"uuid": "1", "scopes": ["read_builds", "read_build_logs", "read_artifacts", "read_job_env"]}
            )
        if path == "/v2/organizations":
            return self.by_link(request, [{"slug": "acme"}])
        base = "/v2/organizations/acme/pipelines"
        projects = {one.name.partition("/")[2]: one for one in self.builds.projects.values()}
        if path == base:
            return self.by_link(request, [self._pipeline(slug, one) for slug, one in projects.items()])
        found = re.fullmatch(rf"{base}/([^/]+)(/builds)?(/\d+)?(/.*)?", path)
        project = projects.get(found[1]) if found else None
        if not found or project is None:
            return missing()
        if not found[2]:
            return data(self._pipeline(found[1], project))
        if not found[3]:
            runs = sorted(project.runs, key=lambda run: -run.number)
            if since := request.last("finished_from"):
                runs = [run for run in runs if run.finished and run.finished.isoformat() >= since]
            return self.by_link(request, [self._build(project, run) for run in runs])
        run = next((one for one in project.runs if one.number == int(found[3][1:])), None)
        return self._of_build(project, run, found[4] or "", request) if run else missing()

    def _pipeline(self, slug: str, project: Project) -> dict[str, Any]:
        url = f"https://buildkite.com/acme/{slug}"
        known = {"slug": slug, "web_url": url, "visibility": "private" if project.private else "public"}
        return {**known, "env": project.variables, "configuration": "steps: []\n", "description": ""}

    def _build(self, project: Project, run: Run) -> dict[str, Any]:
        return {
            "id": f"b-{run.id}",
            "number": run.number,
            "state": "passed" if run.finished else "running",
            "branch": "main",
            "commit": f"{run.id:040x}",
            "message": run.title,
            "source": "webhook",
            "env": run.variables,
            "meta_data": {},
            "creator": {"name": run.author},
            "created_at": run.started.strftime(ISO),
            "started_at": run.started.strftime(ISO),
            "finished_at": run.finished.strftime(ISO) if run.finished else None,
            "web_url": f"https://buildkite.com/{project.name}/builds/{run.number}",
            "jobs": [
                {
                    "id": f"j-{job.id}",
                    "type": "script",
                    "name": job.name,
                    "started_at": job.started.strftime(ISO),
                    "finished_at": job.finished.strftime(ISO) if job.finished else None,
                    "agent": {"name": "agent-1"},
                }
                for job in run.jobs
            ],
        }

    def _of_build(self, project: Project, run: Run, rest: str, request: Request) -> Answer:
        if not rest:
            return data(self._build(project, run))
        if rest == "/annotations":
            return data([])
        if rest == "/artifacts":
            rows = [
                {
                    "id": f"a-{file.id}",
                    "job_id": f"j-{run.jobs[0].id}",
                    "path": f"out/{file.name}",
                    "file_size": len(file.content),
                    "state": "finished",
                    "mime_type": "text/plain",
                }
                for file in run.files
            ]
            return self.by_link(request, rows)
        if one := re.fullmatch(r"/jobs/j-(\d+)/(log|env)", rest):
            job = next(job for job in run.jobs if job.id == int(one[1]))
            if one[2] == "env":
                return data({"env": {"BUILDKITE_JOB_ID": f"j-{job.id}", **run.variables}})
            if job.gone:
                return missing()
            assert request.headers.get("accept") == "text/plain"
            return Answer(200, buildkite_log(job), {"content-type": "text/plain"})
        if one := re.fullmatch(r"/jobs/j-\d+/artifacts/a-(\d+)/download", rest):
            file = next(each for each in run.files if each.id == int(one[1]))
            return linked(self.storage, f"/artifact/{file.id}", file.content)
        return missing()


def buildkite_log(job: Job) -> bytes:
    if job.log is not None:
        return job.log
    rows = [
        f"\x1b_bk;t=1700000000000\x07~~~ {one.name}\n\x1b_bk;t=1700000000001\x07{one.text}"
        for one in job.steps
    ]
    return "\n".join(rows).encode() + b"\n"


class AzureServer(Shown):
    """An organisation at ``/acme``. An expired token gets a page to log in, with a success."""

    def answer(self, request: Request) -> Answer:
        pair = base64.b64encode(f":{self.token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            return Answer(
                203, b"<!DOCTYPE html><html>Sign in</html>", {"content-type": "text/html; charset=utf-8"}
            )
        assert request.last("api-version"), "every request names the version"
        path = request.path
        if not path.startswith("/acme/"):
            return missing()
        path = path.removeprefix("/acme")
        projects = {one.name.partition("/")[2]: one for one in self.builds.projects.values()}
        if path == "/_apis/projects":
            return self._values(request, [_azure_project(slug, one) for slug, one in projects.items()])
        if path.startswith("/_apis/projects/"):
            slug = path.rpartition("/")[2]
            return data(_azure_project(slug, projects[slug])) if slug in projects else missing()
        found = re.fullmatch(r"/([^/_]+)/_apis/(.*)", path)
        project = projects.get(found[1]) if found else None
        if not found or project is None:
            return missing()
        rest = found[2]
        if rest == "distributedtask/variablegroups":
            values = {key: {"value": value} for key, value in project.variables.items()}
            return self._values(
                request, [{"id": 1, "name": "all", "variables": {**values, "PIN": {"isSecret": True}}}]
            )
        if rest == "build/definitions":
            return self._values(request, [])
        if rest == "build/builds":
            return self._builds(project, request)
        one = re.fullmatch(r"build/builds/(\d+)(/.*)?", rest)
        run = next((run for run in project.runs if one and run.id == int(one[1])), None)
        return self._of_build(run, (one[2] or "") if one else "", request) if run else missing()

    def _values(self, request: Request, rows: list[Any]) -> Answer:
        first = request.number("continuationToken", 0)
        more = first + self.size
        headers = {"x-ms-continuationtoken": str(more)} if more < len(rows) else {}
        return data({"count": len(rows), "value": rows[first:more]}, headers=headers)

    def _builds(self, project: Project, request: Request) -> Answer:
        assert request.last("queryOrder") == "finishTimeDescending"
        runs = [run for run in project.runs if run.finished]
        if since := request.last("minTime"):
            runs = [run for run in runs if run.finished and run.finished.isoformat() >= since]
        runs.sort(key=lambda run: run.finished or run.started, reverse=True)
        return self._values(request, [_azure_build(run) for run in runs])

    def _of_build(self, run: Run, rest: str, request: Request) -> Answer:
        if not rest:
            return data(_azure_build(run))
        if rest == "/timeline":
            records: list[dict[str, Any]] = []
            for job in run.jobs:
                records.append(
                    {"id": f"J{job.id}", "type": "Job", "name": job.name, "log": {"id": job.id + 500_000}}
                )
                records += [
                    {
                        "id": f"T{job.id}.{index}",
                        "parentId": f"J{job.id}",
                        "type": "Task",
                        "name": step.name,
                        "log": {"id": job.id * 100 + index},
                        "finishTime": job.finished and job.finished.strftime(ISO),
                    }
                    for index, step in enumerate(job.steps)
                ]
            return data({"records": records})
        if rest == "/logs":
            numbers = [job.id + 500_000 for job in run.jobs]
            numbers += [job.id * 100 + index for job in run.jobs for index in range(len(job.steps))]
            return self._values(request, [{"id": number, "lineCount": 2} for number in numbers])
        if one := re.fullmatch(r"/logs/(\d+)", rest):
            number = int(one[1])
            of = next((job for job in run.jobs if job.id == number // 100), None)
            if of is None or of.gone:
                return data({"message": "The build log is gone"}, 404)
            return Answer(200, azure_log(of.steps[number % 100]), {"content-type": "text/plain"})
        if rest == "/artifacts":
            if name := request.last("artifactName"):
                file = next(file for file in run.files if file.name == name)
                return linked(self.storage, f"/artifact/{file.id}", packed(file.name, file.content))
            size = {file.name: str(len(packed(file.name, file.content))) for file in run.files}
            rows = [
                {
                    "id": file.id,
                    "name": file.name,
                    "resource": {"properties": {"artifactsize": size[file.name]}},
                }
                for file in run.files
            ]
            return self._values(request, rows)
        return missing()


def azure_log(step: Step) -> bytes:
    rows = [f"##[section]Starting: {step.name}", *step.text.split("\n"), f"##[section]Finishing: {step.name}"]
    return "".join(f"2026-01-01T00:00:00.1234567Z {row}\r\n" for row in rows).encode()


def _azure_project(slug: str, project: Project) -> dict[str, Any]:
    return {"id": str(project.id), "name": slug, "visibility": "private" if project.private else "public"}


def _azure_build(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "buildNumber": f"2026.{run.number}",
        "status": "completed" if run.finished else "inProgress",
        "result": "succeeded" if run.finished else None,
        "reason": "individualCI",
        "sourceBranch": "refs/heads/main",
        "sourceVersion": f"{run.id:040x}",
        "startTime": run.started.strftime(ISO),
        "finishTime": run.finished.strftime(ISO) if run.finished else None,
        "definition": {"name": "ci"},
        "requestedFor": {"displayName": run.author},
        "parameters": json.dumps(run.variables),
        "triggerInfo": {"ci.message": run.title},
        "_links": {"web": {"href": f"https://dev.azure.com/acme/p/_build/results?buildId={run.id}"}},
    }


class BitbucketServer(Shown):
    """Pipelines of a workspace; uuids in braces, logs behind a 307."""

    def answer(self, request: Request) -> Answer:
        pair = base64.b64encode(f"auditor@acme.test:{self.token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            return data({"type": "error"}, 401)
        path = request.path.removeprefix("/2.0")
        if path == "/user":
            return data({"display_name": "auditor"})
        if path == "/repositories/acme":
            rows = [_bitbucket(one) for one in self.builds.projects.values()]
            shown, more = self.shown(request, rows, "pagelen")
            known = (
                {"next": f"{self.url}{request.raw.partition('?')[0]}?pagelen=100&page={more}"} if more else {}
            )
            return data({"values": shown, **known})
        found = re.fullmatch(r"/repositories/(acme/[^/]+)(/.*)?", path)
        project = self.builds.projects.get(found[1]) if found else None
        if not found or project is None:
            return missing()
        rest = found[2] or ""
        if not rest:
            return data(_bitbucket(project))
        if rest == "/pipelines_config/variables/":
            rows = [
                {"key": key, "value": value, "secured": False} for key, value in project.variables.items()
            ]
            return self._numbered(request, [*rows, {"key": "HIDDEN", "secured": True}])
        if rest == "/environments/":
            return self._numbered(request, [])
        if rest == "/pipelines/":
            runs = sorted(project.runs, key=lambda run: -run.number)
            return self._numbered(request, [_bitbucket_run(run) for run in runs])
        one = re.fullmatch(r"/pipelines/\{r-(\d+)\}(/steps/)?(\{s-(\d+)\}/log)?", rest)
        run = next((run for run in project.runs if one and run.id == int(one[1])), None)
        if one is None or run is None:
            return missing()
        if one[3]:
            job = next(job for job in run.jobs if job.id == int(one[4]))
            return missing() if job.gone else linked(self.storage, f"/log/{job.id}", plain(job), 307)
        return (
            self._numbered(request, [_bitbucket_step(job) for job in run.jobs])
            if one[2]
            else data(_bitbucket_run(run))
        )

    def _numbered(self, request: Request, rows: list[Any]) -> Answer:
        shown, _ = self.shown(request, rows, "pagelen")
        count = min(request.number("pagelen", 20), self.size)
        return data({"page": request.number("page", 1), "pagelen": count, "size": len(rows), "values": shown})


def _bitbucket(project: Project) -> dict[str, Any]:
    links = {"html": {"href": f"https://bitbucket.org/{project.name}"}}
    return {"full_name": project.name, "is_private": project.private, "description": "", "links": links}


def _bitbucket_run(run: Run) -> dict[str, Any]:
    done = run.finished is not None
    return {
        "uuid": f"{{r-{run.id}}}",
        "build_number": run.number,
        "state": {"name": "COMPLETED", "result": {"name": "SUCCESSFUL"}} if done else {"name": "IN_PROGRESS"},
        "created_on": run.started.strftime(ISO),
        "completed_on": run.finished.strftime(ISO) if run.finished else None,
        "trigger": {"name": "PUSH"},
        "target": {"ref_name": "main", "commit": {"hash": f"{run.id:040x}", "message": run.title}},
        "creator": {"display_name": run.author},
        "variables": [{"key": key, "value": value} for key, value in run.variables.items()],
    }


def _bitbucket_step(job: Job) -> dict[str, Any]:
    return {
        "uuid": f"{{s-{job.id}}}",
        "name": job.name,
        "started_on": job.started.strftime(ISO),
        "completed_on": job.finished.strftime(ISO) if job.finished else None,
    }
