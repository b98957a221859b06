"""Marks silence siblings of their own pattern and nothing else: measured on made trees of twelve patterns."""

from __future__ import annotations

import random
from functools import cache
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.models.embedding import Surroundings
from unsprawl.models.memory import Mark, Memory
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document
from unsprawl.secret import Keys

WORDS: Final = "alpha billing orders stock users mail search cart invoice report session export login".split()
HUMAN: Final = ("Sommer", "Winter", "Dragon", "Falcon", "Tiger")
#: name → (path, text, kind of value). ``{w}`` is a word, ``{n}`` a number, ``{v}`` the value.
FAMILIES: Final = {
    "fixtures": (
        "tests/fixtures/{w}-{n}.yml",
        "user:\n  name: {w}\n  password: {v}\n  active: true\n",
        "<hex:32>",
    ),
    "hashes": (
        "spec/fixtures/{w}_{n}.yml",
        "{w}:\n  email: {w}@example.com\n  password: {v}\n",
        "$2b$10$<alnum:53>",
    ),
    "builds": (
        "build/{w}-{n}.properties",
        "java.version=21\nbuild.number={n}\nLICENCE_PASSWORD={v}\nmirrors.enabled=true\n",
        "<alnum:20>",
    ),
    "tests": (
        "tests/test_{w}{n}.py",
        "def test_{w}():\n    client.login(username='{w}', password='{v}')\n    assert client.ok\n",
        "human",
    ),
    "docs": (
        "docs/{w}/README{n}.md",
        "Set it first:\n\n    export DB_PASSWORD={v}\n    make {w}\n",
        "<alnum:16>",
    ),
    "charts": (
        "charts/{w}-{n}/values.yaml",
        'image: {w}:1.{n}\nadminUser: admin\nadminPassword: "{v}"\nreplicas: 2\n',
        "<alnum:16>",
    ),
    "compose": (
        "deploy/{w}{n}/docker-compose.yml",
        "  db:\n    environment:\n      POSTGRES_PASSWORD: {v}\n    ports: [5432]\n",
        "<alnum:24>",
    ),
    "java": (
        "src/test/java/org/acme/{w}/Test{n}.java",
        'class Test{n} {{\n  private static final String PASSWORD = "{v}";\n  void run() {{}}\n',
        "<alnum:20>",
    ),
    "mocks": (
        "mocks/{w}-{n}.json",
        '{{\n  "login": "{w}",\n  "password": "{v}",\n  "id": {n}\n}}\n',
        "<hex:40>",
    ),
    "settings": (
        "services/{w}/.env",
        "PORT={n}\nDB_HOST=db.{w}\nDB_PASSWORD={v}\nDEBUG=0\n",
        "<alnum:16>",
    ),
    "logs": (
        "logs/build-{n}.log",
        "step {n}: start\n+ mysql -u {w} --password={v} {w}\ndone in {n}s\n",
        "<alnum:20>",
    ),
    "terraform": (
        "infra/{w}/stage{n}.tfvars",
        'region = "eu"\ndb_password = "{v}"\nsize = {n}\n',
        "<alnum:28>",
    ),
}  # fmt: skip
EMBEDDING: Final = Surroundings(Keys.derive(bytes(range(32))).namer("surroundings"))
#: Values that are no siblings of any other kind than their own.
OTHER: Final = {"human": "a password somebody thought of", "words": "words joined by dashes"}


@cache
def detector() -> ContentDetector:
    return build(doubts=True)


def value(kind: str, seed: str) -> str:
    draw = random.Random(seed)
    if kind == "human":
        return f"{draw.choice(HUMAN)}{draw.randint(10, 2030)}{draw.choice('!#$?')}"
    if kind == "words":
        return "-".join(draw.sample(WORDS, 3))
    return fill(kind, seed)


@cache
def seen(family: str, number: int, kind: str = "", path: str = "") -> tuple[str, bytes]:
    """Rule and vector of the ``number``th member of a family, its value or place changed on demand."""
    place, text, own = FAMILIES[family]
    word, made = WORDS[number % len(WORDS)], value(kind or own, f"{family} {number}")
    where = (path or place).format(w=word, n=number)
    body = text.format(w=word, n=number, v=made).encode()
    document = Document(uri=f"file:///home/me/{where}", path=where, body=body)
    (found,) = [
        one
        for one in detector().scan(document)
        if isinstance(one, Candidate) and (one.secret.text() in made or made in one.secret.text())
    ]
    return found.rule, EMBEDDING.embed(document, found)


@cache
def memory(family: str, count: int) -> Memory:
    marks = (seen(family, number) for number in range(count))
    return Memory([Mark(f"{number:02}", rule, True, vector) for number, (rule, vector) in enumerate(marks)])


def is_silenced(held: Memory, one: tuple[str, bytes]) -> bool:
    (likeness,) = held.judge(one[0], [one[1]])
    return likeness is not None


@pytest.mark.parametrize("family", FAMILIES)
def test_twenty_marks_silence_all_siblings_and_two_none(family: str) -> None:
    siblings = [seen(family, number) for number in range(20, 40)]
    assert all(is_silenced(memory(family, 20), one) for one in siblings)
    assert not any(is_silenced(memory(family, 2), one) for one in siblings)


@given(
    st.sampled_from(list(FAMILIES)), st.sampled_from(list(FAMILIES)), st.integers(3, 20), st.integers(20, 60)
)
def test_marks_silence_no_other_family(family: str, other: str, count: int, number: int) -> None:
    assert family == other or not is_silenced(memory(family, count), seen(other, number))


@given(
    st.sampled_from([name for name in FAMILIES if name != "hashes"]),
    st.sampled_from(list(OTHER)),
    st.integers(3, 20),
    st.integers(20, 60),
)
def test_marks_silence_no_other_kind_of_value(family: str, kind: str, count: int, number: int) -> None:
    own = FAMILIES[family][2]
    assert own == kind or not is_silenced(memory(family, count), seen(family, number, kind))


@given(
    st.sampled_from(list(FAMILIES)),
    st.sampled_from(
        ["deploy/production/{w}.yml", "prod/{w}/settings-{n}.env", "live/config/{w}{n}.properties"]
    ),
    st.integers(1, 20),
    st.integers(20, 60),
)
def test_marks_of_elsewhere_say_nothing_of_production(
    family: str, path: str, count: int, number: int
) -> None:
    assert not is_silenced(memory(family, count), seen(family, number, path=path))
