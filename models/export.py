"""From torch to ONNX: one file that onnxruntime serves without torch. Needs the extra ``train``."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from unsprawl.models.network import ContextModel
from unsprawl.models.parity import example
from unsprawl.models.runtime import session

__all__ = ["INPUTS", "OUTPUTS", "answers", "difference", "export"]

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


def export(model: ContextModel, path: Path) -> None:
    """Write ``model`` to ``path``."""
    given = {name: torch.from_numpy(array) for name, array in example(3).items()}
    count = torch.export.Dim("candidates", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            _Plain(model.eval()),
            tuple(given[name] for name in INPUTS),
            path,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes={name: {0: count} for name in INPUTS},
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def answers(model: ContextModel) -> list[list[list[float]]]:
    """The outputs of ``model`` for the invented inputs; kept beside the file, they need no torch to check."""
    given = {name: torch.from_numpy(array) for name, array in example().items()}
    with torch.no_grad():
        outputs = _Plain(model.eval())(**given)
    return [output.reshape(len(output), -1).numpy().astype(float).round(6).tolist() for output in outputs]


def difference(model: ContextModel, path: Path) -> float:
    """The largest difference between the outputs of ``model`` and of the file at ``path``."""
    served = session(path).run(list(OUTPUTS), example())
    pairs = zip(served, answers(model), strict=True)
    return max(float(np.abs(one.reshape(len(one), -1) - np.array(own)).max()) for one, own in pairs)
