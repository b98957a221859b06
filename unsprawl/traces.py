"""Traces of a known value in a text: the value itself, its encodings, and any longer stretch of it.

A value need not stand whole to be given away: a window cuts it, a line break splits it. So every
stretch of eight or more of its characters counts, in its encodings of sixteen or more. What is public of
a value is no trace: a key of RubyGems leaves the path ``/srv/rubygems_mirror`` alone.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

from unsprawl.printable import printable
from unsprawl.secret import Secret

__all__ = ["MASK", "masked"]

MASK: Final = "…"

#: Values shorter than this are words like any other; they are masked where they were found only.
_SHORTEST: Final = 4
#: From here on a value is looked for within words too.
_SHORTEST_WITHIN: Final = 6
_STRETCH: Final = 8
_ENCODED_STRETCH: Final = 16
#: Longer values are looked for as they are: their encodings are random words, which are masked anyway.
_LONGEST_ENCODED: Final = 512
_LONGEST: Final = 16_384
_FEW: Final = 3
_TAME = re.compile(r"[A-Za-z0-9_.~-]*\Z")
_PEM_BORDER = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")


class _Form(NamedTuple):
    """One writing of a value. ``grams`` are pieces of which every stretch of ``least`` holds one.

    Its first ``public`` characters are no secret.
    """

    text: str
    least: int
    grams: tuple[tuple[int, str], ...]
    public: int = 0


class _Traces(NamedTuple):
    """All writings of a value. A text with none of ``fours`` in it, or of ``grams``, has no trace of it."""

    fours: frozenset[str]
    grams: tuple[str, ...]
    forms: tuple[_Form, ...]


def masked(text: str, known: Iterable[Secret]) -> str:
    """``text`` with every trace of the known values as ``…``. Both text and values are made printable."""
    # What stands twice nearby is known once.
    traces = [_traces(secret) for secret in dict.fromkeys(known)]
    if len(traces) > _FEW:  # a dump of credentials: each has all its neighbours for known values
        present = _fours(text)
        traces = [trace for trace in traces if not trace.fours.isdisjoint(present)]
    # A mask joins what stood on its two sides, so the text is looked at again until nothing is found.
    for _ in range(8):
        before = text
        for trace in traces:
            if any(map(text.__contains__, trace.grams)):
                for form in trace.forms:
                    text = _without(text, form)
        if text == before:
            return text
    return MASK


def _without(text: str, form: _Form) -> str:
    value, least, grams, public = form
    for offset, gram in grams:
        at = text.find(gram)
        while at >= 0:
            start, end = at, at + len(gram)
            low, high = offset, offset + len(gram)
            while low and start and text[start - 1] == value[low - 1]:
                start, low = start - 1, low - 1
            while high < len(value) and end < len(text) and text[end] == value[high]:
                end, high = end + 1, high + 1
            within = len(value) >= _SHORTEST_WITHIN or _stands_alone(text, start, end)
            if end - start >= least and high > public and within:
                text = text[:start] + MASK + text[end:]
                at = text.find(gram, start + 1)
            else:
                at = text.find(gram, at + 1)
    return text


def _stands_alone(text: str, start: int, end: int) -> bool:
    return not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())


@lru_cache(maxsize=64)
def _fours(text: str) -> frozenset[str]:
    return frozenset(text[at : at + 4] for at in range(len(text) - 3))


@lru_cache(maxsize=1024)
def _traces(secret: Secret) -> _Traces:
    forms = _forms(secret)
    grams = {gram for form in forms for _, gram in form.grams}
    return _Traces(frozenset(gram[:4] for gram in grams), tuple(grams), forms)


def _forms(secret: Secret) -> tuple[_Form, ...]:
    raw, public = secret.reveal()[:_LONGEST], secret.public
    plain = {_stripped(raw.decode("utf-8", "replace")), _stripped(raw.decode("utf-8", "surrogateescape"))}
    # Each writing with that of the public begin.
    encoded: dict[str, str] = {}
    if len(raw) <= _LONGEST_ENCODED:
        for text in plain:
            if _TAME.match(text):
                continue  # no escape changes it
            # Escapes leave most characters alone, so what they leave counts like the value itself.
            encoded |= {write(text): write(public) for write in _ESCAPES}
        encoded |= {write(raw.hex()): write(public.encode().hex()) for write in (str.lower, str.upper)}
        for shift in range(3):
            # Bytes in front of the value move its base64 by a third of a byte each.
            packed = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
            inner = packed[-(-shift * 8 // 6) : None if (shift + len(raw)) % 3 == 0 else -1]
            encoded |= {inner: "", inner.translate({43: "-", 47: "_"}): ""}
    forms = [_form(text, _STRETCH, public) for text in plain]
    forms += [
        _form(text, _ENCODED_STRETCH, begin)
        for text, begin in encoded.items()
        if text not in plain and len(text) >= _STRETCH
    ]
    return tuple(form for form in forms if form.grams)


def _lowered(escape: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), escape(text))


_PERCENT: Final[tuple[Callable[[str], str], ...]] = (lambda text: quote(text, safe=""), quote_plus, quote)
_ESCAPES: Final[tuple[Callable[[str], str], ...]] = (
    *_PERCENT,
    *map(_lowered, _PERCENT),
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    html.escape,
    lambda text: repr(text)[1:-1],
)


def _stripped(text: str) -> str:
    return _PEM_BORDER.sub("", printable(text)).strip()


def _form(text: str, stretch: int, public: str) -> _Form:
    if len(text) < _SHORTEST:
        return _Form(text, 1, ())
    if len(text) < stretch:
        return _Form(text, len(text), ((0, text),))
    # Of any `stretch` characters in a row, at least one gram of this size and step is whole.
    size = stretch // 2
    step = stretch - size + 1
    grams = tuple((at, text[at : at + size]) for at in range(0, len(text) - size + 1, step))
    return _Form(text, stretch, grams, len(public) if text.startswith(public) else 0)
