"""The documents of one issue: its text, what its history still shows, its files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO, Final, TypeAlias, TypeVar, cast

from unsprawl.crawlers.atlassian.transport import when
from unsprawl.crawlers.jira.api import JiraApi
from unsprawl.crawlers.jira.text import Composed, Issue, Place, compose, items_of, person, removed
from unsprawl.errors import AuthError, RetryableError, SourceError
from unsprawl.records import Audience, Document, Event, Seen, Skipped, Stream, Unchanged
from unsprawl.structs import replace
from unsprawl.wire import usage

__all__ = ["Depth", "Issues", "complete"]

_Item = TypeVar("_Item")

#: An issue, and what of it could not be had.
_Gathered: TypeAlias = "tuple[Issue, list[SourceError]]"
#: Issues whose links and properties are asked for at the same time.
_READERS: Final = 4
#: What was there and is there no more has this version.
_GONE: Final = "gone"
#: So many things in a row without an answer mean that the site is gone, not the things.
_PATIENCE: Final = 5


@dataclass(frozen=True, slots=True)
class Depth:
    """What is read besides the issue itself, at the price of a request each."""

    links: bool
    properties: bool
    largest_file: int

    @property
    def mark(self) -> str:
        """Part of an issue's version: who asks for more reads it again."""
        return "l" * self.links + "p" * self.properties


