"""The secrets that a corpus hides: drawn at run time, each with the place where a scanner must find it."""

from __future__ import annotations

from dataclasses import dataclass

from unsprawl.placeholders import fill

__all__ = ["KINDS", "Place", "draw"]

#: One line each, so that a report can be matched by file and line. All are formats that every
#: scanner of note knows; the comparison is of speed, not of rule counts.
KINDS = {
    "github": "token: <github-token:ghp_>",
    "slack": "token: xoxb-<digits:12>-<digits:12>-<alnum:24>",
    "gitlab": "token: glpat-<alnum:20>",
    "npm": "token: <github-token:npm_>",
    "sendgrid": "token: SG.<base64url:22>.<base64url:43>",
    "stripe": "token: sk_live_<alnum:24>",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a planted secret stands: a path below the corpus (``!/`` enters an archive), a 1-based line."""

    path: str
    line: int
    kind: str


def draw(number: int) -> tuple[str, str]:
    """The kind and the text of the secret with this number; every number has another value."""
    kind = list(KINDS)[number % len(KINDS)]
    return kind, fill(KINDS[kind], seed=f"benchmark-{number}")
