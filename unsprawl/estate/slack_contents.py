"""The chat of the demo organisation: its workspace, and an older export of it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Final

from unsprawl.estate.planted import canary, values
from unsprawl.estate.slack_workspace import Workspace, post

__all__ = ["CLOSED_CHANNEL", "TEAM", "workspace", "write_export"]

TEAM: Final = "T0ACME"
#: Nobody has invited the app.
CLOSED_CHANNEL: Final = "C0000LEGAL"
#: A Tuesday at nine (UTC). Times stay the same, so that the second night finds nothing new.
_MORNING: Final = 1_767_690_000


def workspace() -> Workspace:
    """Three channels, a direct message, a closed channel; a snippet, a canvas, profiles."""
    value = values()
    team = Workspace(TEAM, "Acme", "acme")
    anna = team.user("anna", "Anna Ander", profile={"title": "Operations"})
    bo = team.user("bo", "Bo Berg", profile={"title": "Shop"})
    team.user("kim", "Kim (agency)", is_restricted=True)
    team.usergroups.append({"id": "S0OPS", "name": "Operations", "handle": "ops", "description": "on call"})
    ops = team.channel("ops", topic={"value": "deploys and outages", "creator": anna, "last_set": _MORNING})
    question = ops.add(post(_MORNING, bo, "the nightly deploy fails: 401 from github"))
    ops.reply(question, post(_MORNING + 60, anna, "the old token expired, let me make a new one"))
    ops.reply(
        question,
        post(_MORNING + 400, anna, f"here: {value['token in a reply of a thread']}, please rotate it later"),
    )
    ops.reply(question, post(_MORNING + 500, bo, "works, thanks"))
    ops.add(post(_MORNING + 7200, anna, "the replica has its own login\nuser: reporting"))
    ops.add(post(_MORNING + 7215, bo, "and the password?"))
    password = value["password in the message behind its user"]
    ops.add(post(_MORNING + 7240, anna, f"password: {password}"))
    token = value["token split by styles in a bot's message"]
    pieces = [
        {"type": "text", "text": "published with "},
        {"type": "text", "text": token[:12], "style": {"bold": True}},
        {"type": "text", "text": token[12:]},
    ]
    section = {"type": "rich_text_section", "elements": pieces}
    builds = team.channel("builds")
    for number in range(40):
        builds.add(
            post(
                _MORNING + 3600 * number,
                "",
                f"build {4700 + number} passed",
                subtype="bot_message",
                bot_id="B0BUILD",
                username="Build bot",
                attachments=[
                    {"fallback": f"build {4700 + number}", "title": "log", "text": "12 steps, all ok"}
                ],
                **({"blocks": [{"type": "rich_text", "elements": [section]}]} if number == 11 else {}),
            )
        )
    builds.bookmarks.append(
        {
            "title": "dashboard",
            "link": f"https://ci.acme.internal/?access_token={value['token in the link of a bookmark']}",
            "date_updated": _MORNING,
            "last_updated_by_user_id": bo,
        }
    )
    team.channel("general").add(post(_MORNING, anna, f"welcome, everybody (leave this here: {canary()})"))
    direct = team.channel("", id="D0000BO", kind="im", user=bo)
    direct.add(post(_MORNING + 86_400, anna, "lunch?"))
    team.channel(
        "legal", id=CLOSED_CHANNEL, kind="private_channel", is_member=False
    ).refusal = "not_in_channel"
    snippet = (
        f"#!/bin/sh\nexport GITHUB_TOKEN={value['token in a snippet, posted by somebody']}\nmake release\n"
    )
    file = {"mode": "snippet", "filetype": "shell", "channels": [ops.id], "user": bo}
    team.file("release.sh", snippet.encode(), _MORNING + 9000, **file)
    page = b"<html><body><h1>On call</h1><p>Read the runbook first.</p></body></html>"
    team.file("On call", page, _MORNING, mode="quip", filetype="quip", mimetype="text/html", user=anna)
    return team


def write_export(path: Path) -> None:
    """An export from the year before, in which a message still stands that was deleted since."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    token = values()["token in a message that was deleted"]
    users = [{"id": "U00000001", "team_id": TEAM, "name": "anna", "profile": {"real_name": "Anna Ander"}}]
    at = _MORNING - 300 * 86_400
    deleted = {
        "type": "message",
        "subtype": "message_deleted",
        "ts": post(at, "", "")["ts"],
        "previous_message": post(at, "U00000001", f"oops, wrong window: {token}"),
    }
    members = {
        "users.json": users,
        "channels.json": [{"id": "C00000000", "name": "ops", "created": 1_600_000_000}],
        "ops/2025-03-12.json": [post(at - 60, "U00000001", "deploy is done"), deleted],
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2025, 3, 31, 8, 0, 0)), json.dumps(content))
