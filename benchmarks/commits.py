"""How many occurrences a second the store takes: a first crawl, and one that sees the same again."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from unsprawl.records import Batch, Counts, Occurrence, Severity, Unit
from unsprawl.secret import Keys, Secret
from unsprawl.store.findings import Store

__all__ = ["commits"]

_DOCUMENTS = 2_000
_A_DOCUMENT = 2
#: As many different secrets as a crawl of real surfaces has among its sightings: about one in five.
_COPIES = 5


def commits(*, quick: bool = False) -> dict[str, float]:
    """Occurrences a second, for batches as large as a step makes them."""
    keys = Keys.derive(os.urandom(32))
    batches = list(_batches(keys, 4 if quick else 25))
    count = sum(len(batch.occurrences) for batch in batches)
    rates = {}
    with tempfile.TemporaryDirectory(prefix="unsprawl-bench-") as folder:
        for what in ("first crawl, occurrences", "second crawl, occurrences"):
            started = time.perf_counter()
            with Store.open(Path(folder, "bench.db"), keys) as store:
                run = store.begin("crawl", "bench", "1")
                for batch in batches:
                    run.commit(batch)
                run.finish(complete=True)
            rates[what] = count / (time.perf_counter() - started)
    return rates


def _batches(keys: Keys, count: int) -> Iterator[Batch]:
    for number in range(count):
        documents = [f"s3://bench/{number}/{n}.log" for n in range(_DOCUMENTS)]
        names = [keys.name("bench", uri) for uri in documents]
        occurrences = tuple(
            _occurrence(
                keys, names[n], documents[n], ordinal, (number * _DOCUMENTS + n) * _A_DOCUMENT + ordinal
            )
            for n in range(_DOCUMENTS)
            for ordinal in range(_A_DOCUMENT)
        )
        yield Batch(
            source="bench",
            unit=Unit(f"s3://bench/{number}/", f"bench/{number}"),
            counts=Counts(documents=_DOCUMENTS, read_bytes=_DOCUMENTS * 10_000),
            occurrences=occurrences,
            documents=tuple(names),
            seen=tuple((name, "1") for name in names),
            cursor={"after": documents[-1]},
            done=True,
        )


def _occurrence(keys: Keys, name: bytes, uri: str, ordinal: int, number: int) -> Occurrence:
    # Copies lie far apart, as those of a shared secret do, so a batch holds few of one finding.
    secret = Secret(f"value {number % (100_000 // _COPIES)}")
    return Occurrence(
        finding=keys.identity(secret)[:12],
        fingerprint=keys.fingerprint(secret),
        rule="bench.token",
        title="Bench token",
        provider="bench",
        document=name,
        ordinal=ordinal,
        secret="…",
        source="bench",
        surface="s3",
        uri=uri,
        path=uri.partition("://")[2],
        line=number % 997 + 1,
        column=9,
        line_end=number % 997 + 1,
        start=ordinal * 100,
        end=ordinal * 100 + 40,
        confidence=0.97,
        severity=Severity.HIGH,
        context="2026-05-01T10:00:00 INFO worker - using … for deploy",
    )
