"""Crawling a bucket in a test: a source with few tries, and what one run of it gave."""

from __future__ import annotations

from typing import Any

from unsprawl.crawlers.s3.source import S3Source
from unsprawl.records import Document, Skipped

__all__ = ["content", "crawl", "never", "source"]


def never(_key: str) -> None:
    return None


def source(url: str, **options: Any) -> S3Source:
    keys = {"access_key": "${OBJECTS_ACCESS}", "secret_key": "${OBJECTS_SECRET}"}
    if options.get("anonymous"):
        keys = {}
    return S3Source("store", S3Source.Config(endpoint_url=url, **{"attempts": 1, **keys, **options}))


def crawl(crawled: S3Source, seen: Any = never) -> tuple[dict[str, Document], dict[str, Skipped]]:
    documents: dict[str, Document] = {}
    skipped: dict[str, Skipped] = {}
    for item in crawled.units(seen):
        for event in [item] if isinstance(item, Skipped) else crawled.read(item, None, seen):
            if isinstance(event, Document):
                assert event.uri not in documents
                documents[event.uri] = event
            elif isinstance(event, Skipped):
                skipped[event.uri] = event
    return documents, skipped


def content(document: Document, offset: int = 0) -> bytes:
    if isinstance(document.body, bytes):
        return document.body[offset:]
    with document.body.open(offset) as file:
        return file.read()
