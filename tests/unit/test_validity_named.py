"""Named validators against servers that check what they are shown, as the real ones document it."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from checking import credential, engine, loopback
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from database_servers import certificate

from unsprawl.errors import ConfigError
from unsprawl.estate.loopback import Answer, Fault, LoopbackServer, Request, data
from unsprawl.placeholders import fill
from unsprawl.records import Check, Validity

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
TENANT, CLIENT = "0a1b2c3d-0000-4000-8000-000000000001", "0a1b2c3d-0000-4000-8000-000000000002"
SECRET = fill("<alnum:40>", "named")
STORAGE_KEY = base64.b64encode(bytes(range(64))).decode()
LIVE, OLD = (
    "pypi-AgEIcHlwaS5vcmc" + fill("<alnum:150>", "live"),
    "pypi-AgEIcHlwaS5vcmc" + fill("<alnum:150>", "old"),
)


def pem(key: Any, form: str = "PKCS8") -> bytes:
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            getattr(serialization.PrivateFormat, form),
            serialization.NoEncryption(),
        )
    )


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unpart(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Clouds(LoopbackServer):
    """Google, Entra, Azure Storage, Docker Hub, a registry, PyPI and an Atlassian site in one."""

    def answer(self, request: Request) -> Answer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        site, path = request.path.split("/", 2)[1], "/" + request.path.split("/", 2)[2]
        answer = getattr(self, f"_{site}")(request, form, path)
        assert isinstance(answer, Answer)
        return answer

    def _google(self, _request: Request, form: dict[str, str], _path: str) -> Answer:
        head, claims, signature = form["assertion"].split(".")
        said = json.loads(unpart(claims))
        assert said["aud"] == "https://oauth2.googleapis.com/token"
        if said["iss"].startswith("gone@"):
            return data(
                {"error": "invalid_grant", "error_description": "Invalid grant: account not found"}, 400
            )
        if said["iss"].startswith("skewed@"):
            return data(
                {"error": "invalid_grant", "error_description": "Invalid JWT: Token must be short-lived"}, 400
            )
        try:
            KEY.public_key().verify(
                unpart(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return data({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        return data({"access_token": "ya29.x", "token_type": "Bearer"})

    def _entra(self, _request: Request, form: dict[str, str], path: str) -> Answer:
        if path != f"/{TENANT}/oauth2/v2.0/token":
            return data({"error": "invalid_request", "error_codes": [90002]}, 400)
        code = {SECRET: 0, "expired": 7000222, "blocked": 53003}.get(form["client_secret"], 7000215)
        if code:
            return data({"error": "invalid_client", "error_codes": [code]}, 401)
        token = f"{part({})}.{part({'roles': ['Directory.ReadWrite.All', 'User.Read.All']})}.x"
        return data({"token_type": "Bearer", "access_token": token})

    def _storage(self, request: Request, _form: dict[str, str], path: str) -> Answer:
        def no(status: int, code: str, detail: str = "") -> Answer:
            body = f"<Error><Code>{code}</Code><Message>{detail}</Message></Error>"
            return Answer(status, body.encode(), {"x-ms-error-code": code, "x-ms-version": "2021-12-02"})

        if "sig" in request.query:
            signature = request.last("sig")
            if signature == "late":
                return no(403, "AuthenticationFailed", "Signature not valid in the specified time frame")
            if signature != "good":
                return no(403, "AuthenticationFailed", "Signature did not match.")
            return (
                no(404, "BlobNotFound")
                if path == "/c/none"
                else Answer(200, b"", {"x-ms-version": "2021-12-02"})
            )
        headers = request.headers
        text = (
            "GET\n"
            + "\n" * 11
            + f"x-ms-date:{headers['x-ms-date']}\nx-ms-version:{headers['x-ms-version']}\n"
        )
        text += "/acmeshop/\ncomp:list\nmaxresults:1"
        signature = base64.b64encode(
            hmac.digest(base64.b64decode(STORAGE_KEY), text.encode(), "sha256")
        ).decode()
        if headers["authorization"] == f"SharedKey acmeshop:{signature}":
            return Answer(
                200, b"<?xml version='1.0'?><EnumerationResults/>", {"content-type": "application/xml"}
            )
        return no(403, "AuthenticationFailed")

    def _hub(self, request: Request, _form: dict[str, str], _path: str) -> Answer:
        said = json.loads(request.body)
        good = said == {"identifier": "acme", "secret": SECRET}
        return data({"access_token": "x"}) if good else data({"message": "incorrect authentication"}, 401)

    def _registry(self, request: Request, _form: dict[str, str], _path: str) -> Answer:
        good = base64.b64encode(f"deploy:{SECRET}".encode()).decode()
        if request.headers.get("authorization") == f"Basic {good}":
            return data({})
        return Answer(401, b"{}", {"www-authenticate": 'Basic realm="x"', "content-type": "application/json"})

    def _open(self, _request: Request, _form: dict[str, str], _path: str) -> Answer:
        return data({})

    def _pypi(self, request: Request, _form: dict[str, str], _path: str) -> Answer:
        token = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        if token == f"__token__:{LIVE}":
            return Answer(
                400,
                b"<html>400 None is an invalid value for Metadata-Version</html>",
                {"content-type": "text/html"},
            )
        return Answer(
            403,
            b"<html>403 Invalid or non-existent authentication information.</html>",
            {"content-type": "text/html"},
        )

    def _atlassian(self, request: Request, _form: dict[str, str], _path: str) -> Answer:
        pair = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        if pair == f"nobody@acme.test:{SECRET}":
            # A wrong pair is let in as nobody.
            return data({"displayName": "Anonymous"}, 200, {"x-seraph-loginreason": "AUTHENTICATED_FAILED"})
        if pair != f"bot@acme.test:{SECRET}":
            return Answer(
                401, b"Client must be authenticated to access this resource.", {"content-type": "text/plain"}
            )
        return data(
            {"accountId": "5b", "groups": {"items": [{"name": "site-admins"}, {"name": "jira-users"}]}}
        )


@pytest.fixture(scope="module")
def clouds() -> Iterator[Clouds]:
    with Clouds() as server:
        yield server


def ask(
    server: Clouds, rule: str, secret: str | bytes, *, accepted: bool = False, **companions: str
) -> Check:
    places = {
        "oauth2.googleapis.com": "google",
        "login.microsoftonline.com": "entra",
        "acmeshop.blob.core.windows.net": "storage",
        "hub.docker.com": "hub",
        "registry.acme.test": "registry",
        "open.acme.test": "open",
        "upload.pypi.org": "pypi",
        "acme.atlassian.net": "atlassian",
    }
    endpoints = {host: f"{server.url}/{site}" for host, site in places.items()}
    checks = loopback(endpoints=endpoints, hosts=("*.acme.test",))
    return engine(checks, accepted=lambda _: accepted).check(credential(rule, secret, **companions)).check


def test_google_service_accounts(clouds: Clouds) -> None:
    rule, account = "gcp.service-account-key", "ci@acme.iam.gserviceaccount.com"
    escaped = pem(KEY).replace(b"\n", b"\\n")
    assert ask(clouds, rule, escaped, account=account).validity is Validity.ACTIVE
    assert ask(clouds, rule, pem(OTHER), account=account).validity is Validity.INACTIVE
    assert (
        ask(clouds, rule, pem(KEY), account=f"gone@{account}".replace("ci@", "")).validity
        is Validity.INACTIVE
    )
    assert ask(clouds, rule, pem(KEY), account="skewed@acme.test").validity is Validity.UNKNOWN
    assert ask(clouds, rule, pem(KEY)).evidence == "its client_email was not found beside it"
    assert (
        ask(clouds, rule, pem(ec.generate_private_key(ec.SECP256R1())), account=account).evidence
        == "it is no RSA key"
    )


def test_client_secrets_of_entra(clouds: Clouds) -> None:
    def secret(value: str, tenant: str = TENANT) -> Check:
        return ask(clouds, "azure.client-secret", value, tenant=tenant, id=CLIENT)

    active = secret(SECRET)
    assert (active.validity, active.privilege) == (
        Validity.ACTIVE,
        "write: Directory.ReadWrite.All, User.Read.All",
    )
    assert secret("wrong").evidence == "Entra refuses it: it is no secret of this application (AADSTS7000215)"
    assert secret("expired").validity is Validity.INACTIVE
    assert secret("blocked").validity is Validity.UNKNOWN
    assert secret(SECRET, tenant=CLIENT).evidence.endswith("it answered 400 AADSTS90002")
    assert (
        ask(clouds, "azure.client-secret", SECRET, id=CLIENT).evidence
        == "its tenant id was not found beside it"
    )


def test_keys_and_signatures_of_azure_storage(clouds: Clouds) -> None:
    rule = "azure.storage-account-key"
    wrong = base64.b64encode(bytes(64)).decode()
    active = ask(clouds, rule, STORAGE_KEY, account="acmeshop")
    assert (active.validity, active.privilege) == (
        Validity.ACTIVE,
        "admin: everything in this storage account",
    )
    assert ask(clouds, rule, wrong, account="acmeshop").validity is Validity.INACTIVE
    assert ask(clouds, rule, STORAGE_KEY, account="evil.test/").validity is Validity.UNKNOWN

    def signature(value: str, path: str = "/c/f", host: str = "acmeshop.blob.core.windows.net") -> Check:
        return ask(clouds, "azure.sas-token", value, url=f"https://{host}{path}?sv=2022&sp=rw&")

    assert (signature("good").validity, signature("good").privilege) == (Validity.ACTIVE, "write: sp=rw")
    assert signature("good", "/c/none").validity is Validity.ACTIVE
    assert signature("good", "/").validity is Validity.ACTIVE
    assert signature("late", "/").validity is Validity.INACTIVE
    assert signature("bad").validity is Validity.UNKNOWN
    assert signature("good", host="acmeshop.blob.core.windows.net.evil.test").validity is Validity.UNKNOWN


def test_registries(clouds: Clouds) -> None:
    hub: dict[str, Any] = {"account": "acme", "host": "index.docker.io"}
    own: dict[str, Any] = {"account": "deploy", "host": "registry.acme.test"}
    assert ask(clouds, "docker.config-auth", SECRET, **hub).validity is Validity.ACTIVE
    assert ask(clouds, "docker.hub-token", "wrong", account="acme").validity is Validity.INACTIVE
    assert ask(clouds, "docker.hub-token", SECRET).evidence == "its user was not found beside it"
    assert ask(clouds, "docker.config-auth", SECRET, **own).validity is Validity.ACTIVE
    assert ask(clouds, "docker.config-auth", "wrong", **own).validity is Validity.INACTIVE
    opened = ask(clouds, "docker.config-auth", SECRET, account="deploy", host="open.acme.test")
    assert opened.evidence.startswith("open.acme.test asks for no password")
    other = ask(clouds, "docker.config-auth", SECRET, account="deploy", host="ghcr.evil.test")
    assert other.evidence == "ghcr.evil.test is not listed in checks.hosts"
    assert ask(clouds, "pypi.api-token", LIVE).privilege == "write: may upload files"
    assert ask(clouds, "pypi.api-token", OLD).validity is Validity.INACTIVE


def test_atlassian_refusals_prove_nothing_until_it_was_accepted(clouds: Clouds) -> None:
    rule = "atlassian.api-token"
    site: dict[str, Any] = {"host": "acme.atlassian.net"}
    active = ask(clouds, rule, SECRET, account="bot@acme.test", **site)
    assert (active.validity, active.privilege) == (Validity.ACTIVE, "admin: of the site")
    refused = ask(clouds, rule, "wrong", account="bot@acme.test", **site)
    assert (refused.validity, "another deployment" in refused.evidence) == (Validity.UNKNOWN, True)
    assert (
        ask(clouds, rule, "wrong", accepted=True, account="bot@acme.test", **site).validity
        is Validity.INACTIVE
    )
    assert ask(clouds, rule, SECRET, account="nobody@acme.test", **site).validity is Validity.UNKNOWN
    assert ask(clouds, rule, SECRET, account="a@b.test", host="evil.test").validity is Validity.UNKNOWN


CASES: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "gcp.service-account-key": (pem(KEY), {"account": "ci@acme.iam.gserviceaccount.com"}),
    "azure.client-secret": (SECRET, {"tenant": TENANT, "id": CLIENT}),
    "azure.storage-account-key": (STORAGE_KEY, {"account": "acmeshop"}),
    "azure.sas-token": ("good", {"url": "https://acmeshop.blob.core.windows.net/c/f?sp=r&"}),
    "docker.config-auth": (SECRET, {"account": "acme", "host": "index.docker.io"}),
    "pypi.api-token": (LIVE, {}),
    "atlassian.api-token": (SECRET, {"account": "bot@acme.test", "host": "acme.atlassian.net"}),
}


@pytest.mark.parametrize("rule", CASES)
@pytest.mark.parametrize(
    "fault",
    [
        Fault(".", status=429),
        Fault(".", status=500, body=b"{}"),
        Fault(".", status=302, headers={"location": "http://127.0.0.1:9/"}),
        Fault(".", status=200, body=b"<html>log in</html>", headers={"content-type": "text/html"}),
        Fault(".", status=403, body=b"<html>no</html>", headers={"content-type": "text/html"}),
        Fault(".", status=401, body=b"<html>no</html>", headers={"content-type": "text/html"}),
        Fault(".", status=200, body=b'{"access_tok', headers={"content-type": "application/json"}),
        Fault(".", reset=True),
    ],
)
def test_nothing_but_their_own_words_is_a_proof(clouds: Clouds, rule: str, fault: Fault) -> None:
    secret, companions = CASES[rule]
    clouds.faults[:] = [fault]
    try:
        assert ask(clouds, rule, secret, accepted=True, **companions).validity is Validity.UNKNOWN
    finally:
        clouds.faults.clear()


# --- keys and tokens that nobody is asked about ------------------------------------------------------


def test_private_keys_are_compared_with_public_ones(tmp_path: Path) -> None:
    host, user = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    cert, key = certificate(tmp_path, "www.acme.test")
    line = (
        host.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )
    (tmp_path / "known_hosts").write_text(f"# ours\ndb.acme.test,10.0.0.5 {line}\n")
    line = (
        user.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )
    (tmp_path / "authorized_keys").write_text(f'command="x" {line} deploy@acme.test\n')
    files = tuple(str(path) for path in (tmp_path / "known_hosts", tmp_path / "authorized_keys", cert))
    one = engine(loopback(public_keys=files))

    def told(value: bytes) -> Check:
        result = one.check(credential("privatekey.pem", value))
        assert not result.asked
        return result.check

    assert told(pem(host, "OpenSSH")).evidence == "it is the key of db.acme.test,10.0.0.5 (known_hosts)"
    assert told(pem(user)).evidence == "it is the key of deploy@acme.test (authorized_keys)"
    assert told(key.read_bytes()).evidence == "it is the key of CN=www.acme.test (server.pem)"
    assert told(b"  " + key.read_bytes().replace(b"\n", b"\\n")).validity is Validity.ACTIVE
    assert told(pem(OTHER)).evidence == "it belongs to none of the 3 public keys in checks.public_keys"
    assert told(pem(OTHER)[:300]).evidence == "it is no whole key"
    alone = engine(loopback()).check(credential("privatekey.pem", pem(host)))
    assert "names no public keys" in alone.check.evidence
    (tmp_path / "empty").write_text("nothing\n")
    with pytest.raises(ConfigError, match="holds no public key"):
        engine(loopback(public_keys=(str(tmp_path / "empty"),))).check(
            credential("privatekey.pem", pem(host))
        )


def token(key: Any, algorithm: str, kid: str = "", **claims: Any) -> str:
    text = f"{part({'alg': algorithm, 'kid': kid})}.{part({'iss': 'https://id.acme.test', **claims})}"
    if isinstance(key, bytes):
        return f"{text}.{part(hmac.digest(key, text.encode(), 'sha256'))}"
    if algorithm == "RS256":
        return f"{text}.{part(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
    if algorithm == "ES256":
        r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"
    return f"{text}.{part(key.sign(text.encode()))}"


def test_tokens_are_checked_with_the_key_of_their_issuer(tmp_path: Path) -> None:
    shared = fill("<alnum:48>", "jwt").encode()
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    numbers = curve.public_key().public_numbers()
    raw = edwards.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    rsa_numbers = KEY.public_key().public_numbers()
    x, y = (part(one.to_bytes(32, "big")) for one in (numbers.x, numbers.y))
    modulus = part(rsa_numbers.n.to_bytes(256, "big"))
    jwks = {
        "keys": [
            {"kid": "e", "kty": "EC", "crv": "P-256", "x": x, "y": y},
            {"kid": "o", "kty": "OKP", "crv": "Ed25519", "x": part(raw)},
            {"kid": "r", "kty": "RSA", "n": modulus, "e": part(bytes([1, 0, 1]))},
        ]
    }
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for name, content in (("shared", shared), ("jwks", json.dumps(jwks).encode()), ("public", public)):
        (tmp_path / name).write_bytes(content)

    def told(name: str, value: str) -> Check:
        keys = {"https://id.acme.test": f"file:{tmp_path / name}"}
        return engine(loopback(jwt_keys=keys)).check(credential("jwt.token", value)).check

    later = int(time.time()) + 3600
    active = told("shared", token(shared, "HS256", exp=later, scope="openid admin"))
    assert (active.validity, active.privilege) == (Validity.ACTIVE, "admin")
    assert told("shared", token(b"x" * 32, "HS256", exp=later)).validity is Validity.INACTIVE
    assert told("shared", token(shared, "HS256", exp=1)).validity is Validity.INACTIVE
    assert told("shared", token(shared, "HS256", nbf=later)).validity is Validity.UNKNOWN
    assert told("public", token(KEY, "RS256")).evidence.endswith("and never expires")
    assert told("public", token(OTHER, "RS256")).validity is Validity.INACTIVE
    assert told("jwks", token(curve, "ES256", "e")).validity is Validity.ACTIVE
    assert told("jwks", token(edwards, "EdDSA", "o")).validity is Validity.ACTIVE
    assert told("jwks", token(KEY, "RS256", "r")).validity is Validity.ACTIVE
    assert told("jwks", token(KEY, "RS256", "new")).validity is Validity.UNKNOWN
    # A public key is no shared secret: nobody may sign with what everybody knows.
    assert told("public", token(public, "HS256")).validity is Validity.UNKNOWN
    assert told("jwks", token(raw, "HS256", "o")).validity is Validity.UNKNOWN
    assert told("shared", "eyJ.eyJ.x").validity is Validity.UNKNOWN
    other = engine(loopback()).check(credential("jwt.token", token(shared, "HS256"))).check
    assert other.evidence == "checks.jwt_keys has no key of its issuer"
