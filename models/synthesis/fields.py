"""Names of fields: of credentials, and of what only sounds like one, in every case people write."""

from __future__ import annotations

import random
from typing import Final

from unsprawl.models.synthesis.wordlists import COMPANIES, NOUNS, PARTS, SERVICES

__all__ = ["cased", "field", "harmless"]

_AHEAD: Final = "my test prod dev default internal new old global main primary user admin app base".split()
_BEHIND: Final = "prod dev 1 2 v2 value str new backup test main default".split()
_GROUPS: Final = (
    "spring.datasource quarkus.datasource app.security mail.smtp server.ssl http grails.plugin".split()
)
_TAILS: Final = """\
hash checksum fingerprint id name type url uri path file field label hint policy length expiry ttl header
prefix version count digest md5 sha256 index column algorithm format pattern regex provider endpoint ref arn
salt_rounds min_length max_age expires_in expired created_at rotation_days required enabled encoder
validator placeholder input strength title message error alias scope bits size
""".split()
_WHOLE: Final = """\
csrf_token sort_key cache_key public_key partition_key primary_key foreign_key request_id commit client_id
keyboard tokenizer keyword author authority author_email keyframes monkey turkey key_code hotkey oauth_nonce
oauth_timestamp oauth_signature_method sec-websocket-key page_token next_token cursor etag revision
integrity i18n_key map_key dictionary_key lookup_key access_key_id key_id session_id trace_id correlation_id
object_key s3_key kms_key_id secret_name secret_ref password_label password_field token_type key_name
passwords_match key_usage verify_key host_key public-key-pins authorized_keys passing passenger compass
bypass tokens_used max_tokens keyspace keystore
""".split()


def cased(draw: random.Random, name: str, *, plain: bool = False) -> str:
    """A snake-case name as one of the usual styles writes it; ``plain`` leaves dots and dashes out."""
    parts = name.replace("-", "_").split("_")
    kind = draw.randrange(6 if plain else 9)
    if kind < 2:
        return "_".join(parts)
    if kind == 2:
        return "_".join(parts).upper()
    if kind == 3:
        return parts[0] + "".join(part.title() for part in parts[1:])
    if kind == 4:
        return "".join(part.title() for part in parts)
    if kind == 5:
        return "".join(parts)
    if kind == 6:
        return "-".join(parts)
    if kind == 7:
        return ".".join(parts)
    return "-".join(part.title() for part in parts)


def field(draw: random.Random, *, plain: bool = False, wrong: float = 0.2) -> str:
    """The name of a field that may hold a credential, of one to four parts.

    ``plain``: of letters, digits and underscores; ``wrong`` is the share of names that mislead.
    """
    if draw.random() < wrong:
        return harmless(draw, plain=plain)
    kind, part = draw.random(), draw.choice(PARTS)
    if kind < 0.2:
        name = part
    elif kind < 0.7:
        name = f"{draw.choice(draw.choice((SERVICES, SERVICES, NOUNS)))}_{part}"
    elif kind < 0.8:
        name = f"{draw.choice(_AHEAD)}_{part}"
    elif kind < 0.88:
        name = f"{draw.choice((*_AHEAD, *COMPANIES))}_{draw.choice(SERVICES)}_{part}"
    elif kind < 0.95:
        name = f"{draw.choice(SERVICES)}_{part}_{draw.choice(_BEHIND)}"
    elif plain:
        name = part
    else:
        return f"{draw.choice(_GROUPS)}.{cased(draw, part, plain=True)}"
    return cased(draw, name, plain=plain)


def harmless(draw: random.Random, *, plain: bool = False) -> str:
    """The name of a field that sounds like a credential's and is none."""
    if draw.random() < 0.4:
        name = draw.choice(_WHOLE)
    else:
        name = f"{draw.choice(PARTS)}_{draw.choice(_TAILS)}"
        if draw.random() < 0.3:
            name = f"{draw.choice(SERVICES)}_{name}"
    return cased(draw, name, plain=plain)
