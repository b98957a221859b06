"""``unsprawl rules``: what is looked for, and whether your own rules do what they say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unsprawl.cli_options import Command, Group, debug_option, inform, output_options
from unsprawl.cli_report import choose_format, sink
from unsprawl.errors import ExitCode

if TYPE_CHECKING:
    from unsprawl.detectors.rules import Rule

__all__ = ["rules"]

_FORMATS = ("table", "json", "jsonl", "csv", "markdown")
_COLUMNS = ("id", "provider", "severity", "kind", "offline", "check", "name")


@click.group(cls=Group)
def rules() -> None:
    """List the rules, or check your own.

    Examples:
      unsprawl rules list
      unsprawl rules check our-rules/

    Exit codes: 0 done, 2 a rule is wrong.
    """


@rules.command("list", cls=Command)
@click.option(
    "--rules",
    "paths",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    help="Rules of your own besides ours: a file or a folder, other scanners' too. Repeatable.",
)
@click.option("--exclude-rule", multiple=True, metavar="ID", help="Leave a rule out, by its id or a pattern.")
@click.option("--provider", metavar="NAME", help="Only this provider.")
@output_options(_FORMATS)
@debug_option
def list_(
    paths: tuple[Path, ...],
    exclude_rule: tuple[str, ...],
    provider: str | None,
    format: str | None,
    output: Path | None,
) -> int:
    """List every rule: what it finds, how severe that is, how it is proved, and what ends it.

    Examples:
      unsprawl rules list --provider aws
      unsprawl rules list --rules our-rules/ --format json
    """  # fmt: skip
    from unsprawl.detectors.rules import load, nearest
    from unsprawl.report import escape

    chosen = choose_format(format, output)
    if chosen not in _FORMATS:
        raise click.UsageError(f"rules are written as {', '.join(_FORMATS)}, not {chosen}")
    every = load(paths, exclude_rule).rules
    providers = {rule.provider for rule in every}
    if provider is not None and provider not in providers:
        raise click.UsageError(f"no rule is of the provider {provider!r}{nearest(provider, providers)}")
    found = [_record(rule) for rule in every if provider in (None, rule.provider)]
    with sink(output) as out:
        if chosen == "json":
            separator = "[\n  "
            for record in found:
                out.write(separator + escape.json_line(record))
                separator = ",\n  "
            out.write("\n]\n" if found else "[]\n")
        elif chosen == "jsonl":
            out.writelines(escape.json_line(record) + "\n" for record in found)
        else:
            from unsprawl.report.tables import records

            lines = ([_cell(record[name]) for name in _COLUMNS] for record in found)
            records(_COLUMNS, lines, chosen, out)
    return 0


def _record(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "provider": rule.provider,
        "name": rule.name,
        "severity": str(rule.severity),
        "kind": rule.kind,
        "check": dict(rule.check) if rule.check else None,
        "offline": rule.offline or None,
        "remediation": list(rule.remediation),
        "keywords": list(rule.keywords),
        "prefix": rule.prefix or None,
        "min_entropy": rule.min_entropy,
        "identity": list(rule.identity),
        "pattern": rule.pattern,
        "place": rule.place,
    }


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return "live"
    return "" if value is None else str(value)


@rules.command(cls=Command)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@debug_option
def check(paths: tuple[Path, ...]) -> int:
    """Check rule files: ours, or those at PATH.

    Every rule must be well-formed, find its own examples, leave its negatives alone, and be cheap to search
    for. This is the test that our rules pass. Files of Gitleaks, Betterleaks (TOML), Kingfisher and Nosey
    Parker (YAML) are translated, and what could not be is told.

    Examples:
      unsprawl rules check our-rules/
      unsprawl rules check .gitleaks.toml
    """
    from unsprawl.detectors.rulebook.rulecheck import check as run
    from unsprawl.report.wording import counted

    checked = run(paths)
    for note in checked.notes:
        inform(f"note: {note}")
    for problem in checked.problems:
        inform(f"error: {problem}")
    if checked.problems:
        return int(ExitCode.USAGE)
    notes = f", {counted(len(checked.notes), 'note')}" if checked.notes else ""
    click.echo(f"{counted(checked.rules, 'rule')}, no problems{notes}")
    return int(ExitCode.CLEAN)
