"""The embedding tells surroundings and shape and no value; the memory silences what is like many marks."""

from __future__ import annotations

import pickle
import time
from typing import Any

import pytest

from unsprawl.models.baseline import BaselineClassifier
from unsprawl.models.embedding import (
    DIMENSIONS,
    ELSEWHERE,
    HEAD,
    INVENTED,
    LIVE,
    VERSION,
    Surroundings,
    Traits,
    place,
)
from unsprawl.models.memory import LOOSE, NEAR, Likeness, Mark, Memory, Remembering
from unsprawl.records import Candidate, Check, Document, Validity
from unsprawl.secret import Keys, Secret

KEYS = Keys.derive(bytes(range(32)))
EMBEDDING = Surroundings(KEYS.namer("surroundings"))
FIRST = "Zk4Tq9Wm2Xv7Lp5R"
SECOND = "Hd8Yb3Nc6Js1Gf4K"


def candidate(
    value: str = FIRST, before: str = "a=1\nDB_PASSWORD=", after: str = "\n", **more: Any
) -> Candidate:
    given: dict[str, Any] = {
        "rule": "generic.password",
        "secret": Secret(value),
        "start": 0,
        "end": len(value),
        "line": 1,
        "column": 1,
        "line_end": 1,
        "before": before.encode(),
        "text": value.encode(),
        "after": after.encode(),
    }
    return Candidate(**given | more)


def vector(
    one: Candidate | None = None, path: str = "srv/app/config.env", embedding: Surroundings = EMBEDDING
) -> bytes:
    return embedding.embed(Document(uri=f"file:///{path}", body=b"", path=path), one or candidate())


def cosine(first: bytes, second: bytes) -> float:
    a, b = ([each - 256 if each > 127 else each for each in vector[HEAD:]] for vector in (first, second))
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return float(dot / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5)


def turned(angle: float, axis: int = 1, where: int = ELSEWHERE) -> bytes:
    """A vector whose cosine with ``turned(1)`` is ``angle``, and that differs from it towards ``axis``."""
    places = [0] * DIMENSIONS
    places[0] = round(127 * angle)
    places[axis] = round(127 * (1 - angle**2) ** 0.5)
    return bytes([VERSION, where]) + bytes(HEAD - 2) + bytes(place & 0xFF for place in places)


def mark(
    finding: str,
    angle: float = 1.0,
    *,
    harmless: bool = True,
    axis: int = 1,
    rule: str = "r",
    where: int = ELSEWHERE,
) -> Mark:
    return Mark(finding, rule, harmless, turned(angle, axis, where))


def judge(marks: list[Mark], rule: str = "r", where: int = ELSEWHERE) -> Likeness | None:
    (likeness,) = Memory(marks).judge(rule, [turned(1.0, where=where)])
    return likeness


def three(angle: float = 0.99, **more: Any) -> list[Mark]:
    return [mark(name, angle, **more) for name in "abc"]


# --- embedding -------------------------------------------------------------------------------------


def test_a_vector_has_a_head_and_a_byte_a_component() -> None:
    one = vector()
    assert len(one) == HEAD + DIMENSIONS
    assert one[:2] == bytes([VERSION, ELSEWHERE])
    assert EMBEDDING.traits(one) == Traits.of(FIRST.encode())
    assert one[2:HEAD] != Traits.of(FIRST.encode()).packed()
    assert one == vector()
    with pytest.raises(ValueError, match="another version"):
        EMBEDDING.traits(b"\x07" + one[1:])


@pytest.mark.parametrize(
    ("path", "before", "expected"),
    [
        ("srv/app/config.env", "password=", ELSEWHERE),
        ("app/tests/fixtures/user.yml", "password: ", INVENTED),
        ("docs/setup.md", "password: ", INVENTED),
        ("latest/produce.yml", "alive: 1\npassword: ", ELSEWHERE),
        ("deploy/prod1/values.yml", "password: ", LIVE),
        ("tests/production.yml", "password: ", LIVE),
        ("config/database.yml", "production:\n  user: app\n  password: ", LIVE),
        ("config/database.yml", "production:\n\n\n\ntest:\n  user: app\n  password: ", ELSEWHERE),
    ],
)
def test_a_place_is_told_by_its_path_and_the_lines_above(path: str, before: str, expected: int) -> None:
    assert place(Document(uri=f"file:///{path}", path=path, body=b""), candidate(before=before)) == expected


