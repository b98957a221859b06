"""What a given value looks like: the bytes that are it, and the bytes that tell of it where it is disguised.

A value in UTF-8, UTF-16 or Latin-1, or escaped as programs do it, is a hit by itself. What else stands for
it is only a place to look at: its pieces where tags or line ends split it, its base64 and hexadecimal. There
the views make a text in which the value stands as it is.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from urllib.parse import quote, quote_plus

from unsprawl.detectors.views.clues import Coding, Telling, marks
from unsprawl.errors import ConfigError
from unsprawl.secret import Secret, normalise

__all__ = ["LONGEST", "SHORTEST", "Forms", "Hint", "Value", "forms", "values_of"]

#: Values shorter than this stand everywhere; longer ones are no credentials.
SHORTEST: Final = 4
LONGEST: Final = 16 << 10
#: Values shorter than this count only where a word begins and ends.
WORD: Final = 6
#: Values that one sweep takes.
_MOST: Final = 100_000
#: A piece of a value that is looked for by itself is this long, in bytes.
_PIECE_LEAST: Final = 5
_PIECE_MOST: Final = 10
#: More pieces of one value are not looked for: whoever splits it into more, splits it everywhere.
_PIECES: Final = 5
#: Of an encoding its end is enough: the view reads the rest.
_ENOUGH: Final = 16
#: Bytes of a private key's body that are looked for, at three places: whatever its lines, one is whole.
_KEY_PIECE: Final = 24
_PEM: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----(.*?)-----END [A-Z0-9 ]+-----", re.DOTALL)
_PLAIN_WORD: Final = re.compile(rb"[a-z]+|[A-Z][a-z]+|[A-Z]+|[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Value:
    """One given value. ``number`` is its place among the given ones, ``key`` marks a private key."""

    number: int
    secret: Secret
    key: bool = False

    @property
    def data(self) -> bytes:
        return self.secret.reveal()


@dataclass(frozen=True, slots=True)
class Hint:
    """Something to look at: a group of ``coding`` begins ``width`` before its end.

    No coding: all views that edit.
    """

    width: int
    coding: Coding | None


#: A value as it stands, and the view by which it does.
Whole: TypeAlias = "tuple[Value, str]"


@dataclass(frozen=True, slots=True)
class Forms:
    """By their bytes: what is a value, what is a piece of a private key, and what tells of one."""

    wholes: dict[bytes, list[Whole]] = field(default_factory=dict)
    keys: dict[bytes, list[Value]] = field(default_factory=dict)
    hints: dict[bytes, list[Hint]] = field(default_factory=dict)

    def literals(self) -> list[bytes]:
        return list(dict.fromkeys([*self.wholes, *self.keys, *self.hints]))


def values_of(given: Iterable[Secret]) -> tuple[Value, ...]:
    """The distinct values, as they are looked for. ``ConfigError`` for what cannot be swept for."""
    found: dict[bytes, Value] = {}
    for secret in given:
        data = normalise(secret.reveal())
        whole = secret.reveal().strip()
        is_key = _PEM.search(whole) is not None
        if not is_key and len(data) < SHORTEST:
            raise ConfigError(
                f"a value of {len(data)} characters stands everywhere",
                hint=f"values have at least {SHORTEST} characters",
            )
        if len(whole) > LONGEST:
            raise ConfigError(f"a value is longer than {LONGEST >> 10} KiB, so it is no credential")
        if data not in found:
            kept = Secret(whole if is_key else data, secret.prefix)
            found[data] = Value(len(found), kept, is_key)
        if len(found) > _MOST:
            raise ConfigError(f"more than {_MOST:,} values", hint="sweep for them in several parts")
    return tuple(found.values())


def forms(values: Sequence[Value]) -> Forms:
    """All forms of all values."""
    made = Forms()
    words: list[bytes] = []
    for value in values:
        if value.key:
            for piece in _key_pieces(value.data):
                made.keys.setdefault(piece, []).append(value)
                words.append(piece)
            continue
        escaped = _escaped(value.data)
        for data, view in (*_spellings(value.data), *escaped):
            known = made.wholes.setdefault(data, [])
            if all(other.number != value.number for other, _ in known):
                known.append((value, view))
        words.append(value.data)
        for piece in _pieces(value.data):
            _hint(made, piece, Hint(0, None))
    for mark in marks(Telling((), tuple(dict.fromkeys(words)))):
        _hint(made, mark.core[-_ENOUGH:], Hint(mark.width, mark.coding))
    return made


def _hint(made: Forms, literal: bytes, hint: Hint) -> None:
    known = made.hints.setdefault(literal, [])
    if hint not in known:
        known.append(hint)


def _spellings(value: bytes) -> Iterator[tuple[bytes, str]]:
    """The bytes that are the value, and how they are encoded."""
    yield value, ""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, text).encode(), ""
    for encoding, view in (("utf-16-le", "utf-16"), ("utf-16-be", "utf-16"), ("latin-1", "latin-1")):
        try:
            yield text.encode(encoding), view
        except UnicodeEncodeError:
            continue


def _pieces(value: bytes) -> Iterator[bytes]:
    """Stretches of the value of which one is left whole when something stands in its midst."""
    size = len(value)
    if size < 2 * _PIECE_LEAST - 2:
        return
    length = max(_PIECE_LEAST, min(_PIECE_MOST, size // 4))
    starts = list(range(0, size - length + 1, length))
    if starts[-1] != size - length:
        starts.append(size - length)
    if len(starts) > _PIECES:
        step = len(starts) / _PIECES
        starts = [starts[int(index * step)] for index in range(_PIECES - 1)] + starts[-1:]
    for start in starts:
        piece = value[start : start + length]
        # A common word tells of nothing.
        if piece != value and not (len(piece) < _PIECE_MOST and _PLAIN_WORD.fullmatch(piece)):
            yield piece


def _escaped(value: bytes) -> list[tuple[bytes, str]]:
    """What programs write for the value, where that is something else, and the view that would undo it.

    A value of which every character is escaped tells of itself, except in entities.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return []
    percent, entity, string = quote(text, safe=""), html.escape(text), json.dumps(text)[1:-1]
    plain = json.dumps(text, ensure_ascii=False)[1:-1]
    found = {
        "percent": (*(percent, _lower(percent), quote(text, safe="/"), quote_plus(text)),),
        "entity": (
            *(entity, entity.replace("&#x27;", "&#39;"), html.escape(text, quote=False)),
            "".join(f"&#{ord(char)};" for char in text),
            *("".join(f"&#x{ord(char):{form}};" for char in text) for form in "xX"),
        ),
        "escape": (
            *(string, plain, string.replace("/", "\\/"), plain.replace("'", "\\'").replace('\\"', '"')),
        ),
    }
    return [
        (one.encode(), view)
        for view, spelled in found.items()
        for one in dict.fromkeys(spelled)
        if one != text
    ]


def _lower(percent: str) -> str:
    return re.sub("%..", lambda match: match.group().lower(), percent)


def _key_pieces(pem: bytes) -> Iterator[bytes]:
    """Three stretches of a private key's body, the first behind what all keys of its kind begin with."""
    body = key_body(pem)
    size = len(body)
    for part in (1, 2, 3):
        start = min(size * part // 4, max(0, size - _KEY_PIECE))
        piece = body[start : start + _KEY_PIECE]
        if len(piece) == _KEY_PIECE:
            yield piece


def key_body(pem: bytes) -> bytes:
    """The base64 of a PEM text in one line, as its DER is written."""
    der = normalise(pem)
    try:
        b64decode(der, validate=True)
    except Base64Error:
        return b64encode(der)
    return der
