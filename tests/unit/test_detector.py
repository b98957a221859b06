"""From documents to candidates: places, filters, one finding a span, and what is said of the rest."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import tracemalloc
import zipfile
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsprawl.detectors.containers.streams import Budget
from unsprawl.detectors.detector import ContentDetector, build
from unsprawl.detectors.matching.engine import Engine
from unsprawl.detectors.positions import code_points
from unsprawl.detectors.rules import Rule, RuleSet
from unsprawl.detectors.views.segments import AHEAD, BEHIND
from unsprawl.errors import UnreadableError
from unsprawl.placeholders import fill
from unsprawl.records import Candidate, Document, Severity, Skipped, Stream, Validity


def rule(identifier: str, pattern: str, *keywords: str, **more: object) -> Rule:
    return Rule(
        id=identifier,
        name=identifier,
        provider="acme",
        severity=Severity.HIGH,
        keywords=keywords,
        pattern=pattern,
        **more,  # type: ignore[arg-type]
    )


RULES = RuleSet(
    (
        rule("acme.token", r"\b(?P<secret>tok_[a-zA-Z0-9]{20,40})\b", "tok_", prefix="tok_"),
        rule("acme.near", r"(?i)acme.{0,20}?(?P<secret>[a-zA-Z0-9_]{20,40})", "acme", kind="contextual"),
        rule(
            "acme.login",
            r"(?P<account>[a-z]+):(?P<secret>[a-z0-9]{8,20})@vault",
            "@vault",
            identity=("account",),
        ),
        rule(
            "generic.pass",
            r"(?i)password\s*[:=]\s*['\"]?(?P<secret>[^\s'\"]{8,64})",
            "password",
            kind="generic",
        ),
        rule("github.token", r"\b(?P<secret>ghp_[A-Za-z0-9]{36})\b", "ghp_", prefix="ghp_", offline="github"),
        rule("acme.block", r"(?P<secret>BEGIN ACME\n[a-z\n]+END ACME)", "begin acme"),
    ),
    "digest",
)
ENGINES = {name: Engine(RULES, name, None) for name in ("hyperscan", "fallback")}
DETECTOR = ContentDetector(RULES, ENGINES["hyperscan"])
TOKEN = fill("tok_<alnum:24>").encode()


def scan(
    body: bytes | Stream, detector: ContentDetector = DETECTOR, **more: object
) -> list[Candidate | Skipped]:
    return list(detector.scan(Document(uri="mem:doc", body=body, **more)))  # type: ignore[arg-type]


def candidates(body: bytes | Stream, detector: ContentDetector = DETECTOR) -> list[Candidate]:
    found = scan(body, detector)
    assert all(isinstance(item, Candidate) for item in found), found
    return [item for item in found if isinstance(item, Candidate)]


def streamed(body: bytes) -> Stream:
    def start(offset: int) -> BinaryIO:
        return io.BytesIO(body[offset:])

    return Stream(open=start)


def test_a_candidate_and_its_place() -> None:
    body = "erste Zeile\nÜber 漢: ".encode() + TOKEN + b" # see\n"
    (found,) = candidates(body)
    assert (found.rule, found.secret.reveal(), found.secret.prefix) == ("acme.token", TOKEN, "tok_")
    assert body[found.start : found.end] == TOKEN == found.text
    assert (found.line, found.column, found.line_end) == (2, 9, 2)
    assert (found.member, found.views, found.check) == ("", ("raw",), None)
    assert (found.before, found.after) == (body[: found.start], body[found.end :])


def test_a_block_of_lines_and_bytes_that_are_no_text() -> None:
    body = b"\xe9\x80\xff\n  BEGIN ACME\nabc\ndef\nEND ACME"
    (found,) = candidates(body)
    assert (found.line, found.column, found.line_end) == (2, 3, 5)


def test_named_groups_are_companions() -> None:
    (found,) = candidates(b"postgres: root:hunter2hunter@vault")
    assert found.companions["account"].reveal() == b"root"
    assert found.secret.reveal() == b"hunter2hunter"


@pytest.mark.parametrize("engine", ENGINES)
@given(
    offset=st.integers(0, 60_000),
    filler=st.sampled_from([b"x ", b"\n", b"a\xc3\xa9\n", b"\0", b"lorem ipsum\n"]),
)
@settings(max_examples=60, deadline=None)
def test_a_token_anywhere_is_found_exactly_once(engine: str, offset: int, filler: bytes) -> None:
    detector = ContentDetector(RULES, ENGINES[engine], segment=7000)
    before = (filler * (offset // len(filler) + 1))[:offset] + b" "
    body = before + TOKEN + b" " + filler * ((AHEAD + 20_000) // len(filler))
    for document in (body, streamed(body)):
        (found,) = candidates(document, detector)
        assert (found.start, found.end) == (offset + 1, offset + 1 + len(TOKEN))
        assert found.line == before.count(b"\n") + 1
        assert found.column == code_points(before[before.rfind(b"\n") + 1 :]) + 1


@given(shift=st.integers(0, 120), piece=st.integers(BEHIND, BEHIND + 64))
@settings(max_examples=8, deadline=None)
def test_segments_find_what_the_whole_text_holds(shift: int, piece: int) -> None:
    line = (
        b"acme "
        + TOKEN
        + b" password = "
        + base64.b64encode(b"k " + TOKEN)
        + b" password='s3cr3t-Pa55w0rd'\n"
    )
    body = b"." * shift + line * (3 * piece // len(line)) + b"." * AHEAD
    whole = candidates(body, ContentDetector(RULES, ENGINES["hyperscan"], limit=10_000))
    pieces = candidates(body, ContentDetector(RULES, ENGINES["hyperscan"], limit=10_000, segment=piece))

    def key(found: Candidate) -> tuple[object, ...]:
        return (
            found.rule,
            found.start,
            found.end,
            found.line,
            found.column,
            found.views,
            found.secret.reveal(),
        )

    assert sorted(map(key, pieces)) == sorted(map(key, whole))
    assert len({key(found) for found in whole}) == len(whole)


def test_the_better_rule_gets_the_span() -> None:
    assert [c.rule for c in candidates(b"acme password = " + TOKEN)] == ["acme.token"]
    assert [c.rule for c in candidates(b"acme key qhdkzwvb83150264XGTR_nfy")] == ["acme.near"]
    assert [c.rule for c in candidates(b"password = '" + base64.b64encode(TOKEN) + b"'")] == ["acme.token"]


def test_one_line_may_hold_several_secrets() -> None:
    other = fill("tok_<alnum:30>").encode()
    assert [c.secret.reveal() for c in candidates(TOKEN + b"," + other)] == [TOKEN, other]


def test_a_wrong_checksum_is_no_token() -> None:
    good = fill("<github-token:ghp_>").encode()
    (found,) = candidates(b"t: " + good)
    assert found.check is not None
    assert (found.check.exact, found.check.validity) == (True, Validity.UNKNOWN)
    bad = good[:-1] + (b"0" if good[-1:] != b"0" else b"1")
    assert candidates(b"t: " + bad) == []


def test_generic_candidates_are_filtered_and_not_sought_in_junk() -> None:
    value = fill("<password>").encode() + b"-9xK!q"
    assert [c.secret.reveal() for c in candidates(b"password = '" + value + b"'\n")] == [value]
    assert candidates(b"password = ${DB_PASSWORD}\n") == []
    assert candidates(b"\0\1\2\0" * 40 + b"password = '" + value + b"'" + b"\0\1\2" * 40) == []


@pytest.mark.parametrize(
    "tag",
    [
        "unsprawl:allow",
        "gitleaks:allow",
        "betterleaks:allow",
        "trufflehog:ignore",
        "kingfisher:ignore",
        "pragma: allowlist secret",
        "pragma: whitelist secret",
    ],
)
def test_a_tag_on_the_line_lets_a_secret_stay(tag: str) -> None:
    line = TOKEN + b"  # " + tag.encode()
    assert candidates(b"a\n" + line + b"\nb") == []
    assert len(candidates(b"a\n" + line + b"\n" + TOKEN)) == 1
    assert len(candidates(b"# " + tag.encode() + b"\n" + TOKEN)) == 1
    assert candidates(base64.b64encode(TOKEN) + b" # " + tag.encode()) == []


def test_a_tag_for_the_next_line() -> None:
    assert candidates(b"# pragma: allowlist nextline secret\n" + TOKEN) == []
    assert len(candidates(b"# pragma: allowlist nextline secret\n\n" + TOKEN)) == 1


def test_members_of_archives_are_named_and_counted_from_their_own_start() -> None:
    text = b"first\nkey=" + TOKEN
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("b.env", text)
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w:gz") as archive_:
        for name, content in (("./etc/a.env", text), ("in/b.zip", inner.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive_.addfile(info, io.BytesIO(content))
    found = candidates(streamed(outer.getvalue()))
    assert [(c.member, c.start, c.line, c.column) for c in found] == [
        ("etc/a.env", 10, 2, 5),
        ("in/b.zip!/b.env", 10, 2, 5),
    ]


def test_what_is_broken_is_said_with_its_member() -> None:
    body = gzip.compress(TOKEN + b" " + bytes(range(256)) * 300)
    first, second = scan(body[:-20], path="logs/a.log.gz")
    assert isinstance(first, Candidate)
    assert first.member == "a.log"
    assert isinstance(second, Skipped)
    assert (second.uri, second.reason, second.excluded) == ("mem:doc", "truncated gzip data", False)
    assert second.hint


def test_too_many_candidates_are_summed_up() -> None:
    detector = ContentDetector(RULES, ENGINES["hyperscan"], limit=10)
    *found, last = scan(b"".join(b"tok_%020d\n" % number for number in range(123456700, 123456725)), detector)
    assert len(found) == 10
    assert isinstance(last, Skipped)
    assert last.reason == "at least 15 more candidates of acme.token after 10"


def test_a_flood_of_near_matches_is_bounded() -> None:
    *_, last = scan(
        b"acme tok_ab password=${A_REFERENCE} \n" * 200_000, ContentDetector(RULES, ENGINES["hyperscan"])
    )
    assert not isinstance(last, Candidate)


def test_the_time_of_a_document_is_bounded() -> None:
    detector = ContentDetector(RULES, ENGINES["hyperscan"], budget=Budget(seconds=0.0), limit=1)
    reasons = [item.reason for item in scan((TOKEN + b"\n") * 1000, detector) if isinstance(item, Skipped)]
    assert any("takes more than 0 s" in reason for reason in reasons)


def test_a_stream_that_fails_is_the_sources_affair() -> None:
    class Failing(io.RawIOBase):
        def read(self, _size: int = -1) -> bytes:
            raise UnreadableError("gone")

    with pytest.raises(UnreadableError):
        scan(Stream(open=lambda _: Failing()))  # type: ignore[arg-type,return-value]


def test_what_came_before_a_stream_broke_is_found() -> None:
    class Breaking(io.RawIOBase):
        def __init__(self) -> None:
            self.blocks = [b"the token is ", TOKEN, b"\n"]

        def read(self, _size: int = -1) -> bytes:
            if not self.blocks:
                raise UnreadableError("gone")
            return self.blocks.pop(0)

    found: list[Candidate | Skipped] = []
    body = Stream(open=lambda _: Breaking())  # type: ignore[arg-type,return-value]
    reading = iter(DETECTOR.scan(Document(uri="mem:doc", body=body)))
    found.append(next(reading))
    with pytest.raises(UnreadableError):
        next(reading)
    (candidate,) = found
    assert isinstance(candidate, Candidate)
    assert candidate.secret.reveal() == TOKEN


def test_a_long_stream_is_scanned_in_little_memory() -> None:
    class Long(io.RawIOBase):
        """Two hundred megabytes that nobody holds."""

        def __init__(self) -> None:
            self.left = 200

        def read(self, _size: int = -1) -> bytes:
            self.left -= 1
            if self.left == 0:
                return b"\n" + TOKEN
            return b"2024-01-01 INFO nothing to see here, go on\n" * 24_000 if self.left > 0 else b""

    tracemalloc.start()
    (found,) = candidates(Stream(open=lambda _: Long()))  # type: ignore[arg-type,return-value]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.line == 199 * 24_000 + 2
    assert peak < 40 << 20


def test_spans_for_the_redactor_are_not_filtered() -> None:
    text = b"https://x.test/?t=" + TOKEN + b"&password=${NOT_A_REAL}"
    spans = DETECTOR.find_spans(text)
    assert (18, 18 + len(TOKEN), "tok_") in spans
    assert any(text[a:b].startswith(b"${NOT") for a, b, _ in spans)
    assert DETECTOR.find_spans(b"/var/log/messages") == []
    assert DETECTOR.find_spans(base64.b64encode(b"x " + TOKEN))


@given(st.binary(max_size=3000))
@settings(max_examples=200, deadline=None)
def test_random_bytes_never_crash(body: bytes) -> None:
    scan(body)
    DETECTOR.find_spans(body)


@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"password=", b"tok_", TOKEN, b"acme ", b"BEGIN ACME\n", b"\n", b"ghp_"]),
            st.binary(max_size=9),
        )
    )
)
@settings(max_examples=200, deadline=None)
def test_offsets_lie_inside_and_lead_to_the_value(pieces: list[bytes]) -> None:
    body = b"x" + b"".join(pieces)
    for engine in ENGINES.values():
        for found in scan(body, ContentDetector(RULES, engine)):
            assert isinstance(found, Candidate)
            assert body[found.start : found.end] == found.text
            if found.views == ("raw",):
                assert found.text == found.secret.reveal()


def test_the_builtin_rules_build_in_both_engines_and_agree() -> None:
    body = b"".join(
        fill(example).encode() + b"\n"
        for rule_ in build(backend="fallback").rules.rules
        for example in rule_.examples
    )
    found = []
    for backend in ("hyperscan", "fallback"):
        detector = build(backend=backend)
        assert detector.version.startswith(detector.rules.digest)
        found.append([(c.rule, c.start, c.end, c.views) for c in candidates(body, detector)])
    assert found[0] == found[1]
    assert len(found[0]) > 50
