"""What may be stored and shown of a text that was found: never a value, known or merely suspected.

Four nets lie over each other, each for what slips through the others:

1. what the detection engine finds (also what was later refused as a candidate);
2. passwords in URLs and the values of parameters named like credentials;
3. words that look random: long, of letters and digits in wild alternation;
4. every trace of the values known to stand nearby (:mod:`unsprawl.traces`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from string import ascii_letters, digits
from typing import Final, TypeAlias
from urllib.parse import quote, unquote

from unsprawl.printable import printable
from unsprawl.records import Json
from unsprawl.secret import Secret
from unsprawl.traces import MASK, masked

__all__ = ["Find", "Redactor"]

#: Spans of secrets in bytes: start, end, and the public prefix that may be shown.
Find: TypeAlias = Callable[[bytes], Iterable[tuple[int, int, str]]]

_LONGEST_TEXT: Final = 4096
_LONGEST_SIDE: Final = 200
#: Bytes on each side that are looked at: enough for any token that begins or ends within what is shown.
_LONGEST_WINDOW: Final = 1024
_DEEPEST: Final = 16

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/?#\s:@]*):[^/?#\s@]*(?:@[^/?#\s@]*(?=@))*@")
_PARAMETER = re.compile(
    r"(?i)([?&;#][a-z0-9_.%-]*?(?:token|secret|passw|passphrase|pwd|signature|api[_-]?key|access[_-]?key"
    r"|credential|(?<=[?&;#])(?:sig|auth|key|jwt|code))[a-z0-9_.%-]*=)[^&#\s\"'<>]+"
)
_WORD = re.compile(
    r"(?P<digest>\b(?:sha(?:1|224|256|384|512)|md5|blake[23]b?)[:-](?:[0-9a-f]{32,128}|[A-Za-z0-9+/]{27,88}={0,2})"
    r"(?![A-Za-z0-9+/]))"
    r"|(?P<uuid>(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z]))"
    r"|(?P<word>[A-Za-z0-9_+-]{20,}={0,2})"
)
#: What holds any of these whole, and is found in a quarter of the time.
_RUN = re.compile(r"[A-Za-z0-9_+/:=-]{20,}")
#: What stands between slashes or blanks, if it holds an escape.
_ESCAPED = re.compile(r"[^/\s%]*(?:%[0-9A-Fa-f]{2}[^/\s%]*)+")
_SAFE: Final = "!$&'()*+,;=:@?#"
_ATOM = re.compile(r"[A-Za-z0-9]+")
_TURN = re.compile(r"[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z])|[a-z](?=[A-Z])")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_DIGEST_LENGTHS: Final = frozenset({40, 64, 96, 128})
#: An unbroken run shorter than this is a name's part: ``web-7d4b9c6f5-x2k9p``.
_SHORTEST_RANDOM: Final = 12
#: An unbroken run of this length is judged by itself too, whatever it is joined to.
_SHORTEST_WORD: Final = 20
_LONGEST_SHOWN_PIECE: Final = 8
#: What follows a value on the heels of a sign that passwords contain may be more of it than the rule took.
_REST = re.compile(rb"[&!$%^*~+|][^\s\"'`<>]{1,64}")
_HEAD = re.compile(r"[A-Za-z0-9_+-]+")
_TAIL: Final = f"{ascii_letters}{digits}_+-"
_BESIDE = re.compile(r"[A-Za-z0-9+=_-]+")


class Redactor:
    """Masks texts. ``find`` is the detection engine's; None leaves the other nets."""

    def __init__(self, find: Find | None = None) -> None:
        self._find = find
        # The uri and the attributes of a document are asked for with each of its occurrences.
        self._cached = lru_cache(maxsize=4096)(self._without_suspects)

    def text(self, string: str, known: Iterable[Secret] = (), *, keep_digests: bool = True) -> str:
        """One line, printable, at most 4096 characters, all values as ``…``.

        ``keep_digests`` spares bare hexadecimal digests of the usual lengths, for uris and names need
        them; ``sha256:…`` and UUIDs are always spared.
        """
        shown = self._cached(string[: 2 * _LONGEST_TEXT], keep_digests)
        shown = masked(shown, known)
        return shown if len(shown) <= _LONGEST_TEXT else shown[: _LONGEST_TEXT - 1] + MASK

    def attrs(self, attrs: Mapping[str, Json], known: Iterable[Secret] = ()) -> dict[str, Json]:
        """``attrs`` with every text in it masked, keys too."""
        known = tuple(known)
        return {self.text(key, known): self._value(value, known, 1) for key, value in attrs.items()}

    def context(
        self, before: bytes, text: bytes, after: bytes, secret: Secret, known: Iterable[Secret] = ()
    ) -> str:
        """The line (or lines) around ``text``, with its preview in its place and all other values masked.

        ``before`` and ``after`` may begin and end anywhere: a piece of a word at their outer edge may
        be a piece of a value, and is treated as one.
        """
        known = (*known, secret)
        before, after = before[-_LONGEST_WINDOW:], after[:_LONGEST_WINDOW]
        window = before + text + after
        start, end = len(before), len(before) + len(text)
        spans = [(start, end, secret.preview)]
        for low, high, prefix in self._find(window) if self._find else ():
            if high <= start or low >= end:
                spans.append((low, high, Secret(window[low:high], prefix).preview))
            else:  # overlaps the candidate: what sticks out is a part of it
                spans += [(low, start, MASK)] if low < start else []
                spans += [(end, high, MASK)] if high > end else []
        if rest := _REST.match(window, end):
            spans.append((end, rest.end(), MASK))
        first = max(before.rfind(b"\n"), before.rfind(b"\r")) + 1
        last = min((at for mark in b"\n\r" if (at := window.find(mark, end)) >= 0), default=len(window))
        left, right = "", ""
        position = first
        torn = first == 0 and start > 0
        for low, high, preview in sorted(spans):
            if high <= first or low >= last or high <= position:
                continue
            piece = self._piece(window[position : max(low, position)], torn, low > position, known)
            shown = preview if low >= position else MASK
            if low < start:
                left += piece + shown
            elif low == start:
                left, right = left + piece, shown
            else:
                right += piece + shown
            position, torn = high, True
        right += self._piece(window[position:last], torn, last == len(window), known)
        left = left if len(left) <= _LONGEST_SIDE else MASK + left[-_LONGEST_SIDE:]
        right = right if len(right) <= _LONGEST_SIDE + 64 else right[: _LONGEST_SIDE + 64] + MASK
        return (left.lstrip() + right.rstrip()).strip()

    def _piece(self, content: bytes, torn_before: bool, torn_after: bool, known: Sequence[Secret]) -> str:
        """Bytes between two masks or edges; ``torn``: a value may go on beyond that end."""
        if not content:
            return ""
        text = _without_credentials(printable(content.decode("utf-8", "replace"), lines=True), False)
        if torn_before and (head := _HEAD.match(text)) and _is_remnant(head.group()):
            text = MASK + text[head.end() :]
        if torn_after and _is_remnant(text[(end := len(text.rstrip(_TAIL))) :]):
            text = text[:end] + MASK
        return masked(text, known)

    def _without_suspects(self, string: str, keep_digests: bool) -> str:
        text = printable(string)
        if "%" in text:
            text = _ESCAPED.sub(lambda match: self._without_escaped(match, keep_digests), text)
        if self._find is not None:
            text = self._without_found(text)
        return _without_credentials(text, keep_digests)

    def _without_escaped(self, match: re.Match[str], keep_digests: bool) -> str:
        """One step of a path with ``%3A`` in it: escapes join a value to its delimiters, and tear it."""
        plain = printable(unquote(match.group(), errors="surrogateescape"))
        shown = self._without_suspects(plain, keep_digests)
        if shown == plain:
            return match.group()
        return MASK.join(quote(piece, safe=_SAFE) for piece in shown.split(MASK))

    def _without_found(self, text: str) -> str:
        assert self._find is not None
        content = text.encode()
        pieces: list[str] = []
        position = 0
        for start, end, prefix in sorted(self._find(content)):
            if start >= position:
                pieces += (content[position:start].decode("utf-8", "replace"), prefix[:12], MASK)
            position = max(position, end)
        if not pieces:
            return text
        return "".join(pieces) + content[position:].decode("utf-8", "replace")

    def _value(self, value: Json, known: tuple[Secret, ...], depth: int) -> Json:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if abs(value) < float("inf") else str(value)
        if isinstance(value, str):
            return self.text(value, known)
        if depth >= _DEEPEST:
            return MASK
        if isinstance(value, Mapping):
            return {self.text(key, known): self._value(each, known, depth + 1) for key, each in value.items()}
        return [self._value(each, known, depth + 1) for each in value]


