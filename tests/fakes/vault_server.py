"""A server that answers as the KV engines of HashiCorp Vault and OpenBao do (API documentation, version 1).

Lists, reads, metadata and versions of KV version 2, lists and reads of version 1, the mounts a token sees.
"""

from __future__ import annotations

from typing import Any

from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data

TOKEN = "hvs-root-of-a-test"


class VaultServer(LoopbackServer):
    """``v2`` maps ``mount/path`` to its versions (None: deleted), ``v1`` to its values."""

    def __init__(self) -> None:
        super().__init__()
        self.v2: dict[str, list[dict[str, Any] | None]] = {}
        self.v1: dict[str, dict[str, Any]] = {}
        self.denied: set[str] = set()
        self.namespace = ""

    def answer(self, request: Request) -> Answer:
        if request.headers.get("x-vault-token") != TOKEN:
            return data({"errors": ["permission denied"]}, 403)
        if request.headers.get("x-vault-namespace", "") != self.namespace:
            return data({"errors": ["permission denied"]}, 403)
        path = request.path.removeprefix("/v1/").strip("/")
        if any(path.endswith(one) for one in self.denied):
            return data({"errors": ["1 error occurred:\n\t* permission denied\n\n"]}, 403)
        if path == "sys/internal/ui/mounts":
            return data({"data": {"secret": self._mounts(), "auth": {}}})
        if path.startswith("sys/internal/ui/mounts/"):
            found = self._mounts().get(path.rpartition("/")[2] + "/")
            return data({"data": found}) if found else data({"errors": ["permission denied"]}, 403)
        mount, _, rest = path.partition("/")
        if any(name.startswith(f"{mount}/") for name in self.v1):
            return self._one(mount, rest, request)
        kind, _, rest = rest.partition("/")
        return self._two(mount, kind, rest, request)

    def _mounts(self) -> dict[str, Any]:
        two = {name.partition("/")[0] for name in self.v2}
        one = {name.partition("/")[0] for name in self.v1}
        return {
            **{f"{name}/": {"type": "kv", "options": {"version": "2"}} for name in two},
            **{f"{name}/": {"type": "kv", "options": {"version": "1"}} for name in one},
            "cubbyhole/": {"type": "cubbyhole", "options": None},
        }

    def _one(self, mount: str, rest: str, request: Request) -> Answer:
        if request.last("list") == "true":
            return self._list(mount, rest, self.v1)
        values = self.v1.get(f"{mount}/{rest}")
        return data({"data": values}) if values is not None else data({"errors": []}, 404)

    def _two(self, mount: str, kind: str, rest: str, request: Request) -> Answer:
        if kind == "metadata" and request.last("list") == "true":
            return self._list(mount, rest, self.v2)
        versions = self.v2.get(f"{mount}/{rest}")
        if versions is None:
            return data({"errors": []}, 404)
        if kind == "metadata":
            told = {
                str(number): {
                    "created_time": "2026-01-01T00:00:00Z",
                    "deletion_time": "" if values is not None else "2026-02-01T00:00:00Z",
                    "destroyed": False,
                }
                for number, values in enumerate(versions, 1)
            }
            return data({"data": {"current_version": len(versions), "versions": told}})
        number = request.number("version", len(versions)) or len(versions)
        values = versions[number - 1] if number <= len(versions) else None
        metadata = {"version": number, "destroyed": False}
        return data({"data": {"data": values, "metadata": metadata}}, 200 if values is not None else 404)

    def _list(self, mount: str, folder: str, names: Any) -> Answer:
        start = f"{mount}/{folder}/" if folder else f"{mount}/"
        keys = set()
        for name in names:
            if name.startswith(start):
                head, slash, _ = name[len(start) :].partition("/")
                keys.add(head + slash)
        return data({"data": {"keys": sorted(keys)}}) if keys else data({"errors": []}, 404)
