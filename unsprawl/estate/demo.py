"""The demonstration: an organisation is started, crawled, shown, crawled again, compared with the truth."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from unsprawl.errors import ExitCode, UnsprawlError
from unsprawl.estate.organisation import Organisation, start
from unsprawl.estate.planted import MAILBOXES, PLANTED, Planted
from unsprawl.estate.truth import finding_of, misses
from unsprawl.secret import Keys

__all__ = ["run"]

_SECONDS: Final = 120
_EXPECTED: Final = (ExitCode.CLEAN, ExitCode.INCOMPLETE)


def run(*, keep: bool = False, directory: Path | None = None) -> int:
    """Show it on standard output. 0 when all that was planted was found, else 4.

    The organisation lives in ``directory`` (default: a temporary one), which is removed unless
    ``keep`` is set or it was given.
    """
    with ExitStack() as stack:
        if directory is None:
            directory = Path(
                tempfile.mkdtemp(prefix="unsprawl-demo-")
                if keep
                else stack.enter_context(tempfile.TemporaryDirectory(prefix="unsprawl-demo-"))
            )
        code = _Show(stack.enter_context(start(directory))).run()
        if keep:
            _say(f"Kept in {directory}. Its servers stop now; the store can still be looked at.")
        return code


@dataclass(frozen=True, slots=True)
class _Show:
    acme: Organisation

    def run(self) -> int:
        acme = self.acme
        cases = sum(one.cases for one in PLANTED)
        _say(
            "Acme is open, on this machine only: "
            f"a laptop, four buckets, a container registry ({acme.registry}), a container engine, "
            "a chat, a tracker, a wiki and a build system; strangers have a paste site.\n"
            f"{len(PLANTED)} secrets were planted, which make {cases} cases: one password opens "
            f"{len(MAILBOXES)} mailboxes."
        )
        self._unsprawl("the first night", "crawl", acme.config.name)
        table = ("--store", acme.store.name, "--format", "table")
        self._unsprawl("what was found", "findings", "list", *table)
        self._unsprawl("what was read, and what was not", "coverage", *table)
        rows, ledger, keys = self._rows("findings", "list"), self._rows("coverage"), self._keys()
        for planted in _shown():
            finding = finding_of(planted, rows, keys)
            if finding:
                shown = ("findings", "show", finding[:12], "--store", acme.store.name)
                self._unsprawl(f"one of them: {planted.name}", *shown)
        steps = finding_of(PLANTED[0], rows, keys)
        if steps:
            paper = ("playbook", steps[:12], "--config", acme.config.name, "--format", "table")
            self._unsprawl("the way out: revoke it, clean up, prove it", *paper)
        self._unsprawl("the second night: nothing changed, so nothing is read", "crawl", acme.config.name)
        wrong = misses(rows, ledger, keys) + self._second_night(rows)
        watch = ("watch", acme.config.name, "--once", "--format", "table")
        self._unsprawl("what strangers posted of ours", *watch)
        if wrong:
            _say("This is not as it should be:\n" + "\n".join(f"  {line}" for line in wrong))
            return int(ExitCode.FAILED)
        _say(
            f"All {cases} cases were found, on all surfaces; the second night read nothing again.\n"
            "They end with code 3, as they should: "
            "a bucket, a channel, a project, a space and a repository refuse.\n"
            "Next, something of your own: unsprawl scan PATH"
        )
        return int(ExitCode.CLEAN)

    def _second_night(self, first: list[dict[str, Any]]) -> list[str]:
        """What the second crawl changed or read, though nothing was changed."""
        lines = []
        read = sum(row["documents"] for row in self._rows("coverage"))
        if read:
            lines.append(f"the second night read {read} documents again")
        if {row["finding"] for row in self._rows("findings", "list")} != {row["finding"] for row in first}:
            lines.append("the second night has other findings than the first")
        return lines

    def _unsprawl(self, title: str, *arguments: str) -> None:
        _say(f"── {title} ──\n$ unsprawl {' '.join(arguments)}")
        ended = self._call(arguments)
        if ended.returncode not in _EXPECTED:
            raise UnsprawlError(f"unsprawl {arguments[0]} ended with code {ended.returncode}")

    def _rows(self, *command: str) -> list[dict[str, Any]]:
        arguments = (*command, "--store", self.acme.store.name, "--format", "jsonl")
        ended = self._call(arguments, stdout=subprocess.PIPE)
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def _call(self, arguments: tuple[str, ...], **streams: Any) -> subprocess.CompletedProcess[bytes]:
        program = [sys.executable, "-m", "unsprawl", *arguments]
        environment: Mapping[str, str] = self.acme.environment()
        return subprocess.run(
            program, cwd=self.acme.directory, env=environment, timeout=_SECONDS, check=False, **streams
        )

    def _keys(self) -> Keys:
        from unsprawl.store.keys import load_keys

        return load_keys(f"file:{self.acme.env['UNSPRAWL_CONFIG_DIR']}/key")


def _shown() -> tuple[Planted, ...]:
    """The two that say most: one secret on three surfaces, and one that was only thought to be deleted."""
    return PLANTED[:2]


def _say(text: str) -> None:
    # What the commands print goes to the same place: ours has to be there before it.
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()
