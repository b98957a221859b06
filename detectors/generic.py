"""Why a match is no secret: what the words of a generic rule catch besides credentials.

:func:`refuses` sees the value and the bytes around it. Exact formats are refused for nothing but a mask
or the vendor's own EXAMPLE; the classifier judges what passes here. A generic rule with a
``min_entropy`` is for values that a machine drew, one without is for passwords that people chose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from unsprawl import lexicon

if TYPE_CHECKING:
    from unsprawl.detectors.rules import Rule

__all__ = ["refuses"]

#: How much of the surroundings is looked at, in bytes.
_NEAR: Final = 160

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
      | ENC\[ | !Ref | !vault | !Sub | projects/ | AQICA | \{[A-Za-z_.]+\} $ | \{\d*\} | <[A-Za-z_ -]+>
    )"""
)
_CODE: Final = re.compile(
    rb"""(?x)
        \w \( | \) $ | \w \[ ["'\w] | -> | :: | => | && | \|\| | \+= | [!=]= | \w\.\w+\.\w+\(
          | ^ [&*!]? \w+ (?: \.\w+ )* \( | ^ (?: new | await | return | function | lambda | async ) \b
      | ^ [A-Za-z_]\w* (?: \. [A-Za-z_]\w* )+ $ | ^ \\?[$@%&] \w+ $ | ^ [\[({|:\\] | ^ //
      | ^ [+] \s* \w+ [.(] | [\[({] $ | ^ (?: pass | file | env | fd ) :
    """
)
_TYPE: Final = frozenset(
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
_PATH: Final = re.compile(
    rb"""(?ix) ^ (?: \.{0,2}/ | ~/ | [a-z]:\\ | \\\\ | [a-z0-9+]{2,12}:// [^@]* $ | urn: )
      | \. (?: py | js | ts | go | rb | java | php | html? | xml | json | ya?ml | toml | ini | conf | cfg
          | txt | md | pem
          | key | crt | cer | pub | p12 | pfx | jks | log | sh | css | svg | png | jpe?g | gif | sql | csv
          | so | dll
          | exe | zip | gz | tmpl | tpl | vue | tsx | jsx ) $
    """
)
#: ``config/secrets/db`` is a path when it reads like words; base64 has slashes too.
_SLASHED: Final = re.compile(rb"^[\w.-]+(?:/[\w.-]+)+/?$")
_READABLE: Final = 0.5
_HOST: Final = re.compile(
    rb"(?i)^(?:[a-z0-9*-]+\.)+(?:com|net|org|io|dev|local|internal|test|svc|\*)\*?(?::\d+)?$"
)
#: Names of settings and functions: ``validate_password``, ``DB_TOKEN``, ``api-key-name``.
_NAMED: Final = re.compile(
    rb"(?i)^(?:[a-z]+[_.-])+(?:password|passwd|pass|pwd|passphrase|token|secret|key|credentials?)s?(?:[_.-][a-z]+)*$"
    rb"|^(?:password|passwd|pwd|passphrase|token|secret|key|credentials?)s?(?:[_.-][a-z]+)+$|^[a-z]+(?:Password|Token|Secret|Key|Credentials?)$"
)
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
        | timeout | prompt | input | box | form | page | view | class | icon | style | column | header
        | prefix | suffix | env | var | ref | arn | store
        | manager | provider | service | source | usages? | algorithm | alg | encoder | encoding
        | hash(?:er|es|ed)? | version | required
        | enabled | disabled | protected | reset | confirm\w* | change\w* | index | schema | state
        | status | mode | map | list | set | code | auth )
        (?: [_.-] | $ | (?-i: [A-Z] ) )
    | (?: tokenizer | tokenize | secretary | passenger | passage | keyboard | keyword | monkey | hotkey
    | keypress | author | authority )
    """
)
#: ``$password: String!`` declares; ``'Request password' => '…'`` translates.
_VARIABLE: Final = re.compile(rb"\$\w+[ \t]*:[ \t]*$")
_TITLE: Final = re.compile(rb"""["'][\w%:]+[ ][^"'=]*["'][ \t]*(?:=>|:|=)[ \t]*["']$""")
#: A value that names a file's content: ``"lib/a.rb": "d41d…"``.
_LISTED: Final = re.compile(rb"""[\w/-]+\.\w{1,5}["']?[ \t]*[:=][ \t]*["']?$""")
#: The report of a test run: ``--- PASS: TestLogin (0.00s)``.
_PASSED: Final = b"PASS: "
_VERDICT: Final = re.compile(rb"^\W*X?PASS:[ \t]+$")
#: A change log's entry about a file.
_FILE_ENTRY: Final = re.compile(
    rb"(?i)[\w/-]+\.(?:c|h|cc|cpp|py|js|ts|go|rb|rs|java|php|sh|pl|po|in|am|xml|html|md|txt)"
    rb"[)]?[ \t]*:[ \t]+$"
)
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
#: Logins that stand for a login: ``user:password@``, and any weak word on a host of the documentation.
_STAND_IN: Final = re.compile(
    rb"(?i)(?:^|[^a-z])(?:user(?:name)?|usr|name|login|u|foo|me|someone|account|id)[:\s]+(?:password\s+)?$"
)
_STAND_IN_WORDS: Final = frozenset(
    b"pass password passwd pwd pw p secret token key bar pa55 passphrase userpass mypassword mypass".split()
)
_NOWHERE: Final = re.compile(
    rb"(?i)@(?:[\w-]+\.)*(?:example(?:\.(?:com|org|net))?|hosts?(?:name)?|server|domain(?:\.\w+)?|your[\w.-]*|my[\w.-]*|address|ip|url|foo|bar)(?:[:/?\"'\s,)]|$)"
)
#: Formats with a checksum: a valid one is reported by its exact rule, a wrong one is nobody's token.
_CHECKSUMMED: Final = re.compile(rb"^(?:gh[pousr]|npm)_[A-Za-z0-9]{36}$")
#: Words that continue a sentence behind a prose match: what was matched is one of its words.
_SENTENCE: Final = re.compile(
    rb"^[ \t]+(?:is|are|was|will|can|must|should|for|and|or|to|of|in|on|that|which|when|has|have|with|not|be"
    rb"|from)\b"
)


