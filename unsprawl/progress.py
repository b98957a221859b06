"""How far the work is, on stderr: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

import click

from unsprawl.report.escape import plain
from unsprawl.structs import Struct, field

if TYPE_CHECKING:
    from unsprawl.records import Batch

__all__ = ["Lines", "Live", "Standing", "watching"]

#: Seconds between two lines where no terminal is.
_PAUSE_S: Final = 10.0


class Standing(Struct):
    """How far one source is."""

    name: str
    units: int = 0
    listed: bool = False
    done: int = 0
    failed: int = 0
    documents: int = 0
    unchanged: int = 0
    read_bytes: int = 0
    occurrences: int = 0
    findings: set[str] = field(default_factory=set)

    def take(self, batch: Batch) -> None:
        self.documents += batch.counts.documents
        self.unchanged += batch.counts.unchanged
        self.read_bytes += batch.counts.read_bytes
        self.done += batch.done
        self.failed += batch.failure is not None
        self.findings.update(each.finding for each in batch.occurrences)


class _Board:
    """The standing of every source, fed by the pipeline."""

    def __init__(self) -> None:
        self.sources: dict[str, Standing] = {}
        self.started = time.monotonic()
        self.lock = threading.Lock()

    def source(self, name: str, units: int | None) -> None:
        with self.lock:
            standing = self._of(name)
            if units is None:
                standing.listed = True
            else:
                standing.units = units
        self.shown()

    def batch(self, batch: Batch) -> None:
        with self.lock:
            self._of(batch.source).take(batch)
        self.shown()

    def note(self, text: str) -> None:
        self.say(text)

    def _of(self, name: str) -> Standing:
        if name not in self.sources:
            self.sources[name] = Standing(name)
        return self.sources[name]

    def speed(self, standing: Standing) -> float:
        """Bytes a second."""
        return standing.read_bytes / max(0.001, time.monotonic() - self.started)

    def shown(self) -> None:
        """Something changed."""

    def say(self, text: str) -> None:
        click.echo(plain(text), err=True)


class Lines(_Board):
    """One line for all sources, at most every ``pause`` seconds: for logs of schedulers."""

    def __init__(self, pause: float = _PAUSE_S, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._pause = pause
        self._last = clock()

    def shown(self) -> None:
        now = self._clock()
        if now - self._last < self._pause:
            return
        self._last = now
        from unsprawl.report.wording import size

        with self.lock:
            all_of = list(self.sources.values())
        done, units = sum(s.done for s in all_of), sum(s.units for s in all_of)
        documents = sum(s.documents for s in all_of)
        read = sum(s.read_bytes for s in all_of)
        findings = len(set().union(*(s.findings for s in all_of)))
        self.say(
            f"{done:,} of {units:,}{'' if all(s.listed for s in all_of) else '+'} units, "
            f"{documents:,} documents, "
            f"{size(read)}, {findings:,} findings"
        )


class Live(_Board):
    """A line a source, redrawn a few times a second."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live as Screen

        self._console = Console(file=sys.stderr, stderr=True, markup=False, highlight=False, emoji=False)
        self._screen = Screen(
            get_renderable=self._draw, console=self._console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._screen.stop()

    def say(self, text: str) -> None:
        self._console.print(plain(text))

    def _draw(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        from unsprawl.report.wording import size

        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True, max_width=24, overflow="ellipsis")
        grid.add_column(width=20)
        for _ in range(4):
            grid.add_column(no_wrap=True, justify="right")
        with self.lock:
            for each in self.sources.values():
                over = each.listed and each.done >= each.units
                bar: Any = (
                    ProgressBar(total=max(1, each.units), completed=each.done or (each.units == 0), width=20)
                    if each.listed
                    else Spinner("line", "listing")
                )
                failed = f", {each.failed} failed" if each.failed else ""
                found = len(each.findings)
                grid.add_row(
                    Text(plain(each.name), style="green" if over else "bold"),
                    bar,
                    Text(f"{each.done:,}/{each.units:,}{'' if each.listed else '+'} units{failed}"),
                    Text(f"{each.documents:,} read, {each.unchanged:,} unchanged", style="dim"),
                    Text(f"{size(each.read_bytes)} {size(int(self.speed(each)))}/s", style="dim"),
                    Text(f"{found:,} found", style="bold red" if found else "dim"),
                )
        return grid


@contextmanager
def watching(quiet: bool) -> Iterator[_Board | None]:
    """The progress that fits stderr; None when nobody wants to see it."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with Live() as live:
            yield live
    else:
        yield Lines()
