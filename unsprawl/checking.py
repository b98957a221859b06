"""Live checks of findings: where their values come from, and where the answers go.

A value is opened where the store keeps it sealed, else read again from one of its places when the
configuration of the sources is at hand. Without either the answer is ``unknown``, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from unsprawl.detectors.judging import offline
from unsprawl.examine import finding_of
from unsprawl.records import Candidate, Check, Document, Occurrence, Refetchable, Validity
from unsprawl.secret import Keys, Secret
from unsprawl.store.audit import person
from unsprawl.validity.credential import Audit, Credential, nobody, opened, unknown
from unsprawl.validity.engine import Engine
from unsprawl.validity.named import checkable

if TYPE_CHECKING:
    from unsprawl.config import Checks, Config
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.detectors.rules import Rule
    from unsprawl.store.checks import Checkable
    from unsprawl.store.findings import Store

__all__ = ["Answered", "Verifier", "age_of", "credential_of", "verify_scan"]

_log = logging.getLogger(__name__)

_UNITS: Final = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}
_DAY: Final = timedelta(days=1)
#: Places that are read again for the value of one finding, at most.
_PLACES: Final = 5
_NOWHERE: Final = "its value is not kept: crawl with `verify: true`, or give --config to read it again"
_GONE: Final = "its value is not kept, and no source has it any more"


def age_of(text: str) -> timedelta:
    """``1d`` or ``12h`` as a time."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


@dataclass(frozen=True, slots=True)
class Answered:
    """One finding and what was said of it. ``before`` is what was known until then."""

    it: Checkable
    check: Check
    asked: bool = False
    cached: bool = False
    shown: tuple[str, ...] = ()

    @property
    def before(self) -> Validity:
        return self.it.validity


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Checks findings of ``store`` by ``rules``. ``config`` lets its sources be read again.

    ``again``: an answer that is fresh still is not taken for a new one. ``detector`` finds values in what was
    read again.
    """

    store: Store
    keys: Keys
    rules: Mapping[str, Rule]
    checks: Checks
    config: Config | None = None
    detector: Callable[[], ContentDetector] | None = None
    again: bool = False
    _sources: dict[str, Refetchable | None] = field(default_factory=dict)

    def run(self, findings: Sequence[str], *, dry: bool = False) -> Iterator[Answered]:
        """Check these findings (whole ids). What is answered is stored first; a dry run asks nobody."""
        age = age_of(self.checks.max_age)
        engine = Engine(
            self.rules,
            self.checks,
            audit=self._record,
            known=lambda one: None if self.again else self.store.last_check(one.finding, age),
            accepted=lambda one: self.store.was_accepted(one.finding),
            spent=lambda account: self.store.attempts(account, _DAY),
        )
        waiting: dict[str, Checkable] = {}
        without: list[Answered] = []

        def valued() -> Iterator[Credential]:
            for it in self.store.checkable(findings):
                found = self._credential(it)
                if isinstance(found, Check):
                    without.append(Answered(it, found))
                else:
                    waiting[it.finding] = it
                    yield found

        for result in map(engine.plan, valued()) if dry else engine.check_all(valued()):
            it = waiting.pop(result.credential.finding)
            if not dry and not result.cached:
                self.store.note_answer(
                    it, result.check, asked=result.asked, account=result.account, again=age
                )
            yield Answered(it, result.check, result.asked, result.cached, result.shown)
        for one in without:
            if not dry:
                self.store.note_answer(one.it, one.check, asked=False, account="", again=age)
            yield one

    def due(self) -> Iterator[Answered]:
        """Check all findings whose check is due."""
        return self.run(self.store.checks_due())

    def _record(self, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        """No request is made that does not stand in the audit log first."""
        self.store.record(action, who=person(), subject=subject, detail=detail)

    # --- values ------------------------------------------------------------------------------

    def _credential(self, it: Checkable) -> Credential | Check:
        """The finding with its value, or why it cannot be had."""
        rule = self.rules.get(it.rule)
        if rule is None:
            return unknown("its rule is not loaded")
        if not checkable(rule):
            # Nobody could be asked: the sources need not be read for it.
            return unknown("there is no harmless question to ask about it")
        if it.sealed is not None:
            secret, companions = opened(self.keys, it.finding, it.sealed)
        elif self.config is None:
            return unknown(_NOWHERE)
        else:
            candidate = self._read_again(it.finding)
            if candidate is None:
                return unknown(_GONE)
            secret, companions = candidate.secret, dict(candidate.companions)
        return credential_of(rule, it.finding, it.fingerprint, secret, companions)

    def _read_again(self, finding: str) -> Candidate | None:
        """The finding's value as one of its places has it now."""
        from unsprawl.store.findings import Filter

        if self.detector is None:
            return None
        detector = self.detector()
        places = dict.fromkeys(
            (row["source"], str(row["uri"]).partition("!/")[0])
            for row in self.store.rows(Filter(finding=finding))
        )
        for name, uri in list(places)[:_PLACES]:
            document = self._fetched(name, uri)
            if document is None:
                continue
            with suppress(Exception):  # whatever a parser stumbles over costs this place
                for candidate in detector.scan(document):
                    if (
                        isinstance(candidate, Candidate)
                        and finding_of(self.keys, self.rules[candidate.rule], candidate) == finding
                    ):
                        return candidate
        return None

    def _fetched(self, name: str, uri: str) -> Document | None:
        from unsprawl.plugins import build_source

        entry = self.config.sources.get(name) if self.config else None
        if entry is None:
            return None
        try:
            if name not in self._sources:
                source = build_source(name, entry.type, entry.config)
                self._sources[name] = source if isinstance(source, Refetchable) else None
            again = self._sources[name]
            document = again.fetch(uri) if again else None
        except Exception as error:  # noqa: BLE001  # a source that fails costs this place, and not the others
            _log.debug("%s while reading %s again", type(error).__name__, name)
            return None
        return document if isinstance(document, Document) else None


def credential_of(
    rule: Rule, finding: str, fingerprint: str, secret: Secret, companions: Mapping[str, Secret]
) -> Credential:
    """What is checked, with what its format tells: a token that has expired need not be asked about."""
    parts = {name: value.reveal() for name, value in companions.items()}
    told = offline.check(rule, secret.reveal(), parts)
    return Credential(
        finding=finding,
        fingerprint=fingerprint,
        rule=rule.id,
        secret=Secret(secret.reveal(), rule.prefix),
        companions=companions,
        offline=told if isinstance(told, Check) else Check(Validity.UNKNOWN),
    )


def verify_scan(
    occurrences: Iterable[Occurrence],
    keys: Keys,
    rules: Mapping[str, Rule],
    checks: Checks,
    audit: Audit = nobody,
) -> dict[str, Check]:
    """The answers about what a scan found, by finding. ``occurrences`` carry their values sealed."""
    found: dict[str, Credential] = {}
    for it in occurrences:
        rule = rules.get(it.rule)
        if it.finding not in found and it.sealed is not None and rule is not None and checkable(rule):
            secret, companions = opened(keys, it.finding, it.sealed)
            found[it.finding] = credential_of(rule, it.finding, it.fingerprint, secret, companions)
    engine = Engine(rules, checks, audit=audit)
    return {result.credential.finding: result.check for result in engine.check_all(found.values())}
