"""The issue tracker of the demo organisation: what people wrote, and what they thought they had deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from unsprawl.estate.jira_site import JiraSite
from unsprawl.estate.planted import canary, values

__all__ = ["CLOSED_PROJECT", "tracker"]

#: It is listed, but nobody gave the auditor the permission to browse it.
CLOSED_PROJECT: Final = "HR"
#: Always the same day, so that a second demonstration finds the same times.
_WRITTEN: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def tracker() -> JiraSite:
    """Three projects, one of them public, one closed."""
    value = values()
    site = JiraSite(lambda: _WRITTEN)
    site.project("OPS", "Operations", description="Whatever keeps the shop running.")
    site.project("SHOP", "The shop", grants=({"type": "anyone"},))
    site.project(CLOSED_PROJECT, "People", closed=True)
    deploy = site.custom_field("Deployment")

    move = site.issue(
        "OPS", "Move the orders database", age=timedelta(days=3), description=f"By Friday, please. {canary()}"
    )
    site.comment(move, "How do I get in? I need to run the migration.", author="bo")
    site.comment(move, "host: orders-db.acme.internal\nuser: migrator", author="carla")
    site.comment(move, f"password: {value['password in one comment, its user in another']}", author="carla")

    rollout = site.issue("OPS", "Rollout of the agent", age=timedelta(days=9), author="dmitri")
    token = value["token removed from a description, alive in the history"]
    rollout.fields["description"] = f"Steps:\nexport GITHUB_TOKEN={token}\n./rollout.sh"
    site.edit(rollout, "description", "Steps:\n./rollout.sh", author="eve")
    site.edit(rollout, deploy, "every Tuesday")

    crash = site.issue("SHOP", "The cart crashes", age=timedelta(days=30), description="See the environment.")
    dump = f"LOG_LEVEL=debug\nSLACK_BOT_TOKEN={value['bot token in a file attached to a public issue']}\n"
    site.attach(crash, "env.txt", dump.encode(), author="femi")
    for number in range(120):
        site.issue(
            "SHOP", f"Button {number} is blue", age=timedelta(days=number), description="It should be red."
        )
    site.saved_search("Open crashes", "project = SHOP AND summary ~ crash")
    site.clock = lambda: datetime.now(UTC)
    return site
