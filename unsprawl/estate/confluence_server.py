"""A small Confluence Cloud: API v2 and the parts of v1 that it lacks, with cursors, limits and faults.

It follows the published description (paths, parameters, shapes), and does on purpose what the real one
does by accident: expire cursors, repeat and shuffle entries, go in circles, refuse a space.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data
from unsprawl.estate.wiki_model import Entry, Revision, Room, Wiki

__all__ = ["ConfluenceServer"]

_NAMES: Final = {
    "pages": "page",
    "blogposts": "blogpost",
    "footer-comments": "footer",
    "inline-comments": "inline",
    "attachments": "attachment",
    "custom-content": "custom",
}
_COMMENTS: Final = ("footer", "inline")
_HOLDERS: Final = {
    "page": "pageId",
    "blogpost": "blogPostId",
    "custom": "customContentId",
    "attachment": "attachmentId",
}
#: Listings of versions with bodies are cut at this many.
_VERSIONS: Final = 50


class ConfluenceServer(LoopbackServer):
    """``user`` and ``token`` may see everything but closed spaces; nobody sees what is open.

    ``disorder`` names listings (``pages``, …) whose entries come shuffled and doubled, ``endless`` those
    that always have a next page, ``largest`` caps every page of a listing. Cursors that were given are
    forgotten by ``expire``.
    """

    def __init__(self, wiki: Wiki, user: str = "", token: str = "", port: int = 0) -> None:
        super().__init__(port)
        self.wiki = wiki
        self.login = base64.b64encode(f"{user}:{token}".encode()).decode()
        self.people = {"anna": "Anna Ahlgren", "bo": "Bo Berg"}
        self.disorder: set[str] = set()
        self.endless: set[str] = set()
        self.largest = 250
        self._cursors: dict[str, int] = {}

    @property
    def site(self) -> str:
        """What stands in a configuration."""
        return f"{self.url}/wiki"

    def expire(self) -> None:
        """Cursors that were given out are worth nothing from now on."""
        self._cursors.clear()

    # --- who asks ------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Answer:
        given = request.headers.get("authorization", "")
        if given and given != f"Basic {self.login}":
            # As the real one: nobody is who asks, and a header tells why.
            return data({"message": "Unauthorized"}, 401, {"x-seraph-loginreason": "AUTHENTICATED_FAILED"})
        path = re.sub(r"^/ex/confluence/[\w-]+", "", request.path)
        known = bool(given)
        if match := re.fullmatch(r"/wiki/api/v2/(.+)", path):
            return self._v2(match[1].split("/"), request, known)
        if match := re.fullmatch(r"/wiki/rest/api/(.+)", path):
            return self._v1(match[1].split("/"), request, known)
        if match := re.fullmatch(r"/wiki/download/attachments/(\d+)/([^/]+)", path):
            return self._download(match[1], match[2], request.number("version", 0), known)
        return data({"message": "no such address"}, 404)

    def sees(self, entry: Entry, known: bool) -> bool:
        """Whether who asks may see it."""
        room = self.wiki.rooms[entry.room]
        holder = self.wiki.holder(entry)
        if not known:
            return room.open and not holder.hidden and entry.status == "current"
        return not room.closed

    # --- version 2 -----------------------------------------------------------------------------------

    def _v2(self, steps: list[str], request: Request, known: bool) -> Answer:
        head = steps[0]
        if head == "users-bulk" and request.method == "POST":
            return self._people(request)
        if head == "spaces" and len(steps) == 1:
            return self._rooms(request, known)
        kind = _NAMES.get(head)
        if kind is None:
            return data({"message": "no such address"}, 404)
        if len(steps) == 1:
            return self._list(head, kind, request, known)
        entry = self.wiki.entries.get(steps[1])
        if entry is None or entry.kind != kind or not self.sees(entry, known):
            return data({"errors": [{"status": 404, "code": "NOT_FOUND"}]}, 404)
        if request.method == "DELETE" and len(steps) == 2:
            if not known:
                return data({"message": "not for everyone"}, 403)
            self.wiki.delete(entry, purge=request.last("purge") == "true")
            return Answer(204)
        if len(steps) == 2:
            return data(self._shown(entry, entry.last, request))
        if steps[2] == "versions":
            return self._versions(entry, request)
        if steps[2] == "properties":
            rows = [
                {"id": str(index), "key": key, "value": value}
                for index, (key, value) in enumerate(entry.properties.items())
            ]
            return self._page("properties", rows, request, lambda row: row)
        return data({"message": "no such address"}, 404)

    def _people(self, request: Request) -> Answer:
        wanted = json.loads(request.body)["accountIds"]
        rows = [{"accountId": one, "displayName": self.people[one]} for one in wanted if one in self.people]
        return data({"results": rows, "_links": {}})

    def _rooms(self, request: Request, known: bool) -> Answer:
        rooms = [one for one in self.wiki.rooms.values() if known or one.open]
        keys, ids = request.query.get("keys"), request.query.get("ids")
        rooms = [one for one in rooms if (not keys or one.key in keys) and (not ids or one.id in ids)]
        if "keys" not in request.query and "ids" not in request.query and not known and not rooms:
            return data({"message": "anonymous access is off"}, 403)
        return self._page("spaces", sorted(rooms, key=lambda one: one.key), request, self._room)

    def _room(self, room: Room) -> dict[str, Any]:
        return {
            "id": room.id,
            "key": room.key,
            "name": room.name,
            "type": room.kind,
            "status": room.status,
            "description": {"plain": {"representation": "plain", "value": room.description}},
            "_links": {"webui": f"/spaces/{room.key}"},
        }

    def _list(self, head: str, kind: str, request: Request, known: bool) -> Answer:
        entries = [entry for entry in self.wiki.of(kind) if self.sees(entry, known)]
        statuses = request.query.get("status", ("current", "archived"))
        if kind in ("page", "blogpost", "attachment"):
            entries = [entry for entry in entries if entry.status in statuses]
        if kind == "custom":
            entries = [entry for entry in entries if entry.type == request.last("type")]
        if wanted := request.query.get("id"):
            entries = [entry for entry in entries if entry.id in wanted]
        if asked := request.query.get("space-id"):
            rooms = {room.id: room for room in self.wiki.rooms.values()}
            if any(one in rooms and rooms[one].closed for one in asked):
                return data({"errors": [{"status": 403, "code": "FORBIDDEN"}]}, 403)
            entries = [entry for entry in entries if self.wiki.rooms[entry.room].id in asked]
        sort = request.last("sort")
        if sort.endswith("modified-date"):
            entries.sort(key=lambda entry: entry.last.when, reverse=sort.startswith("-"))
        if head in self.disorder:
            entries = [*entries[:1], *entries]
        return self._page(head, entries, request, lambda entry: self._shown(entry, entry.last, request))

    def _versions(self, entry: Entry, request: Request) -> Answer:
        revisions = entry.revisions[::-1] if request.last("sort") == "-modified-date" else entry.revisions
        name = "comment" if entry.kind in _COMMENTS else entry.kind
        with_body = bool(request.last("body-format"))

        def shown(revision: Revision) -> dict[str, Any]:
            body = {"body": _body(entry, revision, request)} if with_body else {}
            return {**_version(revision), name: {"id": entry.id, "title": entry.title, **body}}

        return self._page("versions", revisions, request, shown, _VERSIONS if with_body else 250)

    def _shown(self, entry: Entry, revision: Revision, request: Request) -> dict[str, Any]:
        holder = self.wiki.holder(entry)
        webui = f"/spaces/{holder.room}/pages/{holder.id}"
        row: dict[str, Any] = {
            "id": entry.id,
            "status": entry.status,
            "title": entry.title,
            "version": _version(revision),
            "_links": {"webui": webui if entry is holder else f"{webui}?focusedCommentId={entry.id}"},
        }
        if entry.kind in ("page", "blogpost", "custom"):
            row |= {"spaceId": self.wiki.rooms[entry.room].id, "authorId": entry.revisions[0].author}
        if entry.kind == "custom":
            row["type"] = entry.type
        if entry.parent:
            parent = self.wiki.entries[entry.parent]
            name = "parentCommentId" if parent.kind in _COMMENTS else _HOLDERS[parent.kind]
            row |= {name: parent.id, _HOLDERS.get(holder.kind, "pageId"): holder.id}
        if entry.kind == "inline":
            row["properties"] = {"inlineOriginalSelection": entry.marked}
        if entry.kind == "attachment":
            link = f"/download/attachments/{entry.parent}/{entry.title}?version={revision.number}&api=v2"
            row["_links"] = {"webui": f"/pages/viewpageattachments.action?pageId={entry.parent}"}
            row |= {"mediaType": entry.media_type, "fileSize": len(revision.body), "downloadLink": link}
            row |= {
                "comment": entry.note,
                "webuiLink": f"/pages/viewpageattachments.action?pageId={entry.parent}",
            }
        elif request.last("body-format"):
            row["body"] = _body(entry, revision, request)
        return row

    def _page(
        self,
        head: str,
        rows: Sequence[Any],
        request: Request,
        shown: Callable[[Any], dict[str, Any]],
        most: int = 250,
    ) -> Answer:
        start, cursor = 0, request.last("cursor")
        if cursor:
            if cursor not in self._cursors:
                return data({"errors": [{"status": 400, "code": "INVALID_CURSOR"}]}, 400)
            start = self._cursors[cursor]
        limit = min(max(1, request.number("limit", 25)), most, self.largest)
        some = list(rows[start : start + limit])
        if head in self.disorder:
            # The last of the page before comes again, and the order within is another.
            some = [*rows[max(0, start - 1) : start], *some][::-1]
        answer: dict[str, Any] = {"results": [shown(row) for row in some], "_links": {"base": self.site}}
        headers = {}
        if start + limit < len(rows) or head in self.endless:
            following = start + limit if start + limit < len(rows) else start
            turn = len(self._cursors) if head in self.endless else 0
            named = {"at": following, "of": request.path, "turn": turn}
            token = base64.urlsafe_b64encode(json.dumps(named).encode()).decode()
            self._cursors[token] = following
            pairs = [(name, one) for name, all_ in request.query.items() if name != "cursor" for one in all_]
            answer["_links"]["next"] = f"{request.path}?{urlencode([*pairs, ('cursor', token)])}"
            headers["link"] = f'<{self.site}>; rel="base"'
        return data(answer, headers=headers)

    # --- version 1 -----------------------------------------------------------------------------------

    def _v1(self, steps: list[str], request: Request, known: bool) -> Answer:
        if steps == ["user", "current"]:
            who = {"type": "known", "accountId": "bot", "displayName": "Audit Bot"}
            return data(who if known else {"type": "anonymous", "displayName": "Anonymous"})
        if not known:
            return data({"message": "not for everyone"}, 403)
        if steps == ["template", "page"]:
            key = request.last("spaceKey")
            if key and self.wiki.rooms[key].closed:
                return data({"message": "no"}, 403)
            found = [one for one in self.wiki.templates.values() if one.room == key]
            return self._start(found, request, self._template)
        if len(steps) == 2 and steps[0] == "template" and steps[1] in self.wiki.templates:
            return data(self._template(self.wiki.templates[steps[1]]))
        if steps == ["content"]:
            drafts = [
                one for one in self.wiki.of(request.last("type")) if one.status == request.last("status")
            ]
            return self._start([one for one in drafts if self.sees(one, known)], request, self._content)
        entry = self.wiki.entries.get(steps[1]) if len(steps) > 1 and steps[0] == "content" else None
        if entry is None or not self.sees(entry, known):
            return data({"message": "nothing there"}, 404)
        if request.method == "DELETE" and len(steps) == 4 and steps[2] == "version":
            kept = [one for one in entry.revisions[:-1] if str(one.number) != steps[3]]
            if len(kept) == len(entry.revisions) - 1:
                return data({"message": "no such old version"}, 404)
            entry.revisions[:-1] = kept
            return Answer(204)
        if len(steps) == 2:
            return data(self._content(entry))
        if steps[2:] == ["restriction", "byOperation", "read"]:
            size = int(entry.hidden)
            return data({"operation": "read", "restrictions": {"user": {"size": size}, "group": {"size": 0}}})
        if steps[2:4] == ["child", "attachment"] and steps[-1] == "download":
            return self._download(
                entry.id, self.wiki.entries[steps[4]].title, request.number("version", 0), known
            )
        return data({"message": "nothing there"}, 404)

    def _start(self, rows: Sequence[Any], request: Request, shown: Callable[[Any], dict[str, Any]]) -> Answer:
        start, limit = request.number("start", 0), min(request.number("limit", 25), self.largest)
        some = rows[start : start + limit]
        links = {"next": f"/rest/api/x?start={start + limit}"} if start + limit < len(rows) else {}
        return data(
            {"results": [shown(row) for row in some], "start": start, "size": len(some), "_links": links}
        )

    def _template(self, one: Any) -> dict[str, Any]:
        body = {"storage": {"representation": "storage", "value": one.body}}
        row: dict[str, Any] = {"templateId": one.id, "name": one.name, "description": "", "body": body}
        return {**row, "space": {"key": one.room}} if one.room else row

    def _content(self, entry: Entry) -> dict[str, Any]:
        last = entry.last
        by = {"accountId": last.author, "displayName": self.people.get(last.author, "")}
        return {
            "id": entry.id,
            "type": entry.kind,
            "status": entry.status,
            "title": entry.title,
            "space": {"key": entry.room},
            "version": {"number": last.number, "when": _stamp(last), "by": by},
            "body": {"storage": {"representation": "storage", "value": last.body}},
            "_links": {"webui": f"/spaces/{entry.room}/pages/{entry.id}"},
        }

    # --- files ---------------------------------------------------------------------------------------

    def _download(self, holder: str, name: str, version: int, known: bool) -> Answer:
        for entry in self.wiki.of("attachment"):
            if entry.parent == holder and entry.title == name and self.sees(entry, known):
                found = [one for one in entry.revisions if one.number == version] if version else [entry.last]
                if found and isinstance(found[0].body, bytes):
                    headers = {"content-type": entry.media_type, "etag": f'"{entry.id}-{found[0].number}"'}
                    return Answer(200, found[0].body, headers, ranges=True)
        return data({"message": "no such file"}, 404)


def _version(revision: Revision) -> dict[str, Any]:
    return {
        "number": revision.number,
        "createdAt": _stamp(revision),
        "authorId": revision.author,
        "message": "",
        "minorEdit": False,
    }


def _body(entry: Entry, revision: Revision, request: Request) -> dict[str, Any]:
    kind = request.last("body-format")
    value = str(revision.body)
    if kind == "atlas_doc_format":
        node = {"type": "paragraph", "content": [{"type": "text", "text": value}]}
        value = value if entry.live else json.dumps({"type": "doc", "version": 1, "content": [node]})
    elif entry.live:
        value = ""
    return {kind: {"representation": kind, "value": value}}


def _stamp(revision: Revision) -> str:
    return revision.when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{revision.when.microsecond // 1000:03d}Z"
