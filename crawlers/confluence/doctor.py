"""What ``unsprawl doctor`` says of a Confluence: who asks, what is listed, what will not be seen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from unsprawl.crawlers.confluence.audience import Everyone
from unsprawl.crawlers.confluence.items import Space, Wiki
from unsprawl.errors import SourceError
from unsprawl.records import Diagnosis

if TYPE_CHECKING:
    from unsprawl.crawlers.confluence.source import ConfluenceSource

__all__ = ["diagnose"]

#: Spaces whose pages are asked for: rights differ from space to space, and doctor is to be quick.
_TRIED = 5


def diagnose(
    config: ConfluenceSource.Config, wiki: Wiki, everyone: Everyone, keys: tuple[str, ...]
) -> Iterator[Diagnosis]:
    """A request for each right that the crawl needs."""
    try:
        who = wiki.whoami()
    except SourceError as error:
        yield Diagnosis(error.message, False, error.hint)
        return
    yield Diagnosis(f"asks as {who}" if who else "asks as nobody: only what is public is seen", True)
    try:
        spaces = list(islice(wiki.spaces(keys), 1000))
    except SourceError as error:
        yield Diagnosis(f"list the spaces: {error.message}", False, error.hint)
        return
    personal = sum(space.kind == "personal" for space in spaces)
    open_ones = sum(everyone.sees(space.key) for space in spaces)
    more = " or more" if len(spaces) == 1000 else ""
    yield Diagnosis(
        f"{len(spaces)}{more} spaces can be listed ({personal} personal, {open_ones} open to everyone)",
        bool(spaces),
        "" if spaces else "add the token's user to a group that may view the spaces",
    )
    missing = sorted(set(keys) - {space.key for space in spaces})
    if missing:
        yield Diagnosis(
            f"spaces that are not shown: {', '.join(missing)}", False, "check `spaces` and the user's rights"
        )
    first, *others = wiki.space_parts
    readable: Space | None = None
    for space in spaces[:_TRIED]:
        tried = _try(wiki, first, space)
        readable = readable or (space if tried.ok else None)
        yield tried
    for part in others if readable else ():
        yield _try(wiki, part, readable)
    for parts in wiki.site_parts.values():
        for part in parts:
            yield _try(wiki, part, None)
    unseen = "not seen: drafts of other users, whiteboards, databases, public links"
    yield Diagnosis(unseen, True, "the API gives none of them to anybody")
    for name, left in (
        ("properties of pages", not config.properties),
        ("restrictions of single pages", not config.restrictions and "attachments" in wiki.site_parts),
        ("custom content of apps", not config.custom_content and "attachments" in wiki.site_parts),
    ):
        if left:
            yield Diagnosis(f"not asked for: {name}", True, "see the configuration's keys")


def _try(wiki: Wiki, part: str, space: Space | None) -> Diagnosis:
    name = part.replace(":", " of ") + (f" of {space.key}" if space else "")
    try:
        wiki.listing(part, space, "", bodies=False)
    except SourceError as error:
        return Diagnosis(f"{name}: {error.message}", False, error.hint)
    return Diagnosis(f"{name} can be listed", True)
