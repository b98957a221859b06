"""Rules: what they are, and how they are read from ``detectors/rules/<provider>.yaml`` and from users' files.

Reading is strict (every mistake names file, line, rule and the nearest known key) and done once:
the parsed set is kept in the user's cache, under the names, sizes and times of the files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from unsprawl import __version__
from unsprawl.detectors.cache import default_folder, kept
from unsprawl.errors import RuleError
from unsprawl.records import Severity
from unsprawl.structs import Struct

__all__ = ["BUILTIN", "Allow", "Companion", "Kind", "Note", "Rule", "RuleSet", "load", "nearest"]

BUILTIN: Final = Path(__file__).parent / "rules"
#: Part of the cache's key: raise it whenever :class:`Rule` or the reading of files changes.
_FORMAT: Final = 19

_SUFFIXES: Final = (".yaml", ".yml", ".toml")

Kind: TypeAlias = Literal["exact", "contextual", "generic"]


class Note(Struct, frozen=True):
    """Something in another scanner's rule file that could not be taken over. ``place`` is ``file:line``."""

    place: str
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: rule '{self.rule}': {self.what}" if self.rule else f"{self.place}: {self.what}"


class Allow(Struct, frozen=True):
    """What a rule leaves alone: of each list that is given one pattern is found in what it is named for.

    ``match`` is all that the rule's pattern matched, ``line`` the line of the secret, ``path`` the path of
    its document; ``words`` are looked for in the secret as they are, in any case.
    """

    secret: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    line: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class Companion(Struct, frozen=True):
    """What belongs to a secret and may stand up to ``within`` bytes away from it.

    The first group of ``pattern`` is the companion, or all of it where it has none. A secret without a
    ``required`` one is none.
    """

    name: str
    pattern: str
    within: int = 1024
    required: bool = False


class Rule(Struct, frozen=True, kw_only=True):
    """One kind of secret: how it is recognised, tested, proved and undone.

    ``pattern`` has one group named ``secret``; its other named groups are companions. ``kind`` says
    how far the match alone can be believed: ``exact`` formats are distinctive, ``contextual`` ones
    need the words around them, ``generic`` ones only look like an assignment. ``superset`` is what
    Hyperscan searches in place of ``pattern`` (look-around, or an end that would match at every
    byte); it begins where the pattern begins, since the confirmation looks back no further.
    ``identity`` names the companions that make two equal values two cases. ``min_entropy`` is in bits
    a character. ``context`` are the words one of which stands before the ``value``, ``cue`` says that a word
    such as key or token must stand there too. A ``drawn`` value begins with a run that a machine drew
    (``matching/drawn.py``). What a ``tentative`` rule matches is a doubt at best: only a classifier makes a
    finding of it. A ``gated`` rule counts only near one of its keywords, one with a ``path`` only where a
    document's path matches. ``origin`` names the scanner in whose format the rule was written. ``examples``
    and ``negatives`` are templates of ``unsprawl.placeholders``.
    """

    id: str
    name: str
    provider: str
    severity: Severity
    keywords: tuple[str, ...]
    pattern: str
    superset: str = ""
    prefix: str = ""
    kind: Kind = "exact"
    identity: tuple[str, ...] = ()
    offline: str = ""
    min_entropy: float = 0.0
    context: tuple[str, ...] = ()
    value: str = ""
    cue: bool = False
    drawn: bool = False
    tentative: bool = False
    companions: tuple[Companion, ...] = ()
    gated: bool = False
    path: str = ""
    allow: tuple[Allow, ...] = ()
    origin: str = ""
    check: Mapping[str, Any] | None = None
    remediation: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    negatives: tuple[str, ...] = ()
    file: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


class RuleSet(Struct, frozen=True, dict=True):
    """Rules in the order of their ids. ``digest`` changes when the same text could match differently.

    ``notes`` tell what of other scanners' files could not be taken over.
    """

    rules: tuple[Rule, ...]
    digest: str = ""
    notes: tuple[Note, ...] = ()

    @cached_property
    def by_id(self) -> Mapping[str, Rule]:
        return {rule.id: rule for rule in self.rules}

    def __len__(self) -> int:
        return len(self.rules)


