"""A playbook: the ordered steps that end one exposure, each with its reason, and the proof at the end.

    contain → find its use → rotate → clean each place → notify → prove

The rule knows its provider, ``playbooks/*.yaml`` the surfaces, the finding its places. Nothing here acts:
``unsprawl remediate`` does, with a plan that a person has reviewed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

from unsprawl.store.templates import Clean, filled, providers, surface

__all__ = ["KINDS", "Playbook", "Step", "compose"]

Kind: TypeAlias = Literal["contain", "use", "rotate", "clean", "notify", "prove"]
KINDS: Final[Mapping[str, str]] = {
    "contain": "Contain",
    "use": "Find its use",
    "rotate": "Rotate",
    "clean": "Clean up",
    "notify": "Tell people",
    "prove": "Prove it",
}
#: How rules begin a step that looks for the use of a credential, and one that replaces it.
_USE = re.compile(
    r"(?:see|look|search|check|review|compare|find|list|watch|audit|inspect|it (?:reads|opens|gives|acts)|"
    r"read the)\b",
    re.IGNORECASE,
)
_ROTATE = re.compile(r"(?:replace|issue|create|make|generate|put|use|move|store|roll out)\b", re.IGNORECASE)
_MOST_PLACES: Final = 50
_MOST_CONSUMERS: Final = 20
#: What most likely reads the value: a place like this is a consumer that has to get the new one.
_CONFIGURATION = re.compile(
    r"\.(?:env|ya?ml|json|toml|ini|cfg|conf|config|properties|tfvars|tf|sh|ps1|xml|netrc|npmrc|pypirc)\b"
    r"|(?:^|/)\.(?:env|netrc|npmrc|pypirc|dockercfg)|Dockerfile|Jenkinsfile|configuration$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Step:
    """``text`` is what to do, ``command`` one way to do it in a shell, "" where there is none.

    ``undo`` tells the way back, ``proof`` what shows that it is done, ``apply`` the clean-up of ``remediate``
    that does it, ``uri`` the place it is about.
    """

    kind: Kind
    text: str
    command: str = ""
    why: str = ""
    undo: str = ""
    proof: str = ""
    apply: str = ""
    source: str = ""
    uri: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Playbook:
    """``facts`` are the names and values that head it, ``limits`` what no step can clean."""

    finding: str
    title: str
    facts: Mapping[str, str]
    steps: tuple[Step, ...]
    limits: tuple[str, ...] = ()
    left_out: int = 0
    """Places beyond the first :data:`_MOST_PLACES`, for which no step is written."""

    def of(self, kind: str) -> list[Step]:
        return [step for step in self.steps if step.kind == kind]


def compose(
    case: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    surfaces: Mapping[str, str],
    remediation: Sequence[str],
    *,
    identifier: str | None = None,
    config: str = "",
) -> Playbook:
    """The playbook of ``case`` (the store's record of a finding) with its ``rows``, gone ones too.

    ``surfaces`` tells the type of each source, ``remediation`` are the rule's steps. ``identifier`` is the
    public half of the credential (a key id), where it is known and may be shown. ``config`` is the file that
    the proofs are to be called with.
    """
    since = min([row["modified_at"] or row["first_seen"] for row in rows], default=case["first_seen"])
    values = {"since": f"{str(since)[:19]}Z"}
    if identifier:
        values["id"] = identifier
    standing = [row for row in rows if not row["gone_at"]]
    steps = [
        *_credential(case, remediation, values),
        *_consumers(standing),
        *_cleaning(standing[:_MOST_PLACES], surfaces, values),
        *_notifying(case, rows),
        *_proving(case, config),
    ]
    used = dict.fromkeys(surfaces.get(str(row["source"]), "") for row in standing)
    limits = tuple(found.limits for name in used if (found := surface(name)) and found.limits)
    return Playbook(
        finding=case["finding"],
        title=f"{case['name']} {case['secret']}",
        facts=_facts(case, standing, rows),
        steps=tuple(sorted(steps, key=lambda step: list(KINDS).index(step.kind))),
        limits=limits,
        left_out=max(0, len(standing) - _MOST_PLACES),
    )


def _facts(
    case: Mapping[str, Any], standing: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    evidence = f": {case['evidence']}" if case["evidence"] else ""
    sources = Counter(str(row["source"]) for row in standing)
    where = ", ".join(f"{name} {count}" for name, count in sources.most_common())
    return {
        "Finding": case["finding"],
        "Rule": f"{case['rule']} ({case['name']})",
        "Risk": f"{case['risk']} of 100, {case['severity']}",
        "Validity": f"{case['validity']}{evidence}",
        "Status": case["status"],
        "Owner": case["owner"] or "nobody yet",
        "Stands in": f"{len(standing)} of {len(rows)} places{f' ({where})' if where else ''}",
    }


def _credential(
    case: Mapping[str, Any], remediation: Sequence[str], values: Mapping[str, str]
) -> Iterator[Step]:
    for one in providers():
        if any(fnmatchcase(case["rule"], pattern) for pattern in one.rules):
            for kind, steps in (("contain", one.contain), ("use", one.use), ("rotate", one.rotate)):
                for step in steps:
                    yield _step(kind, step, values)
    for number, text in enumerate(remediation):
        kind = "use" if _USE.match(text) else "rotate" if number and _ROTATE.match(text) else "contain"
        yield Step(kind, text)  # type: ignore[arg-type]
    if not remediation:
        yield Step("contain", f"Revoke or disable it at {case['provider'] or 'its provider'}.")


def _consumers(standing: Sequence[Mapping[str, Any]]) -> Iterator[Step]:
    yield Step(
        "rotate",
        "Put the new credential into the vault, and let what needs it read it from there.",
        why="A value that stands in no file cannot be found in one.",
    )
    readers = list(
        dict.fromkeys(
            f"{row['source']}: {row['path']}" for row in standing if _CONFIGURATION.search(row["path"])
        )
    )
    if readers:
        more = f" and {len(readers) - _MOST_CONSUMERS} more" if len(readers) > _MOST_CONSUMERS else ""
        yield Step(
            "rotate",
            f"Give it to what most likely reads it there: {'; '.join(readers[:_MOST_CONSUMERS])}{more}.",
            why="They stop working when the old one is revoked.",
        )


def _cleaning(
    rows: Iterable[Mapping[str, Any]], surfaces: Mapping[str, str], values: Mapping[str, str]
) -> Iterator[Step]:
    general: set[str] = set()
    for row in rows:
        name = surfaces.get(str(row["source"]), "")
        known = surface(name)
        uri = str(row["uri"]).partition("!/")[0]
        place = {"source": str(row["source"]), "uri": str(row["uri"]), "url": row["url"] or ""}
        if known is None:
            yield Step("clean", "Take the secret out of this place.", proof="refetch", **place)
            continue
        held = {**values, **_values(row, name)}
        for step in known.clean:
            found = step.fits(uri, row["attrs"])
            if found is None:
                continue
            if not step.proof and not step.match and not step.has:
                # About the surface as a whole: once is enough, unless its command names the place.
                text = f"{step.text}\n{filled(step.command, held)}"
                if text in general:
                    continue
                general.add(text)
            yield _step("clean", step, {**held, **found}, **place)


def _values(row: Mapping[str, Any], name: str) -> dict[str, str]:
    """What a place fills into commands beside the groups of its uri."""
    attrs: Mapping[str, Any] = row["attrs"]
    values = {key: str(value) for key, value in attrs.items() if isinstance(value, str | int)}
    images = attrs.get("images")
    if isinstance(images, list) and images:
        values["image"] = str(images[0])
    uri = str(row["uri"]).partition("!/")[0]
    if name == "s3":
        values["key"] = unquote(uri.removeprefix("s3://").partition("/")[2])
    if name == "files":
        local = unquote(uri.removeprefix("file://"))
        folder, _, file = local.rpartition("/")
        values |= {"local": local, "folder": folder or "/", "name": file}
    return values


def _notifying(case: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[Step]:
    authors = [name for name, _ in Counter(row["author"] for row in rows if row["author"]).most_common(5)]
    owner = case["owner"]
    if owner:
        because = f" ({case['owner_because']})" if case["owner_because"] else ""
        yield Step("notify", f"Tell the owner, {owner}{because}, what stood where, and what stops working.")
    else:
        yield Step("notify", "Find the owner: who runs what the credential opens?")
    if others := [name for name in authors if name != owner]:
        yield Step("notify", f"Tell who wrote it: {', '.join(others)}, and how to share one instead.")
    if any(row["audience"] in ("public", "external") for row in rows):
        yield Step(
            "notify",
            "It could be read from outside: tell the security team, which knows whom else to tell by law.",
            why="Contracts and laws set hours for that.",
        )


def _proving(case: Mapping[str, Any], config: str) -> Iterator[Step]:
    id_ = case["finding"][:12]
    values = {"config": config or "CONFIG"}
    yield Step(
        "prove",
        "Ask the provider: the answer has to be `inactive`.",
        filled(f"unsprawl verify {id_} --config {{config}}", values),
    )
    yield Step(
        "prove",
        "Look at every place again: the answer has to be `gone`. Then the finding closes by itself.",
        filled(f"unsprawl findings refetch {id_} --config {{config}}", values),
    )


def _step(kind: str, step: Clean, values: Mapping[str, str], **place: str) -> Step:
    return Step(
        kind,  # type: ignore[arg-type]
        step.text,
        filled(step.command, values),
        step.why,
        filled(step.undo, values) or ("" if "{" in step.undo else step.undo),
        step.proof,
        step.apply,
        **place,
    )
