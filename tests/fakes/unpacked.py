"""What comes out of a container: its members, what was cut, and where planted tokens are found in it."""

from __future__ import annotations

import random
import string

from unsprawl.detectors.containers.archives import Cut, leaves
from unsprawl.detectors.containers.streams import Account, Budget, Reader
from unsprawl.detectors.detector import ContentDetector
from unsprawl.detectors.rules import Rule, RuleSet
from unsprawl.records import Candidate, Document, Severity

RULE = Rule(
    id="acme.token",
    name="Token",
    provider="acme",
    severity=Severity.HIGH,
    keywords=("tok_",),
    pattern=r"\b(?P<secret>tok_[a-zA-Z0-9]{24})\b",
    prefix="tok_",
)
DETECTOR = ContentDetector(RuleSet((RULE,)))


def token(name: str) -> str:
    """A value of its own for each place."""
    return "tok_" + "".join(random.Random(name).choices(string.ascii_letters + string.digits, k=24))


def unpack(
    body: bytes, name: str = "top", budget: Budget | None = None
) -> tuple[dict[str, bytes], dict[str, str]]:
    """All members with their content, and what was cut."""
    found: dict[str, bytes] = {}
    cuts: dict[str, str] = {}
    for piece in leaves(Reader.of(body), name, Account(budget or Budget())):
        if isinstance(piece, Cut):
            cuts[piece.member] = piece.reason
        else:
            found[piece.member] = piece.reader.read(1 << 40)
    return found, cuts


def tokens(body: bytes) -> dict[str, set[str]]:
    """The tokens found, each with the members it stands in; every span is where it says."""
    contents: dict[str, bytes] = {}
    for piece in leaves(Reader.of(body), "top", Account(Budget())):
        if not isinstance(piece, Cut):
            # Some contents begin in the middle of their container and count from its start.
            before = bytes(piece.reader.position)
            contents[piece.member] = before + piece.reader.read(1 << 40)
    found: dict[str, set[str]] = {}
    for item in DETECTOR.scan(Document(uri="mem:document", body=body)):
        if isinstance(item, Candidate):
            value = item.secret.reveal()
            if item.views == ("raw",):
                assert contents[item.member][item.start : item.end] == value
            found.setdefault(value.decode(), set()).add(item.member)
    return found
