"""Rich text in JSON becomes the text that a reader sees, whatever its shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsprawl.crawlers.atlassian.adf import is_adf, text_of


def doc(*content: Any) -> dict[str, Any]:
    return {"type": "doc", "version": 1, "content": list(content)}


def paragraph(*texts: Any) -> dict[str, Any]:
    inner = [text if isinstance(text, dict) else {"type": "text", "text": text} for text in texts]
    return {"type": "paragraph", "content": inner}


def cell(text: str, kind: str = "tableCell") -> dict[str, Any]:
    return {"type": kind, "content": [paragraph(text)]}


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (paragraph("ab", {"type": "text", "text": "cd", "marks": [{"type": "strong"}]}, "ef"), "abcdef"),
        (paragraph("one", {"type": "hardBreak"}, "two"), "one\ntwo"),
        (paragraph({"type": "mention", "attrs": {"id": "7", "text": "@Ann"}}, ": hi"), "@Ann: hi"),
        (
            {
                "type": "codeBlock",
                "attrs": {"language": "sh"},
                "content": [{"type": "text", "text": "a\n  b"}],
            },
            "a\n  b",
        ),
        ({"type": "inlineCard", "attrs": {"url": "https://x.test/?k=v"}}, "https://x.test/?k=v"),
        ({"type": "expand", "attrs": {"title": "more"}, "content": [paragraph("inside")]}, "more\ninside"),
        (
            paragraph(
                {
                    "type": "text",
                    "text": "here",
                    "marks": [{"type": "link", "attrs": {"href": "https://y.test"}}],
                }
            ),
            "here <https://y.test>",
        ),
        (
            {
                "type": "table",
                "content": [{"type": "tableRow", "content": [cell("password", "tableHeader"), cell("x1")]}],
            },
            "password\tx1",
        ),
        (
            {
                "type": "extension",
                "attrs": {"parameters": {"macroParams": {"token": {"value": "t1"}}, "list": ["a", 7, None]}},
            },
            "token: t1\nlist: a",
        ),
        ({"type": "media", "attrs": {"id": "1", "alt": "screen.png"}}, "screen.png"),
        ({"type": "somethingNew", "content": [{"type": "inner", "content": [paragraph("deep")]}]}, "deep"),
    ],
)
def test_each_node_says_what_it_shows(node: dict[str, Any], text: str) -> None:
    assert text_of(doc(node)) == text


def test_what_is_nested_beyond_reason_is_handed_on_as_it_is() -> None:
    node: Any = paragraph("needle")
    for _ in range(300):
        node = {"type": "blockquote", "content": [node]}
    assert "needle" in text_of(doc(node))


@pytest.mark.parametrize("value", [None, 7, "doc", [], {}, {"type": "doc"}, {"type": "doc", "content": 3}])
def test_what_is_no_document(value: Any) -> None:
    assert not is_adf(value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["type", "text", "content", "attrs", "marks", "x"]), inner)
    ),
    max_leaves=30,
)


@settings(max_examples=40)
@given(_JSON)
def test_nothing_that_json_can_say_breaks_it(value: Any) -> None:
    assert isinstance(text_of({"type": "doc", "content": [value]}), str)
