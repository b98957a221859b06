"""Models of other people: a sequence classifier from a local folder, exported once, served without torch.

Its text is the marked window: path, the lines before, the value between two marks, the lines behind.
Exporting needs the extra ``train``, serving needs ``tokenizers``.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from unsprawl.errors import ConfigError
from unsprawl.models.baseline import BaselineClassifier
from unsprawl.models.parity import TOLERANCE
from unsprawl.models.runtime import session
from unsprawl.models.window import full_path
from unsprawl.records import Candidate, Document, Label, Verdict

__all__ = ["SequenceClassifier", "export_checkpoint", "marked"]

_LONGEST: Final = 512
_BEFORE: Final = 320
_AFTER: Final = 160
_VALUE: Final = 256
#: Names of classes that mean a credential, in small letters; without any it is the last class.
_POSITIVE: Final = frozenset(
    "secret real true positive credential credentials password token leak weak test yes".split()
)


def marked(document: Document, candidate: Candidate) -> str:
    """The text that such a model is given."""
    value = candidate.secret.reveal()[:_VALUE]
    parts = (candidate.before[-_BEFORE:], b"[SECRET]", value, b"[/SECRET]", candidate.after[:_AFTER])
    return f"{full_path(document, candidate)}\n" + b"".join(parts).decode("utf-8", "replace")


def export_checkpoint(checkpoint: Path, folder: Path) -> Mapping[str, Any]:
    """Export the sequence classifier in ``checkpoint`` to ``folder`` and answer its settings.

    Nothing is fetched. Raises ``ConfigError`` for a folder that holds none, or no fast tokenizer.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        model = AutoModelForSequenceClassification.from_pretrained(str(checkpoint), local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(str(checkpoint), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{checkpoint} holds no sequence classifier",
            hint="give the folder of a saved checkpoint with its tokenizer",
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f"the tokenizer in {checkpoint} has no tokenizer.json", hint="save a fast tokenizer"
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model.eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.inner(input_ids=input_ids, attention_mask=attention_mask).logits
            return logits

    plain, ids = Plain(), torch.ones((2, 16), dtype=torch.int64)
    rows, columns = torch.export.Dim("rows", min=1), torch.export.Dim("columns", min=2, max=_LONGEST)
    with warnings.catch_warnings():
        # It tells that both inputs have the same shape, which is meant, and what torch deprecates itself.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            plain,
            (ids, torch.ones_like(ids)),
            folder / "model.onnx",
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes={
                "input_ids": {0: rows, 1: columns},
                "attention_mask": {0: rows, 1: columns},
            },
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _compare(plain, folder / "model.onnx")
    names = [str(model.config.id2label.get(number, number)) for number in range(model.config.num_labels)]
    settings = {
        "format": "sequence",
        "digest": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()[:16],
        "classes": names,
        "positive": _positive(names),
        "longest": min(_LONGEST, int(getattr(model.config, "max_position_embeddings", _LONGEST))),
        "presets": {"precise": 0.8, "balanced": 0.5, "broad": 0.3},
    }
    (folder / "config.json").write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", "utf-8")
    return settings


def _compare(plain: Any, path: Path) -> None:
    """Raise ``ConfigError`` when the exported file answers otherwise than the network."""
    import numpy as np
    import torch

    running = session(path)
    for length in (5, 40):
        ids = torch.arange(length).remainder(7).reshape(1, length)
        feed = {"input_ids": ids.numpy(), "attention_mask": np.ones((1, length), np.int64)}
        with torch.no_grad():
            meant = plain(ids, torch.ones_like(ids)).numpy()
        apart = float(np.abs(meant - running.run(None, feed)[0]).max())
        if apart > TOLERANCE:
            raise ConfigError(
                f"the exported model differs from the checkpoint by {apart:.2g}",
                hint="this architecture cannot be exported; try another one",
            )


def _positive(names: Sequence[str]) -> list[int]:
    found = [number for number, name in enumerate(names) if name.lower() in _POSITIVE]
    return found or [len(names) - 1]


class SequenceClassifier:
    """``records.Classifier`` with an exported sequence classifier."""

    def __init__(self, kinds: Mapping[str, str], folder: Path) -> None:
        self._baseline = BaselineClassifier(kinds)
        self._kinds = kinds
        self._folder = folder
        self._settings: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        self._session: Any = None
        self._tokenizer: Any = None
        self.version = f"sequence-{self._settings['digest']}"
        self.presets: Mapping[str, float] = self._settings["presets"]

    def score(self, candidates: Sequence[tuple[Document, Candidate]]) -> list[Verdict]:
        """One verdict a candidate, in order. Raises ``ConfigError`` where ``tokenizers`` is missing."""
        baseline = self._baseline.score(candidates)
        return [
            self._verdict(document, candidate, first)
            for (document, candidate), first in zip(candidates, baseline, strict=True)
        ]

    def _verdict(self, document: Document, candidate: Candidate, first: Verdict) -> Verdict:
        if self._kinds.get(candidate.rule, "exact") == "exact":
            return first
        logits = self._logits(marked(document, candidate))
        top = max(logits)
        shares = [math.exp(value - top) for value in logits]
        confidence = sum(shares[number] for number in self._settings["positive"]) / sum(shares)
        label = first.label
        if confidence < 0.5 and label in (Label.REAL, Label.WEAK, Label.TEST):
            label = Label.EXAMPLE
        return Verdict(round(confidence, 4), label, first.environment)

    def _logits(self, text: str) -> list[float]:
        import numpy as np

        if self._session is None:
            self._load()
        encoded = self._tokenizer.encode(text)
        feed = {
            "input_ids": np.array([encoded.ids], np.int64),
            "attention_mask": np.array([encoded.attention_mask], np.int64),
        }
        return [float(value) for value in self._session.run(None, feed)[0][0]]

    def _load(self) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise ConfigError("the chosen model needs a tokenizer", hint="pip install tokenizers") from error
        self._tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(self._settings["longest"])
        self._session = session(self._folder / "model.onnx")
