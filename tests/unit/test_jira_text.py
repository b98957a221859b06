"""Fields, comments and histories as texts: hostile shapes, order, and what counts as removed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsprawl.crawlers.jira.audience import of_grants
from unsprawl.crawlers.jira.text import Issue, Place, compose, person, plain, removed
from unsprawl.records import Audience

PLACE = Place("jira://x.test/issue/7", "https://x.test", "OPS-1", cloud=True)


def change(
    old: str | None, new: str | None, name: str = "description", at: str = "2026-03-01"
) -> dict[str, Any]:
    item = {"field": name, "fieldId": name, "fromString": old, "toString": new}
    return {"id": at, "created": f"{at}T10:00:00.000+0000", "author": {"displayName": "Ann"}, "items": [item]}


def gone(standing: str, *histories: dict[str, Any]) -> str:
    return removed(Issue(fields={}, histories=histories), standing.encode(), PLACE).body.decode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, ""),
        (7, "7"),
        ("text", "text"),
        ({"self": "https://x.test/1", "value": "red", "id": "10001"}, "red"),
        (
            {"self": "https://x.test/1", "value": "a", "child": {"self": "s", "value": "b", "id": "2"}},
            "value: a\nchild: b",
        ),
        ([{"name": "one"}, "two", None], "one\ntwo"),
        ({"id": "client-7", "secret": "s"}, "id: client-7\nsecret: s"),
    ],
)
def test_values_of_any_shape(value: Any, text: str) -> None:
    assert plain(value) == text


def test_values_that_are_nested_beyond_reason_are_kept() -> None:
    value: Any = "needle"
    for _ in range(100):
        value = [value]
    assert "needle" in plain(value)


def test_the_newest_removal_is_told_and_each_line_once() -> None:
    histories = [
        change("pin 4711-x", "pin 4711-x and more", at="2026-03-01"),
        change("pin 4711-x and more", "nothing", at="2026-03-02"),
    ]
    assert (
        gone("nothing", *reversed(histories)) == "description: pin 4711-x and more\ndescription: pin 4711-x\n"
    )


@pytest.mark.parametrize(
    ("old", "standing"),
    [
        ("the same words", "the same\nwords"),
        ("*strong* and {{mono}}", "strong and mono"),
        ("|user|password|", "user\tpassword"),
        ("{code:bash}make deploy{code}", "make deploy"),
        ("[the runbook|https://x.test/a]", "the runbook <https://x.test/a>"),
        ("{color:red}abcd{color}efgh", "abcdefgh"),
    ],
)
def test_another_way_to_write_it_is_no_removal(old: str, standing: str) -> None:
    assert gone(standing, change(old, None)) == ""


@pytest.mark.parametrize("old", ["pin 4711-x", "a b c", "x-4711|y", "4711"])
def test_what_stands_nowhere_is_removed(old: str) -> None:
    assert old in gone("something else", change(old, None))


@pytest.mark.parametrize("name", ["status", "Fix Version", "Rank", "assignee", "Attachment"])
def test_states_are_no_texts(name: str) -> None:
    assert gone("", change("something long", "something else", name=name)) == ""


def test_comments_stand_in_the_order_of_time_and_their_number_is_quoted() -> None:
    comments = [
        {"id": "10", "body": "third", "created": "2026-03-02T10:00:00.000+0100"},
        {"id": "9", "body": "second", "created": "2026-03-02T10:00:00.000+0100"},
        {"id": "1 #\n", "body": "first", "created": "2026-03-01T10:00:00.000+0100"},
        {"id": "5", "body": "unknown time", "created": "?"},
    ]
    found = compose(Issue(fields={}, comments=comments), PLACE)
    assert found.body.decode().split("\n")[:4] == ["unknown time", "first", "second", "third"]
    assert found.parts[1].uri == "jira://x.test/issue/7#comment-1%20%23%0A"


def test_the_author_of_a_field_is_who_changed_it_last() -> None:
    histories = [change("a", "b"), change("b", "c", at="2026-03-05")]
    fields = {"summary": "s", "description": "c", "reporter": {"emailAddress": "bob@x.test"}}
    summary, description = compose(Issue(fields=fields, histories=histories), PLACE).parts
    assert (summary.author, description.author) == ("bob@x.test", "Ann")
    assert description.modified_at is not None
    assert description.modified_at.day == 5


def test_nobody_is_nobody() -> None:
    assert person(None) is person({}) is person({"displayName": ""}) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["items", "id", "type", "content", "value"]), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(["summary", "description", "customfield_1"]), _JSON), _JSON, _JSON)
def test_no_answer_breaks_the_text(fields: dict[str, Any], body: Any, items: Any) -> None:
    said = [{"id": 1, "body": body, "author": body, "created": body}]
    issue = Issue(
        fields=fields,
        comments=said,
        worklogs=said,
        histories=[{"items": items, "id": body}],
        links=[{"object": body}],
    )
    text = compose(issue, PLACE)
    removed(issue, text.body, PLACE)
    assert [part.start for part in text.parts] == sorted({part.start for part in text.parts})


def test_grants_of_any_shape() -> None:
    assert of_grants([{"permission": "BROWSE_PROJECTS", "holder": 7}, {}]) is Audience.UNKNOWN
