"""What a value tells about itself without any network: a checksum, an expiry, an account, a parsed key.

A check answers ``Check`` (with ``exact`` when the format proves itself), ``None`` when the value tells
nothing, and ``REFUTED`` when its own checksum says that it is no such value.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from unsprawl import lexicon
from unsprawl.detectors.judging import privatekeys
from unsprawl.placeholders import base62_crc32
from unsprawl.records import Check, Validity

if TYPE_CHECKING:
    from unsprawl.detectors.rules import Rule

__all__ = ["CHECKS", "REFUTED", "YIELDS", "Companions", "Refuted", "Result", "check", "login", "plain"]


class Refuted(Enum):
    """The type of :data:`REFUTED`, the answer for a value whose checksum is wrong."""

    REFUTED = "refuted"


REFUTED: Final = Refuted.REFUTED
Companions: TypeAlias = Mapping[str, bytes]
Result: TypeAlias = Check | Refuted | None

_SHORTEST_PEM: Final = 110
#: Shorter passwords are left in their encoding: three letters would match everywhere.
_SHORTEST_OPENED: Final = 4
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_LARGEST: Final = 64 << 10  # bytes of a value that are looked at


def check(rule: Rule, value: bytes, companions: Companions) -> Result:
    """The verdict of the rule's offline check, None for rules without one. Never raises for any value."""
    if not rule.offline or len(value) > _LARGEST:
        return None
    return CHECKS[rule.offline](value, companions)


def _unknown(evidence: str, *, exact: bool = False, privilege: str = "") -> Check:
    return Check(Validity.UNKNOWN, evidence, privilege, exact=exact)


# --- checksums -----------------------------------------------------------------------------------


def _crc32_base62(value: bytes, _: Companions) -> Result:
    """``ghp_`` (30 characters) (6 characters of CRC-32): GitHub's classic tokens and npm's."""
    body = value.partition(b"_")[2]
    if len(body) != 36 or not body.isalnum():
        return None
    if base62_crc32(body[:30]).encode() != body[30:]:
        return REFUTED
    return _unknown("checksum fits", exact=True)


def _github_app(value: bytes, companions: Companions) -> Result:
    """Since 2026 ``ghs_`` (number of the app) ``_`` (JWT), before that like the other tokens."""
    return _jwt(value.split(b"_", 2)[2], companions) if b"." in value else _crc32_base62(value, companions)


def _gitlab(value: bytes, _: Companions) -> Result:
    """A routable token ends in its version, its length, and the CRC-32 of all before in base 36."""
    if value.count(b".") != 2:
        return None
    number = zlib.crc32(value[:-7])
    return (
        _unknown("checksum fits", exact=True)
        if value[-7:].isalnum() and int(value[-7:], 36) == number
        else None
    )


def _grafana(value: bytes, _: Companions) -> Result:
    """``glsa_`` (32 characters) ``_`` (CRC-32 of all before it, in hex, least byte first)."""
    head, _separator, tail = value.rpartition(b"_")
    if len(tail) != 8:
        return None
    if zlib.crc32(head).to_bytes(4, "little").hex().encode() != tail.lower():
        return _unknown("")
    return _unknown("checksum fits", exact=True)


# --- JSON in base64 ------------------------------------------------------------------------------


def _decode(text: bytes) -> bytes | None:
    text = text.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _object(text: bytes) -> dict[str, Any] | None:
    raw = _decode(text)
    if raw is None or not raw.lstrip().startswith(b"{"):
        return None
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "an impossible date"


def _plain(text: object) -> str:
    """A claim fit for evidence: short and printable. Issuers and audiences are no secrets."""
    return re.sub(r"[^\w.:/@ -]", "", str(text))[:80]


