"""From finding to closed: an AWS key in four places, revoked, cleaned up, proven; put back, it reopens.

What people and unsprawl do goes over the real protocols of the demo organisation; the key is one of its IAM.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from unsprawl.cli import main
from unsprawl.estate.imagery import Step, build, layer
from unsprawl.estate.organisation import Organisation, start
from unsprawl.estate.push import push
from unsprawl.placeholders import fill
from unsprawl.records import Check, Validity
from unsprawl.secret import Secret
from unsprawl.store.findings import Store
from unsprawl.store.keys import load_keys

#: Real signatures and dead keys, where that server is there; then `unsprawl verify` is as well.
AwsServer: Any = (
    importlib.import_module("unsprawl.estate.aws_server")
    if importlib.util.find_spec("unsprawl.estate.aws_server")
    else None
)
PLACES = {"buckets", "chat", "tracker", "images"}


@dataclass
class Acme:
    """The organisation, and what its people do in it."""

    it: Organisation
    id: str = ""
    secret: str = ""
    key_status: Callable[[], str] = str

    @property
    def settings(self) -> dict[str, Any]:
        return yaml.safe_load(self.it.config.read_text())  # type: ignore[no-any-return]

    def client(self, name: str) -> Any:
        given = {"aws_access_key_id": "demo", "aws_secret_access_key": "demo", "region_name": "us-east-1"}
        return boto3.client(name, endpoint_url=self.it.s3_url, **given)  # type: ignore[call-overload]

    @property
    def text(self) -> str:
        return f"aws_access_key_id = {self.id}\naws_secret_access_key = {self.secret}\n"

    def put_in_bucket(self) -> None:
        self.client("s3").put_object(Bucket="acme-tools", Key="deploy/aws.ini", Body=self.text.encode())

    def say_in_chat(self) -> None:
        form = urllib.parse.urlencode({"channel": self.channel(), "text": self.text}).encode()
        self.ask(f"{self.it.chat_url}/chat.postMessage", form, token=True)

    def channel(self) -> str:
        told = self.ask(f"{self.it.chat_url}/conversations.list", b"", token=True)
        return str(next(one["id"] for one in told["channels"] if one["name"] == "builds"))

    def comment(self) -> None:
        url = f"{self.settings['sources']['tracker']['url']}/rest/api/3/issue/SHOP-1/comment"
        content = [
            {"type": "paragraph", "content": [{"type": "text", "text": line}]}
            for line in self.text.split("\n")
            if line
        ]
        body = json.dumps({"body": {"type": "doc", "version": 1, "content": content}}).encode()
        self.ask(url, body, kind="application/json", pair=self.pair("tracker"))

    def pair(self, name: str) -> str:
        source = self.settings["sources"][name]
        return f"{source['user']}:{self.it.env[source['token'].strip('${}')]}"

    def push_image(self) -> None:
        image = build([Step("COPY deploy /srv", layer({"srv/aws.ini": self.text.encode()}))])
        url = f"{self.it.registry_url}/token?scope=repository:team/deploy:pull"
        token = self.ask(url, None, pair=self.pair("images"))["token"]
        push(self.it.registry_url, "team/deploy", image, "1.0", headers={"Authorization": f"Bearer {token}"})

    def ask(
        self, url: str, body: bytes | None, *, token: bool = False, pair: str = "",
        kind: str = "application/x-www-form-urlencoded",
    ) -> dict[str, Any]:  # fmt: skip
        headers = {"Content-Type": kind} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {self.it.env['ACME_SLACK_TOKEN']}"
        if pair:
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        request = urllib.request.Request(url, body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)  # type: ignore[no-any-return]

    def issue_key(
        self, stack: contextlib.ExitStack, patch: pytest.MonkeyPatch, settings: dict[str, Any]
    ) -> None:
        """A key of the organisation, by the server that knows STS if it is there, else by moto's IAM."""
        if AwsServer is None:
            self.client("iam").create_user(UserName="deploy")
            key = self.client("iam").create_access_key(UserName="deploy")["AccessKey"]
            self.id, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
            patch.setenv("AWS_ENDPOINT_URL_IAM", self.it.s3_url)
            self.key_status = lambda: self.client("iam").list_access_keys(UserName="deploy")[
                "AccessKeyMetadata"
            ][0]["Status"]
            return
        server = stack.enter_context(AwsServer.AwsServer())
        server.add(AwsServer.AccessKey("demo", "demo", user="admin"))
        key = server.add(
            AwsServer.AccessKey(fill("<aws-key-id:482915736042>", "closing"), fill("<base64:40>", "closing"))
        )
        self.id, self.secret = key.id, key.secret
        hosts = ("sts.us-east-1.amazonaws.com", "iam.amazonaws.com")
        settings["checks"] = {"networks": ["127.0.0.1"], "endpoints": dict.fromkeys(hosts, server.url)}
        patch.setenv("AWS_ENDPOINT_URL_IAM", server.url)
        self.key_status = lambda: "Active" if key.active else "Inactive"

    def unsprawl(self, *arguments: str, expect: int | None = 0) -> str:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(each) for each in arguments])
        assert self.secret not in out.getvalue() + err.getvalue()
        if expect is not None:
            assert code == expect, out.getvalue() + err.getvalue()
        return out.getvalue()

    def crawl(self) -> None:
        self.unsprawl("crawl", self.it.config.name, "--quiet", expect=3)

    def rows(self) -> list[dict[str, Any]]:
        keys = load_keys(f"file:{self.it.env['UNSPRAWL_CONFIG_DIR']}/key")
        fingerprint = keys.fingerprint(Secret(self.secret))
        told = self.unsprawl("findings", "export", "--store", self.it.store.name)
        lines = [json.loads(line) for line in told.splitlines()]
        return [row for row in lines if row["fingerprint"] == fingerprint]

    def status(self) -> str:
        (status,) = {row["status"] for row in self.rows()}
        return str(status)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Acme]:
    """In this process: twenty commands would start twenty interpreters."""
    with (
        start(tmp_path_factory.mktemp("acme"), real_registry=False) as organisation,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in organisation.env.items():
            patch.setenv(name, value)
        patch.chdir(organisation.directory)
        made = Acme(organisation)
        settings = made.settings
        # A small organisation: what matters here are the four places.
        settings["sources"] = {name: settings["sources"][name] for name in sorted(PLACES)}
        settings["sources"]["buckets"]["buckets"] = ["acme-tools", "acme-finance"]
        settings["sources"]["images"]["repositories"] = ["team/deploy"]
        settings |= {"seal": "open", "owners": "OWNERS", "jobs": 1}
        (organisation.directory / "OWNERS").write_text("rule:aws.*  @cloud-team\n")
        storage = made.client("s3")
        storage.create_bucket(Bucket="acme-tools")
        storage.put_bucket_versioning(Bucket="acme-tools", VersioningConfiguration={"Status": "Enabled"})
        with contextlib.ExitStack() as stack:
            made.issue_key(stack, patch, settings)
            organisation.config.write_text(yaml.safe_dump(settings))
            yield made


def plant(acme: Acme) -> None:
    acme.put_in_bucket()
    acme.say_in_chat()
    acme.comment()
    acme.push_image()


def prove(acme: Acme, finding: str) -> None:
    """Ask whether it works: by the command where it is there, else by what IAM says of the key."""
    if AwsServer is not None:
        acme.unsprawl("verify", finding, "--config", acme.it.config.name, "--again")
        return
    status = acme.key_status()
    check = Check(Validity.INACTIVE if status == "Inactive" else Validity.ACTIVE, f"IAM: {status}")
    keys = load_keys(f"file:{acme.it.env['UNSPRAWL_CONFIG_DIR']}/key")
    with Store.open(acme.it.store, keys) as store:
        store.note_check(finding, check, "test")


def test_the_loop_closes(acme: Acme, tmp_path: Path) -> None:
    config = ("--config", acme.it.config.name)
    plant(acme)
    acme.crawl()
    rows = acme.rows()
    (finding,) = {row["finding"] for row in rows}
    assert {row["source"] for row in rows} == PLACES
    assert {row["owner"] for row in rows} == {"@cloud-team"}
    prove(acme, finding)

    # The playbook names the steps that the plan can do.
    playbook = json.loads(acme.unsprawl("playbook", finding, *config, "--format", "json"))
    offered = {step["apply"] for step in playbook["steps"] if "apply" in step}
    assert offered == {
        "aws-deactivate-key",
        "delete-version",
        "delete-message",
        "redact-comment",
        "delete-digest",
    }
    assert playbook["steps"][-1]["command"] == f"unsprawl findings refetch {finding[:12]} --config acme.yaml"

    # A plan changes nothing.
    acme.unsprawl("remediate", finding, *config, "--plan", str(tmp_path / "plan.json"))
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert {step["action"] for step in plan["steps"]} == offered
    assert plan["by_hand"] == []
    assert acme.key_status() == "Active"
    assert acme.unsprawl("findings", "refetch", finding, *config, "--format", "json", expect=1)

    # Applied, it is dead and gone, and closes with the proof.
    applied = json.loads(
        acme.unsprawl("remediate", *config, "--apply", str(tmp_path / "plan.json"), "--format", "json")
    )
    assert {step["outcome"] for step in applied["steps"]} == {"done"}
    assert acme.key_status() == "Inactive"
    prove(acme, finding)
    told = json.loads(acme.unsprawl("findings", "refetch", finding, *config, "--format", "json"))
    assert told["findings"][0]["counts"] == {"gone": 4, "stands": 0, "unknown": 0}
    assert acme.status() == "closed"
    case = json.loads(acme.unsprawl("findings", "show", finding, *config, "--format", "json"))
    assert case["proof"].startswith("no longer works (")
    assert "; gone from 4 places since " in case["proof"]

    # A crawl agrees; a plan that was done can be applied again without harm.
    acme.crawl()
    assert acme.status() == "closed"
    acme.unsprawl("remediate", *config, "--apply", str(tmp_path / "plan.json"), expect=3)

    # Somebody puts it back.
    acme.say_in_chat()
    acme.crawl()
    assert acme.status() == "reopened"

    # Everything stands in the audit log, which is whole.
    actions = [
        json.loads(line)["action"]
        for line in acme.unsprawl(
            "audit", "show", "--subject", finding, *config, "--format", "jsonl"
        ).splitlines()
    ]
    assert actions.count("cleanup.begun") == actions.count("cleanup.done") == 5
    assert actions.index("cleanup.done") < actions.index("finding.closed") < actions.index("finding.reopened")
    anchors = []
    for name in ("report.json", "report.html", "report.md"):
        acme.unsprawl("findings", "export", *config, "--output", str(tmp_path / name))
        anchors += ["--anchor", str(tmp_path / name)]
    acme.unsprawl("audit", "verify", *config, *anchors)

    # A reveal is recorded before it is shown.
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(["findings", "show", finding, *config, "--show-secrets", "--format", "json"])
    assert acme.secret in out.getvalue()
    (revealed,) = acme.unsprawl("audit", "show", "--action", "secret.", *config).splitlines()
    assert json.loads(revealed)["subject"] == finding


def test_a_plan_that_was_altered_is_refused_whole(acme: Acme, tmp_path: Path) -> None:
    config = ("--config", acme.it.config.name)
    acme.crawl()
    (finding,) = {row["finding"] for row in acme.rows()}
    acme.say_in_chat()
    acme.crawl()
    acme.unsprawl("remediate", finding, *config, "--plan", str(tmp_path / "plan.json"))
    plan = json.loads((tmp_path / "plan.json").read_text())
    messages = [step for step in plan["steps"] if step["action"] == "delete-message"]
    assert len(messages) == 2
    messages[0]["uri"] = messages[1]["uri"]
    (tmp_path / "bad.json").write_text(json.dumps(plan))
    acme.unsprawl("remediate", *config, "--apply", str(tmp_path / "bad.json"), expect=2)
    assert {row["gone_at"] for row in acme.rows() if row["uri"] == messages[1]["uri"]} == {None}
    # What a person leaves out is left.
    plan = json.loads((tmp_path / "plan.json").read_text())
    for step in plan["steps"]:
        step["do"] = step["uri"] == messages[1]["uri"]
    (tmp_path / "less.json").write_text(json.dumps(plan))
    told = json.loads(
        acme.unsprawl("remediate", *config, "--apply", str(tmp_path / "less.json"), "--format", "json")
    )
    assert sorted(step["outcome"] for step in told["steps"]).count("done") == 1
