"""Why a match is no secret: what the words of a generic rule catch besides credentials.

:func:`refuses` sees the value and the bytes around it. Exact formats are refused for nothing but a mask
or the vendor's own EXAMPLE; the classifier judges what passes here. A generic rule with a
``min_entropy`` is for values that a machine drew, one without is for passwords that people chose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from unsprawl import lexicon
from unsprawl.detectors.judging.chosen import (
    CODE,
    SETTER,
    TYPE,
    WRITTEN,
    is_password_like,
    refuses_chosen,
    refuses_string,
)

if TYPE_CHECKING:
    from unsprawl.detectors.rules import Rule

__all__ = ["refuses"]

#: How much of the surroundings is looked at, in bytes.
_NEAR: Final = 160
_HALF: Final = 80

_MASK: Final = re.compile(
    rb"EXAMPLE|example|[xX]{6}|\*{3}|\.{3}|0{12}|1234567890(?:1234|abcd)|(?i:your[-_]|redacted|placeholder)"
)
_REFERENCE: Final = re.compile(
    rb"""(?x) ^ (?:
        \$ [({] | \$ [A-Za-z_][A-Za-z0-9_]* (?: [)}"'] | $ ) | \$[0-9@*\#?] | \{\{ | \{% | <% | %\( | %\{
          | %[A-Z_]+% | %[sdvq] | \#\{ | @@ | @\w+@
      | (?i: secrets? | vars? | env | inputs? | params? | process\.env | os\.(?:environ|getenv) | getenv
      | self | this | local | data
           | module | config | settings | context | ctx | request | req | options? | args | kwargs
           | credentials? | ssm | System ) [.\[(]
      | (?i: vault | op | aws-sm | ssm | keyring | file | env | ref | secretref | keyvault | gcpsm
      | doppler | arn ) :
      | (?: required | nullable | sometimes | confirmed | string ) \|
      | ENC\[ | !Ref | !vault | !Sub | projects/ | AQICA | \{[A-Za-z_.]+\} $ | \{\d*\} | <[A-Za-z_ -]+>
    )"""
)
_PATH: Final = re.compile(
    rb"""(?ix) ^ (?: \.{0,2}/ | ~/ | [a-z]:\\ | \\\\ | [a-z0-9+]{2,12}:// [^@]* $ | urn: )
      | \. (?: py | js | ts | go | rb | java | php | html? | xml | json | ya?ml | toml | ini | conf | cfg
          | txt | md | pem
          | key | crt | cer | pub | p12 | pfx | jks | log | sh | css | svg | png | jpe?g | gif | sql | csv
          | so | dll
          | exe | db | sqlite3? | zip | gz | tmpl | tpl | vue | tsx | jsx ) $
    """
)
#: ``config/secrets/db`` is a path when it reads like words; base64 has slashes too.
_SLASHED: Final = re.compile(rb"^[\w.-]+(?:/[\w.-]+)+/?$")
_READABLE: Final = 0.5
#: One base64 in sixty-four begins with a slash.
_DRAWN_SLASH: Final = re.compile(rb"/(?=[^/]*[0-9])(?=[^/]*[A-Z])[A-Za-z0-9+]{12,}[A-Za-z0-9+/]{8,}={0,2}")
_HOST: Final = re.compile(
    rb"(?i)^(?:[a-z0-9*-]+\.)+(?:com|net|org|io|dev|local|internal|test|svc|\*)\*?(?::\d+)?$"
)
#: Names of settings and functions: ``validate_password``, ``DB_TOKEN``, ``api-key-name``.
_NAMED: Final = re.compile(
    rb"(?i)^(?:[a-z]+[_.-])+(?:password|passwd|pass|pwd|passphrase|token|secret|key|credentials?)s?(?:[_.-][a-z]+)*$"
    rb"|^(?:password|passwd|pwd|passphrase|token|secret|key|credentials?)s?(?:[_.-][a-z]+)+$|^[a-z]+(?:Password|Token|Secret|Key|Credentials?|Passwd|Pwd|Pass(?:phrase)?)$"
    rb"|^[a-z]\w*(?:\.\w+)*\.\w*(?:password|passwd|pwd|passphrase|token|secret|key)$"
)
#: ``gnutls_x509_crt_verify_data2``: names hold a number or two, random characters many.
_ONE_NUMBER: Final = re.compile(rb"[A-Za-z_./-]*\d{1,4}[A-Za-z_./-]*(?:\d[A-Za-z_./-]*)?")
#: Small and capital letters by turns: ``camelCase`` has one a word, drawn letters one in four.
_TURN: Final = re.compile(rb"[a-z](?=[A-Z])")
#: The name of a secret, not the secret.
_ARN: Final = re.compile(rb"arn:aws[\w-]*:secretsmanager:[^\s\"']*$")
#: Words that say of a value that it opens something.
_CUE: Final = re.compile(
    rb"(?i)key|token|secret|auth|pass|pwd|cred|bearer|\bpat\b|_pat|api|access|login|\bsid\b|_sid|license|private|client|jwt|cookie|session"
)
#: How far before a value they stand, with the name of the provider.
_REACH: Final = 96
#: Lengths of hashes in hexadecimal.
_HASH_SIZES: Final = frozenset({32, 40, 56, 64, 96, 128})
#: From this length on a drawn value has this many bits a character.
_DRAWN: Final = 16
_LEAST_ENTROPY: Final = 2.5
#: Names of what opens something even if it is a UUID, and what stands before a login.
_OPENS: Final = re.compile(rb"(?i)api[_.-]?key|secret|passw|token")
_LOGS_IN: Final = re.compile(rb"(?i)\b(?:bearer|token|apikey)[ \t]+$|[ ](?:-u|--user)[ =][^ ]*$")
#: ``gitter = new Gitter('…')``: a call of the provider's own.
_CONSTRUCTED: Final = re.compile(rb"([A-Za-z0-9_.:]{2,64})\([ \t\n]*(?:\w{1,24}[ ]?=[ ]?)?[\"'`]$")
_JOINT: Final = re.compile(rb"[-_:.]+")
_SHORTHAND: Final = re.compile(rb"[A-Za-z]{1,12}\d{1,3}(?:[a-z]\d)?|\d{1,4}[A-Za-z]?")
#: So many parts, at least, has a name that is no random one.
_SLUG_PARTS: Final = 3
#: A value of all kinds of characters was drawn if it is this long (bytes), this mixed (bits a character), and
#: reads like words to this share at most.
_LONG: Final = 32
_WILD: Final = 4.2
_UNREAD: Final = 0.2
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_ESCAPED: Final = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
_UUID: Final = re.compile(rb"(?i)^\{?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\}?$")
_HASHES: Final = re.compile(
    rb"(?i)sha-?(?:1|224|256|384|512)|md5|hash|digest|checksum|commit|revision|\brev\b|integrity|fingerprint|etag|thumbprint"
    rb"|blob|\btree\b|\bsum\b|crc|uuid|guid|signature"
)
_NUMBER: Final = re.compile(
    rb"^[+-]?[\d.,:/_ -]+(?:%|px|em|ms|s|m|h|d|kb|mb|gb)?$|^0x[0-9a-fA-F]{1,8}$|^v?\d+(?:\.\d+)+"
)
#: The name before a value, up to the operator, read backwards: a search for what ends at the value
#: would begin anew at every byte of the line.
_KEY_BACKWARDS: Final = re.compile(
    rb"""(?:["'`]\\?[bruf@]{0,2})?[ \t]*(?:=:|>=|={1,3}|:|,|\(|[ \t])?[ \t]*[\\"'`\])>]*([\w.-]*[A-Za-z_])"""
)
#: Keys that hold a word like "password" and something else than a password.
_OTHER_KEY: Final = re.compile(
    rb"""(?ix)
      (?: ^ | [_.-] ) (?: csrf | xsrf | nonce | salt | next | page | continuation | sync | cancell?ation
        | sort | primary | foreign
        | partition | cache | idempotency | row | object | translation | i18n | event | reset | forgot
        | confirm | show | hide | toggle | invalid | no
        | wrong | missing | bad | verify | change | require[ds]? | min | max | is | has | use | with
        | without | allow | enable | disable | get | set | validate
        | generate | check | ask | prompt | hash(?:ed)? | encrypted | old | repeat | label | join | sqs
        | dedup )
        (?: [_.-] | (?-i: (?<=[a-z]) (?=[A-Z]) ) ) (?: \w* [_.-] )? (?: pass | pwd | token | secret | key
          | auth | cred )
    | (?: public | publishable | site ) [_.-]? key | fingerprint | thumbprint | checksum | invalid
    | placeholder | label | ^ (?-i: PWD | OLDPWD ) $
    | (?: pass(?:word|wd|phrase)? | pwd | token | secret | key | auth | credentials? ) s? [_.-]?
      (?: id s? | name | names | file | path | dir | url | uri | endpoint | type | kind | field | text
        | hint | help | title | message | msg | error | length | len
        | size | count | limit | min | max | policy | strength | regexp? | pattern | format | rules?
        | valid\w* | expir\w* | ttl | lifetime | age
        | timeout | scheme | encryption | no | not | match | anonymous | exists
        | prompt | input | box | form | page | view | class | icon | style | column | header
        | prefix | suffix | env | var | ref | arn | store
        | manager | provider | service | source | usages? | algorithm | alg | encoder | encoding
        | hash(?:er|es|ed)? | version | required
        | enabled | disabled | protected | reset | confirm\w* | change\w* | index | schema | state
        | status | mode | map | list | set | code | auth )
        (?: [_.-] | $ | (?-i: [A-Z] ) )
    | client_? request_? token | websocket - key
    | (?: tokenizer | tokenize | secretary | passenger | passage | keyboard | keyword | monkey | hotkey
    | keypress | author (?! iz ) )
    """
)
_VERB: Final = re.compile(rb"^(?i:set|with|use)_?(?=[A-Z]|(?<=_))")
#: ``$password: String!`` declares; ``'Request password' => '…'`` translates.
_VARIABLE: Final = re.compile(rb"\$\w+[ \t]*:[ \t]*$")
_TITLE: Final = re.compile(rb"""["'][\w%:]+[ ][^"'=]*["'][ \t]*(?:=>|:|=)[ \t]*["']$""")
#: A value that names a file's content: ``"lib/a.rb": "d41d…"``.
_LISTED: Final = re.compile(rb"""[\w/-]+\.\w{1,5}["']?[ \t]*[:=][ \t]*["']?$""")
#: The report of a test run: ``--- PASS: TestLogin (0.00s)``.
_PASSED: Final = b"PASS: "
_VERDICT: Final = re.compile(rb"^\W*X?PASS:[ \t]+[\"'`]?$")
#: Logins that stand for a login: ``user:password@``, and any weak word on a host of the documentation.
_STAND_IN: Final = re.compile(
    rb"(?i)(?:^|[^a-z])(?:user(?:name)?|usr|name|login|u|foo|me|someone|account|id)(?:[:\s]+(?:password\s+)?|[\"']\s*,\s*[\"'])$"
)
_STAND_IN_WORDS: Final = frozenset(
    b"pass password passwd pwd pw p secret token key bar pa55 passphrase userpass mypassword mypass".split()
)
_NOWHERE: Final = re.compile(
    rb"(?i)@(?:[\w-]+\.)*(?:example(?:\.(?:com|org|net))?|hosts?(?:name)?|server|domain(?:\.\w+)?|your[\w.-]*|my[\w.-]*|address|ip|url|foo|bar)(?:[:/?\"'\s,)]|$)"
)
#: Formats with a checksum: a valid one is reported by its exact rule, a wrong one is nobody's token.
_CHECKSUMMED: Final = re.compile(rb"^(?:gh[pousr]|npm)_[A-Za-z0-9]{36}$")


def refuses(rule: Rule, value: bytes, before: bytes, after: bytes) -> str:
    """The reason why ``value`` is no secret, or "". ``before`` and ``after`` are the bytes around it."""
    if rule.kind == "exact":
        return _refuses_exact(rule, value)
    line = before[-_NEAR:].rpartition(b"\n")[2]
    # First of all, for a test suite prints a hundred thousand of them.
    if _PASSED in line[-7:] and _VERDICT.match(line):
        return "test result"
    if _REFERENCE.match(value):
        return "reference"
    if rule.kind == "generic":
        return _refuses_generic(rule, value, line, after) or _refuses_stand_in(rule, value)
    reason = _refuses_stand_in(rule, value)
    if reason:
        return reason
    if rule.context:
        return _refuses_named(rule, value, before)
    return "" if rule.min_entropy else _refuses_login(value, before, after)


def _refuses_stand_in(rule: Rule, value: bytes) -> str:
    if _MASK.search(value):
        return "placeholder"
    if lexicon.is_placeholder(value):
        return "made up" if lexicon.is_repetitive(value) else "placeholder"
    if rule.min_entropy and lexicon.entropy(value) < rule.min_entropy:
        return "low entropy"
    return ""


def _refuses_generic(rule: Rule, value: bytes, line: bytes, after: bytes) -> str:
    """What is cheap to see comes first: most of what the words catch is code."""
    if _CHECKSUMMED.match(value):
        return "checksum"
    if _CONTROL.search(value) or (not value.isascii() and _is_broken(value, line[-_HALF:], after)):
        return "binary"
    reason = _refuses_shape(value)
    if reason:
        return reason
    if rule.min_entropy:
        return _refuses_drawn(value, line, after) or _refuses_key(value, line)
    reason = _refuses_key(value, line, given=rule.tentative)
    if reason:
        return reason
    if rule.tentative:
        return refuses_string(value, line)
    quoted = line[-1:] in b"\"'`" and line != b""
    if rule.identity and value.lower() in _STAND_IN_WORDS and _STAND_IN.search(line[-24:]):
        return "placeholder"
    return refuses_chosen(value, line, after, quoted=quoted, named=not rule.identity)


def _is_broken(value: bytes, line: bytes, after: bytes) -> bool:
    """No text in UTF-8, with control bytes beside it: a stretch of a binary, not Latin-1."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return _CONTROL.search(line) is not None or _CONTROL.search(after[:_HALF]) is not None
    return False


def _refuses_exact(rule: Rule, value: bytes) -> str:
    body = value[len(rule.prefix) :] if rule.prefix else value
    if body.startswith(b"-----BEGIN") or value.startswith(b"-----BEGIN"):
        return ""
    if _MASK.search(body):
        return "placeholder"
    if len(body) >= 8 and lexicon.is_repetitive(body):
        return "placeholder"
    if rule.min_entropy and lexicon.entropy(body) < rule.min_entropy:
        return "low entropy"
    return ""


def _refuses_named(rule: Rule, value: bytes, before: bytes) -> str:
    """For values that a provider's name stands before: drawn by a machine, and no hash of anything."""
    near = before[-_REACH:]
    if rule.cue and not _CUE.search(_without(near, rule.context)) and not _is_made_with(rule, near):
        return "no word says that it is a key"
    kind = lexicon.alphabet(value)
    if kind in ("hex", "digits") and len(value) in _HASH_SIZES and _HASHES.search(near[-32:]):
        return "hash"
    if _NUMBER.match(value) and kind != "digits":
        return "number"
    if len(value) >= _DRAWN and lexicon.entropy(value) < (rule.min_entropy or _LEAST_ENTROPY):
        return "low entropy"
    if kind == "letters" and (
        value.islower() or value.isupper() or len(_TURN.findall(value)) < len(value) // 6
    ):
        return "words" if lexicon.words_in(value) >= 0.4 else ""
    return "words" if lexicon.words_in(value) >= 0.65 else ""


def _is_made_with(rule: Rule, near: bytes) -> bool:
    """Whether the value is given to something that has the provider's name: ``Exa("…")``."""
    call = _CONSTRUCTED.search(near)
    named = call[1].lower().replace(b"_", b"") if call else b""
    return any(word.replace(" ", "").encode() in named for word in rule.context)


def _without(text: bytes, words: tuple[str, ...]) -> bytes:
    """``text`` in small letters and without the names themselves: "apifonica" is no API of anything."""
    text = text.lower()
    for word in words:
        if word.isalnum():
            text = text.replace(word.encode(), b" ")
    return text


def _refuses_login(value: bytes, before: bytes, after: bytes) -> str:
    """For passwords whose account and host stand beside them: what documentation writes there."""
    word = value.lower()
    if word in _STAND_IN_WORDS and _STAND_IN.search(before[-24:]):
        return "placeholder"
    if _NOWHERE.match(after) and (word in _STAND_IN_WORDS or lexicon.is_weak(value)):
        return "placeholder"
    if word in TYPE and not lexicon.is_weak(value):
        return "a word of the language"
    if _CONTROL.search(value) or _ESCAPED.fullmatch(value):
        return "binary"
    return "identifier" if _NAMED.match(value) else ""


def _refuses_shape(value: bytes) -> str:
    if len(value) < 4:
        return "too short"
    if not any(48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 for byte in value):
        return "punctuation"
    if value.lower().strip(b"()[]{}<>.,;:!?*") in TYPE:
        return "a word of the language"
    slashed = _SLASHED.match(value) and lexicon.words_in(value) >= _READABLE
    if slashed or _HOST.match(value) or (_PATH.search(value) and not _DRAWN_SLASH.fullmatch(value)):
        return "path or address"
    if _NAMED.match(value):
        return "identifier"
    return ""


def _refuses_key(value: bytes, line: bytes, *, given: bool = False) -> str:
    """``given`` says that a function may be called with the value: ``setKey``."""
    found = _KEY_BACKWARDS.match(line[::-1])
    key = found.group(1)[::-1] if found else b""
    if given:
        key = _VERB.sub(b"", key)
    lead = line[: len(line) - found.end()] if found else b""
    if _ARN.search(line):
        return "reference"
    if lead.endswith(b"::") and b"." not in key:
        return "name of a type"
    if _VARIABLE.search(line):
        return "type of a variable"
    if _TITLE.search(line):
        return "words for people"
    if key and not SETTER.search(line) and _OTHER_KEY.search(key):
        return "key names something else"
    plain = key.lower().replace(b"-", b"_")
    if key and value.lower().replace(b"-", b"_") in (plain, plain.rpartition(b".")[2]):
        return "value repeats the key"
    if _UUID.match(value):
        return "" if _OPENS.search(key) or _LOGS_IN.search(line) else "identifier"
    return ""


def _is_slug(value: bytes) -> bool:
    """``KAS-ECC-CDH_B-233_C20``: words, short numbers and shorthands, joined; drawn keys have no words."""
    parts = _JOINT.split(value)
    return (
        len(parts) >= _SLUG_PARTS
        and any(len(part) >= 3 and part.isalpha() for part in parts)
        and all(part.isalpha() or len(part) <= 3 or _SHORTHAND.fullmatch(part) is not None for part in parts)
    )


def _is_drawn_at_length(value: bytes) -> bool:
    """Signing keys are drawn from all characters there are, those of code among them."""
    return len(value) >= _LONG and lexicon.entropy(value) >= _WILD and lexicon.words_in(value) < _UNREAD


def _refuses_drawn(value: bytes, line: bytes, after: bytes) -> str:
    """For keys and tokens: random characters are asked for."""
    if _NUMBER.match(value):
        return "number"
    if WRITTEN.match(value) or after[:1] == b"(" or (after[:1] == b"." and after[1:2].isalpha()):
        return "code"
    kind = lexicon.alphabet(value)
    if kind == "text" and is_password_like(value):
        return ""
    if kind in ("hex", "digits") and (_HASHES.search(line[-64:]) or _LISTED.search(line)):
        return "hash"
    if kind == "text" and CODE.search(value) and not _is_drawn_at_length(value):
        return "code"
    if kind == "letters" and (
        lexicon.words_in(value) >= 0.4 or (len(value) < 20 and len(_TURN.findall(value)) < len(value) // 4)
    ):
        return "words"
    if _is_slug(value):
        return "identifier"
    words = lexicon.words_in(value)
    if words >= 0.65 or (words >= 0.55 and _ONE_NUMBER.fullmatch(value)):
        return "words"
    if not any(48 <= byte <= 57 for byte in value) and words >= 0.35:
        return "words"
    return ""
