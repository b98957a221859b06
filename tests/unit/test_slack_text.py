"""Slack messages as text, in runs, and at the pace that Slack wants."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from unsprawl.crawlers.slack.faults import refusal
from unsprawl.crawlers.slack.messages import Message, Runs, parse
from unsprawl.crawlers.slack.pace import TierPace, per_minute
from unsprawl.crawlers.slack.text import mrkdwn, readable
from unsprawl.crawlers.slack.times import DAY, duration, micros, midnight, moment, stamp
from unsprawl.errors import AuthError, RetryableError, UnreadableError


def rich(*elements: dict) -> dict:
    section = {"type": "rich_text_section", "elements": list(elements)}
    return {"type": "rich_text", "elements": [section]}


def text(value: str, **more) -> dict:
    return {"type": "text", "text": value, **more}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a &amp; b &lt;c&gt;", "a & b <c>"),
        ("see <https://x.test/?a=1&amp;b=2|the page>", "see the page https://x.test/?a=1&b=2"),
        ("<https://x.test/>", "https://x.test/"),
        ("<mailto:a@x.test|a@x.test>", "a@x.test"),
        ("<@U1> in <#C1|general>, <!here>", "@U1 in #C1, @here"),
        ("<!subteam^S1|@ops> <!date^1^{date}|today>", "@ops today"),
        ("if a < b and c > d", "if a < b and c > d"),
    ],
)
def test_markup_is_shown_as_a_reader_sees_it(given: str, shown: str) -> None:
    assert mrkdwn(given) == shown


def test_styles_do_not_split_what_belongs_together() -> None:
    message = {
        "text": "key *abc*def",
        "blocks": [rich(text("key "), text("abc", style={"bold": True}), text("def"))],
    }
    assert readable(message) == "key abcdef"


def test_what_is_said_four_times_is_read_once() -> None:
    message = {
        "text": "password is <https://x.test/|here>",
        "blocks": [rich(text("password is "), {"type": "link", "url": "https://x.test/", "text": "here"})],
        "attachments": [{"fallback": "password is here https://x.test/", "text": "and more"}],
    }
    assert readable(message) == "password is here https://x.test/\nand more"


def test_every_place_of_a_message_is_read() -> None:
    message = {
        "text": "in the text",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": "in a header"}},
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "in a field"}],
             "accessory": {"type": "button", "text": {"text": "in a button"}, "url": "https://in.test/url"}},
            {"type": "context", "elements": [{"type": "image", "alt_text": "in alt", "image_url": "https://i.test/"}]},
            {"type": "table", "rows": [[{"type": "raw_text", "text": "in a cell"}]]},
            {"type": "of-tomorrow", "novelty": {"deep": ["in something unknown"]}},
            {"type": "rich_text", "elements": [
                {"type": "rich_text_preformatted", "elements": [text("in code")]},
                {"type": "rich_text_list", "elements": [
                    {"type": "rich_text_section", "elements": [text("in a list")]}]}]},
        ],
        "attachments": [
            {"pretext": "in a pretext", "title": "in a title", "footer": "in a footer",
             "from_url": "https://unfurl.test/",
             "fields": [{"title": "password", "value": "in a value", "short": True}],
             "message_blocks": [{"message": {"blocks": [rich(text("in an unfurled message"))]}}],
             "files": [{"name": "in-a-file-name.txt"}]},
        ],
        "metadata": {
            "event_type": "x", "event_payload": {"token": "in metadata", "more": {"a": ["in depth"]}},
        },
        "files": [
            {"name": "name.txt", "title": "in a file title", "initial_comment": {"comment": "in a comment"}},
        ],
    }  # fmt: skip
    shown = readable(message)
    for place in (
        "the text", "a header", "a field", "a button", "alt", "a cell", "something unknown", "code",
        "a list", "a pretext", "a title", "a footer", "an unfurled message", "metadata", "depth",
        "a file title", "a comment",
    ):  # fmt: skip
        assert f"in {place}" in shown, place
    for line in ("password: in a value", "https://in.test/url", "https://unfurl.test/", "in-a-file-name.txt"):
        assert line in shown, line
    assert "rich_text" not in shown


def test_hostile_structures_are_read_or_shown() -> None:
    deep: dict = {"text": "at the bottom"}
    for _ in range(400):
        deep = {"elements": [deep]}
    assert "at the bottom" in readable({"blocks": [{"type": "actions", **deep}]})
    for odd in ([], "x", 7, {"a": 1}, [None, 3, "x"], [{"type": None, "elements": {"a": 3}}]):
        assert readable(
            {"text": "kept", "blocks": odd, "attachments": odd, "files": odd, "metadata": odd}
        ).startswith("kept") or isinstance(odd, list)
    assert parse({"ts": "no time", "text": "x"}, {}) is None
    assert parse({"ts": 17, "text": "x"}, {}) is None


def runs_of(*messages: tuple[int, str]) -> list[list[int]]:
    runs, found = Runs(), list[list[Message]]()
    for at, who in sorted(messages, reverse=True):
        message = parse({"ts": stamp(at * 1_000_000), "user": who, "text": "x"}, {})
        assert message is not None
        found += runs.add(message)
    found += runs.rest()
    assert runs.edge is None
    return sorted([one.at // 1_000_000 for one in run] for run in found)


def test_a_run_is_one_authors_and_has_no_long_pause() -> None:
    assert runs_of((0, "a"), (600, "a"), (1201, "a")) == [[0, 600], [1201]]
    assert runs_of((0, "a"), (10, "b"), (20, "a")) == [[0, 20], [10]]
    assert runs_of((86_390, "a"), (86_410, "a")) == [[86_390], [86_410]]


def test_a_flood_makes_no_endless_document() -> None:
    assert max(map(len, runs_of(*[(second, "a") for second in range(3000)]))) <= 1000


def test_times_are_exact() -> None:
    assert micros("1700000000.000100") == 1_700_000_000_000_100
    assert stamp(1_700_000_000_000_100) == "1700000000.000100"
    assert [micros(odd) for odd in ("", "x", "1e5", None, "9" * 13, "1.1234567")] == [None] * 6
    assert moment("1700000000.5") == datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)
    assert moment("999999999999.0") is None
    assert midnight(DAY + 5) == DAY
    assert duration("2w") == 14 * DAY
    with pytest.raises(ValueError):
        duration("14 days")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_minutes_worth_may_come_at_once_and_then_the_published_rate() -> None:
    clock = Clock()
    pace = TierPace(per_minute("conversations.history"), clock=clock, sleep=clock.sleep)
    for _ in range(50):
        pace.wait()
    assert clock.now - 100 <= 1.3
    for _ in range(100):
        pace.wait()
    assert 118 <= clock.now - 100 <= 122


def test_a_refusal_is_waited_for_and_ends_the_burst() -> None:
    clock = Clock()
    pace = TierPace(50, clock=clock, sleep=clock.sleep)
    pace.wait()
    pace.pause(30)
    pace.wait()
    assert clock.now >= 130
    before = clock.now
    for _ in range(10):
        pace.wait()
    assert clock.now - before == pytest.approx(12.0)
    unknown = TierPace(50, known=False, clock=clock, sleep=clock.sleep)
    before = clock.now
    for _ in range(1000):
        unknown.wait()
    assert clock.now == before


def test_refusals_are_sorted_by_what_becomes_of_the_work() -> None:
    assert isinstance(refusal("x", {"error": "token_revoked"}, 200), AuthError)
    assert isinstance(refusal("x", {"error": "ratelimited"}, 200), RetryableError)
    missing = refusal("x", {"error": "missing_scope", "needed": "files:read"}, 200)
    assert isinstance(missing, UnreadableError)
    assert "files:read" in missing.hint
    hostile = refusal("x", {"error": "\x1b[31m boo", "needed": ["x"]}, 200)
    assert "\x1b" not in hostile.message
    assert json.dumps(hostile.message)
