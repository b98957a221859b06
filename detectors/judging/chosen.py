"""Passwords that people chose: any word may be one, so the syntax around it must speak for it."""

from __future__ import annotations

import re
from typing import Final

from unsprawl import lexicon

__all__ = ["CODE", "SETTER", "TYPE", "WRITTEN", "is_password_like", "refuses_chosen", "refuses_string"]

CODE: Final = re.compile(
    rb"""(?x)
        \w \( | \$\( | \) $ | \w \[ [-"'\w] | ^ [a-z_]+ \? $
      | -> | :: | => | && | \|\| | \+= | [!=]=(?!=*$) | \w\.\w+\.\w+\(
          | ^ [&*!]? \w+ (?: \.\w+ )* \( | ^ (?: new | await | return | function | lambda | async ) \b
      | ^ [A-Za-z_]\w* (?: \. [A-Za-z_]\w* )+ $ | ^ \\?[$@%&] \w+ $ | ^ [\[({|:\\] | ^ //
      | ^ [+] \s* \w+ [.(] | [\[({] $ | ^ (?: pass | file | env | fd ) :
    """
)
TYPE: Final = frozenset(
    b"""string str text int integer number bool boolean bytes byte char varchar any object
    none null nil undefined true false void
    optional required secret password passwd pwd token key apikey username user email value values type
    types name field input label
    the a an is are was and or not for with your you this that it in on to of from be will can should must
    has have if when
    stdin prompt ask interactive hidden env file disabled enabled yes no on off auto random generated
    unset missing invalid wrong
    incorrect expired changed updated reset required. protected encrypted hashed plain plaintext
    securestring self bearer basic
    digest anonymous default empty sensitive authentication authorization manager policy access refresh
    admin/ root/ import export
    return print echo cat const let var def class function public private static final protected""".split()
)
#: Types in the markup of doc strings (``C{str}``), dates, versions, roles (``meth:``), names of constants.
WRITTEN: Final = re.compile(
    rb"""(?x) ^ (?:
        [A-Z]\{ [\w.]+ \}? \.? | [A-Z][a-z]+ \[ .*
      | \d{4}-\d\d-\d\d (?: T .* )? | \d+ (?: \.\d+ )+ -? (?: \d+ (?: \.\d+ )* )? | 0x[0-9A-Fa-f]{1,16}
      | [A-Za-z_]+ : | \# [a-z-]+ | \.\w+ (?: \( .* )? | _+ [A-Za-z] [A-Za-z_]*
      | [A-Z]+ (?: _[A-Z]+ )+ | [A-Za-z_]+ (?: : [A-Za-z_.]+ )+ | !\$\w+
      | \w+ \.\d (?: bsd | ssl | pm )? ) $"""
)
#: The quote before it closed a string: ``"Password: ".format(user)``.
_DANGLING: Final = re.compile(rb"^\.\w|\)\.\w")
#: A change log's entry about a file.
_FILE_ENTRY: Final = re.compile(
    rb"(?i)[\w/-]+\.(?:c|h|cc|cpp|py|js|ts|go|rb|rs|java|php|sh|pl|po|in|am|xml|html|md|txt|exp|test)"
    rb"[)]?[ \t]*:[ \t]+$"
)
#: ``--password=PASS``: what a manual writes for the argument.
_OPTION: Final = re.compile(rb"(?:^|[ \t\[(|\x00])--?[\w-]+[ =]+$")
#: What a sentence about passwords goes on with, unless it tells one.
_TOLD: Final = re.compile(
    rb"(?i)(?:[ ](?:is|was|been|ist|est|es|now|still|to|be|currently)[ ]?:?|[-\x93\x94>])[ ]*$"
)
_PLAIN_WORDS: Final = re.compile(rb"^-?[A-Za-z]+(?:[-_'][A-Za-z]+)*[.&;]*$")
_SNAKE: Final = re.compile(rb"^[a-z]+(?:_(?:[a-z]+|\d))+$")
#: A string that is filled in by the program, and one that goes on behind its quote.
_FORMATTED: Final = re.compile(rb"%[sdr](?![A-Za-z0-9])|%\(\w+\)|\{\w*\}|\$\{|\\\(")
_CONTINUED: Final = re.compile(rb"[\"'`]\s*(?:[+%]|\.{1,2}\s*[\w$\"'])(?!\s*\n)")
#: "user/pass: …" is followed by both; the rule for pairs knows where the password begins.
_PAIR: Final = re.compile(rb"(?i)(?:user(?:name)?|login)s?[ ]?[/&+][ ]?pass(?:word|wd)?[\s:=]*$")
#: Words that continue a sentence behind a prose match: what was matched is one of its words.
_SENTENCE: Final = re.compile(
    rb"^[ \t]+(?:is|are|was|will|can|must|should|for|and|or|to|of|in|on|that|which|when|has|have|with|not|be"
    rb"|from)\b"
)