def refuses(rule: Rule, value: bytes, before: bytes, after: bytes) -> str:
    """The reason why ``value`` is no secret, or "". ``before`` and ``after`` are the bytes around it."""
    if rule.kind == "exact":
        return _refuses_exact(rule, value)
    line = before[-_NEAR:].rpartition(b"\n")[2]
    # First of all, for a test suite prints a hundred thousand of them.
    if line.endswith(_PASSED) and _VERDICT.match(line):
        return "test result"
    if lexicon.is_placeholder(value) or _MASK.search(value):
        return "placeholder"
    if _REFERENCE.match(value):
        return "reference"
    if rule.min_entropy and lexicon.entropy(value) < rule.min_entropy:
        return "low entropy"
    if rule.kind == "contextual":
        return "" if rule.min_entropy else _refuses_login(value, before, after)
    if _CHECKSUMMED.match(value):
        return "checksum"
    reason = _refuses_shape(value) or _refuses_key(value, line)
    if reason:
        return reason
    quoted = line[-1:] in b"\"'`" and line != b""
    return (
        _refuses_drawn(value, line, after)
        if rule.min_entropy
        else _refuses_chosen(value, line, after, quoted=quoted)
    )


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


def _refuses_login(value: bytes, before: bytes, after: bytes) -> str:
    """For passwords whose account and host stand beside them: what documentation writes there."""
    word = value.lower()
    if word in _STAND_IN_WORDS and _STAND_IN.search(before[-24:]):
        return "placeholder"
    if _NOWHERE.match(after) and (word in _STAND_IN_WORDS or lexicon.is_weak(value)):
        return "placeholder"
    if word in _TYPE and not lexicon.is_weak(value):
        return "a word of the language"
    return "identifier" if _NAMED.match(value) else ""


def _refuses_shape(value: bytes) -> str:
    if len(value) < 4:
        return "too short"
    if not any(48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 for byte in value):
        return "punctuation"
    if value.lower().strip(b"()[]{}<>.,;:!?*") in _TYPE:
        return "a word of the language"
    slashed = _SLASHED.match(value) and lexicon.words_in(value) >= _READABLE
    if slashed or _PATH.search(value) or _HOST.match(value):
        return "path or address"
    if _NAMED.match(value):
        return "identifier"
    return ""


def _refuses_key(value: bytes, line: bytes) -> str:
    found = _KEY_BACKWARDS.match(line[::-1])
    key = found.group(1)[::-1] if found else b""
    lead = line[: len(line) - found.end()] if found else b""
    if lead.endswith(b"::"):
        return "name of a type"
    if _VARIABLE.search(line):
        return "type of a variable"
    if _TITLE.search(line):
        return "words for people"
    if key and _OTHER_KEY.search(key):
        return "key names something else"
    if key and value.lower().replace(b"-", b"_") == key.lower().replace(b"-", b"_"):
        return "value repeats the key"
    if _UUID.match(value):
        return "" if re.search(rb"(?i)api[_.-]?key|secret|passw|token", key) else "identifier"
    return ""


def _refuses_drawn(value: bytes, line: bytes, after: bytes) -> str:
    """For keys and tokens: random characters are asked for."""
    if _NUMBER.match(value):
        return "number"
    kind = lexicon.alphabet(value)
    if kind in ("hex", "digits") and (_HASHES.search(line[-64:]) or _LISTED.search(line)):
        return "hash"
    if kind == "text" and _CODE.search(value):
        return "code"
    if kind == "letters" and (len(value) < 20 or lexicon.words_in(value) >= 0.4):
        return "words"
    if lexicon.words_in(value) >= 0.65:
        return "words"
    if not any(48 <= byte <= 57 for byte in value) and lexicon.words_in(value) >= 0.35:
        return "words"
    if after[:1] == b"(" or (after[:1] == b"." and after[1:2].isalpha()):
        return "code"
    return ""


def _refuses_chosen(value: bytes, line: bytes, after: bytes, *, quoted: bool) -> str:
    """For passwords: any word may be one, so the syntax around it must speak for it."""
    if b" " in value and value.count(b" ") > 5:
        return "prose"
    if not quoted and _CODE.search(value):
        return "code"
    if not quoted and (after[:1] in (b"(", b"[", b">") or (after[:1] == b"." and after[1:2].isalpha())):
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
    if value.isdigit() and len(value) < 4:
        return "number"
    if lexicon.is_weak(value):
        return ""
    if value.isalpha() and _is_prose(value, line, after, quoted=quoted):
        return "prose"
    return ""


def _is_prose(value: bytes, line: bytes, after: bytes, *, quoted: bool) -> bool:
    """A bare word after "password": in a sentence it is the next word of the sentence."""
    if _SENTENCE.match(after):
        return True
    if quoted:
        return False
    words = line.count(b" ")
    return words >= 4 or (words >= 2 and value.islower() and after[:1] == b" ")
