"""Runs the worked examples of the pages and writes what they print: ``make docs``.

An example is a block of the language ``console`` behind a comment ``<!-- example -->``. Its commands are run,
page after page, in one demo organisation; what stands below a command is what it printed. A block is written
again when it says something else, times, ids, ports and durations aside. With ``--check`` nothing is written,
and the exit code is 1 when a block is not what it should be.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from unsprawl.estate.organisation import start

__all__ = ["PAGES", "blocks", "normalised", "rewritten"]

_HERE = Path(__file__).parent
#: In the order in which they are lived through: the nights, the incident, the watch.
PAGES = ("nightly.md", "sweep.md", "watch.md")
_BLOCK = re.compile(r"(?<=<!-- example -->\n```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_SECONDS = 300
#: What a run that takes long tells every ten seconds.
_PROGRESS = re.compile(r"[\d,]+ of [\d,]+\+? units, .*")
#: The terminal that tables are drawn for; where the organisation lives, and the name that readers see of it,
#: which is as long, so that tables stay in shape.
_COLUMNS = "120"
_PLACE = Path("/tmp")  # noqa: S108  # a name of known length, and random at its end
_FOLDER = "/home/anna/acme-hq"

# What differs from run to run, and what stands for it in a comparison.
_VARIES = (
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(\.\d+)?Z?)?"), "DATE"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b\d[\d.,]* (seconds|s|ms|min|h|days|years|B|kB|MB|GB)\b"), "AMOUNT"),
    (re.compile(r"\b[0-9a-f]{8,64}\b"), "ID"),
    (re.compile(r"^[ |]*\d+ (?=[ |]*(critical|high|medium|low)\b)", re.MULTILINE), "RISK "),
    (re.compile(r"─+"), "─"),
    (re.compile(r"[ \t]+"), " "),
)


def blocks(page: str) -> Iterator[str]:
    """The examples of a page, without their fences."""
    return (match[0] for match in _BLOCK.finditer(page))


def normalised(block: str) -> list[str]:
    """Its lines without what differs from run to run."""
    for pattern, word in _VARIES:
        block = pattern.sub(word, block)
    lines = [line.strip() for line in block.strip().splitlines()]
    # Sources answer in any order, and what happened in one minute stands in any order.
    for first in ("hit ", "DATE "):
        some = iter(sorted(line for line in lines if line.startswith(first)))
        lines = [next(some) if line.startswith(first) else line for line in lines]
    return lines


def rewritten(page: str, folder: Path, environment: Mapping[str, str]) -> str:
    """The page with what its commands print now, where that is something else."""

    def again(match: re.Match[str]) -> str:
        fresh = "".join(_run(line, folder, environment) for line in _commands(match[0]))
        return match[0] if normalised(match[0]) == normalised(fresh) else fresh

    return _BLOCK.sub(again, page)


def _commands(block: str) -> Iterator[str]:
    """The lines that begin with ``$``, joined where one goes on behind a backslash."""
    command = ""
    for line in block.splitlines():
        if command or line.startswith("$ "):
            command += f"\n{line}" if command else line
            if not line.endswith("\\"):
                yield command
                command = ""


def _run(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    """A command as it was typed, with what it prints."""
    done = subprocess.run(
        ["bash", "-c", command.removeprefix("$ ")],  # noqa: S607  # whichever the reader has
        cwd=folder,
        env=environment,
        timeout=_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = [line.rstrip() for line in done.stdout.replace(str(folder), _FOLDER).splitlines()]
    printed = "".join(f"{line}\n" for line in lines if not _PROGRESS.fullmatch(line))
    return f"{command}\n{printed}"


def _pages() -> dict[str, str]:
    """All pages with examples, as they should be."""
    place = _PLACE if _PLACE.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="acme-", dir=place) as directory:
        folder = Path(directory).resolve()
        # Always the same key, so that ids stay what they are.
        (folder / "key").mkdir(mode=0o700)
        (folder / "key" / "key").write_text(bytes(range(32)).hex() + "\n", "ascii")
        (folder / "key" / "key").chmod(0o600)
        with start(folder, real_registry=False) as acme:
            environment = {
                **acme.environment(),
                "COLUMNS": _COLUMNS,
                "TERM": "dumb",
                "LC_ALL": "C.UTF-8",
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            }
            return {name: rewritten((_HERE / name).read_text("utf-8"), folder, environment) for name in PAGES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, tell what would change")
    check = parser.parse_args().check
    stale = 0
    for name, text in _pages().items():
        before = (_HERE / name).read_text("utf-8")
        if before == text:
            continue
        stale += 1
        if check:
            lines = difflib.unified_diff(
                before.splitlines(), text.splitlines(), f"docs/{name}", "now", lineterm=""
            )
            print("\n".join(lines), file=sys.stderr)
        else:
            (_HERE / name).write_text(text, encoding="utf-8")
            print(f"docs/{name}")
    if check and stale:
        print("the examples are not current; run: make docs", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