#: ``secret`` stands before names of things more often than before secrets.
_SECRET_KEY: Final = re.compile(
    rb"(?i)secret(?:[_.-]?key)?[\\\"'`\]]*[ \t]*(?::=|=>|={1,3}|:)[ \t]*[bruf@]?[\\\"'`]*$"
)
#: So do the other names of keys, and a short value beside one is a key only if it was drawn.
_DRAWN_KEY: Final = re.compile(
    rb"(?i)(?:key|token|credentials?|auth)[\\\"'`\]]*[ \t]*(?::=|=>|={1,3}|:)[ \t]*[bruf@]?[\\\"'`]$"
)
_SLUG: Final = re.compile(rb"[A-Za-z]+[0-9]*(?:[-_.][A-Za-z0-9]+)*|[0-9.:-]+")


def _is_short_secret(value: bytes) -> bool:
    kinds = sum(any(low <= byte <= high for byte in value) for low, high in ((48, 57), (65, 90), (97, 122)))
    drawn = any(48 <= byte <= 57 for byte in value) or _SIGN.search(value) is not None
    return kinds >= 2 and drawn and not value.endswith(b"*") and not _SLUG.fullmatch(value)


#: Signs that names, paths and code do not have inside, with letters and digits on both sides.
_SIGN: Final = re.compile(rb"[A-Za-z0-9][!@#%^*+~][A-Za-z0-9]")


def is_password_like(value: bytes) -> bool:
    """Words, digits and signs, as people write what a policy asks of them."""
    return (
        _SIGN.search(value) is not None
        and any(48 <= byte <= 57 for byte in value)
        and not value.strip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!@#%^*+~$")
    )


#: ``define('DB_PASSWORD', '…')`` and ``setPassword("…")``: the string after the name must end the call.
_CALL: Final = re.compile(rb"[\"'`][ \t]*,[ \t]*[bruf@]?\\*[\"'`]$")
SETTER: Final = re.compile(
    rb"(?i)(?:^|[^a-z])(?:set|with)_?[a-z]{0,16}?pass(?:word|wd|phrase)?\([ \t]*[bruf@]?\\*[\"'`]$"
)
_PARENTHESIS: Final = re.compile(rb"\([ \t]*[bruf@]?\\*[\"'`]$")
_CALL_ENDS: Final = re.compile(rb"\\*[\"'`][ \t]*\)")
#: Words of labels and messages; a passphrase is made of others.
_TALK: Final = frozenset(
    b"""enter new old current your confirm confirmation please repeat again forgot forgotten wrong
    incorrect must should be is are was will can cannot not no the a an of for to in on with at by
    from and or if as it this that least characters letters digits numbers long length minimum
    maximum short strong weak too user users name username login log email account admin database
    server file key token value field string type default required optional invalid valid change
    changed changes reset set show hide use used using when which has have don't match matches
    mismatch expired empty missing here see example test bitte eingeben neues altes ihr""".split()
)
_WORDY: Final = re.compile(rb"[a-z]{3,12}")


def _refuses_phrase(value: bytes, line: bytes) -> str:
    """For values with blanks: several words that no label would have, or words with digits between them."""
    words = value.split(b" ")
    if len(words) > 8 or b"" in words or b"=" in value or b"%" in value.replace(b"%%", b"")[:1]:
        return "prose"
    plain = [word.lower().strip(b".,:;!?()") for word in words]
    if any(word in _TALK or word in TYPE for word in plain):
        return "prose"
    if all(_WORDY.fullmatch(word) for word in words):
        return "" if len(words) >= 4 and re.search(rb"(?i)pass[_-]?phrase|mnemonic", line) else "prose"
    return "" if any(_is_invented(word) for word in words) else "prose"


def _is_invented(word: bytes) -> bool:
    """Letters with digits or signs among them: no word of a language, no number and no name."""
    letters = any(chr(byte).isalpha() for byte in word)
    return (
        len(word) >= 6
        and letters
        and any(48 <= byte <= 57 for byte in word)
        and not re.fullmatch(
            rb"[A-Za-z]+[-_.:]?v?\d+[.,:;)]?|v?\d+[A-Za-z]{1,3}|[\w-]+(?:[./:]\w[\w-]*)+", word
        )
    )


