"""The build system of the demo organisation: what builds printed, and what they left behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from unsprawl.estate.builds import Builds, Step
from unsprawl.estate.planted import canary, values

__all__ = ["CLOSED_REPOSITORY", "builds"]

#: It is listed, but the auditor's token has no right to its runs.
CLOSED_REPOSITORY: Final = "acme/payroll"
#: Always the same day, so that a second demonstration finds the same times.
_BUILT: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def builds() -> Builds:
    """Two repositories with a month of builds, and one that is closed."""
    value = values()
    site = Builds(_BUILT)
    site.project("acme/shop", private=False)
    site.project("acme/agent")
    site.project(CLOSED_REPOSITORY, closed=True)
    for number in range(30):
        run = site.run("acme/shop", age=timedelta(days=30 - number), title=f"Button {number} is red")
        site.job(
            run, "build", Step("make", f"compiled {40 + number} modules"), Step("make test", "all is well")
        )
    token = value["token split by colours in a public build log"]
    trace = f"+ git push https://x-access-token:{token[:11]}\x1b[32m{token[11:]}\x1b[0m@github.com/acme/shop"
    run = site.run("acme/shop", age=timedelta(days=3), title="Why does the push fail?")
    site.job(run, "release", Step("make", "compiled"), Step("push", f"login as *** \n{trace}\nremote: done"))
    run = site.run("acme/agent", age=timedelta(days=2), title="Rollout")
    site.job(run, "rollout", Step("make rollout", f"rolled out to 40 hosts\ncanary: {canary()}"))
    dump = f"HOME=/root\nSLACK_BOT_TOKEN={value['bot token in an artifact of a build']}\nPATH=/usr/bin\n"
    site.file(run, "debug-env", dump.encode())
    site.projects["acme/agent"].variables = {
        "LOG_LEVEL": "debug",
        "GH_TOKEN": value["token among the variables of a repository"],
    }
    return site