@dataclass(slots=True)
class Issues:
    """Turns issues of one project into events.

    ``failed`` are those that have to be asked for again by the next run, ``owed`` those that failed in the
    last one and were not met in this.
    """

    api: JiraApi
    top: str
    depth: Depth
    audience: Any
    seen: Seen
    excludes: Any
    failed: dict[str, None] = field(default_factory=dict)
    owed: dict[str, None] = field(default_factory=dict)
    _silent: int = 0

    def uri(self, raw: Mapping[str, Any]) -> str:
        return f"{self.top}/issue/{raw.get('id')}"

    def version(self, raw: Mapping[str, Any]) -> str:
        """A new comment, file or value moves ``updated`` as well."""
        return f"{raw['fields'].get('updated')}+{self.depth.mark}"

    def page(self, issues: Sequence[dict[str, Any]], names: Mapping[str, str]) -> Iterator[Event]:
        """The events of a page of a search."""
        changed = [one for one in issues if self.seen(self.uri(one)) != self.version(one)]
        cut = [str(one["id"]) for one in changed if not complete(one)]
        histories: dict[str, list[dict[str, Any]]] = {}
        if cut and self.api.site.cloud:
            try:
                histories = self.api.all_histories(cut)
            except AuthError:
                raise
            except SourceError:
                histories = {}  # asked for one by one then, and told one by one when that fails too
        pool = ThreadPoolExecutor(_READERS, "unsprawl-jira", usage.joining())
        try:
            ahead = {
                str(raw["id"]): pool.submit(self.gathered, raw, names, histories.get(str(raw["id"])))
                for raw in changed
                if not self.excludes(_path(raw))
            }
            for raw in issues:
                yield from self.events(raw, names, ahead.pop(str(raw["id"]), None))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def events(
        self, raw: Mapping[str, Any], names: Mapping[str, str], gathered: Future[_Gathered] | None = None
    ) -> Iterator[Event]:
        """The issue, its history, its files: what is new of them. ``gathered`` is fetched ahead of need."""
        uri, path = self.uri(raw), _path(raw)
        self.owed.pop(str(raw["id"]), None)
        if self.excludes(path):
            yield Skipped(uri, "left out by exclude", excluded=True)
            return
        if self.seen(uri) == self.version(raw):
            known = self.seen(f"{uri}/history")
            yield Unchanged(1 + (known not in (None, _GONE)))
            yield from self._files(raw, path)
            return
        issue, errors = gathered.result() if gathered else self.gathered(raw, names, None)
        self._count(errors)
        documents = self.documents(raw, issue, errors)
        if errors:
            self.failed[str(raw["id"])] = None
        for document in documents:
            if document.version is None or self.seen(document.key) != document.version:
                yield document
            else:
                yield Unchanged()
        yield from self._files(raw, path)
        yield from self._gone_files(issue)

    def gathered(
        self, raw: Mapping[str, Any], names: Mapping[str, str], histories: list[dict[str, Any]] | None
    ) -> _Gathered:
        """All that belongs to an issue, and what of it could not be had."""
        number, key, fields = str(raw["id"]), str(raw.get("key")), raw["fields"]
        errors: list[SourceError] = []

        def had(items: Iterable[_Item]) -> list[_Item]:
            taken: list[_Item] = []
            try:
                taken.extend(items)
            except AuthError:
                raise
            except SourceError as error:
                errors.append(error)
            return taken

        comments, whole = _embedded(fields.get("comment"), "comments")
        if not whole:
            comments = _merged(comments, had(self.api.comments(number, key)))
        worklogs, whole = _embedded(fields.get("worklog"), "worklogs")
        if not whole and "worklog" in fields:
            worklogs = _merged(worklogs, had(self.api.worklogs(number, key)))
        changes, whole = _embedded(raw.get("changelog"), "histories")
        if not whole:
            changes = _merged(changes, histories or had(self.api.histories(number, key)))
        links = had(_lazily(lambda: self.api.links(number, key))) if self.depth.links else []
        properties: dict[str, Any] = {}
        if self.depth.properties:
            properties = dict(had(_lazily(lambda: self.api.properties(number, key).items())))
        issue = Issue(
            fields=fields,
            names=names,
            comments=comments,
            worklogs=worklogs,
            histories=changes,
            links=links,
            properties=properties,
        )
        return issue, errors

    def documents(
        self, raw: Mapping[str, Any], issue: Issue, errors: Sequence[SourceError]
    ) -> Iterator[Document]:
        """The text of the issue and that of its history. What was not had breaks the text off at its end."""
        uri, key, fields = self.uri(raw), str(raw.get("key")), raw["fields"]
        place = Place(uri, self.api.site.base, key, self.api.site.cloud)
        project = key.rpartition("-")[0]
        text = compose(issue, place)
        audience = Audience.RESTRICTED if fields.get("security") else self.audience()
        body: bytes | Stream = text.body
        if errors:
            body = Stream(lambda offset: cast(BinaryIO, _Broken(text.body[offset:], errors[0])))
        document = Document(
            uri=uri,
            body=body,
            path=f"{project}/{key}",
            media_type="text/plain",
            key=uri,
            version=None if errors else self.version(raw),
            url=place.link(),
            author=person(fields.get("reporter")) or person(fields.get("creator")),
            modified_at=when(fields.get("updated")),
            audience=audience,
            attrs={"project": project, "issue": key},
            parts=text.parts,
        )
        yield document
        if errors:
            return  # what could not be had may be what seems to be removed
        history = removed(issue, text.body, place)
        old = replace(
            document,
            uri=f"{uri}/history",
            path=f"{project}/{key} history",
            body=history.body,
            key=f"{uri}/history",
            version=_digest(history),
            url=place.link("history"),
            parts=history.parts,
        )
        if history.body or self.seen(old.key) not in (None, _GONE):
            yield old

    # --- files ---------------------------------------------------------------------------------------

    def _files(self, raw: Mapping[str, Any], path: str) -> Iterator[Event]:
        files = raw["fields"].get("attachment")
        for file in _mappings(files):
            uri = f"{self.top}/attachment/{file.get('id')}"
            name = str(file.get("filename") or file.get("id"))
            if self.seen(uri) == _file_version(file):
                yield Unchanged()
            elif self.excludes(f"{path}/{name}"):
                yield Skipped(uri, "left out by exclude", excluded=True)
            else:
                yield from self._file(raw, file, uri, f"{path}/{name}")

    def _file(self, raw: Mapping[str, Any], file: Mapping[str, Any], uri: str, path: str) -> Iterator[Event]:
        size = file.get("size")
        if isinstance(size, int) and size > self.depth.largest_file:
            yield Skipped(uri, f"{size} bytes, left out by `max_attachment_bytes`", excluded=True)
            return
        try:
            document = self.file(file, uri, path, str(raw.get("key")))
        except AuthError:
            raise
        except SourceError as error:
            self.failed[str(raw["id"])] = None
            self._count([error])
            yield Skipped(uri, error.message, error.hint)
            return
        self._count([])
        security = raw["fields"].get("security")
        audience = Audience.RESTRICTED if security else self.audience()
        broken: list[SourceError] = []
        if isinstance(document.body, Stream):
            document = replace(document, body=_told(document.body, broken))
        yield replace(document, audience=audience)
        if broken:
            self.failed[str(raw["id"])] = None

    def file(self, file: Mapping[str, Any], uri: str, path: str, key: str) -> Document:
        """One attachment. Its content is fetched now when it is small, else while it is read."""
        number, name, size = str(file.get("id")), str(file.get("filename") or ""), file.get("size")
        size = size if isinstance(size, int) and size >= 0 else None
        media_type = str(file.get("mimeType") or "")
        what = f"the attachment {number} of {key}" if key else f"the attachment {number}"
        site = self.api.site
        content = self.api.content_path(number, name)
        return Document(
            uri=uri,
            body=site.body(content, size, media_type, what=what) if size != 0 else b"",
            path=path,
            media_type=media_type,
            key=uri,
            version=_file_version(file),
            url=f"{site.base}/secure/attachment/{number}/",
            author=person(file.get("author")),
            modified_at=when(file.get("created")),
            attrs={"project": key.rpartition("-")[0], "issue": key, "size": size} if key else {"size": size},
        )

    def _gone_files(self, issue: Issue) -> Iterator[Document]:
        """Files that were read by an earlier run and are deleted, as the history says: they hold nothing."""
        there = issue.fields.get("attachment")
        kept = {str(one.get("id")) for one in _mappings(there)}
        for history in issue.histories:
            for item in items_of(history):
                if str(item.get("field")).lower() != "attachment" or not item.get("from") or item.get("to"):
                    continue
                uri = f"{self.top}/attachment/{item['from']}"
                if str(item["from"]) not in kept and self.seen(uri) not in (None, _GONE):
                    yield Document(uri=uri, body=b"", key=uri, version=_GONE)

    def _count(self, errors: Sequence[SourceError]) -> None:
        """Raise when nothing answers any more."""
        lost = [error for error in errors if isinstance(error, RetryableError)]
        self._silent = self._silent + 1 if lost else 0
        if self._silent >= _PATIENCE:
            raise lost[0]


