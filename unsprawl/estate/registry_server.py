"""A small container registry: the OCI distribution protocol in memory, with faults on demand.

It stands in for the real one where that is not installed, passes the same contract tests, and does
on purpose what the real one does by accident: refuse, break off, redirect, corrupt.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from unsprawl.estate.handler import Handler, Listening

__all__ = ["Access", "Answer", "Fault", "RegistryServer", "Request", "Streamed"]

_MANIFEST = re.compile(r"/v2/(.+)/manifests/([^/]+)")
_BLOB = re.compile(r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})")
_UPLOAD = re.compile(r"/v2/(.+)/blobs/uploads/([0-9a-z]*)")
_REFERRERS = re.compile(r"/v2/(.+)/referrers/(sha256:[0-9a-f]{64})")
_TAGS = re.compile(r"/v2/(.+)/tags/list")


@dataclass(slots=True)
class Fault:
    """What goes wrong when a request's path matches ``path``, ``times`` times (-1: always).

    ``status`` with ``headers`` is answered instead; or the body is changed by ``spoil``, or breaks
    off after ``cut`` bytes though the length promised more. ``method`` limits it to one.
    """

    path: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    spoil: Callable[[bytes], bytes] | None = None
    cut: int | None = None
    times: int = -1
    method: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what. ``users`` are names with passwords; ``anonymous`` repositories need none.

    ``scheme`` is ``bearer`` (tokens from ``/token``, living ``lifetime`` seconds) or ``basic``.
    ``forbidden`` repositories are given to nobody.
    """

    users: Mapping[str, str] = field(default_factory=dict)
    anonymous: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    scheme: str = "bearer"
    lifetime: float = 60.0
    realm: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, for tests to look at. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Streamed:
    """A blob too large to hold: ``parts(offset)`` makes its bytes from there on."""

    size: int
    parts: Callable[[int], Iterator[bytes]]


#: Status, headers and content of an answer.
Answer: TypeAlias = tuple[int, Mapping[str, str], object]


@dataclass(slots=True)
class _Repository:
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    streams: dict[str, Streamed] = field(default_factory=dict)


