"""The first classifier: its scale, its labels, its environments."""

from __future__ import annotations

import pytest

from unsprawl.models.baseline import BaselineClassifier
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Check, Document, Environment, Label, Validity, Verdict
from unsprawl.secret import Secret

KINDS = {"acme.exact": "exact", "acme.context": "contextual", "acme.generic": "generic"}


def judge(
    line: str,
    *,
    rule: str = "acme.generic",
    path: str = "srv/app/settings.py",
    check: Check | None = None,
    prefix: str = "",
) -> Verdict:
    before, rest = fill(line).split("⟦")
    value, after = rest.split("⟧")
    candidate = Candidate(
        rule=rule,
        secret=Secret(value, prefix),
        start=0,
        end=len(value),
        line=1,
        column=1,
        line_end=1,
        before=before.encode(),
        text=value.encode(),
        after=after.encode(),
        check=check,
    )
    (verdict,) = BaselineClassifier(KINDS).score(
        [(Document(uri=f"file:{path}", body=b"", path=path), candidate)]
    )
    return verdict


def test_a_format_that_proves_itself_is_at_the_top() -> None:
    check = Check(Validity.UNKNOWN, "checksum fits", exact=True)
    assert judge("⟦aaaaaaaaaaaa⟧", rule="acme.exact", check=check).confidence >= 0.95


def test_the_scale_falls_from_proof_to_guess() -> None:
    exact = judge("x ⟦acme_<alnum:32>⟧", rule="acme.exact").confidence
    context = judge("acme_key = ⟦<alnum:32>⟧", rule="acme.context").confidence
    drawn = judge("api_key = ⟦<alnum:32>⟧").confidence
    word = judge("name = ⟦lantern⟧").confidence
    assert exact > context > drawn > word > 0.3


@pytest.mark.parametrize("rule", ["acme.context", "acme.generic"])
def test_a_placeholder_is_labelled_and_low(rule: str) -> None:
    verdict = judge("key = ⟦your-api-key-here⟧", rule=rule)
    assert verdict.label is Label.PLACEHOLDER
    assert verdict.confidence <= 0.1


def test_a_default_password_is_weak_but_a_credential() -> None:
    verdict = judge("password: ⟦letmein⟧")
    assert verdict.label is Label.WEAK
    assert verdict.confidence >= 0.5


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("app/tests/test_login.py", Label.TEST),
        ("spec/fixtures/users.yml", Label.TEST),
        ("docs/setup.md", Label.EXAMPLE),
        ("config/app.env.example", Label.EXAMPLE),
        ("README.md", Label.EXAMPLE),
        ("srv/contest/app.py", Label.REAL),
        ("latest/app.py", Label.REAL),
    ],
)
def test_the_path_tells_tests_and_examples(path: str, label: Label) -> None:
    assert judge("password = '⟦<password>⟧'", path=path).label is label


@pytest.mark.parametrize(
    ("line", "path", "environment"),
    [
        ("PROD_DB_PASSWORD=⟦<password>⟧", "app.env", Environment.PRODUCTION),
        ("password: ⟦<password>⟧  # staging", "app.env", Environment.STAGING),
        ("password: ⟦<password>⟧", "deploy/production/app.env", Environment.PRODUCTION),
        ("host: localhost\npassword: ⟦<password>⟧", "app.env", Environment.DEVELOPMENT),
        ("product_password: ⟦<password>⟧", "app.env", Environment.UNKNOWN),
        ("dev_password: ⟦<password>⟧", "deploy/production/app.env", Environment.DEVELOPMENT),
    ],
)
def test_the_environment_is_read_from_the_nearest_words(
    line: str, path: str, environment: Environment
) -> None:
    assert judge(line, path=path).environment is environment


def test_a_hash_beside_its_name_is_a_hash() -> None:
    verdict = judge("sha256 token ⟦<hex:64>⟧")
    assert verdict.label is Label.HASH
    assert verdict.confidence < 0.3


def test_every_confidence_is_a_probability() -> None:
    for seed in range(100):
        for rule in KINDS:
            verdict = judge(f"key = ⟦{fill('<base64:4-60>', str(seed))}⟧ for example a test", rule=rule)
            assert 0 <= verdict.confidence <= 1


def test_verdicts_come_in_the_order_of_the_candidates() -> None:
    assert BaselineClassifier().score([]) == []
    assert BaselineClassifier().version
