"""Acme: a laptop, storage, images, an engine, a chat, a tracker, a wiki, a build system, and a
paste site of strangers, all on this machine while it is open.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from unsprawl.estate.actions_server import ActionsServer, StorageServer
from unsprawl.estate.confluence_server import ConfluenceServer
from unsprawl.estate.contents import (
    CLOSED_BUCKET,
    VERSIONED_BUCKET,
    containers,
    images,
    local_images,
    objects,
    write_files,
)
from unsprawl.estate.engine_server import EngineServer
from unsprawl.estate.issues import tracker
from unsprawl.estate.jira_server import JiraServer
from unsprawl.estate.pages import wiki
from unsprawl.estate.paste_server import PasteServer
from unsprawl.estate.pastes import fill_pastes
from unsprawl.estate.pipelines import builds
from unsprawl.estate.planted import canary
from unsprawl.estate.push import push
from unsprawl.estate.registry_server import Access, RegistryServer
from unsprawl.estate.s3_server import CREDENTIALS, S3Server, s3_server
from unsprawl.estate.servers import docker_registry, has_docker_registry
from unsprawl.estate.slack_contents import workspace, write_export
from unsprawl.estate.slack_server import SlackServer

__all__ = ["Organisation", "start"]

_USER: Final = "auditor"
_CANARY_VARIABLE: Final = "ACME_CANARY"
_PASSWORD_VARIABLE: Final = "ACME_REGISTRY_TOKEN"  # noqa: S105 - the name of a variable
_CHAT_VARIABLE: Final = "ACME_SLACK_TOKEN"
_TRACKER_VARIABLE: Final = "ACME_TRACKER_TOKEN"
_BUILDS_VARIABLE: Final = "ACME_BUILDS_TOKEN"
_WIKI_VARIABLE: Final = "ACME_WIKI_TOKEN"
_WIKI_USER: Final = "auditor@acme.internal"
_PASSWORD: Final = "demo"  # noqa: S105 - of a server that only this process talks to


@dataclass(frozen=True, slots=True)
class Organisation:
    """Where it stands. ``env`` is what a crawl needs in its environment, and what keeps it to itself."""

    directory: Path
    config: Path
    store: Path
    env: Mapping[str, str]
    s3_url: str
    registry_url: str
    chat_url: str
    registry: str
    """Which registry serves: ``docker-registry`` or ``built in``."""
    pastes: PasteServer

    def environment(self) -> dict[str, str]:
        """The present environment with ``env`` on top and nobody's own cloud settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**kept, **self.env}


