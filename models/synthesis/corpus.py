"""Labelled lines as texts, and the same lines with other values, so that neither line nor value tells all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unsprawl import lexicon
from unsprawl.models import labelled
from unsprawl.models.surfaces import surface_of
from unsprawl.models.synthesis.texts import LabelledText, Span
from unsprawl.models.synthesis.values import POSITIVE, make, misleading
from unsprawl.records import Label

__all__ = ["Lines"]

_SOFT: Final = (Label.PLACEHOLDER, Label.EXAMPLE)
_KEYS: Final = (b"pass", b"pwd", b"secret", b"token", b"api_key", b"apikey", b"access_key", b"credential")


@dataclass(frozen=True, slots=True)
class Lines:
    """The rows of one split of a labelled corpus."""

    rows: tuple[labelled.Row, ...]

    @classmethod
    def read(cls, path: Path, split: str) -> Lines:
        held = split == "development"
        rows = labelled.read(path)
        return cls(tuple(row for row in rows if labelled.is_development(row.repository) == held))

    def originals(self) -> Iterator[LabelledText]:
        for row in self.rows:
            yield _text(row, row.document.body, row.value, *_known(row))  # type: ignore[arg-type]

    def refilled(self, draw: random.Random) -> LabelledText | None:
        """A row drawn at random with another value; None where the row has no place for one."""
        row = draw.choice(self.rows)
        body, (start, end) = row.document.body, row.value
        assert isinstance(body, bytes)
        literal = _is_literal(body, start, end)
        if b"\n" in body[start:end] or not (literal or row.label == "T"):
            return None
        credential = literal and _names_credential(body[row.start : start])
        label = _new_label(draw, row, literal=credential)
        value, style = make(draw, label)
        if label not in POSITIVE and misleading(label, style) == 1.0 and (row.label == "T" or credential):
            # A digest in the place of a key cannot be told from a key.
            label = Label.PLACEHOLDER
            value, style = make(draw, label)
        put = value.encode()
        return _text(row, body[:start] + put + body[end:], (start, start + len(put)), label, style)


def _text(row: labelled.Row, body: bytes, span: tuple[int, int], label: Label, style: str) -> LabelledText:
    surface = surface_of(row.document, row.document.path)
    spans = (Span(*span, label, style),)
    if label not in POSITIVE and style == "row":
        spans = (Span(row.start, row.end, label, style),)
    return LabelledText(body, row.document.path, surface, spans, f"repo:{row.repository}", silent=False)


def _new_label(draw: random.Random, row: labelled.Row, *, literal: bool) -> Label:
    if row.label == "T":
        strong = (Label.TEST,) if _is_test(row.document.path) else (Label.REAL, Label.REAL, Label.WEAK)
        return (
            draw.choice(strong) if draw.random() < 0.5 else draw.choice((*_SOFT, Label.REFERENCE, Label.HASH))
        )
    if literal and draw.random() < 0.5:
        return Label.TEST if _is_test(row.document.path) else draw.choice((Label.REAL, Label.WEAK))
    return draw.choice((*_SOFT, Label.IDENTIFIER, Label.REFERENCE, Label.HASH))


def _is_test(path: str) -> bool:
    return any(word in path.lower() for word in ("test", "spec/", "fixture", "mock"))


def _names_credential(ahead: bytes) -> bool:
    name = ahead.rstrip(b" \t\"'`=:>").lower()[-24:]
    return ahead.rstrip(b"\"'` ")[-1:] in (b"=", b":", b">") and any(name.find(word) >= 0 for word in _KEYS)


def _is_literal(body: bytes, start: int, end: int) -> bool:
    """Whether the value is quoted on both sides, on the one line."""
    quote = body[start - 1 : start]
    return end - start > 2 and quote in (b'"', b"'", b"`") and body[end : end + 1] == quote


def _known(row: labelled.Row) -> tuple[Label, str]:
    value = row.text
    if row.label == "T":
        if _is_test(row.document.path):
            return Label.TEST, "row"
        return (Label.WEAK if lexicon.is_weak(value) else Label.REAL), "row"
    if lexicon.is_placeholder(value):
        return Label.PLACEHOLDER, "row"
    if row.label == "X":
        return Label.EXAMPLE, "row"
    if lexicon.alphabet(value) == "hex" and len(value) in (32, 40, 64, 128):
        return Label.HASH, "row"
    return (Label.REFERENCE if any(mark in value for mark in b"$.([{") else Label.IDENTIFIER), "row"
