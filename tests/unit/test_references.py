"""References lead to values; values never lead to errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from unsprawl import vaults
from unsprawl.errors import AuthError, ConfigError
from unsprawl.placeholders import fill
from unsprawl.references import interpolate, resolve

VALUE = fill("<alnum:32>")


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    vaults.forget()
    yield
    vaults.forget()


# --- the environment and files -------------------------------------------------------------------


def test_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TOKEN", VALUE)
    assert resolve("${ACME_TOKEN}").reveal() == VALUE.encode()


@pytest.mark.parametrize(("value", "state"), [(None, "is not set"), ("", "is empty")])
def test_a_variable_without_value(monkeypatch: pytest.MonkeyPatch, value: str | None, state: str) -> None:
    monkeypatch.delenv("ACME_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("ACME_TOKEN", value)
    with pytest.raises(ConfigError, match=rf"^sources\.chat\.token: .*ACME_TOKEN {state}"):
        resolve("${ACME_TOKEN}", "sources.chat.token")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_without_its_last_newline(tmp_path: Path, end: str) -> None:
    (tmp_path / "token").write_bytes(f" {VALUE}\n{end}".encode())
    assert resolve(f"file:{tmp_path}/token").text() == f" {VALUE}" + ("\n" if end else "")


def test_a_file_at_home() -> None:
    (Path.home() / "token").write_text(VALUE, "utf-8")
    assert resolve("file:~/token").text() == VALUE


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"x" * 65537, "64 KiB")],
)
def test_a_file_that_holds_no_credential(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        resolve(f"file:{tmp_path}/token")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        resolve(f"file:{tmp_path}")


@pytest.mark.parametrize(
    "text",
    [VALUE, "Bearer ${A}", "${A}${B}", "$A", "${}", "env:A", "vault:secret", "keyring:a", "file:", "${A}\n"],
)
def test_no_reference(text: str) -> None:
    with pytest.raises(ConfigError, match="no reference") as caught:
        resolve(text, "key")
    assert VALUE not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("https://${ACME_HOST}/x", "https://h.test/x"),
        ("${ACME_HOST}${ACME_HOST}", "h.testh.test"),
        ("$${ACME_HOST} $x {y}", "${ACME_HOST} $x {y}"),
        ("plain", "plain"),
    ],
)
def test_text_with_variables(monkeypatch: pytest.MonkeyPatch, text: str, result: str) -> None:
    monkeypatch.setenv("ACME_HOST", "h.test")
    assert interpolate(text) == result


def test_the_environment_is_taken_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_A", "${ACME_B}")
    assert interpolate("${ACME_A}") == "${ACME_B}"


@pytest.mark.parametrize("text", ["${}", "${a-b}", "${A:-default}"])
def test_text_with_something_else_in_braces(text: str) -> None:
    with pytest.raises(ConfigError, match="only"):
        interpolate(text)


# --- keepers -------------------------------------------------------------------------------------


def test_a_keyring_needs_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keyring.py").write_text("raise ImportError\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="package keyring") as caught:
        resolve("keyring:acme/bot")
    assert "pip install keyring" in caught.value.hint


@pytest.fixture
def vault(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    monkeypatch.setenv("VAULT_ADDR", httpserver.url_for("/"))
    monkeypatch.setenv("VAULT_TOKEN", "vault-login")
    return httpserver


def test_vault_reads_a_key_and_remembers_it(vault: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_NAMESPACE", "team")
    headers = {"X-Vault-Token": "vault-login", "X-Vault-Namespace": "team"}
    request = vault.expect_ordered_request("/v1/secret/data/apps/chat bot", headers=headers)
    request.respond_with_json({"data": {"data": {"token": VALUE}, "metadata": {"version": 3}}})
    assert resolve("vault:secret/apps/chat bot#token").text() == VALUE
    assert resolve("vault:secret/apps/chat bot#token").text() == VALUE
    assert len(vault.log) == 1


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (403, "{}", "HTTP 403"),
        (404, "{}", "HTTP 404"),
        (302, "", "HTTP 302"),
        (200, "not json", "KV version 2"),
        (200, '{"data": {"token": "x"}}', "KV version 2"),
        (200, '{"data": {"data": {"other": "x"}}}', "has no text under token"),
        (200, '{"data": {"data": {"token": 5}}}', "has no text under token"),
        (200, "[" * 100_000, "KV version 2"),
        (200, " " * (1 << 20) + "{}", "larger than 1 MiB"),
    ],
)
def test_vault_refuses(vault: HTTPServer, status: int, body: str, says: str) -> None:
    elsewhere = {"Location": vault.url_for("/elsewhere")}
    vault.expect_request("/v1/secret/data/app").respond_with_data(body, status, elsewhere)
    with pytest.raises(AuthError, match=rf"^key: .*{says}") as caught:
        resolve("vault:secret/app#token", "key")
    assert "vault-login" not in str(caught.value)
    assert len(vault.log) == 1  # the redirect was not followed: the login goes to one host


def test_vault_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "vault-login")
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    with pytest.raises(AuthError, match="cannot be reached"):
        resolve("vault:secret/app#token")


def test_vault_needs_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="VAULT_ADDR"):
        resolve("vault:secret/app#token")
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="VAULT_TOKEN"):
        resolve("vault:secret/app#token")


@pytest.fixture
def aws(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", httpserver.url_for("/"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    def answer(request: Request) -> Response:
        assert request.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
        name = json.loads(request.data)["SecretId"]
        known = {
            "plain": VALUE,
            "app": json.dumps({"token": VALUE}),
            "arn:aws:secretsmanager:eu-west-3:123456789012:secret:app-AbCdEf": VALUE,
        }
        if name.startswith("arn:"):
            assert "/eu-west-3/" in request.headers["Authorization"]
        if name not in known:
            body = json.dumps({"__type": "ResourceNotFoundException", "Message": "none"})
            return Response(body, 400, content_type="application/x-amz-json-1.1")
        return Response(json.dumps({"SecretString": known[name]}), content_type="application/x-amz-json-1.1")

    httpserver.expect_request("/").respond_with_handler(answer)
    return httpserver


@pytest.mark.parametrize(
    "reference",
    [
        "aws-sm:plain",
        "aws-sm:app#token",
        "aws-sm:arn:aws:secretsmanager:eu-west-3:123456789012:secret:app-AbCdEf",
    ],
)
def test_aws_secrets_manager(aws: HTTPServer, reference: str) -> None:
    assert resolve(reference).text() == VALUE


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("aws-sm:none", "refused none: ResourceNotFoundException"),
        ("aws-sm:plain#token", "is not JSON"),
        ("aws-sm:app#other", "has no text under other"),
    ],
)
def test_aws_secrets_manager_refuses(aws: HTTPServer, reference: str, says: str) -> None:
    with pytest.raises(AuthError, match=says) as caught:
        resolve(reference, "sources.a.token")
    assert VALUE not in str(caught.value)
