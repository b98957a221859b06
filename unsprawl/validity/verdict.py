"""From an answer to a verdict: only what a provider says in its own words is a proof.

An error page of something in between, a refusal to be asked so often, half an answer: all of these prove
nothing, whatever a rule says of their status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from unsprawl.records import Check, Validity
from unsprawl.structs import replace
from unsprawl.validity.credential import unknown
from unsprawl.validity.line import Answer

__all__ = ["Kind", "at", "judge", "level_of", "masked", "read", "said", "why_not"]

Kind: TypeAlias = Literal["json", "text", "empty", "html", "broken"]

_HTML: Final = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|script)\b", re.IGNORECASE
)
_ADMIN: Final = re.compile(
    r"\*|(?:^|[\W_])(?:admin\w*|owner|root|superuser|sudo|all|full[_-]?access|full_control)(?:$|[\W_])",
    re.IGNORECASE,
)
_WRITE: Final = re.compile(
    r"(?:^|[\W_])(?:write|delete|create|update|manage|edit|modify|push|send|publish|upload|repo|api|post|full|rw)"
    r"(?:$|[\W_])",
    re.IGNORECASE,
)
_LONGEST: Final = 120
_VERDICTS: Final = ("inactive", "limited", "active")
#: Statuses that say something about the moment and not about the credential.
_MOMENTARY: Final = {
    408: "it gave up waiting",
    425: "it asks to come back later",
    429: "it is asked too often",
}
#: What these say of a credential has to stand in the answer itself: gateways give them for many reasons.
_AMBIGUOUS: Final = frozenset({400, 402, 403, 404, 405, 406, 409, 410, 412, 415, 422, 451})
_FAILED: Final = frozenset({"error", "errors", "fault", "exception", "error_code", "error_message"})


def read(answer: Answer) -> tuple[Kind, Any]:
    """What kind of body it is, and what it says if that is JSON."""
    declared = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not answer.whole:
        return "broken", None
    if "html" in declared or _HTML.match(answer.body):
        return "html", None
    text = answer.body.strip()
    if not text:
        return "empty", None
    try:
        return "json", json.loads(text)
    except (ValueError, RecursionError):
        looks = text[:1] in (b"{", b"[") or declared.endswith("json")
        return ("broken" if looks else "text"), None


def why_not(answer: Answer) -> str:
    """Why this answer proves nothing at all, "" when it may prove something."""
    if answer.status in _MOMENTARY:
        return f"{_MOMENTARY[answer.status]} ({answer.status})"
    if answer.status >= 500 or answer.status < 200:
        return f"it failed ({answer.status})"
    if 300 <= answer.status < 400:
        return f"it leads elsewhere ({answer.status}): not followed"
    return ""


def judge(check: Mapping[str, Any], answer: Answer, host: str) -> Check:
    """The verdict of a rule's ``check`` on what ``host`` answered."""
    reason = why_not(answer)
    if reason:
        return unknown(f"{host} proves nothing: {reason}")
    kind, value = read(answer)
    if kind in ("html", "broken"):
        what = "a page for people" if kind == "html" else "something that is cut off or not JSON"
        return unknown(f"{host} proves nothing: it answered {what} ({answer.status})")
    named = [name for name in _VERDICTS if _fits(check.get(name), answer, kind, value, name)]
    if len(named) > 1:
        return unknown(f"{host} contradicts itself ({answer.status})")
    if not named:
        return unknown(f"{host} answered {answer.status}, which proves neither")
    told = said(check.get("tells", {}), answer, value)
    if named == ["inactive"]:
        return Check(Validity.INACTIVE, f"{host} refuses it ({answer.status}){_reason(value)}")
    if named == ["limited"]:
        return Check(
            Validity.ACTIVE,
            _joined(f"{host} knows it, and denies it this question ({answer.status})", told),
            told.get("privilege") or "none: may not ask who it is",
        )
    evidence = _joined(f"{host} accepts it ({answer.status})", told)
    return Check(Validity.ACTIVE, evidence, told.get("privilege", ""))


