"""Where the steps of logs begin, and how projects, times and addresses are read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from unsprawl.crawlers.ci.model import chosen, lines, when
from unsprawl.crawlers.ci.steps import by_markers, by_times, masks

URI = "ci://h/p/run/1/job/2"
GITLAB = (
    "Running\nsection_start:17:prepare_script\r\x1b[0Kx\nsection_end:18:prepare_script\r\x1b[0K\n"
    "section_start:19:step_script[collapsed=true]\r\x1b[0Ky\n"
)


@pytest.mark.parametrize(
    ("system", "log", "steps"),
    [
        ("gitlab", GITLAB, ["prepare_script", "step_script"]),
        (
            "jenkins",
            "Started\n[Pipeline] stage\n[Pipeline] { (Build)\n[Pipeline] { (Deploy it)\ny\n",
            ["Build", "Deploy it"],
        ),
        ("travis", "travis_fold:start:git\r\x1b[0Kx\ntravis_fold:start:script\r", ["git", "script"]),
        ("buildkite", "\x1b_bk;t=17\x07~~~ Running \x1b[90mhook\x1b[0m\nx\n--- make\n+++ make\n", None),
    ],
)
def test_steps_that_a_log_marks(system: str, log: str, steps: list[str] | None) -> None:
    parts = by_markers(system, "https://ci.test/1")(log.encode(), URI)
    assert [part.attrs["step"] for part in parts] == (steps or ["Running hook", "make", "make"])
    assert len({part.uri for part in parts}) == len(parts)
    assert all(part.uri.startswith(f"{URI}#") and part.url == "https://ci.test/1" for part in parts)
    assert [part.start for part in parts] == sorted(part.start for part in parts)


def test_a_log_of_nothing_but_marks_has_an_end() -> None:
    parts = by_markers("buildkite")(b"--- a\n" * 100_000, URI)
    assert len(parts) == 2000


def test_steps_by_their_times_follow_the_lines() -> None:
    def row(second: int, text: str) -> str:
        return f"2026-05-01T10:00:{second:02}.1234567Z {text}\n"

    log = row(0, "begun") + row(1, "##[group]Run a") + row(3, "x") + row(3, "##[group]Run b") + row(9, "y")
    names = ("Set up job", "Run a", "Run b", "Complete job")
    starts = (0, 1, 3, 9)
    steps = [
        {"name": name, "number": number, "started_at": f"2026-05-01T10:00:{at:02}Z"}
        for number, (name, at) in enumerate(zip(names, starts, strict=True), 1)
    ]
    parts = by_times(steps, "https://h/job/2")(("\ufeff" + log).encode(), URI)
    body = ("\ufeff" + log).encode()
    told = {str(part.attrs["step"]): body[part.start :].split(b"\n")[0][-14:] for part in parts}
    assert told["Set up job"].endswith(b"begun")
    assert told["Run a"].endswith(b"Run a")
    assert told["Run b"].endswith(b"Run b")
    assert [part.url for part in parts][:2] == ["https://h/job/2#step:1:1", "https://h/job/2#step:2:1"]


def test_masks_are_those_of_systems() -> None:
    log = b"a *** b [MASKED] c [REDACTED] [secure] **bold** ********** ****"
    assert masks(log, 0, len(log)) == {"masks": 5}
    assert masks(log, 6, 8) == {}


@pytest.mark.parametrize(
    ("name", "wanted", "is_chosen"),
    [
        ("acme/shop", (), True),
        ("acme/shop", ("acme",), True),
        ("acme/shop", ("acme/",), True),
        ("Acme/Shop", ("acme/s*",), True),
        ("acme/shop/main", ("acme/shop",), True),
        ("acmes/shop", ("acme",), False),
        ("acme/shop", ("other/*", "acme/web"), False),
    ],
)
def test_projects_are_chosen_by_name_folder_or_glob(
    name: str, wanted: tuple[str, ...], is_chosen: bool
) -> None:
    assert chosen(name, wanted) is is_chosen


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-05-01T10:00:00Z", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01T10:00:00.1234567Z", datetime(2026, 5, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-05-01T12:00:00+02:00", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        ("2026-05-01T10:00:00", datetime(2026, 5, 1, 10, tzinfo=UTC)),
        (1777629600, datetime(2026, 5, 1, 10, tzinfo=UTC)),
        (1777629600000, datetime(2026, 5, 1, 10, tzinfo=UTC)),
        (0, None),
        (1e300, None),
        (True, None),
        ("yesterday", None),
        (None, None),
        ([], None),
    ],
)
def test_times_as_systems_write_them(value: object, time: datetime | None) -> None:
    assert when(value) == time


def test_lines_are_as_a_shell_says_them() -> None:
    assert lines({"A": "1", "B": None, "C": "", "D": 0, "E": "x\ny"}) == b"A=1\nD=0\nE=x\ny\n"
