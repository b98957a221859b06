"""From torch to ONNX: one file that onnxruntime serves without torch. Needs the extra ``train``."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from unsprawl.models.linear import SCALE
from unsprawl.models.network import ContextModel
from unsprawl.models.parity import example
from unsprawl.models.runtime import session

__all__ = ["INPUTS", "OUTPUTS", "answers", "difference", "export"]

INPUTS: Final = ("rows", "numbers", "words", "grams")
OUTPUTS: Final = ("secret", "label", "environment")
_OPSET: Final = 18


class _Table(nn.Module):
    """A bag's rows and the regression's weights side by side: each bucket is looked up once, for both.

    The last column is one for all buckets but padding, so that their sum says how many there are.
    """

    def __init__(self, rows: torch.Tensor, weights: torch.Tensor) -> None:
        super().__init__()
        joined = torch.cat([rows, SCALE * weights[:, None], torch.ones(len(rows), 1)], 1)
        joined[0] = 0
        self.rows = nn.Parameter(joined, requires_grad=False)

    def forward(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sums = nn.functional.embedding(index, self.rows).sum(1)
        scaled = sums[:, :-1] / sums[:, -1:].clamp(min=1).sqrt()
        return scaled[:, :-1], scaled[:, -1]


class _Served(nn.Module):
    """The model as it is served: tensors in and tensors out, and the same answers for less work."""

    def __init__(self, model: ContextModel) -> None:
        super().__init__()
        self.model = model
        self.words = _Table(model.words.table.weight.detach(), model.lean.words)
        self.grams = _Table(model.grams.table.weight.detach(), model.lean.grams)

    def forward(
        self, rows: torch.Tensor, numbers: torch.Tensor, words: torch.Tensor, grams: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        model = self.model
        named, by_words = self.words(words)
        spelt, by_grams = self.grams(grams)
        _, deep = model.read(rows, numbers, named, spelt)
        secret = model.weigh(by_words + by_grams + model.lean.offset, numbers)
        return secret, model.label(deep), model.environment(deep)


def export(model: ContextModel, path: Path) -> None:
    """Write ``model`` to ``path``."""
    given = {name: torch.from_numpy(array) for name, array in example(3).items()}
    count = torch.export.Dim("candidates", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            _Served(model.eval()),
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
        out = model.eval()(**given)
    outputs = [out[name] for name in OUTPUTS]
    return [output.reshape(len(output), -1).numpy().astype(float).round(6).tolist() for output in outputs]


def difference(model: ContextModel, path: Path) -> float:
    """The largest difference between the outputs of ``model`` and of the file at ``path``."""
    served = session(path).run(list(OUTPUTS), example())
    pairs = zip(served, answers(model), strict=True)
    return max(float(np.abs(one.reshape(len(one), -1) - np.array(own)).max()) for one, own in pairs)
