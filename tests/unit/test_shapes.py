"""Everyday shapes of a password: each is found, in clear, with its place and its account."""

from __future__ import annotations

import base64

import pytest

from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document

PASSWORD = fill("<password>", "shapes")
TOKEN = fill("<alnum:40>", "shapes")


@pytest.fixture(scope="module", params=["auto", "fallback"])
def detector(request: pytest.FixtureRequest) -> ContentDetector:
    return build(backend=request.param)


def scan(detector: ContentDetector, text: str) -> list[Candidate]:
    document = Document(uri="file:///x.txt", body=text.encode(), path="x.txt")
    return [event for event in detector.scan(document) if isinstance(event, Candidate)]


@pytest.mark.parametrize(
    "text",
    [
        "env:\n- name: DB_PASSWORD\n  value: ⟦⟧\n",
        '{"name":"DB_PASSWORD","value":"⟦⟧"}',
        '[\n  {\n    "name": "DB_PASSWORD",\n    "value": "⟦⟧"\n  }\n]',
        '<add key="DbPassword" value="⟦⟧" />',
        "<server><username>ci</username><password>⟦⟧</password></server>",
        '<property name="hibernate.connection.password">⟦⟧</property>',
        'variable "db_password" {\n  type = string\n  default = "⟦⟧"\n}\n',
        "define( 'DB_PASSWORD', '⟦⟧' );",
        'props.put("password", "⟦⟧");',
        'config.setPassword("⟦⟧");',
        'let password: &str = "⟦⟧";',
        'const password: string = "⟦⟧";',
        "const p = process.env.DB_PASSWORD || '⟦⟧';",
        '{"log":"{\\\\\\"password\\\\\\":\\\\\\"⟦⟧\\\\\\"}"}',
        "ENV DB_PASSWORD ⟦⟧\n",
        "ConvertTo-SecureString '⟦⟧' -AsPlainText -Force",
        "Connect-Server -User a -Password '⟦⟧'",
        "echo 'root:⟦⟧' | chpasswd",
        "htpasswd -b /etc/nginx/.htpasswd admin ⟦⟧",
        "default login anonymous password ⟦⟧\n",
        "CREATE USER app WITH PASSWORD '⟦⟧';",
        "ALTER USER system IDENTIFIED BY ⟦⟧;",
        'sql.Open("mysql", "app:⟦⟧@tcp(db.acme.test:3306)/shop")',
        "url=jdbc:oracle:thin:app/⟦⟧@//db.acme.test:1521/orcl\n",
        'new PDO("mysql:host=db;dbname=shop", "app", "⟦⟧");',
        'mysqli_connect("localhost", "root", "⟦⟧", "shop");',
        "| user | password |\n|---|---|\n| admin | ⟦⟧ |\n",
        "**Password:** ⟦⟧\n",
        "password for staging: ⟦⟧\n",
        "Kennwort: ⟦⟧\n",
        "username admin privilege 15 password 0 ⟦⟧\n",
        "Grüße!\t\N{KEY} passwort = '⟦⟧'\r\n",
    ],
)
def test_a_password_is_found(detector: ContentDetector, text: str) -> None:
    filled = text.replace("⟦⟧", PASSWORD)
    (found,) = scan(detector, filled)
    assert found.secret.text() == PASSWORD
    start = text.index("⟦")
    assert (found.start, found.end) == (
        len(text[:start].encode()),
        len(text[:start].encode()) + len(PASSWORD),
    )
    assert found.line == text[:start].count("\n") + 1
    assert found.column == len(text[:start].rpartition("\n")[2]) + 1


@pytest.mark.parametrize(
    "text",
    [
        'passphrase: "correct horse ⟦⟧ staple"',
        "export BORG_PASSPHRASE='correct horse ⟦⟧ staple'",
        '{"password": "correct horse ⟦⟧ staple"}',
    ],
)
def test_a_passphrase_is_taken_whole(detector: ContentDetector, text: str) -> None:
    (found,) = scan(detector, text.replace("⟦⟧", PASSWORD))
    assert found.secret.text() == f"correct horse {PASSWORD} staple"


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Secret\ndata:\n  db-password: ⟦⟧\n",
        "//npm.acme.test/:_password=⟦⟧\n",
    ],
)
def test_an_encoded_password_is_the_password(detector: ContentDetector, text: str) -> None:
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    (found,) = scan(detector, text.replace("⟦⟧", encoded))
    assert found.secret.text() == PASSWORD
    assert found.text == encoded.encode()
    assert found.views == ("base64",)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic ⟦⟧\r\n",
        '<header name="Authorization" value="Basic ⟦⟧"/>',
        '{"auths":{"registry.acme.test":{"auth":"⟦⟧"}}}',
        "_auth=⟦⟧\n",
        "//npm.acme.test/:_auth=⟦⟧\n",
    ],
)
def test_an_encoded_login_is_an_account_and_a_password(detector: ContentDetector, text: str) -> None:
    encoded = base64.b64encode(f"deploy:{PASSWORD}".encode()).decode()
    (found,) = scan(detector, text.replace("⟦⟧", encoded))
    assert found.secret.text() == PASSWORD
    assert found.companions["account"].text() == "deploy"
    assert found.text == encoded.encode()


def test_a_login_of_the_documentation_is_none(detector: ContentDetector) -> None:
    assert scan(detector, f"Authorization: Basic {base64.b64encode(b'user:password').decode()}") == []


@pytest.mark.parametrize(
    "text",
    [
        "- name: ACME_API_TOKEN\n  value: ⟦⟧\n",
        '<add key="ApiKey" value="⟦⟧" />',
        'const apiToken: string = "⟦⟧";',
        "headers: {'Authorization': 'Bearer ' + '⟦⟧'}",
    ],
)
def test_a_token_is_found(detector: ContentDetector, text: str) -> None:
    (found,) = scan(detector, text.replace("⟦⟧", TOKEN))
    assert found.secret.text() == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "PASS: gdb.cp/pass-by-ref.exp: Small_absent_explicit: call 14b2\n" * 3,
        '<string name="password">Contraseña</string>',
        'translate("password", "Passwort")',
        'getPassword("admin42")',
        "password.encode('utf8')",
        '"password": "Enter the new password for user 42"',
        '"passwordLastUsed": "2016-09-24T16:18:07Z"',
        "@param password: C{str}",
        "      --password=MẬT-KHẨU   thiết lập mật khẩu\n",
        'prompt = "Enter password: ".format(user)',
        "the object identified by `digest` is deleted",
        '"arn:aws:secretsmanager:*:*:secret:rds-beta-us-east-1"',
        "pwd: 3.0-3.12\n",
        "       --ftp-password=PASS         set ftp password to PASS\n",
        "secret: my-app-tls-2\n",
        '{"name": "DB_PASSWORD", "valueFrom": "arn:aws:ssm:eu-west-1:123456789012:parameter/db"}',
    ],
)
def test_what_looks_alike_is_nothing(detector: ContentDetector, text: str) -> None:
    assert [(c.rule, c.secret.text()) for c in scan(detector, text)] == []