def refuses_chosen(value: bytes, line: bytes, after: bytes, *, quoted: bool, named: bool = True) -> str:
    """For passwords: any word may be one, so the syntax around it must speak for it.

    ``named`` says that the name of a setting stands before it, and not an account.
    """
    if b" " in value:
        return _refuses_phrase(value, line)
    if not quoted and _is_foreign_word(value):
        return "prose"
    if not quoted and value.isupper() and value.isalpha() and _OPTION.search(line):
        return "placeholder"
    if _PARENTHESIS.search(line) and not SETTER.search(line):
        return "code"
    if named and (_CALL.search(line) or SETTER.search(line)):
        if not _CALL_ENDS.match(after) or (value.isalpha() and not lexicon.is_weak(value)):
            return "code"
    elif WRITTEN.match(value) or (quoted and _DANGLING.search(value)):
        return "code"
    if not quoted and CODE.search(value):
        return "code"
    if not quoted and _EMPTY.search(line):
        return "no value"
    if not quoted and (_IS_NAME.match(value) and _GOES_ON.match(after) and _IN_CODE.search(line)):
        return "code"
    if not quoted and (after[:1] in (b"(", b"[", b">", b"{") or (after[:1] == b"." and after[1:2].isalpha())):
        return "code"
    if not quoted and (line.rstrip().endswith((b"==", b"!=")) or _SNAKE.match(value)):
        return "code"
    if quoted and after[:1] == b" " and not any(48 <= byte <= 57 for byte in value):
        return "prose"
    if quoted and (_FORMATTED.search(value) or _CONTINUED.match(after)):
        return "code"
    if _PAIR.search(line):
        return "user and password"
    if _FILE_ENTRY.search(line):
        return "change log"
    if not quoted and _PLAIN_WORDS.match(value) and _TOLD.search(line):
        return "prose"
    if value.isdigit() and len(value) < (4 if quoted else 6):
        return "number"
    if lexicon.is_weak(value):
        return ""
    if value.rstrip(b".,:;").isalpha() and _is_prose(value, line, after, quoted=quoted):
        return "prose"
    if _SECRET_KEY.search(line):
        return "" if _is_short_secret(value) else "words"
    if _DRAWN_KEY.search(line):
        return "" if _is_short_secret(value) else "identifier"
    return ""


#: The numbers of a key, written as an array.
_ARRAY: Final = re.compile(rb"(?:0x\w{1,2}|-?\d{1,3}|'.{1,4}')\s*,")


#: Names after which a plain word may be a secret; beside any other key it is a name.
_STRONG: Final = re.compile(
    rb"""(?x) (?i: token | secret | credentials? | pass | pwd | phrase | \bpin | kennwort | identified
      | (?: api | auth | access | private | crypt (?: ion | o )? | sign (?: ing )? | jwt | hmac | aes | hex )
        [_.-]? key | string [ ] key ) [^"'`]* ["']? [^"'`]* \\* ["'`]? $"""
)
_SIGNED: Final = re.compile(rb"[0-9!@#$%^*+~=?]")


def refuses_string(value: bytes, line: bytes) -> str:
    """For strings in a syntax that seldom holds a credential: texts, names, and what a program fills in."""
    if b" " in value and not _ARRAY.match(value):
        return _refuses_phrase(value, b"")
    if _FORMATTED.search(value) or WRITTEN.match(value):
        return "code"
    if _SIGNED.search(value):
        return ""
    return "" if value.isalpha() and value.islower() and _STRONG.search(line[-64:]) else "identifier"


#: ``DB_PASSWORD= DB_HOST=db``: in a shell the value is empty, what follows is something else.
_EMPTY: Final = re.compile(rb"[A-Za-z0-9_]=[ \t]+$")
#: ``Password = pass;``, ``connect(user=user, password=pass)``: names of variables, where strings have quotes.
_IS_NAME: Final = re.compile(rb"[A-Za-z_]\w*$")
_GOES_ON: Final = re.compile(rb"[ \t]*[;,)]")
_IN_CODE: Final = re.compile(rb"[=:][ \t]+$|\([^\"'`]*=$")


def _is_foreign_word(value: bytes) -> bool:
    """Letters of other alphabets than ASCII and nothing else, or capitals: ``--password=MẬT-KHẨU``."""
    text = (
        value.decode("utf-8", "replace")
        .strip(".,:;’»\N{REPLACEMENT CHARACTER}")
        .replace("-", "")
        .replace("_", "")
    )
    return text.isalpha() and (not text.isascii() or (text.isupper() and len(text) >= 4 and b"-" in value))


def _is_prose(value: bytes, line: bytes, after: bytes, *, quoted: bool) -> bool:
    """A bare word after "password": in a sentence it is the next word of the sentence."""
    if _SENTENCE.match(after):
        return True
    if quoted:
        return False
    words = line.count(b" ")
    return words >= 4 or (words >= 2 and value.islower() and after[:1] == b" ")
