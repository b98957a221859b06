"""Buildbot: builders, builds, and the logs of each step with the environment of the worker in them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, Final, cast

from unsprawl.crawlers.ci.desk import WHOLE_BYTES, Desk
from unsprawl.crawlers.ci.model import ExpiredError, Known, Piece, Project, Run, chosen, lines, when
from unsprawl.errors import AuthError
from unsprawl.records import Audience, Diagnosis, Skipped, Stream

__all__ = ["Buildbot"]

_API: Final = "/api/v2"
_PAGE: Final = 100
#: Lines asked for at once. Downloads of whole logs (``/raw``) that are broken off wedge the master.
_LINES: Final = 5000
#: Lines from which on a log is not held while it is scanned.
_LONG: Final = WHOLE_BYTES // 200


class Buildbot:
    """``projects`` are builders, or globs over their names."""

    days = None

    def __init__(self, desk: Desk, projects: Sequence[str]) -> None:
        self._desk = desk
        self._wanted = projects

    def login(self) -> str:
        answer = self._desk.spider.get(f"{_API}/builders", params={"limit": "1"})
        if answer.status in (401, 403):
            raise AuthError(
                f"{self._desk.host} refused the credentials ({answer.status})", hint=self._desk.hint
            )
        answer.expect("its builders", "is this the address of its web interface?").json()
        return "as the master allows it"

    def projects(self) -> Iterator[Project | Skipped]:
        for raw in self._desk.json(f"{_API}/builders", what="the builders")["builders"]:
            if chosen(str(raw.get("name")), self._wanted):
                yield self._project(raw)

    def _project(self, raw: Mapping[str, Any]) -> Project:
        key = str(raw["builderid"])
        url = f"{self._desk.spider.base}/#/builders/{key}"
        return Project(
            str(raw.get("name")), key, url, Audience.UNKNOWN, data={"description": raw.get("description")}
        )

    def project(self, key: str) -> Project:
        listed = self._desk.json(f"{_API}/builders/{key}", what=f"the builder {key}")
        return self._project(listed["builders"][0])

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:  # noqa: ARG002 - they are code on the master
        yield from ()

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        path, what = f"{_API}/builders/{project.key}/builds", f"the builds of {project.name}"
        given: dict[str, Any] = {"order": "-number", "limit": _PAGE}
        if known:
            given["number__gt"] = known.number
        listed = self._desk.pages(path, given, _older, what=what)
        for page in listed:
            for raw in page["builds"]:
                yield self._run(project, raw)

    def run(self, project: Project, key: str) -> Run:
        answer = self._desk.spider.get(f"{_API}/builds/{key}")
        if answer.status == 404:
            raise ExpiredError(f"{self._desk.host} no longer has the build {key}")
        return self._run(project, answer.expect(f"the build {key}", self._desk.hint).json()["builds"][0])

    def _run(self, project: Project, raw: Mapping[str, Any]) -> Run:
        number = int(raw["number"])
        ended = when(raw.get("complete_at"))
        known = {"result": raw.get("state_string")}
        return Run(
            str(raw["buildid"]),
            number,
            ended if raw.get("complete") else None,
            when(raw.get("started_at")),
            str(raw.get("complete_at")),
            url=f"{project.url}/builds/{number}",
            attrs={key: value for key, value in known.items() if value},
        )

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]:  # noqa: ARG002
        """Properties, and the logs of all steps."""
        told = self._desk.json(f"{_API}/builds/{run.key}/properties", what="the properties")["properties"]
        values = {name: pair[0] for one in told for name, pair in one.items()}
        yield Piece("properties", lambda: lines(values), path="properties")
        steps = self._desk.json(f"{_API}/builds/{run.key}/steps", what=f"the steps of build {run.key}")[
            "steps"
        ]
        for step in steps:
            path = f"{_API}/steps/{step['stepid']}/logs"
            for log in self._desk.json(path, what=f"the logs of step {step.get('name')}")["logs"]:
                name = f"{step.get('name')}/{log.get('slug') or log.get('name')}"
                yield Piece(
                    f"job/{log['logid']}",
                    partial(self._log, log, name),
                    path=f"{name}.log",
                    media_type="text/html" if log.get("type") == "h" else "text/plain",
                    url=f"{run.url}/steps/{step.get('number')}/logs/{log.get('slug')}",
                    at=when(step.get("complete_at")),
                    attrs={"job": str(step.get("name")), "step": str(step.get("name"))},
                )

    def _log(self, log: Mapping[str, Any], name: str) -> bytes | Stream:
        file = partial(self._open, log, name)
        if int(log.get("num_lines") or 0) > _LONG:
            return Stream(lambda _offset: cast(BinaryIO, file()))
        return file().read()

    def _open(self, log: Mapping[str, Any], name: str) -> io.BufferedReader:
        return io.BufferedReader(_Lines(self._chunks(log, name)), 1 << 16)

    def _chunks(self, log: Mapping[str, Any], name: str) -> Iterator[bytes]:
        """The log in pieces, each line without the letter that says where it came from."""
        path, first, tagged = f"{_API}/logs/{log['logid']}/contents", 0, log.get("type") == "s"
        while True:
            given = {"offset": first, "limit": _LINES}
            chunk = self._desk.kept(path, given, what=f"the log {name}").json()["logchunks"]
            content = (
                str((chunk[0] if isinstance(chunk, list) else chunk).get("content") or "") if chunk else ""
            )
            rows = content.split("\n")
            if rows[-1] == "":
                rows.pop()
            if not rows:
                return
            yield "".join(f"{row[1:] if tagged else row}\n" for row in rows).encode("utf-8", "replace")
            if len(rows) < _LINES:
                return
            first += len(rows)

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:  # noqa: ARG002
        yield from ()


class _Lines(io.RawIOBase):
    """Chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _older(_answer: object, content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    builds = content.get("builds") or []
    return {"number__lt": min(one["number"] for one in builds)} if len(builds) == _PAGE else None
