"""What is read from a Confluence, Cloud and Data Center, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import wikis
from wikis import Server, crawl, source

from unsprawl.crawlers.confluence.source import ConfluenceSource
from unsprawl.errors import AuthError, RetryableError
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.loopback import Fault
from unsprawl.estate.wiki_model import Entry, Wiki
from unsprawl.records import Audience, Document, Skipped, Stream


def top(server: Server) -> str:
    return "confluence://" + server.site.removeprefix("http://")


def entry(wiki: Wiki, title: str, kind: str = "page") -> Entry:
    return next(one for one in wiki.of(kind) if one.title == title)


def body(document: Document) -> bytes:
    if isinstance(document.body, bytes):
        return document.body
    with document.body.open(0) as file:
        return file.read()


# --- what is read --------------------------------------------------------------------------------


def test_everything_is_read_once(wiki: Wiki, server: Server) -> None:
    run = crawl(source(server))
    assert not run.skipped
    assert not run.failed
    assert not run.twice
    bodies = b"\n".join(map(body, run.documents.values()))
    parts = "first second third edited reply remark archived trashed post draft live hello some nice"
    for word in [*parts.split(), "A=1", "A=2", "Where we build", "settings", "Handbook"]:
        assert word.encode() in bodies, word
    if isinstance(server, ConfluenceServer):
        assert b"template" in bodies
        assert b"for all" in bodies
        assert set(run.documents) == set(wikis.uris(wiki, top(server)))


def test_a_page_says_where_it_stands_and_who_wrote_it(wiki: Wiki, server: Server) -> None:
    page = entry(wiki, "Runbook")
    document = crawl(source(server)).documents[f"{top(server)}/pages/{page.id}"]
    assert document.path == "DEV/Runbook"
    assert document.author == "Anna Ahlgren"
    assert document.modified_at == page.last.when
    assert document.version == "3"
    assert document.attrs == {"space": "DEV", "version": 3, "status": "current"}
    assert document.url is not None
    assert document.url.startswith(f"{server.site}/")
    assert page.id in document.url


def test_a_comment_says_what_it_stands_on(wiki: Wiki, cloud: ConfluenceServer) -> None:
    page, note = entry(wiki, "Runbook"), wiki.of("inline")[0]
    document = crawl(source(cloud)).documents[f"{top(cloud)}/inline-comments/{note.id}"]
    assert document.path == f"DEV/Runbook/comment {note.id}"
    assert document.attrs["parent"] == f"pages/{page.id}"
    assert document.url == f"{cloud.site}/spaces/DEV/pages/{page.id}?focusedCommentId={note.id}"
    assert b"second" in body(document), "the words it was pinned to"


def test_what_was_removed_is_read_from_history_with_the_version_where_it_went(
    wiki: Wiki, server: Server
) -> None:
    page = entry(wiki, "Runbook")
    uri = f"{top(server)}/pages/{page.id}"
    history = crawl(source(server)).documents[f"{uri}#history"]
    assert body(history) == b"<p>second</p>\n<p>first</p>\n"
    newest, oldest = history.parts
    assert (newest.start, newest.uri, newest.attrs["removed_in"]) == (0, f"{uri}?version=2", 3)
    assert (oldest.start, oldest.uri, oldest.attrs["version"]) == (14, f"{uri}?version=1", 1)
    assert oldest.attrs["removed_in"] == 2
    assert oldest.attrs["removed_by"] == "Bo Berg"
    assert oldest.attrs["history"] == "removed in version 2 by Bo Berg, still readable in the history"
    assert oldest.author == "Anna Ahlgren"
    assert oldest.modified_at == page.revisions[0].when
    assert oldest.url == f"{server.site}/pages/viewpage.action?pageId={page.id}&pageVersion=1"


def test_two_hundred_versions_cost_a_request_for_fifty(wiki: Wiki, cloud: ConfluenceServer) -> None:
    page = wiki.write("DEV", "Log", *(f"<p>kept</p><p>line {number}</p>" for number in range(200)))
    run = crawl(source(cloud))
    assert len(cloud.asked(f"pages/{page.id}/versions")) == 4
    history = run.documents[f"{top(cloud)}/pages/{page.id}#history"]
    assert len(history.parts) == 199
    assert b"kept" not in body(history)


def test_older_versions_can_be_limited_and_that_is_told(wiki: Wiki, server: Server) -> None:
    page = wiki.write("DEV", "Log", *(f"<p>line {number}.</p>" for number in range(10)))
    run = crawl(source(server, max_versions=2))
    uri = f"{top(server)}/pages/{page.id}#history"
    assert body(run.documents[uri]) == b"<p>line 8.</p>\n<p>line 7.</p>\n"
    assert run.skipped[uri].excluded
    assert "newest 2 of 9" in run.skipped[uri].reason
    assert not any("#history" in name for name in crawl(source(server, max_versions=0)).documents)


def test_files_are_read_in_all_versions(wiki: Wiki, server: Server) -> None:
    (file,) = wiki.of("attachment")
    run = crawl(source(server))
    uri = f"{top(server)}/attachments/{file.id}"
    assert body(run.documents[uri]) == b"A=2\n"
    assert run.documents[uri].path == "DEV/Runbook/app.env"
    assert run.documents[uri].media_type == "text/plain"
    old = run.documents[f"{uri}?version=1"]
    assert body(old) == b"A=1\n"
    assert (old.attrs["version"], old.attrs["replaced_in"]) == (1, 2)


def test_a_large_file_is_a_stream_and_one_that_is_too_large_is_left_out(wiki: Wiki, server: Server) -> None:
    page = entry(wiki, "Runbook")
    content = bytes(range(256)) * (20 << 10)
    large = wiki.attach(page, "dump.bin", content, media_type="application/octet-stream")
    uri = f"{top(server)}/attachments/{large.id}"
    server.faults = [Fault("dump.bin", cut=1_000_000, times=2)]
    document = crawl(source(server)).documents[uri]
    assert isinstance(document.body, Stream)
    assert body(document) == content
    run = crawl(source(server, max_attachment_bytes=1 << 20))
    assert uri not in run.documents
    assert run.skipped[uri].excluded
    assert "max_attachment_bytes" in run.skipped[uri].reason


def test_a_purged_version_is_no_gap(wiki: Wiki, server: Server) -> None:
    page = wiki.write("DEV", "Cut", "<p>one</p>", "<p>two</p>", "<p>three</p>")
    page.revisions.pop(1)
    (file,) = wiki.of("attachment")
    server.faults = [Fault(r"app.env\?version=1", 404)]
    run = crawl(source(server))
    assert not run.skipped
    assert body(run.documents[f"{top(server)}/pages/{page.id}#history"]) == b"<p>one</p>\n"
    assert f"{top(server)}/attachments/{file.id}?version=1" not in run.documents


def test_what_costs_more_is_read_when_asked_for(wiki: Wiki, cloud: ConfluenceServer) -> None:
    page = entry(wiki, "Runbook")
    page.properties = {"app": {"hook": "in a property"}}
    page.hidden = True
    wiki.write("DEV", "Diagram", "<p>of an app</p>", kind="custom", type="ac:app:diagram")
    uri = f"{top(cloud)}/pages/{page.id}"
    plain = crawl(source(cloud)).documents
    assert plain[uri].audience is Audience.ORGANISATION
    settings: dict[str, Any] = {
        "properties": True,
        "restrictions": True,
        "custom_content": ("ac:app:diagram",),
    }
    run = crawl(source(cloud, **settings))
    assert body(run.documents[f"{uri}#properties"]) == b'app: {"hook":"in a property"}'
    assert run.documents[uri].audience is Audience.RESTRICTED
    extra = {name.rpartition("/")[0].rpartition("/")[2] for name in set(run.documents) - set(plain)}
    assert extra == {"pages", "blogposts", "custom-content"}
    assert not run.skipped


def test_who_can_read_it_is_asked_as_nobody(wiki: Wiki, server: Server) -> None:
    documents = crawl(source(server)).documents
    audience = {document.path: document.audience for document in documents.values()}
    assert audience["OPEN/Welcome"] is Audience.PUBLIC
    comment = wiki.of("footer")[-1]
    assert audience[f"OPEN/Welcome/comment {comment.id}"] is Audience.PUBLIC
    assert audience["OPEN/Board"] is not Audience.PUBLIC
    assert audience["DEV/Runbook"] is Audience.ORGANISATION
    assert audience["DEV/Gone"] is Audience.RESTRICTED
    assert audience["DEV/Draft"] is Audience.RESTRICTED
    nobody = [one for one in server.requests if "authorization" not in one.headers]
    assert nobody
    assert not [one for one in nobody if "/DEV" in one.line]


# --- what is left out ----------------------------------------------------------------------------


def test_spaces_can_be_chosen(wiki: Wiki, server: Server) -> None:
    for chosen in (("OPEN",), ("OP*",)):
        run = crawl(source(server, spaces=chosen))
        assert {document.path.partition("/")[0] for document in run.documents.values()} == {"OPEN"}
        assert len([one for one in run.documents if "comments/" in one]) == 1


def test_a_space_that_is_named_and_not_shown_is_a_gap(server: Server) -> None:
    run = crawl(source(server, spaces=("OPEN", "SECRET")))
    assert set(run.skipped) == {f"{top(server)}/spaces/SECRET"}
    assert not any(one.excluded for one in run.skipped.values())


def test_what_is_excluded_is_told(wiki: Wiki, server: Server) -> None:
    run = crawl(source(server, exclude=("~*", "DEV/Runbook*", "DEV/Runbook/**")))
    assert not any("Runbook" in document.path for document in run.documents.values())
    assert all(skipped.excluded for skipped in run.skipped.values())
    assert f"{top(server)}/spaces/~anna" in run.skipped
    assert f"{top(server)}/pages/{entry(wiki, 'Runbook').id}" in run.skipped


# --- who asks ------------------------------------------------------------------------------------


def test_credentials_that_nobody_knows_stop_the_source(server: Server, monkeypatch: Any) -> None:
    monkeypatch.setenv(wikis.VARIABLE, "of another time")
    with pytest.raises(AuthError, match="does not know this user and token"):
        crawl(source(server))
    assert len(server.requests) == 1


def test_a_token_that_is_taken_for_nobodys_stops_the_source(server: Server) -> None:
    server.faults = [Fault("user/current", spoil=lambda _body: b'{"type": "anonymous"}')]
    with pytest.raises(AuthError, match="for nobody's"):
        crawl(source(server))


def test_without_credentials_what_is_public_is_read(wiki: Wiki, server: Server) -> None:
    deployment = "cloud" if isinstance(server, ConfluenceServer) else "data-center"
    run = crawl(source(server, user="", token=None, deployment=deployment))
    assert "OPEN/Welcome" in {document.path for document in run.documents.values()}
    assert {document.audience for document in run.documents.values()} == {Audience.PUBLIC}
    assert not any(document.path.startswith("DEV") for document in run.documents.values())


def test_the_gateway_gives_the_same(wiki: Wiki, cloud: ConfluenceServer) -> None:
    straight = crawl(source(cloud))
    cloud.requests.clear()
    through = crawl(source(cloud, cloud_id="1a-2b", gateway=cloud.url))
    assert set(through.documents) == set(straight.documents)
    assert {uri: body(one) for uri, one in through.documents.items()} == {
        uri: body(one) for uri, one in straight.documents.items()
    }
    known = [one for one in cloud.requests if "authorization" in one.headers]
    assert all(one.path.startswith("/ex/confluence/1a-2b/wiki/") for one in known)


def test_names_that_may_not_be_asked_for_stay_ids(cloud: ConfluenceServer) -> None:
    cloud.faults = [Fault("users-bulk", 404)]
    run = crawl(source(cloud))
    assert "anna" in {document.author for document in run.documents.values()}
    assert len(cloud.asked("users-bulk")) == 1
    assert not run.skipped


# --- asked for one by one ------------------------------------------------------------------------


def test_everything_can_be_fetched_again(server: Server) -> None:
    made_ = source(server)
    run = crawl(made_)
    for uri, document in run.documents.items():
        fetched = made_.fetch(uri)
        assert isinstance(fetched, Document), uri
        assert body(fetched) == body(document)
    history = next(one for one in run.documents.values() if one.parts)
    again = made_.fetch(history.parts[0].uri)
    assert isinstance(again, Document)
    assert body(again) == body(history)


@pytest.mark.parametrize(
    "uri", ["pages/1", "spaces/NONE", "pages/../x", "nothing/1", "pages/1?version=x", "attachments/att1"]
)
def test_what_is_not_there_is_not_fetched(server: Server, uri: str) -> None:
    assert isinstance(source(server).fetch(f"{top(server)}/{uri}"), Skipped)


# --- doctor --------------------------------------------------------------------------------------


def test_doctor_says_who_asks_and_what_is_missing(server: Server) -> None:
    lines = list(source(server, spaces=("DEV", "SECRET")).diagnose())
    said = "\n".join(one.what for one in lines)
    assert "asks as Audit Bot" in said
    assert "1 spaces can be listed" in said
    assert [one.what for one in lines if not one.ok] == ["spaces that are not shown: SECRET"]
    assert "public links" in said


def test_doctor_tries_more_than_one_space(wiki: Wiki, server: Server) -> None:
    wiki.rooms["DEV"].closed = True
    lines = list(source(server).diagnose())
    assert [one.what.partition(":")[0] for one in lines if not one.ok] == ["pages of DEV"]
    assert "pages of OPEN can be listed" in [one.what for one in lines]


def test_doctor_names_the_scope(cloud: ConfluenceServer) -> None:
    body_ = b'{"message": "Unauthorized; scope does not match"}'
    cloud.faults = [Fault("v2/attachments", 401, body=body_), Fault("template", 403)]
    refused = {one.what: one.hint for one in source(cloud).diagnose() if not one.ok}
    assert any("read:attachment:confluence" in hint for hint in refused.values())
    assert any("read:template:confluence" in hint for hint in refused.values())
    assert len(refused) == 3


def test_doctor_without_a_site_is_one_line() -> None:
    lines = list(
        ConfluenceSource("w", ConfluenceSource.Config(url="http://127.0.0.1:9", max_wait=0.1)).diagnose()
    )
    assert [one.ok for one in lines] == [False]


def test_another_product_does_not_pass_for_an_empty_wiki(server: Server) -> None:
    server.faults = [Fault("/space", spoil=lambda _body: b'{"values": []}')]
    with pytest.raises(Exception, match="not one of Confluence"):
        crawl(source(server))


def test_a_site_that_is_gone_fails_the_source() -> None:
    gone = ConfluenceSource("w", ConfluenceSource.Config(url="http://127.0.0.1:9/wiki", max_wait=0.1))
    with pytest.raises(RetryableError):
        list(gone.units(wikis.never))


def test_times_are_of_the_version(wiki: Wiki, server: Server) -> None:
    for document in crawl(source(server)).documents.values():
        assert document.modified_at is None or document.modified_at < datetime(2025, 1, 1, tzinfo=UTC)
