"""The parts of the watch: words, names, likeness, the survey of a paste, what an event says."""

from __future__ import annotations

import base64
import random
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document
from unsprawl.secret import Keys, Secret
from unsprawl.watch.events import note
from unsprawl.watch.likeness import ALIKE, similarity, sketch
from unsprawl.watch.names import Names
from unsprawl.watch.survey import Own, Surveying
from unsprawl.watch.words import words

VALUE = fill("<alnum:24>", "a value")
KEYS = Keys.derive(b"k" * 32)

# --- words ---------------------------------------------------------------------------------------


def found(text: str) -> set[bytes]:
    return {value for _, _, value, _ in words(text.encode())}


@pytest.mark.parametrize(
    "text",
    [
        VALUE,
        f"it is {VALUE}.",
        f'"{VALUE}"',
        f"password={VALUE}",
        f"password: {VALUE}",
        f"key={VALUE}&other=1",
        f"https://bot:{VALUE}@db.acme.example/x",
        f"https://h.example/?token={VALUE}#top",
        f"anna@acme.example:{VALUE}",
        f"<td>{VALUE}</td>",
        f"({VALUE}),",
        f"a\n\t{VALUE}\r\n",
        f"x;{VALUE};y",
        f"url?t={quote(VALUE + '/')}",
        f"blob {base64.b64encode(f'pw={VALUE} '.encode()).decode()}",
        f"twice {base64.b64encode(base64.b64encode(f'pw={VALUE} '.encode())).decode()}",
    ],
)
def test_a_value_is_a_word_wherever_it_stands(text: str) -> None:
    assert VALUE.encode() in {value.rstrip(b"/") for value in found(text)}


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60))
def test_whatever_stands_between_blanks_is_a_word(value: str) -> None:
    if not set(value) & set("\"'`<>(){}[],;|\\") and not value.isalpha():
        assert value.encode() in found(f"left {value} right")


@given(st.binary(max_size=3000))
def test_words_lie_in_the_text(data: bytes) -> None:
    for start, end, value, view in words(data):
        assert 0 <= start < end <= len(data)
        assert view != "raw" or data[start:end] == value


def test_words_of_a_language_are_left_alone() -> None:
    assert found("international understanding everywhere") == set()


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("mail anna@acme.example now", True),
        ("https://db1.EU.Acme.Example:5432/x", True),
        ("acme.example.", True),
        ("notacme.example", False),
        ("acme.example.evil.test", False),
        ("acme-example", False),
        ("on BUILD-07 we", True),
        ("build-071", False),
        ("project nimbus", True),
        ("project_nimbus_prod", True),
        ("ProjectNimbus", True),
        ("project nimbuses", False),
    ],
)
def test_names_are_found_as_people_write_them(text: str, hit: bool) -> None:
    names = Names(["acme.example"], ["build-07"], ["Project Nimbus"])
    assert bool(list(names.find(text.encode()))) == hit


# --- likeness ------------------------------------------------------------------------------------


def lines(seed: int, count: int = 60) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(f"w{draw.randrange(500)}" for _ in range(8)) for _ in range(count)]


def like(one: str, other: str) -> bool:
    key = KEYS.name("sketch")
    return similarity(sketch(one.encode(), key), sketch(other.encode(), key)) >= ALIKE


def test_a_dump_posted_again_is_the_same_dump() -> None:
    dump = lines(1)
    assert like("\n".join(dump), "\n".join(["REPOST", *dump, "greetings"]))
    assert like("\n".join(dump), "\n".join(dump[:-5]).upper())
    assert like("one two", "one  two")
    assert not like("\n".join(dump), "\n".join(lines(2)))
    assert not like("\n".join(dump), "\n".join(dump[:30] + lines(3)[:30]))
    assert not like("", "")
    assert not like("one two", "three four")


def test_a_sketch_is_small_and_keyed() -> None:
    text = "\n".join(lines(1, 5000)).encode()
    assert len(sketch(text, b"one")) <= 512
    assert similarity(sketch(text, b"one"), sketch(text, b"two")) < 0.1


# --- a paste -------------------------------------------------------------------------------------


@cache
def rules() -> ContentDetector:
    return build()


