"""What people decided, as samples to train on.

A place that could be read again teaches as it is. Of one whose value nobody has, the stored line is taken
with a stand-in: a value drawn until its traits are those that were kept (``embedding.Traits``), from the
generators of every label, so that how it was drawn tells nothing about what was decided.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from unsprawl import lexicon
from unsprawl.models.embedding import Traits
from unsprawl.models.features import extract
from unsprawl.models.samples import LABELS, UNKNOWN, Samples, family, negative_label
from unsprawl.models.surfaces import surface_of
from unsprawl.models.window import full_path
from unsprawl.records import Candidate, Document, Label

if TYPE_CHECKING:
    from unsprawl.models.training import Plan

__all__ = ["SOURCE", "Judged", "samples", "stand_in", "weighted"]

#: The first part of the samples' groups.
SOURCE: Final = "feedback"
#: How often a place is drawn beside all others, and all of them together at most: enough to be learnt, too
#: little to unlearn the rest.
_SHARE: Final = 0.0003
_SHARES: Final = 0.03
#: Values that are tried before the nearest is taken.
_TRIES: Final = 600
_LONGEST: Final = 4096
_LETTERS: Final = string.ascii_letters
#: One of each three signs of a text is none of a word.
_ALPHABETS: Final = {
    "digits": string.digits,
    "hex": "0123456789abcdef",
    "letters": _LETTERS,
    "alnum": _LETTERS + string.digits,
    "base64": _LETTERS + string.digits + "+/-_=",
    "text": _LETTERS + string.digits + 3 * "!#$%&*+.:?@",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A place and what was decided about its finding. ``harmless``: a false positive, else a credential."""

    finding: str
    document: Document
    candidate: Candidate
    harmless: bool


def samples(places: Sequence[Judged], kinds: dict[str, str]) -> Samples:
    """The samples of ``places``, at least one, each finding a group of its own."""
    pairs = [(place.document, place.candidate) for place in places]
    labels = [_label(place) for place in places]
    return Samples(
        extract(pairs, kinds),
        np.array([0.0 if place.harmless else 1.0 for place in places], np.float32),
        np.array([UNKNOWN if label is None else LABELS.index(label) for label in labels], np.int64),
        np.full(len(places), UNKNOWN, np.int64),
        np.array([f"{SOURCE}:{place.finding}" for place in places], "U48"),
        np.array([surface_of(document, full_path(document, it)) for document, it in pairs], "U12"),
        np.array([family(it.rule, kinds) for _, it in pairs], "U24"),
    )


def weighted(plan: Plan, count: int) -> Plan:
    """``plan`` with a share for the ``count`` places that people decided about."""
    return replace(plan, shares={**plan.shares, SOURCE: min(_SHARES, _SHARE * count)})


def _label(place: Judged) -> Label | None:
    """What a false positive is, where its form tells. Of a credential a decision does not say how good."""
    if not place.harmless:
        return None
    return negative_label(place.candidate.secret.reveal(), place.candidate.before[-96:])


def stand_in(traits: Traits, prefix: str, seed: str) -> bytes:
    """A value with these traits that begins with ``prefix``; the same arguments give the same value."""
    draw = random.Random(f"{seed} {traits}")  # noqa: S311  # nothing drawn here protects anything
    nearest, least = b"", float("inf")
    for made in _proposals(draw, traits, prefix):
        value = made.encode()[:_LONGEST]
        apart = _apart(Traits.of(value), traits)
        if apart < least:
            nearest, least = value, apart
        if not apart:
            break
    return nearest


def _proposals(draw: random.Random, traits: Traits, prefix: str) -> Iterator[str]:
    from unsprawl.models.synthesis.values import make

    size = max(1, round(2 ** (traits.length / 2)) - len(prefix))
    if traits.known == "weak":  # it is in the list, and hardly hit upon by chance
        listed = [word.decode() for word in sorted(lexicon.WEAK)]
        draw.shuffle(listed)
        yield from (prefix + form(word) for form in (str, str.title, str.upper) for word in listed)
    labels = tuple(Label)
    for number in range(_TRIES):
        if number % 3 == 0:
            near = max(1, round(size * draw.uniform(0.85, 1.18)))
            made = "".join(draw.choices(_ALPHABETS[traits.alphabet], k=near))
            made = draw.choice((str, str.upper, str.lower))(made)
        else:
            made = make(draw, draw.choice(labels))[0]
        yield prefix + made


def _apart(found: Traits, wanted: Traits) -> int:
    """0 for equal traits; length and alphabet weigh most, for the network reads them first."""
    return (
        2 * abs(found.length - wanted.length)
        + 4 * (found.alphabet != wanted.alphabet)
        + 2 * (found.known != wanted.known)
        + 2 * (found.reads != wanted.reads)
        + (found.random != wanted.random)
        + (found.classes ^ wanted.classes).bit_count()
    )
