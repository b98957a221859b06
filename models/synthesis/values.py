"""Values of every label, each with the name of the style in which it was made."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import Final

from unsprawl.models.synthesis.fields import cased
from unsprawl.models.synthesis.secrets_made import RANDOM, STRONG, WEAK, provider
from unsprawl.models.synthesis.wordlists import COMPANIES, NAMES, NOUNS, PARTS, SERVICES, WORDS
from unsprawl.placeholders import fill
from unsprawl.records import Label

__all__ = ["NEGATIVE", "POSITIVE", "make", "misleading"]

POSITIVE: Final = (Label.REAL, Label.WEAK, Label.TEST)
NEGATIVE: Final = tuple(label for label in Label if label not in POSITIVE)


def misleading(label: Label, style: str) -> float:
    """How often a field of such a value bears a misleading name.

    What is random and nothing more (the very same strings are keys and digests) is told by its field
    alone, so its field never misleads; everything else stands in either.
    """
    opaque = style in RANDOM or style in ("digest", "object-id")
    if label in POSITIVE:
        return 0.0 if opaque else 0.08
    return 1.0 if opaque else 0.3


def make(draw: random.Random, label: Label) -> tuple[str, str]:
    """A value that deserves ``label``, and its style."""
    if label in (Label.REAL, Label.TEST):
        if draw.random() < 0.2:
            return provider(draw)
        if label is Label.TEST and draw.random() < 0.4:
            return _of(draw, WEAK)
        return _of(draw, STRONG)
    if label is Label.WEAK:
        return _of(draw, WEAK)
    return _of(draw, _MAKERS[label])


def _of(draw: random.Random, makers: dict[str, Callable[[random.Random], str]]) -> tuple[str, str]:
    style = draw.choice(tuple(makers))
    return makers[style](draw), style


def _template(draw: random.Random) -> str:
    name = cased(draw, f"{draw.choice(SERVICES)}_{draw.choice(PARTS)}")
    left, right = draw.choice((("<", ">"), ("${", "}"), ("{{ ", " }}"), ("%", "%"), ("[", "]"), ("__", "__")))
    return f"{left}{draw.choice(('', '', 'your-', 'YOUR_', 'insert '))}{name}{right}"


def _your(draw: random.Random) -> str:
    first = draw.choice(("your", "my", "some", "the", "put-your", "enter_your", "replace-with-your", "dummy"))
    return cased(draw, f"{first.replace('-', '_')}_{draw.choice(SERVICES)}_{draw.choice(PARTS)}")


def _mask(draw: random.Random) -> str:
    return draw.choice("xX*x*.0-#") * draw.randint(4, 32)


def _half_masked(draw: random.Random) -> str:
    known = fill("<alnum:4>", str(draw.getrandbits(30)))
    return draw.choice((f"{known}{'*' * draw.randint(6, 20)}", f"{'x' * draw.randint(8, 20)}{known}"))


def _blank(draw: random.Random) -> str:
    return draw.choice(
        "changeme change-me CHANGE_ME REDACTED [redacted] TODO replaceme none null undefined secret_here "
        "INSERT_TOKEN_HERE xxx N/A (hidden) to-be-set FIXME placeholder dummy example fake".split()
    )


def _documented(draw: random.Random) -> str:
    return draw.choice((
        fill("<alnum:7>", str(draw.getrandbits(30))) + "EXAMPLE",
        f"example-{draw.choice(PARTS)}-{draw.randint(1, 999)}",
        "abcdefghijklmnopqrstuvwxyz"[: draw.randint(8, 26)],
        "1234567890abcdef" * draw.randint(1, 2),
        f"my-{draw.choice(WORDS)}-{draw.choice(PARTS)}",
        f"{draw.choice(('foo', 'bar', 'abc', 'abc123', 'foobar', 'demo'))}{draw.choice(PARTS)}",
        f"{draw.choice(NAMES)}:example",
    ))  # fmt: skip


def _digest(draw: random.Random) -> str:
    size = draw.choice((32, 40, 40, 64, 64, 7, 12, 128))
    return fill(f"<hex:{size}>", str(draw.getrandbits(40)))


def _integrity(draw: random.Random) -> str:
    kind, size = draw.choice((("sha512", 64), ("sha256", 32), ("sha384", 48)))
    return f"{kind}-{base64.b64encode(draw.randbytes(size)).decode()}"


def _crypt(draw: random.Random) -> str:
    return f"${draw.choice(('2a', '2b', '2y'))}${draw.choice((10, 12))}$" + fill(
        "<alnum:53>", str(draw.getrandbits(40))
    )


def _resource(draw: random.Random) -> str:
    account = draw.randint(10**11, 10**12)
    return f"arn:aws:{draw.choice(('secretsmanager', 'iam', 'kms'))}:eu-west-1:{account}:{draw.choice(NOUNS)}"


def _kebab(draw: random.Random) -> str:
    return "-".join(draw.sample(NOUNS + SERVICES, draw.randint(2, 3)))


def _camel(draw: random.Random) -> str:
    first, *rest = draw.sample(NOUNS + PARTS, draw.randint(2, 4))
    return cased(draw, "_".join((first, *rest)))


def _message(draw: random.Random) -> str:
    word = draw.choice(("Password", "Token", "API key", "Secret", "Passwort", "Mot de passe"))
    tail = (
        "is required",
        "must not be empty",
        "has expired",
        "is invalid",
        "does not match",
        "ist ung\u00fcltig",
    )
    return f"{word} {draw.choice(tail)}"


def _attribute(draw: random.Random) -> str:
    owner = draw.choice(
        ("self", "this", "config", "options", "req.body", "user", "settings", "props", "opts")
    )
    return f"{owner}.{cased(draw, draw.choice(PARTS)).replace('-', '_')}"


def _call(draw: random.Random) -> str:
    name = cased(draw, f"{draw.choice(('get', 'read', 'load', 'generate', 'fetch'))}_{draw.choice(PARTS)}")
    return f"{name.replace('-', '_')}({draw.choice(('', 'user', 'ctx', 'name, salt', draw.choice(NOUNS)))})"


def _environment(draw: random.Random) -> str:
    name = f"{draw.choice(SERVICES)}_{draw.choice(PARTS)}".upper()
    forms = ("os.environ[{}]", "process.env.{}", "${}", "${{{}}}", "ENV[{}]", "getenv({})", "%{}%", "env.{}")
    return draw.choice(forms).format(name)


def _expression(draw: random.Random) -> str:
    owner, part, noun = (
        draw.choice(NOUNS),
        cased(draw, draw.choice(PARTS)).replace("-", "_"),
        draw.choice(NOUNS),
    )
    forms = (
        "{0}[{1}]",
        "{0}.{2}.{1}",
        "hash({1})",
        "new {0}({1})",
        "{1} || null",
        "len({1})",
        "&{0}.{1}",
        "*{1}",
    )
    return draw.choice(forms).format(owner, part, noun)


def _stored(draw: random.Random) -> str:
    forms = ("secret/data/{0}/{1}#{2}", "vault:kv/{0}/{1}", "{0}-{1}-{2}", "op://{0}/{1}/{2}", "secrets.{2}",
             "/run/secrets/{0}_{2}", "file:/etc/{0}/{2}", "credentials('{0}-{2}')")  # fmt: skip
    return draw.choice(forms).format(draw.choice(COMPANIES), draw.choice(SERVICES), draw.choice(PARTS))


def _public_key(draw: random.Random) -> str:
    return f"ssh-ed25519 {'AAAAC3NzaC1lZDI1NTE5AAAAI'}{fill('<base64:43>', str(draw.getrandbits(40)))}"


def _publishable(draw: random.Random) -> str:
    return fill(
        draw.choice(("pk_live_<alnum:24>", "pk_test_<alnum:24>", "pub-<hex:32>")), str(draw.getrandbits(40))
    )


def _certificate(draw: random.Random) -> str:
    return "MIID" + base64.b64encode(draw.randbytes(draw.choice((48, 90)))).decode()


def _plain_base64(draw: random.Random) -> str:
    return base64.b64encode(" ".join(draw.choices(WORDS, k=draw.randint(3, 8))).encode()).decode()


_MAKERS: Final[dict[Label, dict[str, Callable[[random.Random], str]]]] = {
    Label.PLACEHOLDER: {
        "template": _template, "your": _your, "mask": _mask, "masked": _half_masked, "blank": _blank,
    },
    Label.EXAMPLE: {"documented": _documented, "message": _message, "base64.text": _plain_base64},
    Label.HASH: {"digest": _digest, "integrity": _integrity, "crypt": _crypt},
    Label.IDENTIFIER: {
        "uuid": RANDOM["uuid"], "resource": _resource, "kebab": _kebab, "camel": _camel,
        "object-id": lambda draw: fill("<hex:24>", str(draw.getrandbits(40))),
    },
    Label.REFERENCE: {
        "attribute": _attribute, "call": _call, "environment": _environment, "expression": _expression,
        "stored": _stored, "name": _camel,
    },
    Label.PUBLIC: {"ssh": _public_key, "publishable": _publishable, "certificate": _certificate},
}  # fmt: skip