def survey(text: bytes, own: Own | None = None, **more: Any) -> tuple[list[Candidate], Any]:
    detector = rules()
    names = Names(["acme.example"])
    it = Surveying(detector, KEYS, "feed", names, lambda: own or Own(), detector.rules.by_id)
    document = Document(uri="paste://site/1", body=text, **more)
    candidates = [one for one in it.scan(document) if isinstance(one, Candidate)]
    (cue,) = it.take().values()
    assert it.take() == {}
    return candidates, cue


def mark(value: str) -> str:
    return KEYS.fingerprint(Secret(value))


def test_a_word_of_our_own_is_a_candidate_with_its_place() -> None:
    text = f"first\nlook: {VALUE}.\nlast".encode()
    candidates, cue = survey(text, Own({mark(VALUE): "generic.password"}))
    (mine,) = [one for one in candidates if one.secret == Secret(VALUE)]
    assert (mine.line, mine.column) == (2, 7)
    assert text[mine.start : mine.end] == VALUE.encode()
    assert cue.own == {mark(VALUE)}
    assert survey(text)[1].own == frozenset()


def test_what_a_rule_finds_is_not_found_twice() -> None:
    token = fill("<github-token:ghp_>", "x")
    candidates, cue = survey(f"GITHUB_TOKEN={token}".encode(), Own({mark(token): "github.pat"}))
    assert len([one for one in candidates if one.secret == Secret(token)]) == 1
    assert cue.own == {mark(token)}


def test_a_word_in_an_archive_is_found(tmp_path: Any) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("deep/note.txt", f"see anna@acme.example\nit is {VALUE}\n")
    candidates, cue = survey((tmp_path / "a.zip").read_bytes(), Own({mark(VALUE): ""}))
    assert [(one.member, one.rule, one.line) for one in candidates] == [("deep/note.txt", "watch.known", 2)]
    assert cue.names == ("acme.example",)


def test_a_weak_value_is_not_ours_by_itself() -> None:
    weak = Own({mark("Summer2025!"): "generic.password"}, frozenset({mark("Summer2025!")}))
    assert survey(b"password: Summer2025!", weak)[1].own == frozenset()
    rare = Own({mark(VALUE): "generic.password"}, frozenset({mark(VALUE)}))
    assert survey(f"password: {VALUE}".encode(), rare)[1].own == {mark(VALUE)}


def test_a_list_of_accounts_is_known_by_our_lines() -> None:
    others = [f"user{n}@mail.test:pw{n}x!" for n in range(50)]
    mine = ["bo@acme.example:hunter2"]
    one, other = (survey("\n".join(text).encode())[1] for text in (others[:30] + mine, others[20:] + mine))
    assert one.combo
    assert one.accounts == 1
    assert one.lines == {31}
    assert one.sketch == other.sketch
    assert not survey("\n".join([*others[:5], *lines(1)]).encode())[1].combo


def test_a_title_names_us_too() -> None:
    cue = survey(b"nothing", attrs={"title": "acme.example leak"})[1]
    assert (cue.names, cue.line) == (("acme.example",), 0)


# --- what an event says --------------------------------------------------------------------------


def event(kind: str, **about: Any) -> dict[str, Any]:
    nothing = {"names": [], "combo": False, "accounts": 0, "more": 0}
    return {"kind": kind, "at": "2026-01-13T12:00:00.000Z", "copies": 0, "about": {**nothing, **about}}


def test_provenance_is_told_in_one_line() -> None:
    place = {
        "source": "chat", "path": "#ops/1767.1", "uri": "slack://T/C/1", "gone_at": None,
        "first_seen": "2026-01-10T00:00:00.000Z", "modified_at": "2026-01-01T09:00:00.000Z",
    }  # fmt: skip
    said = note(event("ours", seen=[place], seen_count=3, validity=2, known=[]))
    assert said == "ours, first seen in chat #ops 12 days ago, in 2 other places inside, still active"
    vault = {"vault": "vault", "path": "kv/shop", "key": "token", "version": "3", "current": 1}
    said = note(event("ours", seen=[], seen_count=0, known=[vault]))
    assert said == "ours, kept in vault: kv/shop#token version 3, which is current"
    assert note(event("mention", names=["acme.example"])) == "a paste names you, it names acme.example"


def test_times_are_told_roughly() -> None:
    place = {
        "source": "s",
        "path": "p",
        "uri": "u",
        "gone_at": "2026",
        "first_seen": "?",
        "modified_at": None,
    }
    said = note(event("ours", seen=[place], seen_count=1, validity=1, known=[]))
    assert said == "ours, first seen in s p some time ago, no longer works, gone from inside"
