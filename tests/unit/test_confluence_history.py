"""What of old versions is read: each block once, at its last version, and nothing that still stands."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsprawl.crawlers.confluence.history import Version, blocks, document, removed
from unsprawl.placeholders import fill

TOKEN = fill("<alnum:24>", "history")
OTHER = fill("<alnum:24>", "another")


def lost(*bodies: str) -> list[tuple[int, int, str]]:
    """Last version, the version that came without it, and the text; bodies from the oldest to the newest."""
    versions = [Version(number, body, f"author {number}") for number, body in enumerate(bodies, 1)]
    found = removed(versions[-1], versions[-2::-1])
    return [(one.last.number, one.by.number, one.text) for one in found]


def test_a_line_is_told_once_at_its_last_version() -> None:
    line = f"<p>token {TOKEN}</p>"
    assert lost("<p>a1</p>", line, line + "<p>b2</p>", line, "<p>a1</p>") == [
        (4, 5, line),
        (3, 4, "<p>b2</p>"),
    ]


def test_what_comes_back_was_not_removed() -> None:
    line = f"<p>token {TOKEN}</p>"
    assert lost(line, "<p>x</p>", line) == [(2, 3, "<p>x</p>")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<p>teh token {0}</p>", "<p>the token {0}</p>"),
        ("<p>token {0}</p>", "<p>token <strong>{0}</strong></p>"),
        ("<p>one</p><p>token {0}</p>", "<p>token {0}</p><p>one</p>"),
        ('<p local-id="1">token {0}</p>', '<p local-id="2">token {0}</p>'),
        ("<p>my old words about {0}</p>", "<h1>{0}</h1>"),
        ("<p>a</p>\n\n<p>token {0}</p>", "<p>a</p><p>token {0}</p>"),
    ],
)
def test_a_value_that_still_stands_is_not_called_removed(old: str, new: str) -> None:
    assert not [text for _, _, text in lost(old.format(TOKEN), new.format(TOKEN)) if TOKEN in text]


def test_what_belongs_together_stays_together() -> None:
    old = f"<p>id {TOKEN} secret {OTHER}</p>"
    assert lost(old, f"<p>id {TOKEN}</p>") == [(1, 2, old)]


def test_a_token_in_the_address_of_a_link_is_seen_to_go() -> None:
    old = f'<p><a href="https://x.test/?t={TOKEN}">the page</a></p>'
    assert lost(old, '<p><a href="https://x.test/">the page</a></p>') == [(1, 2, old)]


def test_a_row_of_a_table_stays_whole() -> None:
    row = f"<tr><th><p>password</p></th><td><p>{TOKEN}</p></td></tr>"
    table = "<table><tbody><tr><td><p>a1</p></td></tr>{}</tbody></table>"
    ((_, _, text),) = lost(table.format(row), table.format(""))
    assert "<p>password</p>" in text
    assert TOKEN in text
    assert "a1" not in text


def test_lines_of_code_are_blocks_and_a_key_stays_in_one_piece() -> None:
    key = "-----BEGIN X-----\n" + "\n".join(f"{number}{TOKEN}" for number in range(5)) + "\n-----END X-----\n"
    code = "<ac:plain-text-body><![CDATA[set -e\n{}echo done\n]]></ac:plain-text-body>"
    ((_, _, text),) = lost(code.format(key), code.format(""))
    assert text == key


def test_rich_text_in_json_has_blocks_too() -> None:
    node = '{{"type":"paragraph","content":[{{"type":"text","text":"{}"}}]}}'
    body = '{{"type":"doc","content":[{}]}}'
    old = body.format(",".join(node.format(text) for text in ("kept1", TOKEN, "kept2")))
    new = body.format(",".join(node.format(text) for text in ("kept1", "kept2")))
    ((_, _, text),) = lost(old, new)
    assert TOKEN in text


def test_the_document_tells_each_part_apart() -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    current = Version(3, "", "Bo", when)
    older = [Version(2, "<p>b2</p>", "Anna", when, "https://w.test/2"), Version(1, "<p>ä1</p>", "")]
    body, parts = document("confluence://w/pages/7", removed(current, older))
    assert body.decode() == "<p>b2</p>\n<p>ä1</p>\n"
    assert [body[part.start :].split(b"\n")[0] for part in parts] == [b"<p>b2</p>", "<p>ä1</p>".encode()]
    assert parts[0].attrs == {
        "version": 2,
        "removed_in": 3,
        "history": "removed in version 3 by Bo, still readable in the history",
        "removed_by": "Bo",
        "removed_at": when.isoformat(),
    }
    assert (parts[0].author, parts[0].url, parts[1].author) == ("Anna", "https://w.test/2", None)


@given(st.text(alphabet=st.sampled_from('<>/prtdablh \n{}",:ty1'), max_size=200))
def test_blocks_are_the_body_again(body: str) -> None:
    assert "".join(blocks(body)) == body


@given(st.lists(st.text(alphabet="abc1 ", min_size=1, max_size=12), max_size=6))
def test_nothing_that_was_there_is_lost(lines: list[str]) -> None:
    old = "".join(f"<p>{line}</p>" for line in lines)
    said = "".join(text for _, _, text in lost(old, "<p>zzz</p>"))
    assert [word for word in " ".join(lines).split() if word not in said] == []


@pytest.mark.parametrize("body", ["<tr>" * 200_000, "<p" * 300_000, '<p local-id="' * 60_000, "{" * 500_000])
def test_hostile_bodies_cost_no_more_than_their_length(body: str) -> None:
    begun = time.perf_counter()
    lost(body, body[1:])
    assert time.perf_counter() - begun < 3
