"""Where the steps of a log begin: the parts of its document.

Build systems mark them in the text, each in its way; GitHub tells their times beside it instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from unsprawl.crawlers.ci.model import place, when
from unsprawl.records import Part

__all__ = ["by_markers", "by_times", "masks"]

#: Steps of one log that are told apart; what follows belongs to the last one.
_MOST: Final = 2000
_MARKS: Final[Mapping[str, re.Pattern[bytes]]] = {
    "gitlab": re.compile(rb"section_start:[0-9]{1,12}:([A-Za-z0-9_.-]{1,80})"),
    "jenkins": re.compile(rb"^(?:\[[^\]\n]{1,40}\] )?\[Pipeline\] \{ \(([^\n)]{1,120})\)", re.MULTILINE),
    "travis": re.compile(rb"travis_fold:start:([A-Za-z0-9_.-]{1,80})"),
    "buildkite": re.compile(
        rb"^(?:\x1b_bk;t=[0-9]{1,15}\x07)?(?:---|\+\+\+|~~~) ([^\n\r]{1,120})", re.MULTILINE
    ),
}
_TIME: Final = re.compile(
    rb"(?m)^(?:\xef\xbb\xbf)?([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})[0-9.]{0,12}Z "
)
_STARTS: Final = (
    b"##[group]Run ",
    b"Post job cleanup.",
    b"Cleaning up orphan processes",
    b"##[group]GITHUB_TOKEN",
)
#: What systems print in place of a secret that they know.
_MASKS: Final = re.compile(rb"(?<!\*)\*{3,8}(?!\*)|\[(?:MASKED|REDACTED|secure)\]")
_COLOURS: Final = re.compile(rb"\x1b\[[0-9;]{0,12}[A-Za-z]")


def by_markers(system: str, url: str = "") -> Callable[[bytes, str], tuple[Part, ...]]:
    """The steps that a log of ``system`` marks itself."""
    return partial(_marked, _MARKS[system], url)


def by_times(steps: Sequence[Mapping[str, Any]], url: str = "") -> Callable[[bytes, str], tuple[Part, ...]]:
    """The steps of a GitHub job: each begins at a time, to the second, at a line of a known kind."""
    return partial(_timed, steps, url)


def masks(body: bytes, start: int, end: int) -> Mapping[str, int]:
    """How many secrets are masked in a stretch of a log."""
    count = sum(1 for _ in _MASKS.finditer(body, start, end))
    return {"masks": count} if count else {}


def _marked(pattern: re.Pattern[bytes], url: str, body: bytes, uri: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    names: dict[str, int] = {}
    for found in pattern.finditer(body):
        name = _COLOURS.sub(b"", found[1]).decode("utf-8", "replace").strip()
        if not name or len(parts) == _MOST:
            continue
        count = names[name] = names.get(name, 0) + 1
        again = f".{count}" if count > 1 else ""
        parts.append(Part(found.start(), f"{uri}#{place(name)}{again}", url or None, attrs={"step": name}))
    return tuple(parts)


def _timed(steps: Sequence[Mapping[str, Any]], url: str, body: bytes, uri: str) -> tuple[Part, ...]:
    waiting = [
        (started.strftime("%Y-%m-%dT%H:%M:%S").encode(), step)
        for step in steps
        if (started := when(step.get("started_at")))
    ]
    parts: list[Part] = []
    for found in _TIME.finditer(body):
        while waiting and len(parts) < _MOST:
            begins, step = waiting[0]
            first = not parts or body.startswith(_STARTS, found.end())
            if begins > found[1] or (begins == found[1] and not first):
                break
            # A later step of the same second begins at a line of its own.
            name, number = str(step.get("name") or ""), step.get("number")
            link = f"{url}#step:{number}:1" if url else None
            started = when(step.get("started_at"))
            part = Part(found.start(), f"{uri}#step-{number}", link, None, started, {"step": name})
            if parts and parts[-1].start == part.start:
                parts[-1] = part
            else:
                parts.append(part)
            waiting.pop(0)
            if begins == found[1]:
                break
        if not waiting:
            break
    return tuple(parts)
