"""What vendors say of their limits, in seconds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from unsprawl.wire.limits import asked_wait, limited

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
IN_A_MINUTE = int(NOW.timestamp()) + 60


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after": "7"}, 7),
        (503, {"retry-after": "Fri, 01 May 2026 12:00:30 GMT"}, 30),
        (200, {"retry-after": "5"}, 5),  # Azure
        (403, {"retry-after": "60"}, 60),  # secondary limits of GitHub
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(IN_A_MINUTE)}, 60),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(IN_A_MINUTE)}, 60),
        (429, {"ratelimit-reset": str(IN_A_MINUTE)}, 60),  # GitLab
        (429, {"ratelimit-remaining": "0", "ratelimit-reset": "12"}, 12),  # Buildkite
        (429, {"x-ratelimit-reset": str(IN_A_MINUTE * 1000)}, 60),
        (429, {"x-ratelimit-reset": "2026-05-01T12:01:00Z"}, 60),
        (429, {"x-ratelimit-reset": str(IN_A_MINUTE - 3600)}, 0),
        (200, {"x-ratelimit-remaining": "9", "x-ratelimit-reset": str(IN_A_MINUTE)}, None),
        (403, {}, None),
        (302, {"retry-after": "9"}, None),
        (429, {"x-ratelimit-reset": "-5"}, None),
        (429, {"x-ratelimit-reset": "nan"}, None),
        (429, {"x-ratelimit-reset": "1e300"}, None),
        (429, {"x-ratelimit-reset": "soon"}, None),
        (429, {}, None),
    ],
)
def test_what_is_asked_for(status: int, headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait(status, headers, NOW) == seconds


def test_a_refusal_is_about_speed_only_when_it_says_so() -> None:
    assert limited(429, {})
    assert limited(403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"})
    assert not limited(403, {"x-ratelimit-remaining": "4000", "x-ratelimit-reset": "1"})
    assert not limited(404, {"retry-after": "5"})
