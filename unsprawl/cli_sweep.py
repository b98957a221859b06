"""``unsprawl sweep``: every copy of these values, on every surface, now."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from unsprawl.cli_options import (
    Command,
    debug_option,
    detection_options,
    inform,
    output_options,
    quiet_option,
    session,
)
from unsprawl.cli_report import choose_format, deliver, exit_code, fail_on_option, report_of
from unsprawl.errors import ConfigError, ExitCode, StoreError
from unsprawl.report.casefile import kept_as
from unsprawl.report.cases import tally
from unsprawl.report.wording import counted
from unsprawl.structs import replace

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.given import Chosen
    from unsprawl.jobs import Options, Result
    from unsprawl.report.sweep import Swept
    from unsprawl.secret import Keys, Secret
    from unsprawl.store.findings import Store
    from unsprawl.sweep import Control, Outcome

__all__ = ["sweep"]

#: What the store knows of the values is told before the reading begins, for so many values.
_TOLD: Final = 20
_LISTS: Final = ("hmsl", "hibp")


@click.command(cls=Command)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--values", metavar="FILE|-", help="The leaked values, one a line; private keys as they are.")
@click.option(
    "--paste", metavar="FILE|URL|-", help="A text in which they leaked: all that the rules see in it."
)
@click.option(
    "--finding", multiple=True, metavar="ID", help="The value of a finding in the store. Repeatable."
)
@click.option("--rule", metavar="ID", help="All values of this rule, or of a pattern (`aws.*`).")
@click.option("--author", metavar="NAME", help="All values that somebody wrote whose name holds this.")
@click.option(
    "--ask", type=click.Choice(_LISTS), multiple=True,
    help="Ask a list of leaked values too: hmsl (HasMySecretLeaked) or hibp (Pwned Passwords). Repeatable.",
)  # fmt: skip
@click.option(
    "--store", type=click.Path(path_type=Path), metavar="FILE",
    help="The store, instead of the one the configuration names.",
)  # fmt: skip
@output_options()
@detection_options
@fail_on_option("any")
@click.option("--show-secrets", is_flag=True, help="Show the values. Mind who reads the output.")
@quiet_option
@debug_option
def sweep(
    config: Path,
    values: str | None,
    paste: str | None,
    finding: tuple[str, ...],
    rule: str | None,
    author: str | None,
    ask: tuple[str, ...],
    store: Path | None,
    format: str | None,
    output: Path | None,
    jobs: int | None,
    rules: tuple[Path, ...],
    exclude_rule: tuple[str, ...],
    min_confidence: float | None,
    since: datetime | None,
    verify: bool | None,
    fail_on: str,
    show_secrets: bool,
    quiet: bool,
) -> int:
    """Find every copy of leaked values on every surface.

    The values are looked for exactly as they are, in every view and encoding, on all sources at once,
    beginning with what is deleted first. Everything is read anew, whatever earlier crawls have seen, and
    their cursors stay where they are. Values are never stored; the store is asked what it knows of them.

    With --values, --paste and --finding, --since leaves out what was last modified before. With --rule and
    --author, or alone, it chooses the values: those written since.

    With --ask five digits of a hash of each value go to a list of leaked values; nothing else ever leaves for
    a third party.

    Ctrl-C and SIGTERM end the sweep with a report of what was found so far; SIGUSR1 writes one and goes on.

    Examples:
      unsprawl sweep sweep.yaml --values leaked.txt
      pass show ci/token | unsprawl sweep sweep.yaml --values - --output report.html
      unsprawl sweep sweep.yaml --finding 3fa1c2
      unsprawl sweep sweep.yaml --paste https://paste.example/raw/x7Fq
      unsprawl sweep sweep.yaml --author mallory --since 30d

    Exit codes:
      0  no copy found, everything read
      1  copies found
      2  a wrong option, configuration or value
      3  something could not be read, or the sweep was stopped (wins over 1)
      4  the store or its key failed, or no source could be read at all
    """  # fmt: skip
    from unsprawl.config import load

    loaded = load(config)
    if store is not None:
        loaded = replace(loaded, store=store.absolute())
    direct = bool(values or paste or finding)
    if not (direct or rule or author or since):
        raise click.UsageError(
            "say what to sweep for: --values, --paste, --finding, --rule, --author or --since"
        )
    if direct and (rule or author):
        raise click.UsageError("--rule and --author choose values themselves: leave out the other ways")
    if values == "-" and paste == "-":
        raise click.UsageError("only one of --values and --paste can be standard input")
    wanted = choose_format(format, output)

    from unsprawl.detectors.detector import build
    from unsprawl.given import Chosen, of_text, read_lines, read_text
    from unsprawl.jobs import Options
    from unsprawl.store.keys import load_keys
    from unsprawl.sweep import Control, prepare

    options = Options(
        jobs=jobs, rules=rules, exclude_rules=exclude_rule, min_confidence=min_confidence,
        show_secrets=show_secrets, since=since if direct else None,
        verify=verify if verify is not None else loaded.verify, debug=session().debug,
    )  # fmt: skip
    keys = load_keys(loaded.key, create=not loaded.store.exists())
    detector = build((*loaded.rules, *rules), (*loaded.exclude_rules, *exclude_rule))
    given: list[Secret] = []
    if values:
        given += read_lines(read_text(values, sys.stdin.buffer))
    if paste:
        given += of_text(read_text(paste, sys.stdin.buffer), "paste", detector)
    with ExitStack() as stack:
        opened = _opened(loaded, keys, stack)
        unknown: tuple[str, ...] = ()
        if finding or not direct:
            if finding and opened is None:
                raise ConfigError(
                    f"there is no store at {loaded.store}", hint="--finding needs one; or --values"
                )
            chosen = Chosen(
                findings=tuple(opened.find(one) for one in finding) if opened else (),
                rule=rule,
                author=author,
                since=None if direct else since,
            )
            found, unknown = _of_findings(loaded, options, keys, chosen, opened, detector, quiet)
            given += found
        if not given:
            raise ConfigError(
                "there is no value to sweep for",
                hint="the text holds none, or no finding was chosen whose value can be read",
            )
        job = prepare(loaded, options, keys, given, detector, opened)
    if ask:
        from unsprawl.sweep import asked

        job = asked(job, ask, inform)
    if not quiet:
        _tell_known(job.swept)
    if loaded.store.exists():
        _remember(loaded, keys, job.swept)
    control = Control()

    def write(outcome: Outcome, *, at_end: bool) -> ExitCode:
        rows = outcome.hits
        code = exit_code(outcome.result, tally(rows()), fail_on)
        if unknown and code in (ExitCode.CLEAN, ExitCode.FINDINGS):
            code = ExitCode.INCOMPLETE
        report = _report(config, outcome, code, control.stopped or not at_end, unknown)
        if output is not None or at_end:
            deliver(report, wanted, output, quiet=quiet)
        return code

    session().when_stopped = "nothing was stored"

    def so_far(result: Result) -> None:
        write(job.outcome(result), at_end=False)

    with _signals(control, so_far, output):
        with _watching(quiet) as progress:
            outcome = job.run(control, progress)
        code = write(outcome, at_end=True)
    for line in unknown:
        inform(line)
    if code is ExitCode.FAILED:
        click.echo("error: no source could be read at all", err=True)
    return int(code)


def _opened(config: Config, keys: Keys, stack: ExitStack) -> Store | None:
    from unsprawl.store.findings import Store

    if not config.store.exists():
        return None
    return stack.enter_context(Store.open(config.store, keys, readonly=True))


def _of_findings(
    config: Config,
    options: Options,
    keys: Keys,
    chosen: Chosen,
    store: Store | None,
    detector: ContentDetector,
    quiet: bool,
) -> tuple[list[Secret], tuple[str, ...]]:
    """The values of the chosen findings, and a line for each that has none any more.

    What the store does not know, because there is none or it keeps no values, is read from the sources.
    """
    from unsprawl.given import of_findings
    from unsprawl.jobs import sweep as read_all
    from unsprawl.progress import watching
    from unsprawl.secret import Secret

    values: list[Secret] = []
    lost: dict[str, str] = {}
    if store is not None:
        values, missing = of_findings(store, keys, config, chosen, lambda: detector)
        lost = {one.fingerprint: one.finding for one in missing}
    if not lost and (values or chosen.findings):
        return values, ()
    if not quiet:
        inform("The values are read from the sources first: the store does not keep them.")
    clear = replace(options, show_secrets=True, since=None)
    with watching(quiet) as progress:
        result = read_all(config, clear, keys, None, progress=progress)
    known = {keys.fingerprint(value) for value in values}
    for row in result.rows():
        fingerprint = row["fingerprint"]
        if fingerprint not in known and (fingerprint in lost or chosen.admits(row)):
            known.add(fingerprint)
            lost.pop(fingerprint, None)
            values.append(Secret(row["secret"]))
    return values, tuple(
        f"not swept for: finding {finding}: its value is not kept and stands nowhere any more"
        for finding in lost.values()
    )


def _remember(config: Config, keys: Keys, swept: Sequence[Swept]) -> None:
    """Let the store know the fingerprints: who finds such a value later is told that it was swept for."""
    from datetime import UTC

    from unsprawl.store.findings import Store
    from unsprawl.store.known import Swept as Remembered

    day = datetime.now(UTC).date().isoformat()
    try:
        with Store.open(config.store, keys) as store:
            store.remember_known([Remembered(one.fingerprint, day) for one in swept])
    except StoreError as error:
        # A store that can only be read is no reason not to sweep.
        inform(f"not remembered in the store: {error.message}")


def _tell_known(swept: Sequence[Swept]) -> None:
    """What is known at once, before anything is read."""
    told = [one for one in swept if one.stored or one.refused or one.known]
    inform(f"Sweeping for {counted(len(swept), 'value')}.")
    for one in told[:_TOLD]:
        for case in one.stored:
            inform(
                f"known  {one.secret}  finding {case['finding'][:12]}, {case['status']}, "
                f"{counted(case['places'], 'place')}, last seen {case['last_seen'][:10]}"
            )
        for place in one.refused[:3]:
            inform(f"known  {one.secret}  was held for no credential: {place['uri']}:{place['line']}")
        for entry in one.known:
            inform(f"known  {one.secret}  {kept_as(entry)}")
    if len(told) > _TOLD:
        inform(f"known  and {len(told) - _TOLD:,} more values")


def _report(config: Path, outcome: Outcome, code: ExitCode, partial: bool, unknown: Sequence[str]) -> Any:
    from unsprawl.detectors.values.engine import RULE
    from unsprawl.report.sweep import sections

    ways = outcome.playbooks()
    told = {**outcome.told(ways), "partial": partial, "not_swept": list(unknown)}
    title = f"Sweep of {config.name}{' (so far)' if partial else ''}"
    report = report_of(title, outcome.result, outcome.hits, code, {RULE.id: RULE})
    return replace(report, facts={**report.facts, "sweep": told}, sections=sections(told), playbooks=ways)


@contextmanager
def _watching(quiet: bool) -> Iterator[Any]:
    from unsprawl.progress import watching
    from unsprawl.sweep import Hits

    with watching(quiet) as board:
        yield None if board is None else Hits(board, board.say, time.monotonic)


@contextmanager
def _signals(control: Control, tell: Callable[[Result], None], output: Path | None) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the sweep in order, the second at once; SIGUSR1 asks for a report."""

    def stop(number: int, _frame: Any) -> None:
        if control.stopped:
            signal.signal(number, kept[number] or signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            inform("\nStopping; the report follows. Once more to stop at once.")
            control.stop()

    def ask(_number: int, _frame: Any) -> None:
        if output is not None:
            control.ask(tell)

    wanted: dict[int, Any] = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if hasattr(signal, "SIGUSR1"):
        wanted[signal.SIGUSR1] = ask
    kept = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