class RegistryServer(Listening):
    """Serves on 127.0.0.1 while the context is open. ``url`` has no trailing slash."""

    def __init__(self, access: Access | None = None, port: int = 0, *, ranges: bool = True) -> None:
        self.access = access
        self.ranges = ranges
        self.referrers = False
        """Whether it lists what is attached to a manifest; older registries answer 404."""
        self.more: Callable[[Request, bytes], Answer | None] | None = None
        """What else this host answers, such as a vendor's own API. None leaves it to the registry."""
        self.headers: dict[str, str] = {}
        """Sent with every answer, such as what is left of a limit."""
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.repositories: dict[str, _Repository] = {}
        self.tokens: dict[str, tuple[str, float]] = {}
        self.lock = threading.Lock()
        super().__init__(port, type("Handler", (_Handler,), {"registry": self}))
        self.url = self.root

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests whose path matches the pattern, in order."""
        return [one for one in list(self.requests) if one.method == method and re.search(path, one.path)]

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method in ("", method) and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None


class _Handler(Handler):
    registry: ClassVar[RegistryServer]

    # --- dispatch ----------------------------------------------------------------------------

    def _serve(self) -> None:
        url = urlsplit(self.path)
        self._query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        path = unquote(url.path)
        body = self._body()
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, path, url.query, headers)
        self.registry.requests.append(request)
        self._fault = self.registry.fault(self.command, path)
        if self._fault is not None and self._fault.status:
            self._answer(self._fault.status, b"", dict(self._fault.headers))
            return
        if self.registry.more is not None and (answer := self.registry.more(request, body)) is not None:
            self._json(answer[2], answer[0], answer[1])
            return
        if path == "/token":
            self._token()
            return
        if not path.startswith("/v2/"):
            self._answer(404)
            return
        if self._refused(path):
            return
        if path == "/v2/":
            self._json({})
        elif path == "/v2/_catalog":
            names = sorted(name for name, one in self.registry.repositories.items() if one.manifests)
            self._page("repositories", names, {})
        elif match := _TAGS.fullmatch(path):
            repository = self.registry.repositories.get(match[1])
            if repository is None:
                self._error(404, "NAME_UNKNOWN")
            else:
                self._page("tags", sorted(repository.tags), {"name": match[1]})
        elif match := _MANIFEST.fullmatch(path):
            self._manifest(match[1], match[2], body)
        elif match := _BLOB.fullmatch(path):
            self._blob(match[1], match[2])
        elif self.registry.referrers and (match := _REFERRERS.fullmatch(path)):
            self._attached(match[1], match[2])
        elif match := _UPLOAD.fullmatch(path):
            self._upload(match[1], match[2], body)
        else:
            self._answer(404)

    def _manifest(self, name: str, reference: str, body: bytes) -> None:
        if self.command == "PUT":
            repository = self._repository(name)
            digest = _digest(body)
            repository.manifests[digest] = (self.headers.get("Content-Type", ""), body)
            if not reference.startswith("sha256:"):
                repository.tags[reference] = digest
            self._answer(201, b"", {"Location": self.path, "Docker-Content-Digest": digest})
            return
        known = self.registry.repositories.get(name, _Repository())
        digest = known.tags.get(reference, reference)
        if digest not in known.manifests:
            self._error(404, "MANIFEST_UNKNOWN")
            return
        if self.command == "DELETE":
            del known.manifests[digest]
            known.tags = {tag: one for tag, one in known.tags.items() if one != digest}
            self._answer(202)
            return
        media_type, content = known.manifests[digest]
        headers = {"Content-Type": media_type, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        self._answer(200, content, headers)

    def _attached(self, name: str, digest: str) -> None:
        known = self.registry.repositories.get(name, _Repository())
        manifests = []
        for own, (media_type, body) in known.manifests.items():
            content = json.loads(body)
            if (content.get("subject") or {}).get("digest") == digest:
                described = {"mediaType": media_type, "digest": own, "size": len(body)}
                manifests.append({**described, "artifactType": content.get("artifactType", "")})
        media_type = "application/vnd.oci.image.index.v1+json"
        content = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}
        self._json(content, headers={"Content-Type": media_type})

    def _blob(self, name: str, digest: str) -> None:
        stream = self.registry.repositories.get(name, _Repository()).streams.get(digest)
        if stream is not None:
            self._stream(stream)
            return
        content = self.registry.repositories.get(name, _Repository()).blobs.get(digest)
        if content is None:
            self._error(404, "BLOB_UNKNOWN")
            return
        if self.command == "DELETE":
            del self.registry.repositories[name].blobs[digest]
            self._answer(202)
            return
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        headers |= {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None or not self.registry.ranges:
            self._answer(200, content, headers)
            return
        start, end = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
        if start > end:
            self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        self._answer(206, content[start : end + 1], headers)

    def _stream(self, stream: Streamed) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(stream.size - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{stream.size - 1}/{stream.size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        left = self._fault.cut if self._fault is not None and self._fault.cut is not None else None
        for part in stream.parts(start):
            if left is not None and len(part) >= left:
                self.wfile.write(part[:left])
                self.close_connection = True
                return
            self.wfile.write(part)
            left = None if left is None else left - len(part)

    def _upload(self, name: str, session: str, body: bytes) -> None:
        repository = self._repository(name)
        if self.command == "POST":
            session = secrets.token_hex(16)
            repository.blobs[session] = b""
        elif session not in repository.blobs:
            self._error(404, "BLOB_UPLOAD_UNKNOWN")
            return
        content = repository.blobs[session] + body
        location = f"/v2/{name}/blobs/uploads/{session}"
        digest = self._query.get("digest")
        if self.command == "PUT" or digest:
            del repository.blobs[session]
            if digest != _digest(content):
                self._error(400, "DIGEST_INVALID")
                return
            repository.blobs[digest] = content
            location = f"/v2/{name}/blobs/{digest}"
            self._answer(201, b"", {"Location": location, "Docker-Content-Digest": digest})
            return
        repository.blobs[session] = content
        more = {"Location": location, "Docker-Upload-UUID": session, "Range": f"0-{max(len(content) - 1, 0)}"}
        self._answer(202, b"", more)

    def _repository(self, name: str) -> _Repository:
        with self.registry.lock:
            return self.registry.repositories.setdefault(name, _Repository())

    # --- who may -----------------------------------------------------------------------------

    def _refused(self, path: str) -> bool:
        access = self.registry.access
        if access is None:
            return False
        match = re.match(r"/v2/(.+)/(?:tags|manifests|blobs|referrers)/", path)
        name = match[1] if match else ""
        right = "pull,delete" if self.command == "DELETE" else "pull"
        scope = f"repository:{name}:{right}" if name else "registry:catalog:*" if "_catalog" in path else ""
        if access.scheme == "basic":
            user, password = self._login()
            if not user or access.users.get(user) != password:
                self._error(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="a, registry"'})
                return True
        else:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            granted, until = self.registry.tokens.get(token, ("", 0.0))
            if until < time.monotonic() or (scope and scope not in granted.split()):
                realm = access.realm or f"{self.registry.url}/token"
                header = f'Bearer realm="{realm}",service="a, registry"' + (
                    f',scope="{scope}"' if scope else ""
                )
                self._error(401, "UNAUTHORIZED", {"WWW-Authenticate": header})
                return True
        if name in access.forbidden:
            self._error(403, "DENIED")
            return True
        return False

    def _token(self) -> None:
        access = self.registry.access or Access()
        user, password = self._login()
        if user and access.users.get(user) != password:
            self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="tokens"'})
            return
        scope = self._query.get("scope", "")
        granted = (
            scope if user or any(f"repository:{name}:pull" == scope for name in access.anonymous) else ""
        )
        token = secrets.token_urlsafe(24)
        self.registry.tokens[token] = (granted, time.monotonic() + access.lifetime)
        self._json({"token": token, "expires_in": max(1, int(access.lifetime))})

    def _login(self) -> tuple[str, str]:
        scheme, _, pair = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return "", ""
        user, _, password = base64.b64decode(pair).decode().partition(":")
        return user, password

    # --- answers -----------------------------------------------------------------------------

    def _page(self, key: str, values: list[str], more: Mapping[str, Any]) -> None:
        last, count = self._query.get("last", ""), int(self._query.get("n", "100"))
        rest = [value for value in values if value > last]
        headers = {}
        if len(rest) > count:
            query = urlencode({"last": rest[count - 1], "n": count})
            headers["Link"] = f'<{urlsplit(self.path).path}?{query}>; rel="next"'
        self._json({**more, key: rest[:count]}, headers=headers)

    def _error(self, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        self._json({"errors": [{"code": code, "message": code.lower()}]}, status, headers)

    def _json(self, content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._answer(
            status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}
        )

    def _answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        fault = self._fault
        if fault is not None and fault.spoil is not None:
            body = fault.spoil(body)
        self.send_response(status)
        for key, value in {
            "Content-Length": str(len(body)),
            **self.registry.headers,
            **(headers or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is not None and fault.cut is not None:
            body = body[: fault.cut]
            self.close_connection = True
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
