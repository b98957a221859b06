"""Values of credentials: random strings, passwords and providers' formats."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from typing import Final

from unsprawl.models.synthesis.passwords import HUMAN, WEAK, word_symbol
from unsprawl.models.synthesis.wordlists import NAMES, SERVICES
from unsprawl.placeholders import fill

__all__ = ["RANDOM", "STRONG", "WEAK", "provider", "templates"]

_TOKEN: Final = re.compile(
    r"(?<![A-Za-z0-9_.-])[A-Za-z][A-Za-z0-9]{0,12}[_.-][A-Za-z0-9_.-]{0,16}"
    r"<(?:alnum|hex|base64url|upper|lower|digits|base32|github-token)(?::[A-Za-z0-9_-]+)?>"
    r"(?:[A-Za-z0-9_.-]*<(?:alnum|hex|base64url|digits):[0-9-]+>)*"
    r"|<aws-key-id:[A-Z0-9:]+>"
)
_PUBLIC: Final = re.compile(r"^(?:pk|pub|public|publishable)[_.-]", re.IGNORECASE)
_GROUPED: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
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


def _drawn(name: str, *sizes: int) -> _Maker:
    def make(draw: random.Random) -> str:
        return fill(f"<{name}:{draw.choice(sizes)}>", str(draw.getrandbits(40)))

    return make


def _encoded(draw: random.Random) -> str:
    return base64.b64encode(draw.randbytes(draw.choice((16, 20, 24, 32, 48, 64)))).decode()


def _basic(draw: random.Random) -> str:
    return base64.b64encode(f"{draw.choice(NAMES + SERVICES)}:{word_symbol(draw)}".encode()).decode()


def _jwt(draw: random.Random) -> str:
    return fill(draw.choice(("<jwt:valid>", "<jwt:expired>")), str(draw.getrandbits(32)))


def _groups(draw: random.Random) -> str:
    """A licence's or a device's key: groups of letters and digits."""
    size, count = draw.choice(((4, 3), (4, 4), (5, 5), (5, 3), (6, 2)))
    return "-".join("".join(draw.choices(_GROUPED, k=size)) for _ in range(count))


#: Random strings: the very same makers serve secrets and what only looks like one.
RANDOM: Final[dict[str, _Maker]] = {
    "hex": _drawn("hex", 16, 20, 24, 32, 40, 48, 64, 128),
    "alnum": _drawn("alnum", 12, 16, 20, 24, 32, 40, 43, 64),
    "lower-digits": _drawn("lowerdigits", 10, 16, 20, 25, 32, 40),
    "upper-digits": _drawn("upperdigits", 12, 16, 20, 26, 32),
    "base64url": _drawn("base64url", 22, 32, 43, 64, 86),
    "base64": _encoded,
    "uuid": lambda draw: fill("<uuid>", str(draw.getrandbits(40))),
}
STRONG: Final[dict[str, _Maker]] = {
    **HUMAN,
    "basic": _basic,
    "jwt": _jwt,
    "groups": _groups,
    **RANDOM,
}