def _expiry(claims: Mapping[str, Any]) -> tuple[Validity, str]:
    expiry = claims.get("exp")
    if isinstance(expiry, bool) or not isinstance(expiry, int | float):
        return Validity.UNKNOWN, "no expiry"
    if expiry < time.time():
        return Validity.INACTIVE, f"expired on {_date(expiry)}"
    return Validity.UNKNOWN, f"expires on {_date(expiry)}"


def _jwt(value: bytes, _: Companions) -> Result:
    parts = value.split(b".")
    if len(parts) not in (3, 5):
        return REFUTED
    header = _object(parts[0])
    if header is None or not isinstance(header.get("alg"), str):
        return REFUTED
    if len(parts) == 5:
        return _unknown(f"encrypted token, {_plain(header['alg'])}", exact=True)
    claims = _object(parts[1])
    if claims is None:
        return REFUTED
    validity, evidence = _expiry(claims)
    if header["alg"].lower() == "none":
        evidence = f"unsigned (alg none), {evidence}"
    issuer = claims.get("iss")
    if isinstance(issuer, str) and issuer:
        evidence += f", issuer {_plain(issuer)}"
    return Check(validity, evidence, exact=True)


def _supabase(value: bytes, companions: Companions) -> Result:
    """A JWT with a role: ``anon`` is meant for browsers, ``service_role`` passes every row policy."""
    result = _jwt(value, companions)
    claims = _object(value.split(b".")[1]) if isinstance(result, Check) else None
    if not isinstance(result, Check) or claims is None:
        return result
    role = _plain(claims.get("role", ""))
    evidence = f"{result.evidence}, project {_plain(claims.get('ref', 'unknown'))}"
    return Check(result.validity, evidence, f"role {role}" if role else "", exact=True)


def _docker_auth(value: bytes, _: Companions) -> Result:
    raw = (_decode(value) or b"").rstrip(b"\r\n")
    if b":" not in raw or not raw.isascii() or not raw.decode().isprintable():
        return REFUTED
    user = raw.partition(b":")[0].decode()
    return _unknown(f"user {_plain(user)}", exact=True)


def login(value: bytes) -> tuple[bytes, bytes] | None:
    """Account and password of a value that ``docker-auth`` has passed; None when it holds no password."""
    account, _, password = (_decode(value) or b"").rstrip(b"\r\n").partition(b":")
    return (account, password) if len(password) >= _SHORTEST_OPENED else None


def plain(value: bytes) -> bytes | None:
    """The text whose base64 ``value`` is; None for everything else, which is what it is.

    Characters drawn at random decode to a text once in ten thousand times, at twelve of them.
    """
    if len(value) % 4 or len(value) < 12 or not _BASE64.fullmatch(value):
        return None
    text = _decode(value) or b""
    return text if text.isascii() and text.decode().isprintable() else None


def _json_token(value: bytes, _: Companions) -> Result:
    """A prefix and base64 of JSON: 1Password service accounts (``ops_``), Grafana Cloud (``glc_``)."""
    content = _object(value.partition(b"_")[2])
    if content is None:
        return None
    keys = ("signInAddress", "email", "o", "n", "region_url", "org")
    names = [_plain(content[key]) for key in keys if key in content]
    return _unknown(f"holds {', '.join(filter(None, names)) or 'a JSON object'}", exact=True)


def _sentry(value: bytes, _: Companions) -> Result:
    content = _object(value.split(b"_")[1]) if value.count(b"_") >= 2 else None
    if content is None:
        return None
    return _unknown(f"organisation {_plain(content.get('org', 'unknown'))}", exact=True)


def _pypi(value: bytes, _: Companions) -> Result:
    """A macaroon in base64 that names its site."""
    raw = _decode(value.partition(b"-")[2])
    if raw is None or not raw.startswith(b"\x02\x01\x08pypi.org"[:3]):
        return None
    site = "test.pypi.org" if b"test.pypi.org" in raw[:24] else "pypi.org" if b"pypi.org" in raw[:24] else ""
    return _unknown(f"macaroon for {site}", exact=True) if site else None


