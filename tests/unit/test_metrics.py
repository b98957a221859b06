"""Metrics: what Prometheus is told of a store, and what it is not."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from batches import DETECTION, KEYS, batch, occurrence
from prometheus_client.parser import text_string_to_metric_families

from unsprawl.cli import main
from unsprawl.metrics import text
from unsprawl.records import Gap, Severity
from unsprawl.store.findings import Store


def crawl(path: Path) -> None:
    with Store.open(path, KEYS) as store:
        run = store.begin("crawl", "nightly", DETECTION)
        found = {"a": [occurrence(1, "a", severity=Severity.CRITICAL)], "b": [occurrence(2, "b")]}
        run.commit(batch("u", found))
        run.commit(batch("v", failure=Gap("v", "refused", "", excluded=False)))
        run.finish(complete=False)


def test_the_store_is_told_in_numbers(tmp_path: Path) -> None:
    crawl(tmp_path / "s.db")
    told = text(lambda: Store.open(tmp_path / "s.db", KEYS, readonly=True))
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
    }
    high = (("severity", "high"), ("status", "open"), ("validity", "unknown"))
    assert samples["unsprawl_findings", high] == 1
    assert samples["unsprawl_findings_of_source", (("source", "box"),)] == 2
    assert samples["unsprawl_last_run_complete", (("job", "crawl"),)] == 0
    assert samples["unsprawl_last_run_new", (("job", "crawl"),)] == 2
    assert 0 < samples["unsprawl_risk_highest", ()] <= 100
    assert samples["unsprawl_read_bytes", (("job", "crawl"), ("source", "box"))] == 20
    assert "acme_" not in told
    assert "s3://" not in told


def test_an_empty_store_is_no_error(tmp_path: Path) -> None:
    Store.open(tmp_path / "s.db", KEYS).close()
    assert "unsprawl_risk_highest 0.0" in text(lambda: Store.open(tmp_path / "s.db", KEYS, readonly=True))


def test_a_wrong_address_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(tmp_path / "key"))
    (tmp_path / "tree").mkdir()
    (tmp_path / "c.yaml").write_text("sources: {disk: {type: files, paths: [tree]}}", "utf-8")
    assert main(["crawl", str(tmp_path / "c.yaml"), "--quiet", "--jobs", "1"]) == 0
    for wrong in ("9464", ":9464", "127.0.0.1:http", "127.0.0.1:99999"):
        assert main(["metrics", "--config", str(tmp_path / "c.yaml"), "--serve", wrong]) == 2
        assert "is no HOST:PORT" in capsys.readouterr().err
    output = tmp_path / "unsprawl.prom"
    assert main(["metrics", "--config", str(tmp_path / "c.yaml"), "--output", str(output)]) == 0
    assert 'unsprawl_last_run_complete{job="crawl"} 1.0' in output.read_text("utf-8")


def test_the_endpoint_reads_the_store_at_each_scrape(tmp_path: Path) -> None:
    from prometheus_client import CollectorRegistry, start_http_server

    from unsprawl.metrics import StoreCollector

    Store.open(tmp_path / "s.db", KEYS).close()
    registry = CollectorRegistry()
    registry.register(StoreCollector(lambda: Store.open(tmp_path / "s.db", KEYS, readonly=True)))
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        place = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(place, timeout=5) as answer:
            assert b"unsprawl_findings{" not in answer.read()
        crawl(tmp_path / "s.db")
        with urllib.request.urlopen(place, timeout=5) as answer:
            assert b"unsprawl_findings{" in answer.read()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    assert not thread.is_alive()
