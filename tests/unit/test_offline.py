"""Offline verdicts: what proves itself, what refutes itself, what tells nothing."""

from __future__ import annotations

import base64
import binascii
import json
import string
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.detectors.judging import offline, privatekeys
from unsprawl.detectors.rules import load
from unsprawl.placeholders import fill
from unsprawl.records import Check, Validity


def run(name: str, value: str, **companions: str) -> offline.Result:
    return offline.CHECKS[name](value.encode(), {key: text.encode() for key, text in companions.items()})


def checked(name: str, value: str, **companions: str) -> Check:
    result = run(name, value, **companions)
    assert isinstance(result, Check)
    return result


def encode(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@pytest.mark.parametrize(("name", "prefix"), [("github", "ghp_"), ("github", "ghs_"), ("npm", "npm_")])
def test_a_checksum_proves_or_refutes(name: str, prefix: str) -> None:
    token = fill(f"<github-token:{prefix}>")
    assert checked(name, token).exact
    swapped = token[:-1] + ("0" if token[-1] != "0" else "1")
    assert run(name, swapped) is offline.REFUTED


def test_a_token_of_another_length_is_not_refuted() -> None:
    assert run("github", "ghs_" + fill("<alnum:60>")) is None


def test_a_token_of_an_app_is_a_jwt_with_a_number() -> None:
    assert checked("github-app", fill("<github-token:ghs_>")).exact
    assert checked("github-app", "ghs_1234567_" + fill("<jwt:valid>")).exact
    assert checked("github-app", "ghs_1234567_" + fill("<jwt:expired>")).validity is Validity.INACTIVE
    assert run("github-app", "ghs_1234567_" + fill("<alnum:40>.<alnum:40>.<alnum:40>")) is offline.REFUTED


@pytest.mark.parametrize("prefix", ["glpat-", "glrt-t3_", "acme-glpat-"])
def test_a_routable_token_ends_in_its_checksum(prefix: str) -> None:
    body = fill("<base64url:36>", prefix)
    head = f"{prefix}{body}.01.{_base36(len(body)):>02}".encode()
    token = (head + _base36(zlib.crc32(head)).rjust(7, "0").encode()).decode()
    assert checked("gitlab", token).exact
    assert run("gitlab", token[:-1] + ("0" if token[-1] != "0" else "1")) is None
    assert run("gitlab", prefix + fill("<alnum:20>")) is None


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = string.digits[rest] + digits if rest < 10 else string.ascii_lowercase[rest - 10] + digits
    return digits


def test_an_expired_jwt_is_inactive_and_says_since_when() -> None:
    check = checked("jwt", fill("<jwt:expired>"))
    assert check.validity is Validity.INACTIVE
    assert check.evidence == "expired on 2020-01-01, issuer https://login.acme.test"
    assert check.exact


def test_a_jwt_that_lives_is_unknown_not_active() -> None:
    check = checked("jwt", fill("<jwt:valid>"))
    assert check.validity is Validity.UNKNOWN
    assert "expires on 2099-01-01" in check.evidence


def test_an_unsigned_jwt_says_so() -> None:
    assert "alg none" in checked("jwt", fill("<jwt:none>")).evidence


@pytest.mark.parametrize("expiry", [1e300, -1e300, "tomorrow", None, True, [], 10**400])
def test_an_impossible_expiry_does_not_break(expiry: object) -> None:
    token = f"{encode({'alg': 'HS256'})}.{encode({'exp': expiry})}.sig"
    assert isinstance(run("jwt", token), Check)


@pytest.mark.parametrize(
    "token", ["a.b.c", "a.b", f"{encode({'typ': 'x'})}.{encode({})}.s", f"{encode({'alg': 'x'})}.!!.s"]
)
def test_what_only_looks_like_a_jwt_is_refuted(token: str) -> None:
    assert run("jwt", token) is offline.REFUTED


def test_evidence_holds_nothing_that_moves_a_terminal() -> None:
    token = f"{encode({'alg': 'HS256'})}.{encode({'iss': chr(27) + '[2J' + 'x' * 500})}.sig"
    evidence = checked("jwt", token).evidence
    assert evidence.isprintable()
    assert len(evidence) < 200


def test_a_key_id_tells_its_account() -> None:
    assert checked("aws-key-id", fill("<aws-key-id:123456789012>")).evidence == "account 123456789012"
    assert checked("aws-key-id", fill("<aws-key-id:ASIA:000000000042>")).evidence.endswith(
        "account 000000000042"
    )


def test_an_old_key_id_tells_nothing() -> None:
    assert run("aws-key-id", "AKIAI" + "A" * 15) is None


def test_a_secret_key_takes_the_account_of_its_id() -> None:
    check = checked("aws-secret", fill("<base64:40>"), id=fill("<aws-key-id:123456789012>"))
    assert check.evidence == "account 123456789012"
    assert run("aws-secret", fill("<base64:40>")) is None


def test_supabase_roles_are_told_apart() -> None:
    head = encode({"alg": "HS256"})
    token = f"{head}.{encode({'role': 'service_role', 'ref': 'acme'})}.sig"
    assert checked("supabase", token).privilege == "role service_role"


def test_an_expired_signature_is_inactive() -> None:
    assert checked("azure-sas", "x", expiry="2020-01-01T00%3A00%3A00Z").validity is Validity.INACTIVE
    assert checked("azure-sas", "x", expiry="2099-01-01").validity is Validity.UNKNOWN
    assert run("azure-sas", "x", expiry="soon") is None


def test_docker_auth_must_be_a_user_and_a_password() -> None:
    good = base64.b64encode(b"deploy:" + fill("<password>").encode()).decode()
    assert checked("docker-auth", good).evidence == "user deploy"
    assert run("docker-auth", base64.b64encode(b"nothing here").decode()) is offline.REFUTED
    assert run("docker-auth", base64.b64encode(b"a:\x00\xff").decode()) is offline.REFUTED


def test_stripe_modes() -> None:
    assert checked("stripe", fill("sk_test_<alnum:24>")).evidence == "test mode"
    assert checked("stripe", fill("rk_live_<alnum:24>")).privilege == "restricted key"


def test_an_age_key_with_a_wrong_letter_is_refuted() -> None:
    key = fill("<age-key>")
    assert checked("age", key).exact
    assert run("age", key[:-1] + ("Q" if key[-1] != "Q" else "P")) is offline.REFUTED


@pytest.mark.parametrize(
    ("template", "evidence"),
    [
        ("<pem:rsa>", "RSA key, 1024 bits"),
        ("<pem:ec>", "EC key"),
        ("<pem:pkcs8>", "RSA key"),
        ("<pem:pkcs8:escaped>", "RSA key"),
        ("<pem:openssh>", "OpenSSH key"),
        ("<pem:encrypted>", "encrypted (PBES2) key"),
        ("<pem:pgp>", "PGP key, checksum fits"),
    ],
)
def test_a_private_key_is_described(template: str, evidence: str) -> None:
    text = fill(template).encode()
    assert privatekeys.describe(text) == evidence
    assert privatekeys.describe(text.replace(b"\n", b"\r\n")) == evidence
    assert privatekeys.describe(b"\n".join(b"    " + line for line in text.split(b"\n"))) == evidence


def test_a_legacy_encrypted_key_names_its_cipher() -> None:
    text = fill("<pem:rsa>").replace(
        "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00FF\n\n", 1
    )
    assert privatekeys.describe(text.encode()) == "RSA key, encrypted with AES-128-CBC"


@pytest.mark.parametrize("cut", [60, 120, 400])
def test_a_cut_key_is_not_proven(cut: int) -> None:
    assert privatekeys.describe(fill("<pem:rsa>")[:cut].encode()) == ""


def test_a_broken_pgp_checksum_is_not_proven() -> None:
    lines = fill("<pem:pgp>").split("\n")
    lines[3] = lines[3][::-1]
    assert privatekeys.describe("\n".join(lines).encode()) == ""


@given(st.sampled_from(sorted(offline.CHECKS)), st.binary(max_size=300), st.binary(max_size=40))
def test_no_value_breaks_a_check(name: str, value: bytes, companion: bytes) -> None:
    companions = dict.fromkeys(("id", "account", "expiry", "host"), companion)
    result = offline.CHECKS[name](value, companions)
    assert result is None or result is offline.REFUTED or isinstance(result, Check)


@given(st.binary(max_size=200))
def test_no_body_breaks_the_key_reader(body: bytes) -> None:
    for kind in (b"RSA ", b"OPENSSH ", b"", b"PGP "):
        block = b"-----BEGIN " + kind + b"PRIVATE KEY-----\n" + base64.b64encode(body) + b"\n-----END"
        assert isinstance(privatekeys.describe(block), str)


def test_a_rule_without_a_check_and_a_huge_value_give_nothing(tmp_path: Path) -> None:
    rules = load(cache=tmp_path).by_id
    assert offline.check(rules["slack.app-token"], b"x", {}) is None
    assert offline.check(rules["jwt.token"], b"x" * 100_000, {}) is None
    assert offline.check(rules["jwt.token"], fill("<jwt:valid>").encode(), {}) is not None


def test_a_certificate_beside_a_key_says_whose_it_is_and_whether_they_belong_together(tmp_path: Path) -> None:
    from database_servers import certificate

    (tmp_path / "other").mkdir()
    cert, key = certificate(tmp_path, "www.acme.test")
    other, _ = certificate(tmp_path / "other", "old.acme.test")
    own = checked("pem", key.read_text(), certificate=cert.read_text())
    assert "belongs to the certificate of CN=www.acme.test, which is valid until 20" in own.evidence
    wrong = checked("pem", key.read_text(), certificate=other.read_text())
    assert "does not belong to the certificate of CN=old.acme.test" in wrong.evidence
    escaped = checked("pem", key.read_text(), certificate=cert.read_text().replace("\n", "\\n"))
    assert escaped.evidence == own.evidence
    assert "certificate" not in checked("pem", key.read_text(), certificate="no such thing").evidence


@pytest.mark.parametrize(
    ("value", "evidence"),
    [
        ("sk_test_<alnum:24>", "test mode"),
        ("rzp_live_<alnum:14>", "live mode"),
        ("access_token$production$<alnum:16>$<alnum:32>", "production"),
        ("pdl_sdbx_apikey_<alnum:26>", "sandbox"),
        ("access-development-<uuid>", "development"),
    ],
)
def test_a_prefix_names_the_environment(value: str, evidence: str) -> None:
    assert checked("mode", fill(value)).evidence == evidence
    assert run("mode", fill("sk_<alnum:30>_test_")) is None


def test_what_else_formats_tell() -> None:
    assert checked("telegram", "123456789:AA" + fill("<alnum:33>")).evidence == "bot 123456789"
    assert (
        checked("mapbox", f"sk.{encode({'u': 'acme', 'a': 'x'})}.{fill('<alnum:22>')}").evidence
        == "account acme"
    )
    raw = bytes([18 << 3 | 20 >> 5 << 3, (20 << 3) & 0xFF]) + bytes(range(32))
    seed = base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")
    assert checked("nkey", seed).exact
    assert run("nkey", seed[:-1] + ("A" if seed[-1] != "A" else "B")) is None
    past = checked("azure-sas", fill("<alnum:43>"), expiry="1500000000")
    assert (past.validity, past.evidence) == (Validity.INACTIVE, "expired on 2017-07-14")
    assert checked("azure-sas", fill("<alnum:43>"), expiry="4070908800").evidence == "expires on 2099-01-01"
