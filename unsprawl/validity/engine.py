"""Credentials in, verdicts out: whoever may not be asked, or was asked already, is not asked.

    Credential ─▶ offline proof? ─▶ trap? ─▶ known and fresh? ─▶ plan ─▶ budgets ─▶ audit ─▶ Line ─▶ Check

Whatever goes wrong on the way is ``unknown`` with its reason. Nothing here raises for one credential.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import islice
from threading import Lock
from typing import Any, Final, TypeAlias

from unsprawl.config import Checks
from unsprawl.detectors.rules import Rule
from unsprawl.records import Check, Validity
from unsprawl.structs import Struct, replace
from unsprawl.validity.addresses import Pins, Resolve, lookup, networks_of
from unsprawl.validity.budgets import Budgets
from unsprawl.validity.canaries import trap
from unsprawl.validity.credential import Audit, Credential, Refused, nobody, unknown
from unsprawl.validity.line import Dial, Line, NoAnswer, Ways, dial
from unsprawl.validity.named import plan
from unsprawl.validity.probe import Plan, Probe
from unsprawl.validity.verdict import masked

__all__ = ["Engine", "Known", "Result"]

_log = logging.getLogger(__name__)

#: What a server's words may do to a parser. All else is a defect, or an audit log that failed, and ends it.
_MISREAD: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)

#: The answer that a credential got before and that still counts, None where there is none.
Known: TypeAlias = Callable[[Credential], Check | None]


def _none(_credential: Credential) -> Check | None:
    return None


def _now() -> datetime:
    return datetime.now(UTC)


class Result(Struct, frozen=True):
    """``asked``: a request was made (and is in the audit log). ``cached``: the answer is an earlier one.

    ``shown`` is what was asked, or would be in a dry run. ``account`` is what an attempt counts against.
    """

    credential: Credential
    check: Check
    asked: bool = False
    cached: bool = False
    shown: tuple[str, ...] = ()
    account: str = ""


class Engine:
    """Checks credentials by ``rules`` as ``checks`` allow. Threads share it; used by one job.

    ``audit`` is told of every connection before it is made, and may refuse it by raising. ``known`` answers
    from the cache, ``accepted`` whether a credential has worked before, ``spent`` how many passwords of an
    account were tried within a day. ``resolve`` and
    ``connect`` are the ways out, for tests to guard.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        checks: Checks | None = None,
        *,
        audit: Audit = nobody,
        known: Known = _none,
        spent: Callable[[str], int] = lambda _: 0,
        accepted: Callable[[Credential], bool] = lambda _: False,
        resolve: Resolve = lookup,
        connect: Dial = dial,
        budgets: Budgets | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.checks = checks or Checks()
        self._rules = rules
        self._audit = audit
        self._known = known
        self._accepted = accepted
        self._ways = Ways(self.checks, Pins(resolve, networks_of(self.checks.networks)), connect)
        self._budgets = budgets or Budgets(self.checks.interval, self.checks.attempts, spent)
        self._clock = clock
        self._told = Lock()

    def plan(self, credential: Credential) -> Result:
        """What would be asked: nothing is."""
        try:
            found = self._plan(credential)
        except Refused as refused:
            return Result(credential, unknown(refused.reason))
        if isinstance(found, Check):
            return Result(credential, found)
        return Result(credential, unknown("not asked: this is a dry run"), shown=found.shown)

    def check(self, credential: Credential) -> Result:
        """The verdict on one credential, with the time at which it was had."""
        result = self._checked(credential)
        if result.cached:
            return result
        values = [credential.secret.text(), *self._hidden(credential)]
        done = replace(masked(result.check, values), checked_at=self._clock())
        return replace(result, check=done)

    def check_all(self, credentials: Iterable[Credential]) -> Iterator[Result]:
        """The verdicts as they come. Few credentials are held in memory at once."""
        waiting = iter(credentials)
        most = self.checks.concurrency
        with ThreadPoolExecutor(most, thread_name_prefix="unsprawl-check") as pool:
            running: set[Future[Result]] = set()
            while True:
                for credential in islice(waiting, most * 2 - len(running)):
                    running.add(pool.submit(self.check, credential))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    yield one.result()

    # --- one credential ----------------------------------------------------------------------

    def _plan(self, credential: Credential) -> Plan:
        if credential.offline.validity is not Validity.UNKNOWN:
            return credential.offline
        reason = trap(credential, self.checks)
        if reason:
            raise Refused(f"{reason}: not touched")
        rule = self._rules.get(credential.rule)
        if rule is None:
            raise Refused("its rule is not loaded")
        return plan(rule, credential, self.checks)

    def _checked(self, credential: Credential) -> Result:
        account = ""
        asked: list[str] = []
        try:
            found = self._plan(credential)
            if isinstance(found, Check):
                return Result(credential, found)
            before = self._known(credential)
            if before is not None:
                return Result(credential, before, cached=True, shown=found.shown)
            account = found.account
            with self._budgets.turn(found.provider):
                if account:
                    self._budgets.attempt(account)
                verdict = self._ask(credential, found, asked)
        except Refused as refused:
            verdict = unknown(refused.reason)
        except _MISREAD as error:
            _log.debug("%s while checking %s", type(error).__name__, credential.rule)
            verdict = unknown(f"the answer could not be understood ({type(error).__name__})")
        return Result(credential, verdict, bool(asked), shown=tuple(asked), account=account if asked else "")

    def _ask(self, credential: Credential, probe: Probe, asked: list[str]) -> Check:
        def told(shown: str) -> None:
            self._tell("check.request", credential, {"provider": probe.provider, "request": shown})
            asked.append(shown)

        line = Line(self._ways, probe.hosts, told)
        try:
            verdict = probe.ask(line)
        except NoAnswer as failure:
            self._budgets.failed(probe.provider)
            verdict = unknown(failure.reason)
        else:
            if line.busy is not None:
                self._budgets.busy(probe.provider, line.busy)
            elif asked:
                self._budgets.answered(probe.provider)
        if verdict.validity is Validity.INACTIVE and probe.elsewhere and not self._accepted(credential):
            verdict = unknown(
                f"{verdict.evidence}, but it may belong to another deployment of {probe.provider}"
            )
        if asked:
            detail = {"provider": probe.provider, "validity": str(verdict.validity)}
            self._tell("check.verdict", credential, detail)
        return verdict

    def _tell(self, action: str, credential: Credential, detail: Mapping[str, Any]) -> None:
        with self._told:
            self._audit(action, credential.finding, {"rule": credential.rule, **detail})

    @staticmethod
    def _hidden(credential: Credential) -> list[str]:
        shown = _SHOWN
        return [value.text() for name, value in credential.companions.items() if name not in shown]


#: Companions that say whose credential it is: they may stand in evidence.
_SHOWN: Final = frozenset({"account", "database", "host", "id", "port", "region", "scheme", "user"})
