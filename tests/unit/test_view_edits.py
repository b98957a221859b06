"""What the views that edit make of a text, what they leave alone, and that they are told of both."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.detectors.matching.engine import Engine
from unsprawl.detectors.rules import load
from unsprawl.detectors.views.edits import rewritten
from unsprawl.detectors.views.reading import edits
from unsprawl.detectors.views.telling import EDITORS


@pytest.fixture(scope="module", params=["hyperscan", "fallback"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(load(), request.param)


def read(engine: Engine, text: str) -> tuple[str, set[str]]:
    data = text.encode()
    changes = edits(data, engine.look(data).clues)
    return rewritten(data, changes).text.decode("utf-8", "replace"), {edit.view for edit in changes}


@pytest.mark.parametrize(
    ("text", "shown", "view"),
    [
        ("token=%67hp%5Fabc", "token=ghp_abc", "percent"),
        ("key&#95;of &#x67;hp", "key_of ghp", "entity"),
        ("pass&equals;abc", "pass=abc", "entity"),
        ("abcd\u200befgh\u00adijkl", "abcdefghijkl", "invisible"),
        (r'{"a": "\u0067hp_abc"}', '{"a": "ghp_abc"}', "escape"),
        (r'"line\nAKIA0123456789ABCDEF"', '"line\nAKIA0123456789ABCDEF"', "escape"),
        (r"\x67\x68\x70_abc", "ghp_abc", "escape"),
        (r"{\"password\": \"x1y2z3\"}", '{"password": "x1y2z3"}', "escape"),
        ('key = "ghp_abcd" + "efgh1234"', 'key = "ghp_abcdefgh1234"', "joined"),
        ('("ghp_abcd"\n    "efgh1234")', '("ghp_abcdefgh1234")', "joined"),
        ("ghp_abc\x1b[0m\x1b[31mdef123", "ghp_abcdef123", "ansi"),
        ("using ghp_abc2026-05-01T10:00:00.1234567Z def123", "using ghp_abcdef123", "log"),
        ("\x1b_bk;t=1\x07using ghp_abc\x1b_bk;t=2\x07def123", "using ghp_abcdef123", "ansi"),
        ("using ghp_ab\x08bc1", "using ghp_abc1", "ansi"),
        ("+ DB_PASSWORD=$'Saffron2339'", "+ DB_PASSWORD='Saffron2339'", "log"),
        ("DB_PASSWORD        Saffron2339\n", "DB_PASSWORD=Saffron2339\n", "log"),
        ("g h p _ a b c d e f 0 1 2 3 4 5 6 7 8 9 z", "ghp_abcdef0123456789z", "log"),
        ("<p>ghp_<strong>abc1</strong>def234</p>", "\nghp_abc1def234\n", "html"),
        ("<td>password</td><td>Secret1x</td>", "\tpassword\t\tSecret1x\t", "html"),
        ("<w:r><w:t>ghp_abc</w:t></w:r><w:r><w:t>def123</w:t></w:r>", "ghp_abcdef123", "office"),
        (
            '{"type":"text","text":"ghp_abc"},{"type":"text","text":"def","marks":[{"type":"strong"}]}',
            '{"type":"text","text":"ghp_abcdef","marks":[{"type":"strong"}]}',
            "adf",
        ),
        ("see ghp_abc**def123** now", "see ghp_abcdef123** now", "markdown"),
    ],
)
def test_what_is_read(engine: Engine, text: str, shown: str, view: str) -> None:
    made, views = read(engine, text)
    assert made == shown
    assert view in views


@pytest.mark.parametrize(
    "text",
    [
        "List<String> names = new ArrayList<>();",
        "100% of 20% is fine, %d of %s",
        "a & b; AT&T; x &y;",
        'printf("hello\\n");',
        '"some words "\n"and more words "',
        "\x1b[31mwarning\x1b[0m: it is late",
        "if (a < b && c > d) return **p;",
        "  --api-token      The token to use",
        "API_TOKEN        is taken from the environment",
        "a b c d and so on",
        "from=2026-05-01T10:00:00Z to 2026-06-01T10:00:00Z",
        "from .exceptions import TemplateNotFoundError as TemplateNotFoundErrorAlias\nfrom .x import y",
    ],
)
def test_what_is_left_alone(engine: Engine, text: str) -> None:
    assert read(engine, text) == (text, set())


def test_a_token_wrapped_in_a_log_is_joined(engine: Engine) -> None:
    stamp = "2026-05-01T10:00:00.0000000Z "
    full = "x" * 50 + " token ghp_abcdefghijkl0123"
    text = f"{stamp}start of the job\n{stamp}{full}\n{stamp}4567mnop done\n"
    assert "ghp_abcdefghijkl01234567mnop" in read(engine, text)[0]


STAMP = "2026-05-01T10:00:00.0000000Z "
LONG = "ghp_" + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"


@pytest.mark.parametrize("width", [80, 100, 120, 132])
@pytest.mark.parametrize("stamp", [STAMP, ""])
@pytest.mark.parametrize("at", [1, 4, 20, 39])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_full_line_of_a_terminal_goes_on_wherever_the_token_is_cut(
    engine: Engine, width: int, stamp: str, at: int, end: str
) -> None:
    """No digit tells that the lines belong together: the width does."""
    head = "x " * (width // 2)
    first = head[: width - at - 1] + " " + LONG[:at]
    text = f"{stamp}begun{end}{stamp}{first}{end}{stamp}{LONG[at:]} done{end}"
    assert LONG in read(engine, text)[0]
    other = f"{stamp}begun{end}{stamp}{first[3:]}{end}{stamp}{LONG[at:]} done{end}"
    assert LONG not in read(engine, other)[0]


def test_a_token_over_many_lines_of_one_width_is_joined(engine: Engine) -> None:
    token = "abcdefghijklmnopqrstuvwxyz" * 12
    rows = [token[at : at + 90] for at in range(0, len(token), 90)]
    text = "".join(f"{STAMP}{row}\n" for row in ("x" * 12 + "12345678" + "y" * 70, *rows))
    assert token[90:270] in read(engine, text)[0]


def test_gitlab_says_that_a_line_goes_on(engine: Engine) -> None:
    stamp = "2026-05-01T10:00:00.123456Z 01O"
    text = f"{stamp} begun\n{stamp} using ghp_abc\n{stamp}+def done\n"
    assert "using ghp_abcdef done" in read(engine, text)[0]


def test_a_time_that_fell_into_a_line_is_taken_out_with_the_line_end(engine: Engine) -> None:
    text = f"{STAMP}begun\n{STAMP}using ghp_abcdef0123\n{STAMP}4567mnop done\n"
    assert "ghp_abcdef01234567mnop done" in read(engine, text)[0]


@pytest.mark.parametrize(
    "text",
    [
        f"{STAMP}DB_PASSWORD=Saffron2339xy\n{STAMP}S3_BUCKET=shop\n",
        f"{STAMP}pulled a3ed95caeb02ffff\n{STAMP}2f3c4d5e: Pull complete\n",
        f"{STAMP}first 0123456789ab\n2026-05-01T10:00:01.0000000Z 0123456789\n",
        "".join(
            f"{STAMP}Compiling the module number {n} of the whole of this large product v1.0.{n}\n"
            for n in range(9)
        ),
    ],
)
def test_lines_that_stand_by_themselves_stay_so(engine: Engine, text: str) -> None:
    assert read(engine, text)[0] == text


def test_a_log_is_read_as_one_whatever_its_size(engine: Engine) -> None:
    text = "building\n" * 400 + "x" * 71 + " " + LONG[:8] + "\n" + LONG[8:] + " done\n"
    data = text.encode()
    assert edits(data, engine.look(data).clues) == []
    assert len(edits(data, engine.look(data).clues, log=True)) == 1


def test_pictures_are_no_text(engine: Engine) -> None:
    assert edits(b"\x89PNG\0\0<b>%67%68</b>\\u0067", engine.look(b"%67%68%70").clues) == []


@pytest.mark.parametrize("name", EDITORS)
@given(
    data=st.lists(
        st.sampled_from([b"<b>", b"\\", b"u0067", b"%67", b"&#", b"x", b'"', b"\n ", b"\x1b[0m", b"+"])
    )
)
def test_edits_are_in_order_and_apart(name: str, data: list[bytes]) -> None:
    text = b"".join(data)
    made = EDITORS[name](text)  # type: ignore[index]
    for left, right in pairwise(made):
        assert left.end <= right.start
    assert all(0 <= edit.start < edit.end <= len(text) for edit in made)


@pytest.mark.parametrize("name", EDITORS)
@pytest.mark.parametrize(
    "piece",
    [
        b"<",
        b"<a ",
        b"&#",
        b"%",
        b"\\",
        b"\\u",
        b'"+',
        b"\x1b[",
        b"**",
        b'"},{',
        b"</",
        b"a ",
        b"A_KEY  ",
        b"x2026-01-01T00:00:00Z",
    ],
)
def test_hostile_rows_cost_no_more_than_their_length(name: str, piece: bytes) -> None:
    """A quadratic pattern would take minutes for these."""
    EDITORS[name](piece * (200_000 // len(piece)))  # type: ignore[index]
