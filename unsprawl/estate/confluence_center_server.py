"""A small Confluence Data Center: REST API v1 over the same wiki, with ``expand`` and ``start``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data
from unsprawl.estate.wiki_model import Entry, Revision, Room, Wiki

__all__ = ["ConfluenceCenterServer"]

_TYPES: Final = {"page": "page", "blogpost": "blogpost", "footer": "comment", "inline": "comment"}
_COMMENTS: Final = ("footer", "inline")
#: Inner lists that come by ``expand`` hold this many.
_INNER: Final = 25


class ConfluenceCenterServer(LoopbackServer):
    """``token`` is a personal access token; nobody sees what is open.

    ``largest`` caps listings, those named in ``endless`` (``comment``) always have a next page.
    """

    def __init__(self, wiki: Wiki, token: str = "", port: int = 0) -> None:
        super().__init__(port)
        self.wiki = wiki
        self.token = token
        self.people = {"anna": "Anna Ahlgren", "bo": "Bo Berg"}
        self.largest = 100
        self.endless: set[str] = set()

    @property
    def site(self) -> str:
        """What stands in a configuration."""
        return f"{self.url}/confluence"

    def answer(self, request: Request) -> Answer:
        given = request.headers.get("authorization", "")
        if given and given != f"Bearer {self.token}":
            return data({"message": "Unauthorized"}, 401, {"x-seraph-loginreason": "AUTHENTICATED_FAILED"})
        known = bool(given)
        if match := re.fullmatch(r"/confluence/rest/api/(.+)", request.path):
            return self._api(match[1].split("/"), request, known)
        experimental = r"/confluence/rest/experimental/content/(\w+)/version/(\d+)"
        if (match := re.fullmatch(experimental, request.path)) and request.method == "DELETE" and known:
            return self._forget(match[1], match[2])
        if match := re.fullmatch(r"/confluence/download/attachments/(\d+)/([^/]+)", request.path):
            return self._download(match[1], match[2], request.number("version", 0), known)
        return data({"message": "no such address"}, 404)

    def _forget(self, name: str, number: str) -> Answer:
        entry = self.wiki.entries.get(name)
        if entry is None or not any(str(one.number) == number for one in entry.revisions[:-1]):
            return data({"message": "no such old version"}, 404)
        entry.revisions[:-1] = [one for one in entry.revisions[:-1] if str(one.number) != number]
        return Answer(204)

    def _sees(self, entry: Entry, known: bool) -> bool:
        room, holder = self.wiki.rooms[entry.room], self.wiki.holder(entry)
        if not known:
            return room.open and not holder.hidden and entry.status == "current"
        return not room.closed

    def _api(self, steps: list[str], request: Request, known: bool) -> Answer:
        if steps == ["user", "current"]:
            who = {"type": "known", "username": "bot", "displayName": "Audit Bot"}
            return data(who if known else {"type": "anonymous", "displayName": "Anonymous"})
        if steps == ["space"]:
            keys = request.query.get("spaceKey")
            rooms = [one for one in self.wiki.rooms.values() if known or one.open]
            rooms = [one for one in rooms if not keys or one.key in keys]
            return data(self._list(rooms, request, self._room))
        if steps == ["content"]:
            return self._contents(request, known)
        if steps == ["content", "search"]:
            return self._search(request, known)
        entry = self.wiki.entries.get(steps[1]) if steps[0] == "content" and len(steps) > 1 else None
        if entry is None or not self._sees(entry, known):
            return data({"message": "No content found"}, 404)
        return self._one(entry, steps[2:], request)

    def _contents(self, request: Request, known: bool) -> Answer:
        key, status = request.last("spaceKey"), request.last("status", "current")
        if key and key in self.wiki.rooms and self.wiki.rooms[key].closed:
            return data({"message": "not permitted"}, 403)
        statuses = ("current", "trashed", "archived") if status == "any" else (status,)
        entries = [
            entry
            for entry in self.wiki.of(request.last("type", "page"))
            if entry.status in statuses and key in ("", entry.room) and self._sees(entry, known)
        ]
        return data(self._list(entries, request, lambda entry: self._shown(entry, entry.last, request)))

    def _search(self, request: Request, known: bool) -> Answer:
        match = re.search(r'lastmodified >= "([^"]+)"', request.last("cql"))
        if match is None:
            return data({"message": "could not parse cql"}, 400)
        since = datetime.strptime(match[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        entries = [
            entry
            for entry in self.wiki.of(*_TYPES, "attachment")
            if entry.last.when >= since and entry.status == "current" and self._sees(entry, known)
        ]
        entries.sort(key=lambda entry: entry.last.when, reverse=True)
        return data(self._list(entries, request, lambda entry: self._found(entry, request)))

    def _one(self, entry: Entry, steps: list[str], request: Request) -> Answer:
        if not steps and request.method == "DELETE":
            self.wiki.delete(entry, purge=request.last("status") == "trashed")
            return Answer(204)
        if not steps:
            revision = entry.last
            if request.last("status") == "historical":
                number = request.number("version", 0)
                old = [one for one in entry.revisions[:-1] if one.number == number]
                if not old:
                    return data({"message": "No such version"}, 404)
                revision = old[0]
            return data(
                self._found(entry, request)
                if request.last("status") == "any"
                else self._shown(entry, revision, request)
            )
        if steps == ["descendant", "comment"]:
            comments = self.wiki.below(entry, *_COMMENTS)
            return data(self._list(comments, request, lambda one: self._shown(one, one.last, request)))
        if steps == ["child", "attachment"]:
            files = self.wiki.below(entry, "attachment")
            return data(self._list(files, request, lambda one: self._shown(one, one.last, request)))
        if steps == ["property"]:
            rows = list(entry.properties.items())
            return data(self._list(rows, request, lambda row: {"key": row[0], "value": row[1]}))
        return data({"message": "nothing there"}, 404)

    def _list(
        self, rows: Sequence[Any], request: Request, shown: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        start, limit = request.number("start", 0), min(request.number("limit", 25), self.largest)
        some = rows[start : start + limit]
        answer: dict[str, Any] = {"results": [shown(row) for row in some], "start": start, "limit": limit}
        answer |= {"size": len(some), "_links": {"base": self.site}}
        if start + limit < len(rows) or request.path.rpartition("/")[2] in self.endless:
            start = min(start, max(0, len(rows) - limit))
            answer["results"] = [shown(row) for row in rows[start : start + limit]]
            pairs = [(name, one) for name, all_ in request.query.items() if name != "start" for one in all_]
            query = urlencode([*pairs, ("start", str(start + limit))])
            answer["_links"]["next"] = f"{request.path.removeprefix('/confluence')}?{query}"
        return answer

    def _room(self, room: Room) -> dict[str, Any]:
        return {
            "id": int(room.id),
            "key": room.key,
            "name": room.name,
            "type": room.kind,
            "description": {"plain": {"value": room.description, "representation": "plain"}},
            "_links": {"webui": f"/display/{room.key}"},
        }

    def _found(self, entry: Entry, request: Request) -> dict[str, Any]:
        row = self._shown(entry, entry.last, request)
        holder = self.wiki.holder(entry)
        if holder is not entry:
            row.pop("space", None)
            row["container"] = {
                "id": holder.id,
                "type": holder.kind,
                "title": holder.title,
                "space": {"key": holder.room},
            }
        return row

    def _shown(
        self, entry: Entry, revision: Revision, request: Request, *, inner: bool = False
    ) -> dict[str, Any]:
        expand = request.last("expand")
        row: dict[str, Any] = {
            "id": entry.id,
            "type": _TYPES.get(entry.kind, entry.kind),
            "status": entry.status,
            "title": entry.title,
            "version": {
                "number": revision.number,
                "when": revision.when.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
                "by": {"username": revision.author, "displayName": self.people.get(revision.author, "")},
            },
            "_links": {"webui": f"/pages/viewpage.action?pageId={entry.id}"},
        }
        if entry.kind == "attachment":
            row["extensions"] = {
                "mediaType": entry.media_type,
                "fileSize": len(revision.body),
                "comment": entry.note,
            }
            link = f"/download/attachments/{entry.parent}/{entry.title}?version={revision.number}&api=v2"
            row["_links"]["download"] = link
            return row
        if "body.storage" in expand:
            row["body"] = {"storage": {"value": revision.body, "representation": "storage"}}
        if entry.kind in _COMMENTS:
            row["extensions"] = {
                "location": entry.kind,
                "inlineProperties": {"originalSelection": entry.marked},
            }
        if inner or entry.kind in _COMMENTS:
            return row
        row["space"] = {"key": entry.room}
        size = int(entry.hidden)
        row["restrictions"] = {"read": {"restrictions": {"user": {"size": size}, "group": {"size": 0}}}}
        if "descendants.comment" in expand:
            row["descendants"] = {"comment": self._inner(self.wiki.below(entry, *_COMMENTS), entry, request)}
        if "children.attachment" in expand:
            row["children"] = {
                "attachment": self._inner(self.wiki.below(entry, "attachment"), entry, request)
            }
        return row

    def _inner(self, entries: list[Entry], holder: Entry, request: Request) -> dict[str, Any]:
        rows = [self._shown(one, one.last, request, inner=True) for one in entries[:_INNER]]
        links = {"next": f"/rest/api/content/{holder.id}/x?start={_INNER}"} if len(entries) > _INNER else {}
        return {"results": rows, "start": 0, "limit": _INNER, "size": len(rows), "_links": links}

    def _download(self, holder: str, name: str, version: int, known: bool) -> Answer:
        for entry in self.wiki.of("attachment"):
            if entry.parent == holder and entry.title == name and self._sees(entry, known):
                found = [one for one in entry.revisions if one.number == version] if version else [entry.last]
                if found and isinstance(found[0].body, bytes):
                    headers = {"content-type": entry.media_type, "etag": f'"{entry.id}-{found[0].number}"'}
                    return Answer(200, found[0].body, headers, ranges=True)
        return data({"message": "no such file"}, 404)
