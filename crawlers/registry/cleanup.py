"""Deleting what carries a secret in a registry: the manifests that use a blob, and then the blob itself.

Only the repository of the address is cleaned; a layer that others share stays in theirs. Deleted blobs leave
the storage when the registry collects its garbage.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from unsprawl.errors import GoneError, UnreadableError
from unsprawl.oci.distribution import is_name
from unsprawl.oci.images import is_digest
from unsprawl.records import Cleanup

if TYPE_CHECKING:
    from unsprawl.oci.distribution import Distribution

__all__ = ["clean", "cleanups"]

_URI: Final = re.compile(
    r"registry://[^/]+/(?P<name>[^@]+)@(?P<digest>[^#!]+)(?:#(?P<kind>config|manifest))?"
)
_MOST_TAGS: Final = 2000
_UNDO: Final = "push the image again from where it was built"


def cleanups(registry: Distribution, uri: str) -> Sequence[Cleanup]:
    """To delete what carries the digest of ``uri`` in its repository."""
    found = _place(uri)
    if found is None:
        return ()
    name, digest, kind = found
    carriers = _carriers(registry, name, digest)
    if kind != "manifest":
        registry.blob_size(name, digest)
    tags = ", ".join(tag for tag, _ in carriers) or "no tag"
    title = f"delete {digest[:19]} from {name}, with the manifests that carry it ({tags})"
    state = hashlib.sha256(repr(carriers).encode()).hexdigest()[:32]
    return (Cleanup("delete-digest", title, _UNDO, state),)


def clean(registry: Distribution, uri: str, action: str) -> str:
    """Delete the manifests first: a blob that is gone before them leaves images that cannot be pulled."""
    found = _place(uri)
    if found is None or action != "delete-digest":
        raise UnreadableError(f"{action} cannot be done here")
    name, digest, kind = found
    manifests = list(dict.fromkeys(one for _, chain in _carriers(registry, name, digest) for one in chain))
    for manifest in manifests:
        _delete(registry, name, "manifests", manifest)
    if kind == "manifest":
        _delete(registry, name, "manifests", digest)
    else:
        _delete(registry, name, "blobs", digest)
    return f"{len(manifests)} manifests and the digest are deleted; collect the registry's garbage"


def _place(uri: str) -> tuple[str, str, str] | None:
    found = _URI.match(uri)
    if found is None or not is_name(found["name"]) or not is_digest(found["digest"]):
        return None
    return found["name"], found["digest"], found["kind"] or ""


def _carriers(registry: Distribution, name: str, digest: str) -> list[tuple[str, tuple[str, ...]]]:
    """Tags whose image carries the digest, each with the manifests to delete: the index, and the image's."""
    found = []
    for number, tag in enumerate(registry.tags(name)):
        if number == _MOST_TAGS:
            raise UnreadableError(f"{name} has more than {_MOST_TAGS} tags", hint="delete the image by hand")
        top, _, body = registry.manifest(name, tag)
        chain = tuple(_within(registry, name, top, body, digest, 0))
        if chain:
            found.append((tag, chain))
    return found


def _within(
    registry: Distribution, name: str, own: str, body: bytes, digest: str, depth: int
) -> Iterator[str]:
    """``own`` and what is below it, if that carries the digest."""
    try:
        content = json.loads(body)
    except ValueError:
        return
    blobs = [content.get("config"), *_list(content, "layers"), *_list(content, "fsLayers")]
    carries = own == digest or any(
        digest in (one.get("digest"), one.get("blobSum")) for one in blobs if isinstance(one, dict)
    )
    below: list[str] = []
    for one in _list(content, "manifests"):
        inner = one.get("digest") if isinstance(one, dict) else None
        if depth == 0 and is_digest(inner):
            try:
                _, _, deeper = registry.manifest(name, str(inner))
            except GoneError:
                continue  # a platform that was never pushed
            below += _within(registry, name, str(inner), deeper, digest, depth + 1)
    if carries or below:
        yield own
        yield from below


def _delete(registry: Distribution, name: str, kind: str, digest: str) -> None:
    answer = registry.client.request(
        "DELETE", f"/v2/{name}/{kind}/{digest}", scope=f"repository:{name}:pull,delete"
    )
    if answer.status in (404, 410):
        return
    if answer.status in (400, 405, 501):
        raise UnreadableError(
            f"the registry deletes no {kind} ({answer.status})",
            hint="turn deletion on (REGISTRY_STORAGE_DELETE_ENABLED=true), or use the vendor's own interface",
        )
    if answer.status in (401, 403):
        raise UnreadableError(
            f"the registry refuses to take {kind} off {name} ({answer.status})",
            hint="give the source credentials that may delete",
        )
    answer.expect(f"the deletion of {kind}")


def _list(content: Any, name: str) -> list[Any]:
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, list) else []