def load(
    paths: Sequence[Path] = (),
    exclude: Collection[str] = (),
    *,
    builtin: bool = True,
    cache: Path | None = None,
) -> RuleSet:
    """The built-in rules and those of ``paths`` (files or folders), less ``exclude``.

    ``exclude`` holds ids or globs such as ``jwt.*``; one that names no rule is an error.
    ``cache`` is a folder (default: the user's cache folder). Raises ``RuleError``.
    """
    files = _files(([BUILTIN] if builtin else []) + [Path(path) for path in paths])

    def parsed() -> _Parsed:
        rules, notes = _parse_all([(Path(file), _read(Path(file))) for file, _, _ in files])
        return rules, notes, _digest(rules)

    key = f"{_FORMAT}\0{__version__}\0{files}".encode("utf-8", "surrogateescape")
    folder = default_folder() if cache is None else cache
    # To parse a thousand rules costs half a second, to decode them some milliseconds.
    rules, notes, digest = kept(folder, "rules", key, _Parsed, parsed)
    if exclude:
        rules = _excluding(rules, exclude)
        digest = _digest(rules)
    return RuleSet(rules, digest, notes)


def nearest(word: str, known: Collection[str]) -> str:
    """``; did you mean 'pattern'?``, or nothing when no known word is near."""
    from unsprawl import shape

    close = shape.nearest(word, known)
    return f"; did you mean '{close}'?" if close else ""


#: A file with its size in bytes and when it was modified, in ns: a changed file is read again.
_File: TypeAlias = tuple[str, int, int]


def _files(paths: Sequence[Path]) -> list[_File]:
    files: list[_File] = []
    for path in paths:
        try:
            found = sorted(_in_folder(path)) if path.is_dir() else [_file(os.fspath(path), path.stat())]
        except OSError as error:
            what = "no such rule file" if isinstance(error, FileNotFoundError) else error.strerror
            raise RuleError(f"{path}: {what}") from None
        if not found and path != BUILTIN:
            raise RuleError(f"{path}: no rule file (*.yaml, *.toml) in this folder")
        files += found
    return list(dict.fromkeys(files))


def _in_folder(folder: Path) -> Iterator[_File]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIXES):
                yield _file(entry.path, entry.stat())


def _file(path: str, status: os.stat_result) -> _File:
    return path, status.st_size, status.st_mtime_ns


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RuleError(f"{path}: {error.strerror or 'cannot be read'}") from None


#: The rules, what of them could not be taken over, and their digest.
_Parsed: TypeAlias = tuple[tuple[Rule, ...], tuple[Note, ...], str]


def _parse_all(texts: Sequence[tuple[Path, bytes]]) -> tuple[tuple[Rule, ...], tuple[Note, ...]]:
    # They pull in yaml and re2, needed only when no cache holds the set.
    from unsprawl.detectors.rulebook import gitleaks, rulefile

    rules: dict[str, Rule] = {}
    notes: list[Note] = []
    for file, text in texts:
        name = f"rules/{file.name}" if file.parent == BUILTIN else str(file)
        if file.suffix == ".toml":
            translation = gitleaks.read(text, name)
            found, remarks = translation.rules, translation.notes
        else:
            found, remarks = rulefile.parse(text, name)
        notes += remarks
        for rule in found:
            first = rules.setdefault(rule.id, rule)
            if first is not rule:
                raise RuleError(
                    f"{rule.place}: rule '{rule.id}' is defined twice, first at {first.place}",
                    hint="Give one of them another id, or leave one out with --exclude-rule.",
                )
    return tuple(rules[id] for id in sorted(rules)), tuple(notes)


def _excluding(rules: Sequence[Rule], exclude: Collection[str]) -> tuple[Rule, ...]:
    for glob in exclude:
        if not any(fnmatchcase(rule.id, glob) for rule in rules):
            ids = [rule.id for rule in rules]
            hint = "`unsprawl rules list` shows all."
            raise RuleError(f"no rule is named '{glob}'{nearest(glob, ids)}", hint=hint)
    return tuple(rule for rule in rules if not any(fnmatchcase(rule.id, glob) for glob in exclude))


def _digest(rules: Sequence[Rule]) -> str:
    """Over what decides which text matches; a better remediation step must not cause a new crawl."""
    digest = hashlib.sha256()
    for rule in rules:
        parts = (
            rule.id,
            rule.pattern,
            rule.superset,
            rule.kind,
            rule.offline,
            str(rule.min_entropy),
            str(rule.cue),
            str(rule.drawn),
            str(rule.tentative),
            repr((rule.companions, rule.gated, rule.path, rule.allow)),
        )
        for part in (*parts, *rule.keywords, "", *rule.identity):
            digest.update(part.encode())
            digest.update(b"\0")
    return digest.hexdigest()[:16]
