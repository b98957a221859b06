"""Labelled texts made for training: carriers of every surface crossed with values of every label."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from unsprawl.models.synthesis.carriers import FAMILIES, carry
from unsprawl.models.synthesis.corpus import Lines
from unsprawl.models.synthesis.mined import Files
from unsprawl.models.synthesis.texts import LabelledText, Span

__all__ = ["LabelledText", "Span", "texts"]

#: Shares of carriers and of mined text; the rest is the labelled corpus, if there is one.
_CARRIED: Final = 0.4
_MINED: Final = 0.3


def texts(seed: int, *, size: int, labelled: Path | None, split: str) -> Iterator[LabelledText]:
    """``size`` labelled texts of ``split`` (``train`` or ``development``); the same inputs, the same texts.

    Development texts of the corpus are its rows as they are. In training each row comes once in its own
    form, as far as there is room, and then with other values. Without a corpus the carriers take its share.
    """
    draw = random.Random(f"{seed} {split}")  # noqa: S311  # the same seed must give the same texts
    lines = Lines.read(labelled, split) if labelled else None
    files = Files.find(split)
    own = list(lines.originals()) if lines else []
    draw.shuffle(own)
    families = tuple(one for one in FAMILIES if _is_of(one, split))
    for _ in range(size):
        kind, made = draw.random(), None
        if kind < _MINED and files.paths:
            made = files.draw(draw)
        elif kind >= _MINED + _CARRIED and lines and lines.rows:
            if own and (split == "development" or draw.random() < 0.5):
                made = own.pop()
            elif split == "train":
                made = lines.refilled(draw)
        yield made or carry(draw, draw.choice(families))


def _is_of(family: str, split: str) -> bool:
    """A few families are for development alone, so that it shows what new carriers cost."""
    return (family in ("lua", "kotlin", "toml", "jenkins", "adf", "runbook")) == (split == "development")
