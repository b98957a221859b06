"""Secrets: what is shown, what is equal, what is told apart."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from unsprawl.placeholders import fill
from unsprawl.secret import Keys, Secret, normalise

KEYS = Keys.derive(b"k" * 32)


def test_a_preview_shows_the_public_prefix_and_four_characters() -> None:
    value = fill("<github-token:ghp_>", seed="preview")
    assert Secret(value, "ghp_").preview == f"ghp_…{value[-4:]}"


def test_a_short_value_shows_nothing_of_itself() -> None:
    assert Secret("hunter2").preview == "…"
    assert Secret("ghp_" + "x" * 15, "ghp_").preview == "ghp_…"


def test_a_prefix_that_is_not_the_values_own_is_not_shown() -> None:
    assert Secret("x" * 30, "ghp_").preview == "…xxxx"


def test_the_preview_of_a_key_without_line_ends_is_its_border() -> None:
    pem = fill("<pem:ec>", seed="one line")
    border = pem.partition("\n")[0]
    for joint in ("\n", "\\n", " ", ""):
        assert Secret(joint.join(pem.splitlines())).preview == f"{border}…"
    assert Secret("-----BEGIN what is no border").preview == "-----BEGIN…"


@given(st.text(min_size=1, max_size=80), st.text(max_size=90))
def test_no_form_of_printing_tells_more_than_the_preview(value: str, prefix: str) -> None:
    secret = Secret(value, prefix)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>90}", "%s" % secret):  # noqa: UP031
        assert secret.preview in shown or repr(secret.preview) in shown
    if not value.startswith("-----BEGIN"):
        assert len(secret.preview.replace("…", "")) <= 12 + 4


def test_a_secret_survives_the_way_to_another_process() -> None:
    secret = Secret(b"\xff\x00value", "p")
    again = pickle.loads(pickle.dumps(secret))
    assert again == secret
    assert again.prefix == "p"


def test_the_same_key_in_other_clothes_is_the_same_secret() -> None:
    pem = fill("<pem:rsa>", seed="clothes")
    clothes = [
        pem,
        f'"{pem}"',
        pem.replace("\n", "\r\n"),
        pem.replace("\n", "\\n"),
        pem.replace("\n", "\n    "),
    ]
    assert len({KEYS.fingerprint(Secret(each)) for each in clothes}) == 1
    assert normalise(b" 'quoted' ") == b"quoted"


def test_forty_accounts_with_one_password_are_forty_cases_with_one_fingerprint() -> None:
    password = Secret("Summer2026!")
    scopes = [{"account": Secret(f"user{n}@acme.test")} for n in range(40)]
    assert len({KEYS.identity(password, scope) for scope in scopes}) == 40
    assert KEYS.identity(password) not in {KEYS.identity(password, scope) for scope in scopes}
    assert len({KEYS.fingerprint(password) for _ in scopes}) == 1


def test_an_account_is_the_same_in_upper_and_lower_case() -> None:
    password = Secret("Summer2026!")
    upper, lower = ({"account": Secret(name)} for name in ("Bob@Acme.Test", "bob@acme.test"))
    assert KEYS.identity(password, upper) == KEYS.identity(password, lower)


def test_other_keys_give_other_fingerprints() -> None:
    other = Keys.derive(b"o" * 32)
    secret = Secret("value")
    assert other.fingerprint(secret) != KEYS.fingerprint(secret)
    assert other.name("a") != KEYS.name("a")
    assert other.id != KEYS.id
    assert "fingerprint_key" not in repr(KEYS)


def test_the_borders_of_names_count() -> None:
    assert KEYS.name("a", "bc") != KEYS.name("ab", "c")
