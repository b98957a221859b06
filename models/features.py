"""Numbers for the network: what can be counted in a value and its surroundings, and hashed words.

What numpy is good at is computed for a whole batch at once from the rows of ``window``; most batches are
small, so what Python says of one candidate in a microsecond is said there. A candidate costs tens of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import starmap
from struct import Struct as Layout
from struct import pack
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from unsprawl import lexicon
from unsprawl.models.counting import counted
from unsprawl.models.hashing import BUCKETS, GRAMS, TEXT_WORDS, bucket
from unsprawl.models.rows import fill
from unsprawl.models.surfaces import surface_of
from unsprawl.models.together import Together
from unsprawl.models.window import WIDTH, Window, window
from unsprawl.records import Candidate, Document, Validity
from unsprawl.structs import Struct

__all__ = ["BUCKETS", "GRAMS", "NUMBERS", "WORDS", "Batch", "bucket", "extract"]

Bytes: TypeAlias = npt.NDArray[np.uint8]
Floats: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int32]

#: Facts that have a word of their own: rule, provider, doubt, suffix, surface, name, its last word, joint.
_FACTS: Final = 9
#: Buckets of words that a candidate has.
WORDS: Final = _FACTS + TEXT_WORDS
#: Numbers that a candidate has.
NUMBERS: Final = 213

_KINDS: Final = ("exact", "contextual", "generic")
_JOINTS: Final = (b":=", b"=>", b"==", b"=", b":", b"(", b",", b">")
_ENDS: Final = (
    b"",
    b'"',
    b"'",
    b"`",
    b")",
    b";",
    b",",
    b" ",
    b".",
    b"(",
    b"<",
    b"&",
    b"]",
    b"}",
    b"\\",
    b"/",
)
_STEMS: Final = (
    b"pass", b"pwd", b"secret", b"token", b"key", b"auth", b"api", b"cred", b"priv", b"salt", b"hash", b"id",
    b"user", b"name", b"path", b"file", b"url", b"publi", b"type", b"test", b"example", b"field", b"label",
    b"error", b"access", b"client", b"sign", b"crypt", b"sha", b"uri", b"nonce", b"cookie", b"session",
    b"default", b"prefix", b"header", b"valid", b"hint", b"expire", b"length", b"count", b"code", b"finger",
    b"check", b"digest", b"md5", b"integr", b"commit", b"version", b"message", b"text", b"title", b"desc",
    b"column", b"enc", b"index", b"cache", b"site", b"host",
)  # fmt: skip
_PATHS: Final = Together(
    r"(?i)(?:^|[/_.!-])(?:tests?|testing|testdata|specs?|__tests__|e2e|mocks?|fakes?|stubs?)(?:[/_.-]|$)",
    r"(?i)(?:^|[/_.!-])(?:fixtures?|cassettes|golden|vectors?|recordings?)(?:[/_.-]|$)",
    r"(?i)(?:^|[/_.-])(?:docs?|documentation|tutorials?|man|guides?|help|wiki)(?:[/_.-]|$)|\.(?:md|rst|adoc)$",
    r"(?i)(?:^|[/_.-])(?:examples?|samples?|demos?|dist|template|tmpl|tpl|skel|quickstart)(?:[/_.-]|$)",
    r"(?i)(?:^|[/_.-])(?:locales?|lang|languages?|i18n|l10n|translations?|messages?)(?:[/_.-]|$)|\.po$",
    r"(?i)(?:^|[/_.-])(?:config|conf|settings?|env|cfg|properties|deploy|helm|k8s)(?:[/_.-]|$)",
    r"(?i)\.(?:lock|sum|min\.js|svg|map)$|lock\.(?:json|yaml)$",
    r"(?i)\.(?:ya?ml|json|toml|ini|cfg|conf|properties|env|xml|tf|tfvars)$",
    r"(?i)\.(?:py|js|ts|jsx|tsx|go|rb|java|kt|php|cs|c|cc|cpp|h|hpp|rs|scala|swift|pl|groovy|vue|lua)$",
    r"(?i)\.(?:sh|bash|zsh|ps1|bat|cmd)$|history$|dockerfile|makefile",
    r"(?i)\.(?:log|txt|out)$",
    utf8=True,
)  # fmt: skip
_COMMENT: Final = (b"#", b"//", b"*", b"--", b";", b"<!--", b"%", b"rem ")
#: How a value looks: UUID, call or gap of a template, dotted.words, snake_words, camelWords, address.
_SHAPES: Final = Together(
    r"(?i)^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$",
    r"\w[(\[]|->|::|=>|&&|\|\||\$\{?\w|\{\{|<%|%[sd]|\{\w*\}",
    r"^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$",
    r"^[a-zA-Z]+(?:[_-][a-zA-Z]+)+$",
    r"^[A-Za-z][a-z]+(?:[A-Z][a-z]+)+$",
    r"^(?:(?i:[a-z][a-z0-9+.-]*://)|/|\./|~/|[\w.-]+@[\w-]+\.\w)",
)
#: What tables of digests and test vectors are full of: so many hexadecimal digits in a row.
_DIGEST: Final = 32
_HEXES: Final = bytes(ord("x") if byte in b"0123456789abcdefABCDEF" else 32 for byte in range(256))
_FILE: Final = re.compile(
    rb"[\w-]*/[\w./-]+|[\w-]+\.(?:js|py|rb|go|java|php|pp|erb|css|html?|json|c|h|ts|txt|md|jar|tar|gz|zip|whl)$"
)
_RUN: Final = b"x" * _DIGEST
_QUOTES: Final = (b'"', b"'", b"`")
_HUMP: Final = re.compile(rb"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_FOLD: Final = bytes(range(256)).lower()
_NO_WORD: Final = bytes(byte for byte in range(256) if not bytes([byte]).isalnum())


def _packed(numbers: Sequence[float]) -> bytes:
    """Numbers as they stand in a row of them."""
    return pack(f"={len(numbers)}f", *numbers)


_OPERATORS: Final = [
    _packed([at == number for at in range(len(_JOINTS) + 1)]) for number in range(len(_JOINTS) + 1)
]
_BEHIND: Final = {end: _packed([end == one for one in _ENDS]) for end in (*_ENDS, b"?")}


class Batch(Struct, frozen=True):
    """What the network is given: rows of bytes, numbers, and buckets of words and of short stretches."""

    rows: Bytes
    numbers: Floats
    words: Indices
    grams: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Any) -> Batch:
        return Batch(self.rows[index], self.numbers[index], self.words[index], self.grams[index])


#: The numbers of a candidate that follow from no table.
_OWN: Final = Layout("=34f")


def extract(pairs: Sequence[tuple[Document, Candidate]], kinds: dict[str, str] | None = None) -> Batch:
    """The input of the network for candidates. ``kinds`` maps rule ids to exact, contextual or generic."""
    windows = list(starmap(window, pairs))
    joined = b"".join([seen.row for seen in windows])
    rows = np.frombuffer(joined, np.uint8).reshape(-1, WIDTH)
    kinds = kinds or {}
    numbers: list[bytes] = []
    facts: list[tuple[int, ...]] = []
    for (document, candidate), seen in zip(pairs, windows, strict=True):
        facts.append(_facts(document, candidate, seen, kinds.get(candidate.rule, "exact"), numbers))
    filled = np.frombuffer(bytearray().join(numbers), np.float32).reshape(-1, NUMBERS)
    words = np.empty((len(windows), WORDS), np.int32)
    words[:, :_FACTS] = facts
    grams = np.empty((len(windows), GRAMS), np.int32)
    fill(joined, filled, words, grams)
    return Batch(rows, filled, words, grams)


@lru_cache(4096)
def _of_path(path: str) -> tuple[bytes, int]:
    name = path.rpartition("/")[2]
    suffix = name.rpartition(".")[2].lower() if "." in name else name.lower()
    found = _PATHS(path.encode("utf-8", "replace"))
    return _packed([number in found for number in range(_PATHS.count)]), bucket(suffix, 11)


@lru_cache(64)
def _of_surface(surface: str) -> tuple[bytes, int]:
    return _packed([surface == "source"]), bucket(surface, 16)


@lru_cache(4096)
def _of_rule(rule: str, kind: str, doubt: str) -> tuple[bytes, tuple[int, ...]]:
    flags = [kind == one for one in _KINDS]
    provider, _, what = rule.partition(".")
    own = (bucket(rule, 12), bucket(provider, 13), bucket(what, 14), bucket(doubt, 15))
    return _packed([*flags, bool(doubt)]), own


class _Name(Struct, frozen=True):
    """What a name says: its stems, its letters, whether it is a file's, and its words in the table."""

    stems: bytes
    plain: bytes
    is_file: bool
    bucket: int
    last: int


