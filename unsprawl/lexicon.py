"""Words and shapes by which people recognise a value: a stand-in, a default password, random characters.

Shared by the generic rules (which refuse) and the first classifier (which labels). All functions
take bytes and cost microseconds: they run on every generic hit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from operator import eq
from typing import Final

__all__ = [
    "WEAK",
    "alphabet",
    "entropy",
    "is_placeholder",
    "is_repetitive",
    "is_weak",
    "looks_random",
    "words_in",
]

#: A value that holds one of these is a stand-in: nobody's credential, whatever surrounds it. Free spacing.
_PLACEHOLDER: Final = rb"""
      (?: ^ | [^a-z0-9] ) (?: your | my | some | the | insert | enter | put | add | replace | use
        | paste ) [-_\x20]?
        (?: own | new | actual | real | secret | super | strong | secure | api | access | auth | private
          | client | app | db | database | account | user | token | key | pass (?: word )? | pwd | value | bot
          | here | webhook )
    | change [-_\x20]? (?: me | it | this )
    | replace [-_\x20]? (?: me | this | with ) | fill [-_\x20]? (?: me | in )
    | place [-_\x20]? holder | dummy | redacted | removed | masked | hidden | sanitized | omitted
    | not [-_\x20]? (?: real | set | used | needed )
    | (?: ^ | [^a-z0-9] )
        (?: example | sample | foo | foobar | bar | baz | fake | todo | tbd | fixme | n/?a | none | null | nil
          | undefined | true | false | empty | blank | unknown | default | xxx+ | yyy+ | zzz+ | lorem
          | ipsum )
        (?: [^a-z0-9] | $ )
    | example (?: key | token | secret | password | pass | value | only )? $
    | (?: key | token | secret | pass (?: word )? ) [-_\x20]? (?: here | goes )
    | x{5,} | \*{3,} | \.{3,} | \?{3,} | _{5,} | -{6,} | ={4,} | \#{4,} | (?: \xe2\x80\xa2 ){2,}
    | \xe2\x80\xa6
    | ^ [#%@$]{2,3} [A-Za-z_\x20.-]+ [#%@$]{2,3} $
    | ^ (?: abcdef+ | a1b2c3.* | deadbeef.* | cafebabe.* | 0123456789abcdef.* | abcdefghij.* | qwertyuiop.*
          | 1234567890.* | 0123456789 ) $
    """
#: Passwords that everybody tries first. They are credentials, but poor ones.
WEAK: Final = frozenset(
    rb"""
    password passw0rd p@ssw0rd p@ssword pa$$word passwd secret topsecret supersecret s3cret admin
    administrator root toor user guest welcome letmein qwerty qwerty123 abc123 iloveyou login tester
    testtest test123 test1234 123 1234 12345 123456 1234567 12345678 123456789 1234567890 0000 00000000
    1111 111111 11111111 4321 54321 654321 87654321 password1 password12 password123 password1234
    password! password1! admin123 admin1234 root123 guest123 user123 secret123 pass123 pass1234
    passw0rd1 passw0rd! welcome1 welcome123 changeit changeme changeme123 change_me temp123 demo123
    postgres mysql mongo mongodb redis rabbitmq oracle sa sysadmin minio minioadmin elastic kibana
    grafana jenkins vagrant ubuntu raspberry zabbix nagios tomcat s3cr3t hunter2 scott tiger monkey
    dragon master test demo pass temp
    """.split()
)
#: So few different characters are a mask at any length: a long key in hexadecimal has sixteen.
_FEW: Final = 6
#: A row of characters in their order: of this length at least, in bytes, and by this share of its steps.
_ROW: Final = 12
_IN_ORDER: Final = 0.6
#: The byte after each; the last has none.
_NEXT: Final = bytes([*range(1, 256), 0])
#: Syllable-like runs: letters in an order that languages use.
_WORD: Final = re.compile(rb"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_VOWELS: Final = b"aeiouyAEIOUY"
#: Rows of letters that no word has.
_UNREADABLE: Final = re.compile(
    rb"(?i)[bcdfghjklmnpqrstvwxz]{5}|q[^u]|[jvz][bcdfghjkmnpqstwxz]|[bcdfgjkpqtwx][jqvxz]|[jqvx]{2}|ii|uu|aa|yy"
)


def entropy(value: bytes) -> float:
    """Shannon entropy in bits a character. 0 for an empty value."""
    size = len(value)
    if size < 2:
        return 0.0
    total = 0.0
    for byte in set(value):
        count = value.count(byte)
        total -= count * math.log2(count / size)
    return total / size


def alphabet(value: bytes) -> str:
    """The narrowest of digits, hex, letters, alnum, base64, text that holds the value."""
    if value.isdigit():
        return "digits"
    if not value.strip(b"0123456789abcdef") or not value.strip(b"0123456789ABCDEF"):
        return "hex"
    if value.isalpha():
        return "letters"
    if value.isalnum():
        return "alnum"
    if not value.strip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="):
        return "base64"
    return "text"


def is_repetitive(value: bytes) -> bool:
    """Few different characters for the length, or one period repeated: a mask or a test pattern."""
    size = len(value)
    if size < 6:
        return size > 2 and len(set(value)) == 1
    if len(set(value)) <= max(2, min(size // 16, _FEW)):
        return True
    if _is_counting(value) or (size >= _ROW and _steps(value) >= _IN_ORDER * (size - 1)):
        return True
    first = value[0]
    for period in range(1, min(9, size // 2)):
        if value[period] == first and value[period:] == value[:-period]:
            return True
    return False


def _steps(value: bytes) -> int:
    """How many characters are the next of the one before them: ``abcdef``, ``4567``."""
    found: int = sum(map(eq, value.translate(_NEXT), value[1:]))
    return found - value.count(b"\xff\0")


def _is_counting(value: bytes) -> bool:
    """Bytes in hex that count upwards, as test vectors do: ``000102030405…``."""
    if len(value) < 16 or value.strip(b"0123456789abcdefABCDEF"):
        return False
    numbers = bytes.fromhex(value[:16].decode())
    return all(right - left == 1 for left, right in pairwise(numbers))


def is_placeholder(value: bytes) -> bool:
    """Whether the value says of itself that it stands for another one."""
    if is_weak(value):
        return False
    if len(value) > 2 and value[:1] in b"<[{%" and value[-1:] in b">]}%" and b'"' not in value:
        return True
    return is_repetitive(value) or _stand_in()(value) is not None


@cache
def _stand_in() -> Callable[[bytes], object]:
    """The search for :data:`_PLACEHOLDER`: RE2 needs a twentieth of the time of ``re`` for so many words."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = False
    # A set of one pattern says only whether it is found: a match with its groups costs three times as much.
    asked = re2.Set.SearchSet(options)
    asked.Add(re.sub(rb"\s+", b"", _PLACEHOLDER))
    asked.Compile()
    found: Callable[[bytes], object] = asked.Match
    return found


def is_weak(value: bytes) -> bool:
    """Whether the value is a password that everybody would guess."""
    return value.lower() in WEAK


def words_in(value: bytes) -> float:
    """The share of the value that reads like words: 0 (random) to 1 (an identifier or prose)."""
    covered = 0
    for word in _WORD.findall(value):
        vowels = len(word) - len(word.translate(None, _VOWELS))
        if 0.2 <= vowels / len(word) <= 0.75 and not _UNREADABLE.search(word):
            covered += len(word)
    return covered / len(value) if value else 0.0


def looks_random(value: bytes) -> bool:
    """Whether a value of sixteen or more characters was drawn by a machine, as keys are."""
    kind = alphabet(value)
    bits = entropy(value)
    if kind == "hex":
        return len(value) >= 20 and bits >= 2.8
    if kind == "digits":
        return False
    if kind == "letters":
        return len(value) >= 20 and bits >= 3.6 and words_in(value) < 0.5
    return len(value) >= 16 and bits >= 3.2 and words_in(value) < 0.55
