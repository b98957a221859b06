"""Clean-ups and revocations: first a plan that changes nothing, then, reviewed, its steps one by one.

    plan    asks each surface what could be done at each place, and what is there now
    apply   does the steps that are left, each only if what is there is what the plan was made for

A step that was written by us bears a seal: a person may take steps out, nobody can put others in. What was
begun stands in the audit log before it is done, so that a plan that was killed can be applied again.
"""

from __future__ import annotations

import contextlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from unsprawl.errors import ConfigError, GoneError, SourceError, UnsprawlError
from unsprawl.examine import Examiner, defect
from unsprawl.printable import printable
from unsprawl.records import Cleanable, Cleanup, Document, Refetchable, Source, Status
from unsprawl.revocation import revocations, revoke
from unsprawl.secret import Keys
from unsprawl.store.rows import timestamp
from unsprawl.store.triage import SETTLED
from unsprawl.structs import replace

if TYPE_CHECKING:
    from unsprawl.config import Config
    from unsprawl.store.findings import Store
    from unsprawl.store.places import Place

__all__ = ["Done", "Open", "apply", "plan", "read_plan"]

_VERSION: Final = 1
#: A plan that nobody has applied for so long speaks of another world.
_GOOD_FOR: Final = timedelta(days=7)
_MASK: Final = "…"
_SEALED: Final = (
    "finding",
    "secret",
    "rule",
    "source",
    "uri",
    "action",
    "title",
    "undo",
    "state",
    "attrs",
    "made_at",
)
#: What a clean-up may have to know of a place, beyond its address.
_ATTRS: Final = ("version_id",)
_LARGEST_PLAN: Final = 16 << 20
_PROVIDER: Final = ""

Outcome: TypeAlias = Literal["done", "refused", "left"]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one step: ``refused`` with the reason, ``left`` out by whoever reviewed the plan."""

    number: int
    finding: str
    title: str
    outcome: Outcome
    reason: str = ""
    hint: str = ""


@dataclass(slots=True)
class Open:
    """What a plan is made and applied with. Sources are built when they are first needed."""

    store: Store
    config: Config
    keys: Keys
    examiner: Callable[[], Examiner]
    who: str
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    _sources: dict[str, Source | UnsprawlError] = field(default_factory=dict)

    def source(self, name: str) -> Source:
        """A source of the configuration. Raises what keeps it from being built."""
        if name not in self._sources:
            from unsprawl.workers import sources_of

            try:
                built = sources_of(self.config, {name})
                self._sources[name] = built.get(name) or ConfigError(
                    f"no source {name} is configured", hint="give the configuration with which it was crawled"
                )
            except UnsprawlError as error:
                self._sources[name] = error
        held = self._sources[name]
        if isinstance(held, UnsprawlError):
            raise held
        return held

    def close(self) -> None:
        """Give the sources' connections back."""
        for source in self._sources.values():
            close = getattr(source, "close", None)
            if callable(close):
                with contextlib.suppress(SourceError):
                    close()


# --- the plan ----------------------------------------------------------------------------------------


def plan(opened: Open, findings: Sequence[str]) -> dict[str, Any]:
    """What could be done about these findings, as the document that a person reviews. Changes nothing."""
    steps: list[dict[str, Any]] = []
    by_hand: list[dict[str, str]] = []
    for finding in findings:
        case = opened.store.finding(finding)
        for source, uri, attrs, look in _looks(opened, case):
            try:
                offered = look()
            except GoneError:
                continue
            except UnsprawlError as error:
                by_hand.append(_by_hand(finding, source, uri, error.message, error.hint))
                continue
            except Exception as error:  # noqa: BLE001
                broken = defect(error, uri, "asking what could be done")
                by_hand.append(_by_hand(finding, source, uri, broken.reason, broken.hint))
                continue
            if not offered:
                by_hand.append(_by_hand(finding, source, uri, "nothing can be done here safely", _PLAYBOOK))
            steps += [_step(opened, case, source, uri, attrs, one) for one in offered]
    for number, step in enumerate(steps, 1):
        step["number"] = number
    opened.store.record(
        "cleanup.planned", who=opened.who, subject="", detail={"findings": len(findings), "steps": len(steps)}
    )
    return {
        "unsprawl_plan": _VERSION,
        "made_at": timestamp(opened.now),
        "made_by": opened.who,
        "key": opened.keys.id,
        "how_to": "Review each step; set `do` to false, or take it out, where it is not to be done. Then: "
        "unsprawl remediate --apply THIS_FILE --config CONFIG",
        "steps": [{"number": step.pop("number"), "do": True, **step} for step in steps],
        "by_hand": by_hand,
    }


