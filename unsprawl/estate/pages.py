"""The wiki of the demo organisation: a runbook, a handbook for everyone, and a space that is closed."""

from __future__ import annotations

from typing import Final

from unsprawl.estate.planted import canary, values
from unsprawl.estate.wiki_model import Wiki

__all__ = ["CLOSED_SPACE", "wiki"]

#: Its pages answer 403: nobody gave the crawler the right.
CLOSED_SPACE: Final = "HR"


def wiki() -> Wiki:
    """As people left it."""
    value = values()
    site = Wiki()
    site.room("OPS", "Operations", description="How the shop is run.")
    site.room("HANDBOOK", "Handbook", open=True)
    site.room(CLOSED_SPACE, "People", closed=True)
    steps = "<h1>Deploy</h1><p>Tell the channel first.</p>"
    pasted = value["token taken off a page, alive in its history"]
    row = f"<table><tbody><tr><th><p>deploy token</p></th><td><p>{pasted}</p></td></tr></tbody></table>"
    script = (
        '<ac:structured-macro ac:name="code"><ac:parameter ac:name="language">bash</ac:parameter>'
        "<ac:plain-text-body><![CDATA[set -eu\n"
        f"export GITHUB_TOKEN={value['token in a code block of a page']}\n./deploy.sh\n"
        "]]></ac:plain-text-body></ac:structured-macro>"
    )
    runbook = site.write(
        "OPS", "Runbook", steps, steps + row, f"{steps}<p>The token is in the vault.</p>{script}"
    )
    site.comment(runbook, "<p>Works, thanks.</p>")
    site.write("OPS", "Shop is open", "<p>We are live.</p>", kind="blogpost")
    welcome = site.write(
        "HANDBOOK", "Welcome", f"<p>How we work. Everyone may read this.</p><p>{canary()}</p>"
    )
    bot = value["bot token in a comment that everyone can read"]
    site.comment(welcome, f"<p>For the chat bot: <em>{bot[:20]}</em>{bot[20:]}</p>")
    site.write(CLOSED_SPACE, "Salaries", "<p>Not for you.</p>")
    return site
