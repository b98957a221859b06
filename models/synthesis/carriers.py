"""Carriers: documents of every surface with a few places for values of any label."""

from __future__ import annotations

import html
import json
import random
from collections.abc import Sequence
from typing import Final, TypeAlias

from unsprawl.models.synthesis.fields import field
from unsprawl.models.synthesis.lines import AROUND, SYNTAX, TALK
from unsprawl.models.synthesis.texts import LabelledText, Span
from unsprawl.models.synthesis.values import NEGATIVE, POSITIVE, make, misleading
from unsprawl.models.synthesis.wordlists import NAMES, NOUNS, SERVICES
from unsprawl.records import Environment, Label

__all__ = ["FAMILIES", "carry"]

#: A label, and how often the name of its field misleads.
_Asked: TypeAlias = tuple[Label, float]
_PLACE: Final = "\x00"
_CONFIG: Final = frozenset(
    "env yaml compose ansible kubernetes toml ini properties json xml terraform dockerfile".split()
)
_OWN: Final = {"history": "shell", "shell": "shell", "sql": "database", "notebook": "notebook"}
_SURFACE: Final = {
    "slack-json": "chat", "slack-text": "chat", "issue": "issue", "adf": "issue", "confluence": "wiki",
    "runbook": "wiki", "readme": "docs", "mail": "mail", "actions": "ci", "gitlab-ci": "ci", "jenkins": "ci",
    "docker-log": "ci",
}  # fmt: skip
_BASIC: Final = (
    "slack-json slack-text issue adf confluence actions gitlab-ci jenkins docker-log readme mail runbook"
).split()
FAMILIES: Final = (*SYNTAX, *_BASIC)
_PLACES: Final = {
    "prod": Environment.PRODUCTION,
    "staging": Environment.STAGING,
    "dev": Environment.DEVELOPMENT,
    "test": Environment.TEST,
}
_AROUND: Final = {"python": "python", "xml": "xml", "json": "json", "history": "history", "sql": "sql"}
_YAML: Final = ("yaml", "compose", "ansible", "kubernetes")


def carry(draw: random.Random, family: str, labels: tuple[Label, ...] = ()) -> LabelledText:
    """One document of ``family``; ``labels`` are drawn when there are none (two in five are secrets)."""
    wanted = labels or tuple(_label(draw) for _ in range(draw.choice((1, 1, 2, 2, 3))))
    made = [make(draw, label) for label in wanted]
    place = draw.choice(tuple(_PLACES)) if draw.random() < 0.3 else ""
    if Label.TEST in wanted:
        place = "test"
    asked = [(label, misleading(label, style)) for (_, style), label in zip(made, wanted, strict=True)]
    if family in SYNTAX:
        body, path = _file(draw, family, asked, place)
        surface = _OWN.get(family, "config" if family in _CONFIG else "source")
    else:
        body, path = _spoken(draw, family, asked, place)
        surface = _SURFACE[family]
    text, spans = _filled(
        body, family, [(value, label, style) for (value, style), label in zip(made, wanted, strict=True)]
    )
    known = _PLACES.get(place, Environment.UNKNOWN)
    return LabelledText(text, path, surface, spans, f"carrier:{family}", known)


def _label(draw: random.Random) -> Label:
    return draw.choice(POSITIVE) if draw.random() < 0.4 else draw.choice(NEGATIVE)


def _filled(body: str, family: str, values: list[tuple[str, Label, str]]) -> tuple[bytes, tuple[Span, ...]]:
    """``body`` with its places filled, each value written as the family asks."""
    first, *rest = body.split(_PLACE)
    out, spans = bytearray(first.encode()), []
    for (value, label, style), part in zip(values, rest, strict=True):
        written = value
        if family in ("xml", "confluence"):
            written = html.escape(value)
        elif family in ("json", "slack-json", "adf", "notebook"):
            written = json.dumps(value)[1:-1]
        start = len(out)
        out += written.encode()
        spans.append(Span(start, len(out), label, style))
        out += part.encode()
    return bytes(out), tuple(spans)


def _named(forms: Sequence[str], wrong: float) -> Sequence[str]:
    """Forms for a value that only its field tells: those that show the field, where there are any."""
    return ([form for form in forms if "{k}" in form] or forms) if wrong == 1.0 else forms


def _fill_in(draw: random.Random, form: str, *, plain: bool, wrong: float = 0.2) -> str:
    noun, other = draw.choice(NOUNS + SERVICES), draw.choice(NOUNS + SERVICES)
    named = {
        "k": field(draw, plain=plain, wrong=wrong),
        "v": _PLACE,
        "n": noun,
        "m": other,
        "d": draw.randint(1, 250),
    }
    return form.format(**named, N=noun.title(), M=other.title())


def _around(draw: random.Random, kind: str, count: int) -> list[str]:
    return [_fill_in(draw, draw.choice(AROUND[kind]), plain=True) for _ in range(count)]


