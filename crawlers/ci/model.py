"""What every build system has, whatever it calls it: projects, runs of them, and pieces of a run to read.

A run is known by its number and attempt; once it has finished nothing in it changes any more. A piece is
asked for when its turn comes: a log, an artifact, a text put together from what the system knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote

from unsprawl.errors import UnreadableError
from unsprawl.records import Audience, Diagnosis, Json, Part, Skipped, Stream

__all__ = [
    "ExpiredError",
    "Known",
    "Piece",
    "Project",
    "Run",
    "System",
    "chosen",
    "lines",
    "place",
    "understood",
    "when",
]


class ExpiredError(UnreadableError):
    """The system has deleted it, as it does with everything when its time has come."""


@dataclass(frozen=True, slots=True)
class Project:
    """Whatever has builds: a repository, a job, a pipeline. ``name`` is what people call it and select by.

    ``key`` is how the system calls it, ``days`` how long it keeps logs, as far as that is known. ``data`` is
    what the system needs besides; it travels with the unit.
    """

    name: str
    key: str
    url: str = ""
    audience: Audience = Audience.UNKNOWN
    days: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One build. ``number`` orders the runs of a project and never falls; ``key`` is how the system calls it.

    ``finished`` is None while it runs. ``stamp`` changes when the run does (another attempt).
    """

    key: str
    number: int
    finished: datetime | None
    started: datetime | None = None
    stamp: str = ""
    title: str = ""
    author: str | None = None
    url: str = ""
    attrs: Mapping[str, Json] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Piece:
    """Something of a run (or of a project) that can be read. ``name`` is its place below the run's uri.

    ``read`` raises ``SourceError``; :class:`ExpiredError` when it is gone for good. ``parts`` answers, for
    what was read, where its steps begin. ``expires`` is when the system deletes it, if that is known
    of this piece.
    """

    name: str
    read: Callable[[], bytes | Stream]
    path: str = ""
    media_type: str = "text/plain"
    url: str = ""
    author: str | None = None
    at: datetime | None = None
    attrs: Mapping[str, Json] = field(default_factory=dict)
    parts: Callable[[bytes, str], tuple[Part, ...]] | None = None
    expires: datetime | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Up to where the runs of a project were seen: the largest number, and when they were looked for."""

    number: int
    at: datetime


class System(Protocol):
    """One build system. Every method raises ``SourceError``."""

    @property
    def days(self) -> int | None:
        """How long logs are kept where nobody said otherwise."""
        ...

    def login(self) -> str:
        """Who asks, in words; raises ``AuthError`` when nobody is known by these credentials."""
        ...

    def projects(self) -> Iterator[Project | Skipped]:
        """All that are selected, in a stable order."""
        ...

    def project(self, key: str) -> Project:
        """One of them again."""
        ...

    def settings(self, project: Project) -> Iterator[Piece | Skipped]:
        """What a project holds besides its runs: variables, descriptions, configuration."""
        ...

    def runs(self, project: Project, known: Known | None) -> Iterator[Run | Skipped]:
        """The newest first. With ``known``: those behind it, at the price of one request when there are
        none; what is known may come too.
        """
        ...

    def run(self, project: Project, key: str) -> Run:
        """One run again."""
        ...

    def pieces(self, project: Project, run: Run) -> Iterator[Piece | Skipped]: ...

    def diagnose(self, project: Project) -> Iterator[Diagnosis]:
        """What will not be seen of it, with few requests."""
        ...


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Turns what goes wrong with an answer of another shape into ``UnreadableError``."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        line = f"{what}: the answer has a shape that is not known ({type(error).__name__})"
        raise UnreadableError(line, hint="is `url` the address of this system's API?") from None


def place(*names: object) -> str:
    """Names as a path of a uri."""
    return "/".join(quote(str(name), safe="") for name in names)


def chosen(name: str, wanted: Sequence[str]) -> bool:
    """Whether a project is selected: by its name, a pattern, or a folder it is in."""
    from fnmatch import fnmatchcase

    return not wanted or any(
        fnmatchcase(name.lower(), one.lower()) or name.lower().startswith(one.lower().rstrip("/") + "/")
        for one in wanted
    )


def lines(values: Mapping[str, Any]) -> bytes:
    """``name=value`` for each that has one, a line each: as a shell would say it."""
    return "".join(
        f"{name}={value}\n" for name, value in values.items() if value not in (None, "", [], {})
    ).encode("utf-8", "replace")


def when(value: object) -> datetime | None:
    """A time as build systems write it: ISO with or without a zone, or seconds or milliseconds since 1970."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        seconds = value / 1000 if value > 100_000_000_000 else value
        try:
            return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
        except (OverflowError, OSError, ValueError):
            return None
    if not isinstance(value, str) or not value:
        return None
    try:
        time = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
