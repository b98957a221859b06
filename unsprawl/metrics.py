"""What the store holds, as Prometheus reads it. Names and numbers only: no paths, no previews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from unsprawl.store.findings import Filter, Store

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

__all__ = ["StoreCollector", "text"]


class StoreCollector:
    """A collector for ``prometheus_client``; each scrape opens the store anew by ``opened`` and reads it."""

    def __init__(self, opened: Callable[[], AbstractContextManager[Store]]) -> None:
        self._opened = opened

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._opened() as store:
            yield from _families(store)


def text(opened: Callable[[], AbstractContextManager[Store]]) -> str:
    """All metrics in the text format, for the textfile collector of a node exporter."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(StoreCollector(opened))
    return generate_latest(registry).decode()


def _families(store: Store) -> Iterator[GaugeMetricFamily]:
    from prometheus_client.core import GaugeMetricFamily

    def family(name: str, what: str, labels: tuple[str, ...], values: dict[Any, float]) -> GaugeMetricFamily:
        made = GaugeMetricFamily(f"unsprawl_{name}", what, labels=labels)
        for key, value in sorted(values.items()):
            made.add_metric([str(part) for part in (key if isinstance(key, tuple) else (key,))], value)
        return made

    cases, places = Counter[Any](), Counter[Any]()
    worst = 0
    for case in store.findings(Filter(include_gone=True)):
        cases[case["severity"], case["status"], case["validity"]] += 1
        for source in case["sources"]:
            places[source] += 1
        if case["status"] in ("open", "reopened"):
            worst = max(worst, int(case["risk"]))
    yield family("findings", "Findings.", ("severity", "status", "validity"), dict(cases))
    yield family("findings_of_source", "Findings that stand or stood in a source.", ("source",), dict(places))
    yield family("risk_highest", "The highest risk of an open finding, 0 to 100.", (), {(): worst})

    latest: dict[str, Any] = {}
    for run in store.runs():
        latest.setdefault(run.job, run)
    told: dict[str, dict[str, float]] = {"started": {}, "complete": {}, "new": {}, "reopened": {}, "gone": {}}
    rows, read = Counter[Any](), Counter[Any]()
    for job, run in latest.items():
        told["started"][job] = datetime.fromisoformat(run.started_at).timestamp()
        told["complete"][job] = float(run.status == "complete")
        told["new"][job], told["reopened"][job], told["gone"][job] = run.new, run.reopened, run.gone
        for row in store.coverage(run.id):
            rows[job, row.source, row.status] += 1
            read[job, row.source] += row.read_bytes
    whats = {
        "started": ("last_run_start_seconds", "When the last run of a job began."),
        "complete": ("last_run_complete", "Whether the last run read everything."),
        "new": ("last_run_new", "Findings that the last run met first."),
        "reopened": ("last_run_reopened", "Findings that the last run opened again."),
        "gone": ("last_run_gone", "Occurrences that the last run did not find again."),
    }
    for name, (metric, what) in whats.items():
        yield family(metric, what, ("job",), told[name])
    yield family("coverage", "Rows of the ledger.", ("job", "source", "status"), dict(rows))
    yield family("read_bytes", "Bytes read by the last run.", ("job", "source"), dict(read))
