r"""What a rule's pattern tells before it runs: how far a match can reach, and where Hyperscan may stop.

Hyperscan reports every end of every match, and no start. So it is given a pattern whose end is
trimmed (``ghp_\w{36,}`` reports once a token, not once a byte), and the confirmation must know how many
bytes to look back from such an end (``back``) and how long a match can be (``ahead``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from unsprawl.detectors.cache import kept
from unsprawl.structs import Struct

__all__ = ["LONGEST", "Item", "Shape", "UnknownSyntaxError", "lead", "parse", "shape", "shapes"]

#: Raise it when the same pattern gets another shape.
_FORMAT: Final = 2

#: No match is longer than this, in bytes. Segments overlap by it.
LONGEST: Final = 32 << 10
#: What a repetition without a bound is taken for: of blanks and single characters, and of all else.
_FEW: Final = 64
_MANY: Final = 16 << 10
#: A pattern with this many fixed characters in a row is cheap for Hyperscan; one without is not.
_SELECTIVE: Final = 2
_SMALL_CLASS: Final = 12

#: Within a class: the blanks of RE2, and all else.
_BLANKS: Final = {r"\s": r"\t\n\f\r\x20", r"\S": r"\x00-\x08\x0b\x0e-\x1f\x21-\xff"}

_QUANTIFIER: Final = re.compile(r"(?:[*+?]|\{(\d+)(,(\d*))?\})([?+]?)")
_CLASS: Final = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\x\{[^}]*\}|\\p\{[^}]*\}|\\.|[^\]\\])*\]", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:x\{[^}]*\}|x[0-9A-Fa-f]{2}|[pP]\{[^}]*\}|[pP].|[0-7]{3}|.)", re.DOTALL)
_OPEN: Final = re.compile(r"\((?:\?(?:P?<[A-Za-z_]\w*>|[a-zA-Z-]*:|>|<?[=!]))?")
_FLAGS: Final = re.compile(r"\(\?[a-zA-Z-]+\)")
_WIDE: Final = re.compile(r"\\[wWdDsSpP]|\[:|[^\\]-[^\]]|^\^")


class Shape(Struct, frozen=True):
    """``expression`` goes to Hyperscan; ``selective`` says that it holds a literal it can hook on."""

    expression: str
    back: int
    ahead: int
    selective: bool


class Item(NamedTuple):
    """One atom with its quantifier. ``most`` counts an unbounded repetition as its allowance."""

    start: int
    atom_end: int
    end: int
    low: int
    high: int | None
    least: int
    most: int
    literal: bool
    few: bool
    body: tuple[tuple[Item, ...], ...]


class UnknownSyntaxError(ValueError):
    """Syntax that this module does not read; the pattern is then taken as it is."""


def shape(pattern: str, superset: str = "") -> Shape:
    """The shape of a rule's pattern, or of the superset that Hyperscan searches in its place."""
    try:
        ahead = _most(parse(pattern))
    except UnknownSyntaxError:
        ahead = LONGEST
    searched = superset or pattern
    try:
        trimmed = _trim(searched)
        branches = parse(trimmed)
        return Shape(
            _same_blanks(trimmed),
            min(_most(branches), LONGEST),
            min(ahead, LONGEST),
            _run(branches) >= _SELECTIVE,
        )
    except UnknownSyntaxError:
        return Shape(searched, LONGEST, min(ahead, LONGEST), True)


def shapes(patterns: Sequence[tuple[str, str]], folder: Path | None) -> list[Shape]:
    """The shapes of all patterns and their supersets, kept in ``folder``: a thousand take half a second."""
    key = "\0".join([str(_FORMAT), *chain.from_iterable(patterns)]).encode("utf-8", "surrogatepass")
    return kept(folder, "shapes", key, list[Shape], lambda: [shape(*each) for each in patterns])


class _Made(NamedTuple):
    """The bytes that matches are made of, the fewest of one match, and whether each may have a digit."""

    bytes: frozenset[int]
    least: int
    digits: bool


def lead(pattern: str, alphabet: frozenset[int], least: int) -> str:
    """What all matches of ``pattern`` begin with, as far as it is made of ``alphabet``.

    Empty where that is not always ``least`` bytes long, or can have no digit, or where syntax stands that is
    not read here.
    """
    try:
        leads = [_lead(pattern, branch, alphabet, least) for branch in parse(pattern)]
    except (UnknownSyntaxError, re.error):
        return ""
    return "|".join(leads) if all(leads) else ""


def _lead(text: str, branch: tuple[Item, ...], alphabet: frozenset[int], least: int) -> str:
    size, digits, end = 0, False, 0
    for item in branch:
        made = _made_of_item(text, item)
        if not made.bytes <= alphabet:
            break
        size += item.least
        digits = digits or (made.digits and item.low > 0)
        end = item.end
    return text[branch[0].start : end] if size >= least and digits else ""


def _made_of(text: str, branches: tuple[tuple[Item, ...], ...]) -> _Made:
    found: set[int] = set()
    digits = True
    for branch in branches:
        made = [_made_of_item(text, item) for item in branch]
        found.update(*(one.bytes for one in made))
        digits = digits and any(one.digits and item.low > 0 for one, item in zip(made, branch, strict=True))
    return _Made(frozenset(found), min(sum(item.least for item in branch) for branch in branches), digits)


def _made_of_item(text: str, item: Item) -> _Made:
    if item.body:
        return _made_of(text, item.body)
    if not item.most:
        return _Made(frozenset(), 0, digits=False)
    atom = re.compile(text[item.start : item.atom_end].encode("latin-1", "replace"), re.DOTALL)
    taken = frozenset(byte for byte in range(256) if atom.fullmatch(bytes([byte])))
    return _Made(taken, 1, not taken.isdisjoint(b"0123456789"))


