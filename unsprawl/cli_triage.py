"""``unsprawl findings triage``: what people decide about findings, one or many, and how they take it back."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from unsprawl.cli_options import (
    Command,
    debug_option,
    finding_filters,
    output_options,
    store_options,
)
from unsprawl.cli_store import reading, writing

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.redaction import Redactor
    from unsprawl.store.findings import Filter, Store
    from unsprawl.store.triage import Decision

__all__ = ["decisions", "triage"]

_CHOICES: Final = ("false-positive", "accepted", "acknowledged", "rotated", "closed")
_LONGEST_REASON: Final = 500
_SHOWN: Final = 10
_LISTED: Final = ("table", "jsonl", "csv", "markdown")
_COLUMNS: Final = ("finding", "rule", "decision", "author", "at", "reason", "silences")


class _Day(click.ParamType[date]):
    """A day in UTC that is not over."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            day = value if isinstance(value, date) else date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no day: write 2030-12-31", param, ctx)
        if day < datetime.now(UTC).date():
            self.fail(f"{day} is over: give a day to come", param, ctx)
        return day


class _Meaning(click.Choice[str]):
    """As people write it here, or as the reports do: ``false_positive``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(str(value).replace("_", "-"), param, ctx)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Whole ids, and how many findings were left out since they stand elsewhere too."""

    findings: tuple[str, ...]
    elsewhere: int = 0


@click.command(cls=Command)
@click.argument("findings", metavar="[ID]...", nargs=-1)
@click.option("--as", "decision", type=_Meaning(_CHOICES), help="What it is.")
@click.option("--until", type=_Day(), metavar="DATE", help="The last day of an acceptance (UTC).")
@click.option("--reason", metavar="TEXT", help="Why, for whoever asks in a year. Put no secret in it.")
@click.option("--author", metavar="NAME", help="Who decides (default: the user who is logged in).")
@click.option("--undo", is_flag=True, help="Take back the newest decision about each finding.")
@click.option("--yes", "sure", is_flag=True, help="Do not ask how many findings a filter chooses.")
@click.option("--dry-run", is_flag=True, help="Change nothing: tell what would be changed.")
@click.option(
    "--confirm",
    type=click.IntRange(0),
    metavar="N",
    help="How many findings a filter is expected to choose: another number changes nothing.",
)
@store_options
@output_options(("table", "json"))
@finding_filters
@debug_option
def triage(
    findings: tuple[str, ...],
    decision: str | None,
    until: date | None,
    reason: str | None,
    author: str | None,
    undo: bool,
    dry_run: bool,
    sure: bool,
    confirm: int | None,
    store: Path | None,
    config: Path | None,
    format: str | None,
    output: Path | None,
    **filters: Any,
) -> int:
    """Say what findings are: false positives, accepted until a date, being worked on, rotated, or closed.

    Findings are named by their ids (the first digits do, as long as they are unique) or chosen by the filters
    of `findings list`. A filter chooses findings that stand nowhere else and are not decided so already,
    and asks before it changes anything; a script gives --yes, or the number that --dry-run told with
    --confirm.

    Decisions act at once: open findings whose surroundings are like those of several false positives become
    false positives too, in the store and in every later crawl, and `findings show` says like which. What
    proves itself by a checksum, or is known to work, stays open. --undo takes all of it back. The history is
    kept: `unsprawl findings decisions`.

    `rotated` says that a new credential is in use and the old one is revoked. Findings close by themselves
    once a check proves that the credential is dead and no place holds it; `closed` gives your word for the
    first half, and is refused while it stands somewhere or is known to work.

    Examples:
      unsprawl findings triage 3fa9c1 --as false-positive --reason "key of the sandbox"
      unsprawl findings triage 3fa9c1 8b02d7 --as accepted --until 2030-12-31 --reason "see OPS-12"
      unsprawl findings triage --path '**/fixtures/**' --as false-positive --reason invented --dry-run
      unsprawl findings triage 3fa9c1 --undo

    Exit codes: 0 done, 2 a wrong option or an unknown finding, 4 the store or its key failed.
    """
    from unsprawl.cli_report import choose_format, sink
    from unsprawl.recall import Change, recall
    from unsprawl.report import escape
    from unsprawl.store.audit import person

    chosen_format = choose_format(format, output, piped="table")
    if chosen_format not in ("table", "json"):
        raise click.UsageError(f"what was decided is written as table or json, not {chosen_format}")
    filtered = any(value for value in filters.values())
    _check(findings, filtered, decision, until, reason, undo)
    with writing(store, config) as (opened, loaded):
        redactor = _redactor(loaded)
        who = redactor.text(author or person())
        made = None if undo else _decision(decision or "", until, reason or "", who, redactor)
        chosen = _by_id(opened, findings) if findings else _by_filter(opened, filters, made)
        change = Change()
        if filtered and not dry_run:
            _ask(len(chosen.findings), undo, decision, confirm, sure=sure)
        if chosen.findings and not dry_run:
            if made is None:
                opened.undo(chosen.findings, who)
            else:
                opened.decide(chosen.findings, made)
            change = recall(opened)
        document = {
            "decision": "undo" if made is None else str(made.status),
            "until": until.isoformat() if until else None,
            "reason": made.reason if made else None,
            "author": who,
            "dry_run": dry_run,
            "findings": list(chosen.findings),
            "elsewhere": chosen.elsewhere,
            "silenced": list(change.silenced),
            "restored": list(change.restored),
        }
    with sink(output) as out:
        if chosen_format == "json":
            out.write(escape.json_line(document) + "\n")
        else:
            out.writelines(f"{escape.plain(line)}\n" for line in _told(document))
    return 0


