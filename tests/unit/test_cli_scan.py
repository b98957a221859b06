"""``scan`` and ``crawl`` around the job they call: options in, report and exit code out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from report_rows import coverage, row

from unsprawl import jobs
from unsprawl.cli import main
from unsprawl.jobs import Options, Result
from unsprawl.records import Counts
from unsprawl.store.sink import CoverageRow

WHOLE = [CoverageRow(source="files", title=".", status="complete", documents=3, read_bytes=4_000)]


class Job:
    """Stands for ``jobs.scan``: remembers what it was asked, answers what it was given."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.coverage = WHOLE
        self.readable = True
        self.asked: dict[str, Any] = {}
        self.counts: dict[str, Any] = {}

    def __call__(self, what: Any, options: Options, **named: Any) -> Result:
        self.asked = {"what": what, "options": options, **named}
        return Result(
            rows=lambda: iter(self.rows),
            coverage=self.coverage,
            totals=Counts(),
            readable=self.readable,
            seconds=1.25,
            **self.counts,
        )


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Job:
    made = Job()
    monkeypatch.setattr(jobs, "scan", made)
    monkeypatch.setattr(jobs, "crawl", made)
    monkeypatch.chdir(tmp_path)
    return made


def test_options_reach_the_job(job: Job) -> None:
    main(["scan", ".", "-j", "3", "--rules", "a.yaml", "--exclude-rule", "jwt.*", "--exclude", "*.bin",
          "--min-confidence", "0.9", "--show-secrets"])  # fmt: skip
    assert job.asked["what"] == (".",)
    assert job.asked["exclude"] == ("*.bin",)
    options = job.asked["options"]
    assert (options.jobs, options.rules, options.min_confidence) == (3, (Path("a.yaml"),), 0.9)
    assert options.exclude_rules == ("jwt.*",)
    assert options.show_secrets


