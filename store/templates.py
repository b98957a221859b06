"""The steps of surfaces and providers as ``playbooks/*.yaml`` has them, and how their commands are filled.

A command is copied into a shell, and what is filled in comes from strangers: names of files, keys of objects,
channels. A value that is not plain is quoted; where it cannot be quoted safely, or is masked, the step has no
command, for a wrong one is worse than none.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final, TypeVar

import msgspec

_T = TypeVar("_T")

__all__ = ["Clean", "Provider", "Surface", "filled", "providers", "surface", "surfaces"]

_HOLE = re.compile(r"\{([a-z_]+)\}")
#: Means the same to every shell, quoted or not.
_PLAIN = re.compile(r"[A-Za-z0-9_/.:@%+=,][A-Za-z0-9_/.:@%+=,-]*")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff…]")
#: Filled from the environment of whoever runs the command, when the store does not know it.
_VARIABLES: Final = {"id": '"$KEY_ID"'}


class Clean(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. ``match``: only for uris like this, whose groups fill the command; ``has`` and ``lacks``
    name attributes; ``apply`` is the clean-up of ``unsprawl remediate`` that does the same.
    """

    text: str
    command: str = ""
    why: str = ""
    undo: str = ""
    proof: str = ""
    apply: str = ""
    match: str = ""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    def fits(self, uri: str, attrs: Mapping[str, object]) -> dict[str, str] | None:
        """What the uri fills in, None when the step is for other places."""
        if not all(attrs.get(name) for name in self.has) or any(attrs.get(name) for name in self.lacks):
            return None
        if not self.match:
            return {}
        found = re.search(self.match, uri)
        return None if found is None else {name: value or "" for name, value in found.groupdict().items()}


class Surface(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a surface is cleaned, and what cannot be."""

    surface: str
    clean: tuple[Clean, ...]
    limits: str = ""


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Commands for the credentials that ``rules`` (patterns over their ids) find."""

    rules: tuple[str, ...]
    contain: tuple[Clean, ...] = ()
    use: tuple[Clean, ...] = ()
    rotate: tuple[Clean, ...] = ()


class _Providers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: tuple[Provider, ...]


@cache
def surfaces() -> tuple[str, ...]:
    """The surfaces that have steps of their own."""
    folder = resources.files("unsprawl.store") / "playbooks"
    names = (entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return tuple(sorted(name for name in names if name != "providers"))


@cache
def surface(name: str) -> Surface | None:
    """The steps of a surface, None for one that came with a plug-in."""
    return _read(name, Surface) if name in surfaces() else None


@cache
def providers() -> tuple[Provider, ...]:
    """The commands of providers."""
    return _read("providers", _Providers).providers


def filled(command: str, values: Mapping[str, str]) -> str:
    """``command`` with its holes filled, quoted where that is needed; "" when it cannot be filled safely."""
    parts: list[str] = []
    at = 0
    for hole in _HOLE.finditer(command):
        parts.append(command[at : hole.start()])
        at = hole.end()
        value = values.get(hole[1])
        if value is None:
            if hole[1] not in _VARIABLES or _quote_before("".join(parts)):
                return ""
            parts.append(_VARIABLES[hole[1]])
        elif value == "" or _PLAIN.fullmatch(value):
            parts.append(value)
        elif _UNSAFE.search(value) or value.startswith("-") or _quote_before("".join(parts)):
            return ""
        else:
            parts.append(shlex.quote(value))
    return "".join(parts) + command[at:]


def _quote_before(text: str) -> bool:
    """Whether a shell that has read ``text`` stands within quotes."""
    quote = ""
    skip = False
    for character in text:
        if skip:
            skip = False
        elif character == "\\" and quote != "'":
            skip = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return bool(quote)


def _read(name: str, kind: type[_T]) -> _T:
    import yaml

    text = (resources.files("unsprawl.store") / "playbooks" / f"{name}.yaml").read_text("utf-8")
    return msgspec.convert(yaml.safe_load(text), kind)
