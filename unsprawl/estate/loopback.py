"""What the demo organisation's servers of data share: HTTP on this machine alone, with faults on demand.

A server derives from :class:`LoopbackServer` and answers requests. What goes wrong on purpose is a
:class:`Fault`: a refusal, a wait, a body that is changed, cut off or dripped, a reset connection.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from unsprawl.estate.handler import Handler, Listening

__all__ = ["Answer", "Fault", "LoopbackServer", "Request", "data"]


@dataclass(slots=True)
class Fault:
    """What goes wrong when ``path?query`` of a request matches ``path``: first ``after`` times nothing, then
    ``times`` times this (-1: always).

    ``status`` with ``headers`` and ``body`` is answered instead; ``before`` runs first (the world changes
    while it is read). Else the answer is changed by ``spoil``, waits ``wait`` seconds, drips in pieces with
    ``drip`` seconds between them, breaks off behind ``cut`` bytes of those promised, or is a ``reset``.
    """

    path: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    before: Callable[[], object] | None = None
    spoil: Callable[[bytes], bytes] | None = None
    wait: float = 0.0
    drip: float = 0.0
    cut: int | None = None
    reset: bool = False
    after: int = 0
    times: int = -1


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, for tests to look at. Header names are in lower case, the path is decoded."""

    method: str
    path: str
    query: Mapping[str, tuple[str, ...]]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    line: str = ""
    status: int = 0
    raw: str = ""
    """``path?query`` as it was sent; ``line`` is the same, decoded."""

    def last(self, name: str, default: str = "") -> str:
        return self.query.get(name, (default,))[-1]

    def number(self, name: str, default: int) -> int:
        """A number of the query, ``default`` when it is missing or none."""
        text = self.last(name)
        return int(text) if re.fullmatch(r"\d{1,9}", text) else default


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    ranges: bool = False
    """A file: ``Range`` is obeyed."""


def data(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(value).encode(), {"content-type": "application/json", **(headers or {})})


class LoopbackServer(Listening):
    """Serves on 127.0.0.1 while the context is open. ``url`` has no trailing slash.

    ``requests`` holds everything that was asked, in order; ``faults`` may be changed at any time.
    """

    def __init__(self, port: int = 0) -> None:
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.lock = threading.RLock()
        super().__init__(port, type("Handler", (_Handler,), {"owner": self}))
        self.url = self.root

    def answer(self, request: Request) -> Answer:
        """What a request gets where nothing goes wrong. Runs under ``lock``."""
        raise NotImplementedError

    def asked(self, path: str = "", *, method: str = "") -> list[Request]:
        """The requests whose ``path?query`` matches the pattern, in order."""
        with self.lock:
            requests = list(self.requests)
        return [one for one in requests if re.search(path, one.line) and method in ("", one.method)]

    def fault(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and re.search(fault.path, line):
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


class _Handler(Handler):
    owner: ClassVar[LoopbackServer]

    def _serve(self) -> None:
        url = urlsplit(self.path)
        query = {key: tuple(values) for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(length)) if length.isdigit() else b""
        headers = {key.lower(): value for key, value in self.headers.items()}
        path = unquote(url.path)
        line = unquote(self.path)
        fault = self.owner.fault(line)
        if fault is not None and fault.before is not None:
            fault.before()
        with self.owner.lock:
            request = Request(self.command, path, query, headers, body, line, raw=self.path)
            if fault is not None and fault.status:
                answer = Answer(fault.status, fault.body, dict(fault.headers))
            else:
                answer = self.owner.answer(request)
            kept = replace(request, status=answer.status)
            self.owner.requests.append(kept)
        self._send(answer, fault)

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        status, body, headers = answer.status, answer.body, dict(answer.headers)
        if fault is not None:
            time.sleep(fault.wait)
            if fault.reset:
                # Without lingering, closing sends a reset instead of an end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            if fault.spoil is not None and not fault.status:
                body = fault.spoil(body)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if answer.ranges and status == 200:
            headers["accept-ranges"] = "bytes"
            if wanted is not None:
                start, end = int(wanted[1]), min(int(wanted[2] or len(body) - 1), len(body) - 1)
                headers["content-range"] = f"bytes {start}-{end}/{len(body)}"
                status, body = (206, body[start : end + 1]) if start <= end else (416, b"")
                if status == 416:
                    headers["content-range"] = f"bytes */{len(answer.body)}"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.cut is not None:
            self.wfile.write(body[: fault.cut])
            self.close_connection = True
            return
        if fault is not None and fault.drip:
            for start in range(0, len(body), max(1, len(body) // 8)):
                self.wfile.write(body[start : start + max(1, len(body) // 8)])
                self.wfile.flush()
                time.sleep(fault.drip)
            return
        self.wfile.write(body)