def test_lines_when_piped_and_the_sum_on_stderr(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.rows = [row(1), row(2, severity="low")]
    assert main(["scan", "."]) == 1
    printed = capsys.readouterr()
    assert [json.loads(line) for line in printed.out.splitlines()] == job.rows
    assert printed.err == "2 findings (1 critical, 1 low). Coverage complete.\n"


def test_quiet_says_results_only(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.rows = [row(1)]
    assert main(["scan", ".", "--quiet"]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    assert len(printed.out.splitlines()) == 1
    assert job.asked["progress"] is None


def test_the_ending_of_the_output_chooses_the_format(job: Job, tmp_path: Path) -> None:
    job.rows = [row(1)]
    starts = {"a.html": "<!doctype html>", "a.sarif": '{"$schema"', "a.csv": "finding,rule", "a.md": "# Scan",
              "a.json": "{\n", "a.jsonl": '{"finding"', "a.txt": " ", "a.other": '{"finding"'}  # fmt: skip
    for name, start in starts.items():
        assert main(["scan", ".", "-o", name, "-q"]) == 1
        assert (tmp_path / name).read_text().lstrip("\n").startswith(start), name


@pytest.mark.parametrize(
    ("fail_on", "severity", "validity", "code"),
    [
        ("any", "low", "unknown", 1),
        ("never", "critical", "active", 0),
        ("high", "medium", "unknown", 0),
        ("high", "high", "unknown", 1),
        ("high", "critical", "unknown", 1),
        ("active", "critical", "unknown", 0),
        ("active", "low", "active", 1),
    ],
)
def test_fail_on(fail_on: str, severity: str, validity: str, code: int, job: Job) -> None:
    job.rows = [row(1, severity=severity, validity=validity)]
    assert main(["scan", ".", "-q", "--fail-on", fail_on]) == code


def test_incomplete_wins_and_json_carries_both(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.rows = [row(1)]
    job.coverage = coverage()
    assert main(["scan", ".", "-f", "json"]) == 3
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["complete"], document["counts"]["findings"], document["exit_code"]) == (False, 1, 3)
    assert "not read: s3://backups/bomb.zip: the archive expands beyond 1 GB; exclude it" in printed.err
    assert "left out by the configuration" not in printed.err


def test_what_was_not_read_is_told_even_when_quiet(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.coverage = coverage()
    assert main(["scan", ".", "-q"]) == 3
    assert capsys.readouterr().err.count("not read:") == 2


def test_nothing_readable_is_a_failure(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.coverage = coverage()
    job.readable = False
    assert main(["scan", "."]) == 4
    assert "error: nothing could be read" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_a_baseline_hides_what_it_holds_and_nothing_else(
    format: str, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.rows = [row(1), row(2)]
    main(["scan", ".", "-f", format, "-o", "known", "-q"])
    assert main(["scan", ".", "--baseline", "known"]) == 0
    # The same weak value in another account: one fingerprint, another case.
    job.rows.append(row(3, fingerprint=row(1)["fingerprint"]))
    capsys.readouterr()
    assert main(["scan", ".", "--baseline", "known"]) == 1
    assert [json.loads(line)["finding"] for line in capsys.readouterr().out.splitlines()] == [f"{3:012x}"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "\x00", "[1]", '{"findings": 3}', "finding,rule\n", "[" * 100_000]
)
def test_a_baseline_that_is_none_is_refused(text: str, job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    Path("known").write_text(text)
    code = main(["scan", ".", "--baseline", "known"])
    assert code == (2 if text else 0)
    assert "Traceback" not in capsys.readouterr().err


def test_only_active(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.rows = [row(1), row(2, validity="active")]
    assert main(["scan", ".", "--only-active"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 1


# --- crawl -----------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "nightly.yaml"
    file.write_text("store: night.db\nmin_confidence: 0.7\nsources:\n  here: {type: files, paths: [.]}\n")
    return file


def test_crawl_prints_a_summary_and_the_next_step(
    job: Job, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job.rows = [row(1), row(2, severity="low"), row(3, status="accepted")]
    job.counts = {"run": "7", "new": 2, "reopened": 1, "gone": 4}
    assert main(["crawl", str(config)]) == 0
    out = capsys.readouterr().out
    for name, value in {
        "New": "2",
        "Reopened": "1",
        "Gone": "4",
        "Open now": "2 (1 critical, 1 low)",
    }.items():
        assert any(line.split(None, len(name.split()))[-1].startswith(value) for line in out.splitlines()
                   if line.strip().startswith(name)), name  # fmt: skip
    assert f"Next: unsprawl findings list --store {config.parent / 'night.db'}" in out
    assert job.asked["options"].min_confidence is None, "the configuration decides"
    assert job.asked["what"].min_confidence == 0.7


@pytest.mark.parametrize(("written", "hours"), [("14d", 14 * 24), ("2w", 14 * 24), ("12h", 12), ("90m", 1.5)])
def test_since_counts_back_from_now(job: Job, config: Path, written: str, hours: float) -> None:
    assert main(["crawl", str(config), "--since", written, "-q"]) == 0
    asked = datetime.now(UTC) - job.asked["options"].since
    assert abs(asked - timedelta(hours=hours)) < timedelta(minutes=1)


def test_since_takes_dates_in_utc(job: Job, config: Path) -> None:
    assert main(["crawl", str(config), "--since", "2026-11-01", "-q"]) == 0
    assert job.asked["options"].since == datetime(2026, 11, 1, tzinfo=UTC)
    assert main(["crawl", str(config), "--since", "2026-11-01T08:00+02:00", "-q"]) == 0
    assert job.asked["options"].since == datetime(2026, 11, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize("written", ["yesterday", "", "999999w", "-3d", "2026-13-01"])
def test_a_moment_that_is_none_is_told(
    config: Path, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["crawl", str(config), "--since", written]) == 2
    assert "write 14d" in capsys.readouterr().err


def test_crawl_options(job: Job, config: Path, tmp_path: Path) -> None:
    assert main(["crawl", str(config), "--full", "--store", "other.db", "--min-confidence", "0.1", "-q"]) == 0
    assert job.asked["what"].store == tmp_path / "other.db"
    assert job.asked["options"].full
    assert job.asked["options"].min_confidence == 0.1


def test_crawl_fails_on_findings_only_when_asked(job: Job, config: Path) -> None:
    job.rows = [row(1)]
    assert main(["crawl", str(config), "-q"]) == 0
    assert main(["crawl", str(config), "-q", "--fail-on", "high"]) == 1
    job.coverage = coverage()
    assert main(["crawl", str(config), "-q", "--fail-on", "high"]) == 3


def test_crawl_writes_reports(
    job: Job, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job.rows = [row(1)]
    job.counts = {"run": "7"}
    main(["crawl", str(config), "-f", "json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["run"] == "7"
    assert "Open now" in printed.err
    main(["crawl", str(config), "-o", "report.html"])
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_live_checks_are_off_until_turned_on(job: Job, config: Path) -> None:
    main(["scan", "."])
    assert not job.asked["options"].verify
    main(["scan", ".", "--verify"])
    assert job.asked["options"].verify
    main(["crawl", str(config), "-q"])
    assert not job.asked["options"].verify
    config.write_text(config.read_text().replace("store:", "verify: true\nstore:"))
    main(["crawl", str(config), "-q"])
    assert job.asked["options"].verify
    main(["crawl", str(config), "--no-verify", "-q"])
    assert not job.asked["options"].verify


# --- the hook that users put into their own repositories -------------------------------------------


def test_the_pre_commit_hook_runs_a_command_that_is_there(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    (hook,) = yaml.safe_load((Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text("utf-8"))
    program, *arguments = hook["entry"].split()
    assert (program, hook["language"], hook["id"]) == ("unsprawl", "python", "unsprawl")
    Path("app.env").write_text("x")
    job.rows = [row(1, path="app.env")]
    assert main([*arguments, "app.env"]) == 1
    assert "app.env:12" in capsys.readouterr().out
