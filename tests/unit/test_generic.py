"""The filters of generic matches: what ordinary text holds is refused, what people leak is kept."""

from __future__ import annotations

import random
import re
import time

import pytest

from unsprawl import lexicon
from unsprawl.detectors.judging import generic
from unsprawl.detectors.rules import Kind, Rule
from unsprawl.placeholders import fill
from unsprawl.records import Severity


def rule(kind: Kind = "generic", **more: object) -> Rule:
    return Rule(
        id="x.y",
        name="",
        provider="x",
        severity=Severity.LOW,
        keywords=("k",),
        pattern="",
        kind=kind,
        **more,  # type: ignore[arg-type]
    )


PASSWORD = rule()
TOKEN = rule(min_entropy=3.0)


def refused(kind: Rule, text: str) -> str:
    """``text`` marks the value: ``password = "⟦x⟧"``."""
    before, rest = fill(text).split("⟦")
    value, after = rest.split("⟧")
    return generic.refuses(kind, value.encode(), before.encode(), after.encode())


@pytest.mark.parametrize(
    "text",
    [
        'password = "⟦<password>⟧"',
        "DB_PASSWORD=⟦<password>⟧",
        "password: ⟦letmein⟧",
        'MYSQL_ROOT_PASSWORD: "⟦hunter22⟧"',
        "spring.datasource.password=⟦Sommer2024!⟧",
        "  password: ⟦lantern⟧\n",
        'password = "⟦changeit⟧"',
    ],
)
def test_passwords_are_kept(text: str) -> None:
    assert refused(PASSWORD, text) == ""


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "⟦<alnum:32>⟧"',
        "SECRET_KEY=⟦<base64:44>⟧",
        'token: "⟦<hex:40>⟧"',
        "MINIO_ACCESS_KEY: '⟦<alnum:18>⟧'",
        'client_secret = "⟦<uuid>⟧"',
    ],
)
def test_drawn_values_are_kept(text: str) -> None:
    assert refused(TOKEN, text) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('password = "⟦your-password-here⟧"', "identifier"),
        ("password: ⟦xxxxxxxxxx⟧", "placeholder"),
        ("password: ⟦<password goes here>⟧", "reference"),
        ("password: ⟦********⟧", "punctuation"),
        ("PASSWORD=⟦change-me⟧", "placeholder"),
        ("PASSWORD=⟦aaaaaaaaaaaa⟧", "made up"),
        ("PASSWORD=⟦${DB_PASSWORD}⟧", "reference"),
        ("password: ⟦{{ vault_password }}⟧", "reference"),
        ("password: ⟦$(pass show db)⟧", "reference"),
        ("password = ⟦os.environ['X']⟧", "reference"),
        ("password = ⟦process.env.DB_PASS⟧", "reference"),
        ("password: ⟦vault:secret/db#password⟧", "reference"),
        ("password: ⟦!vault⟧", "reference"),
        ("password = ⟦get_password(user)⟧", "code"),
        ("password = ⟦form.entry7.data⟧", "code"),
        ("if password == ⟦expected_value⟧:", "code"),
        ("password: ⟦string⟧;", "a word of the language"),
        ("password = ⟦None⟧", "a word of the language"),
        ('password = "⟦/run/secrets/db⟧"', "path or address"),
        ('password = "⟦id_rsa.pem⟧"', "path or address"),
        ('password_file = "⟦db-password⟧"', "identifier"),
        ('password_hint = "⟦Name7 of pet⟧"', "key names something else"),
        ('resetPassword: "⟦Sommer2024!⟧"', "key names something else"),
        ('label_password => "⟦Kennwort7⟧"', "key names something else"),
        ("query($password: ⟦Text7!⟧)", "type of a variable"),
        ('"Request password" => "⟦Zatra7⟧"', "words for people"),
        ("--- PASS: ⟦TestLogin⟧ (0.00s)", "test result"),
        ("* src/passwd.c: ⟦Likewise⟧.", "change log"),
        ("the password is ⟦required⟧ for all", "a word of the language"),
        ("the password is ⟦compared⟧ with the stored one", "prose"),
        ('password = "⟦%s⟧" % x', "reference"),
        ('url = "password=⟦{password}⟧"', "reference"),
        ("password = ⟦**⟧", "too short"),
    ],
)
def test_what_is_no_password_is_refused(text: str, reason: str) -> None:
    assert refused(PASSWORD, text) == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("commit_token_sha256: ⟦<hex:64>⟧", "hash"),
        ('"lib/key.rb": "⟦<hex:32>⟧"', "hash"),
        ("key: ⟦customer_order_reference⟧", "identifier"),
        ('"AWS::IAM::AccessKey": "⟦<hex:16>⟧"', "name of a type"),
        ('public_key = "⟦<alnum:44>⟧"', "key names something else"),
        ("next_token=⟦<alnum:44>⟧", "key names something else"),
        ("row_key = ⟦<uuid>⟧", "key names something else"),
        ("request: ⟦<uuid>⟧", "identifier"),
        ("key = ⟦000102030405060708090a0b0c0d0e0f⟧", "made up"),
        ("token=⟦ghp_<alnum:36>⟧", "checksum"),
        ("key=⟦aabbaabbaabbaabb⟧", "made up"),
        ("key=⟦1731928465019283⟧", "number"),
        ("key = ⟦config.load_everything()⟧", "reference"),
    ],
)
def test_what_is_no_key_is_refused(text: str, reason: str) -> None:
    assert refused(TOKEN, text) == reason


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("postgres://user:⟦password⟧@host/db", True),
        ("postgres://root:⟦secret⟧@db.example.com/db", True),
        ("postgres://app:⟦Sommer2024⟧@db.example.com/db", False),
        ("postgres://app:⟦secret⟧@10.0.0.5/db", False),
        ("postgres://app:⟦${PW}⟧@10.0.0.5/db", True),
        ("postgres://app:⟦DB_PASSWORD⟧@10.0.0.5/db", True),
    ],
)
def test_logins_of_the_documentation_are_refused(text: str, refusal: bool) -> None:
    assert bool(refused(rule("contextual"), text)) is refusal


