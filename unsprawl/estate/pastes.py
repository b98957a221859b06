"""The paste site beside the demo organisation: what strangers posted, some of which is ours."""

from __future__ import annotations

from typing import Final

from unsprawl.estate.paste_server import PasteServer
from unsprawl.estate.planted import PLANTED, values

__all__ = ["fill_pastes", "stranger_posts"]

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


def stranger_posts(server: PasteServer, number: int, at: float) -> None:
    """One more paste at ``at`` (seconds since 1970): every sixth holds another token of ours."""
    if number % 6 == 2:
        ours = [one.value for one in PLANTED if one.name.startswith("token")]
        server.post(f"{ours[number // 6 % len(ours)]}\n", at, title=f"drawer {number}")
    else:
        server.post(
            f"{number + 2} apples, {number * 10} g of sugar\n", at, title=f"cake {number}", author="cook"
        )
