"""One process judges for all, and nobody who asks it depends on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a judge is forked on Linux alone")

PROGRAM = Path(__file__).parent.parent / "fakes" / "judged.py"


def run(scenario: str) -> Any:
    done = subprocess.run([sys.executable, PROGRAM, scenario], capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def alone() -> Any:
    """What is judged without a judge."""
    told = run("alone")
    assert told["loaded"]
    assert len(told["verdicts"]) > 30
    assert len({str(verdict) for verdict in told["verdicts"]}) > 3
    return told["verdicts"]


@pytest.mark.parametrize("scenario", ["asked", "twice", "threads"])
def test_the_judge_says_what_its_askers_would_and_they_load_nothing(scenario: str, alone: Any) -> None:
    told = run(scenario)
    assert not told["loaded"]
    assert told["verdicts"] == alone
    assert told.get("again", alone) == alone
    assert told.get("same", True)
    assert not told["left"]
    assert told["after"] == alone


@pytest.mark.parametrize("mishap", ["killed", "stopped"])
def test_without_an_answer_its_askers_judge_by_themselves(mishap: str, alone: Any) -> None:
    told = run(mishap)
    assert told["loaded"]
    assert told["verdicts"] == told["again"] == told["after"] == alone
    assert not told["left"]


def test_workers_ask_at_once_and_the_death_of_one_is_nothing_to_the_others(alone: Any) -> None:
    told = run("forked")
    assert [worker["verdicts"] for worker in told["workers"]] == [alone] * 3
    assert not any(worker["loaded"] for worker in told["workers"])
    assert told["verdicts"] == alone
    assert not told["loaded"]


def test_what_cannot_be_judged_fails_where_it_was_found(alone: Any) -> None:
    told = run("refused")
    assert told["error"] is not None
    assert told["verdicts"] == alone


@pytest.mark.parametrize("reason", ["beside", "crowded"])
def test_beside_a_thread_and_without_room_for_one_there_is_none(reason: str, alone: Any) -> None:
    told = run(reason)
    assert told["made"] == 0
    assert told["loaded"]
    assert told["verdicts"] == alone


def test_a_judge_does_not_outlive_those_who_ask_it() -> None:
    judge = run("orphaned")["judge"]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(judge, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("it is still there")