@click.command(cls=Command)
@click.option("--all", "every", is_flag=True, help="Also what was taken back or replaced.")
@store_options
@output_options(_LISTED)
@debug_option
def decisions(
    every: bool, store: Path | None, config: Path | None, format: str | None, output: Path | None
) -> int:
    """List what was decided, by whom, when and why, and how many findings each decision silences.

    Examples:
      unsprawl findings decisions
      unsprawl findings decisions --all --format jsonl --output decisions.jsonl
    """
    from unsprawl.cli_report import choose_format, sink
    from unsprawl.report import escape, tables

    chosen = choose_format(format, output, piped="jsonl")
    if chosen not in _LISTED:
        raise click.UsageError(f"decisions are written as {', '.join(_LISTED)}, not {chosen}")
    with reading(store, config) as (opened, _), sink(output) as out:
        rows = list(opened.all_decisions(undone=every))
        if chosen == "jsonl":
            out.writelines(escape.json_line(row) + "\n" for row in rows)
        else:
            tables.records(_COLUMNS, [_line(row) for row in rows], chosen, out)
    return 0


def _line(row: dict[str, Any]) -> list[object]:
    until = f" until {row['until']}" if row["until"] else ""
    end = f", taken back {row['undone_at'][:10]} by {row['undone_by']}" if row["undone_at"] else ""
    decided = f"{row['decision']}{until}{end}"
    silences = row["silenced"] or None
    return [row["finding"], row["rule"], decided, row["author"], row["at"][:16], row["reason"], silences]


def _check(
    findings: tuple[str, ...],
    filtered: bool,
    decision: str | None,
    until: date | None,
    reason: str | None,
    undo: bool,
) -> None:
    """What contradicts itself is refused before the store is opened."""
    if not findings and not filtered:
        raise click.UsageError(
            "name the findings by their ids, or choose them with --rule, --source or --path"
        )
    if findings and filtered:
        raise click.UsageError("give ids or filters, not both")
    if undo:
        if decision or until or reason:
            raise click.UsageError("--undo takes a decision back: it goes without --as, --until and --reason")
        return
    if decision is None:
        raise click.UsageError(f"say what it is with --as {'|'.join(_CHOICES)}, or give --undo")
    if not (reason or "").strip():
        raise click.UsageError("give a --reason: in a year nobody will know it otherwise")
    if len(reason or "") > _LONGEST_REASON:
        raise click.UsageError(f"the --reason is longer than {_LONGEST_REASON} characters")
    if (decision == "accepted") != (until is not None):
        raise click.UsageError("--as accepted needs --until DATE, and nothing else has it")


