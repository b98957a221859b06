"""Whence the values of a sweep come, and which findings an option chooses."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from unsprawl.errors import ConfigError
from unsprawl.given import Chosen, read_lines, read_text
from unsprawl.records import Source, Unit
from unsprawl.volatility import Turns, ahead, rank

KEY = "-----BEGIN EC PRIVATE KEY-----\nAAAA\nBBBB\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"one-value\r\n\r\n  two values \r\n", ["one-value", "two values"]),
        (b"\xef\xbb\xbf# no comment\n", ["# no comment"]),
        ("one-value\nzwei-ü\n".encode("utf-16"), ["one-value", "zwei-ü"]),
        (f"before\n{KEY}\nafter\n".encode(), [KEY, "before", "after"]),
        (b"", []),
        (b"a\x00b\xff\n", ["a\x00b\ufffd"]),
    ],
)
def test_one_value_a_line_and_private_keys_as_they_are(content: bytes, expected: list[str]) -> None:
    assert [secret.text() for secret in read_lines(content)] == expected


def test_what_is_too_large_is_no_list_of_values() -> None:
    with pytest.raises(ConfigError, match="64 MiB"):
        read_text("-", io.BytesIO(b"x" * (65 << 20)))


ROW: dict[str, Any] = {
    "finding": "3fa1c2d4e5f60718",
    "rule": "aws.secret-key",
    "author": "Mallory Mayer <mallory@acme.test>",
    "modified_at": "2026-11-20T10:00:00.000Z",
    "first_seen": "2026-11-21T01:00:00.000Z",
}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Chosen(), True),
        (Chosen(findings=("3fa1",)), True),
        (Chosen(findings=("3fa2", "77")), False),
        (Chosen(rule="aws.*"), True),
        (Chosen(rule="aws"), False),
        (Chosen(author="mallory@"), True),
        (Chosen(author="MAYER"), True),
        (Chosen(author="bob"), False),
        (Chosen(rule="aws.*", author="bob"), False),
        (Chosen(since=datetime(2026, 11, 20, tzinfo=UTC)), True),
        (Chosen(since=datetime(2026, 11, 20, 12, tzinfo=UTC)), False),
    ],
)
def test_findings_are_chosen_by_all_that_is_asked(chosen: Chosen, expected: bool) -> None:
    assert chosen.admits(ROW) is expected


def test_what_has_no_date_counts_by_when_it_was_seen_and_nobody_by_no_author() -> None:
    row = {**ROW, "modified_at": None, "author": None}
    assert Chosen(since=datetime(2026, 11, 20, 12, tzinfo=UTC)).admits(row)
    assert not Chosen(author="mallory").admits(row)


class _Surface:
    def __init__(self, type_: str) -> None:
        self.type = self.name = type_


def test_what_is_deleted_first_is_read_first() -> None:
    names = ["s3", "jira", "somebody.else", "slack", "ci"]
    surfaces: list[Source] = sorted(map(_Surface, names), key=ahead)  # type: ignore[arg-type]
    assert [one.type for one in surfaces] == ["ci", "slack", "jira", "somebody.else", "s3"]
    now = datetime.now(UTC)
    units = [
        Unit("kept"),
        Unit("month", expires_at=now + timedelta(days=30)),
        Unit("gone", expires_at=now - timedelta(days=1)),
        Unit("hour", expires_at=now + timedelta(hours=1)),
    ]
    logs, chat = surfaces[:2]
    assert [one.id for one in sorted(units, key=lambda unit: rank(logs, unit))] == [
        "gone",
        "hour",
        "month",
        "kept",
    ]
    assert max(rank(logs, unit) for unit in units) < rank(chat, units[2])


def test_what_is_stored_by_intent_takes_turns_behind_all_that_is_soon_gone() -> None:
    turns = Turns()
    chat, files, s3 = (cast(Source, _Surface(name)) for name in ("slack", "files", "s3"))
    large = [turns(files, Unit(str(number))) for number in range(1000)]
    small = [turns(s3, Unit(str(number))) for number in range(2)]
    assert large == sorted(set(large))
    assert large[:2] == small, "the second unit of a bucket waits for two of the folder, not for all"
    assert turns(chat, Unit("c")) < min(large)
    soon = Unit("soon", expires_at=datetime.now(UTC) + timedelta(days=1))
    assert turns(s3, soon) < min(large)
    assert turns(s3, Unit("next")) > small[1]
