"""From torch to ONNX: one file that onnxruntime serves without torch. Needs the extra ``train``."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from unsprawl.models.features import BUCKETS, GRAMS, NUMBERS, WORDS
from unsprawl.models.network import ContextModel
from unsprawl.models.window import WIDTH

__all__ = ["INPUTS", "OUTPUTS", "difference", "export"]

INPUTS: Final = ("rows", "numbers", "words", "grams")
OUTPUTS: Final = ("secret", "label", "environment")
_OPSET: Final = 18


class _Plain(nn.Module):
    """The model with tensors in and tensors out."""

    def __init__(self, model: ContextModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, rows: torch.Tensor, numbers: torch.Tensor, words: torch.Tensor, grams: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        out = self.model(rows, numbers, words, grams)
        return out.secret, out.label, out.environment


def _example(count: int, seed: int = 0) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    draw = np.random.default_rng(seed)
    return {
        "rows": draw.integers(0, 256, (count, WIDTH), dtype=np.uint8),
        "numbers": draw.normal(size=(count, NUMBERS)).astype(np.float32),
        "words": draw.integers(0, BUCKETS, (count, WORDS), dtype=np.int32),
        "grams": draw.integers(0, BUCKETS, (count, GRAMS), dtype=np.int32),
    }


def export(model: ContextModel, path: Path) -> None:
    """Write ``model`` to ``path``."""
    example = {name: torch.from_numpy(array) for name, array in _example(3).items()}
    count = torch.export.Dim("candidates", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            _Plain(model.eval()),
            tuple(example[name] for name in INPUTS),
            path,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes={name: {0: count} for name in INPUTS},
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def difference(model: ContextModel, path: Path, count: int = 64) -> float:
    """The largest difference between the outputs of ``model`` and of the file at ``path``."""
    import onnxruntime

    example = _example(count, seed=1)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    served = session.run(list(OUTPUTS), example)
    with torch.no_grad():
        own = _Plain(model.eval())(**{name: torch.from_numpy(array) for name, array in example.items()})
    return max(float(np.abs(a - b.numpy()).max()) for a, b in zip(served, own, strict=True))