# --- cloud accounts ------------------------------------------------------------------------------


def aws_account(key_id: bytes) -> str | None:
    """The twelve-digit account inside a key id of the present scheme, None for older ids."""
    try:
        raw = base64.b32decode(key_id[4:])
    except (binascii.Error, ValueError):
        return None
    number = int.from_bytes(raw[:6], "big")
    if len(raw) < 6 or not number >> 47:
        return None
    account = (number & 0x7FFFFFFFFF80) >> 7
    return f"{account:012d}" if 0 < account < 10**12 else None


def _aws_key_id(value: bytes, _: Companions) -> Result:
    account = aws_account(value)
    kind = "temporary key, " if value.startswith(b"ASIA") else ""
    return _unknown(f"{kind}account {account}") if account else None


def _aws_secret(value: bytes, companions: Companions) -> Result:
    # Forty characters may be a path as well; of a thousand secrets one has no digit.
    if lexicon.words_in(value) >= 0.5 or not any(48 <= byte <= 57 for byte in value):
        return REFUTED
    key_id = companions.get("id", b"")
    account = aws_account(key_id)
    return _unknown(f"account {account}", exact=True) if account else None


def _gcp_service_account(value: bytes, companions: Companions) -> Result:
    result = _pem(value, companions)
    account = companions.get("account", b"").decode("ascii", "replace")
    if isinstance(result, Check) and account:
        return Check(result.validity, f"{result.evidence}, account {_plain(account)}", exact=result.exact)
    return result


def _azure_key(value: bytes, companions: Companions) -> Result:
    raw = _decode(value)
    if raw is None or len(raw) not in (32, 64):
        return REFUTED
    account = companions.get("account", b"").decode("ascii", "replace")
    named = f", account {_plain(account)}" if account else ""
    return _unknown(f"{len(raw) * 8} bits{named}", exact=bool(account))


def _sas(_: bytes, companions: Companions) -> Result:
    """A shared access signature; its expiry stands beside it."""
    expiry = companions.get("expiry", b"").decode("ascii", "replace").replace("%3A", ":").replace("%3a", ":")
    try:
        # Service Bus counts seconds, storage writes dates.
        seconds = int(expiry) if expiry.isdigit() and len(expiry) > 8 else None
        moment = datetime.fromisoformat(expiry) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.timestamp() < time.time():
        return Check(Validity.INACTIVE, f"expired on {moment.date().isoformat()}", exact=True)
    return _unknown(f"expires on {moment.date().isoformat()}", exact=True)


# --- prefixes that say something -------------------------------------------------------------------


def _stripe(value: bytes, _: Companions) -> Result:
    mode = "test mode" if b"_test_" in value else "live mode"
    return _unknown(mode, privilege="restricted key" if value.startswith(b"rk_") else "")


_MODES: Final = {
    b"test": "test mode",
    b"live": "live mode",
    b"prod": "production",
    b"production": "production",
    b"sandbox": "sandbox",
    b"sbox": "sandbox",
    b"sdbx": "sandbox",
    b"development": "development",
}
_MODE: Final = re.compile(rb"(?:^|[_$-])(test|live|production|prod|sandbox|sbox|sdbx|development)(?=[_$-])")


def _mode(value: bytes, _: Companions) -> Result:
    """Payment services and others write into a key's beginning whether it moves real money."""
    found = _MODE.search(value[:32])
    return _unknown(_MODES[found[1]]) if found else None


def _mapbox(value: bytes, _: Companions) -> Result:
    """``sk.`` (JSON with the account) ``.`` (signature)."""
    content = _object(value.partition(b".")[2].partition(b".")[0])
    return None if content is None else _unknown(f"account {_plain(content.get('u', 'unknown'))}", exact=True)


def _telegram(value: bytes, _: Companions) -> Result:
    return _unknown(f"bot {value.partition(b':')[0].decode('ascii', 'replace')}")


