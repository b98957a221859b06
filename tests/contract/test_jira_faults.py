"""A Jira that fails, refuses, repeats and lies: what can be read is read once, the rest is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import msgspec
import pytest
from issues import Run, build, content, crawl, serving

from unsprawl.errors import RetryableError, SourceError
from unsprawl.estate.jira_server import JiraServer
from unsprawl.estate.loopback import Fault
from unsprawl.records import Document

SEARCH = "search/jql|/2/search"
_ISSUES = 30


@pytest.fixture(params=[True, False], ids=["cloud", "data-center"])
def server(request: pytest.FixtureRequest) -> Iterator[JiraServer]:
    """One project with a marked word in each issue, each comment and one file, on pages of ten."""
    with serving(request.param) as server:
        server.page, server.few = 10, 3
        server.site.project("OPS")
        for number in range(_ISSUES):
            issue = server.site.issue("OPS", f"summary-{number}", age=timedelta(hours=_ISSUES - number))
            issue.comments = [
                {
                    "id": f"{number}{one}",
                    "body": f"comment-{number}-{one}",
                    "author": "bob",
                    "created": issue.created,
                }
                for one in range(2 if number else 130)
            ]
        server.site.attach(issue, "notes.txt", b"file-0")
        yield server


def words(run: Run) -> list[str]:
    """Every marked word that was read, also of what broke off."""
    found = []
    for document in run.documents.values():
        found += readable(document).decode().split()
    return sorted(word for word in found if "-" in word)


def readable(document: Document) -> bytes:
    if isinstance(document.body, bytes):
        return document.body
    body = bytearray()
    with document.body.open(0) as file:
        try:
            while block := file.read(1 << 16):
                body += block
        except SourceError:
            pass
    return bytes(body)


def planted() -> list[str]:
    comments = [f"comment-{n}-{one}" for n in range(_ISSUES) for one in range(2 if n else 130)]
    return sorted([*(f"summary-{n}" for n in range(_ISSUES)), *comments, "file-0"])


def minimum(server: JiraServer) -> int:
    """Requests that paging and one address for each thing allow, without those before the first issue."""
    pages, long_lists, per_issue, files = _ISSUES // 10, 2, 2, 1
    return pages + long_lists + per_issue * _ISSUES + files


def test_no_request_too_many(server: JiraServer) -> None:
    assert words(crawl(build(server))) == planted()
    # Before: account, time, projects twice, filters, project, its properties, its permissions.
    assert len(server.requests) - 8 <= minimum(server) * 1.1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("", 429, {"retry-after": "0"}, times=4),
        Fault(SEARCH, 429, {"retry-after": "0"}, after=2, times=4),
        Fault("", 503, times=3),
        Fault("search/jql|/2/search|/comment", 500, after=1, times=4),
        Fault("search/jql|/2/search|/comment|remotelink", reset=True, after=3, times=4),
        Fault("search/jql|/2/search|/comment|/issue", cut=100, after=3, times=4),
        Fault("/attachment", cut=3, times=2),
        Fault(SEARCH, drip=0.01, times=2),
        Fault(SEARCH, spoil=lambda body: body[: len(body) // 2], after=1, times=2),
    ],
    ids=["429", "429 later", "503", "500", "reset", "cut", "cut file", "slow", "half"],
)
def test_what_mends_costs_nothing_but_repetitions(server: JiraServer, fault: Fault) -> None:
    server.faults = [msgspec.structs.replace(fault) if isinstance(fault, msgspec.Struct) else _copy(fault)]
    run = crawl(build(server))
    assert words(run) == planted()
    assert run.skipped == {}
    failed = 5
    assert len(server.requests) - 8 - failed <= minimum(server) * 1.1


def _copy(fault: Fault) -> Fault:
    return Fault(**{name: getattr(fault, name) for name in Fault.__slots__})


def test_duplicate_and_reordered_pages_are_reconciled(server: JiraServer) -> None:
    pages: list[list[object]] = []

    def spoiled(change: Callable[[int, list[object]], list[object]]) -> Callable[[bytes], bytes]:
        pages.clear()

        def spoil(body: bytes) -> bytes:
            page = msgspec.json.decode(body)
            pages.append(page["issues"])
            return msgspec.json.encode({**page, "issues": change(len(pages), page["issues"])})

        return spoil

    def shuffled(_: int, issues: list[object]) -> list[object]:
        return [*reversed(issues), *issues[:3]]

    def late(number: int, issues: list[object]) -> list[object]:
        """What belongs on the second page comes with the third, together with its own."""
        return [] if number == 2 else [*issues, *pages[1]] if number == 3 else issues

    def repeated(number: int, issues: list[object]) -> list[object]:
        """The third page is the second once more."""
        return pages[1] if number == 3 else issues

    # Behind a token, what did not come is lost. With numbers the list says how long it is.
    for change in (shuffled, late) if server.cloud else (repeated,):
        server.faults = [Fault(SEARCH, spoil=spoiled(change))]
        run = crawl(build(server))
        assert words(run) == planted()
        assert run.repeated == []


def test_a_list_that_shifts_while_it_is_read_loses_nothing(server: JiraServer) -> None:
    gone = next(iter(server.site.issues))

    def shift() -> None:
        server.site.issues.pop(gone, None)

    server.faults = [Fault(SEARCH, before=shift, after=1, times=1)]
    run = crawl(build(server))
    assert words(run) == planted()
    assert run.repeated == []


def test_a_token_that_expired_begins_another_search(server: JiraServer) -> None:
    if not server.cloud:
        return  # has none
    told = b'{"errorMessages": ["The nextPageToken is invalid or has expired"]}'
    server.faults = [Fault("/search/jql", 400, body=told, after=1, times=1)]
    run = crawl(build(server))
    assert words(run) == planted()
    assert run.repeated == []
    assert run.skipped == {}
    server.faults = [Fault("/search/jql", 400, body=told, after=1)]
    (skipped,) = crawl(build(server)).skipped.values()
    assert "400" in skipped.reason


def test_a_refused_project_leaves_the_others_alone(server: JiraServer) -> None:
    server.site.project("HR", closed=True)
    run = crawl(build(server))
    assert [uri.rpartition("/")[2] for uri in run.skipped] == ["HR"]
    assert words(run) == planted()


def test_a_refused_issue_is_told_and_what_is_known_of_it_is_read(server: JiraServer) -> None:
    first = next(iter(server.site.issues.values()))
    first.closed = True
    run = crawl(build(server))
    lost = {f"comment-0-{one}" for one in range(3, 130)}
    assert words(run) == sorted(set(planted()) - lost)
    (document,) = [one for uri, one in run.documents.items() if uri.endswith(f"/{first.id}")]
    assert document.version is None
    with pytest.raises(SourceError, match=r"OPS-1 \(403\)"):
        content(document)


def test_comments_without_an_end(server: JiraServer) -> None:
    def endless(body: bytes) -> bytes:
        page = msgspec.json.decode(body)
        return msgspec.json.encode({**page, "total": 10**9})

    first = next(iter(server.site.issues.values()))
    server.faults = [
        Fault(r"/comment\?.*startAt=0", spoil=endless),
        Fault(r"/comment", before=lambda: None, spoil=lambda _: b'{"comments": [{"id": "00"}], "total": 9}'),
    ]
    run = crawl(build(server))
    assert "comment-0-99" in words(run)
    assert "comment-29-1" in words(run)
    (document,) = [one for uri, one in run.documents.items() if uri.endswith(f"/{first.id}")]
    with pytest.raises(SourceError, match="repeat without an end"):
        content(document)
    assert len(server.asked("/comment")) < 10


def test_a_search_without_an_end(server: JiraServer) -> None:
    def endless(body: bytes) -> bytes:
        page = {**msgspec.json.decode(body), "isLast": False, "nextPageToken": "b25l", "total": 10**6}
        page["issues"] = page["issues"][:1]
        return msgspec.json.encode(page)

    first = []

    def same(body: bytes) -> bytes:
        first.append(body)
        return endless(first[0])

    server.faults = [Fault(SEARCH, spoil=same)]
    server.answer = _patient(server.answer)  # type: ignore[method-assign]
    (skipped,) = crawl(build(server)).skipped.values()
    assert "without an end" in skipped.reason
    assert len(server.asked(SEARCH)) < 15


def _patient(answer):
    """A server that takes any token."""

    def answering(request):
        found = answer(request)
        if found.status == 400:
            body = msgspec.json.encode({"issues": []})
            return type(found)(200, body, {"content-type": "application/json"})
        return found

    return answering


def test_a_page_instead_of_a_file_is_no_file(server: JiraServer) -> None:
    page = b"<!DOCTYPE html><html><title>Log in</title></html>"
    server.faults = [Fault("attachment", status=200, body=page, headers={"content-type": "text/html"})]
    run = crawl(build(server))
    (skipped,) = run.skipped.values()
    assert "page instead of the file" in skipped.reason
    assert words(run) == sorted(set(planted()) - {"file-0"})


def test_a_redirected_file_is_read_without_the_credentials(server: JiraServer) -> None:
    with serving() as elsewhere:
        elsewhere.faults = [Fault("/signed", status=200, body=b"file-0")]
        server.faults = [Fault("attachment", status=303, headers={"location": f"{elsewhere.url}/signed?x=1"})]
        assert words(crawl(build(server))) == planted()
        (asked,) = elsewhere.requests
        assert "authorization" not in asked.headers


def test_a_site_that_goes_down_ends_the_unit_where_it_was(server: JiraServer) -> None:
    server.faults = [Fault("", 503, after=40)]
    source = build(server)
    source._api().site._patience = source._api().site._files.patience = type(source._api().site._patience)(
        2, 0.2, first=0.01, longest=0.01
    )
    with pytest.raises(RetryableError):
        crawl(source)
    assert len(server.requests) < 70
