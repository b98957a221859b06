"""Container registries that speak the OCI distribution protocol.

Every layer is read once, whatever carries it, as one document: its packed blob. A file that a later
layer deletes is still in there, and the finding says which layer hides it. Configurations (env,
labels, history, commands) and manifests (annotations) are documents of their repository.

    registry://HOST/REPOSITORY@DIGEST             a layer
    registry://HOST/REPOSITORY@DIGEST#config      the configuration of an image
    registry://HOST/REPOSITORY@DIGEST#manifest    a manifest or index
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Annotated, Any, BinaryIO, ClassVar, Final, Literal, cast
from urllib.parse import urlsplit

import msgspec

from unsprawl.config import Reference, SourceConfig, resolve
from unsprawl.crawlers.registry import cleanup
from unsprawl.crawlers.registry.enumeration import Enumeration
from unsprawl.crawlers.registry.kinds import Kind, Kinds
from unsprawl.crawlers.registry.listing import Catalog, Refused
from unsprawl.errors import ConfigError, GoneError, RetryableError, SourceError, UnreadableError
from unsprawl.oci import signed
from unsprawl.oci.distribution import Distribution, is_name, is_tag
from unsprawl.oci.gathered import Folder, Gathered
from unsprawl.oci.images import Descriptor, is_digest
from unsprawl.oci.layers import LayerNames
from unsprawl.oci.quota import Quota
from unsprawl.oci.stacks import content_key
from unsprawl.records import (
    Audience,
    Checkpoint,
    Cleanup,
    Cursor,
    Diagnosis,
    Document,
    Event,
    Json,
    Seen,
    Skipped,
    Stream,
    Unchanged,
    Unit,
)
from unsprawl.secret import Secret
from unsprawl.structs import replace
from unsprawl.wire import hosts, usage
from unsprawl.wire.bearer import BearerFlow
from unsprawl.wire.client import Client
from unsprawl.wire.pacing import Pace
from unsprawl.wire.patience import Patience

__all__ = ["RegistrySource"]

_URI: Final = re.compile(r"registry://[^/]+/(?P<name>[^@]+)@(?P<digest>[^#]+)(?:#(?P<kind>config|manifest))?")
#: Small requests of one enumeration at a time.
_ABREAST: Final = 8
#: Attributes of a layer that follow from the images which hold it, and change with them.
_OF_ITS_IMAGES: Final = ("images", "image_count", "platform", "origin", "made_for", "base_image", "about")
#: A checkpoint stands after this many small documents of a repository.
_CHECKPOINT_EVERY: Final = 50

_Positive = Annotated[int, msgspec.Meta(gt=0)]


class RegistrySource:
    """One registry. Built from its configuration in every process that reads it."""

    class Config(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Keys of a source of ``type: registry``.

        ``repositories`` are names or globs (default: the whole catalog), ``tags`` globs. ``untagged``
        manifests are read where the registry tells them. ``platforms`` is ``all`` or a list such as
        ``[linux/amd64]``. ``referrers`` says for which manifests signatures and the like are asked for.
        ``user`` and ``token`` log in;
        a ``token`` alone is sent as it is. ``token_realms`` are other hosts that may see the login.
        ``listing`` is the kind of registry, ``namespaces`` whose repositories are meant; ``api_url`` and
        ``api_token`` are the API beside the registry; ``region`` and ``profile`` belong to clouds.
        ``max_layer_bytes`` skips packed layers above it, ``max_wait`` is the patience in seconds,
        ``keep_pulls`` are left to others where the registry counts them.
        """

        url: str
        repositories: tuple[str, ...] = ()
        tags: tuple[str, ...] = ()
        untagged: bool = True
        platforms: Literal["all"] | tuple[str, ...] = "all"
        referrers: Literal["new", "always", "never"] = "new"
        user: str = ""
        token: Reference | None = None
        token_realms: tuple[str, ...] = ()
        listing: Kind = "auto"
        namespaces: tuple[Annotated[str, msgspec.Meta(min_length=1)], ...] = ()
        api_url: str = ""
        api_token: Reference | None = None
        region: str = ""
        profile: str = ""
        max_layer_bytes: _Positive | None = None
        keep_pulls: Annotated[int, msgspec.Meta(ge=0)] = 0
        max_wait: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 300.0
        request_interval: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0

    type: ClassVar[str] = "registry"
    reads_in: ClassVar[Literal["worker", "coordinator"]] = "worker"

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.config = config
        self.host = urlsplit(hosts.base_url(config.url)).netloc
        self._opened: Distribution | None = None
        self._kind: Kinds | None = None
        self._folder: Folder | None = None
        self._lock = Lock()

    # --- the work ----------------------------------------------------------------------------

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:
        """One unit a repository (its configurations and manifests), then one a distinct layer."""
        registry = self._registry()
        registry.ping()
        with ThreadPoolExecutor(_ABREAST, "unsprawl-registry", usage.joining()) as pool:
            listing, required = self._kinds().listing(registry), self._kinds().required
            walk = Enumeration(registry, self.host, self.config, seen, pool, listing, required)
            yield from walk.repositories()
            folder = self._folder = self._folder or Folder()
            for item in walk.layers():
                yield (
                    replace(item, data={**item.data, "names": (folder.path, folder.key)})
                    if isinstance(item, Unit)
                    else item
                )

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """Documents of a repository in the order of their digests, or the one document of a layer."""
        if unit.data.get("kind") == "layer":
            yield from self._read_layer(unit, seen)
        else:
            yield from self._read_repository(unit, since, seen)

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one document again. A layer comes without what only the enumeration knows."""
        match = _URI.fullmatch(uri)
        if match is None or not is_name(match["name"]) or not is_digest(match["digest"]):
            return Skipped(uri, "not an address of this source")
        name, descriptor = match["name"], Descriptor(match["digest"])
        registry = self._registry()
        try:
            if match["kind"] == "manifest":
                _, media_type, body = registry.manifest(name, descriptor.digest)
                body, media_type = _readable(body, media_type)
                return Document(uri=uri, body=body, media_type=media_type, version=descriptor.digest)
            if match["kind"] == "config":
                return Document(uri=uri, body=registry.blob(name, descriptor), version=descriptor.digest)
            size = registry.blob_size(name, descriptor.digest)
        except UnreadableError as error:
            return Skipped(uri, error.message, error.hint, gone=isinstance(error, GoneError))
        layer = Stream(partial(self._open_layer, [(name, descriptor.digest, "", size)]), size)
        return Document(uri=uri, body=layer, version=descriptor.digest)

    def cleanups(self, uri: str, attrs: Mapping[str, Any]) -> Sequence[Cleanup]:  # noqa: ARG002
        """To delete the digest with the manifests that carry it."""
        return cleanup.cleanups(self._registry(), uri)

    def clean(
        self,
        uri: str,
        attrs: Mapping[str, Any],  # noqa: ARG002
        action: str,
        redact: Callable[[str], str],  # noqa: ARG002
    ) -> str:
        """Delete it."""
        return cleanup.clean(self._registry(), uri, action)

    def diagnose(self) -> Iterator[Diagnosis]:
        """Reachable, logged in, the catalog, and one repository's tags."""
        registry = self._registry()
        # Somebody sits and waits for the answer.
        registry.client.patience = Patience(attempts=2, total=min(self.config.max_wait, 20.0))
        try:
            registry.ping()
        except SourceError as error:
            yield Diagnosis(f"reach {self.host}", ok=False, hint=_line(error))
            return
        how = "with credentials" if registry.logged_in else "anonymously"
        yield Diagnosis(f"reach {self.host} {how}", ok=True)
        names = [name for name in self.config.repositories if is_name(name)]
        if len(names) < len(self.config.repositories) or not names:
            kind = self._kinds().kind
            what = "list the catalog" if kind == "catalog" else f"list the repositories ({kind})"
            try:
                listing = self._kinds().listing(registry) or Catalog(registry)
                first = next(listing.repositories(), None)
                if isinstance(first, Refused):
                    raise first.error
            except SourceError as error:
                yield Diagnosis(what, ok=False, hint=_line(error))
                return
            yield Diagnosis(what, ok=True, hint="" if first else "it is empty")
            names = [*names, first.name] if first else names
        for name in names[:20]:
            try:
                tag = next(registry.tags(name), None)
                if tag is not None and is_tag(tag):
                    registry.head(name, tag)
            except SourceError as error:
                yield Diagnosis(f"read {name}", ok=False, hint=_line(error))
            else:
                yield Diagnosis(f"read {name}", ok=True)
        if registry.quota.remaining is not None:
            yield Diagnosis("pulls that the registry counts", ok=True, hint=str(registry.quota.remaining))

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            if self._opened is not None:
                self._opened.client.close()
                self._opened = None
            if self._kind is not None:
                self._kind.close()
            if self._folder is not None:
                self._folder.remove()
                self._folder = None

    # --- documents ---------------------------------------------------------------------------

    def _read_repository(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        name: str = unit.data["repository"]
        start = str(since.get("at", "")) if since else ""
        items = [item for item in unit.data["items"] if item["digest"] >= start]
        for count, item in enumerate(items, start=1):
            uri = f"registry://{self.host}/{name}@{item['digest']}#{item['kind']}"
            if seen(uri) == item["version"]:
                yield Unchanged()
            else:
                yield self._small_document(name, item, uri, Audience(unit.data["audience"]))
            if count % _CHECKPOINT_EVERY == 0 and count < len(items):
                yield Checkpoint({"at": items[count]["digest"]})
        # The next run begins at the start: a new digest may sort anywhere.
        yield Checkpoint({})

    def _small_document(
        self, name: str, item: Mapping[str, Any], uri: str, audience: Audience
    ) -> Document | Skipped:
        media_type = item["media_type"]
        try:
            body, media_type = self._small_body(name, item)
        except (UnreadableError, RetryableError) as error:
            return Skipped(uri, error.message, error.hint)
        where = "configuration" if item["kind"] == "config" else "manifest"
        platform = f" {item['platform']}" if item["platform"] else ""
        return Document(
            uri=uri,
            path=f"{item['images'][0]}{platform} {where}",
            body=body,
            media_type=media_type,
            key=uri,
            version=item["version"],
            author=item["author"] or None,
            modified_at=item["created"],
            audience=audience,
            attrs=_known(
                registry=self.host,
                digest=item["digest"],
                images=item["images"],
                image_count=item["image_count"],
                platform=item["platform"],
                artifact=item["artifact"],
                about=item["about"],
            ),
        )

    def _small_body(self, name: str, item: Mapping[str, Any]) -> tuple[bytes, str]:
        """Body and media type: what the enumeration kept, else from the registry."""
        registry, media_type = self._registry(), item["media_type"]
        body = zlib.decompress(item["body"]) if item["body"] else None
        if item["kind"] != "manifest":
            return body or registry.blob(
                name, Descriptor(item["digest"], media_type, item["size"])
            ), media_type
        if body is None:
            _, media_type, body = registry.manifest(name, item["digest"])
        return _readable(body, media_type)

    def _read_layer(self, unit: Unit, seen: Seen) -> Iterator[Event]:
        data = unit.data
        repository, digest, media_type, size = data["places"][0]
        uri = f"registry://{self.host}/{repository}@{digest}"
        document = Document(
            uri=uri,
            path=unit.title,
            body=b"",
            media_type=media_type,
            # The same content elsewhere, in an engine or another registry, is the same document.
            key=content_key(unit.id),
            version=unit.id,
            author=data["author"] or None,
            modified_at=cast("datetime | None", data["created"]),
        )
        attrs: dict[str, Json] = {
            "registry": self.host,
            "layer": digest,
            "diff_id": data["diff_id"],
            "instruction": data["instruction"],
            "images": data["images"],
            "image_count": data["image_count"],
            "platform": ", ".join(data["platforms"]),
            "artifact": data["artifact"],
            "about": data["about"],
            **data["origin"],
        }
        if seen(content_key(unit.id)) == unit.id:
            # Images known from an earlier run tell neither author nor command: those stay as they are.
            yield Unchanged(document=replace(document, attrs=_known_again(attrs)))
            return
        if self.config.max_layer_bytes is not None and size > self.config.max_layer_bytes:
            reason = f"a layer of {size} bytes, left out by `max_layer_bytes`"
            yield Skipped(uri, reason, excluded=True)
            return
        body = Stream(partial(self._open_examined, unit.id, data), size if size >= 0 else None)
        fate = partial(self._fate, data, seen)
        yield replace(document, body=body, attrs=_known(**attrs), member_attrs=fate)

    def _open_layer(self, places: list[tuple[str, str, str, int]], offset: int = 0) -> BinaryIO:
        """The first place that gives the layer. Another repository may be refused or damaged."""
        if offset:
            raise UnreadableError("a layer is read from its start")
        first: UnreadableError | None = None
        for repository, digest, media_type, size in places:
            try:
                blob = self._registry().open_blob(repository, Descriptor(digest, media_type, size))
            except UnreadableError as error:
                first = first or error
            else:
                return cast("BinaryIO", blob)
        assert first is not None
        raise first

    def _open_examined(self, identity: str, data: Mapping[str, Any], offset: int = 0) -> BinaryIO:
        """A layer, whose names are written down on the way when it lies above another."""
        opener = partial(self._open_layer, data["places"], offset)
        return Gathered(*data["names"]).examined(identity, opener, covers=data["covers"])

    def _fate(self, data: Mapping[str, Any], seen: Seen, member: str) -> Mapping[str, Json]:
        """What the layers above do to a file: which one deletes or overwrites it."""
        from unsprawl.oci.fate import fate_of

        def names(identity: str, open_layer: Callable[[], BinaryIO]) -> LayerNames:
            return Gathered(*data["names"]).names(
                identity, open_layer, keep=seen(content_key(identity)) != identity
            )

        return fate_of(data["stacks"], member, self._open_layer, names)

    # --- connections -------------------------------------------------------------------------

    def _registry(self) -> Distribution:
        with self._lock:
            if self._opened is None:
                config = self.config
                token = self._resolved("token")
                kinds = self._kind = Kinds(self.name, config, token, self._resolved("api_token"))
                if config.user and token is None:
                    raise ConfigError(f"sources.{self.name}: `user` without `token`", hint="give both")
                fresh = kinds.fresh_login()
                realms = (*config.token_realms, *kinds.realms())
                secret = None if fresh else token
                flow = BearerFlow(config.url, config.user, secret, realms, fresh=fresh)
                client = Client(
                    config.url,
                    credentials=flow,
                    patience=Patience(total=config.max_wait),
                    pace=Pace(config.request_interval),
                )
                self._opened = Distribution(client, flow, Quota(config.keep_pulls))
            return self._opened

    def _kinds(self) -> Kinds:
        self._registry()
        assert self._kind is not None
        return self._kind

    def _resolved(self, key: str) -> Secret | None:
        reference = getattr(self.config, key)
        return resolve(reference, f"sources.{self.name}.{key}") if reference else None


def _known_again(attrs: Mapping[str, Json]) -> dict[str, Json]:
    """What is told of a layer that was read before: None removes what no longer holds."""
    known = _known(**attrs)
    return {**dict.fromkeys(_OF_ITS_IMAGES), **known}


def _known(**attrs: Json) -> dict[str, Json]:
    """Only what is known: an empty attribute says nothing."""
    return {name: value for name, value in attrs.items() if value not in ("", [], None)}


def _readable(body: bytes, media_type: str) -> tuple[bytes, str]:
    """A manifest as it is examined: that of the first schema with its history unpacked."""
    return (signed.readable(body), "application/json") if signed.is_first_schema(body) else (body, media_type)


def _line(error: SourceError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
