"""The classifier that a scan uses: the exported network under onnxruntime, one session a process.

What costs nothing is done first. Copies of a candidate are judged once. Formats that speak for themselves
keep the transparent verdict of the baseline, moved by what the network reads in the surroundings, so that
it ranks them and never drops one. Generic rules are the network's alone.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from unsprawl import lexicon
from unsprawl.errors import ConfigError
from unsprawl.models.runtime import session
from unsprawl.records import Candidate, Document, Environment, Label, Verdict

__all__ = ["FOLDER", "ContextClassifier", "is_there"]

#: Where the model lies that unsprawl ships.
FOLDER: Final = Path(__file__).parent / "context"
_MODEL: Final = "model.onnx"
_CONFIG: Final = "config.json"
_INPUTS: Final = ("rows", "numbers", "words", "grams")
#: How much of the verdict on a format that needs a name beside it is the baseline's.
_SHARE: Final = 0.65
#: Below it the network says that even a drawn value beside a vendor's name is none of its keys.
_CONTRADICTED: Final = 0.05
_POSITIVE: Final = (Label.REAL, Label.WEAK, Label.TEST)
#: What stands for the baseline's verdict on what no preset reports.
_UNREPORTED: Final = Verdict(0.0, Label.EXAMPLE)
_LABELS: Final = tuple(Label)
_ENVIRONMENTS: Final = tuple(Environment)
#: The numbers of the labels that agree with a confidence: of none, and of a credential.
_AGREEING: Final = [
    [number for number, label in enumerate(_LABELS) if (label in _POSITIVE) is positive]
    for positive in (False, True)
]
_TINY: Final = 1e-4


def is_there(folder: Path = FOLDER) -> bool:
    """Whether ``folder`` holds a model."""
    return (folder / _MODEL).is_file() and (folder / _CONFIG).is_file()


@lru_cache(4)
def _loaded(folder: Path, _process: int) -> tuple[Any, Any]:
    """The session and calibration of a folder. Not shared with forked processes: threads do not survive."""
    from unsprawl.models.calibration import Calibration

    table = {name: tuple(pair) for name, pair in _config(folder)["calibration"].items()}
    return session(folder / _MODEL), Calibration(table)


@lru_cache(4)
def _config(folder: Path) -> dict[str, Any]:
    try:
        held: dict[str, Any] = json.loads((folder / _CONFIG).read_text("utf-8"))
        if held["format"] != 1:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder} holds no model that this version reads", hint="make one with: unsprawl model train"
        ) from error
    return held


class ContextClassifier:
    """``records.Classifier`` with the network of ``folder``.

    ``kinds`` maps rule ids to ``exact``, ``contextual`` or ``generic``. Nothing is loaded before the first
    candidate comes; ``fresh`` forgets what was loaded before. Raises ``ConfigError`` when the folder holds
    no model.
    """

    def __init__(
        self, kinds: Mapping[str, str] | None = None, folder: Path = FOLDER, *, fresh: bool = False
    ) -> None:
        from unsprawl.models.baseline import BaselineClassifier

        if fresh:
            _config.cache_clear()
            _loaded.cache_clear()

        self._kinds = dict(kinds or {})
        self._folder = folder
        self._baseline = BaselineClassifier(self._kinds)
        config = _config(folder)
        self.version = f"context-{config['digest']}"
        self.presets: Mapping[str, float] = config["presets"]
        self.review: tuple[float, float] = tuple(config["review"])

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> list[Verdict]:
        """One verdict a candidate, in order."""
        if not candidates:
            return []
        places: dict[tuple[Any, ...], int] = {}
        owners = []
        distinct: list[tuple[Document, Candidate]] = []
        for document, candidate in candidates:
            key = _likeness(document, candidate)
            if key not in places:
                places[key] = len(distinct)
                distinct.append((document, candidate))
            owners.append(places[key])
        verdicts = self._judge(distinct)
        return [verdicts[owner] for owner in owners]

    def _judge(self, pairs: list[tuple[Document, Candidate]]) -> list[Verdict]:
        told = zip(pairs, *self.outputs(pairs), strict=True)
        return [self._verdict(*one) for one in told]

    def _first(self, pair: tuple[Document, Candidate], kind: str, probability: float) -> Verdict:
        """The baseline's verdict; it costs as much as the network, so not for what no preset reports."""
        if kind == "generic" and probability < self.presets["broad"]:
            return _UNREPORTED
        return self._baseline.score([pair])[0]

    def outputs(
        self, pairs: Sequence[tuple[Document, Candidate]]
    ) -> tuple[list[float], list[list[float]], list[list[float]]]:
        """Calibrated probabilities, and the logits of labels and environments, straight from the network."""
        from unsprawl.models.features import extract
        from unsprawl.models.surfaces import surface_of
        from unsprawl.models.window import full_path

        running, calibration = _loaded(self._folder, os.getpid())
        batch = extract(pairs, self._kinds)
        secret, labels, environments = running.run(None, {name: getattr(batch, name) for name in _INPUTS})
        chances = [
            calibration.chance(
                logit, surface_of(document, full_path(document, candidate)), self._family(candidate.rule)
            )
            for logit, (document, candidate) in zip(secret.tolist(), pairs, strict=True)
        ]
        return chances, labels.tolist(), environments.tolist()

    def _family(self, rule: str) -> str:
        kind = self._kinds.get(rule, "exact")
        return rule.partition(".")[0] if kind == "generic" else kind

    def _verdict(
        self,
        pair: tuple[Document, Candidate],
        probability: float,
        labels: list[float],
        environments: list[float],
    ) -> Verdict:
        kind = self._kinds.get(pair[1].rule, "exact")
        first = self._first(pair, kind, probability)
        # The default never drops a vendor's format, unless it says itself that it stands for one, nor what
        # a machine drew beside a vendor's name, unless the network contradicts.
        least = self.presets["balanced"]
        confidence = probability
        if kind == "exact":
            confidence = (confidence + first.confidence) / 2
            confidence = first.confidence if first.label is Label.PLACEHOLDER else max(least, confidence)
        elif kind == "contextual":
            mean = (1 - _SHARE) * _logit(confidence) + _SHARE * _logit(first.confidence)
            confidence = 1 / (1 + math.exp(-mean))
            if probability >= _CONTRADICTED and lexicon.looks_random(pair[1].secret.reveal()):
                confidence = max(least, confidence)
        return Verdict(
            round(confidence, 4), _label(labels, confidence, first), _environment(environments, first)
        )


def _likeness(document: Document, candidate: Candidate) -> tuple[Any, ...]:
    """Equal for candidates that the network cannot tell apart."""
    return (
        document.path or document.uri.rpartition("/")[0],
        candidate.member,
        candidate.rule,
        candidate.secret.reveal(),
        candidate.before[-96:],
        candidate.after[:48],
    )


def _label(logits: list[float], confidence: float, first: Verdict) -> Label:
    """The likeliest label, among those that agree with the confidence."""
    found = _LABELS[max(_AGREEING[confidence >= 0.5], key=logits.__getitem__)]
    # Words of tests and fixtures are told by a list; the network adds what no list has.
    return Label.TEST if found is Label.REAL and first.label is Label.TEST else found


def _environment(logits: list[float], first: Verdict) -> Environment:
    """What a word nearby says; else what the network does not doubt."""
    if first.environment is not Environment.UNKNOWN:
        return first.environment
    best = max(logits)
    share = math.exp(best) / sum(map(math.exp, logits))
    return _ENVIRONMENTS[logits.index(best)] if share > 0.8 else Environment.UNKNOWN


def _logit(probability: float) -> float:
    held = min(1 - _TINY, max(_TINY, probability))
    return math.log(held / (1 - held))
