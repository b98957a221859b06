"""The paste site beside the demo organisation: what strangers posted, some of which is ours."""

from __future__ import annotations

from typing import Final

from unsprawl.estate.paste_server import PasteServer
from unsprawl.estate.planted import values

__all__ = ["fill_pastes"]

#: Always the same times, so that a second demonstration finds the same pastes.
_POSTED: Final = 1_772_442_000.0


def fill_pastes(server: PasteServer) -> PasteServer:
    """Recipes of strangers, a script of ours, and somebody who talks about us."""
    if not server.pastes:
        for number in range(30):
            text = f"{number} eggs, {number * 50} g of flour, stir for {number} minutes\n"
            server.post(text, _POSTED + 60 * number, title=f"pancakes {number}", author="cook")
        token = values()["token in a snippet, posted by somebody"]
        script = f"found on an old laptop\n#!/bin/sh\nexport GITHUB_TOKEN={token}\nmake release\n"
        server.post(script, _POSTED + 700, title="lol", syntax="bash")
        offer = "customers of acme.internal, fresh, 40k rows, contact me\n"
        server.post(offer, _POSTED + 1300, title="selling")
    return server
