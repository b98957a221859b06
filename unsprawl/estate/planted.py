"""What is planted in the demo organisation, and where: the truth that the demo and the tests compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from unsprawl.placeholders import fill

__all__ = ["GAPS", "MAILBOXES", "PLANTED", "Gap", "Planted", "Sighting", "canary", "values"]

_SEED: Final = "acme"
#: Ten mailboxes were set up on one afternoon, all with the same password: ten cases, one fingerprint.
MAILBOXES: Final = tuple(
    f"{name}@mail.acme.internal"
    for name in ("anna", "bo", "carla", "dmitri", "eve", "femi", "gus", "hana", "ivan", "jo")
)


def canary() -> str:
    """What stands on each surface for every crawl to find; it is no finding."""
    return fill("<github-token:unsprawl_canary_>", f"{_SEED} canary")


@dataclass(frozen=True, slots=True)
class Sighting:
    """``source`` is the key in the demo's configuration, ``path`` is part of the path that is reported.

    ``attr`` has to be among the occurrence's attributes: what only the surface can tell.
    """

    source: str
    path: str
    attr: str = ""


@dataclass(frozen=True, slots=True)
class Planted:
    """One secret. ``template`` is filled at run time; ``cases`` is how many findings it makes.

    None are made by what only goes with a secret: the id of a cloud key is shown beside its finding.
    """

    name: str
    template: str
    sightings: tuple[Sighting, ...]
    cases: int = 1

    @property
    def value(self) -> str:
        return fill(self.template, f"{_SEED} {self.name}")


@dataclass(frozen=True, slots=True)
class Gap:
    """What cannot be read and has to stand in the ledger. ``excluded``: the owner accepted it."""

    source: str
    uri: str
    excluded: bool = False


PLANTED: Final = (
    Planted(
        "deploy token, on three surfaces",
        "<github-token:ghp_>",
        (
            Sighting("laptop", "shop/.env"),
            Sighting("buckets", "ci/2025/deploy-4711.log"),
            Sighting("images", "srv/shop/.netrc"),
        ),
    ),
    Planted(
        "bot token, deleted by the next layer",
        "xoxb-<digits:12>-<digits:13>-<alnum:24>",
        (Sighting("images", "srv/shop/.env", attr="deleted_in"),),
    ),
    Planted(
        "token overwritten by the next layer",
        "<github-token:gho_>",
        (Sighting("images", "srv/shop/config.ini", attr="overwritten_in"),),
    ),
    Planted(
        "token in an environment variable of an image",
        "<github-token:ghs_>",
        (Sighting("images", "configuration"),),
    ),
    Planted(
        "webhook in a build argument, kept by the history",
        "https://hooks.slack.com/services/T<upperdigits:10>/B<upperdigits:10>/<alnum:24>",
        (Sighting("images", "configuration"),),
    ),
    Planted(
        "token in the arm64 variant only, packed with zstd",
        "<github-token:ghu_>",
        (Sighting("images", "opt/agent/token"),),
    ),
    Planted(
        "build argument in the provenance of an image",
        "<github-token:gho_>",
        (Sighting("images", "ops/agent", "about"),),
    ),
    Planted(
        "token in the values of a chart",
        "<github-token:ghp_>",
        (Sighting("images", "shop/values.yaml", "artifact"),),
    ),
    Planted(
        "cloud key in a shell history",
        "<aws-key-id:210987654321>",
        (),
        cases=0,
    ),
    Planted(
        "cloud secret beside its key",
        "<base64:40>",
        (Sighting("laptop", ".bash_history"),),
    ),
    Planted(
        "token in a backup of a backup",
        "github_pat_<alnum:22>_<alnum:59>",
        (Sighting("laptop", "site-2024.zip!/"),),
    ),
    Planted(
        "token in a packed build log",
        "xoxp-<digits:12>-<digits:12>-<digits:13>-<hex:32>",
        (Sighting("buckets", "ci/2025/build-98.log.gz"),),
    ),
    Planted(
        "token in a version of an object that was replaced",
        "<github-token:ghp_>",
        (Sighting("buckets", "app/production.env", attr="state"),),
    ),
    Planted(
        "token behind a delete marker",
        "<github-token:gho_>",
        (Sighting("buckets", "app/staging.env", attr="hidden"),),
    ),
    Planted(
        "token in the metadata of an object",
        "<github-token:ghs_>",
        (Sighting("buckets", "app/logo.svg metadata"),),
    ),
    Planted(
        "token in the environment of a container",
        "<github-token:ghp_>",
        (Sighting("build-host", "container nightly", attr="container"),),
    ),
    Planted(
        "token in a file that a container wrote",
        "<github-token:gho_>",
        (Sighting("build-host", "nightly:/root/.netrc", attr="container"),),
    ),
    Planted(
        "token deleted in an image that was never pushed",
        "<github-token:ghu_>",
        (Sighting("build-host", "build/.npmrc", attr="deleted_in"),),
    ),
    Planted(
        "one weak password for ten mailboxes",
        "<word>-<word>-<digits:4>",
        (Sighting("laptop", "ops/mailboxes.yaml"),),
        cases=len(MAILBOXES),
    ),
    Planted(
        "token in a reply of a thread",
        "<github-token:ghp_>",
        (Sighting("chat", "#ops", attr="thread"),),
    ),
    Planted(
        "password in the message behind its user",
        "<alnum:20>",
        (Sighting("chat", "#ops", attr="channel"),),
    ),
    Planted(
        "token split by styles in a bot's message",
        "<github-token:gho_>",
        (Sighting("chat", "#builds"),),
    ),
    Planted(
        "token in the link of a bookmark",
        "<github-token:ghs_>",
        (Sighting("chat", "#builds/bookmarks"),),
    ),
    Planted(
        "token in a snippet, posted by somebody",
        "<github-token:ghp_>",
        (Sighting("chat", "files/release.sh"), Sighting("pastes", "", attr="feed")),
    ),
    Planted(
        "token in a message that was deleted",
        "<github-token:ghp_>",
        (Sighting("chat-export", "#ops", attr="state"),),
    ),
    Planted(
        "password in one comment, its user in another",
        "<alnum:18>",
        (Sighting("tracker", "OPS/OPS-1"),),
    ),
    Planted(
        "token removed from a description, alive in the history",
        "<github-token:ghp_>",
        (Sighting("tracker", "OPS/OPS-2 history", attr="removed_from"),),
    ),
    Planted(
        "bot token in a file attached to a public issue",
        "xoxb-<digits:12>-<digits:13>-<alnum:24>",
        (Sighting("tracker", "SHOP/SHOP-1/env.txt"),),
    ),
    Planted(
        "token in a code block of a page",
        "<github-token:ghp_>",
        (Sighting("wiki", "OPS/Runbook"),),
    ),
    Planted(
        "token taken off a page, alive in its history",
        "<github-token:ghp_>",
        (Sighting("wiki", "OPS/Runbook/history", attr="removed_in"),),
    ),
    Planted(
        "bot token in a comment that everyone can read",
        "xoxb-<digits:12>-<digits:13>-<alnum:24>",
        (Sighting("wiki", "HANDBOOK/Welcome/comment"),),
    ),
    Planted(
        "token split by colours in a public build log",
        "<github-token:ghs_>",
        (Sighting("builds", "release.log", attr="retention"),),
    ),
    Planted(
        "bot token in an artifact of a build",
        "xoxb-<digits:12>-<digits:13>-<alnum:24>",
        (Sighting("builds", "debug-env.zip", attr="expires_at"),),
    ),
    Planted(
        "token among the variables of a repository",
        "<github-token:ghp_>",
        (Sighting("builds", "acme/agent/settings/variables"),),
    ),
)

GAPS: Final = (
    Gap("buckets", "s3://acme-finance"),
    Gap("buckets", "s3://acme-archive/2019/", excluded=True),
    Gap("chat", "slack://T0ACME/C0000LEGAL"),
    Gap("tracker", "jira://"),
    Gap("wiki", "confluence://"),
    Gap("builds", "ci://"),
)


def values() -> dict[str, str]:
    """Every planted value by the name of what it is."""
    return {one.name: one.value for one in PLANTED}
