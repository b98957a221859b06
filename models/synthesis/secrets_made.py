"""Values of credentials: passwords as people invent them, random strings, and providers' formats."""

from __future__ import annotations

import base64
import random
import re
import string
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Final

from unsprawl.models.synthesis.wordlists import COMPANIES, NAMES, SERVICES, WORDS
from unsprawl.placeholders import fill

__all__ = ["RANDOM", "STRONG", "WEAK", "provider", "templates"]

_TOKEN: Final = re.compile(
    r"(?<![A-Za-z0-9_.-])[A-Za-z][A-Za-z0-9]{0,12}[_.-][A-Za-z0-9_.-]{0,16}"
    r"<(?:alnum|hex|base64url|upper|lower|digits|base32|github-token)(?::[A-Za-z0-9_-]+)?>"
    r"(?:[A-Za-z0-9_.-]*<(?:alnum|hex|base64url|digits):[0-9-]+>)*"
    r"|<aws-key-id:[A-Z0-9:]+>"
)
_PUBLIC: Final = re.compile(r"^(?:pk|pub|public|publishable)[_.-]", re.IGNORECASE)
_WALKS: Final = "qwerty qwertz azerty asdfgh 1qaz2wsx zaq12wsx qazwsx q1w2e3r4 poiuyt zxcvbn 1q2w3e4r".split()
_SYMBOLS: Final = "!!!!@#$%*?.-_+&"
_LEET: Final = str.maketrans("aeiost", "4310$7")
_Maker = Callable[[random.Random], str]


@lru_cache(maxsize=1)
def templates() -> tuple[str, ...]:
    """Token templates of the built-in rules' examples, in the order of the rules' names."""
    found: dict[str, None] = {}
    folder = files("unsprawl").joinpath("detectors", "rules")
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        part = ""
        for line in file.read_text("utf-8").splitlines() if file.name.endswith(".yaml") else ():
            name = re.match(r"\s+(\w+):", line)
            part = name[1] if name else part
            if part == "examples" and not name:
                found.update(dict.fromkeys(one for one in _TOKEN.findall(line) if not _PUBLIC.match(one)))
    return tuple(found)


def provider(draw: random.Random) -> tuple[str, str]:
    """A token in the format of a provider, with a valid checksum where the format has one, and its style."""
    template = draw.choice(templates())
    return fill(template, str(draw.getrandbits(32))), f"provider:{template.partition('<')[0][:12]}"


def _cased(draw: random.Random, word: str) -> str:
    return draw.choice((word, word, word.title(), word.title(), word.upper()))


def _number(draw: random.Random) -> str:
    return draw.choice((
        str(draw.randint(0, 9)), str(draw.randint(10, 99)), str(draw.randint(100, 9999)), "123", "1234", "01",
        str(draw.randint(1965, 2026)), str(draw.randint(2015, 2026)),
    ))  # fmt: skip


def _word_digits(draw: random.Random) -> str:
    return _cased(draw, draw.choice(WORDS)) + _number(draw)


def _word_symbol(draw: random.Random) -> str:
    made = [_cased(draw, draw.choice(WORDS + NAMES)), draw.choice(_SYMBOLS), _number(draw)]
    if draw.random() < 0.4:
        made[1:] = made[:0:-1]
    return "".join(made)


def _company(draw: random.Random) -> str:
    mark = draw.choice(("!", "", "#", "@", "$"))
    return f"{_cased(draw, draw.choice(COMPANIES + SERVICES))}{draw.choice('@#-_!')}{_number(draw)}{mark}"


def _leet(draw: random.Random) -> str:
    word = draw.choice(("password", "secret", "admin", *WORDS)).translate(_LEET)
    return _cased(draw, word) + draw.choice(("", "!", _number(draw)))


def _two_words(draw: random.Random) -> str:
    first, second = draw.sample(WORDS, 2)
    return _cased(draw, first) + draw.choice(("", "", "-", "_", ".", "&")) + _cased(draw, second)


def _phrase(draw: random.Random) -> str:
    return draw.choice("-_.").join(draw.sample(WORDS, draw.randint(3, 5)))


def _mixed(draw: random.Random) -> str:
    letters = string.ascii_letters + string.digits + "!@#$%^*-_=+?."
    return "".join(draw.choices(letters, k=draw.randint(8, 24)))


def _short(draw: random.Random) -> str:
    return "".join(draw.choices("abcdefghijkmnpqrstuvwxyz23456789", k=draw.randint(5, 9)))


def _drawn(name: str, *sizes: int) -> _Maker:
    def make(draw: random.Random) -> str:
        return fill(f"<{name}:{draw.choice(sizes)}>", str(draw.getrandbits(40)))

    return make


def _encoded(draw: random.Random) -> str:
    return base64.b64encode(draw.randbytes(draw.choice((16, 20, 24, 32, 48, 64)))).decode()


def _basic(draw: random.Random) -> str:
    return base64.b64encode(f"{draw.choice(NAMES + SERVICES)}:{_word_symbol(draw)}".encode()).decode()


def _jwt(draw: random.Random) -> str:
    return fill(draw.choice(("<jwt:valid>", "<jwt:expired>")), str(draw.getrandbits(32)))


def _walk(draw: random.Random) -> str:
    return _cased(draw, draw.choice(_WALKS)) + draw.choice(("", "1", "123", "!", _number(draw)))


def _single(draw: random.Random) -> str:
    return draw.choice(WORDS + NAMES)


def _obvious(draw: random.Random) -> str:
    word = draw.choice(("password", "admin", "root", "secret", "pass", "welcome", *SERVICES))
    return _cased(draw, word) + draw.choice(("", "1", "123", "1234", "@123", "!", "12345", "2024"))


#: Random strings: the very same makers serve secrets and what only looks like one.
RANDOM: Final[dict[str, _Maker]] = {
    "hex": _drawn("hex", 16, 20, 24, 32, 40, 48, 64, 128),
    "alnum": _drawn("alnum", 12, 16, 20, 24, 32, 40, 43, 64),
    "lower-digits": _drawn("lowerdigits", 10, 16, 20, 25, 32, 40),
    "upper-digits": _drawn("upperdigits", 12, 16, 20, 26, 32),
    "base64url": _drawn("base64url", 22, 32, 43, 64, 86),
    "base64": _encoded,
    "uuid": _drawn("uuid", 1),
}
RANDOM["uuid"] = lambda draw: fill("<uuid>", str(draw.getrandbits(40)))
STRONG: Final[dict[str, _Maker]] = {
    "password.word-symbol": _word_symbol,
    "password.company": _company,
    "password.leet": _leet,
    "password.two-words": _two_words,
    "password.phrase": _phrase,
    "password.mixed": _mixed,
    "password.short": _short,
    "password.word-digits": _word_digits,
    "basic": _basic,
    "jwt": _jwt,
    **RANDOM,
}
WEAK: Final[dict[str, _Maker]] = {
    "weak.single": _single,
    "weak.obvious": _obvious,
    "weak.walk": _walk,
    "weak.word-digits": _word_digits,
}