def _file(draw: random.Random, family: str, asked: Sequence[_Asked], place: str) -> tuple[str, str]:
    path, literal, bare = SYNTAX[family]
    config = family in _CONFIG
    kind = "yaml" if family in _YAML else _AROUND.get(family, "config" if config else "code")
    lines = _around(draw, kind, draw.randint(0, 6))
    with_place = tuple(form for form in bare if "{v}" in form) or literal
    for label, wrong in asked:
        forms = with_place if label is Label.REFERENCE and draw.random() < 0.7 else literal
        lines += _fill_in(draw, draw.choice(_named(forms, wrong)), plain=not config, wrong=wrong).split("\n")
        lines += _around(draw, kind, draw.randint(0, 4))
    where = f"{place}-{draw.choice(NOUNS)}" if place else draw.choice(NOUNS + SERVICES)
    return "\n".join(lines) + "\n", path.replace("{n}", where)


def _sentences(draw: random.Random, asked: Sequence[_Asked]) -> list[str]:
    """A sentence with a place for each value, among others that hold none."""
    lines = _around(draw, "talk", draw.randint(0, 3))
    for _, wrong in asked:
        lines.append(_fill_in(draw, draw.choice(_named(TALK, wrong)), plain=False, wrong=wrong))
        lines += _around(draw, "talk", draw.randint(0, 2))
    return lines


def _spoken(draw: random.Random, family: str, asked: Sequence[_Asked], place: str) -> tuple[str, str]:
    name = f"{place}-{draw.choice(NOUNS)}" if place else draw.choice(NOUNS)
    number, second = draw.randint(1, 9999), draw.randint(1_500_000_000, 1_790_000_000)
    if _SURFACE[family] == "ci":
        return _log(draw, family, asked), f"builds/{name}/{number}.log"
    said = _sentences(draw, asked)
    who = draw.choice(NAMES)
    if family == "slack-json":
        messages = [
            {"type": "message", "user": draw.choice(NAMES), "ts": f"{second + 31 * n}.000200", "text": one}
            for n, one in enumerate(said)
        ]
        text = json.dumps(messages, indent=draw.choice((None, 1))).replace("\\u0000", _PLACE)
        return text, f"chat/{name}/2025-01-{number % 28 + 1:02}.json"
    if family == "slack-text":
        text = "\n".join(f"{draw.choice(NAMES)}: {one}" for one in said)
        return text, f"chat/{name}.txt"
    if family == "adf":
        parts = [{"type": "paragraph", "content": [{"type": "text", "text": one}]} for one in said]
        text = json.dumps({"type": "doc", "version": 1, "content": parts}).replace("\\u0000", _PLACE)
        return text, f"issues/{name.upper()}-{number}.json"
    if family == "confluence":
        tag = draw.choice(("p", "li", "td"))
        return "".join(
            f"<{tag}>{html.escape(one, quote=False)}</{tag}>\n" for one in said
        ), f"wiki/{name}.html"
    if family == "mail":
        head = f"From: {who}@acme.test\nTo: {draw.choice(NAMES)}@acme.test\nSubject: {name}\n\nHi,\n\n"
        return head + "\n".join(said) + f"\n\nBest,\n{who}\n", f"mail/{number}.eml"
    head = draw.choice((f"# {name.title()}\n\n", f"h2. {name}\n\n", f"## How to restore the {name}\n\n", ""))
    mark = draw.choice(("", "- ", "    ", "> ", "* "))
    folder = {"issue": "issues", "runbook": "runbooks", "readme": "docs"}[family]
    return head + "\n".join(mark + one for one in said) + "\n", f"{folder}/{name}-{number}.md"


def _log(draw: random.Random, family: str, asked: Sequence[_Asked]) -> str:
    forms = (*SYNTAX["env"][1], *SYNTAX["history"][1], *SYNTAX["yaml"][1], "{k} is {v}", "DEBUG {n} {k}={v}")
    lines = _around(draw, "log", draw.randint(1, 6))
    for _, wrong in asked:
        lines.append(_fill_in(draw, draw.choice(_named(forms, wrong)), plain=False, wrong=wrong))
        lines += _around(draw, "log", draw.randint(0, 5))
    minute = draw.randint(0, 59)
    stamp = f"2025-0{draw.randint(1, 9)}-1{draw.randint(0, 9)}T1{draw.randint(0, 9)}:{minute:02}:0"
    ahead = {
        "actions": f"{stamp}1.4821930Z ",
        "gitlab-ci": draw.choice(("", "\x1b[32;1m$ ")),
        "jenkins": draw.choice(("", "+ ", "[Pipeline] ")),
        "docker-log": draw.choice((f"#{draw.randint(2, 40)} 0.{minute} ", f"{stamp}2Z stdout F ")),
    }[family]
    return "".join(f"{ahead}{one}\n" for line in lines for one in line.split("\n"))
