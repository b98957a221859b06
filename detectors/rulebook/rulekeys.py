"""The keys of a rule: one description, for the loader, for editors and for docs/rules.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from unsprawl.detectors.judging import offline
from unsprawl.records import Severity

__all__ = ["FARTHEST", "FORMS", "KEYS", "REQUIRED", "schema"]

#: Bytes between a secret and a companion at most; segments overlap by it.
FARTHEST: Final = 16 << 10
_KINDS: Final = ("exact", "contextual", "generic")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)+")
REQUIRED: Final = ("id", "name", "severity")
#: A rule has its own pattern, or the loader makes one of the words before a value.
FORMS: Final = (("keywords", "pattern"), ("context", "value"))
_TEXT: Final = {"type": "string", "minLength": 1}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_MATCHER: Final = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "status": {"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}},
        "json": {
            "type": "object",
            "description": "Dotted path to the value, or to a list of values, it must have.",
        },
        "contains": {**_TEXTS, "description": "The body holds one of these."},
    },
}
#: The one description of a rule: the loader checks against it, and it is published as JSON Schema.
KEYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "id": {**_TEXT, "pattern": f"^{_ID.pattern}$", "description": "provider.kind"},
    "name": {**_TEXT, "description": "What it is called in findings."},
    "severity": {"enum": [severity.value for severity in Severity]},
    "kind": {
        "enum": list(_KINDS),
        "description": "How far a match alone can be believed; exact if not given.",
    },
    "keywords": {**_TEXTS, "minItems": 1, "description": "One of these stands in every match, in any case."},
    "pattern": {
        **_TEXT,
        "description": "RE2, free spacing, one group named secret (secret2 in another alternative).",
    },
    "context": {
        "type": "array",
        "minItems": 1,
        "items": {**_TEXT, "pattern": r"^[a-z0-9][a-z0-9 .&+-]*$"},
        "description": "Words in small letters, a blank for any separator: one stands before the value.",
    },
    "value": {**_TEXT, "description": "In place of keywords and pattern: what the value looks like."},
    "cue": {
        "type": "boolean",
        "description": "A word such as key, token or secret must stand beside the context too.",
    },
    "tentative": {
        "type": "boolean",
        "description": "A match is a doubt at best: only the classifier makes a finding of it.",
    },
    "superset": {
        **_TEXT,
        "description": "Searched in its place: it matches where the pattern does and begins no later.",
    },
    "prefix": {
        **_TEXT,
        "description": "The public start of the value; derived from the pattern if not given.",
    },
    "companions": {
        "type": "object",
        "minProperties": 1,
        "description": "What belongs to the secret and stands elsewhere: a name and how it is found.",
        "additionalProperties": {
            "type": "object",
            "additionalProperties": False,
            "required": ["pattern"],
            "properties": {
                "pattern": {**_TEXT, "description": "RE2, free spacing; its group is the companion."},
                "within": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": FARTHEST,
                    "description": "Bytes between it and the secret at most; 1024 if not given.",
                },
                "required": {"type": "boolean", "description": "Without it the secret is none."},
            },
        },
    },
    "path": {**_TEXT, "description": "RE2: only in documents with such a path."},
    "allow": {
        "type": "array",
        "description": "What is left alone. Of each list in an item one pattern must be found.",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "secret": {**_TEXTS, "description": "RE2, in the secret."},
                "match": {**_TEXTS, "description": "RE2, in all that the pattern matched."},
                "line": {**_TEXTS, "description": "RE2, in the line of the secret."},
                "path": {**_TEXTS, "description": "RE2, in the path of the document."},
                "words": {**_TEXTS, "description": "Texts, in the secret, in any case."},
            },
        },
    },
    "identity": {**_TEXTS, "description": "Companion groups that are part of the identity."},
    "offline": {"enum": sorted(offline.CHECKS), "description": "The check that needs no network."},
    "min_entropy": {"type": "number", "minimum": 0, "maximum": 8, "description": "Bits a character."},
    "examples": {**_TEXTS, "description": "Templates that this rule alone must find."},
    "negatives": {**_TEXTS, "description": "Near misses that it must not find."},
    "remediation": {**_TEXTS, "description": "Where to revoke it, where to see its use."},
    "check": {
        "type": "object",
        "additionalProperties": False,
        "required": ["request", "active"],
        "properties": {
            "request": {
                "type": "object",
                "additionalProperties": False,
                "required": ["url"],
                "properties": {
                    "method": {"enum": ["GET", "HEAD", "POST"]},
                    "url": {**_TEXT, "pattern": "^https://"},
                    "hosts": {
                        **_TEXTS,
                        "description": "Allowed hosts (globs) when the url holds a companion.",
                    },
                    "bearer": {"type": "boolean", "description": "Authorization: Bearer {secret}"},
                    "basic": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
                    "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                    "form": {"type": "object", "additionalProperties": {"type": "string"}},
                    "json": {"type": "object"},
                    "derive": {
                        "type": "object",
                        "additionalProperties": _TEXT,
                        "description": "Parts of the secret by name: RE2, its group is the part.",
                    },
                },
            },
            "elsewhere": {
                "type": "boolean",
                "description": "It may belong to another deployment: a refusal counts once it worked here.",
            },
            "active": {**_MATCHER, "description": "The answer to a credential that works."},
            "limited": {**_MATCHER, "description": "It works, and may not ask this question."},
            "inactive": {**_MATCHER, "description": "The answer to one that does not work."},
            "tells": {
                "type": "object",
                "additionalProperties": False,
                "minProperties": 1,
                "description": "Where it says whose it is and what it may do: a dotted path, or header:NAME.",
                "properties": {
                    "user": _TEXT,
                    "account": _TEXT,
                    "plan": _TEXT,
                    "expires": _TEXT,
                    "scopes": {**_TEXT, "description": "A text or a list; privileges are read from it."},
                    "role": {**_TEXT, "description": "The role of the user, in a word."},
                    "admin": {**_TEXT, "description": "True for administrators."},
                },
            },
        },
    },
}


def schema() -> Mapping[str, Any]:
    """The JSON Schema of a rule file, for editors."""
    rule = {
        "type": "object",
        "additionalProperties": False,
        "required": list(REQUIRED),
        "oneOf": [{"required": list(form)} for form in FORMS],
        "properties": dict(KEYS),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "unsprawl rule file",
        "type": "object",
        "additionalProperties": False,
        "required": ["rules"],
        "properties": {"rules": {"type": "array", "items": rule}},
    }
