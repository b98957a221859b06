"""Vaults are read value by value, against moto and a server of the documented shape; no value is kept."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from vault_server import TOKEN, VaultServer

from unsprawl.cli import unsprawl
from unsprawl.keepers.sync import sync
from unsprawl.placeholders import fill
from unsprawl.secret import Keys, Secret
from unsprawl.store.findings import Store
from unsprawl.store.known import KnownLedger

KEYS = Keys.derive(b"k" * 32)


@pytest.fixture
def vault() -> Iterator[VaultServer]:
    with VaultServer() as server:
        yield server


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def secret(name: str) -> str:
    return fill("<password>", name) + fill("<alnum:12>", name)


def configured(tmp_path: Path, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    import yaml

    monkeypatch.setenv("VAULT_OF_A_TEST", TOKEN)
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(tmp_path / "key"))
    (tmp_path / "tree").mkdir(exist_ok=True)
    file = tmp_path / "nightly.yaml"
    sources = {"tree": {"type": "files", "paths": ["tree"]}}
    file.write_text(yaml.safe_dump({"sources": sources, "known": known}), "utf-8")
    return file


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(unsprawl, list(arguments), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return int(done.return_value or 0), done.stdout, done.stderr


def entries(store: Path, **wanted: str) -> list[dict[str, Any]]:
    _, out, _ = run("known", "list", "--store", str(store), "--format", "jsonl")
    found = [json.loads(line) for line in out.splitlines()]
    return [one for one in found if all(one[name] == value for name, value in wanted.items())]


def test_five_hundred_values_are_known_and_none_is_kept(
    tmp_path: Path, vault: VaultServer, aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    values = [secret(f"value {number}") for number in range(500)]
    for number in range(200):
        vault.v2[f"secret/team{number % 7}/app{number}"] = [{"password": values[number], "user": "svc"}]
    for number in range(200, 440):
        vault.v1[f"legacy/app{number}"] = {"password": values[number]}
    manager: Any = boto3.client("secretsmanager", endpoint_url=aws)
    for number in range(440, 475):
        text = json.dumps({"password": values[number]}) if number % 2 else values[number]
        manager.create_secret(Name=f"prod/app{number}", SecretString=text)
    systems: Any = boto3.client("ssm", endpoint_url=aws)
    for number in range(475, 500):
        systems.put_parameter(Name=f"/prod/app{number}", Value=values[number], Type="SecureString")
    systems.put_parameter(Name="/prod/region", Value="eu-central-1", Type="String")
    config = configured(
        tmp_path,
        {
            "bank": {"type": "vault", "url": vault.url, "token": "${VAULT_OF_A_TEST}"},
            "aws": {"type": "aws-secrets", "endpoint_url": aws},
            "ssm": {"type": "aws-parameters", "endpoint_url": aws},
        },
        monkeypatch,
    )
    code, _, told = run("known", "sync", str(config))
    assert code == 0, told
    store = tmp_path / "unsprawl.db"
    found = entries(store)
    assert len({(one["vault"], one["path"]) for one in found}) == 500
    assert all(one["current"] for one in found)
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("unsprawl.db*"))
    assert not [value for value in values if value.encode() in kept]

    leaked = fill("<github-token:ghp_>")
    vault.v2["secret/team0/app0"] = [{"password": values[0]}, {"token": leaked}]
    (tmp_path / "tree" / "notes.md").write_text(f"token = {leaked}\n", "utf-8")
    assert run("known", "sync", str(config), "--quiet", "--only", "bank")[0] == 0
    assert run("crawl", str(config), "--quiet")[0] == 0
    _, out, _ = run("findings", "list", "--store", str(store), "--format", "jsonl")
    (row,) = [json.loads(line) for line in out.splitlines()]
    place = {"vault": "bank", "path": "secret/team0/app0", "key": "token", "version": "2"}
    assert row["attrs"]["known"] == [{**place, "current": True}]

    vault.v2["secret/team0/app0"].append({"token": secret("rotated")})
    code, _, told = run("known", "sync", str(config), "--only", "bank")
    assert (code, "bank" in told) == (0, True)
    _, out, _ = run("findings", "show", row["finding"], "--store", str(store), "--format", "json")
    assert json.loads(out)["occurrences"][0]["attrs"]["known"] == [{**place, "current": False}]
    _, out, _ = run("findings", "show", row["finding"], "--store", str(store), "--format", "markdown")
    assert "version 2, replaced since" in out


def test_rotation_flips_what_is_current(tmp_path: Path, aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    manager: Any = boto3.client("secretsmanager", endpoint_url=aws)
    manager.create_secret(Name="turning/db", SecretString=secret("one"))
    systems: Any = boto3.client("ssm", endpoint_url=aws)
    systems.put_parameter(Name="/turning/key", Value=secret("p1"), Type="SecureString")
    known = {
        "aws": {"type": "aws-secrets", "endpoint_url": aws, "prefix": "turning/"},
        "ssm": {"type": "aws-parameters", "endpoint_url": aws, "path": "/turning"},
    }
    config = configured(tmp_path, known, monkeypatch)
    store = tmp_path / "unsprawl.db"
    assert run("known", "sync", str(config), "--quiet")[0] == 0
    (first,) = entries(store, vault="aws")
    manager.put_secret_value(SecretId="turning/db", SecretString=secret("two"))
    systems.put_parameter(Name="/turning/key", Value=secret("p2"), Type="SecureString", Overwrite=True)
    assert run("known", "sync", str(config), "--quiet")[0] == 0
    states = {one["version"]: one["current"] for one in entries(store, vault="aws")}
    assert states.pop(first["version"]) is False
    assert list(states.values()) == [True]
    assert {one["version"]: one["current"] for one in entries(store, vault="ssm")} == {"1": False, "2": True}
    manager.delete_secret(SecretId="turning/db", ForceDeleteWithoutRecovery=True)
    assert run("known", "sync", str(config), "--quiet")[0] == 0
    assert not [one for one in entries(store, vault="aws") if one["current"]]


def test_what_could_not_be_read_stays_as_it_was(
    tmp_path: Path, vault: VaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.v2["secret/a/one"] = [{"key": secret("one")}]
    vault.v2["secret/b/two"] = [{"key": secret("two")}, None, {"key": secret("three")}]
    known = {"bank": {"type": "vault", "url": vault.url, "token": "${VAULT_OF_A_TEST}"}}
    config = configured(tmp_path, known, monkeypatch)
    store = tmp_path / "unsprawl.db"
    assert run("known", "sync", str(config), "--quiet")[0] == 0
    assert {(one["path"], one["version"], one["current"]) for one in entries(store)} == {
        ("secret/a/one", "1", True),
        ("secret/b/two", "1", False),
        ("secret/b/two", "3", True),
    }
    vault.denied = {"metadata/a"}
    code, _, told = run("known", "sync", str(config))
    assert code == 3
    assert "not read: secret/a/:" in told
    assert [one["current"] for one in entries(store, path="secret/a/one")] == [True]
    monkeypatch.setenv("VAULT_OF_A_TEST", "wrong")
    code, _, told = run("known", "sync", str(config))
    assert code == 4
    assert "wrong" not in told
    assert [one["current"] for one in entries(store, path="secret/a/one")] == [True]


def test_mounts_namespace_prefix_and_exclusions(
    tmp_path: Path, vault: VaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.namespace = "team"
    for name in ("secret/prod/a", "secret/prod/old/b", "secret/dev/c", "other/d"):
        vault.v2[name] = [{"key": secret(name)}]
    keeper = {
        "type": "vault",
        "url": vault.url,
        "token": "${VAULT_OF_A_TEST}",
        "namespace": "team",
        "mounts": ["secret"],
        "prefix": "prod",
        "exclude": ["secret/prod/old/**", "secret/prod/old"],
    }
    config = configured(tmp_path, {"bank": keeper}, monkeypatch)
    assert run("known", "sync", str(config), "--quiet")[0] == 0
    assert {one["path"] for one in entries(tmp_path / "unsprawl.db")} == {"secret/prod/a"}


def test_a_password_within_a_connection_string_is_known_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = secret("inner")
    (tmp_path / "values.env").write_text(f"DATABASE_URL=postgres://app:{password}@db.acme.test/x\n", "utf-8")
    config = configured(tmp_path, {"file": {"type": "file", "path": "values.env"}}, monkeypatch)
    assert run("known", "sync", str(config), "--quiet")[0] == 0
    (tmp_path / "tree" / "dump.sql").write_text(f"mysql://app:{password}@db.acme.test/x\n", "utf-8")
    assert run("crawl", str(config), "--quiet")[0] == 0
    _, out, _ = run("findings", "list", "--config", str(config), "--format", "jsonl")
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert [one["key"] for one in row["attrs"]["known"]] == ["DATABASE_URL"]
    (tmp_path / "values.env").write_text("DATABASE_URL=postgres://app@db.acme.test/x\n", "utf-8")
    assert run("known", "sync", str(config), "--quiet")[0] == 0
    _, out, _ = run("findings", "list", "--config", str(config), "--format", "jsonl")
    assert [one["current"] for one in json.loads(out)["attrs"]["known"]] == [False]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", '{"db": {"password": "correct-horse"}, "port": 5432}', {"db.password"}),
        ("a.yaml", "db:\n  password: correct-horse\n", {"db.password"}),
        ("a.txt", "correct-horse\n\nbattery-staple\nabc\n", {"line 1", "line 3"}),
        ("a.env", "export A_KEY='correct-horse'\n# B=c\nB = \"battery-staple\"\n", {"A_KEY", "B"}),
    ],
)
def test_files_of_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, expected: set[str]
) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    config = configured(tmp_path, {"file": {"type": "file", "path": name}}, monkeypatch)
    assert run("known", "sync", str(config), "--quiet")[0] == 0
    assert {one["key"] for one in entries(tmp_path / "unsprawl.db")} == expected


def test_a_killed_sync_leaves_nothing_replaced(tmp_path: Path) -> None:
    from unsprawl.config import ConfiguredKeeper
    from unsprawl.keeper_settings import SecretFile

    file = tmp_path / "values.txt"
    file.write_text("correct-horse\nbattery-staple\n", "utf-8")
    keeper = ConfiguredKeeper("file", "file", SecretFile(path=str(file)))
    with Store.open(tmp_path / "s.db", KEYS) as store:
        sync(keeper, KnownLedger(store), KEYS, lambda _value: [])

        class Killed(KnownLedger):
            def finish(self, vault: str, unread: Any) -> int:
                raise KeyboardInterrupt

        file.write_text("other-value-now\n", "utf-8")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        with pytest.raises(KeyboardInterrupt):
            sync(keeper, Killed(store), KEYS, lambda _value: [])
        assert len([one for one in store.known() if one["current"]]) == 3
        sync(keeper, KnownLedger(store), KEYS, lambda _value: [])
        assert len([one for one in store.known() if one["current"]]) == 1
        met = store.met(KEYS.fingerprint(Secret("correct-horse")))
        assert [one["current"] for one in met.known] == [False]
    assert dataclasses.is_dataclass(met)
    with sqlite3.connect(tmp_path / "s.db") as connection:
        assert connection.execute("SELECT count(*) FROM known").fetchone() == (3,)


def test_a_list_of_leaked_values_is_asked_for_current_ones_alone(
    tmp_path: Path, vault: VaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leak_lists import LeakServer

    vault.v2["secret/app"] = [{"key": "old-value-1234"}, {"key": "correct-horse-1", "other": "fine-value-99"}]
    known = {"bank": {"type": "vault", "url": vault.url, "token": "${VAULT_OF_A_TEST}"}}
    config = configured(tmp_path, known, monkeypatch)
    leaks = {"correct-horse-1": {"c": 3, "l": None}, "old-value-1234": {"c": 9, "l": None}}
    with LeakServer(leaks, {}) as server:
        monkeypatch.setenv("UNSPRAWL_HMSL_URL", server.url)
        code, _, told = run("known", "sync", str(config), "--ask", "hmsl")
    assert code == 1
    (line,) = [line for line in told.splitlines() if line.startswith("leaked")]
    assert line == "leaked  bank:secret/app key  HasMySecretLeaked: 3 times"
    assert run("known", "sync", str(config), "--ask", "hmsl")[0] == 3
