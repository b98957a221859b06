from __future__ import annotations

import csv
import io
import json
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_rows import HOSTILE, coverage, hostile_row, report, row

from unsprawl.errors import ConfigError
from unsprawl.report import escape, export
from unsprawl.report.cases import account, attributes, gather, near, surface, tally
from unsprawl.report.export import FORMATS, Report
from unsprawl.store.rows import FIELDS
from unsprawl.store.sink import CoverageRow
from unsprawl.structs import replace


def written(given: Report, format: str) -> str:
    out = io.StringIO()
    export.write(given, format, out)
    return out.getvalue()


def test_jsonl_is_the_exact_row_a_line() -> None:
    rows = [row(1), hostile_row(2), row(3, path="bad-\udcff-name", attrs={"layer": ["a", 1, None]})]
    lines = written(report(rows), "jsonl").split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == rows


def test_json_carries_findings_and_incompleteness_side_by_side() -> None:
    document = json.loads(written(report([row(1), row(1, path="b"), row(2, severity="low")]), "json"))
    assert document["complete"] is False
    assert document["exit_code"] == 3
    assert document["counts"]["findings"] == 2
    assert document["counts"]["occurrences"] == 3
    assert document["counts"]["by_severity"] == {"critical": 1, "high": 0, "medium": 0, "low": 1}
    assert [each["path"] for each in document["findings"]] == ["app/settings.py", "b", "app/settings.py"]
    assert document["coverage"][1]["gaps"][0]["hint"] == "exclude it"


def test_json_without_anything_is_still_json() -> None:
    document = json.loads(written(report([], coverage=[], complete=True), "json"))
    assert document["findings"] == []
    assert document["coverage"] == []


def test_csv_has_stable_columns_and_no_formulas() -> None:
    starts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\uff1d1"]
    given = [row(n, path=start, author=start, context=f"{start}\nnext") for n, start in enumerate(starts)]
    table = list(csv.reader(io.StringIO(written(report(given), "csv"), newline="")))
    assert tuple(table[0]) == FIELDS
    for line, start in zip(table[1:], starts, strict=True):
        assert len(line) == len(FIELDS)
        assert line[FIELDS.index("path")] == f"'{start}"
        assert not any(cell.lstrip(" ")[:1] in set("=+-@\t\r\uff1d") for cell in line if cell)
        assert line[FIELDS.index("line")] == "12"
        assert line[FIELDS.index("gone_at")] == ""


def test_csv_cells_keep_lines_but_no_control_characters() -> None:
    text = written(report([row(context="a\r\nb\tc\x1b[2J\rd")]), "csv")
    (_, line) = csv.reader(io.StringIO(text, newline=""))
    assert line[FIELDS.index("context")] == "a\nb\tc\\x1b[2J\\x0dd"


@pytest.mark.parametrize("format", ["table", "markdown", "html"])
def test_what_people_read_holds_no_control_characters(format: str) -> None:
    text = written(report([hostile_row()]), format)
    assert not set("\x1b\x9b\u202e\u200b\x07").intersection(text)
    assert "x1b" in text


@pytest.mark.parametrize("format", ["jsonl", "json", "sarif"])
def test_what_programs_read_is_safe_to_print(format: str) -> None:
    text = written(report([hostile_row()]), format)
    assert not set("\x1b\x9b\u202e").intersection(text)


def test_markdown_cannot_be_given_markup_links_or_columns() -> None:
    text = written(report([hostile_row()]), "markdown")
    assert "<script" not in text
    assert "<img" not in text
    assert "@team" not in text
    assert "http://" not in text
    lines = [line for line in text.splitlines() if line.startswith("| critical")]
    assert len(lines) == 1
    assert lines[0].count("|") == 9


def test_markdown_shows_what_was_not_read() -> None:
    text = written(report([row()]), "markdown")
    assert "Coverage is incomplete" in text
    assert "expands beyond 1 GB" in text
    assert "left out by the configuration" not in text


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    long = row(
        1, rule="a-provider." + "x" * 60, secret="y" * 60, path="deep/" * 60 + "end.env", source="z" * 60
    )
    text = written(report([long, hostile_row(), row(3, path="\u6f22" * 90)]), "table")
    assert max(len(line) for line in text.splitlines()) <= width
    assert "end.env:12" in text


def test_the_table_groups_by_finding_worst_first() -> None:
    rows = [row(1, severity="low"), row(2, path="a"), row(2, path="b"), row(2, path="c"), row(2, path="d")]
    text = written(report(rows), "table")
    assert text.index("critical") < text.index("low")
    assert "and 1 more" in text
    assert "2 findings (1 critical, 1 low) in 5 places. Coverage incomplete." in text
    assert "s3://backups/bomb.zip: the archive expands beyond 1 GB" in text


def test_a_long_table_is_cut_and_counted() -> None:
    text = written(report([row(n) for n in range(502)]), "table")
    assert "and 2 more findings; --format jsonl has all" in text
    assert "502 findings (502 critical)." in text


def test_unknown_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="no format 'pdf'"):
        written(report([]), "pdf")