def _without_credentials(text: str, keep_digests: bool) -> str:
    if "://" in text:
        text = _PASSWORD_IN_URL.sub(rf"\1:{MASK}@", text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{MASK}", text)
    return _without_random(text, keep_digests)


def _without_random(text: str, keep_digests: bool) -> str:
    pieces: list[str] = []
    position = 0
    for match in (match for run in _RUN.finditer(text) for match in _WORD.finditer(text, *run.span())):
        word = match.group("word")
        if word is None or match.start() < position or not _is_random(word, keep_digests):
            continue
        start, end = match.span()
        # Base64 has slashes, and so have paths: what lies beyond one goes too if it looks the same.
        while (
            start > position
            and text[start - 1] == "/"
            and (beside := _beside(text[position : start - 1], -1))
        ):
            start -= len(beside) + 1
        while text[end : end + 1] == "/" and (beside := _beside(text[end + 1 :], 1)):
            end += len(beside) + 1
        pieces += (text[position:start], MASK)
        position = end
    return "".join(pieces) + text[position:] if pieces else text


def _beside(text: str, direction: int) -> str:
    """The run of base64 at the near end of ``text``, if it is as wild as a piece of a key."""
    match = _BESIDE.match(text[:88]) if direction > 0 else re.search(r"[A-Za-z0-9+=_-]+\Z", text[-88:])
    run = match.group() if match else ""
    return run if len(run) >= 4 and len(_TURN.findall(run)) >= 0.3 * (len(run) - 1) else ""


def _is_random(word: str, keep_digests: bool) -> bool:
    atoms = _ATOM.findall(word)
    longest = max(atoms, key=len, default="")
    if len(longest) < _SHORTEST_RANDOM:
        return False
    if longest.isdigit() or longest.isalpha():
        return False
    if _HEX.fullmatch(longest) and len(longest) >= 16:
        # Object ids and short hashes are names; an hexadecimal key has the lengths of a digest.
        return not keep_digests or (len(longest) not in _DIGEST_LENGTHS and len(longest) > 24)
    # ``conf-`` before a key makes it no tamer.
    return _is_wild(atoms) or (len(longest) >= _SHORTEST_WORD and _is_wild([longest]))


def _is_wild(atoms: list[str]) -> bool:
    word = "".join(atoms)
    turns = sum(len(_TURN.findall(atom)) for atom in atoms)
    one_case = word.lower() == word or word.upper() == word
    return len(set(word)) >= 9 and turns >= (0.22 if one_case else 0.27) * (len(word) - 1)


def _is_remnant(run: str) -> bool:
    """Whether a run of letters at a torn edge may be a piece of a value rather than a word."""
    if len(run) < _LONGEST_SHOWN_PIECE:
        return False
    words = _ATOM.findall(run)
    plain = all(atom.isdigit() or atom.islower() or atom.isupper() or atom.istitle() for atom in words)
    return not (plain and all(atom.isalpha() or len(atom) < 5 for atom in words) and len(words) > 0)
