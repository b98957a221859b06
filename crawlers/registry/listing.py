"""Which repositories a registry has, and what can be pulled from each: by tag, and where told by digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from unsprawl.errors import AuthError, SourceError, UnreadableError
from unsprawl.oci.distribution import Distribution
from unsprawl.records import Audience

__all__ = ["Catalog", "Listing", "Reference", "Refused", "Repository", "each"]


@dataclass(frozen=True, slots=True)
class Repository:
    """A name as the registry gives it, valid or not, and who may pull from it."""

    name: str
    audience: Audience = Audience.UNKNOWN


@dataclass(frozen=True, slots=True)
class Reference:
    """One manifest that can be pulled. Without ``tag`` only its digest names it.

    ``digest`` is "" where the listing does not tell what a tag points to. ``fleeting``: the registry
    deletes it in its own time, so that it is no gap when it is gone.
    """

    tag: str = ""
    digest: str = ""
    fleeting: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A namespace that cannot be listed, and why."""

    name: str
    error: SourceError


def each(
    names: Iterable[str], repositories: Callable[[str], Iterator[Repository]]
) -> Iterator[Repository | Refused]:
    """The repositories of each namespace. One that is refused leaves the others alone."""
    for name in names:
        try:
            yield from repositories(name)
        except (AuthError, UnreadableError) as error:
            yield Refused(name, error)


class Listing(Protocol):
    """How one kind of registry is enumerated. Raises ``SourceError``; threads do not share it."""

    def repositories(self) -> Iterator[Repository | Refused]:
        """All that the account can see, in the registry's order."""
        ...

    def references(self, name: str) -> Iterator[Reference]:
        """All tags, and the manifests without a tag where the registry tells them."""
        ...


class Catalog:
    """What every registry of the protocol offers: the catalog and the tags. It tells no untagged manifest."""

    def __init__(self, registry: Distribution) -> None:
        self._registry = registry

    def repositories(self) -> Iterator[Repository]:
        return map(Repository, self._registry.repositories())

    def references(self, name: str) -> Iterator[Reference]:
        return map(Reference, self._registry.tags(name))