def test_another_value_of_the_same_shape_gives_the_same_vector() -> None:
    assert vector(candidate(FIRST)) == vector(candidate(SECOND))


def test_a_value_beside_it_is_told_by_its_class_alone() -> None:
    beside = [f"user=x token={value} password=" for value in ("q7Rt5Wz9Kp2Lm4", "w8Yn3Bv6Hc1Jd5")]
    first, second = (vector(candidate(before=text)) for text in beside)
    assert first == second
    halves = [candidate(before=f"{name}:", companions={"user": Secret(name)}) for name in ("alice", "robert")]
    assert vector(halves[0]) == vector(halves[1])


def test_another_key_gives_another_vector() -> None:
    other = Surroundings(Keys.derive(bytes(range(1, 33))).namer("surroundings"))
    assert abs(cosine(vector(), vector(embedding=other))) < 0.5


@pytest.mark.parametrize(
    ("other", "least", "most"),
    [
        (vector(path="srv/app/config.yaml"), LOOSE, 1.0),
        (vector(path="opt/other/place.yml"), 0.7, 0.95),
        (vector(candidate("correcthorse")), 0.6, NEAR),
        (vector(candidate("changeme")), 0.5, NEAR),
        (vector(candidate(before="const awsKey = fetch('")), 0.0, 0.75),
    ],
)
def test_likeness_follows_what_a_reader_sees(other: bytes, least: float, most: float) -> None:
    assert least <= cosine(vector(), other) < most


def test_traits_are_shared_by_millions() -> None:
    one = Traits.of(FIRST.encode())
    assert one == Traits.of(SECOND.encode())
    assert Traits.of(b"") != Traits.of(b"changeme")
    assert not [word for word in one.words() if any(FIRST[at : at + 3] in word for at in range(13))]


@pytest.mark.parametrize(
    "value", [b"", b"a", b"0" * 40, b"changeme", b"Tiger-River", b"x" * 5000, b"\xff\x00"]
)
def test_traits_are_packed_and_unpacked(value: bytes) -> None:
    packed = Traits.of(value).packed()
    assert len(packed) == HEAD - 2
    assert Traits.unpacked(packed) == Traits.of(value)


def test_an_embedding_takes_less_than_a_fifth_of_a_millisecond() -> None:
    long = candidate(before="word other third = fourth (fifth) sixth\n" * 20 + "DB_PASSWORD=")
    vector(long)
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for _ in range(200):
            vector(long)
        best = min(best, (time.process_time() - started) / 200)
    assert best < 0.0002


# --- memory ----------------------------------------------------------------------------------------


def test_three_marks_silence_nearly_the_same_and_two_do_not() -> None:
    likeness = judge(three())
    assert likeness == Likeness("a", pytest.approx(0.99, abs=0.01), 3)  # type: ignore[arg-type]
    assert judge(three(1.0)[:2]) is None
    assert judge(three(0.9)) is None


def test_five_marks_silence_what_resembles_them() -> None:
    marks = [mark(f"{n}", 0.9, axis=n + 1) for n in range(5)]
    likeness = judge(marks)
    assert likeness is not None
    assert likeness.marks == 5
    assert judge(marks[:4]) is None
    assert judge([mark(f"{n}", 0.85, axis=n + 1) for n in range(9)]) is None


def test_a_finding_counts_once_however_often_it_stands() -> None:
    assert judge([mark("a", 0.99, axis=n + 1) for n in range(9)]) is None


