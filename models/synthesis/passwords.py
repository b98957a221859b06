"""Passwords as people invent them, from single words to phrases."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Final

from unsprawl.models.synthesis.wordlists import COMPANIES, GUESSABLE, LASTS, NAMES, SERVICES, WORDS

__all__ = ["HUMAN", "WEAK", "word_symbol"]

_WALKS: Final = """\
qwerty qwertz azerty asdfgh 1qaz2wsx zaq12wsx qazwsx q1w2e3r4 poiuyt zxcvbn 1q2w3e4r asdf jkl qweasd zxcasd
qazwsxedc 1234qwer qwe123 asd123 poiu zaq1xsw2 !QAZ2wsx 1qazXSW@ abc123 abcd1234 aaa111 112233 a1b2c3d4
""".split()
_ACCENTED: Final = """\
schlüssel größe señora mañana garçon élève ångström façade smörgås köttbulle čokoláda żabka пароль
солнышко любовь
""".split()
_SYMBOLS: Final = "!!!!@#$%*?.-_+&"
_LEET: Final = (str.maketrans("aeiost", "4310$7"), str.maketrans("aeo", "@30"), str.maketrans("ais", "@!5"))
_CONSONANTS, _VOWELS = "bcdfghjklmnprstvwz", "aeiou"
_Maker = Callable[[random.Random], str]


def _cased(draw: random.Random, word: str) -> str:
    return draw.choice((word, word, word, word.title(), word.title(), word.upper()))


def _number(draw: random.Random) -> str:
    return draw.choice((
        str(draw.randint(0, 9)), str(draw.randint(10, 99)), str(draw.randint(100, 9999)), "123", "1234", "01",
        str(draw.randint(1965, 2026)), str(draw.randint(2015, 2026)), "007", "321",
        f"{draw.randint(0, 99):03}", f"{draw.randint(0, 99999):06}",
    ))  # fmt: skip


def _word_digits(draw: random.Random) -> str:
    return _cased(draw, draw.choice(WORDS)) + _number(draw)


def word_symbol(draw: random.Random) -> str:
    """A word, a symbol and a number."""
    made = [_cased(draw, draw.choice(draw.choice((WORDS, NAMES)))), draw.choice(_SYMBOLS), _number(draw)]
    if draw.random() < 0.4:
        made[1:] = made[:0:-1]
    return "".join(made)


def _company(draw: random.Random) -> str:
    mark = draw.choice(("!", "", "", "#", "@", "$"))
    return f"{_cased(draw, draw.choice(COMPANIES + SERVICES))}{draw.choice('@#-_!')}{_number(draw)}{mark}"


def _leet(draw: random.Random) -> str:
    word = draw.choice((draw.choice(GUESSABLE), draw.choice(WORDS), draw.choice(WORDS)))
    return _cased(draw, word).translate(draw.choice(_LEET)) + draw.choice(("", "!", _number(draw)))


def _glued(draw: random.Random) -> str:
    words = draw.sample(WORDS, draw.choice((2, 2, 2, 3)))
    return "".join(words) if draw.random() < 0.6 else "".join(word.title() for word in words)


def _joined(draw: random.Random) -> str:
    first, second = draw.sample(WORDS, 2)
    return _cased(draw, first) + draw.choice("-_.&+/:@") + _cased(draw, second)


def _joined_number(draw: random.Random) -> str:
    return f"{_cased(draw, draw.choice(WORDS))}{draw.choice('-_.')}{_number(draw)}{draw.choice('abxyz!')}"


def _purpose(draw: random.Random) -> str:
    """What it opens, or who uses it, and a word for what it is."""
    ahead = draw.choice(
        (draw.choice(WORDS), draw.choice(SERVICES), draw.choice(COMPANIES), draw.choice(NAMES))
    )
    behind = draw.choice(
        ("pass", "secret", "pw", "pwd", "password", "key", "secretpass", "pass123", "admin", "db")
    )
    return ahead + draw.choice(("", "", "_", "-")) + behind + draw.choice(("", "", _number(draw)))


def _person(draw: random.Random) -> str:
    first, last = draw.choice(NAMES), draw.choice(LASTS)
    forms = (
        f"{first}{last}",
        f"{first}.{last}{_number(draw)}",
        f"{first[0]}{last}{_number(draw)}",
        f"{first.title()}{_number(draw)}",
        f"{last}{first[0].upper()}!",
        f"{first}loves{draw.choice(NAMES)}",
    )
    return draw.choice(forms)


def _phrase(draw: random.Random) -> str:
    return draw.choice("-_. ").join(draw.sample(WORDS, draw.randint(3, 5)))


def _sentence(draw: random.Random) -> str:
    """First letters of a sentence, as advice has it."""
    letters = "".join(draw.choices(string.ascii_letters, weights=[3] * 26 + [1] * 26, k=draw.randint(5, 9)))
    return letters + draw.choice(_SYMBOLS) + _number(draw)


def _syllables(draw: random.Random) -> str:
    made = "".join(draw.choice(_CONSONANTS) + draw.choice(_VOWELS) for _ in range(draw.randint(3, 5)))
    return _cased(draw, made) + draw.choice(("", "", _number(draw), draw.choice(_SYMBOLS) + _number(draw)))


def _typed(draw: random.Random) -> str:
    """Keys hit at random, as lower-case letters."""
    return "".join(draw.choices("asdfghjklqwertyuiopvbnmyhjv", k=draw.randint(6, 16)))


def _mixed(draw: random.Random) -> str:
    letters = string.ascii_letters + string.digits + "!@#$%^*-_=+?.~&(),;:"
    return "".join(draw.choices(letters, k=draw.randint(8, 24)))


def _short(draw: random.Random) -> str:
    return "".join(draw.choices("abcdefghijkmnpqrstuvwxyz23456789", k=draw.randint(5, 9)))


def _accents(draw: random.Random) -> str:
    return draw.choice(_ACCENTED) + draw.choice(("", _number(draw), "!" + _number(draw)))


def _walk(draw: random.Random) -> str:
    return _cased(draw, draw.choice(_WALKS)) + draw.choice(("", "", "1", "123", "!", "@", _number(draw)))


def _single(draw: random.Random) -> str:
    return _cased(draw, draw.choice(draw.choice((WORDS, WORDS, NAMES))))


def _obvious(draw: random.Random) -> str:
    word = draw.choice((draw.choice(GUESSABLE), draw.choice(GUESSABLE), draw.choice(SERVICES)))
    return _cased(draw, word) + draw.choice(("", "", "1", "123", "1234", "@123", "!", "12345", "2024", "00"))


def _digits(draw: random.Random) -> str:
    return draw.choice((str(draw.randint(1000, 999_999)), "123456", "12345678", "11111111", "987654321"))


HUMAN: Final[dict[str, _Maker]] = {
    "password.word-symbol": word_symbol,
    "password.company": _company,
    "password.leet": _leet,
    "password.glued": _glued,
    "password.joined": _joined,
    "password.joined-number": _joined_number,
    "password.purpose": _purpose,
    "password.person": _person,
    "password.phrase": _phrase,
    "password.sentence": _sentence,
    "password.syllables": _syllables,
    "password.typed": _typed,
    "password.mixed": _mixed,
    "password.short": _short,
    "password.accents": _accents,
    "password.word-digits": _word_digits,
}
WEAK: Final[dict[str, _Maker]] = {
    "weak.single": _single,
    "weak.obvious": _obvious,
    "weak.walk": _walk,
    "weak.word-digits": _word_digits,
    "weak.glued": _glued,
    "weak.purpose": _purpose,
    "weak.digits": _digits,
}
