"""What a second run of a Confluence costs, and that it finds every kind of change, and reads only that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import wikis
from wikis import Memory, Run, Server, crawl, source

from unsprawl.estate.confluence_center_server import ConfluenceCenterServer
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.loopback import Fault
from unsprawl.estate.wiki_model import Wiki
from unsprawl.records import Unit


def again(server: Server, memory: Memory, **settings: Any) -> tuple[Run, Counter[str]]:
    """The next run, and what it asked for, by the last word of the path."""
    before = len(server.requests)
    run = crawl(source(server, **settings), memory)
    return run, Counter(one.path.rpartition("/")[2] for one in server.requests[before:])


# --- what it costs -------------------------------------------------------------------------------


def test_five_hundred_spaces_without_a_change_cost_at_most_a_listing_each(
    wiki: Wiki, cloud: ConfluenceServer
) -> None:
    for number in range(500):
        wiki.room(f"S{number}")
        wiki.write(f"S{number}", f"Page {number}", "<p>as it was</p>")
    memory = Memory()
    first = crawl(source(cloud), memory)
    assert len(first.documents) > 1000
    run, asked = again(cloud, memory)
    assert not run.documents
    assert not run.failed
    # Templates tell nothing of changes: a request a space, and one for the site. All else is asked once.
    assert asked.pop("page") == 503 + 1
    assert asked == {
        "current": 1,
        "spaces": 3,
        "pages": 2,
        "blogposts": 1,
        "footer-comments": 1,
        "inline-comments": 1,
        "attachments": 1,
        "content": 2,
    }


def test_data_center_asks_once_for_all_spaces(wiki: Wiki) -> None:
    for number in range(300):
        wiki.room(f"S{number}")
        wiki.write(f"S{number}", f"Page {number}", "<p>as it was</p>")
    with ConfluenceCenterServer(wiki, wikis.TOKEN) as server:
        memory = Memory()
        crawl(source(server), memory)
        run, asked = again(server, memory)
    assert not run.documents
    assert asked == {"current": 1, "space": 4, "search": 1, "content": 2}


def test_a_first_run_asks_for_little_more_than_what_paging_takes(wiki: Wiki, cloud: ConfluenceServer) -> None:
    page = wiki.write("DEV", "Busy", "<p>x</p>")
    for number in range(1000):
        wiki.write("DEV", f"Page {number}", "<p>text</p>")
    for number in range(600):
        wiki.comment(page, f"<p>{number}</p>")
    run = crawl(source(cloud))
    assert len([one for one in run.documents.values() if "Page " in one.path]) == 1000
    listed = 5 + 1 + 1 + 3 * 2  # pages, blog posts and templates of DEV, of the two others
    over_all = 3 + 1 + 1 + 3  # comments, inline comments, attachments; drafts twice, templates of the site
    history = 2 + 1  # a page and a comment that were edited, the file's versions
    files = 2
    least = 1 + 1 + listed + over_all + history + files
    others = Counter(one.path.rpartition("/")[2] for one in cloud.requests)
    everyone = 1 + 2  # the open space is asked for as nobody
    assert len(cloud.requests) <= 1.1 * (least + everyone) + 2, others


# --- what it finds -------------------------------------------------------------------------------


def edit(wiki: Wiki) -> set[str]:
    page = wiki.of("page")[0]
    wiki.edit(page, "<p>edited now</p>")
    return {f"pages/{page.id}", f"pages/{page.id}#history"}


def new_page(wiki: Wiki) -> set[str]:
    return {f"pages/{wiki.write('OPEN', 'Fresh', '<p>new</p>').id}"}


def new_post(wiki: Wiki) -> set[str]:
    return {f"blogposts/{wiki.write('DEV', 'Fresh', '<p>new</p>', kind='blogpost').id}"}


def new_comment(wiki: Wiki) -> set[str]:
    return {f"footer-comments/{wiki.comment(wiki.of('page')[0], '<p>new</p>').id}"}


def new_reply(wiki: Wiki) -> set[str]:
    return {f"footer-comments/{wiki.comment(wiki.of('footer')[0], '<p>new</p>').id}"}


def edited_comment(wiki: Wiki) -> set[str]:
    note = wiki.of("inline")[0]
    wiki.edit(note, "<p>edited now</p>")
    return {f"inline-comments/{note.id}", f"inline-comments/{note.id}#history"}


def new_attachment(wiki: Wiki) -> set[str]:
    return {f"attachments/{wiki.attach(wiki.of('page')[0], 'new.env', b'B=1').id}"}


def new_version_of_a_file(wiki: Wiki) -> set[str]:
    (file,) = wiki.of("attachment")
    wiki.edit(file, b"A=3\n")
    return {f"attachments/{file.id}", f"attachments/{file.id}#comment", f"attachments/{file.id}?version=2"}


def new_space(wiki: Wiki) -> set[str]:
    wiki.room("NEW")
    return {"spaces/NEW", f"pages/{wiki.write('NEW', 'Fresh', '<p>new</p>').id}"}


def edited_draft(wiki: Wiki) -> set[str]:
    draft = next(one for one in wiki.of("page") if one.status == "draft")
    draft.revisions[-1] = draft.revisions[-1].__class__(1, "<p>other words</p>", "anna", wiki.now())
    return {f"drafts/{draft.id}"}


CHANGES = [
    edit,
    new_page,
    new_post,
    new_comment,
    new_reply,
    edited_comment,
    new_attachment,
    new_version_of_a_file,
    new_space,
    edited_draft,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_is_found_and_only_that_is_read(
    wiki: Wiki, server: Server, change: Callable[[Wiki], set[str]]
) -> None:
    memory = Memory()
    crawl(source(server), memory)
    wiki.live = True
    expected = change(wiki)
    if isinstance(server, ConfluenceCenterServer):
        expected = {one.replace("footer-", "").replace("inline-", "") for one in expected}
    run, _ = again(server, memory)
    top = "confluence://" + server.site.removeprefix("http://")
    assert set(run.documents) == {f"{top}/{one}" for one in expected}
    assert not run.failed
    after, _ = again(server, memory)
    assert not after.documents


def test_a_changed_template_is_found(wiki: Wiki, cloud: ConfluenceServer) -> None:
    memory = Memory()
    crawl(source(cloud), memory)
    one, *_ = wiki.templates.values()
    one.body = "<p>edited</p>"
    run, _ = again(cloud, memory)
    assert [uri.rpartition("/")[2] for uri in run.documents] == [one.id]


def test_many_large_changes_are_asked_for_in_portions(
    wiki: Wiki, cloud: ConfluenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    crawl(source(cloud), memory)
    wiki.live = True
    pages = [wiki.write("DEV", f"Page {number}", f"<p>{'new ' * 1000}</p>") for number in range(60)]
    monkeypatch.setattr("unsprawl.crawlers.atlassian.transport.MAX_ANSWER", 90_000)
    run, _ = again(cloud, memory)
    assert len(run.documents) == len(pages)
    assert not run.skipped


def test_many_changes_are_listed_space_by_space(
    wiki: Wiki, cloud: ConfluenceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory()
    crawl(source(cloud), memory)
    wiki.live = True
    pages = [wiki.write("DEV", f"Page {number}", "<p>new</p>") for number in range(60)]
    monkeypatch.setattr("unsprawl.crawlers.confluence.cloud._CHANGE_PAGES", 2)
    cloud.largest = 10
    run, _ = again(cloud, memory)
    assert len(run.documents) == len(pages)


# --- when it begins anew -------------------------------------------------------------------------


def test_new_rules_meet_old_text_again(server: Server) -> None:
    memory = Memory()
    first = crawl(source(server), memory)
    memory.versions.clear()
    run, _ = again(server, memory)
    assert set(run.documents) == set(first.documents)


def test_everything_is_listed_again_after_some_days(wiki: Wiki, server: Server) -> None:
    memory = Memory()
    crawl(source(server), memory)
    # Moved, restored, made visible: what no change of a version tells.
    quiet = wiki.write("DEV", "Was hidden", "<p>of old</p>")
    run, _ = again(server, memory)
    assert not run.documents
    for cursor in memory.cursors.values():
        cursor["at"]["listed"] = (datetime.now(UTC) - timedelta(days=8)).isoformat()
    run, _ = again(server, memory)
    assert [uri.rpartition("/")[2] for uri in run.documents] == [quiet.id]


@pytest.mark.parametrize(
    "cursor",
    [
        {"at": 7},
        {"at": {"until": "x", "listed": []}},
        {"part": "pages", "next": "x"},
        {"probes": 1, "part": 3},
    ],
    ids=["number", "words", "unknown page", "other types"],
)
def test_a_cursor_that_is_none_is_a_beginning(server: Server, cursor: dict[str, Any]) -> None:
    whole = crawl(source(server))
    units = [unit for unit in source(server).units(wikis.never) if isinstance(unit, Unit)]
    memory = Memory()
    memory.cursors |= dict.fromkeys((unit.id for unit in units), cursor)
    lost = set(whole.documents) - set(crawl(source(server), memory).documents)
    # A walk that is taken up has read the name of its space before.
    assert all("/spaces/" in uri and cursor.get("part") == "pages" for uri in lost)


# --- what could not be read ----------------------------------------------------------------------


def test_what_was_refused_is_asked_for_again_and_nothing_else(wiki: Wiki, server: Server) -> None:
    memory = Memory()
    server.faults = [Fault(r"app.env\?version=2", 403)]
    first = crawl(source(server), memory)
    (gap,) = first.skipped
    run, asked = again(server, memory)
    assert set(run.skipped) == {gap}
    server.faults = []
    run, asked = again(server, memory)
    assert set(run.documents) == {gap}
    assert asked["pages"] <= 2
    run, _ = again(server, memory)
    assert not run.documents
    assert not run.skipped


def test_a_listing_that_was_refused_is_read_whole_the_next_time(wiki: Wiki, cloud: ConfluenceServer) -> None:
    memory = Memory()
    cloud.faults = [Fault("v2/blogposts.*body", 403), Fault("footer-comments", 403)]
    first = crawl(source(cloud), memory)
    assert {uri.rpartition("#")[2] for uri in first.skipped} == {"blogposts", "footer-comments"}
    assert not first.failed
    cloud.faults = []
    run, _ = again(cloud, memory)
    kinds = Counter(uri.split("/")[-2] for uri in run.documents)
    assert kinds == {"blogposts": 1, "footer-comments": 4}
    assert not run.skipped
