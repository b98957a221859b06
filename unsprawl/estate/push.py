"""Putting images into a registry, by the push half of the OCI distribution protocol."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlencode, urljoin, urlsplit

from unsprawl.estate.imagery import Blob, Image

__all__ = ["push"]


def push(
    url: str, repository: str, image: Image, *tags: str, headers: Mapping[str, str] | None = None
) -> None:
    """Push ``image`` to the registry at ``url``, under ``tags`` (none: by digest alone)."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
    try:
        _Pusher(connection, url, repository, dict(headers or {})).image(image, tags or (image.digest,))
    finally:
        connection.close()


class _Pusher:
    def __init__(
        self, connection: http.client.HTTPConnection, url: str, repository: str, headers: dict[str, str]
    ) -> None:
        self._connection = connection
        self._url = url
        self._base = f"/v2/{repository}"
        self._headers = headers

    def image(self, image: Image, references: tuple[str, ...]) -> None:
        for blob in image.blobs:
            self._blob(blob)
        for child in image.children:
            self.image(child, (child.digest,))
        for reference in references:
            headers = {"Content-Type": image.manifest.media_type}
            self._ask("PUT", f"{self._base}/manifests/{reference}", image.manifest.data, headers, 201)

    def _blob(self, blob: Blob) -> None:
        if self._send("HEAD", f"{self._base}/blobs/{blob.digest}", b"", {})[0] == 200:
            return
        location = self._ask("POST", f"{self._base}/blobs/uploads/", b"", {}, 202)
        target = urlsplit(urljoin(self._url, location))
        joint = "&" if target.query else "?"
        path = f"{target.path}{'?' if target.query else ''}{target.query}"
        headers = {"Content-Type": "application/octet-stream"}
        self._ask("PUT", f"{path}{joint}{urlencode({'digest': blob.digest})}", blob.data, headers, 201)

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str], expected: int) -> str:
        status, location = self._send(method, path, body, headers)
        if status != expected:
            raise OSError(f"the registry answered {status} to {method} {urlsplit(path).path}")
        return location

    def _send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        self._connection.request(method, path, body, {**self._headers, **headers})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("Location", "")
