"""Live checks through the installed command: a crawl keeps values sealed, providers are asked once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unsprawl.cli import main
from unsprawl.estate.aws_server import AccessKey, AwsServer
from unsprawl.placeholders import fill

ID = fill("<aws-key-id:482915736042>", "verify")
SECRET = fill("<base64:40>", "verify")


@pytest.fixture
def aws() -> Iterator[AwsServer]:
    with AwsServer() as server:
        server.add(AccessKey(ID, SECRET))
        yield server


@pytest.fixture
def config(tmp_path: Path, aws: AwsServer) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "deploy.env").write_text(f"aws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n")
    file = tmp_path / "nightly.yaml"
    file.write_text(
        "sources:\n  disk: {type: files, paths: [docs]}\nstore: s.db\nverify: true\n"
        "checks:\n  networks: [127.0.0.1]\n"
        f"  endpoints: {{sts.us-east-1.amazonaws.com: '{aws.url}'}}\n"
    )
    return file


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def verified(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    code, out, err = run(capsys, "verify", *arguments, "--format", "json")
    assert code == 0, err
    checks: list[dict[str, Any]] = json.loads(out)["checks"]
    return checks


def test_a_crawl_checks_what_it_finds_and_verify_follows_it(
    config: Path, aws: AwsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "crawl", config, "--quiet", "--jobs", 1)[0] == 0
    listed = [
        json.loads(line) for line in run(capsys, "findings", "list", "--config", config)[1].splitlines()
    ]
    row = next(row for row in listed if row["rule"] == "aws.credentials")
    assert row["validity"] == "active"
    assert "account 482915736042" in row["evidence"]
    assert len(aws.asked()) == 1
    # Fresh answers are not asked for again, and nothing is due.
    assert verified(capsys, "--due", "--config", config) == []
    assert len(verified(capsys, "--config", config)) == 1, "without a choice all that are open"
    (again,) = verified(capsys, row["finding"][:8], "--config", config)
    assert (again["cached"], again["asked"], len(aws.asked())) == (True, False, 1)
    # Deactivated: the proof flips, and the history keeps both.
    aws.keys[ID].active = False
    (dead,) = verified(capsys, row["finding"], "--config", config, "--again")
    assert (dead["validity"], dead["before"], dead["asked"]) == ("inactive", "active", True)
    case = json.loads(run(capsys, "findings", "show", row["finding"], "--config", config, "-f", "json")[1])
    assert [check["validity"] for check in case["checks"]] == ["inactive", "active"]
    page = run(capsys, "findings", "show", row["finding"], "--config", config, "-f", "table")[1]
    assert "Checked" in page
    assert "InvalidClientTokenId" in page
    aws.keys.clear()
    # The store alone is enough: values are opened from it. The endpoint is AWS's own again.
    (dry,) = verified(capsys, row["finding"], "--store", tmp_path / "s.db", "--dry-run", "--again")
    assert dry["requests"] == ["POST https://sts.us-east-1.amazonaws.com/ GetCallerIdentity"]
    content = b"".join(path.read_bytes() for path in tmp_path.glob("s.db*"))
    assert SECRET.encode() not in content
    with sqlite3.connect(tmp_path / "s.db") as db:
        assert [v for (v,) in db.execute("SELECT validity FROM checks ORDER BY id")] == [2, 1]


def test_without_sealed_values_the_sources_are_read_again(
    config: Path, aws: AwsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text().replace("verify: true", "verify: false"))
    assert run(capsys, "crawl", config, "--quiet", "--jobs", 1)[0] == 0
    assert aws.asked() == []
    finding = ("--rule", "aws.credentials")
    (nothing,) = verified(capsys, *finding, "--store", tmp_path / "s.db")
    assert nothing["validity"] == "unknown"
    assert "its value is not kept" in nothing["evidence"]
    (read,) = verified(capsys, *finding, "--config", config)
    assert (read["validity"], read["asked"]) == ("active", True)
    (tmp_path / "docs" / "deploy.env").unlink()
    (gone,) = verified(capsys, *finding, "--config", config, "--again")
    assert gone["evidence"] == "its value is not kept, and no source has it any more"


def test_fail_on_active_and_the_table(
    config: Path, aws: AwsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "crawl", config, "--quiet", "--jobs", 1, "--no-verify")[0] == 0
    code, out, err = run(capsys, "verify", "--config", config, "--fail-on", "active", "--format", "table")
    assert code == 1
    assert "active" in out
    assert SECRET not in out + err
    assert "1 asked now" in err


def test_a_scan_that_verifies_goes_to_no_host_but_the_providers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A connection that leaves this machine raises in a test what nobody catches."""
    (tmp_path / "a.env").write_text(
        f"aws_access_key_id = {fill('<aws-key-id:052310077262>')}\nsecret = {SECRET}\n"
    )
    (tmp_path / "b.txt").write_text("postgres://app:" + fill("<alnum:20>") + "@169.254.169.254:5432/db\n")
    code, out, _ = run(capsys, "scan", tmp_path, "--verify", "--format", "jsonl", "--quiet")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert {row["validity"] for row in rows} == {"unknown"}
    assert any("canary" in (row["evidence"] or "") or row["rule"] != "aws.credentials" for row in rows)
