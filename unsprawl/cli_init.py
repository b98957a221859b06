"""``unsprawl init``: ask what there is, write a configuration, try it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from unsprawl.cli_options import Command, debug_option
from unsprawl.errors import ConfigError

__all__ = ["init"]


@dataclass(frozen=True, slots=True)
class _Ask:
    """One key of a source. ``default`` "" leaves the key out when nothing is answered.

    ``many`` splits at commas; ``secret`` asks for the name of an environment variable, never for a value.
    """

    key: str
    text: str
    default: str = ""
    many: bool = False
    secret: bool = False
    choices: tuple[str, ...] = ()


_SYSTEMS: Final = (
    *("github", "gitlab", "jenkins", "circleci", "buildkite", "azure", "bitbucket", "travis", "buildbot"),
)
#: Name of the source, its type, the question, and what has to be known of it.
_SURFACES: Final = (
    ("disk", "files", "folders on this machine or a share", (_Ask("paths", "which", ".", many=True),)),
    ("chat", "slack", "Slack", (_Ask("token", "variable with the token", "SLACK_TOKEN", secret=True),)),
    (
        "wiki", "confluence", "Confluence",
        (_Ask("url", "its address, such as https://acme.atlassian.net/wiki"),
         _Ask("user", "mail address of the account (Cloud), or nothing (Data Center)"),
         _Ask("token", "variable with the token", "ATLASSIAN_TOKEN", secret=True)),
    ),
    (
        "tracker", "jira", "Jira",
        (_Ask("url", "its address, such as https://acme.atlassian.net"),
         _Ask("user", "mail address of the account (Cloud), or nothing (Data Center)"),
         _Ask("token", "variable with the token", "ATLASSIAN_TOKEN", secret=True)),
    ),
    (
        "images", "registry", "a container registry",
        (_Ask("url", "its address, such as https://registry.acme.example"), _Ask("user", "user, or nothing"),
         _Ask("token", "variable with the password or token, or - for none", "REGISTRY_TOKEN", secret=True)),
    ),
    ("engine", "engine", "a Docker or Podman engine",
     (_Ask("base_url", "its socket", "unix:///var/run/docker.sock"),)),
    (
        "buckets", "s3", "S3 or something like it",
        (_Ask("region", "region", "eu-central-1"),
         _Ask("profile", "profile of the AWS configuration, or nothing"),
         _Ask("endpoint_url", "address, if it is not AWS")),
    ),
    (
        "builds", "ci", "a build system",
        (_Ask("system", "which", "github", choices=_SYSTEMS),
         _Ask("url", "its address, or nothing for the cloud"),
         _Ask("token", "variable with the token", "CI_TOKEN", secret=True)),
    ),
)  # fmt: skip


@click.command(cls=Command)
@click.argument("config", type=click.Path(path_type=Path), default=Path("unsprawl.yaml"))
@click.option("--try/--no-try", "attempt", default=True, help="Try the sources afterwards, as `doctor` does.")
@debug_option
def init(config: Path, attempt: bool) -> int:
    """Ask what there is, write a configuration, and try it.

    Credentials are asked for by the names of environment variables that hold them; no value is read or
    written. A file that exists is never touched.

    Examples:
      unsprawl init
      unsprawl init nightly.yaml --no-try

    Exit codes: those of `doctor`; 0 when nothing was tried.
    """
    if config.exists():
        raise ConfigError(f"{config} is there already", hint="give another name, or edit it")
    sources = dict(_sources())
    if not sources:
        raise click.UsageError("nothing was chosen, so there is nothing to crawl")
    text = _written(sources, click.prompt("Where findings are kept", default=f"{config.stem}.db"))
    # "x": whoever made the file meanwhile keeps it.
    with config.open("x", encoding="utf-8") as file:
        file.write(text)
    click.echo(f"Written to {config}. Next: unsprawl crawl {config}")
    missing = sorted(name for name in _variables(sources) if name not in os.environ)
    if missing:
        click.echo(f"Set before that: {', '.join(missing)}")
    if not attempt or missing:
        return 0
    from unsprawl.cli_doctor import doctor

    code: int = click.get_current_context().invoke(doctor, config=config, format=None, output=None)
    return code


def _sources() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, kind, what, asks in _SURFACES:
        if not click.confirm(f"Is there {what}?", default=kind == "files"):
            continue
        keys: dict[str, Any] = {"type": kind}
        for ask in asks:
            shown = click.Choice(ask.choices) if ask.choices else None
            given = str(click.prompt(f"  {ask.text}", default=ask.default, type=shown)).strip()
            if not given or given == "-":
                continue
            if ask.secret:
                given = f"${{{given.removeprefix('$').strip('{}')}}}"
            keys[ask.key] = [part.strip() for part in given.split(",")] if ask.many else given
        yield name, keys


def _variables(sources: dict[str, dict[str, Any]]) -> Iterator[str]:
    for keys in sources.values():
        for value in keys.values():
            if isinstance(value, str) and value.startswith("${"):
                yield value[2:-1]


def _written(sources: dict[str, dict[str, Any]], store: str) -> str:
    import yaml

    head = (
        "# Every key is explained in docs/configuration.md, every surface in docs/sources/.\n"
        "# Try it: unsprawl doctor; run it: unsprawl crawl; every night: docs/operations.md\n\n"
    )
    body = yaml.safe_dump({"store": store, "sources": sources}, sort_keys=False, allow_unicode=True)
    return (
        head
        + body
        + (
            "\n# Who is told what a job found (docs/alerts.md):\n"
            '# notify:\n#   - {type: slack, url: "${SLACK_WEBHOOK}"}\n'
        )
    )
