"""The units that run unsprawl: they parse, call it rightly, and give it no more rights than it needs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from unsprawl.cli import unsprawl

CONFIGS = Path(__file__).parents[2] / "configs"
SERVICES = sorted((CONFIGS / "systemd").glob("*.service"))
KUBERNETES = sorted((CONFIGS / "kubernetes").glob("*.yaml"))


def parses(line: list[str]) -> None:
    """``unsprawl`` takes the command and all its options."""
    context = click.Context(unsprawl)
    command = unsprawl.get_command(context, line[0])
    assert command is not None, line[0]
    command.make_context(line[0], list(line[1:]), parent=context)


def keys(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_services_are_confined_and_call_what_exists(unit: Path) -> None:
    told = keys(unit)
    (start,) = told["ExecStart"]
    program, *rest = shlex.split(start)
    assert program.endswith("/unsprawl")
    parses(rest)
    for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "RestrictSUIDSGID", "LockPersonality"):
        assert told[name] == ["yes"], name
    assert told["ProtectSystem"] == ["strict"]
    assert told["CapabilityBoundingSet"] == [""]
    assert told["LimitCORE"] == ["0"]
    assert told["User"] == ["unsprawl"]
    assert (CONFIGS / rest[1]).is_file()


def test_the_timer_starts_the_service_of_its_name() -> None:
    timer = CONFIGS / "systemd" / "unsprawl-nightly.timer"
    assert timer.with_suffix(".service") in SERVICES
    assert keys(timer)["Persistent"] == ["true"]


def test_the_line_for_cron_calls_what_exists() -> None:
    (line,) = re.findall(r"^\d.*", (CONFIGS / "unsprawl.cron").read_text("utf-8"), re.MULTILINE)
    fields = line.split(None, 6)
    assert fields[5] == "unsprawl"
    parses(shlex.split(line.rpartition("/unsprawl ")[2]))


@pytest.mark.parametrize("file", KUBERNETES, ids=lambda file: file.stem)
def test_pods_have_no_rights_and_call_what_exists(file: Path) -> None:
    (made,) = yaml.safe_load_all(file.read_text("utf-8"))
    top = made["spec"]["jobTemplate"]["spec"] if made["kind"] == "CronJob" else made["spec"]
    pod: dict[str, Any] = top["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    (box,) = pod["containers"]
    assert box["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in box["resources"]["limits"]
    assert {mount["name"] for mount in box["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert (CONFIGS / Path(box["args"][1]).name).is_file()
    parses(box["args"])
    if made["kind"] == "CronJob":
        assert made["spec"]["concurrencyPolicy"] == "Forbid"
    else:
        assert (made["spec"]["replicas"], made["spec"]["strategy"]) == (1, {"type": "Recreate"})
        assert made["spec"]["selector"]["matchLabels"] == top["template"]["metadata"]["labels"]


def test_the_workflow_asks_for_little_and_calls_what_exists() -> None:
    made = yaml.safe_load((CONFIGS / "github" / "unsprawl.yml").read_text("utf-8"))
    assert made["permissions"] == {"contents": "read", "security-events": "write"}
    steps = made["jobs"]["scan"]["steps"]
    (call,) = (step["run"] for step in steps if step.get("run", "").startswith("unsprawl "))
    parses(shlex.split(call)[1:])
    assert steps[0]["with"] == {"persist-credentials": False}


def test_the_image_runs_as_nobody() -> None:
    text = (CONFIGS / "container" / "Containerfile").read_text("utf-8")
    last = text.rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in last
    assert 'ENTRYPOINT ["unsprawl"]' in last
    assert "-c constraints.txt" in text
    assert "ADD " not in text
