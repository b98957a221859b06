"""A small Slack: the Web API's methods for reading, with cursors, times, scopes, limits, and faults on
demand.

It follows the documentation where that is precise (errors come as 200 with ``ok: false``, the history newest
first, both ends exclusive) and does on purpose what Slack does by accident.
"""

from __future__ import annotations

import base64
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, unquote, urlsplit

from unsprawl.estate.handler import Handler, Listening
from unsprawl.estate.slack_methods import METHODS, Refused
from unsprawl.estate.slack_workspace import Workspace

__all__ = ["Fault", "SlackServer"]

LOGIN_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>Slack</title></head><body>Sign in to acme.slack.com</body></html>"
)


@dataclass(slots=True)
class Fault:
    """What goes wrong with requests whose ``method?form`` matches ``match``, ``times`` times (-1: always).

    ``status`` with ``headers`` is answered instead, or ``error`` in an answer of 200, or ``body`` as a page
    of HTML; or the answer is changed by ``spoil``, cut off after ``cut`` bytes, given in drops with ``drip``
    seconds between them, or the connection is reset.
    """

    match: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    body: bytes = b""
    spoil: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    cut: int | None = None
    drip: float = 0.0
    reset: bool = False
    times: int = -1
    share: float = 1.0
    """How many of the matching requests it hits, drawn by chance with a fixed seed."""
    hits: int = 0


class SlackServer(Listening):
    """Serves on 127.0.0.1 while the context is open. ``url`` is the address of the API, without a slash.

    ``tokens`` maps each token to its scopes, None for all of them. ``limits`` are requests a minute of a
    method, ``held_back`` is the regime of one request a minute and fifteen messages, ``pages`` cap the
    objects a page. ``described`` leaves out what Slack answers and its official description does not know.
    """

    def __init__(
        self, workspace: Workspace, tokens: Mapping[str, frozenset[str] | None], port: int = 0
    ) -> None:
        self.workspace = workspace
        self.tokens = dict(tokens)
        self.faults: list[Fault] = []
        self.limits: dict[str, int] = {}
        self.retry_after: str = ""
        self.held_back = False
        self.pages: dict[str, int] = {}
        self.expiring = 0
        self.described = False
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.authorizations: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self._chance = random.Random(4)  # noqa: S311 - which requests fail
        self._recent: dict[str, list[float]] = {}
        super().__init__(port, type("Handler", (_Handler,), {"slack": self}))
        self.url = f"{self.root}/api"

    @property
    def asked(self) -> Counter[str]:
        """Requests of each method since ``requests`` was last cleared."""
        return Counter(method for method, _ in list(self.requests))

    def fault(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and re.search(fault.match, line) and self._chance.random() < fault.share:
                    fault.times -= 1
                    fault.hits += 1
                    return fault
        return None

    def over_limit(self, method: str) -> int:
        """Seconds to wait when ``method`` was asked too often; counts this request otherwise."""
        history = method in ("conversations.history", "conversations.replies")
        rate = 1 if self.held_back and history else self.limits.get(method, 0)
        if not rate:
            return 0
        with self.lock:
            now = time.monotonic()
            recent = self._recent[method] = [at for at in self._recent.get(method, []) if now - at < 60]
            if len(recent) >= rate:
                return max(1, round(60 - (now - recent[0])))
            recent.append(now)
        return 0

    def cursor(self, offset: int) -> str:
        return base64.b64encode(f"next:{offset}".encode()).decode()

    def offset(self, cursor: str) -> int:
        """Where a cursor goes on. Raises ``Refused`` for those that are none, or have expired."""
        if not cursor:
            return 0
        try:
            word, _, number = base64.b64decode(cursor).decode().partition(":")
            offset = int(number)
        except ValueError:
            raise Refused("invalid_cursor") from None
        if word != "next" or self.expiring > 0:
            self.expiring -= 1
            raise Refused("invalid_cursor")
        return offset


class _Handler(Handler):
    slack: ClassVar[SlackServer]

    def _serve(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        form = {key: values[-1] for key, values in parse_qs(f"{url.query}&{body.decode()}").items()}
        path = unquote(url.path)
        method = path.removeprefix("/api/") if path.startswith("/api/") else "download"
        self.slack.requests.append((method, form if method != "download" else {"path": path}))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.slack.authorizations.append((path, token))
        line = f"{method}?" + "&".join(f"{key}={value}" for key, value in form.items())
        self._fault = self.slack.fault(line if method != "download" else path)
        if self._instead():
            return
        wait = self.slack.over_limit(method)
        if wait:
            headers = {"Retry-After": self.slack.retry_after or str(wait)}
            self._json({"ok": False, "error": "ratelimited"}, 429, headers)
        elif method == "download":
            self._download(path, token)
        else:
            self._method(method, form, token)

    def _instead(self) -> bool:
        """Answer what a fault wants instead of the truth."""
        fault = self._fault
        if fault is None:
            return False
        if fault.reset:
            # With a linger of zero the connection is reset, not closed.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        elif fault.status:
            body = fault.body or b'{"ok": false, "error": "ratelimited"}'
            self._answer(fault.status, body, dict(fault.headers))
        elif fault.body:
            self._answer(200, fault.body, {"Content-Type": "text/html", **fault.headers})
        elif fault.error:
            self._json({"ok": False, "error": fault.error})
        else:
            return False
        return True

    def _method(self, method: str, form: Mapping[str, str], token: str) -> None:
        slack = self.slack
        entry = METHODS.get(method)
        if token not in slack.tokens:
            self._json({"ok": False, "error": "invalid_auth" if token else "not_authed"})
            return
        scopes = slack.tokens[token]
        headers = {} if scopes is None else {"X-OAuth-Scopes": ",".join(sorted(scopes))}
        if entry is None:
            self._json({"ok": False, "error": "unknown_method", "req_method": method}, headers=headers)
            return
        try:
            answer = entry(slack, form, scopes)
        except Refused as refused:
            self._json({"ok": False, "error": refused.error, **refused.more}, headers=headers)
            return
        if self._fault is not None and self._fault.spoil is not None:
            answer = self._fault.spoil(answer)
        self._json({"ok": True, **answer}, headers=headers)

    def _download(self, path: str, token: str) -> None:
        match = re.match(r"/files-pri/([A-Z0-9]+)/", path)
        file = next((one for one in self.slack.workspace.files if match and one.raw["id"] == match[1]), None)
        if file is None:
            self._answer(404, b"")
            return
        scopes = self.slack.tokens.get(token, frozenset())
        if scopes is not None and "files:read" not in scopes:
            self._answer(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})
            return
        content, headers = file.content, {"Content-Type": file.raw["mimetype"], "ETag": f'"{file.raw["id"]}"'}
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted is None:
            self._answer(200, content, headers)
        elif int(wanted[1]) >= len(content):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        else:
            start = int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._answer(206, content[start:], headers)

    def _json(self, content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content, separators=(",", ":")).encode()
        self._answer(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        fault = self._fault
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if fault is not None and fault.cut is not None and len(body) > fault.cut:
            body = body[: fault.cut]
            self.close_connection = True
        if fault is not None and fault.drip:
            for start in range(0, len(body), max(1, len(body) // 10)):
                self.wfile.write(body[start : start + max(1, len(body) // 10)])
                self.wfile.flush()
                time.sleep(fault.drip)
            return
        self.wfile.write(body)
