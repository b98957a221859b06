"""HashiCorp Vault and OpenBao: every value of their KV engines, versions 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from unsprawl.errors import AuthError, SourceError
from unsprawl.globs import matches
from unsprawl.keeper_settings import Vault
from unsprawl.keepers.entries import Kept, flat
from unsprawl.records import Skipped
from unsprawl.references import resolve
from unsprawl.wire.client import Client, Fixed

__all__ = ["read"]

#: Folders in folders, and secrets of one engine, that are read.
_DEPTH: Final = 32
_MOST: Final = 500_000
_LARGEST: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class _Engine:
    mount: str
    version: int


def read(name: str, settings: Vault) -> Iterator[Kept | Skipped]:
    """All values the token may read. ``AuthError`` when it is refused as a whole."""
    token = resolve(settings.token, f"known.{name}.token").text()
    headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}
    if settings.namespace:
        headers["X-Vault-Namespace"] = settings.namespace
    with Client(settings.url, credentials=Fixed(headers)) as client:
        engines = list(_engines(client, settings))
        if not engines:
            hint = "name them in `mounts:`; the token needs read on their paths"
            yield Skipped(f"{name}:", "the token sees no KV engine", hint)
        for engine in engines:
            if isinstance(engine, Skipped):
                yield engine
                continue
            yield from _walk(client, engine, settings)


def _engines(client: Client, settings: Vault) -> Iterator[_Engine | Skipped]:
    if settings.mounts:
        for mount in settings.mounts:
            path = mount.strip("/")
            try:
                found = _data(client, f"/v1/sys/internal/ui/mounts/{quote(path)}", f"the engine {path}")
            except AuthError:
                raise
            except SourceError as error:
                yield Skipped(f"{path}/", error.message, error.hint or "the token needs read on that engine")
                continue
            yield _engine(path, found or {})
        return
    answer = _data(client, "/v1/sys/internal/ui/mounts", "the list of engines") or {}
    secret = answer.get("secret")
    for path, found in sorted(secret.items() if isinstance(secret, dict) else ()):
        if isinstance(found, dict) and found.get("type") in ("kv", "generic"):
            yield _engine(path.strip("/"), found)


def _engine(path: str, found: Mapping[str, Any]) -> _Engine:
    options = found.get("options")
    version = options.get("version") if isinstance(options, dict) else None
    return _Engine(path, 2 if str(version) == "2" else 1)


def _walk(client: Client, engine: _Engine, settings: Vault) -> Iterator[Kept | Skipped]:
    base = f"/v1/{quote(engine.mount)}"
    listing = f"{base}/metadata" if engine.version == 2 else base
    folders = [(settings.prefix.strip("/"), 0)]
    count = 0
    while folders:
        folder, depth = folders.pop()
        shown = f"{engine.mount}/{folder}".rstrip("/")
        try:
            keys = _keys(client, f"{listing}/{quote(folder)}".rstrip("/"), shown)
        except AuthError:
            raise
        except SourceError as error:
            yield Skipped(f"{shown}/", error.message, error.hint or "the token needs list on that path")
            continue
        for key in keys:
            path = f"{folder}/{key}".lstrip("/")
            if matches(settings.exclude, f"{engine.mount}/{path.rstrip('/')}"):
                yield Skipped(f"{engine.mount}/{path}", "excluded by the configuration", excluded=True)
            elif key.endswith("/"):
                if depth < _DEPTH:
                    folders.append((path.rstrip("/"), depth + 1))
                else:
                    yield Skipped(f"{engine.mount}/{path}", f"folders nested more than {_DEPTH} deep")
            elif count >= _MOST:
                yield Skipped(f"{engine.mount}/", f"more than {_MOST:,} secrets in one engine")
                return
            else:
                count += 1
                yield from _secret(client, engine, path, settings)


def _secret(client: Client, engine: _Engine, path: str, settings: Vault) -> Iterator[Kept | Skipped]:
    shown = f"{engine.mount}/{path}"
    base, name = f"/v1/{quote(engine.mount)}", quote(path)
    try:
        if engine.version == 1:
            yield from flat(shown, _data(client, f"{base}/{name}", shown) or {}, "", current=True)
            return
        facts = _data(client, f"{base}/metadata/{name}", shown) or {}
        newest = str(facts.get("current_version", ""))
        versions = facts.get("versions")
        for version, fact in (versions if isinstance(versions, dict) else {}).items():
            gone = isinstance(fact, dict) and (fact.get("destroyed") or fact.get("deletion_time"))
            if gone or (settings.versions == "current" and version != newest):
                continue
            answer = _data(client, f"{base}/data/{name}?version={quote(version)}", shown)
            yield from flat(shown, (answer or {}).get("data") or {}, version, current=version == newest)
    except AuthError:
        raise
    except SourceError as error:
        yield Skipped(shown, error.message, error.hint or "the token needs read on that path")


def _keys(client: Client, path: str, shown: str) -> list[str]:
    answer = _data(client, f"{path}?list=true", shown)
    keys = (answer or {}).get("keys")
    return [key for key in keys if isinstance(key, str) and key] if isinstance(keys, list) else []


def _data(client: Client, path: str, what: str) -> dict[str, Any] | None:
    """``data`` of an answer; None where there is nothing (an empty engine, a deleted version)."""
    response = client.get(path, limit=_LARGEST)
    if response.status == 404:
        return None
    body = response.expect(what, "the token may have expired, or lacks a policy").json()
    data = body.get("data") if isinstance(body, dict) else None
    return data if isinstance(data, dict) else None