_PLAYBOOK: Final = "`unsprawl playbook` says how"
_Look: TypeAlias = "tuple[str, str, dict[str, Any], Callable[[], Sequence[Cleanup]]]"


def _looks(opened: Open, case: Mapping[str, Any]) -> Iterator[_Look]:
    """Where something may be done: at the provider, then at each document of the finding."""
    finding = case["finding"]
    values = opened.store.sealed_values(finding)
    yield _PROVIDER, "", {}, lambda: _offered_by_provider(case["rule"], values)
    done: set[tuple[str, str, str]] = set()
    for place in opened.store.places(finding):
        attrs = {name: place.attrs[name] for name in _ATTRS if name in place.attrs}
        key = (place.source, _target(place), repr(attrs))
        if key not in done:
            done.add(key)
            yield place.source, _target(place), attrs, _place_look(opened, place, attrs)


def _target(place: Place) -> str:
    return place.document_uri


def _place_look(opened: Open, place: Place, attrs: dict[str, Any]) -> Callable[[], Sequence[Cleanup]]:
    def look() -> Sequence[Cleanup]:
        uri = _target(place)
        if _MASK in uri:
            raise ConfigError("its address held a secret, so it was masked", hint="clean it up by hand")
        source = opened.source(place.source)
        return source.cleanups(uri, attrs) if isinstance(source, Cleanable) else ()

    return look


def _offered_by_provider(rule: str, values: Mapping[str, bytes]) -> Sequence[Cleanup]:
    offered = revocations(rule, values)
    if not offered:
        raise ConfigError("its provider offers no call that revokes it", hint=_PLAYBOOK)
    return offered


def _step(
    opened: Open, case: Mapping[str, Any], source: str, uri: str, attrs: Mapping[str, Any], one: Cleanup
) -> dict[str, Any]:
    step: dict[str, Any] = {
        "finding": case["finding"],
        "secret": case["secret"],
        "rule": case["rule"],
        "source": source,
        "uri": uri,
        "action": one.action,
        "title": printable(one.title),
        "undo": printable(one.undo),
        "state": one.state,
        "attrs": dict(attrs),
        "made_at": timestamp(opened.now),
    }
    return {**step, "seal": _seal(opened.keys, step)}


def _by_hand(finding: str, source: str, uri: str, reason: str, hint: str) -> dict[str, str]:
    place = {"source": source, "uri": uri} if source else {"source": "provider"}
    return {"finding": finding, **place, "reason": printable(reason), "hint": printable(hint)}


def _seal(keys: Keys, step: Mapping[str, Any]) -> str:
    content = json.dumps({name: step.get(name) for name in _SEALED}, sort_keys=True)
    return hmac.digest(keys.audit_key, b"plan\0" + content.encode(), "sha256").hex()


# --- applying it -------------------------------------------------------------------------------------


def read_plan(text: str, keys: Keys, now: datetime) -> list[dict[str, Any]]:
    """The steps of a plan. ``ConfigError`` unless every one of them is as it was written, and not too old."""
    again = "make a new plan: unsprawl remediate --plan FILE"
    try:
        document = json.loads(text[:_LARGEST_PLAN])
    except (ValueError, RecursionError):
        raise ConfigError("the plan is not JSON", hint=again) from None
    if not isinstance(document, dict) or document.get("unsprawl_plan") != _VERSION:
        raise ConfigError("this is no plan of this version of unsprawl", hint=again)
    if document.get("key") != keys.id:
        raise ConfigError(
            "the plan was made for another store", hint="give the store and key it was made with"
        )
    steps = document.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ConfigError("the plan has no steps", hint=again)
    for number, step in enumerate(steps, 1):
        if not hmac.compare_digest(str(step.get("seal")).encode(), _seal(keys, step).encode()):
            raise ConfigError(
                f"step {number} of the plan is not as it was written",
                hint=f"only `do` may be changed, or a step be taken out; {again}",
            )
        if now - datetime.fromisoformat(step["made_at"]) > _GOOD_FOR:
            raise ConfigError(f"the plan is older than {_GOOD_FOR.days} days", hint=again)
        if not isinstance(step.get("do"), bool):
            raise ConfigError(f"step {number} of the plan: `do` is neither true nor false", hint=again)
    return steps


