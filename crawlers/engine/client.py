"""The few requests to a container engine that a crawl makes, with the docker SDK behind them."""

from __future__ import annotations

import io
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeVar, cast
from urllib.parse import quote

from unsprawl.crawlers.engine.faults import answered, broken_body, faults
from unsprawl.errors import ConfigError, RetryableError, UnreadableError
from unsprawl.wire import usage

__all__ = ["LARGEST_ANSWER", "Access", "Engine", "demultiplexed"]

_Result = TypeVar("_Result")
_ATTEMPTS: Final = 4
_PAUSE: Final = 0.1
_CONNECT_SECONDS: Final = 10.0
_BUFFER: Final = 256 << 10
#: Bytes of an answer in JSON: ten thousand containers need as much.
LARGEST_ANSWER: Final = 64 << 20
_LARGEST_FRAME: Final = 16 << 20
_VERSION: Final = re.compile(r"\d{1,3}\.\d{1,4}")


@dataclass(frozen=True, slots=True)
class Access:
    """Where the engine is. ``wait`` is how long it may be silent, in seconds: it packs before it sends."""

    base_url: str
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    wait: float = 300.0
    attempts: int = _ATTEMPTS


class Engine:
    """Requests raise ``SourceError`` only. One serves one process."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._made: Any = None

    def version(self) -> Mapping[str, Any]:
        return _mapping(self._ask("the engine's version", lambda api: api.version()))

    def info(self) -> Mapping[str, Any]:
        return _mapping(self._ask("the engine's description", lambda api: api.info()))

    def images(self) -> list[Mapping[str, Any]]:
        """All images but those that are only steps on the way to another."""
        return _mappings(self._ask("the images", lambda api: api.images()))

    def image(self, identity: str) -> Mapping[str, Any]:
        what = "the image"
        return _mapping(self._ask(what, lambda api: api.inspect_image(identity)))

    def history(self, identity: str) -> list[Mapping[str, Any]]:
        return _mappings(self._ask("the history of the image", lambda api: api.history(identity)))

    def containers(self) -> list[Mapping[str, Any]]:
        """All containers, whether they run or not."""
        return _mappings(self._ask("the containers", lambda api: api.containers(all=True)))

    def container(self, identity: str) -> Mapping[str, Any]:
        return _mapping(self._ask("the container", lambda api: api.inspect_container(identity)))

    def changes(self, identity: str) -> list[Mapping[str, Any]]:
        """What the container added (1), changed (0) and deleted (2) in its image's files."""
        found = self._ask("the changes of the container", lambda api: api.diff(identity))
        return _mappings([] if found is None else found)

    def save(self, identity: str) -> BinaryIO:
        """The archive of an image, as it is sent."""
        return self._stream("the layers of the image", f"/images/{quote(identity, safe=':')}/get")

    def archive(self, container: str, path: str) -> BinaryIO:
        """A tar with a file or folder of a container, as it is sent."""
        return self._stream(
            "the file of the container", f"/containers/{container}/archive?path={quote(path, safe='')}"
        )

    def logs(self, container: str) -> BinaryIO:
        """What the container wrote, in frames where it has no terminal."""
        return self._stream(
            "the log of the container", f"/containers/{container}/logs?stdout=1&stderr=1&tail=all"
        )

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def _ask(self, what: str, call: Callable[[Any], _Result]) -> _Result:
        def asked() -> _Result:
            with faults(what):
                return call(self._api())

        return self._patiently(asked)

    def _stream(self, what: str, path: str) -> BinaryIO:
        # The SDK's own streams wait for ever: they take the time limit off the connection.
        def asked() -> BinaryIO:
            with faults(what):
                api = self._api()
                url = f"{api.base_url}/v{api.api_version}{path}"
                # Docker packs what containers hold, where one says nothing of it.
                answer = api.get(
                    url,
                    stream=True,
                    timeout=(_CONNECT_SECONDS, self._access.wait),
                    headers={"accept-encoding": "identity"},
                )
            if answer.status_code != 200:
                answer.close()
                raise answered(answer.status_code, what)
            return cast("BinaryIO", _Body(answer))

        return self._patiently(asked)

    def _patiently(self, call: Callable[[], _Result]) -> _Result:
        for attempt in range(self._access.attempts - 1):
            try:
                return call()
            except RetryableError:
                time.sleep(_PAUSE * 2**attempt)
        return call()

    def _api(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _client(self._access)
            return self._made


def _client(access: Access) -> Any:
    import logging

    import docker

    for name in ("docker", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO)
    if bool(access.tls_cert) != bool(access.tls_key):
        raise ConfigError("tls_cert and tls_key belong together")
    tls: Any = False
    if access.tls_ca or access.tls_cert:
        pair = (access.tls_cert, access.tls_key) if access.tls_cert else None
        try:
            tls = docker.tls.TLSConfig(client_cert=pair, ca_cert=access.tls_ca or None, verify=True)
        except docker.errors.TLSParameterError:
            hint = "tls_ca, tls_cert and tls_key are paths of PEM files"
            raise ConfigError("the files of the certificates cannot be used", hint=hint) from None

    if access.base_url.startswith("unix://"):
        # The SDK forgets a socket that it could not connect.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_CONNECT_SECONDS)
            probe.connect(access.base_url.removeprefix("unix://"))

    class Counted(docker.APIClient):  # type: ignore[misc]
        def send(self, request: Any, **given: Any) -> Any:
            usage.count()
            return super().send(request, **given)

    def client(version: str) -> Any:
        api = Counted(base_url=access.base_url, version=version, timeout=access.wait, tls=tls)
        # An engine never redirects, and neither proxies nor passwords of the environment are meant for it.
        api.max_redirects = 0
        api.trust_env = False
        api.hooks["response"].append(_bounded)
        return api

    # Told to find the version out by itself, the SDK asks before these settings hold.
    with closing(client(docker.constants.MINIMUM_DOCKER_API_VERSION)) as first:
        version = first.version(api_version=False)["ApiVersion"]
    if not isinstance(version, str) or _VERSION.fullmatch(version) is None:
        raise ValueError("ApiVersion")
    return client(version)


def _bounded(answer: Any, **sent: Any) -> None:
    """An answer that the SDK would read whole is read here, up to a limit."""
    if sent.get("stream"):
        return
    body = b""
    while len(body) <= LARGEST_ANSWER and (part := answer.raw.read(_BUFFER, decode_content=True)):
        body += part
    if len(body) > LARGEST_ANSWER:
        answer.close()
        raise UnreadableError(f"an answer of more than {LARGEST_ANSWER >> 20} MiB", hint="is base_url right?")
    answer.raw = io.BytesIO(body)


class _Body(io.RawIOBase):
    """An answer as a file that is read forward. Its connection is closed with it.

    Raises ``ConnectionResetError`` when it breaks off.
    """

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self._answer = answer

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            data: bytes = self._answer.raw.read(min(len(view), _BUFFER))
        except broken_body():
            raise ConnectionResetError("the answer broke off") from None
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._answer.close()
        super().close()


class _Frames(io.RawIOBase):
    """The payload of frames: one byte says which stream, four say how long (big-endian)."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._left = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        while not self._left:
            header = _exactly(self._file, 8)
            if not header:
                return 0
            self._left = int.from_bytes(header[4:], "big")
            if len(header) < 8 or header[0] > 3 or self._left > _LARGEST_FRAME:
                raise UnreadableError("the log has no valid frames")
        data = self._file.read(min(len(view), self._left))
        if not data and len(view):
            raise UnreadableError("the log ends early")
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def demultiplexed(file: BinaryIO) -> BinaryIO:
    """What a container without a terminal wrote, both streams as they came."""
    return cast("BinaryIO", _Frames(file))


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = b""
    while len(data) < count and (part := file.read(count - len(data))):
        data += part
    return data


def _mapping(answer: Any) -> Mapping[str, Any]:
    if not isinstance(answer, dict):
        raise UnreadableError("the answer is not one of an engine", hint="is base_url right?")
    return answer


def _mappings(answer: Any) -> list[Mapping[str, Any]]:
    if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
        raise UnreadableError("the answer is not one of an engine", hint="is base_url right?")
    return answer