def _decision(name: str, until: date | None, reason: str, author: str, redactor: Redactor) -> Decision:
    from unsprawl.records import Status
    from unsprawl.store.triage import Decision

    status = Status(name.replace("-", "_"))
    return Decision(status=status, reason=redactor.text(reason.strip()), author=author, until=until)


def _redactor(config: Config | None) -> Redactor:
    """A reason is stored and shown: people paste into it what they speak of."""
    from unsprawl.detectors.detector import build
    from unsprawl.redaction import Redactor

    return Redactor(build(config.rules if config else (), ()).find_spans)


def _by_id(store: Store, prefixes: tuple[str, ...]) -> _Chosen:
    return _Chosen(tuple(dict.fromkeys(store.find(prefix) for prefix in prefixes)))


def _by_filter(store: Store, filters: dict[str, Any], decision: Decision | None) -> _Chosen:
    """Findings all of whose places match: what also stands elsewhere is decided by its id alone.

    Left out are those decided so already, or, to take back (None), those about which nothing is decided.
    """
    from unsprawl.store.findings import Filter

    matching = _places(store, _filter(filters))
    standing = {it["finding"]: (it["decision"], it["until"]) for it in store.all_decisions()}
    until = decision.until.isoformat() if decision and decision.until else None
    for finding in list(matching):
        held = standing.get(finding)
        if held is None if decision is None else held == (decision.status, until):
            del matching[finding]
    all_places = _places(store, Filter())
    inside = tuple(finding for finding, count in matching.items() if count == all_places[finding])
    return _Chosen(inside, len(matching) - len(inside))


def _filter(filters: dict[str, Any]) -> Filter:
    from unsprawl.store.findings import Filter

    named = dict(filters)
    active = named.pop("only_active")
    return Filter(validity="active" if active else None, **named)


def _places(store: Store, wanted: Filter) -> Counter[str]:
    return Counter({case["finding"]: case["occurrences"] for case in store.findings(wanted)})


def _ask(count: int, undo: bool, decision: str | None, confirm: int | None, *, sure: bool) -> None:
    """A filter may choose more than was thought: the number is confirmed, by a person or by ``--confirm``.

    Who is ``sure`` is not asked.
    """
    if confirm is not None:
        if confirm != count:
            raise click.UsageError(f"the filter chooses {count} findings, not {confirm}: nothing was changed")
    elif count and not sure and sys.stdin.isatty():
        what = "take back the newest decision about" if undo else f"mark as {decision}:"
        click.confirm(f"{what} {count} findings?", abort=True, err=True)
    elif count and not sure:
        raise click.UsageError(
            f"the filter chooses {count} findings: look at them with --dry-run, then give --confirm {count}"
            " or --yes"
        )


def _told(document: dict[str, Any]) -> list[str]:
    from unsprawl.report.wording import counted

    findings = document["findings"]
    number = counted(len(findings), "finding")
    if document["decision"] == "undo":
        text = f"the newest decision about {number} {'would be' if document['dry_run'] else 'was'} taken back"
    else:
        until = f" until {document['until']}" if document["until"] else ""
        text = f"{number} {'would be' if document['dry_run'] else 'marked as'} {document['decision']}{until}"
    lines = [text[0].upper() + text[1:] + "."]
    lines += [f"  {finding}" for finding in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        lines.append(f"  and {len(findings) - _SHOWN:,} more")
    if document["elsewhere"]:
        lines.append(
            f"{counted(document['elsewhere'], 'finding')} left out, for they stand elsewhere too: "
            "decide about them by their ids."
        )
    if document["silenced"]:
        lines.append(f"{counted(len(document['silenced']), 'finding')} silenced, for they are like these:")
        lines += [f"  {finding}" for finding in document["silenced"][:_SHOWN]]
    if document["restored"]:
        lines.append(f"{counted(len(document['restored']), 'finding')} open again:")
        lines += [f"  {finding}" for finding in document["restored"][:_SHOWN]]
    return lines
