"""The requests of the OCI distribution protocol that reading takes. Every digest is verified."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from unsprawl.errors import AuthError, UnreadableError
from unsprawl.oci.images import ACCEPTED_MANIFESTS, Descriptor, is_digest, parse_manifest, short
from unsprawl.oci.quota import Quota
from unsprawl.oci.signed import is_first_schema, payload
from unsprawl.wire.bearer import BearerFlow
from unsprawl.wire.client import Client, Response
from unsprawl.wire.stream import open_stream

__all__ = ["Distribution", "Verified", "attached_tag", "is_name", "is_tag"]

_NAME: Final = re.compile(r"[A-Za-z0-9]+(?:[._/-]+[A-Za-z0-9]+)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NEXT: Final = re.compile(r'<([^>]*)>[^,]*;\s*rel="?next"?')
_PAGE: Final = "100"
_MOST_PAGES: Final = 100_000
_LARGEST_MANIFEST: Final = 4 << 20
_LARGEST_CONFIG: Final = 16 << 20
_CATALOG_SCOPE: Final = "registry:catalog:*"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_ACCEPT: Final = {"accept": ", ".join(ACCEPTED_MANIFESTS)}
_CATALOG_HINT: Final = "list the names under `repositories` of this source"


def is_name(name: object) -> bool:
    """Whether this can be a repository: what goes into a path must not be able to leave it."""
    return isinstance(name, str) and len(name) <= 255 and ".." not in name and bool(_NAME.fullmatch(name))


def is_tag(tag: object) -> bool:
    return isinstance(tag, str) and bool(_TAG.fullmatch(tag))


def attached_tag(digest: str) -> str:
    """How the tags begin under which signatures and the like of an image lie, where no request lists them.

    The tag itself is that of the specification; cosign appends ``.sig``, ``.att`` or ``.sbom``.
    """
    return digest.replace(":", "-")[:128]


class Distribution:
    """One registry. Threads may share it."""

    def __init__(self, client: Client, flow: BearerFlow, quota: Quota | None = None) -> None:
        self.client = client
        self.quota = quota or Quota()
        self._flow = flow
        self._lists_referrers = True

    @property
    def logged_in(self) -> bool:
        """Whether there are credentials, good or not."""
        return self._flow.given

    def ping(self) -> None:
        """Raise unless a registry answers here and takes the credentials, as far as it can be told."""
        try:
            answer = self.client.get("/v2/")
        except AuthError:
            if self._flow.given:
                raise
            return  # some token servers refuse a stranger who names no repository
        if answer.status == 401:
            if self._flow.given and not self._flow.tokens:
                answer.expect("the registry", hint="check `user` and `token` of this source")
        elif answer.status != 200:
            hint = "is `url` the registry's address, without /v2?"
            raise UnreadableError(
                f"{self.client.base} does not answer as a registry ({answer.status})", hint=hint
            )

    def repositories(self) -> Iterator[str]:
        """All names of the catalog, valid or not. Raises when the registry has none or refuses it."""
        for page in self._pages("/v2/_catalog", _CATALOG_SCOPE):
            if page.status in (401, 403):
                raise AuthError(
                    f"the registry refuses its catalog ({page.status})",
                    hint=f"{_CATALOG_HINT}, or give credentials that may list it",
                )
            if page.status in (404, 405, 501):
                raise UnreadableError(f"the registry offers no catalog ({page.status})", hint=_CATALOG_HINT)
            yield from _strings(page.expect("its catalog").json(), "repositories")

    def tags(self, name: str) -> Iterator[str]:
        """All tags of a repository."""
        for page in self._pages(f"/v2/{name}/tags/list", _pull(name)):
            yield from _strings(_allowed(page, f"the tags of {name}").json(), "tags")

    def head(self, name: str, tag: str) -> str:
        """The digest that a tag names, "" when the registry does not say it. No pull where pulls count."""
        answer = self.client.head(f"/v2/{name}/manifests/{tag}", headers=_ACCEPT, scope=_pull(name))
        self.quota.note(answer.headers)
        if answer.status in (405, 501):
            return ""
        digest = _allowed(answer, f"the manifest {name}:{tag}").header("docker-content-digest")
        return digest if is_digest(digest) else ""

    def manifest(self, name: str, reference: str) -> tuple[str, str, bytes]:
        """Digest, media type and bytes of the manifest that a tag or digest names."""
        what = f"the manifest {name}{'@' if is_digest(reference) else ':'}{reference}"
        self.quota.check()
        answer = self.client.get(
            f"/v2/{name}/manifests/{reference}",
            headers=_ACCEPT,
            scope=_pull(name),
            limit=_LARGEST_MANIFEST,
        )
        self.quota.note(answer.headers)
        _allowed(answer, what)
        said = answer.header("docker-content-digest")
        expected = reference if is_digest(reference) else said
        signed = payload(answer.body) if is_first_schema(answer.body) else answer.body
        digest = _digest(expected.partition(":")[0] if is_digest(expected) else "sha256", signed)
        if is_digest(expected) and digest != expected:
            raise UnreadableError(f"{what} does not have the digest {short(expected)}", hint=_BROKEN)
        return digest, answer.header("content-type"), answer.body

    def referrers(self, name: str, digest: str) -> tuple[Descriptor, ...] | None:
        """What was attached to a manifest: signatures, SBOMs, attestations. None: not offered here.

        A registry without this request keeps them under a tag made of the digest: :func:`attached_tag`.
        """
        if not self._lists_referrers:
            return None
        found: list[Descriptor] = []
        for page in self._pages(f"/v2/{name}/referrers/{digest}", _pull(name)):
            if page.status in (400, 404, 405, 501):
                self._lists_referrers = False
                return None
            found += parse_manifest(_allowed(page, f"the referrers of {name}").body, _INDEX).children
        return tuple(found)

    def blob(self, name: str, descriptor: Descriptor) -> bytes:
        """A small blob, read whole."""
        what = f"the blob {name}@{short(descriptor.digest)}"
        answer = self.client.get(_blob(name, descriptor.digest), scope=_pull(name), limit=_LARGEST_CONFIG)
        _allowed(answer, what)
        if _digest(descriptor.digest.partition(":")[0], answer.body) != descriptor.digest:
            raise UnreadableError(f"{what} does not have the digest it should have", hint=_BROKEN)
        return answer.body

    def blob_size(self, name: str, digest: str) -> int:
        """Size in bytes by a HEAD, -1 when not said; raises when it is not there."""
        answer = self.client.head(_blob(name, digest), scope=_pull(name))
        length = _allowed(answer, f"the blob {name}@{short(digest)}").header("content-length")
        return int(length) if length.isascii() and length.isdigit() else -1

    def open_blob(self, name: str, descriptor: Descriptor) -> Verified:
        """A blob as a forward-only file that raises at its end unless size and digest are right."""
        what = f"the layer {name}@{short(descriptor.digest)}"
        try:
            file = open_stream(self.client, _blob(name, descriptor.digest), scope=_pull(name), what=what)
        except AuthError as error:
            raise UnreadableError(error.message, hint=_PULL_HINT) from None
        return Verified(file, descriptor, what)

    def _pages(self, path: str, scope: str) -> Iterator[Response]:
        params: Mapping[str, str] = {"n": _PAGE}
        asked: set[tuple[tuple[str, str], ...]] = set()
        for _ in range(_MOST_PAGES):
            page = self.client.get(path, params=params, scope=scope)
            yield page
            following = _NEXT.search(page.header("link"))
            if following is None:
                return
            # Only the query of the link is taken: behind a proxy the rest often names another host.
            params = dict(parse_qsl(urlsplit(following[1]).query))
            key = tuple(sorted(params.items()))
            if key in asked:
                raise UnreadableError(f"the pages of {path} lead in a circle")
            asked.add(key)
        raise UnreadableError(f"{path} has more than {_MOST_PAGES} pages")


class Verified(io.RawIOBase):
    """A file that is compared with its descriptor on the way.

    The last bytes are held back until size and digest are known to be right, so that a reader that
    stops at the end of a gzip stream hears of it too.
    """

    def __init__(self, file: io.BufferedReader, descriptor: Descriptor, what: str) -> None:
        super().__init__()
        self._file = file
        self._size = descriptor.size
        self._digest = descriptor.digest
        self._hash = hashlib.new(descriptor.digest.partition(":")[0])
        self._what = what
        self._count = 0
        self._checked = False

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._count

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto1(buffer)
        if count:
            self._hash.update(memoryview(buffer)[:count])
            self._count += count
            if self._size >= 0 and self._count >= self._size:
                self._check()
        elif len(buffer):
            self._check()
        return count

    def close(self) -> None:
        self._file.close()
        super().close()

    def _check(self) -> None:
        if 0 <= self._size != self._count:
            state = "is truncated" if self._count < self._size else "is longer than it should be"
            read = f"{self._count} of {self._size} bytes"
            raise UnreadableError(f"{self._what} {state}: {read}", hint=_BROKEN)
        if not self._checked and f"{self._hash.name}:{self._hash.hexdigest()}" != self._digest:
            raise UnreadableError(f"{self._what} does not have the digest it should have", hint=_BROKEN)
        self._checked = True


_BROKEN: Final = "the registry's storage is damaged or something between changed it: push the image again"
_PULL_HINT: Final = "the credentials of this source may not pull this repository"


def _allowed(answer: Response, what: str) -> Response:
    """The answer when it is a success. A refusal concerns this repository, not the whole registry."""
    if answer.status in (401, 403):
        raise UnreadableError(f"the registry refuses {what} ({answer.status})", hint=_PULL_HINT)
    return answer.expect(what)


def _blob(name: str, digest: str) -> str:
    return f"/v2/{name}/blobs/{digest}"


def _pull(name: str) -> str:
    return f"repository:{name}:pull"


def _digest(algorithm: str, body: bytes) -> str:
    return f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}"


def _strings(page: object, key: str) -> list[str]:
    values = page.get(key) if isinstance(page, dict) else None
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
