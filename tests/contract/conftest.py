"""What the contract tests of object stores share."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from objects import ObjectServer, serving

from unsprawl.crawlers import ranges


@pytest.fixture
def object_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that were made for one test, and no waiting behind a broken connection."""
    monkeypatch.setenv("OBJECTS_ACCESS", uuid4().hex)
    monkeypatch.setenv("OBJECTS_SECRET", uuid4().hex)
    monkeypatch.setattr(ranges, "PAUSE", 0.001)


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    with serving(ObjectServer()) as running:
        yield running