def apply(opened: Open, steps: Sequence[Mapping[str, Any]]) -> Iterator[Done]:
    """Do the steps of a plan that :func:`read_plan` gave; one that fails does not stop the others."""
    for number, step in enumerate(steps, 1):
        shown = (int(step.get("number") or number), step["finding"], step["title"])
        if not step["do"]:
            yield Done(*shown, "left")
            continue
        try:
            what = _do(opened, step)
        except UnsprawlError as error:
            _note(opened, "cleanup.refused", step, error.message)
            yield Done(*shown, "refused", error.message, error.hint)
        except Exception as error:  # noqa: BLE001  # a plug-in's defect costs one step, not the others
            broken = defect(error, step["uri"], "cleaning up")
            _note(opened, "cleanup.refused", step, broken.reason)
            yield Done(*shown, "refused", broken.reason, broken.hint)
        else:
            _note(opened, "cleanup.done", step, what)
            yield Done(*shown, "done", what)


def _do(opened: Open, step: Mapping[str, Any]) -> str:
    status = str(opened.store.finding(step["finding"])["status"])
    if status in (*SETTLED, Status.CLOSED):
        raise ConfigError(
            f"the finding is {status.replace('_', ' ')} now", hint="there is nothing to clean up"
        )
    look, act = _ways(opened, step)
    try:
        now = next((one for one in look() if one.action == step["action"]), None)
    except GoneError:
        return "it was gone already"
    if now is None or now.state != step["state"]:
        raise ConfigError("it is not as it was when the plan was made", hint="make a new plan and review it")
    _note(opened, "cleanup.begun", step, "")
    return act()


def _ways(opened: Open, step: Mapping[str, Any]) -> tuple[Callable[[], Sequence[Cleanup]], Callable[[], str]]:
    """How to see what is there now, and how to do the step."""
    values = opened.store.sealed_values(step["finding"])
    rule, uri, attrs, action = step["rule"], step["uri"], step["attrs"], step["action"]
    if step["source"] == _PROVIDER:
        return partial(revocations, rule, values), partial(revoke, rule, action, values)
    source = opened.source(step["source"])
    if not isinstance(source, Cleanable):
        raise ConfigError("this source cannot clean up", hint=_PLAYBOOK)
    redact = _redaction(opened, step, source, values)
    return partial(source.cleanups, uri, attrs), partial(source.clean, uri, attrs, action, redact)


def _redaction(
    opened: Open, step: Mapping[str, Any], source: Source, values: Mapping[str, bytes]
) -> Callable[[str], str]:
    """A text without the secret. What it is tells the store, else the place itself, read once more."""
    held: list[str] = [values["secret"].decode("utf-8", "replace")] if values.get("secret") else []
    mark = f"[removed by unsprawl: {step['finding'][:12]}]"

    def redact(text: str) -> str:
        if not held and isinstance(source, Refetchable):
            document = source.fetch(step["uri"])
            if isinstance(document, Document):
                clear = replace(opened.examiner(), show_secrets=True)
                found = clear.examine(step["source"], str(source.type), document).occurrences
                held.extend({one.clear for one in found if one.finding == step["finding"] and one.clear})
        for value in sorted(held, key=len, reverse=True):
            text = text.replace(value, mark)
        return text

    return redact


def _note(opened: Open, action: str, step: Mapping[str, Any], told: str) -> None:
    detail = {
        "action": step["action"],
        "source": step["source"] or "provider",
        "uri": step["uri"],
        "told": told,
    }
    opened.store.record(action, who=opened.who, subject=step["finding"], detail=detail)
