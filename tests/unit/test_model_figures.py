"""Calibration, thresholds, forest, labelled lines and the card: all that needs no network."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zstandard

from unsprawl.errors import ConfigError
from unsprawl.models.calibration import PRESETS, fit, thresholds
from unsprawl.models.card import Report, Surface, render
from unsprawl.models.evaluation import Lines, calibration_error, figures, macro, reliability
from unsprawl.models.forest import grow
from unsprawl.models.labelled import Row, is_development, read
from unsprawl.models.refills import contrasts, refills
from unsprawl.records import Document

REPOSITORY = "00000001aaaaaaaa"


def row(label="T", repository=REPOSITORY, value="horse7stable", category="Password", quoted=True):
    quote = "'" if quoted else ""
    line = f"password = {quote}{value}{quote}"
    body = f"# above\n{line}\n# below\n".encode()
    start = body.index(b"password")
    at = body.index(value.encode())
    return Row(
        id=f"{label}{value}",
        repository=repository,
        document=Document(uri="file:///a.py", path="a.py", body=body),
        start=start,
        end=start + len(line),
        value=(at, at + len(value)),
        label=label,
        category=category,
    )


def test_calibration_undoes_a_distortion():
    draw = np.random.default_rng(0)
    logit = draw.normal(size=4000) * 2
    secret = (draw.random(4000) < 1 / (1 + np.exp(-logit))).astype(float)
    fitted = fit(3 * logit + 2, secret, ["source"] * 4000, ["generic"] * 4000)
    assert (
        calibration_error(fitted.probability(3 * logit + 2, ["source"] * 4000, ["generic"] * 4000), secret)
        < 0.03
    )


def test_a_family_with_few_samples_has_the_calibration_of_all():
    draw = np.random.default_rng(0)
    logit = draw.normal(size=400)
    secret = (logit + draw.normal(size=400) > 0).astype(float)
    families = ["rare"] * 10 + ["generic"] * 390
    fitted = fit(logit, secret, ["source"] * 400, families)
    assert "*/rare" not in fitted.table
    assert fitted.of("source", "rare") == fitted.table["*/*"]


def lines_of(*pairs):
    rows = tuple(row(label, value=f"value{number}") for number, (label, _) in enumerate(pairs))
    return Lines(rows, np.array([best for _, best in pairs]))


def test_figures_count_lines_without_a_candidate_as_misses():
    one = figures(lines_of(("T", 0.9), ("T", 0.0), ("F", 0.8), ("X", 0.2)), 0.5)
    assert (one.hits, one.alarms, one.misses) == (1, 1, 1)
    assert (one.precision, one.recall, one.f1) == (0.5, 0.5, 0.5)
    assert figures(lines_of(("T", 0.0)), 0.0).hits == 0


def test_lines_on_which_people_disagree_are_counted_apart():
    one = figures(lines_of(("T", 0.9), ("X", 0.8)), 0.5)
    assert (one.precision, one.strict, one.alarms, one.shown) == (1.0, 0.5, 0, 1)


def test_a_line_with_a_credential_is_no_false_alarm_for_what_else_stands_on_it():
    rows = (row("T"), row("F"), row("F", value="other4value"))
    one = figures(Lines(rows, np.array([0.9, 0.9, 0.0])), 0.5)
    assert (one.hits, one.alarms, one.shown) == (1, 0, 0)


def test_thresholds_keep_the_precision_of_their_preset():
    pairs = [("T", 0.5 + number / 200) for number in range(100)] + [
        ("F", number / 100) for number in range(90)
    ]
    lines = lines_of(*pairs)
    found = thresholds(lines)
    for name, precision in PRESETS.items():
        assert figures(lines, found[name]).precision >= precision
    assert found["precise"] >= found["balanced"] >= found["broad"]


def test_identifiers_are_no_core_and_words_not_strong():
    lines = Lines((row(category="UUID"), row(value="password"), row()), np.ones(3))
    assert lines.core.tolist() == [False, True, True]
    assert lines.strong.tolist() == [False, False, True]
    assert macro(lines, 0.5, lines.core) == 1.0


def test_reliability_groups_by_tenths():
    assert reliability(np.array([0.05, 0.95, 0.95]), np.array([0.0, 1.0, 0.0])) == [
        (0.05, 0.0, 1),
        (0.95, 0.5, 2),
    ]


def test_a_forest_learns_what_no_line_parts_and_is_the_same_again():
    draw = np.random.default_rng(0)
    numbers = draw.random((2000, 6)).astype(np.float32)
    secret = ((abs(numbers[:, 0] - 0.5) < 0.2) & (numbers[:, 1] > 0.3)).astype(np.float32)
    grown = grow(numbers[:1500], secret[:1500], np.ones(1500), seed=1, trees=120, rate=0.3)
    assert ((grown.logits(numbers[1500:]) > 0) == (secret[1500:] > 0.5)).mean() > 0.9
    again = grow(numbers[:1500], secret[:1500], np.ones(1500), seed=1, trees=120, rate=0.3)
    assert (grown.leaves == again.leaves).all()


def corpus(tmp_path, rows):
    path = tmp_path / "lines.jsonl.zst"
    path.write_bytes(zstandard.compress("\n".join(json.dumps(one) for one in rows).encode()))
    return path


def test_labelled_lines_are_read_with_their_place(tmp_path):
    fields = {
        "id": "1",
        "repo_hash": REPOSITORY,
        "path": "é.py",
        "label": "T",
        "category": "Password:Key",
        "line": "ü = 'horse7stable'",
        "value_start": 5,
        "value_end": 17,
        "before": ["first", "ä"],
        "after": ["last"],
    }
    (one,) = read(corpus(tmp_path, [fields]))
    assert one.text == b"horse7stable"
    assert isinstance(one.document.body, bytes)
    assert one.document.body[one.start : one.end].decode() == fields["line"]
    assert one.is_core


@pytest.mark.parametrize("text", ["{}", "[1]", "no json"])
def test_what_is_no_corpus_is_refused(tmp_path, text):
    path = tmp_path / "lines.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match="no labelled corpus"):
        list(read(path))


def test_each_repository_is_held_out_once():
    for number in range(40):
        name = f"{number * 7919:08x}ffffffff"
        assert sum(is_development(name, fold) for fold in range(5)) == 1


def test_refills_change_the_value_and_nothing_else():
    made = list(refills([row(), row("F", value="your-name")] * 20, seed=3))
    assert made
    assert [one.body for one in made] == [
        one.body for one in refills([row(), row("F", value="your-name")] * 20, seed=3)
    ]
    for one in made:
        (span,) = one.spans
        assert one.body[: span.start].endswith(b"password = '")
        assert one.body[span.end :].startswith(b"'\n# below")
        assert one.group == f"refill:{REPOSITORY}"


def test_contrasts_mark_their_secrets_and_stay_the_same():
    made = list(contrasts(5, 200))
    assert made == list(contrasts(5, 200))
    marked = [one for one in made if one.spans]
    assert 40 < len(marked) < 120
    assert all(one.spans[0].end <= len(one.body) for one in marked)


def test_the_card_has_every_table():
    settings = {
        "digest": "0" * 16,
        "recipe": {"seed": 0, "size": 10, "steps": 5},
        "data": {"labelled": "f" * 16},
        "presets": {"precise": 0.9, "balanced": 0.6, "broad": 0.4},
        "review": [0.45, 0.75],
    }
    lines = lines_of(("T", 0.7), ("F", 0.5))
    surface = Surface("chat", 2.0, {"precise": 0, "balanced": 1, "broad": 4})
    confidence, secret = np.array([0.7, 0.5]), np.array([1.0, 0.0])
    made = np.array([True, False])
    report = Report(
        settings, lines, confidence, secret, np.array(["chat", "docs"]), made, [surface], 100, {"all": 0.8}
    )
    text = render(report)
    assert "| balanced | 0.600 | core | 1.000 | 1.000 | 1.000 | 1.000 | 1.000 |" in text
    assert "| chat | 1 | 1 | 1.000 | 1.000 |" in text
    assert "| chat | 2.0 | 0.00 | 0.50 | 2.00 |" in text
    assert "| value and surroundings | 0.800 |" in text
