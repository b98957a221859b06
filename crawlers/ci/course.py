"""The course of reading one project: what is new, in which order, and what has to be asked for again.

The first walk lists everything; later ones ask what is behind the largest number that was seen, which costs
one request when there is nothing. Runs that had not finished, and those of which something failed, are
asked for again by the next walk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeVar

from unsprawl.crawlers.ci.model import (
    ExpiredError,
    Known,
    Piece,
    Project,
    Run,
    System,
    lines,
    place,
    understood,
    when,
)
from unsprawl.crawlers.ci.steps import masks
from unsprawl.errors import AuthError, RetryableError, SourceError
from unsprawl.records import Audience, Checkpoint, Document, Event, Json, Seen, Skipped, Unchanged
from unsprawl.structs import replace

__all__ = ["Course", "Listing", "all_understood"]

#: Runs that are asked for again by the next walk; with more of them it begins anew.
_MOST_AGAIN: Final = 200
#: Pieces that fail in a row before the host is given up for this walk.
_MOST_FAILURES: Final = 3
#: What is missing within this time of the end of its run was not deleted, it is not there yet.
_YOUNG: Final = timedelta(days=1)
_Given = TypeVar("_Given")
_GONE: Final = "logs or files of it are deleted, before they could be read"
_READERS: Final = {
    Audience.PUBLIC: "everyone",
    Audience.EXTERNAL: "people outside the organisation",
    Audience.ORGANISATION: "everyone in the organisation",
    Audience.RESTRICTED: "everyone with access to the project",
}


class Limits(Protocol):
    @property
    def artifacts(self) -> bool: ...
    @property
    def max_artifact_bytes(self) -> int: ...
    @property
    def retention_days(self) -> int | None: ...
    @property
    def lookback_days(self) -> int | None: ...
    @property
    def relist_days(self) -> int: ...
    def excludes(self, path: str) -> bool: ...


@dataclass(slots=True)
class Listing:
    """The runs of one walk, kept between its steps so that they are listed once."""

    walk: str = ""
    finished: list[Run] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    number: int = 0


@dataclass(slots=True)
class Course:
    """Reads ``project``, whose uri is ``uri``."""

    system: System
    project: Project
    uri: str
    limits: Limits
    seen: Seen
    failures: int = 0

    def walk(self, walk: str, now: str, place: Mapping[str, Any], listing: Listing) -> Iterator[Event]:
        """All events of one walk, from ``place`` on: the cursor of this walk or of an earlier one."""
        if place.get("ended") == walk:
            return
        resumed = place.get("walk") == walk
        if resumed:
            known = Known(place["known"][0], _time(place["known"][1])) if place["known"] else None
            began, listed = place["began"], place["listed"]
            owed, again = list(place["owed"]), dict.fromkeys(place["again"])
        else:
            began = now
            earlier = place if "ended" in place and self.seen(self.uri) is not None else {}
            full = not earlier or _time(began) - _time(earlier["listed"]) >= timedelta(
                days=self.limits.relist_days
            )
            known = None if full else Known(earlier["number"], _time(earlier["at"]))
            listed = began if full else earlier["listed"]
            owed = [*earlier.get("open", ()), *earlier.get("again", ())] if known else []
            again = {}
            if full:
                yield from self._project()
        if listing.walk != walk:
            self._list(listing, known, owed)
            listing.walk = walk
            yield from listing.skipped
        fixed = {
            "walk": walk,
            "began": began,
            "listed": listed,
            "known": [known.number, known.at.isoformat()] if known else None,
            "owed": owed,
        }
        reached = tuple(place["reached"]) if resumed else ("", 0)
        for run in listing.finished:
            at = (_iso(run.finished), run.number)
            if at < reached:
                continue
            failed = False
            for event in self._run(run):
                failed = failed or (isinstance(event, Skipped) and not event.excluded)
                yield event
            if failed:
                again[run.key] = None
            yield Checkpoint({**fixed, "reached": list(at), "again": list(again)[: _MOST_AGAIN + 1]})
        if len(again) > _MOST_AGAIN:
            yield Checkpoint({})
            return
        number = max(listing.number, known.number if known else 0)
        ended = {"ended": walk, "number": number, "at": began, "listed": listed}
        yield Checkpoint({**ended, "open": listing.open, "again": list(again)})

    def one(self, names: Sequence[str]) -> Document | None:
        """The document at a place below the project, read again. Raises ``SourceError``."""
        if not names:
            return self._project_document()
        if names[0] == "settings":
            pieces = self.system.settings(self.project)
            return self._picked(pieces, "/".join(names), None)
        if names[0] != "run" or len(names) < 2:
            return None
        from urllib.parse import unquote

        with understood("the run"):
            run = self.system.run(self.project, unquote(names[1]))
        if len(names) == 2:
            return self._run_document(run, _stamp(run))
        return self._picked(self.system.pieces(self.project, run), "/".join(names[2:]), run)

    def _picked(self, pieces: Iterator[Piece | Skipped], name: str, run: Run | None) -> Document | None:
        for piece in all_understood(pieces, name):
            if isinstance(piece, Piece) and (piece.name if run else f"settings/{piece.name}") == name:
                return self._document(piece, run)
        return None

    # --- what there is ---------------------------------------------------------------------------

    def _list(self, listing: Listing, known: Known | None, owed: Sequence[str]) -> None:
        """The runs to read, those that die first at the front. Raises ``SourceError``."""
        runs: dict[str, Run] = {}
        listing.finished, listing.open, listing.skipped, listing.number = [], [], [], 0
        wanted = set(owed)
        for run in all_understood(self.system.runs(self.project, known), f"the runs of {self.project.name}"):
            if isinstance(run, Skipped):
                listing.skipped.append(run)
                continue
            listing.number = max(listing.number, run.number)
            # What is listed though it is known costs nothing where its stamp says that nothing has changed.
            runs.setdefault(run.key, run)
        for key in wanted - runs.keys():
            try:
                with understood(f"run {key}"):
                    runs[key] = self.system.run(self.project, key)
            except AuthError:
                raise
            except ExpiredError:
                continue
            except SourceError as error:
                if getattr(error, "retry_after", None) is not None:
                    raise
                listing.skipped.append(Skipped(self._at(key), error.message, error.hint))
                listing.open.append(key)
        oldest = None
        if self.limits.lookback_days is not None:
            oldest = datetime.now(UTC) - timedelta(days=self.limits.lookback_days)
        late = 0
        for run in runs.values():
            if run.finished is None:
                listing.open.append(run.key)
            elif oldest is not None and run.finished < oldest:
                late += 1
            else:
                listing.finished.append(run)
        listing.finished.sort(key=lambda run: (_iso(run.finished), run.number))
        if late:
            reason = f"{late} runs are older than lookback_days ({self.limits.lookback_days})"
            listing.skipped.append(Skipped(f"{self.uri}/run", reason, excluded=True))

    def _at(self, key: str) -> str:
        return f"{self.uri}/run/{place(key)}"

    # --- a project -------------------------------------------------------------------------------

    def _project(self) -> Iterator[Event]:
        document = self._project_document()
        yield Unchanged() if self.seen(document.key) == document.version else document
        for piece in all_understood(self.system.settings(self.project), "the settings"):
            if isinstance(piece, Skipped):
                yield piece
                continue
            uri = f"{self.uri}/settings/{piece.name}"
            if self.limits.excludes(self._path(piece, None)):
                yield Skipped(uri, "left out by exclude", excluded=True)
                continue
            try:
                found = self._document(piece, None)
            except AuthError:
                raise
            except SourceError as error:
                yield Skipped(uri, error.message, error.hint)
                continue
            yield Unchanged() if self.seen(found.key) == found.version else found

    def _project_document(self) -> Document:
        project = self.project
        about = {"project": project.name, "url": project.url, "description": project.data.get("description")}
        body = lines(about)
        return Document(
            uri=self.uri,
            body=body,
            path=project.name,
            media_type="text/plain",
            key=self.uri,
            version=_digest(body),
            url=project.url or None,
            audience=project.audience,
            attrs={"project": project.name},
        )

    # --- a run -----------------------------------------------------------------------------------

    def _run(self, run: Run) -> Iterator[Event]:
        """Its pieces, then itself: what is remembered of it says how many there were, and if any is gone."""
        uri, stamp = self._at(run.key), _stamp(run)
        known, _, told = (self.seen(uri) or "").partition("+")
        if told and known == stamp:
            number, _, missing = told.partition("-")
            yield Unchanged(int(number))
            if missing:
                yield Skipped(uri, _GONE, excluded=True)
            return
        count, gone, failed = 1, False, False
        for piece in self._pieces(run):
            if isinstance(piece, Skipped):
                failed = failed or not piece.excluded
                yield piece
                continue
            at = f"{uri}/{piece.name}"
            if self.seen(at) == stamp:
                # Something else of the run failed when this was read.
                count += 1
                yield Unchanged()
                continue
            try:
                document = self._document(piece, run)
            except AuthError:
                raise
            except ExpiredError as error:
                old = run.finished is None or datetime.now(UTC) - run.finished >= _YOUNG
                gone, failed = gone or old, failed or not old
                if not old:
                    hint = "the run has just ended: the next crawl asks again"
                    yield Skipped(at, error.message, hint)
                continue
            except SourceError as error:
                failed = True
                self._failed(error)
                yield Skipped(at, error.message, error.hint)
                continue
            self.failures = 0
            count += 1
            yield document
        if gone:
            yield Skipped(uri, _GONE, excluded=True)
        version = f"{stamp}!" if failed else f"{stamp}+{count}{'-gone' if gone else ''}"
        yield Unchanged() if self.seen(uri) == version else self._run_document(run, version)

    def _pieces(self, run: Run) -> Iterator[Piece | Skipped]:
        """What there is to read of a run, and what was left out of it."""
        uri = self._at(run.key)
        try:
            for piece in all_understood(self.system.pieces(self.project, run), f"run {run.number}"):
                if isinstance(piece, Skipped):
                    yield piece
                elif self.limits.excludes(self._path(piece, run)):
                    yield Skipped(f"{uri}/{piece.name}", "left out by exclude", excluded=True)
                elif piece.name.startswith("artifact/") and not self.limits.artifacts:
                    yield Skipped(f"{uri}/{piece.name}", "left out by artifacts: false", excluded=True)
                elif piece.size is not None and piece.size > self.limits.max_artifact_bytes:
                    reason = f"larger than max_artifact_bytes: {piece.size}"
                    yield Skipped(f"{uri}/{piece.name}", reason, excluded=True)
                else:
                    yield piece
        except AuthError:
            raise
        except ExpiredError:
            # The run itself was deleted since it was listed.
            yield Skipped(uri, "deleted since it was listed", excluded=True)
        except SourceError as error:
            self._failed(error)
            yield Skipped(uri, error.message, error.hint)

    def _failed(self, error: SourceError) -> None:
        """One failure stays one failure; but a host that fails every time is not asked a thousand times."""
        if not isinstance(error, RetryableError):
            self.failures = 0
            return
        self.failures += 1
        if error.retry_after is not None or self.failures >= _MOST_FAILURES:
            raise error

    def _run_document(self, run: Run, version: str) -> Document:
        told = {"title": run.title, "author": run.author, "url": run.url}
        body = lines({**told, **{name: _plain(value) for name, value in run.attrs.items()}})
        body += run.data.get("text", "").encode("utf-8", "replace")
        return Document(
            uri=self._at(run.key),
            body=body,
            path=f"{self.project.name}/{run.number}",
            media_type="text/plain",
            key=self._at(run.key),
            version=version,
            url=run.url or None,
            author=run.author,
            modified_at=run.finished,
            audience=self.project.audience,
            attrs={"project": self.project.name, "run": run.number},
        )

    def _document(self, piece: Piece, run: Run | None) -> Document:
        with understood(piece.path or piece.name):
            body = piece.read()
        uri = f"{self._at(run.key)}/{piece.name}" if run else f"{self.uri}/settings/{piece.name}"
        attrs: dict[str, Json] = {"project": self.project.name}
        if run is not None:
            attrs["run"] = run.number
            attrs |= self._retention(piece, run)
        attrs |= piece.attrs
        held = body if isinstance(body, bytes) else b""
        is_log = piece.name.startswith("job/") and piece.media_type == "text/plain"
        parts = piece.parts(held, uri) if piece.parts and held else ()
        if is_log:
            attrs |= masks(held, 0, len(held))
            ends = [part.start for part in parts[1:]] + [len(held)]
            parts = tuple(
                replace(part, attrs={**part.attrs, **masks(held, part.start, end)})
                for part, end in zip(parts, ends, strict=False)
            )
        return Document(
            uri=uri,
            body=body,
            path=self._path(piece, run),
            media_type="text/x-log" if is_log else piece.media_type,
            key=uri,
            version=_stamp(run) if run else _digest(held),
            url=piece.url or (run.url if run else self.project.url) or None,
            author=piece.author or (run.author if run else None),
            modified_at=piece.at or (run.finished if run else None),
            audience=self.project.audience,
            attrs=attrs,
            parts=parts,
        )

    def _path(self, piece: Piece, run: Run | None) -> str:
        number = run.number if run else "settings"
        return f"{self.project.name}/{number}/{piece.path or piece.name}"

    def _retention(self, piece: Piece, run: Run) -> dict[str, Json]:
        """Since when, by whom, and until when it can be read."""
        since = piece.at or run.finished
        if since is None:
            return {}
        days = self.limits.retention_days or self.project.days or self.system.days
        expires = piece.expires or (since + timedelta(days=days) if days else None)
        readers = _READERS.get(self.project.audience, "whoever may read the project")
        told = f"readable by {readers} since {since:%Y-%m-%d}"
        known: dict[str, Json] = {"readable_since": since.isoformat()}
        if expires is None:
            return {**known, "retention": f"{told}, and kept until somebody deletes it"}
        left = max(0, (expires - datetime.now(UTC)).days)
        clock = f"is deleted on {expires:%Y-%m-%d}, {left} days after it was read here"
        return {**known, "expires_at": expires.isoformat(), "retention": f"{told}; {clock}"}


def all_understood(given: Iterator[_Given], what: str) -> Iterator[_Given]:
    """All that comes, and one clear line when an answer is of another shape."""
    with understood(what):
        first = next(given, None)
    while first is not None:
        yield first
        with understood(what):
            first = next(given, None)


def _stamp(run: Run) -> str:
    return _digest((run.stamp or _iso(run.finished)).encode())


def _digest(body: bytes) -> str:
    return blake2b(body, digest_size=12).hexdigest()


def _iso(time: datetime | None) -> str:
    """A time that sorts as a text."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds") if time else ""


def _time(text: str) -> datetime:
    return when(text) or datetime.fromtimestamp(0, UTC)


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else str(value)
