"""Container engines: Docker and Podman, through the API that both speak.

    engine://HOST/layers/DIFF_ID                 a layer; its files follow as ``!/path``
    engine://HOST/images/ID                      configuration and history of an image
    engine://HOST/containers/ID                  what a container was started with
    engine://HOST/containers/ID/files/PATH       a file it added or changed
    engine://HOST/containers/ID/log              what it wrote

HOST is that of ``base_url``, ``local`` for a socket. A layer is read once, whatever images hold it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from unsprawl.config import FilePath, SourceConfig
from unsprawl.crawlers.engine.client import Access, Engine
from unsprawl.crawlers.engine.containers import Container, described, moment
from unsprawl.crawlers.engine.images import Layers, Plan
from unsprawl.errors import RetryableError, SourceError, UnreadableError
from unsprawl.globs import matches
from unsprawl.oci.images import is_digest, short
from unsprawl.oci.stacks import content_key
from unsprawl.records import (
    Checkpoint,
    Cursor,
    Diagnosis,
    Document,
    Event,
    Json,
    Seen,
    Skipped,
    Unchanged,
    Unit,
)

__all__ = ["EngineSource"]

_SOCKET: Final = "unix:///var/run/docker.sock"
_EXCLUDED: Final = "left out by exclude"
_NO_NAME: Final = "<none>"
_URI: Final = re.compile(
    r"/(?:layers/(?P<layer>sha\d+:[0-9a-f]+)|images/(?P<image>[\w:.-]+)"
    r"|containers/(?P<container>\w+)(?:/(?P<log>log)|/files(?P<path>/.*))?)"
)
#: Of an image's description: what somebody wrote. Sizes and folders of the machine are left out.
_TOLD: Final = ("Id", "Author", "Comment", "Config", "ContainerConfig", "Created", "History", "Annotations")

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class EngineSource:
    """``engine {base_url}``: the images, containers and logs of one Docker or Podman."""

    type: ClassVar[str] = "engine"
    needs: ClassVar[tuple[str, ...]] = ("docker",)
    reads_in: ClassVar[Literal["worker", "coordinator"]] = "worker"

    class Config(SourceConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Keys of a source of ``type: engine``.

        ``images`` are globs of names (default: all). ``containers: false`` leaves containers out,
        ``files: false`` what they changed; ``logs: true`` reads their logs. ``max_layer_bytes`` skips larger
        layers, ``max_wait`` is how many seconds the engine may be silent.
        """

        base_url: Annotated[str, msgspec.Meta(pattern=r"^(unix:///|tcp://|https?://)[^\s]+$")] = _SOCKET
        images: tuple[_Text, ...] = ()
        containers: bool = True
        files: bool = True
        logs: bool = False
        tls_ca: FilePath | Literal[""] = ""
        tls_cert: FilePath | Literal[""] = ""
        tls_key: FilePath | Literal[""] = ""
        max_layer_bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None
        max_wait: Annotated[float, msgspec.Meta(gt=0, le=7200)] = 300.0

    def __init__(self, name: str, config: Config) -> None:
        self.name = name
        self.config = config
        self._access = Access(
            config.base_url, config.tls_ca, config.tls_cert, config.tls_key, config.max_wait
        )
        self._engine = Engine(self._access)
        address = urlsplit(config.base_url)
        self._top = f"engine://{address.netloc.rpartition('@')[2] if address.scheme != 'unix' else 'local'}"
        self._layers = Layers(self._engine, self._top)

    # --- what there is ---------------------------------------------------------------------------

    def units(self, seen: Seen) -> Iterator[Unit | Skipped]:  # noqa: ARG002 - asked when they are read
        """A unit for each image, which reads the layers no earlier one holds, then one for each container."""
        self._engine.version()
        yield from self._images()
        if self.config.containers:
            yield from self._containers()

    def _images(self) -> Iterator[Unit | Skipped]:
        found: list[tuple[str, str, Mapping[str, Any]]] = []
        for listed in self._engine.images():
            identity = str(listed.get("Id", ""))
            names = _names(listed)
            title = names[0] if names else short(identity)
            if self.config.images and not any(
                fnmatchcase(name, glob) for name in names for glob in self.config.images
            ):
                continue
            if any(matches(self.config.exclude, name) for name in names or [title]):
                uri = f"{self._top}/images/{identity}"
                yield Skipped(uri, _EXCLUDED, excluded=True, parents=(title,))
                continue
            try:
                known = self._engine.image(identity)
            except (UnreadableError, RetryableError) as error:
                yield Skipped(f"{self._top}/images/{identity}", error.message, error.hint, parents=(title,))
                continue
            layers = (known.get("RootFS") or {}).get("Layers") or []
            layers = [layer for layer in layers if is_digest(layer)]
            found.append((title, identity, {"names": names, "layers": layers, "known": known}))
        found.sort(key=lambda one: one[:2])
        holders: dict[str, list[str]] = {}
        for _, identity, image in found:
            for layer in dict.fromkeys(image["layers"]):
                holders.setdefault(layer, []).append(identity)
        names_of = {identity: image["names"] or [short(identity)] for _, identity, image in found}
        for title, identity, image in found:
            own = [layer for layer in dict.fromkeys(image["layers"]) if holders[layer][0] == identity]
            shared = {layer: holders[layer] for layer in own}
            around = {one for holding in shared.values() for one in holding} | {identity}
            data = {
                "kind": "image",
                "image": identity,
                "title": title,
                "own": own,
                "layers": image["layers"],
                "holders": shared,
                "names": {one: names_of[one] for one in around},
            }
            yield Unit(f"{self._top}/images/{identity}", title, (title,), data)

    def _containers(self) -> Iterator[Unit | Skipped]:
        for listed in sorted(self._engine.containers(), key=lambda one: str(one.get("Id"))):
            identity = str(listed.get("Id", ""))
            names = listed.get("Names") or []
            name = str(names[0]).removeprefix("/") if names else identity[:12]
            uri, row = f"{self._top}/containers/{identity}", (f"container {name}",)
            if matches(self.config.exclude, name):
                yield Skipped(uri, _EXCLUDED, excluded=True, parents=row)
            elif identity.isalnum():
                yield Unit(uri, f"container {name}", row, {"kind": "container", "container": identity})

    # --- reading ---------------------------------------------------------------------------------

    def read(self, unit: Unit, since: Cursor | None, seen: Seen) -> Iterator[Event]:
        """The documents of one image or container. Layers come in the order in which they are sent."""
        if unit.data["kind"] == "container":
            try:
                container = self._container(unit.data["container"])
            except UnreadableError as error:
                yield Skipped(unit.id, error.message, error.hint)
                return
            yield from container.events(seen, files=self.config.files, logs=self.config.logs)
            return
        if not since:
            if not unit.data["layers"] and seen(unit.id) != unit.data["image"]:
                # Before the configuration, whose version says that all of it was read.
                yield from self._read_layers(unit, (), seen)
            yield from self._configuration(unit.data, seen)
            # What follows is one archive: whoever goes on from here asks for all of it again.
            yield Checkpoint({"layers": True})
        own = unit.data["own"]
        wanted = [layer for layer in own if seen(content_key(layer)) != layer]
        for layer in own:
            if layer not in wanted:
                # Whoever read it, a registry too: its sightings stand here as well.
                yield Unchanged(document=self._layers.about(self._plan(unit.data, own), layer))
        if wanted:
            yield from self._read_layers(unit, wanted, seen)
        yield Checkpoint({})

    def _read_layers(self, unit: Unit, wanted: Sequence[str], seen: Seen) -> Iterator[Event]:
        try:
            yield from self._layers.read(self._plan(unit.data, wanted), seen)
        except UnreadableError as error:
            yield Skipped(unit.id, error.message, error.hint)

    def _plan(self, data: Mapping[str, Any], wanted: Sequence[str]) -> Plan:
        return Plan(
            image=data["image"],
            title=data["title"],
            wanted=wanted,
            known=data["layers"],
            holders=data["holders"],
            names=data["names"],
            largest=self.config.max_layer_bytes,
        )

    def _configuration(self, data: Mapping[str, Any], seen: Seen) -> Iterator[Event]:
        uri = f"{self._top}/images/{data['image']}"
        if seen(uri) == data["image"]:
            yield Unchanged()
            return
        try:
            yield self._image_document(data["image"], data["title"], data["names"][data["image"]])
        except (UnreadableError, RetryableError) as error:
            yield Skipped(uri, error.message, error.hint)

    def _image_document(self, identity: str, title: str, names: Sequence[str]) -> Document:
        known = self._engine.image(identity)
        history = [
            {name: step[name] for name in ("CreatedBy", "Comment") if step.get(name)}
            for step in self._engine.history(identity)
        ]
        config = known.get("Config")
        labels = (config.get("Labels") if isinstance(config, dict) else None) or {}
        author = known.get("Author") or (labels.get("maintainer") if isinstance(labels, dict) else None)
        platform = "/".join(str(known[part]) for part in ("Os", "Architecture", "Variant") if known.get(part))
        attrs: dict[str, Json] = {"digest": identity, "images": list(names[:100]), "image_count": len(names)}
        uri = f"{self._top}/images/{identity}"
        return Document(
            uri=uri,
            path=f"{title} configuration",
            body=described({**known, "History": history}, _TOLD),
            media_type="application/json",
            key=uri,
            version=identity,
            author=author if isinstance(author, str) and author else None,
            modified_at=moment(known.get("Created")),
            attrs={**attrs, "platform": platform} if platform else attrs,
        )

    def _container(self, identity: str) -> Container:
        return Container(self._engine, self._top, self._engine.container(identity), self.config.exclude)

    # --- asked for one by one --------------------------------------------------------------------

    def fetch(self, uri: str) -> Document | Skipped:
        """Read one document again, whatever its version."""
        rest = uri.removeprefix(self._top)
        match = _URI.fullmatch(rest) if uri.startswith(self._top) else None
        if match is None:
            return Skipped(uri, "not an address of this source")
        try:
            if match["layer"]:
                return self._fetched_layer(match["layer"])
            if match["image"]:
                identity = match["image"]
                return self._image_document(identity, short(identity), [short(identity)])
            container = self._container(match["container"])
            if match["log"]:
                return container.log()
            path = unquote(match["path"] or "", errors="surrogateescape")
            return container.fetched(path) if path else container.description()
        except UnreadableError as error:
            return Skipped(uri, error.message, error.hint)

    def _fetched_layer(self, identity: str) -> Document | Skipped:
        for unit in self._images():
            if isinstance(unit, Unit) and identity in unit.data["layers"]:
                plan = Plan(
                    image=unit.data["image"],
                    title=unit.data["title"],
                    wanted=(identity,),
                    known=unit.data["layers"],
                    holders={identity: [unit.data["image"]]},
                    names=unit.data["names"],
                )
                return next(iter(self._layers.read(plan, lambda _: None)))
        return Skipped(f"{self._top}/layers/{identity}", "no image holds this layer any more")

    def diagnose(self) -> Iterator[Diagnosis]:
        """Whether the engine answers, what it is, and whether its images and containers can be read."""
        # Somebody sits and waits for the answer.
        engine = Engine(replace(self._access, attempts=1))
        try:
            yield from self._diagnosed(engine)
        finally:
            engine.close()

    def _diagnosed(self, engine: Engine) -> Iterator[Diagnosis]:
        try:
            version = engine.version()
        except SourceError as error:
            yield Diagnosis(f"reach {self.config.base_url}: {error.message}", ok=False, hint=error.hint)
            return
        yield Diagnosis(f"reach the engine, {_line(version.get('Version'))}", ok=True)
        tries = {"images": engine.images, "containers": engine.containers}
        for what, listing in tries.items():
            if what == "containers" and not self.config.containers:
                continue
            try:
                found = listing()
            except SourceError as error:
                yield Diagnosis(f"list the {what}: {error.message}", ok=False, hint=error.hint)
            else:
                yield Diagnosis(f"list the {what}: {len(found)}", ok=True)
                if what == "images" and found:
                    yield _diagnosed_save(engine, str(found[0].get("Id", "")))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.close()


def _diagnosed_save(engine: Engine, identity: str) -> Diagnosis:
    try:
        engine.save(identity).close()
    except SourceError as error:
        return Diagnosis(f"read layers: {error.message}", ok=False, hint=error.hint)
    return Diagnosis("read layers", ok=True)


def _names(listed: Mapping[str, Any]) -> list[str]:
    """What people call an image: its tags, else the names it was pulled by."""
    for key in ("RepoTags", "RepoDigests"):
        names = listed.get(key)
        known = [
            name
            for name in (names if isinstance(names, list) else [])
            if isinstance(name, str) and _NO_NAME not in name
        ]
        if known:
            return sorted(known)
    return []


def _line(text: object) -> str:
    return "".join(letter for letter in str(text)[:60] if letter.isprintable())