def test_a_confirmed_finding_stands_against_marks() -> None:
    assert judge([*three(), mark("x", 0.995, harmless=False)]) is None
    assert judge([*three(1.0), mark("x", harmless=False)]) is None
    assert judge([*three(), mark("x", 0.9, harmless=False)]) is not None
    five = [mark(f"{n}", 0.9, axis=n + 1) for n in range(5)]
    assert judge([*five, mark("x", 0.93, harmless=False)]) is None
    assert judge([*five, mark("x", 0.5, harmless=False)]) is not None


@pytest.mark.parametrize("where", [INVENTED, ELSEWHERE, LIVE])
@pytest.mark.parametrize("marked", [INVENTED, ELSEWHERE, LIVE])
def test_marks_say_nothing_of_places_of_more_weight(marked: int, where: int) -> None:
    assert (judge(three(where=marked), where=where) is not None) == (marked >= where)


def test_only_marks_of_the_same_rule_and_version_count() -> None:
    assert judge(three(rule="other")) is None
    assert judge([Mark(name, "r", True, b"\x07" + turned(1.0)[1:]) for name in "abc"]) is None
    assert judge([Mark(name, "r", True, b"") for name in "abc"]) is None
    (nothing,) = Memory(three()).judge("r", [b"\x07" + turned(1.0)[1:]])
    assert nothing is None


def test_many_candidates_are_judged_as_one_by_one() -> None:
    memory = Memory([mark(f"{n}", 0.9, axis=n + 1) for n in range(5)] + [mark("z", 0.2)])
    vectors = [turned(1 - n / 1500) for n in range(1500)]
    together = memory.judge("r", vectors)
    assert together == [memory.judge("r", [one])[0] for one in vectors]
    assert any(together)
    assert not all(together)


def test_the_version_follows_the_marks_and_a_copy_keeps_it() -> None:
    memory = Memory([mark("a"), mark("b", 0.5), mark("c"), mark("d")])
    assert memory.version == Memory([mark("d"), mark("b", 0.5), mark("a"), mark("c")]).version
    assert memory.version != Memory([mark("a")]).version
    assert memory.version != Memory([mark("a"), mark("b", 0.5, harmless=False)]).version
    copy = pickle.loads(pickle.dumps(memory))
    assert (copy.version, copy.rules) == (memory.version, memory.rules)
    assert copy.judge("r", [turned(1.0)]) == memory.judge("r", [turned(1.0)])


def test_remembering_adds_vectors_and_likeness_and_leaves_verdicts() -> None:
    plain = BaselineClassifier({"generic.password": "generic"})
    pairs = [(Document(uri="file:///srv/app/config.env", body=b"", path="srv/app/config.env"), candidate())]
    (base,) = plain.score(pairs)
    without = Remembering(plain, EMBEDDING)
    assert without.version == f"{plain.version}+surroundings-{VERSION}"
    (verdict,) = without.score(pairs)
    assert (verdict.confidence, verdict.label, verdict.like) == (base.confidence, base.label, "")
    assert verdict.vector == vector()
    memory = Memory([Mark(name, "generic.password", True, vector()) for name in ("abc", "bcd", "cde")])
    remembering = Remembering(plain, EMBEDDING, memory)
    assert remembering.version == f"{without.version}+{memory.version}"
    (verdict,) = remembering.score(pairs)
    assert (verdict.confidence, verdict.label, verdict.like) == (base.confidence, base.label, "abc")


def test_what_nobody_keeps_is_not_looked_at() -> None:
    plain = BaselineClassifier({"generic.password": "generic"})
    proven = Check(Validity.UNKNOWN, exact=True)
    document = Document(uri="file:///a", body=b"", path="a")
    pairs = [(document, candidate("changeme")), (document, candidate()), (document, candidate(check=proven))]
    verdicts = Remembering(plain, EMBEDDING, least=0.6).score(pairs)
    assert [bool(verdict.vector) for verdict in verdicts] == [False, True, True]


def test_nothing_is_like_an_empty_memory() -> None:
    memory = Memory([])
    assert memory.rules == frozenset()
    assert memory.judge("r", [turned(1.0)] * 3) == [None] * 3
