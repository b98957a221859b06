"""A container engine on the loopback interface: the reading half of the Engine API, as Docker answers it."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from unsprawl.estate.imagery import Image
from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data
from unsprawl.estate.saving import Layout, images_of, save

__all__ = ["EngineServer", "RunContainer"]

_API: Final = "1.47"
_CREATED: Final = "2025-06-15T15:06:40.123456789Z"
_BUILT: Final = 1_750_000_000


@dataclass(slots=True)
class RunContainer:
    """A container. ``added`` and ``changed`` are files by their absolute path; a folder's content is None.

    ``mounted`` are files on mounts: they show in archives, as with a real engine, and in no list of changes.
    ``log`` is sent in frames unless there is a terminal; None: its driver keeps no log.
    """

    identity: str
    name: str
    image: str
    env: Sequence[str] = ()
    args: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    added: Mapping[str, bytes | None] = field(default_factory=dict)
    changed: Mapping[str, bytes | None] = field(default_factory=dict)
    deleted: Sequence[str] = ()
    mounted: Mapping[str, bytes] = field(default_factory=dict)
    log: bytes | None = b""
    terminal: bool = False
    running: bool = False

    def inspected(self) -> dict[str, Any]:
        return {
            "Id": self.identity,
            "Name": f"/{self.name}",
            "Created": _CREATED,
            "Image": self.image,
            "Path": "/bin/start",
            "Args": list(self.args),
            "State": {
                "Running": self.running,
                "Pid": 4711 if self.running else 0,
                "FinishedAt": "0001-01-01T00:00:00Z" if self.running else _CREATED,
            },
            "Config": {
                "Env": list(self.env),
                "Labels": dict(self.labels),
                "Image": self.image,
                "Tty": self.terminal,
            },
            "HostConfig": {"Binds": [f"{source}:{to}" for to, source in self.mounts.items()]},
            "Mounts": [
                {"Type": "bind", "Source": source, "Destination": to} for to, source in self.mounts.items()
            ],
        }

    def tar(self, path: str) -> bytes | None:
        """What ``docker cp`` would send for a path, None when there is nothing."""
        everything = {**self.added, **self.changed, **self.mounted}
        parent = path.rpartition("/")[0]
        chosen = {name: body for name, body in everything.items() if f"{name}/".startswith(f"{path}/")}
        if not chosen:
            return None
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, body in sorted(chosen.items()):
                info = tarfile.TarInfo(name[len(parent) + 1 :])
                info.mtime = _BUILT
                if body is None:
                    info.type = tarfile.DIRTYPE
                    tar.addfile(info)
                else:
                    info.size = len(body)
                    tar.addfile(info, io.BytesIO(body))
        return buffer.getvalue()


class EngineServer(LoopbackServer):
    """``images`` by their names; ``layout`` is how they are saved. Both may be changed at any time."""

    def __init__(self, port: int = 0, layout: Layout = "blobs") -> None:
        super().__init__(port)
        self.layout: Layout = layout
        self.images: dict[str, Image] = {}
        self.containers: list[RunContainer] = []
        self.foreign = False
        """Images are for another platform: what stands in them is not told."""

    def answer(self, request: Request) -> Answer:
        path = re.sub(r"\A/v[\d.]+(?=/)", "", request.path)
        if path == "/version":
            return data({"Version": "27.0.0-acme", "ApiVersion": _API, "MinAPIVersion": "1.24"})
        if path == "/info":
            return data({"Name": "acme", "Images": len(self.images)})
        if path == "/images/json":
            return data([self._listed(identity) for identity in self._by_identity()])
        if path == "/containers/json":
            return data([{"Id": one.identity, "Names": [f"/{one.name}"]} for one in self.containers])
        if match := re.fullmatch(r"/images/([^/]+)/(json|history|get)", path):
            return self._image(match[1], match[2])
        if match := re.fullmatch(r"/containers/(\w+)/(json|changes|archive|logs)", path):
            return self._container(match[1], match[2], request)
        return data({"message": "page not found"}, 404)

    def _by_identity(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, image in self.images.items():
            found.setdefault(images_of(image)[0].blobs[0].digest, []).append(name)
        return found

    def _listed(self, identity: str) -> dict[str, Any]:
        return {"Id": identity, "RepoTags": self._by_identity()[identity], "Created": _BUILT}

    def _image(self, identity: str, what: str) -> Answer:
        names = self._by_identity().get(identity)
        if names is None:
            return data({"message": f"No such image: {identity}"}, 404)
        config = json.loads(images_of(self.images[names[0]])[0].blobs[0].data)
        if what == "json":
            return data(
                {
                    "Id": identity,
                    "RepoTags": names,
                    "Created": config["created"],
                    "Author": config.get("author", ""),
                    "Config": config["config"],
                    "Architecture": config["architecture"],
                    "Os": config["os"],
                    "RootFS": {"Layers": [] if self.foreign else config["rootfs"]["diff_ids"]},
                    "Size": 4711,
                }
            )
        if what == "history":
            steps = [{"CreatedBy": step["created_by"], "Size": 1} for step in reversed(config["history"])]
            return data(steps)
        body = save({name: self.images[name] for name in names}, self.layout)
        return Answer(200, body, {"content-type": "application/x-tar"})

    def _container(self, identity: str, what: str, request: Request) -> Answer:
        one = next((one for one in self.containers if one.identity == identity), None)
        if one is None:
            return data({"message": f"No such container: {identity}"}, 404)
        if what == "json":
            return data(one.inspected())
        if what == "changes":
            kinds = ((0, one.changed), (1, one.added), (2, one.deleted))
            return data([{"Path": path, "Kind": kind} for kind, paths in kinds for path in paths])
        if what == "archive":
            body = one.tar(request.last("path").rstrip("/"))
            return data({"message": "no such file"}, 404) if body is None else Answer(200, body)
        if one.log is None:
            return data({"message": "configured logging driver does not support reading"}, 501)
        return Answer(200, one.log if one.terminal else _framed(one.log))


def _framed(log: bytes) -> bytes:
    """Line by line, standard output and standard error in turn."""
    lines = log.splitlines(keepends=True)
    return b"".join(
        bytes([1 + number % 2, 0, 0, 0]) + len(line).to_bytes(4, "big") + line
        for number, line in enumerate(lines)
    )