def test_exact_formats_are_refused_for_a_mask_only() -> None:
    exact = rule("exact", prefix="AKIA")
    assert refused(exact, "⟦AKIA" + "IOSFODNN7" + "EXAMPLE⟧") == "placeholder"
    assert refused(exact, "⟦AKIA" + 16 * "A" + "⟧") == "placeholder"
    assert refused(exact, "test example dummy ⟦<aws-key-id:123456789012>⟧ placeholder") == ""
    assert refused(exact, "⟦<pem:ec>⟧") == ""


def test_no_random_key_is_refused() -> None:
    """The filters must cost almost no recall on values that machines draw."""
    lost = [n for n in range(500) if refused(TOKEN, f"api_key = '⟦{fill('<alnum:32>', str(n))}⟧'")]
    lost += [n for n in range(500) if refused(TOKEN, f"api_key = '⟦{fill('<base64:40>', str(n))}⟧'")]
    lost += [n for n in range(500) if refused(PASSWORD, f"password = '⟦{fill('<password>', str(n))}⟧'")]
    assert len(lost) <= 3


def test_filters_are_quick_on_hostile_text() -> None:
    draw = random.Random(1)
    pieces = [
        b"a" * 128,
        b"a_" * 64,
        b"$" * 128,
        b"x.x." * 32,
        b"-" * 128,
        draw.randbytes(128),
        b"A1" * 64,
        b"://" * 40,
    ]
    began = time.process_time()
    for piece in pieces:
        for kind in (PASSWORD, TOKEN, rule("contextual")):
            for _ in range(50):
                generic.refuses(kind, piece, piece * 2, piece * 2)
    assert time.process_time() - began < 1.0


def test_entropy_is_shannons() -> None:
    assert lexicon.entropy(b"") == 0
    assert lexicon.entropy(b"aaaa") == 0
    assert lexicon.entropy(b"abcd") == 2
    assert lexicon.entropy(bytes(range(256))) == pytest.approx(8)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"123", "digits"),
        (b"12af", "hex"),
        (b"abcXYZ", "letters"),
        (b"abc9Z", "alnum"),
        (b"a+/=", "base64"),
        (b"a b", "text"),
    ],
)
def test_the_narrowest_alphabet_is_named(value: bytes, kind: str) -> None:
    assert lexicon.alphabet(value) == kind


def test_words_and_random_characters_are_told_apart() -> None:
    assert lexicon.words_in(b"customerOrderReference") > 0.8
    assert lexicon.words_in(fill("<alnum:40>").encode()) < 0.4
    assert re.fullmatch("[a-z]+", fill("<word>"))
    assert lexicon.looks_random(fill("<alnum:32>").encode())
    assert not lexicon.looks_random(b"thisIsOnlyAnIdentifier")