@contextlib.contextmanager
def start(directory: Path, *, real_registry: bool | None = None) -> Iterator[Organisation]:
    """Start the servers, seed them, write the configuration. What is there already is left as it is.

    ``real_registry`` chooses between ``docker-registry`` and the built-in one; None takes the real
    one when it is installed.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    ports = _Ports(directory / "ports.json")
    write_files(directory / "laptop")
    write_export(directory / "exports" / "slack.zip")
    real = has_docker_registry() if real_registry is None else real_registry
    with ExitStack() as stack:
        storage = ports.take("s3", lambda port: stack.enter_context(s3_server(port)), lambda one: one.url)
        _fill_buckets(storage)
        chat = ports.take(
            "chat",
            lambda port: stack.enter_context(SlackServer(workspace(), {_PASSWORD: None}, port)),
            lambda one: one.root,
        )
        if real:
            url = ports.take(
                "registry",
                lambda port: stack.enter_context(docker_registry(directory / "registry", port)),
                lambda one: one,
            )
            _push_images(url, {})
        else:
            server = ports.take(
                "registry", lambda port: stack.enter_context(RegistryServer(port=port)), lambda one: one.url
            )
            url = server.url
            _push_images(url, {})
            server.access = Access(users={_USER: _PASSWORD})
        jira = ports.take(
            "tracker", lambda port: stack.enter_context(JiraServer(tracker(), port)), lambda one: one.url
        )
        pages = ports.take(
            "wiki",
            lambda port: stack.enter_context(ConfluenceServer(wiki(), _WIKI_USER, _PASSWORD, port)),
            lambda one: one.url,
        )
        engine = ports.take(
            "engine", lambda port: stack.enter_context(EngineServer(port)), lambda one: one.url
        )
        engine.images, engine.containers = local_images(), containers()
        pastes = ports.take(
            "pastes", lambda port: stack.enter_context(fill_pastes(PasteServer(port))), lambda one: one.url
        )
        logs = ports.take("logs", lambda port: stack.enter_context(StorageServer(port)), lambda one: one.url)
        actions = ports.take(
            "builds",
            lambda port: stack.enter_context(ActionsServer(builds(), _PASSWORD, logs, port)),
            lambda one: one.url,
        )
        registry = "docker-registry" if real else "built in"
        yield _organisation(
            directory, storage.url, url, chat.url, registry, jira, pages, engine.url, pastes, actions
        )


def _organisation(
    directory: Path,
    s3_url: str,
    registry_url: str,
    chat_url: str,
    registry: str,
    jira: JiraServer,
    pages: ConfluenceServer,
    engine_url: str,
    pastes: PasteServer,
    actions: ActionsServer,
) -> Organisation:
    store, config = directory / "unsprawl.db", directory / "acme.yaml"
    until = (datetime.now(UTC) + timedelta(days=365)).date()
    content: dict[str, Any] = {
        "store": store.name,
        "sources": {
            "laptop": {"type": "files", "paths": ["laptop"]},
            "buckets": {
                "type": "s3",
                "endpoint_url": s3_url,
                "region": CREDENTIALS["AWS_DEFAULT_REGION"],
                "accept": [
                    {
                        "match": "s3://acme-archive/2019/*",
                        "why": "in cold storage since 2020, written before there were tokens",
                        "until": until.isoformat(),
                    }
                ],
            },
            "images": {
                "type": "registry",
                "url": registry_url,
                "user": _USER,
                "token": f"${{{_PASSWORD_VARIABLE}}}",
            },
            "build-host": {"type": "engine", "base_url": engine_url},
            "chat": {"type": "slack", "token": f"${{{_CHAT_VARIABLE}}}", "base_url": chat_url},
            "chat-export": {"type": "slack", "export": "exports/slack.zip"},
            "tracker": {
                "type": "jira",
                "url": jira.url,
                "user": jira.user,
                "token": f"${{{_TRACKER_VARIABLE}}}",
            },
            "wiki": {
                "type": "confluence",
                "url": pages.site,
                "user": _WIKI_USER,
                "token": f"${{{_WIKI_VARIABLE}}}",
            },
            "pastes": {
                "type": "paste",
                "feed": "pastebin",
                "url": pastes.url,
                "request_interval": 0,
                "every": "1s",
            },
            "builds": {
                "type": "ci",
                "system": "github",
                "url": actions.url,
                "token": f"${{{_BUILDS_VARIABLE}}}",
            },
        },
        "watch": {"domains": ["acme.internal"]},
    }
    for name in ("laptop", "buckets", "images", "chat", "tracker", "wiki", "builds"):
        content["sources"][name]["canaries"] = [{"name": "acme", "value": f"${{{_CANARY_VARIABLE}}}"}]
    # The name of a temporary folder may look like a secret: the store does not tell where that canary stands.
    content["sources"]["laptop"]["canaries"][0]["at"] = str(directory / "laptop" / "shop" / "README.md")
    import yaml

    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    config.write_text(f"# The demo organisation, written by unsprawl.\n{text}", encoding="utf-8")
    env = {
        **CREDENTIALS,
        "AWS_CONFIG_FILE": str(directory / "no-such-file"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "no-such-file"),
        "UNSPRAWL_CONFIG_DIR": str(directory / "key"),
        _PASSWORD_VARIABLE: _PASSWORD,
        _CHAT_VARIABLE: _PASSWORD,
        _TRACKER_VARIABLE: jira.token,
        _WIKI_VARIABLE: _PASSWORD,
        _BUILDS_VARIABLE: _PASSWORD,
        _CANARY_VARIABLE: canary(),
        "NO_PROXY": "127.0.0.1,localhost",
    }
    return Organisation(directory, config, store, env, s3_url, registry_url, chat_url, registry, pastes)


def _fill_buckets(storage: S3Server) -> None:
    client = storage.client()
    made: set[str] = set()
    for bucket, key, body, more in objects():
        if bucket not in made:
            client.create_bucket(Bucket=bucket)
            made.add(bucket)
        if bucket == VERSIONED_BUCKET:
            status = {"Status": "Enabled"}
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
        if body is None:
            client.delete_object(Bucket=bucket, Key=key)
            continue
        client.put_object(Bucket=bucket, Key=key, Body=body, **more)
    client.close()
    storage.closed.add(CLOSED_BUCKET)


def _push_images(url: str, headers: Mapping[str, str]) -> None:
    for repository, tags, image in images():
        push(url, repository, image, *tags, headers=headers)


class _Ports:
    """Remembers the ports, for addresses are part of what a thing is called: a moved server is a new one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        self._known: dict[str, int] = known if isinstance(known, dict) else {}

    def take(self, name: str, begin: Any, url_of: Any) -> Any:
        """Begin on the port of the last time, on another when that is taken."""
        try:
            server = begin(self._known.get(name, 0))
        except OSError:
            server = begin(0)
        self._known[name] = int(url_of(server).rpartition(":")[2])
        self._file.write_text(json.dumps(self._known), encoding="utf-8")
        return server