def _fits(matcher: Mapping[str, Any] | None, answer: Answer, kind: Kind, value: Any, name: str) -> bool:
    if matcher is None:
        return False
    words = "json" in matcher or "contains" in matcher
    statuses = matcher.get("status")
    if statuses is not None and answer.status not in statuses:
        return False
    if "json" in matcher and not (kind == "json" and _holds(matcher["json"], value)):
        return False
    if "contains" in matcher and not any(text.encode() in answer.body for text in matcher["contains"]):
        return False
    if answer.status in _AMBIGUOUS and not words:
        return False
    if name != "active":
        return True
    if words:
        return answer.status < 300
    # A status alone: what a provider says to those it knows, in its own format.
    return answer.status == 204 or (kind == "json" and not _failed(value))


def _holds(wanted: Mapping[str, Any], value: Any) -> bool:
    for path, expected in wanted.items():
        found = at(value, path)
        if isinstance(expected, list):
            if not any(_same(found, one) for one in expected):
                return False
        elif not _same(found, expected):
            return False
    return True


def _same(found: Any, expected: Any) -> bool:
    # True is 1 in Python; in an answer they are two things.
    return type(found) is type(expected) and found == expected


def at(value: Any, path: str) -> Any:
    """What stands at a dotted path, numbers being positions in lists; None where there is nothing."""
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, Sequence) and not isinstance(value, str) and step.isdigit() and len(step) < 5:
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _failed(value: Any) -> bool:
    """Whether a body that came with success says that nothing succeeded."""
    if not isinstance(value, Mapping):
        return False
    if any(value.get(name) is False for name in ("ok", "success", "valid", "authenticated")):
        return True
    if str(value.get("status", "")).lower() in ("error", "fail", "failed", "failure", "unauthorized"):
        return True
    return any(value.get(name) for name in value if str(name).lower() in _FAILED)


def _reason(value: Any) -> str:
    """The provider's own word for it, if it is one word: a sentence may repeat what was sent."""
    for path in ("error", "error.type", "error.code", "code", "Code", "errors.0.code", "error_code"):
        found = at(value, path)
        if isinstance(found, str) and re.fullmatch(r"[A-Za-z][A-Za-z_.-]{2,39}", found):
            return f", {found}"
    return ""


# --- who it is, and what it may do -------------------------------------------------------------------


def said(tells: Mapping[str, str], answer: Answer, value: Any) -> dict[str, str]:
    """What an answer tells under the names of ``tells``, and ``privilege`` made of scopes and admin."""
    found: dict[str, str] = {}
    for name, path in tells.items():
        if path.startswith("header:"):
            text = _plain(answer.headers.get(path.removeprefix("header:").lower()))
        else:
            text = _plain(at(value, path))
        if text:
            found[name] = text
    level = _level(found.pop("admin", ""), found.get("scopes", ""), found.pop("role", ""))
    if level:
        found["privilege"] = level
    return found


def _level(admin: str, scopes: str, role: str) -> str:
    parts = [f"scopes {scopes}" if scopes else "", f"role {role}" if role else ""]
    detail = ", ".join(filter(None, parts))
    if admin.lower() in ("true", "1", "yes", "admin", "administrator", "owner"):
        return f"admin: {detail}" if detail else "admin"
    level = level_of([*re.split(r"[\s,;]+", scopes), role])
    return f"{level}: {detail}" if level else ""


def level_of(scopes: Iterable[str]) -> str:
    """``admin``, ``write`` or ``read`` by the names of scopes and roles; "" when there are none."""
    names = [name for name in scopes if name]
    if not names:
        return ""
    if any(_ADMIN.search(name) and "read" not in name.lower() for name in names):
        return "admin"
    return "write" if any(_WRITE.search(name) for name in names) else "read"


def _joined(text: str, told: Mapping[str, str]) -> str:
    who = (f"{name} {what}" for name, what in told.items() if name not in ("privilege", "scopes"))
    return ", ".join([text, *who])


def _plain(value: Any) -> str:
    """A claim fit to be stored: short, printable, of one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return re.sub(r"[^\w.:/@*+, -]", "", value).strip()[:_LONGEST]
    if isinstance(value, Sequence):
        parts = [_plain(one) for one in value[:20] if isinstance(one, str)]
        return ",".join(filter(None, parts))[:_LONGEST]
    return ""


def masked(check: Check, values: Iterable[str]) -> Check:
    """The check without any of ``values``: what a provider echoes is not stored."""
    evidence, privilege = check.evidence, check.privilege
    for value in values:
        if len(value) >= 4:
            evidence, privilege = evidence.replace(value, "…"), privilege.replace(value, "…")
    return replace(check, evidence=evidence, privilege=privilege)