# --- reading -------------------------------------------------------------------------------------


def parse(text: str) -> tuple[tuple[Item, ...], ...]:
    branches, end = _alternatives(text, 0)
    if end != len(text):
        raise UnknownSyntaxError(text)
    return branches


def _alternatives(text: str, position: int) -> tuple[tuple[tuple[Item, ...], ...], int]:
    branches: list[tuple[Item, ...]] = []
    branch: list[Item] = []
    while position < len(text) and text[position] != ")":
        if text[position] == "|":
            branches.append(tuple(branch))
            branch = []
            position += 1
            continue
        item = _item(text, position)
        branch.append(item)
        position = item.end
    branches.append(tuple(branch))
    return tuple(branches), position


def _item(text: str, start: int) -> Item:
    char = text[start]
    least = most = 1
    literal = False
    few = False
    body: tuple[tuple[Item, ...], ...] = ()
    if char == "(":
        flags = _FLAGS.match(text, start)
        opening = _OPEN.match(text, start)
        if flags:
            return Item(start, flags.end(), flags.end(), 1, 1, 0, 0, literal=False, few=True, body=())
        if opening is None or text[opening.end() : opening.end() + 1] == "?":
            raise UnknownSyntaxError(text)
        body, end = _alternatives(text, opening.end())
        if end >= len(text):
            raise UnknownSyntaxError(text)
        end += 1
        around = opening.group().endswith(("=", "!"))
        least = 0 if around else min(sum(item.least for item in branch) for branch in body)
        most = 0 if around else _most(body)
        few = all(inner.few for branch in body for inner in branch)
        if around:
            body = ()
    elif char == "[":
        match = _CLASS.match(text, start)
        if match is None:
            raise UnknownSyntaxError(text)
        end = match.end()
        few = _WIDE.search(match.group()[1:-1]) is None
        literal = few and len(match.group()) <= _SMALL_CLASS
    elif char == "\\":
        match = _ESCAPE.match(text, start)
        if match is None or text[start + 1] in "QEK" or text[start + 1] in "123456789":
            raise UnknownSyntaxError(text)
        end = match.end()
        if text[start + 1] in "bBAzZ":
            least = most = 0
        few = text[start + 1] == "s"
        literal = text[start + 1] not in "wWdDsSpPbBAzZC"
    elif char in "^$":
        end, least, most = start + 1, 0, 0
    elif char in "*+?":
        raise UnknownSyntaxError(text)
    else:
        end = start + 1
        least = most = len(char.encode("utf-8", "surrogatepass"))
        literal = few = char != "."
    low, high, after = _quantifier(text, end)
    if high is None:
        most = most * low + (_FEW if few else _MANY)
    else:
        most *= high
    return Item(start, end, after, low, high, least * low, most, literal and low > 0, few, body)


def _quantifier(text: str, position: int) -> tuple[int, int | None, int]:
    match = _QUANTIFIER.match(text, position)
    if match is None:
        return 1, 1, position
    sign = text[position]
    if sign != "{":
        low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        return low, high, match.end()
    least = int(match[1])
    if match[2] is None:
        return least, least, match.end()
    return least, int(match[3]) if match[3] else None, match.end()


def _most(branches: tuple[tuple[Item, ...], ...]) -> int:
    return max(sum(item.most for item in branch) for branch in branches)


def _run(branches: tuple[tuple[Item, ...], ...]) -> int:
    """The longest row of fixed characters that every match holds."""
    best: list[int] = []
    for branch in branches:
        longest = row = 0
        for item in branch:
            if item.literal:
                row += item.low
                longest = max(longest, row)
                if item.low == item.high:
                    continue
            elif item.body and item.low > 0:
                longest = max(longest, _run(item.body))
            if item.least or item.most:
                row = 0
        best.append(longest)
    return min(best)


# --- rewriting -----------------------------------------------------------------------------------


def _trim(text: str) -> str:
    """Cut what follows the shortest way to a match: every match of ``text`` begins with one of the result."""
    branches = parse(text)
    cuts: list[tuple[int, int, str]] = []
    for branch in branches:
        if not any(item.least for item in branch):
            return text
        cuts += _cuts(branch)
    for start, end, instead in sorted(cuts, reverse=True):
        text = text[:start] + instead + text[end:]
    return text


def _cuts(branch: tuple[Item, ...]) -> Iterator[tuple[int, int, str]]:
    for item in reversed(branch):
        if item.least == 0:
            yield item.start, item.end, ""
            continue
        if item.low != item.high:
            yield item.atom_end, item.end, "" if item.low == 1 else f"{{{item.low}}}"
        elif item.low == 1 and all(any(inner.least for inner in other) for other in item.body):
            for other in item.body:
                yield from _cuts(other)
        return


def _same_blanks(text: str) -> str:
    r"""RE2's ``\s`` lacks the vertical tab, Hyperscan's has it: spell ``\s`` and ``\S`` out."""

    def spell(match: re.Match[str]) -> str:
        token = match.group()
        if token.startswith("["):
            return re.sub(
                r"\\.", lambda escape: _BLANKS.get(escape.group(), escape.group()), token, flags=re.DOTALL
            )
        return {r"\s": r"[\t\n\f\r\x20]", r"\S": r"[^\t\n\f\r\x20]"}.get(token, token)

    return re.sub(f"{_CLASS.pattern}|{_ESCAPE.pattern}", spell, text, flags=re.DOTALL)
