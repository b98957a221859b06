"""A report of a period: counted rightly, drawn and written without anything that a stranger could use."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from batches import DETECTION, KEYS, batch, occurrence
from report_rows import HOSTILE
from seasons import NOW, nights, quarter, sighting

from unsprawl.alert_settings import Jira, Webhook
from unsprawl.alerts import messages
from unsprawl.config import ConfiguredChannel
from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data
from unsprawl.records import Gap, Severity, Status
from unsprawl.report.wording import lasting
from unsprawl.review import page, text
from unsprawl.review.digest import message, send
from unsprawl.review.gather import Review, gather, record
from unsprawl.review.sections import sections
from unsprawl.review.series import nightly, stretches
from unsprawl.store.figures import Figures, Spread
from unsprawl.store.findings import Store
from unsprawl.structs import replace

DAY = timedelta(days=1)
WEEK = 7 * DAY


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("season") / "s.db"
    quarter(path)
    return path


def figures(path: Path, **period: Any) -> Figures:
    with Store.open(path, KEYS, readonly=True, clock=lambda: NOW) as store:
        return store.figures(period.get("since"), period.get("until", NOW), most=period.get("most", 50))


def review(path: Path, **period: Any) -> Review:
    with Store.open(path, KEYS, readonly=True, clock=lambda: NOW) as store:
        given = {"title": "Exposed secrets", "since": None, "until": NOW, "most": 8, **period}
        return gather(store, {}, **given)


def drawn(made: Review, *, digest: bool = False) -> str:
    out = io.StringIO()
    page.write(made, out, digest=digest)
    return out.getvalue()


# --- a small history, counted by hand --------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """1 is closed after two days, 2 comes back, 3 stays, 4 is false, 5 is gone, 6 is accepted, 7 is new."""
    path = tmp_path / "small.db"
    start = NOW - 20 * DAY
    with nights(path, start) as made:

        def read(*numbers: int) -> dict[str, Any]:
            found: dict[str, list[Any]] = {f"d{number}": [] for number in range(1, 8)}
            for number in numbers:
                written = NOW - 3 * DAY if number == 7 else start - 10 * number * DAY
                found[f"d{number}"] = [sighting(number, f"d{number}", written)]
            return {"chat": (found, ())}

        made.night(start, read(1, 2, 3, 4, 5, 6))
        made.dead(f"{1:012x}", start + DAY)
        made.dead(f"{2:012x}", start + DAY)
        made.night(start + 2 * DAY, read(3, 4, 5, 6))
        made.judge(f"{4:012x}", Status.FALSE_POSITIVE, start + 3 * DAY)
        made.judge(f"{6:012x}", Status.ACCEPTED, start + 3 * DAY)
        made.night(NOW - 5 * DAY, read(2, 3, 4, 6))
        made.night(NOW - DAY, read(2, 3, 4, 6, 7))
    return path


def test_every_case_is_counted_once_for_what_became_of_it(small: Path) -> None:
    it = figures(small)
    assert it.changes == {
        "new": 6, "reopened": 1, "closed": 1, "gone": 1, "accepted": 1, "false_positive": 1
    }  # fmt: skip
    assert it.open.total == 3
    assert sum(it.open.by_severity.values()) == 3
    assert it.open.by_source == {"chat": {"high": 2, "medium": 1}}
    assert it.open.gone == 1
    assert it.open.by_age["1 to 7 days"] == {"high": 1}
    assert {case["finding"] for case in it.top} == {f"{n:012x}" for n in (2, 3, 7)}
    assert {change.what: change.finding for change in it.changed if change.what != "new"} == {
        "reopened": f"{2:012x}", "closed": f"{1:012x}", "gone": f"{5:012x}", "accepted": f"{6:012x}",
    }  # fmt: skip


def test_a_period_counts_what_happened_in_it_and_compares(small: Path) -> None:
    it = figures(small, since=NOW - WEEK)
    assert it.changes == {
        "new": 1, "reopened": 1, "closed": 0, "gone": 1, "accepted": 0, "false_positive": 0
    }  # fmt: skip
    before = figures(small, since=NOW - 2 * WEEK, until=NOW - WEEK)
    assert it.changes_before == before.changes
    assert before.open.total == it.open.before
    # What is open at a time is what had come until then and had not ended.
    assert figures(small, until=NOW - 19 * DAY).open.total == 5


def test_times_are_nearest_ranks_of_what_is_known(small: Path) -> None:
    it = figures(small)
    assert it.detection["fresh"] == Spread(1, 2 * 86_400.0, 2 * 86_400.0)
    assert it.detection["all"].count == 6  # the false one was no exposure
    assert it.remediation["closed"] == Spread(1, 2 * 86_400.0 + 420, 2 * 86_400.0 + 420)
    assert it.remediation["gone"].median == pytest.approx(15 * 86_400)
    assert it.detection_by_source["chat"] == it.detection["all"]
    assert figures(small, until=NOW - 30 * DAY).remediation["closed"] == Spread(0, None, None)


def test_median_and_ninetieth_percentile_of_ten(tmp_path: Path) -> None:
    with nights(tmp_path / "s.db") as made:
        hours = {f"d{n}": [sighting(n, f"d{n}", NOW - timedelta(hours=n))] for n in range(1, 11)}
        made.night(NOW, {"chat": (hours, ())})
    assert figures(tmp_path / "s.db", until=NOW + DAY).detection["all"] == Spread(10, 5 * 3600, 9 * 3600)


def test_old_text_of_a_source_that_joins_later_is_no_slow_detection(tmp_path: Path) -> None:
    with nights(tmp_path / "s.db") as made:
        made.night(NOW - 9 * DAY, {"chat": ({"d1": [sighting(1, "d1", NOW - 99 * DAY)]}, ())})
        late = {"d2": [sighting(2, "d2", NOW - 8 * DAY)], "d3": [sighting(3, "d3", NOW - 3 * DAY)]}
        made.night(NOW - 5 * DAY, {"wiki": ({"d2": late["d2"]}, ())})
        made.night(NOW - 2 * DAY, {"wiki": (late, ())})
    it = figures(tmp_path / "s.db")
    assert it.detection["all"].count == 3
    assert it.detection["fresh"] == Spread(1, 86_400.0, 86_400.0)


def test_the_rate_of_false_positives_is_of_what_people_judged(small: Path) -> None:
    it = figures(small).judged
    assert (it.total, it.false_positives, it.rate) == (2, 1, 0.5)
    assert it.by_rule == (("generic.key", 1, 1), ("github.personal-token", 1, 0))
    assert figures(small, since=NOW - DAY).judged.rate is None


def test_a_decision_that_was_taken_back_does_not_count(small: Path) -> None:
    with Store.open(small, KEYS, clock=lambda: NOW) as store:
        store.undo([f"{4:012x}"], "ann")
    it = figures(small)
    assert (it.judged.total, it.changes["false_positive"], it.open.total) == (1, 0, 4)


def test_coverage_says_what_the_ledger_says(season: Path) -> None:
    with Store.open(season, KEYS, readonly=True, clock=lambda: NOW) as store:
        for run in store.runs():
            told = next(row for row in figures(season).coverage.runs if row.run == run.id)
            ledger = [row.status for row in store.coverage(run.id)]
            assert {name: getattr(told, name) for name in ("complete", "partial", "skipped", "failed")} == {
                name: ledger.count(name) for name in ("complete", "partial", "skipped", "failed")
            }
    (cold,) = figures(season).coverage.unread
    assert (cold.source, cold.count, cold.reason) == ("buckets", 4, "archived storage class")


def test_what_failed_as_a_whole_and_what_was_left_out_are_told(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.db", KEYS, clock=lambda: NOW) as store:
        run = store.begin("crawl", "c.yaml", DETECTION)
        run.commit(batch("u", {"a": []}, gaps=(Gap("s3://box/old", "cold", "", excluded=True),)))
        run.commit(batch("v", failure=Gap("v", "refused", "grant it", excluded=False)))
        run.note_gap("box", Gap("box/closed", "no permission", "", excluded=False))
        run.finish(complete=False)
    it = figures(tmp_path / "s.db").coverage
    assert [(one.reason, one.count, one.example) for one in it.unread] == [
        ("no permission", 1, "box/closed"), ("refused", 1, "v"),
    ]  # fmt: skip
    assert it.excluded == 1
    (row,) = it.sources
    assert (row.complete, row.partial, row.skipped, row.failed) == (1, 0, 1, 1)
    assert row.share == pytest.approx(1 / 3)


def test_the_trend_adds_up_to_what_is_open(season: Path) -> None:
    for since in (None, NOW - 90 * DAY, NOW - WEEK):
        it = figures(season, since=since)
        rows = stretches(it)
        assert sum(rows[-1].open.values()) == it.open.total
        assert all(a.last < b.first for a, b in pairwise(rows))
        came = sum(sum(row.came.values()) for row in rows)
        assert came >= it.changes["new"]
    assert len(stretches(figures(season, since=NOW - WEEK))) == 8
    assert stretches(figures(season, until=NOW - 365 * DAY)) == []


def test_of_too_many_runs_the_worst_of_each_stretch_is_drawn(season: Path) -> None:
    (run, *_) = figures(season).coverage.runs
    runs = [dataclasses.replace(run, run=str(n), complete=5, failed=int(n == 101)) for n in range(300)]
    shown = nightly(runs)
    assert len(shown) <= 92
    assert [row.failed for row in shown].count(1) == 1


def test_reading_for_a_report_leaves_nothing_in_the_store(season: Path) -> None:
    before = season.read_bytes()
    with Store.open(season, KEYS, readonly=True, clock=lambda: NOW) as store:
        assert store.figures(None, NOW, most=1) == store.figures(None, NOW, most=1)
    assert season.read_bytes() == before


# --- what is made of it ------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


@pytest.mark.parametrize("digest", [False, True])
def test_the_page_is_one_file_that_loads_and_runs_nothing(season: Path, digest: bool) -> None:
    since = NOW - WEEK if digest else None
    shown = drawn(review(season, since=since), digest=digest)
    found = Page(shown)
    assert found.stack == []
    (style,) = re.findall(r"<style>(.*?)</style>", shown, re.DOTALL)
    digest_of = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(a["content"] for t, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest_of}'; base-uri 'none'; form-action 'none'"
    )
    tags = {tag for tag, _ in found.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use", "a"}
    for _, attributes in found.tags:
        assert not any(name.startswith("on") or name in {"src", "href", "style"} for name in attributes)
    plots = [a for tag, a in found.tags if tag == "svg"]
    assert len(plots) == (4 if digest else 6)
    assert all(a["role"] == "img" and a["aria-label"] for a in plots)


def hostile(path: Path) -> None:
    with Store.open(path, KEYS, clock=lambda: NOW) as store:
        for day in range(2):
            run = store.begin("crawl", "c.yaml", DETECTION, full=bool(day))
            found = occurrence(
                1, HOSTILE, title=HOSTILE, path=HOSTILE, author=HOSTILE, secret="…", severity=Severity.HIGH,
                context=HOSTILE,
            )  # fmt: skip
            gap = Gap(HOSTILE, HOSTILE, HOSTILE, excluded=False)
            run.commit(replace(batch(HOSTILE, {HOSTILE: [found]}, gaps=(gap,)), source=HOSTILE[:60]))
            run.finish(complete=False)


@pytest.mark.parametrize("since", [None, NOW - WEEK])
def test_hostile_text_stays_text_everywhere(tmp_path: Path, since: Any) -> None:
    hostile(tmp_path / "s.db")
    made = review(tmp_path / "s.db", since=since, until=NOW + DAY)
    shown = drawn(made, digest=since is not None)
    assert Page(shown).stack == []
    assert "<img" not in shown
    assert "<script" not in shown
    for write in (text.markdown, text.terminal):
        out = io.StringIO()
        write(made, out, digest=since is not None)
        assert "\x1b]" not in out.getvalue()
        assert "\u202e" not in out.getvalue()
    out = io.StringIO()
    text.markdown(made, out, digest=False)
    assert "](javascript" not in out.getvalue()
    assert "<" not in out.getvalue()


def test_json_tells_all_of_it_in_plain_values(season: Path) -> None:
    made = review(season, since=NOW - WEEK)
    told = json.loads(json.dumps(record(made)))
    assert told["open"]["total"] == 51
    assert told["changes"]["new"] == 5
    assert told["judged"]["rate"] == pytest.approx(1 / 3)
    assert told["coverage"]["sources"][0]["share"] == 0
    assert told["trend"][0].keys() == {"day", "by_severity"}
    assert [case["risk"] for case in told["top"]] == sorted((c["risk"] for c in told["top"]), reverse=True)


def test_no_more_cases_are_named_than_asked_for(season: Path) -> None:
    made = review(season, since=NOW - 60 * DAY, most=3)
    assert len(made.top) == 3
    kinds = [change.what for change in made.figures.changed]
    assert max(kinds.count(kind) for kind in kinds) == 3
    named = {section.key: section for section in sections(made)}
    assert named["top"].more == 48
    assert named["changed"].more > 0


def test_what_is_dead_is_cleaned_up_next_and_what_may_live_is_contained(tmp_path: Path) -> None:
    with nights(tmp_path / "s.db") as made:
        found = {f"d{n}": [sighting(n, f"d{n}", NOW)] for n in (1, 2)}
        made.night(NOW, {"box": (found, ())})
        made.dead(f"{1:012x}", NOW)
    steps = {case.finding: case.next for case in review(tmp_path / "s.db", until=NOW + DAY).top}
    assert "evoke" in steps[f"{2:012x}"]
    assert "evoke" not in steps[f"{1:012x}"]


def test_an_empty_store_is_reported_in_every_form(tmp_path: Path) -> None:
    Store.open(tmp_path / "s.db", KEYS).close()
    made = review(tmp_path / "s.db")
    assert "svg" not in {tag for tag, _ in Page(drawn(made)).tags}
    for write in (text.markdown, text.terminal):
        out = io.StringIO()
        write(made, out, digest=False)
        assert "0 exposures are open" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (90, "1.5 min"), (3_600, "60 min"), (5_400, "1.5 h"), (86_400, "24 h"), (172_800, "2 days"),
     (40 * 86_400, "40 days"), (800 * 86_400, "2.2 years")],
)  # fmt: skip
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


# --- the digest --------------------------------------------------------------------------------------


def test_a_digest_is_worded_by_every_channel(season: Path) -> None:
    said = [message(review(season, since=NOW - WEEK, title="Digest of a week"))]
    assert messages.subject(said).startswith("unsprawl: Digest of a week: 5 new, 7 closed with proof")
    for worded in (messages.text(said), messages.slack_text(said)):
        assert "Digest of a week: 5 new, 7 closed with proof" in worded
        assert "open exposures: 51, 3 fewer than before" in worded
        assert worded.count("unsprawl playbook") == 8
        assert "not read: buckets: archived storage class, 4 times" in worded


def test_a_digest_of_hostile_names_formats_nothing_and_mentions_nobody(tmp_path: Path) -> None:
    hostile(tmp_path / "s.db")
    said = [message(review(tmp_path / "s.db", since=NOW - WEEK, until=NOW + DAY))]
    assert "\x1b" not in messages.text(said)
    assert not re.search(r"<[!@#h]", messages.slack_text(said))


def test_a_channel_that_fails_is_told_and_jira_is_left_out(
    season: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _Hook() as hook:
        for name in ("ok", "fails"):
            monkeypatch.setenv(f"HOOK_{name}", f"{hook.url}/{name}")
        channels = [
            ConfiguredChannel("good", "webhook", Webhook(url="${HOOK_ok}")),
            ConfiguredChannel("bad", "webhook", Webhook(url="${HOOK_fails}")),
            ConfiguredChannel("cases", "jira", Jira(url=hook.url, project="SEC", token="${HOOK_ok}")),
        ]
        told = {one.channel: one for one in send(review(season, since=NOW - WEEK), channels)}
        (body,) = [json.loads(asked.body) for asked in hook.asked("/ok")]
    assert told.keys() == {"good", "bad"}
    assert (told["good"].messages, told["good"].failure) == (1, "")
    assert "404" in told["bad"].failure
    assert body["event"] == "digest"
    assert body["changes"]["new"] == 5
    assert [case["risk"] for case in body["top"]] == sorted((c["risk"] for c in body["top"]), reverse=True)


class _Hook(LoopbackServer):
    def answer(self, request: Request) -> Answer:
        return data({}, 200 if request.path == "/ok" else 404)
