"""A sweep from its values to what is told of them: what the store knows at once, then every surface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from unsprawl.errors import SourceError
from unsprawl.jobs import Options, Result
from unsprawl.jobs import sweep as read_all
from unsprawl.pipeline import Call, Stop
from unsprawl.records import Batch, Document, Skipped
from unsprawl.report.sweep import Swept, account, playbooks
from unsprawl.secret import Keys, Secret

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.detectors.rules import Rule
    from unsprawl.detectors.values.engine import Values
    from unsprawl.detectors.values.forms import Value
    from unsprawl.pipeline import Progress
    from unsprawl.report.cases import Row
    from unsprawl.store.findings import Store
    from unsprawl.store.playbook import Playbook

__all__ = ["Control", "Hits", "Outcome", "Sweep", "asked", "prepare"]

_RULE: Final = "sweep.value"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sweep has found so far, or at its end."""

    result: Result
    swept: tuple[Swept, ...]
    config: Config

    def hits(self) -> Iterator[Row]:
        """The places of given values."""
        return (row for row in self.result.rows() if row["rule"] == _RULE)

    def playbooks(self) -> dict[str, Playbook]:
        """How the exposure of each value ends, by its fingerprint."""
        surfaces = {name: source.type for name, source in self.config.sources.items()}
        return playbooks(self.swept, self.hits(), surfaces, self.config.file.name)

    def told(self, ways: Mapping[str, Playbook]) -> dict[str, Any]:
        """The ``sweep`` object of the JSON report."""
        beside = (row for row in self.result.rows() if row["rule"] != _RULE)
        return account(self.swept, self.hits(), beside, ways)


class Control:
    """Stops a running sweep, or asks it for what it has; may be called from a signal handler."""

    def __init__(self) -> None:
        self._inbox: Any = None
        self._so_far: Callable[[], Result] | None = None
        self.stopped = False

    def begun(self, inbox: Any, so_far: Callable[[], Result]) -> None:
        self._inbox, self._so_far = inbox, so_far
        if self.stopped:
            self.stop()

    def stop(self) -> None:
        """End the sweep; what was not read by then is a gap."""
        self.stopped = True
        if self._inbox is not None:
            hint = "run the same sweep again: it begins with what is deleted first"
            self._inbox.put(Stop("the sweep was stopped", hint))

    def ask(self, tell: Callable[[Result], None]) -> None:
        """Let ``tell`` have the result so far, between two batches; nothing before the reading begins."""
        so_far = self._so_far
        if self._inbox is not None and so_far is not None:
            self._inbox.put(Call(lambda: tell(so_far())))


@dataclass(frozen=True, slots=True)
class Sweep:
    """Values ready to be looked for. ``swept`` tells of each what is known before anything was read."""

    config: Config
    options: Options
    keys: Keys
    values: Values
    swept: tuple[Swept, ...]

    def run(self, control: Control, progress: Progress | None = None) -> Outcome:
        """Read every source. Raises ``ConfigError``."""
        result = read_all(
            self.config, self.options, self.keys, self.values, begun=control.begun, progress=progress
        )
        return self.outcome(result)

    def outcome(self, result: Result) -> Outcome:
        return Outcome(result, self.swept, self.config)


def prepare(
    config: Config,
    options: Options,
    keys: Keys,
    given: Sequence[Secret],
    detector: ContentDetector,
    store: Store | None,
) -> Sweep:
    """Compile the values, and ask the store what it knows of them."""
    from unsprawl.detectors.values.engine import Values
    from unsprawl.detectors.values.forms import values_of

    kinds = {one.data: _kind(one.secret, detector) for one in values_of(given)}
    values = values_of(Secret(value, rule.prefix if rule else "") for value, rule in kinds.items())
    swept = tuple(_swept(value, kinds[value.data], keys, store) for value in values)
    return Sweep(config, options, keys, Values(values), swept)


def asked(sweep: Sweep, lists: Sequence[str], say: Callable[[str], None]) -> Sweep:
    """With what lists of leaked values know. One that does not answer is told, and the sweep goes on."""
    from unsprawl import leaklists

    secrets = [value.secret for value in sweep.values.values]
    leaks: dict[int, list[str]] = {}
    for name in lists:
        try:
            found = leaklists.ask(name, secrets)
        except SourceError as error:
            say(f"not asked: {error.message}")
            continue
        for leak in found:
            leaks.setdefault(leak.number, []).append(str(leak))
    swept = tuple(replace(one, leaks=tuple(leaks.get(one.number - 1, ()))) for one in sweep.swept)
    return replace(sweep, swept=swept)


def _swept(value: Value, rule: Rule | None, keys: Keys, store: Store | None) -> Swept:
    from unsprawl.detectors.values.engine import RULE

    fingerprint = keys.fingerprint(value.secret)
    met = store.met(fingerprint) if store else None
    return Swept(
        number=value.number + 1,
        secret=value.secret.preview,
        fingerprint=fingerprint,
        kind=rule.id if rule else "",
        name=rule.name if rule else "",
        provider=rule.provider if rule else "",
        steps=(rule.remediation if rule and rule.remediation else RULE.remediation),
        stored=met.findings if met else (),
        refused=met.refused if met else (),
        known=met.known if met else (),
    )


def _kind(secret: Secret, detector: ContentDetector) -> Rule | None:
    """The rule whose format the whole value has; None for what only its surroundings would tell."""
    for item in detector.scan(Document(uri="value:", body=secret.reveal())):
        if not isinstance(item, Skipped) and item.secret == secret:
            return detector.rules.by_id[item.rule]
    return None


class Hits:
    """Tells every hit as it comes, before what ``board`` shows of the sources."""

    _MOST = 100

    def __init__(self, board: Progress, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._board, self._say, self._clock = board, say, clock
        self._begun = clock()
        self.count = 0

    def source(self, name: str, units: int | None) -> None:
        self._board.source(name, units)

    def note(self, text: str) -> None:
        self._board.note(text)

    def batch(self, batch: Batch) -> None:
        self._board.batch(batch)
        for it in batch.occurrences:
            if it.rule != _RULE:
                continue
            self.count += 1
            if self.count > self._MOST:
                continue
            views = ", ".join(view for view in it.views if view != "raw")
            seconds = self._clock() - self._begun
            line = f"hit {seconds:6.1f} s  {it.secret}  {it.url or it.path or it.uri}:{it.line}"
            line += f"  ({views})" if views else ""
            self._say(line + (f"  {it.audience}" if it.audience != "unknown" else ""))
            if self.count == self._MOST:
                self._say("more hits are told in the report alone")
