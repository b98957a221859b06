"""The laws of a clean-up, on each surface that has one: it tells what it would do, does it, it is gone."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import registries
import wikis
from issues import build, serving
from slack_worlds import NOON, SECRET, TOKEN, forget_sessions, small, source_of, ts_of

from unsprawl.crawlers.s3.source import S3Source
from unsprawl.errors import GoneError, SourceError, UnreadableError
from unsprawl.estate.confluence_center_server import ConfluenceCenterServer
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.imagery import Step
from unsprawl.estate.imagery import build as build_image
from unsprawl.estate.loopback import Answer, LoopbackServer, Request, data
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import RegistryServer
from unsprawl.estate.s3_server import s3_server
from unsprawl.estate.slack_server import SlackServer
from unsprawl.estate.wiki_model import Wiki
from unsprawl.records import Document, Skipped
from unsprawl.revocation import revocations, revoke
from unsprawl.store.templates import providers, surface, surfaces

VALUE = "the-secret-value"


@dataclass
class World:
    """A source with one place that holds ``VALUE``. ``touch`` changes what is there, in another way."""

    source: Any
    uri: str
    action: str
    attrs: dict[str, Any]
    touch: Callable[[], object]
    kept: bool = False
    """The document stays: what is taken out is the value."""


def redact(text: str) -> str:
    return text.replace(VALUE, "[removed]")


@contextmanager
def versioned_bucket() -> Iterator[World]:
    with s3_server() as server, keys_of_aws():
        client = server.client()
        client.create_bucket(Bucket="box")
        client.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
        version = client.put_object(Bucket="box", Key="a b.env", Body=VALUE.encode())["VersionId"]
        source = S3Source("box", S3Source.Config(endpoint_url=server.url, region="us-east-1", attempts=1))
        yield World(
            source, "s3://box/a%20b.env", "delete-version", {"version_id": version},
            # A version cannot change, only go.
            lambda: client.delete_object(Bucket="box", Key="a b.env", VersionId=version),
        )  # fmt: skip


@contextmanager
def plain_bucket() -> Iterator[World]:
    with s3_server() as server, keys_of_aws():
        client = server.client()
        client.create_bucket(Bucket="box")
        client.put_object(Bucket="box", Key="a.env", Body=VALUE.encode())
        source = S3Source("box", S3Source.Config(endpoint_url=server.url, region="us-east-1", attempts=1))
        put = lambda: client.put_object(Bucket="box", Key="a.env", Body=b"other")  # noqa: E731
        yield World(source, "s3://box/a.env", "delete-object", {}, put)


@contextmanager
def keys_of_aws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "demo")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "demo")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@contextmanager
def slack(kind: str) -> Iterator[World]:
    team = small()
    general = team.channels[0]
    root = next(one for one in general.messages if one.get("reply_count"))
    message = general.messages[-2] if kind == "message" else general.threads[root["ts"]][0]
    message["text"] = f"password: {VALUE}"
    try:
        with SlackServer(team, {TOKEN: None}) as server:
            source = source_of(server)
            if kind == "file":
                file = team.files[0]
                uri, touch = f"slack://{team.id}/files/{file.raw['id']}", lambda: file.raw.update(size=1)
                yield World(source, uri, "delete-file", {}, touch)
                return
            uri = f"slack://{team.id}/{general.id}/{message['ts']}"
            if kind == "reply":
                uri += f"?thread_ts={root['ts']}"
            yield World(source, uri, "delete-message", {}, lambda: message.update(text="other"), kept=True)
    finally:
        forget_sessions()


@contextmanager
def jira(cloud: bool, kind: str) -> Iterator[World]:
    with serving(cloud) as server:
        server.site.project("OPS")
        issue = server.site.issue("OPS", "How to sign in")
        source = build(server)
        if kind == "file":
            number = server.site.attach(issue, "a.env", VALUE.encode())
            size = issue.files[number][0]
            yield World(
                source,
                f"{source.top}/attachment/{number}",
                "delete-attachment",
                {},
                lambda: size.update(size=1),
            )
            return
        number = server.site.comment(issue, f"password: {VALUE}\nbye")
        touch = lambda: server.site.recomment(issue, number, "changed")  # noqa: E731
        uri = f"{source.top}/issue/{issue.id}#comment-{number}"
        yield World(source, uri, "redact-comment", {}, touch, kept=True)


@contextmanager
def confluence(cloud: bool, kind: str) -> Iterator[World]:
    wiki = Wiki()
    wiki.room("DEV")
    page = wiki.write("DEV", "Runbook", f"<p>{VALUE}</p>", "<p>clean</p>", "<p>cleaner</p>")
    comment = wiki.comment(page, f"<p>{VALUE}</p>")
    file = wiki.attach(page, "a.env", VALUE.encode())
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv(wikis.VARIABLE, wikis.TOKEN)
        if cloud:
            server: Any = stack.enter_context(ConfluenceServer(wiki, wikis.USER, wikis.TOKEN))
            source = wikis.source(server)
        else:
            server = stack.enter_context(ConfluenceCenterServer(wiki, wikis.TOKEN))
            source = wikis.source(server, user="", deployment="data-center")
        if kind == "version":
            touch: Callable[[], object] = lambda: page.revisions.pop(0)  # noqa: E731
            uri = f"{source.top}/pages/{page.id}?version=1"
            yield World(source, uri, "delete-version", {}, touch, kept=True)
        elif kind == "comment":
            name = "footer-comments" if cloud else "comments"
            edit = lambda: wiki.edit(comment, "<p>other</p>")  # noqa: E731
            yield World(source, f"{source.top}/{name}/{comment.id}", "delete-content", {}, edit)
        else:
            edit = lambda: wiki.edit(file, b"other")  # noqa: E731
            yield World(source, f"{source.top}/attachments/{file.id}", "delete-content", {}, edit)


@contextmanager
def registry() -> Iterator[World]:
    with RegistryServer() as server:
        push(server.url, "shop", registries.SHOP, "1.0", "latest")
        push(server.url, "shop", build_image([Step("COPY arm", registries.ARM)]), "other")
        digest = registries.BASE.blob.digest
        with registries.opened(server.url) as source:
            more = build_image([Step("COPY", registries.BASE), Step("COPY", registries.ARM)])
            uri = f"registry://{source.host}/shop@{digest}"
            yield World(source, uri, "delete-digest", {}, lambda: push(server.url, "shop", more, "2.0"))


WORLDS: dict[str, Callable[[], Any]] = {
    "s3 version": versioned_bucket,
    "s3 object": plain_bucket,
    "slack message": lambda: slack("message"),
    "slack reply": lambda: slack("reply"),
    "slack file": lambda: slack("file"),
    "jira comment, Cloud": lambda: jira(True, "comment"),
    "jira comment, Data Center": lambda: jira(False, "comment"),
    "jira file": lambda: jira(True, "file"),
    "confluence version, Cloud": lambda: confluence(True, "version"),
    "confluence version, Data Center": lambda: confluence(False, "version"),
    "confluence comment, Cloud": lambda: confluence(True, "comment"),
    "confluence comment, Data Center": lambda: confluence(False, "comment"),
    "confluence file": lambda: confluence(True, "file"),
    "registry layer": registry,
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with WORLDS[request.param]() as made:
        yield made


def offered(world: World) -> Any:
    return [one for one in world.source.cleanups(world.uri, world.attrs) if one.action == world.action]


def stands(world: World) -> bool:
    found = world.source.fetch(world.uri)
    if world.attrs.get("version_id"):
        found = world.source.fetch(f"{world.uri}?versionId={world.attrs['version_id']}")
    assert isinstance(found, Document | Skipped)
    if isinstance(found, Skipped):
        assert found.gone, found
        return False
    return not world.kept or VALUE.encode() in registries.body(found)


def test_it_tells_and_changes_nothing(world: World) -> None:
    (first,), (second,) = offered(world), offered(world)
    assert first == second
    assert all((first.title, first.undo, first.state))
    assert VALUE not in repr(first)
    assert stands(world)


def test_it_is_done_and_then_it_is_gone(world: World) -> None:
    done = world.source.clean(world.uri, world.attrs, world.action, redact)
    assert done
    assert not stands(world)
    with contextlib.suppress(GoneError, UnreadableError):
        world.source.clean(world.uri, world.attrs, world.action, redact)
    assert not stands(world)


def test_a_change_between_plan_and_deed_shows(world: World) -> None:
    (before,) = offered(world)
    world.touch()
    try:
        after = offered(world)
    except GoneError:
        return
    assert not after or after[0].state != before.state


def test_another_action_is_refused(world: World) -> None:
    with pytest.raises(SourceError):
        world.source.clean(world.uri, world.attrs, "format-disk", redact)
    assert stands(world)


def test_elsewhere_nothing_is_offered(world: World) -> None:
    with contextlib.suppress(SourceError):
        assert list(world.source.cleanups("other://there/1", {})) == []


def test_what_the_registry_does_not_hold_with_it_stays() -> None:
    with registry() as world:
        world.source.clean(world.uri, {}, world.action, redact)
        assert list(world.source._registry().tags("shop")) == ["other"]


def test_a_comment_that_holds_the_secret_in_pieces_is_left_alone() -> None:
    with serving() as server:
        server.site.project("OPS")
        issue = server.site.issue("OPS", "x")
        parts = [{"type": "text", "text": part} for part in ("the-secret", "-value")]
        body = {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": parts}]}
        number = server.site.comment(issue, body)
        source = build(server)
        uri = f"{source.top}/issue/{issue.id}#comment-{number}"
        with pytest.raises(UnreadableError, match="several pieces"):
            source.clean(uri, {}, "redact-comment", redact)
        assert server.asked("comment", method="PUT") == []


def test_a_token_without_the_right_is_told_what_it_lacks() -> None:
    team = small()
    try:
        with SlackServer(team, {TOKEN: frozenset({"channels:history", "channels:read"})}) as server:
            source = source_of(server)
            uri = f"slack://{team.id}/{team.channels[0].id}/{ts_of(NOON)}"
            with pytest.raises(UnreadableError, match="lacks a scope") as refused:
                source.clean(uri, {}, "delete-message", redact)
            assert "chat:write" in refused.value.hint
    finally:
        forget_sessions()


def test_every_action_that_playbooks_name_is_done_by_somebody() -> None:
    named = {step.apply for name in surfaces() for step in surface(name).clean}  # type: ignore[union-attr]
    named |= {step.apply for one in providers() for step in (*one.contain, *one.use, *one.rotate)}
    root = Path(__file__).parents[2]
    text = "".join(path.read_text() for path in root.glob("crawlers/*/cleanup.py"))
    text += (root / "unsprawl" / "revocation.py").read_text()
    known = set(re.findall(r'"((?:delete|redact|aws|slack|gitlab)-[a-z-]+)"', text))
    assert named - {""} <= known


# --- providers -----------------------------------------------------------------------------------


def test_an_access_key_is_deactivated_with_the_callers_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server() as server, keys_of_aws():
        monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", server.url)
        iam = boto3.client("iam", endpoint_url=server.url)
        iam.create_user(UserName="deploy")
        key = iam.create_access_key(UserName="deploy")["AccessKey"]
        values = {"secret": b"x", "companion.id": key["AccessKeyId"].encode()}
        (offer,) = revocations("aws.credentials", values)
        assert (offer.action, offer.state) == ("aws-deactivate-key", "Active")
        assert key["AccessKeyId"] not in repr(offer)
        assert "inactive" in revoke("aws.credentials", offer.action, values)
        (listed,) = iam.list_access_keys(UserName="deploy")["AccessKeyMetadata"]
        assert listed["Status"] == "Inactive"
        with pytest.raises(SourceError):
            revocations("aws.credentials", {"companion.id": b"AKIA" + 16 * b"A"})
        iam.delete_access_key(UserName="deploy", AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName="deploy")


def test_without_its_value_nothing_is_revoked() -> None:
    with pytest.raises(UnreadableError, match="does not keep its value"):
        revocations("aws.credentials", {})
    assert revocations("stripe.secret-key", {"secret": b"x"}) == []


class Providers(LoopbackServer):
    """Slack's and GitLab's calls with which a token ends itself."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = True

    def answer(self, request: Request) -> Answer:
        if request.path.startswith("/api/v4/"):
            if request.headers.get("private-token") != SECRET.text() or not self.alive:
                return data({"message": "401 Unauthorized"}, 401)
            self.alive = request.method != "DELETE"
            return data({"id": 7, "active": True}) if self.alive else Answer(204)
        if request.headers.get("authorization") != f"Bearer {SECRET.text()}" or not self.alive:
            return data({"ok": False, "error": "invalid_auth"})
        if request.path == "/auth.revoke":
            self.alive = False
            return data({"ok": True, "revoked": True})
        return data({"ok": True, "team_id": "T1", "user_id": "U1"})


@pytest.mark.parametrize(
    ("rule", "variable"), [("slack.bot-token", "SLACK_API_URL"), ("gitlab.personal-token", "GITLAB_URL")]
)
def test_a_token_revokes_itself(monkeypatch: pytest.MonkeyPatch, rule: str, variable: str) -> None:
    values = {"secret": SECRET.reveal()}
    with Providers() as server:
        monkeypatch.setenv(variable, server.url)
        (offer,) = revocations(rule, values)
        assert TOKEN not in repr(offer)
        assert "revoked" in revoke(rule, offer.action, values)
        assert not server.alive
        with pytest.raises(GoneError):
            revocations(rule, values)


def test_a_gitlab_token_is_sent_nowhere_unless_its_instance_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITLAB_URL", raising=False)
    with pytest.raises(UnreadableError, match="which GitLab"):
        revocations("gitlab.personal-token", {"secret": b"x" * 20})
