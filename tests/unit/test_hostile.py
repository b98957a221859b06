"""Whatever the bytes are: no error, no place outside of them, and both engines say the same."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hostile import NAMES, check, seeds
from hypothesis import given
from hypothesis import strategies as st
from patterned import crowds, matching

from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.detectors.matching.automata import HyperscanFinder
from unsprawl.detectors.matching.confirm import Tally
from unsprawl.detectors.rules import load
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document

SEEDS = tuple(seeds())
PIECES = (
    *(b"", b"%", b"\\u", b"&#", b"<", b"\x1b[", b"\x00", b"\r", b"\n", b'"'),
    *(b"eJw", b"H4sI", b"PK\x03\x04", b"\xe2\x80"),
)


@pytest.fixture(scope="module")
def detectors() -> Sequence[ContentDetector]:
    return [build(backend=backend) for backend in ("hyperscan", "fallback")]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A seed, cut, spliced with another one and with bytes that mean something."""
    body = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(body)))
        match draw(st.integers(0, 3)):
            case 0:
                body[at : at + draw(st.integers(0, 40))] = b""
            case 1:
                body[at:at] = draw(st.sampled_from(PIECES)) * draw(st.integers(1, 9))
            case 2:
                other = draw(st.sampled_from(SEEDS))
                low = draw(st.integers(0, len(other)))
                body[at:at] = other[low : low + draw(st.integers(0, 200))]
            case _:
                body[at : at + 4] = draw(st.binary(max_size=8))
    return bytes(body)


def told(found: Sequence[Candidate]) -> list[tuple[object, ...]]:
    return [(c.rule, c.member, c.start, c.end, c.line, c.column, c.views, c.secret.reveal()) for c in found]


@given(mutated(), st.sampled_from(NAMES))
def test_any_content(detectors: Sequence[ContentDetector], body: bytes, name: str) -> None:
    first, second = (told(check(detector, body, name)) for detector in detectors)
    assert first == second


@given(st.binary(max_size=400))
def test_any_bytes(detectors: Sequence[ContentDetector], body: bytes) -> None:
    assert told(check(detectors[0], body, "x")) == told(check(detectors[1], body, "x"))


def test_a_quiet_text_is_told_among_others_and_an_example_is_not_one(
    detectors: Sequence[ContentDetector],
) -> None:
    plain = Document(uri="mem:plain", body=b"see the minutes of the meeting", path="plain.md")
    examples = [
        Document(uri="mem:example", body=fill(text, rule.id).encode(), path="x.txt")
        for rule in load().rules
        for text in rule.examples
    ]
    hyperscan, fallback = detectors
    for at in range(0, len(examples), 50):
        batch = [one for example in examples[at : at + 50] for one in (plain, example)]
        quiet = hyperscan.quiet(batch)
        assert 2 * sum(quiet[::2]) > len(examples[at : at + 50])  # a match may reach into what follows
        assert not any(quiet[1::2])
    assert fallback.quiet([plain]) == [False]


def test_the_engines_agree_on_all_examples_and_near_misses(detectors: Sequence[ContentDetector]) -> None:
    """In one text: what stands near by belongs to other rules, as in real text."""
    texts = [fill(text, rule.id) for rule in load().rules for text in (*rule.examples, *rule.negatives)]
    count = 0
    for at in range(0, len(texts), 200):
        body = "\n".join(texts[at : at + 200]).encode()
        first, second = (told(check(detector, body, "x.txt")) for detector in detectors)
        assert first == second
        count += len(first)
    assert count > len(load())


def test_what_matches_is_found_wherever_it_stands(detectors: Sequence[ContentDetector]) -> None:
    """Hyperscan hits all that a rule matches, and its windows begin where the match does."""
    words = b"lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod\n" * 6
    engine = detectors[0]._engine
    missed = set()
    for number, confirmer in enumerate(engine._confirmers):
        rule = confirmer.rule
        # The values of generic rules are searched for only where they look like some.
        if (rule.kind == "generic" and rule.superset) or rule.gated or not confirmer.shape.selective:
            continue
        for text in matching(rule.pattern, 24, rule.id):
            body = words + b"and " + text + b" \n" + words
            tally = Tally(size=len(body))
            expected = confirmer.matches(body, [(0, len(body), len(body))], tally)
            if expected:
                windows, strict = engine.look(body).windows.get(number, ((), False))
                if confirmer.matches(body, windows, tally, strict=strict) != expected:
                    missed.add(rule.id)
    assert not missed
    assert not engine.missed
    assert isinstance(engine._finder, HyperscanFinder)
    assert not engine._finder._automaton.missed  # nor of what tells where something is encoded


def test_engines_agree_where_matches_crowd(detectors: Sequence[ContentDetector]) -> None:
    texts = [text for rule in load().rules for text in matching(rule.pattern, 2, f"crowd {rule.id}")]
    between = [b"", b" ", b"\n", b"=", b'"', b"_", b"-", b": ", b"key", b"secret", b"token ", b"\\n", b"<b>"]
    count = 0
    for text in crowds(texts, between, 300, "crowd"):
        first, *others = ([*detector._engine.matches(text)] for detector in detectors)
        assert all(other == first for other in others)
        count += len(first)
    assert count > 3000


@pytest.mark.parametrize(
    "command", ["java -password <password> x", "make -pass <password>", "tool --token <alnum:24>"]
)
def test_an_option_is_found_wherever_it_stands(detectors: Sequence[ContentDetector], command: str) -> None:
    body = b"lorem ipsum dolor sit amet\n" * 20 + b"and " + fill(command, "option").encode()
    for detector in detectors:
        found = detector.scan(Document(uri="mem:x", body=body, path="x.sh"))
        assert [one.rule for one in found if isinstance(one, Candidate)] == ["commandline.password"]
