"""Images and readers that the tests of the registry source share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from unsprawl.crawlers.registry.source import RegistrySource
from unsprawl.estate.imagery import Step, build, layer
from unsprawl.records import Document, Skipped, Unit

BASE = layer({"app/.env": "SECRET=1\n", "app/main.py": "x" * 3000})
REMOVES = layer({"app/main.py": "y"}, deletes=["app/.env"], packing="zstd", trailer=False)
ARM = layer({"arm/key": "2"})
SHOP = build(
    [Step("COPY . /app", BASE), Step("ENV A=b"), Step("RUN rm /app/.env", REMOVES)],
    env=["TOKEN=abc"],
    labels={"maintainer": "anna@acme.test"},
    annotations={"org.opencontainers.image.source": "https://git.test/shop"},
)
SHOP_ARM = build([Step("COPY . /app", BASE), Step("COPY arm /arm", ARM)], platform="linux/arm64/v8")


def never(_key: str) -> str | None:
    return None


def source(url: str, **config: Any) -> RegistrySource:
    return RegistrySource("images", RegistrySource.Config(url=url, **{"max_wait": 1.0, **config}))


@contextlib.contextmanager
def opened(url: str, **config: Any) -> Iterator[RegistrySource]:
    one = source(url, **config)
    try:
        yield one
    finally:
        one.close()


def body(document: Document) -> bytes:
    if isinstance(document.body, bytes):
        return document.body
    with document.body.open(0) as file:
        return file.read()


def split(items: Iterable[Unit | Skipped]) -> tuple[dict[str, Unit], list[Skipped]]:
    items = list(items)
    units = {item.id: item for item in items if isinstance(item, Unit)}
    return units, [item for item in items if isinstance(item, Skipped)]


def documents(one: RegistrySource, unit: Unit, seen: Callable[[str], str | None] = never) -> list[Document]:
    return [event for event in one.read(unit, None, seen) if isinstance(event, Document)]
