"""What a build system holds: projects, runs of them, the jobs of a run with their steps, logs and files.

The servers show it, each in the words of its vendor.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["Builds", "File", "Job", "Project", "Run", "Step", "packed"]

_FIRST: Final = 1000


@dataclass(slots=True)
class Step:
    """What one step printed, in lines without times."""

    name: str
    text: str = ""


@dataclass(slots=True)
class File:
    """An artifact."""

    id: int
    name: str
    content: bytes
    expired: bool = False


@dataclass(slots=True)
class Job:
    """One job of one attempt. ``log`` overrides what its steps printed; ``gone``: the log is deleted."""

    id: int
    name: str
    steps: list[Step]
    started: datetime
    finished: datetime | None
    attempt: int = 1
    log: bytes | None = None
    gone: bool = False
    summary: str = ""


@dataclass(slots=True)
class Run:
    id: int
    number: int
    started: datetime
    finished: datetime | None
    title: str = "build"
    author: str = "ann"
    attempt: int = 1
    jobs: list[Job] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    children: list[Run] = field(default_factory=list)


@dataclass(slots=True)
class Project:
    id: int
    name: str
    private: bool = True
    closed: bool = False
    runs: list[Run] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


class Builds:
    """All of it, with a clock that only moves forward. Ids are never used twice."""

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime.now(UTC).replace(microsecond=0)
        self.projects: dict[str, Project] = {}
        self._number = _FIRST

    def project(self, name: str, *, private: bool = True, closed: bool = False) -> Project:
        made = Project(self._next(), name, private, closed)
        self.projects[name] = made
        return made

    def run(
        self,
        project: str,
        *,
        age: timedelta = timedelta(hours=2),
        running: bool = False,
        title: str = "build",
    ) -> Run:
        """A run that began ``age`` ago and took a minute for each job."""
        home = self.projects[project]
        started = self.now - age
        made = Run(self._next(), len(home.runs) + 1, started, None if running else started, title)
        home.runs.append(made)
        return made

    def job(self, run: Run, name: str, *steps: Step, log: bytes | None = None) -> Job:
        begun = run.jobs[-1].finished if run.jobs and run.jobs[-1].finished else run.started
        ended = None if run.finished is None else begun + timedelta(minutes=1)
        made = Job(self._next(), name, list(steps), begun, ended, run.attempt, log)
        run.jobs.append(made)
        if ended:
            run.finished = ended
        return made

    def file(self, run: Run, name: str, content: bytes) -> File:
        made = File(self._next(), name, content)
        run.files.append(made)
        return made

    def finish(self, run: Run) -> None:
        """What was running ends now."""
        run.finished = self.now
        for job in run.jobs:
            job.finished = job.finished or self.now

    def again(self, run: Run) -> None:
        """The next attempt begins; its jobs are added by :meth:`job`."""
        run.attempt += 1
        run.started = run.finished = self.now

    def of(self, number: int) -> tuple[Project, Run] | None:
        """The run of this id, also a child."""
        for project in self.projects.values():
            for run in project.runs:
                for one in (run, *run.children):
                    if one.id == number:
                        return project, one
        return None

    def _next(self) -> int:
        self._number += 1
        return self._number


def packed(name: str, content: bytes) -> bytes:
    """A ZIP archive with one file; the same bytes each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)
    return out.getvalue()
