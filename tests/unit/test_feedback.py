"""Decisions become training samples: read again, from sealed values, or with stand-ins of the same kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unsprawl import jobs
from unsprawl.config import Config, load
from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.feedback import Gathered, gather
from unsprawl.models.embedding import Traits
from unsprawl.models.feedback import SOURCE, samples, stand_in
from unsprawl.models.samples import LABELS
from unsprawl.placeholders import fill
from unsprawl.records import Label, Status
from unsprawl.store.findings import Store
from unsprawl.store.keys import load_keys
from unsprawl.store.triage import Decision

HASH = fill("<hex:32>", "fixture")
KEY = fill("<alnum:24>", "key")
FALSE = Decision(status=Status.FALSE_POSITIVE, reason="a fixture", author="ada")
REAL = Decision(status=Status.ACKNOWLEDGED, reason="rotating", author="ada")


@pytest.fixture(scope="module")
def detector() -> ContentDetector:
    return build(doubts=True)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNSPRAWL_CONFIG_DIR", str(tmp_path / "key"))
    root = tmp_path / "tree"
    root.mkdir()
    (root / "user.yml").write_text(f"login: ann\npassword: {HASH}\nactive: true\n")
    (root / "app.env").write_text(f"PORT=1\nDB_PASSWORD={KEY}\n")
    return root


def decided(tree: Path, **settings: Any) -> Config:
    """A store with two decisions about what stands in ``tree``."""
    path = tree.parent / "nightly.yaml"
    more = "".join(f"{name}: {value}\n" for name, value in settings.items())
    path.write_text(f"store: night.db\nmin_confidence: 0.01\n{more}sources:\n"
                    f"  here: {{type: files, paths: [{tree}]}}\n")  # fmt: skip
    config = load(path)
    jobs.crawl(config, jobs.Options(jobs=1))
    with Store.open(config.store, load_keys()) as store:
        for row in list(store.rows()):
            store.decide([row["finding"]], FALSE if row["path"].endswith("yml") else REAL)
    return config


def gathered(config: Config, detector: ContentDetector, *, again: bool) -> Gathered:
    with Store.open(config.store, load_keys(), readonly=True) as store:
        return gather(store, load_keys(), config if again else None, detector)


def test_what_can_be_read_again_teaches_as_it_is(tree: Path, detector: ContentDetector) -> None:
    found = gathered(decided(tree), detector, again=True)
    assert (found.read, found.sealed, found.made, found.left) == (2, 0, 0, 0)
    known = {place.candidate.secret.text(): place for place in found.places}
    assert {value: place.harmless for value, place in known.items()} == {HASH: True, KEY: False}
    assert known[HASH].candidate.before == b"login: ann\npassword: "


@pytest.mark.parametrize("gone", [False, True])
def test_without_its_text_a_place_gets_a_stand_in(tree: Path, detector: ContentDetector, gone: bool) -> None:
    config = decided(tree)
    if gone:
        (tree / "user.yml").unlink()
        (tree / "app.env").write_text("PORT=1\n")
    found = gathered(config, detector, again=gone)
    assert (found.read, found.made) == (0, 2)
    for place in found.places:
        text, value = place.candidate.before + place.candidate.text, place.candidate.secret.reveal()
        assert not [own for own in (HASH, KEY) if own.encode() in text]
        own = HASH if place.harmless else KEY
        assert Traits.of(value) == Traits.of(own.encode())
    lines = {place.candidate.before.decode() for place in found.places}
    assert lines == {"password: ", "DB_PASSWORD="}


def test_a_sealed_value_stands_in_the_stored_line(tree: Path, detector: ContentDetector) -> None:
    found = gathered(decided(tree, seal="open", verify="true"), detector, again=False)
    assert (found.sealed, found.made) == (2, 0)
    assert {place.candidate.secret.text() for place in found.places} == {HASH, KEY}
    assert {place.candidate.before for place in found.places} == {b"password: ", b"DB_PASSWORD="}


def test_what_was_taken_back_teaches_nothing(tree: Path, detector: ContentDetector) -> None:
    config = decided(tree)
    with Store.open(config.store, load_keys()) as store:
        store.undo([it["finding"] for it in store.all_decisions()], "ada")
    assert gathered(config, detector, again=True).places == ()


def test_samples_say_what_was_decided(tree: Path, detector: ContentDetector) -> None:
    kinds: dict[str, str] = {rule.id: rule.kind for rule in detector.rules.rules}
    found = gathered(decided(tree), detector, again=True)
    made = samples(found.places, kinds)
    order = np.argsort(made.secret)
    assert made.secret[order].tolist() == [0.0, 1.0]
    assert made.label[order].tolist() == [LABELS.index(Label.HASH), -100]
    assert set(made.source) == {SOURCE}
    assert len(set(made.group.tolist())) == 2


@pytest.mark.parametrize(
    "value",
    [
        "changeme", "hunter2", "Dragon1988!", "process.env.DB_PASSWORD", "ordersPasswordField", HASH, KEY,
        fill("<base64:44>", "x"), fill("<digits:9>", "x"), "x" * 20, "correct-horse-battery",
    ],
)  # fmt: skip
def test_a_stand_in_has_the_traits(value: str) -> None:
    wanted = Traits.of(value.encode())
    made = stand_in(wanted, "", "seed")
    assert made == stand_in(wanted, "", "seed")
    found = Traits.of(made)
    assert (found.alphabet, found.known, abs(found.length - wanted.length) <= 1) == (
        wanted.alphabet,
        wanted.known,
        True,
    )


def test_a_stand_in_keeps_the_public_prefix() -> None:
    assert stand_in(Traits.of(b"acme_" + KEY.encode()), "acme_", "seed").startswith(b"acme_")