_NKEYS: Final = {
    b"A": "account",
    b"U": "user",
    b"O": "operator",
    b"N": "server",
    b"C": "cluster",
    b"X": "curve",
}


def _nkey(value: bytes, _: Companions) -> Result:
    """Base32 with a CRC-16 behind it: https://docs.nats.io/running-a-nats-service/nats_admin/security/jwt"""
    try:
        raw = base64.b32decode(value + b"=" * (-len(value) % 8))
    except (binascii.Error, ValueError):
        return None
    if binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") != raw[-2:]:
        return None
    return _unknown(f"seed of a {_NKEYS.get(value[1:2], 'key')}, checksum fits", exact=True)


def _discord(value: bytes, _: Companions) -> Result:
    """The first part is the bot's number in base64."""
    number = _decode(value.partition(b".")[0])
    if number is None or not number.isdigit():
        return REFUTED
    return _unknown(f"bot {number.decode()}", exact=True)


_HASHES: Final = {
    b"$2": "bcrypt",
    b"$1$": "MD5",
    b"$apr1$": "Apache MD5",
    b"$5$": "SHA-256",
    b"$6$": "SHA-512",
    b"$y$": "yescrypt",
}


def _crypt(value: bytes, _: Companions) -> Result:
    for start, name in _HASHES.items():
        if value.startswith(start):
            cost = re.match(rb"\$2[abxy]?\$(\d\d)\$", value)
            return _unknown(f"{name} hash" + (f", cost {int(cost[1])}" if cost else ""), exact=True)
    return None


def _age(value: bytes, _: Companions) -> Result:
    """Bech32 (BIP 173): a wrong character cannot pass."""
    letters = b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"
    part, _separator, data = value.upper().rpartition(b"1")
    try:
        values = [letters.index(byte) for byte in data]
    except ValueError:
        return REFUTED
    lower = part.lower()
    chk = 1
    for number in [b >> 5 for b in lower] + [0] + [b & 31 for b in lower] + values:
        top = chk >> 25
        chk = (chk & 0x1FFFFFF) << 5 ^ number
        for bit, poly in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                chk ^= poly
    return _unknown("checksum fits", exact=True) if chk == 1 else REFUTED


def _pem(value: bytes, companions: Companions) -> Result:
    # The shortest, Ed25519 in PKCS #8, has 64 characters between its borders.
    if len(value) < _SHORTEST_PEM:
        return REFUTED
    evidence = privatekeys.describe(value)
    if not evidence:
        return None
    if "certificate" in companions:
        from unsprawl.detectors.judging import certificates

        more = certificates.describe(value, companions["certificate"])
        evidence += f", {more}" if more else ""
    return _unknown(evidence, exact=True)


def _pem_start(value: bytes, _: Companions) -> Result:
    evidence = privatekeys.remains(value)
    return _unknown(evidence) if evidence else REFUTED


#: The companions that a check finds within the value.
YIELDS: Final[Mapping[str, tuple[str, ...]]] = {"docker-auth": ("account",)}

CHECKS: Final[Mapping[str, Callable[[bytes, Companions], Result]]] = {
    "age": _age,
    "aws-key-id": _aws_key_id,
    "aws-secret": _aws_secret,
    "azure-key": _azure_key,
    "azure-sas": _sas,
    "crypt": _crypt,
    "discord": _discord,
    "docker-auth": _docker_auth,
    "gcp-service-account": _gcp_service_account,
    "github": _crc32_base62,
    "github-app": _github_app,
    "gitlab": _gitlab,
    "grafana": _grafana,
    "json-token": _json_token,
    "jwt": _jwt,
    "mapbox": _mapbox,
    "mode": _mode,
    "nkey": _nkey,
    "npm": _crc32_base62,
    "pem": _pem,
    "pem-start": _pem_start,
    "pypi": _pypi,
    "sentry": _sentry,
    "stripe": _stripe,
    "supabase": _supabase,
    "telegram": _telegram,
}
