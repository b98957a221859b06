"""A watch over a site that posts ten pastes a second: two minutes with the servers, an hour in the soak."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from paste_worlds import Poster, Watch, memory, own_token

from unsprawl.estate.paste_server import PasteServer

SECONDS = float(os.environ.get("WATCH_SECONDS", "3600"))
#: Bytes by which memory may differ between the first quarter and the end.
FLAT = 24 << 20
LATEST = 10.0


def hold(folder: Path, seconds: float) -> None:
    with PasteServer() as site, Watch(folder, site, every="1s") as watch:
        site.shown = 250
        process = watch.start("--quiet")
        first = site.post(f"a first one: {own_token(0)}", time.time())
        deadline = time.monotonic() + 120
        while not watch.ours():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        with Poster(site) as poster:
            begun = time.monotonic()
            base = 0
            while (past := time.monotonic() - begun) < seconds:
                time.sleep(0.5)
                watch.lines()
                if past > seconds / 4 and not base:
                    base = memory(process)
            held = memory(process)
            # Killed in the middle of it, and gone on.
            process.kill()
            process.communicate()
            process = watch.start("--quiet")
            time.sleep(min(20.0, seconds / 6))
        calm = time.monotonic() + 60
        wanted = set(poster.posted)
        while {line["uri"].rpartition("/")[2] for line in watch.ours()} - {first.id} < wanted:
            assert time.monotonic() < calm
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
        lines = [line for line in watch.ours() if not line["uri"].endswith(first.id)]
        pastes = {line["event"]["id"]: line["uri"].rpartition("/")[2] for line in lines}
        assert sorted(pastes.values()) == sorted(wanted)
        assert len(lines) - len(pastes) <= 1  # the kill may have fallen between the line and its note
        killed = begun + seconds
        late = [
            watch.arrived[event] - poster.posted[paste]
            for event, paste in pastes.items()
            # What was posted while nobody watched came later.
            if poster.posted[paste] < time.time() - (time.monotonic() - killed) - LATEST
        ]
        assert late
        assert max(late) < LATEST
        assert held - base < FLAT, f"{base >> 20} MB, then {held >> 20} MB"


@pytest.mark.servers
def test_two_minutes(tmp_path: Path) -> None:
    hold(tmp_path / "w", 120.0)


@pytest.mark.soak
def test_an_hour(tmp_path: Path) -> None:
    hold(tmp_path / "w", SECONDS)
