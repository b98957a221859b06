"""Playbooks: every rule and surface has steps, commands are safe to copy, hostile names stay text."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_rows import row

from unsprawl.detectors.rules import load
from unsprawl.plugins import source_types
from unsprawl.report import playbook as paper
from unsprawl.store.playbook import KINDS, Playbook, compose
from unsprawl.store.templates import filled, providers, surface, surfaces

CASE: dict[str, Any] = {
    "finding": "00000000000000ab", "name": "AWS access key", "secret": "AKIA…wxyz", "rule": "aws.credentials",
    "provider": "aws", "severity": "critical", "validity": "active", "evidence": "", "status": "open",
    "risk": 90, "owner": "@cloud", "owner_because": "owners: *", "first_seen": "2030-01-01T00:00:00.000Z",
}  # fmt: skip

#: For each surface a place of each kind that its steps tell apart.
PLACES = {
    "files": ["file:///srv/a%20b.env"],
    "s3": ["s3://box/a/b.env"],
    "registry": [f"registry://r.test/shop@sha256:{'0' * 64}!/srv/.env",
                 f"registry://r.test/a/b@sha256:{'1' * 64}#config"],
    "engine": ["engine://local/layers/sha256:abc!/srv/.env", "engine://local/images/abc",
               "engine://local/containers/abc/log"],
    "slack": ["slack://T1/C1/1700000000.000100", "slack://T1/C1/17.2?thread_ts=17.1", "slack://T1/files/F1",
              "slack://T1/C1?about"],
    "confluence": ["confluence://w.test/wiki/pages/12", "confluence://w.test/pages/12?version=3",
                   "confluence://w.test/wiki/footer-comments/9", "confluence://w.test/wiki/attachments/att7"],
    "jira": ["jira://j.test/issue/10#comment-7", "jira://j.test/issue/10#description", "jira://j.test/attachment/3",
             "jira://j.test/issue/10/history#history-2", "jira://j.test/project/OPS"],
    "ci": ["ci://github.com/acme/shop/run/1/job/2#3", "ci://github.com/acme/shop/run/1/artifact/7",
           "ci://ci.acme.test/a/b/c/run/1/job/2", "ci://ci.acme.test/a/settings/variables", "ci://ci.acme.test/a"],
    "paste": ["paste://pastebin/abcd"],
}  # fmt: skip


def made(uri: str, name: str, remediation: tuple[str, ...] = ("Revoke it.",), **more: Any) -> Playbook:
    place = row(1, uri=uri, source="there", path=uri.partition("://")[2], gone_at=None, **more)
    return compose(CASE, [place], {"there": name}, remediation)


def test_every_source_has_a_surface_and_the_design_has_no_more() -> None:
    assert set(source_types()) <= set(surfaces())
    assert set(surfaces()) == PLACES.keys() == {surface(name).surface for name in surfaces()}  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "uri"), [(name, uri) for name, uris in PLACES.items() for uri in uris])
def test_every_place_has_a_way_to_clean_it_and_a_proof(name: str, uri: str) -> None:
    playbook = made(uri, name)
    own = [step for step in playbook.of("clean") if step.proof == "refetch"]
    assert own
    assert all(step.uri == uri for step in own)
    assert all(step.why for step in playbook.of("clean"))
    assert playbook.limits
    assert [step.kind for step in playbook.steps] == sorted(
        (step.kind for step in playbook.steps), key=list(KINDS).index
    )
    assert {step.kind for step in playbook.steps} >= {"contain", "rotate", "clean", "notify", "prove"}


def test_every_rule_has_steps_that_contain() -> None:
    rules = load().rules
    for rule in rules:
        playbook = compose({**CASE, "rule": rule.id}, [], {}, rule.remediation)
        assert rule.remediation, rule.id
        assert playbook.of("contain") or playbook.of("use"), rule.id
        text = " ".join(step.text for step in playbook.steps)
        assert all(line in text for line in rule.remediation)


def test_patterns_of_providers_find_rules() -> None:
    from fnmatch import fnmatchcase

    ids = [rule.id for rule in load().rules]
    for one in providers():
        for pattern in one.rules:
            assert any(fnmatchcase(id_, pattern) for id_ in ids), pattern


def test_a_place_that_is_gone_has_no_step() -> None:
    gone = row(1, uri="s3://box/a", source="there", gone_at="2030-01-02T00:00:00.000Z")
    assert compose(CASE, [gone], {"there": "s3"}, ("Revoke it.",)).of("clean") == []


def test_a_version_is_deleted_as_one() -> None:
    (step, *_) = made("s3://box/a%20b", "s3", attrs={"bucket": "box", "version_id": "v1"}).of("clean")
    assert step.command == "aws s3api delete-object --bucket box --key 'a b' --version-id v1"
    assert step.apply == "delete-version"


def test_the_key_id_is_a_variable_until_it_may_be_shown() -> None:
    (step, *_) = made("s3://box/a", "s3").of("contain")
    assert step.command == 'aws iam update-access-key --access-key-id "$KEY_ID" --status Inactive'
    shown = compose(CASE, [], {}, (), identifier="AKIAKEY").of("contain")[0]
    assert "AKIAKEY" in shown.command
    assert "AKIAKEY --status Active" in shown.undo


def test_who_is_told_and_who_needs_the_new_one() -> None:
    playbook = made("file:///srv/app.env", "files", author="bo", audience="public")
    told = " ".join(step.text for step in playbook.of("notify"))
    assert all(word in told for word in ("@cloud (owners: *)", "bo", "from outside"))
    assert any("app.env" in step.text for step in playbook.of("rotate"))


# --- commands ------------------------------------------------------------------------------------


@given(st.text(max_size=40))
def test_a_shell_reads_what_was_filled_in_as_one_word(value: str) -> None:
    command = filled("tool --name {name} end", {"name": value})
    if command:
        assert shlex.split(command) == ["tool", "--name", *([value] if value else []), "end"]
        assert command.isprintable() or not command.isascii()


@given(st.text(alphabet="$`\"'\\;|&(){}<>*?~#! ab\n-", max_size=30))
def test_within_quotes_only_what_is_plain_is_filled_in(value: str) -> None:
    for template in ('echo "x {name} y"', "echo 'x {name} y'"):
        command = filled(template, {"name": value})
        if command:
            assert shlex.split(command) == ["echo", f"x {value} y"]


@pytest.mark.parametrize("value", ["a\nb", "a\x1b[31m", "…masked", "\u202eevil", "-rf x"])
def test_what_cannot_be_copied_safely_has_no_command(value: str) -> None:
    assert filled("rm {name}", {"name": value}) == ""
    assert filled("rm {other}", {"name": value}) == ""


def test_no_template_breaks_when_its_holes_are_hostile(tmp_path: Path) -> None:
    """Every command is run by a real shell in which all programs only tell their arguments."""
    marker = tmp_path / "owned"
    evil = f"x'; touch {marker}; echo \"$(touch {marker})`touch {marker}`"
    hole = re.compile(r"\{([a-z_]+)\}")
    count = 0
    for name in surfaces():
        for step in surface(name).clean:  # type: ignore[union-attr]
            values = dict.fromkeys(hole.findall(step.command), evil)
            command = filled(step.command, values)
            if not command:
                continue
            count += 1
            stubs = "\n".join(
                f"{tool}() {{ :; }}"
                for tool in ("aws", "curl", "docker", "crane", "registry", "git", "gh", "vi")
            )
            run = subprocess.run(
                ["sh", "-c", f"{stubs}\n{command}"],
                env={"PATH": "/usr/bin:/bin", "EDITOR": "true"}, check=False, capture_output=True, timeout=5,
            )  # fmt: skip
            assert run.returncode == 0, (command, run.stderr)
    assert count > 5
    assert not marker.exists()


# --- on paper ------------------------------------------------------------------------------------

HOSTILE = "a`b|<script>alert(1)</script>[x](javascript:alert(1))\x1b]0;evil\x07\n# heading\u202e"


@pytest.fixture
def hostile() -> Playbook:
    place = row(
        1, uri=f"s3://box/{HOSTILE}", path=f"box/{HOSTILE}.env", url="javascript:alert(1)", source="there",
        author=HOSTILE, gone_at=None, attrs={"bucket": HOSTILE, "version_id": HOSTILE},
    )  # fmt: skip
    case = {**CASE, "owner": HOSTILE, "name": HOSTILE, "evidence": HOSTILE}
    return compose(case, [place], {"there": "s3"}, (HOSTILE,))


def text(playbook: Playbook, format: str) -> str:
    out = io.StringIO()
    paper.write(playbook, format, out)
    return out.getvalue()


@pytest.mark.parametrize("format", paper.FORMATS)
def test_no_format_carries_escapes(hostile: Playbook, format: str) -> None:
    written = text(hostile, format)
    assert not [sign for sign in "\x1b\u202e\x07" if sign in written]


def test_markdown_has_only_our_headings_and_no_markup_of_theirs(hostile: Playbook) -> None:
    written = text(hostile, "markdown")
    assert not [sign for sign in ("<script", "](javascript") if sign in written]
    heads = {line.lstrip("# ") for line in written.splitlines() if line.startswith("#")}
    assert {head for head in heads if "Playbook" not in head} <= {*KINDS.values(), "What cannot be cleaned"}


def test_json_and_jira_are_whole(hostile: Playbook) -> None:
    read = json.loads(text(hostile, "json"))
    assert [step["number"] for step in read["steps"]] == list(range(1, len(hostile.steps) + 1))
    fields = json.loads(text(hostile, "jira"))["fields"]
    assert len(fields["summary"]) <= 200
    links = re.findall(r'"href": "([^"]*)"', text(hostile, "jira"))
    assert not [link for link in links if not link.startswith("http")]
