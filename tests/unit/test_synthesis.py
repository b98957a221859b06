"""Synthetic texts: the same again, spans that hold, every label on every surface, splits that never meet."""

from __future__ import annotations

import hashlib
import json
import random
import re
from itertools import islice
from pathlib import Path

import pytest

from unsprawl.models import labelled, synthesis
from unsprawl.models.surfaces import SURFACES
from unsprawl.models.synthesis import texts
from unsprawl.models.synthesis.carriers import FAMILIES, carry
from unsprawl.models.synthesis.mined import Files
from unsprawl.models.synthesis.secrets_made import templates
from unsprawl.models.synthesis.values import NEGATIVE, POSITIVE, make, misleading
from unsprawl.placeholders import base62_crc32, fill
from unsprawl.records import Label


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Forty repositories with a credential and a reference each."""
    rows = []
    for number in range(40):
        for label, line in (("T", 'password = "Summer-2019"'), ("F", 'password = "user.name"')):
            start = line.index('"') + 1
            rows.append(
                {
                    "id": f"{number}{label}",
                    "repo_hash": hashlib.sha256(bytes([number])).hexdigest()[:16],
                    "path": f"src/a{number}.py",
                    "label": label,
                    "category": "Password",
                    "line": line,
                    "value_start": start,
                    "value_end": len(line) - 1,
                    "before": ["import os"],
                    "after": [""],
                }
            )
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_same_seed_gives_the_same_texts(corpus: Path) -> None:
    first, again, other = (list(texts(n, size=60, labelled=corpus, split="train")) for n in (5, 5, 6))
    assert first == again
    assert first != other
    assert len(first) == 60


@pytest.mark.parametrize("family", FAMILIES)
def test_every_carrier_holds_every_label_where_its_span_says(family: str) -> None:
    draw = random.Random(family)
    for label in Label:
        text = carry(draw, family, (label, Label.WEAK))
        assert [span.label for span in text.spans] == [label, Label.WEAK]
        assert b"\0" not in text.body
        for span in text.spans:
            assert text.body[span.start : span.end].strip()
        assert text.spans[0].end < text.spans[1].start


def test_spans_hold_the_values_that_were_made() -> None:
    draw, seen = random.Random(3), 0
    for _ in range(300):
        text = carry(draw, "env", (Label.WEAK,))
        (span,) = text.spans
        value = text.body[span.start : span.end].decode()
        assert re.fullmatch(r"[\w@!#$.-]+", value), value
        assert text.body.decode()[span.start - 1] in "='\""
        seen += 1
    assert seen == 300


def test_every_surface_is_there() -> None:
    draw = random.Random(1)
    assert {carry(draw, family).surface for family in FAMILIES} == set(SURFACES)


def test_json_carriers_stay_json() -> None:
    draw = random.Random(2)
    for _ in range(200):
        for family in ("slack-json", "adf"):
            assert json.loads(carry(draw, family).body)


def test_checksums_of_providers_are_valid() -> None:
    drawn = [fill("<github-token:ghp_>", str(n)) for n in range(5)]
    assert len(templates()) > 100
    assert all("<" not in fill(one, "1") for one in templates())
    assert all(one[-6:] == base62_crc32(one[4:-6].encode()) for one in drawn)


def test_what_is_only_random_is_told_by_its_field() -> None:
    draw = random.Random(4)
    for label in Label:
        for _ in range(200):
            value, style = make(draw, label)
            assert value
            if style in ("hex", "uuid"):
                assert misleading(label, style) == (0.0 if label in POSITIVE else 1.0)
    assert set(POSITIVE) | set(NEGATIVE) == set(Label)


def test_splits_share_no_group(corpus: Path) -> None:
    groups = {
        split: {text.group for text in texts(1, size=400, labelled=corpus, split=split)}
        for split in ("train", "development")
    }
    assert groups["train"]
    assert groups["development"]
    assert not groups["train"] & groups["development"]


def test_development_rows_come_as_they_are(corpus: Path) -> None:
    known = {row.document.body for row in labelled.read(corpus)}
    held = [
        t for t in texts(1, size=300, labelled=corpus, split="development") if t.group.startswith("repo:")
    ]
    assert held
    assert all(text.body in known for text in held)
    bred = [t for t in texts(1, size=300, labelled=corpus, split="train") if t.group.startswith("repo:")]
    assert any(text.body not in known for text in bred)


def test_refilled_rows_carry_both_answers(corpus: Path) -> None:
    bred = [t for t in texts(1, size=900, labelled=corpus, split="train") if t.group.startswith("repo:")]
    new = [span for text in bred for span in text.spans if span.style != "row"]
    assert {span.label in POSITIVE for span in new} == {True, False}


def test_mined_files_are_split_by_package(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"pack{number}").mkdir()
        (tmp_path / f"pack{number}" / "README.md").write_text(
            "The token of a password is a secret word.\n" * 9
        )
    roots = (tmp_path.as_posix(),)
    train, held = (Files.find(split, roots) for split in ("train", "development"))
    assert train.paths
    assert held.paths
    assert len(train.paths) + len(held.paths) == 40
    assert not set(train.packages) & set(held.packages)
    draw = random.Random(1)
    drawn = [train.draw(draw) for _ in range(20)]
    assert all(text is not None and text.spans == () and text.body for text in drawn)


def test_no_token_shaped_string_stands_in_the_sources() -> None:
    shaped = re.compile(r"(?:ghp_|xoxb-|AKIA|sk_live_|pk_live_|AIza)[A-Za-z0-9]{10}|[0-9a-f]{32}")
    for path in Path(synthesis.__file__).parent.glob("*.py"):
        assert not shaped.search(path.read_text("utf-8")), path.name


def test_a_missing_corpus_leaves_carriers_and_mined_text() -> None:
    made = list(islice(texts(1, size=50, labelled=None, split="train"), 50))
    assert {text.group.partition(":")[0] for text in made} <= {"carrier", "mined"}
