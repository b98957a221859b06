"""A Slack workspace of a million messages, made as it is asked for: ``python -m benchmarks.slack``.

The server runs here, the crawl in a process of its own. Two nights: everything, then nothing new.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import measure
from unsprawl.crawlers.slack.pace import per_minute
from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.slack_workspace import Channel, Workspace, post, stamp
from unsprawl.placeholders import fill

_TOKEN = "benchmark"
#: Of so many messages one holds a secret, and one begins a thread of five replies.
_SECRET_EVERY = 5_000
_THREAD_EVERY = 500
_REPLIES = 5
#: What Slack limits by itself, of what a crawl of channels asks.
_METHODS = ("conversations.history", "conversations.replies", "users.list", "conversations.list")
_WORDS = (
    "deploy the service after lunch please look at build log and tell me whether staging answers again "
    "because customer saw an error yesterday when they opened invoice page in production thanks"
).split()


def workspace(messages: int, channels: int) -> Workspace:
    """``messages`` in ``channels`` of one size, the newest an hour ago, a message every ninety seconds."""
    team = Workspace("T0BENCH", "Bench", "bench")
    for number in range(50):
        team.user(f"user{number}", f"User {number}")
    newest = int(time.time()) - 3600
    each = messages // channels
    for number in range(channels):
        channel = team.channel(f"channel-{number:03}")
        begin = newest - each * 90
        channel.times = [(begin + index * 90) * 1_000_000 for index in range(each)]
        _fill(channel, number)
    return team


def _fill(channel: Channel, number: int) -> None:
    """Messages and replies follow from their place alone: nothing is held."""

    def make(index: int) -> dict[str, Any]:
        chance = random.Random(number * 1_000_003 + index)
        at = channel.times[index] // 1_000_000
        text = " ".join(chance.choices(_WORDS, k=chance.randint(3, 30)))
        if index % _SECRET_EVERY == 17:
            text += " GITHUB_TOKEN=" + fill("<github-token:ghp_>", f"{number} {index}")
        message = post(at, f"U{chance.randint(1, 50):08X}", text)
        element = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
        message["blocks"] = [{"type": "rich_text", "block_id": "x", "elements": [element]}]
        if index % _THREAD_EVERY == 3:
            last = stamp((at + 60 * _REPLIES) * 1_000_000)
            message |= {"thread_ts": message["ts"], "reply_count": _REPLIES, "latest_reply": last}
        return message

    def replies(ts: str) -> list[dict[str, Any]]:
        at = int(ts.partition(".")[0])
        return [
            post(at + 60 * (reply + 1), "U00000001", f"answer {reply}", thread_ts=ts)
            for reply in range(_REPLIES)
        ]

    channel.make, channel.thread = make, replies


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slack", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--channels", type=int, default=50, metavar="N")
    parser.add_argument("--tiers", action="store_true", help="refuse what exceeds the rates Slack publishes")
    arguments = parser.parse_args()
    team = workspace(arguments.messages, arguments.channels)
    planted = sum(len(range(17, len(one.times), _SECRET_EVERY)) for one in team.channels)
    with SlackServer(team, {_TOKEN: None}) as server, tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch, "bench.yaml")
        config.write_text(
            json.dumps({"sources": {"chat": {"type": "slack", "token": "${T}", "base_url": server.url}}})
        )
        if arguments.tiers:
            server.limits = {method: per_minute(method) for method in _METHODS}
        env = {**os.environ, "T": _TOKEN, "UNSPRAWL_CONFIG_DIR": str(Path(scratch, "key"))}
        for night in ("first", "second"):
            server.requests.clear()
            crawl = [sys.executable, "-m", "unsprawl", "crawl", str(config), "--quiet"]
            took = measure(crawl, env, memory=True)
            if took.code:
                print(took.stderr)
            peak = (took.peak_bytes or 0) / 1e6
            asked = server.asked.total()
            print(
                f"{night} night: {arguments.messages} messages in {took.wall_s:.1f} s, "
                f"{arguments.messages / took.wall_s:.0f} a second; {asked} requests, "
                f"{1000 * asked / arguments.messages:.2f} for 1,000 messages; "
                f"{took.cpu_s:.1f} s of CPU, {took.cpu_s / took.wall_s:.0%} of the time; "
                f"at most {peak:.0f} MB"
            )
        store = str(Path(scratch, "unsprawl.db"))
        shown = [sys.executable, "-m", "unsprawl", "findings", "list", "--store", store, "--format", "jsonl"]
        listed = subprocess.run(shown, env=env, check=False, capture_output=True, text=True).stdout
        print(f"{len(listed.splitlines())} of {planted} planted secrets were found")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