@pytest.mark.parametrize("format", ["csv", "jsonl", "sarif", "json"])
def test_long_reports_are_streamed(format: str) -> None:
    class Sink(io.TextIOBase):
        size = 0

        def write(self, text: str, /) -> int:
            self.size += len(text)
            return len(text)

    def rows() -> Iterator[dict[str, Any]]:
        # Many sightings of few secrets: what is held may follow the findings, never the occurrences.
        return (row(n % 10, path=f"{n}" + "p" * 1_000) for n in range(5_000))

    sink = Sink()
    given = replace(report([]), rows=rows)
    export.write(given, format, sink)  # type: ignore[arg-type]
    tracemalloc.start()
    export.write(given, format, sink)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sink.size > 10_000_000
    assert peak < 1_000_000


def test_every_format_writes_something_for_nothing() -> None:
    for format in FORMATS:
        empty = report([], coverage=[], complete=True)
        assert written(empty, format) or format in ("jsonl", "ocsf")


# --- where a report goes ---------------------------------------------------------------------------


def test_a_file_appears_whole_and_private(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")
    with export.destination(target) as out:
        out.write("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_report_that_breaks_off_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")

    def broken() -> None:
        with export.destination(target) as out:
            out.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert target.read_text() == "old"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    real.write_text("old")
    link = tmp_path / "latest.json"
    link.symlink_to(real)
    with export.destination(link) as out:
        out.write("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_devices_are_written_directly() -> None:
    with export.destination(Path("/dev/null")) as out:
        out.write("x")
    assert Path("/dev/null").is_char_device()


def test_an_impossible_output_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        export.check_output(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        export.check_output(tmp_path / "no" / "report.json")
    export.check_output(tmp_path / "report.json")


# --- escapes and counts ----------------------------------------------------------------------------


def test_plain_spells_out_what_cannot_be_seen() -> None:
    assert (
        escape.plain("a\x1b[2J\u202e\udcff\U000e0041\u05d0 ok…")
        == "a\\x1b[2J\\u202e\\xff\\U000e0041\u05d0 ok…"
    )


def test_json_line_survives_a_round_trip() -> None:
    value = {"k": HOSTILE + "\u2028\udc80\x00", "n": [1, 2.5, None, True]}
    assert json.loads(escape.json_line(value)) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("s3://bucket/a b%", "s3://bucket/a%20b%25"),
        ("s3://bucket/a%20b", "s3://bucket/a%20b"),
        ("bad-\udcff", "bad-%FF"),
        ("\u6f22", "%E6%BC%A2"),
    ],
)
def test_uri_keeps_what_is_valid(text: str, found: str) -> None:
    assert escape.uri(text) == found


def test_counts_leave_out_what_is_settled_or_gone() -> None:
    rows = [
        row(1),
        row(2, status="false_positive"),
        row(3, gone_at="2026-11-21T00:00:00.000Z"),
        row(4, severity="low", validity="active"),
        row(5, gone_at="2026-11-21T00:00:00.000Z"),
        row(5, path="still here"),
    ]
    counts = tally(rows)
    assert counts.findings == 5
    assert dict(counts.open_severity) == {"critical": 2, "low": 1}
    assert counts.open_active == 1


def test_cases_keep_few_places_and_count_all() -> None:
    cases = gather((row(1, path=str(n)) for n in range(100)), 3)
    assert len(cases) == 1
    assert cases[0].copies == 100
    assert [place["path"] for place in cases[0].places] == ["0", "1", "2"]


def test_active_comes_before_severe() -> None:
    cases = gather([row(1, severity="critical"), row(2, severity="low", validity="active")], 1)
    assert [case.row["finding"] for case in cases] == [f"{2:012x}", f"{1:012x}"]


def test_surface_is_the_scheme() -> None:
    assert surface(row(uri="s3://b/k")) == "s3"
    assert surface(row(uri="a/b")) == "file"


def test_coverage_record_holds_every_field() -> None:
    record = export.coverage_record(coverage()[1])
    assert set(record) == set(CoverageRow.__struct_fields__)
    assert record["gaps"][0]["uri"] == "s3://backups/bomb.zip"


def test_a_password_is_shown_with_the_account_that_it_opens() -> None:
    mailbox = row(companions={"account": "jo%40mail.acme.test", "host": "mail.acme.test"})
    assert account(mailbox) == "jo@mail.acme.test"
    assert account(row()) == ""
    for format in ("table", "html"):
        out = io.StringIO()
        export.write(report([mailbox]), format, out)
        assert "jo@mail.acme.test" in out.getvalue()


def test_below_the_own_folder_a_place_is_named_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = Path.cwd()
    assert near(row(path=f"{here}/app/.env", line=3)) == "app/.env:3"
    assert near(row(path=f"{here}-old/app/.env", line=3)) == f"{here}-old/app/.env:3"


def test_an_attribute_that_was_masked_as_a_whole_is_not_shown() -> None:
    assert dict(attributes(row(attrs={"version_id": "…", "size": 0, "bucket": "ci"}))) == {
        "size": 0,
        "bucket": "ci",
    }