@lru_cache(4096)
def _of_name(name: bytes) -> _Name:
    # The last word of a name says what it is: ``passwordField`` is a field.
    last = next((word.lower() for word in reversed(_HUMP.split(name)) if word), b"")
    small = name.lower()
    plain = name.translate(_FOLD, _NO_WORD)
    return _Name(
        _packed([stem in small for stem in _STEMS]),
        plain,
        _FILE.search(name) is not None,
        bucket(plain[-24:], 17),
        bucket(last, 19),
    )


@lru_cache(4096)
def _of_joint(joint: bytes, end: bytes) -> tuple[bytes, int]:
    """What stands between a name and its value, and the byte behind it."""
    if end not in _BEHIND:
        end = b"?"
    operator = next((number for number, one in enumerate(_JOINTS) if one in joint), len(_JOINTS))
    return _OPERATORS[operator] + _BEHIND[end], bucket(joint[-4:] + b"\0" + end, 18)


def _facts(
    document: Document, candidate: Candidate, seen: Window, kind: str, numbers: list[bytes]
) -> tuple[int, ...]:
    """Buckets of what takes Python to find out; the numbers, in their order, come to ``numbers``."""
    value, joint, before, after = seen.value, seen.joint, candidate.before, candidate.after
    companions, views, check = candidate.companions, candidate.views, candidate.check
    rule, rule_words = _of_rule(candidate.rule, kind, getattr(candidate, "doubt", ""))
    paths, suffix = _of_path(seen.path)
    surface, surface_word = _of_surface(surface_of(document, seen.path))
    name = _of_name(seen.name)
    around, joint_word = _of_joint(joint, seen.right[:1])
    plain, named = value.translate(_FOLD, _NO_WORD), name.plain
    short = value[:256]
    shapes = _SHAPES(short)
    near = len(short) > 3
    numbers += (
        rule,
        surface,
        paths,
        _OWN.pack(
            check is not None,
            check is not None and check.exact,
            check is not None and check.validity is Validity.INACTIVE,
            bool(views) and any(view not in ("raw", "utf-16") for view in views),
            "ocr" in views,
            bool(candidate.member),
            bool(companions),
            "account" in companions or "user" in companions,
            "host" in companions,
            lexicon.is_placeholder(short),
            lexicon.is_weak(short),
            lexicon.words_in(short),
            0 in shapes,
            1 in shapes,
            2 in shapes,
            3 in shapes,
            4 in shapes,
            5 in shapes,
            joint[-1:] in _QUOTES,
            not seen.left.strip(),
            not seen.name,
            len(joint) / 8,
            plain == named and plain != b"",
            named != b"" and named in plain,
            plain != b"" and plain in named,
            seen.left.lstrip()[:5].lower().startswith(_COMMENT),
            near and short in before,
            near and short in after,
            len(before) < 200,
            _digests(before[-512:]) / 2,
            _digests(after[:512]) / 2,
            name.is_file,
            not (before[-200:].isascii() and after[:200].isascii()),
            candidate.line_end > candidate.line,
        ),
        name.stems,
        around,
        counted(seen.row, len(value)),
    )
    return (*rule_words, suffix, surface_word, name.bucket, name.last, joint_word)


def _digests(text: bytes) -> int:
    """How many digests stand in ``text``; four are many."""
    runs = text.translate(_HEXES)
    if _RUN not in runs:
        return 0
    return min(4, sum(map(_DIGEST.__le__, map(len, runs.split()))))