def complete(raw: Mapping[str, Any]) -> bool:
    """Whether a search gave the whole history of an issue."""
    return _embedded(raw.get("changelog"), "histories")[1]


def _embedded(value: Any, key: str) -> tuple[list[dict[str, Any]], bool]:
    """The items that came with the issue, and whether these are all."""
    if not isinstance(value, dict) or not isinstance(value.get(key), list):
        return [], False
    items = _mappings(value[key])
    total = value.get("total")
    return items, isinstance(total, int) and len({str(one.get("id")) for one in items}) >= total


def _path(raw: Mapping[str, Any]) -> str:
    key = str(raw.get("key"))
    return f"{key.rpartition('-')[0]}/{key}"


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _merged(some: Iterable[dict[str, Any]], more: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({str(one.get("id")): one for items in (some, more) for one in items}.values())


def _lazily(call: Callable[[], Iterable[_Item]]) -> Iterator[_Item]:
    yield from call()


def _file_version(file: Mapping[str, Any]) -> str:
    return f"{file.get('created')}:{file.get('size')}"


def _digest(text: Composed) -> str:
    return blake2b(text.body, digest_size=12).hexdigest() if text.body else _GONE


def _told(body: Stream, broken: list[SourceError]) -> Stream:
    """The same stream; ``broken`` holds what broke it off."""
    opener, size = body.open, body.size

    def opened(offset: int) -> BinaryIO:
        if size is not None and offset >= size:
            return io.BytesIO()
        try:
            return cast(BinaryIO, io.BufferedReader(_Watched(opener(offset), broken), 256 << 10))
        except SourceError as error:
            broken.append(error)
            raise

    return replace(body, open=opened)


class _Watched(io.RawIOBase):
    """A file that notes why it could not be read on."""

    def __init__(self, file: BinaryIO, broken: list[SourceError]) -> None:
        super().__init__()
        self._file = file
        self._broken = broken

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            return int(self._file.readinto(buffer))  # type: ignore[attr-defined]
        except SourceError as error:
            self._broken.append(error)
            raise

    def close(self) -> None:
        self._file.close()
        super().close()


class _Broken(io.RawIOBase):
    """What could be had of a text; reading past it says what is missing."""

    def __init__(self, body: bytes, error: SourceError) -> None:
        super().__init__()
        self._body = io.BytesIO(body)
        self._error = error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = self._body.readinto(buffer)
        if not count and memoryview(buffer):
            raise self._error
        return count
