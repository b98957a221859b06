"""The network: what it has learnt of hashed words, bytes and numbers, under three heads.

Whether a candidate is a secret is said by a forest over the numbers and by a logistic regression over the
words: a few thousand real lines teach them more than a deep network, which tells labels and environments.
Needs the extra ``train``. At run time the exported file is served by onnxruntime alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from unsprawl.models.features import BUCKETS, GRAMS, NUMBERS, WORDS
from unsprawl.models.forest import Forest
from unsprawl.models.linear import Linear, bag
from unsprawl.models.window import WIDTH
from unsprawl.records import Environment, Label

__all__ = ["ContextConfig", "ContextModel"]


class ContextConfig(PretrainedConfig):
    """Sizes of the towers. ``bytes_read`` is how much of a row the byte tower sees (0: there is none).

    ``forest`` is the share of the forest of ``trees`` in the logit of ``secret``; the rest is the
    regression's. The deep network's own logit is learnt beside its other tasks and not used.
    """

    model_type = "unsprawl-context"

    def __init__(
        self,
        *,
        buckets: int = BUCKETS,
        word_size: int = 16,
        gram_size: int = 8,
        numbers: int = NUMBERS,
        byte_size: int = 12,
        patch: int = 4,
        channels: int = 48,
        bytes_read: int = 0,
        hidden: int = 96,
        dropout: float = 0.3,
        word_dropout: float = 0.15,
        trees: int = 400,
        depth: int = 5,
        forest: float = 0.55,
        **rest: Any,
    ) -> None:
        self.buckets = buckets
        self.word_size = word_size
        self.gram_size = gram_size
        self.numbers = numbers
        self.byte_size = byte_size
        self.patch = patch
        self.channels = channels
        self.bytes_read = bytes_read
        self.hidden = hidden
        self.dropout = dropout
        self.word_dropout = word_dropout
        self.trees = trees
        self.depth = depth
        self.forest = forest
        self.width = WIDTH
        self.words = WORDS
        self.grams = GRAMS
        super().__init__(**rest)


class _Bag(nn.Module):
    """A sum of rows of a table, scaled by how many there are; row 0 is padding."""

    def __init__(self, buckets: int, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(buckets, size, padding_idx=0)
        nn.init.normal_(self.table.weight, std=0.02)
        with torch.no_grad():
            self.table.weight[0].zero_()

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        count = (index > 0).sum(1, keepdim=True).clamp(min=1).to(torch.float32)
        return self.table(index).sum(1) / count.sqrt()


class _ByteTower(nn.Module):
    """Patches of bytes under two convolutions, pooled by their largest and mean values."""

    def __init__(self, config: ContextConfig) -> None:
        super().__init__()
        self.patch, self.read = config.patch, config.bytes_read
        width = config.patch * config.byte_size
        self.table = nn.Embedding(256, config.byte_size, padding_idx=0)
        places = config.bytes_read // config.patch
        self.place = nn.Parameter(torch.zeros(places, config.channels))
        self.mix = nn.Linear(width, config.channels)
        self.first = nn.Conv1d(config.channels, config.channels, 3, padding=1)
        self.second = nn.Conv1d(config.channels, config.channels, 3, padding=1)
        # The value, what is left of it, what is right of it and its name are pooled each for itself.
        edges = [0, 80, 176, 208, 240]
        self.edges = [(a // self.patch, b // self.patch) for a, b in pairwise(edges)]
        self.size = 2 * config.channels * len(self.edges)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        seen = self.table(rows[:, : self.read].to(torch.int32))
        seen = seen.reshape(seen.shape[0], self.read // self.patch, -1)
        seen = torch.relu(self.mix(seen) + self.place).transpose(1, 2)
        seen = seen + torch.relu(self.first(seen))
        seen = seen + torch.relu(self.second(seen))
        parts = [seen[:, :, a:b] for a, b in self.edges]
        return torch.cat([pool for part in parts for pool in (part.amax(2), part.mean(2))], 1)


class _Linear(nn.Module):
    """The weights of ``unsprawl.models.linear``; they are fitted beforehand, not trained here."""

    def __init__(self, config: ContextConfig) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.zeros(config.buckets), requires_grad=False)
        self.grams = nn.Parameter(torch.zeros(config.buckets), requires_grad=False)
        self.offset = nn.Parameter(torch.zeros(1), requires_grad=False)

    def plant(self, fitted: Linear) -> None:
        """Take over what was fitted."""
        self.words.data = torch.from_numpy(fitted.words)
        self.grams.data = torch.from_numpy(fitted.grams)
        self.offset.data = torch.tensor([fitted.offset])

    def forward(self, words: torch.Tensor, grams: torch.Tensor) -> torch.Tensor:
        return bag(self.words, words) + bag(self.grams, grams) + self.offset


class _Forest(nn.Module):
    """The symmetric trees of ``unsprawl.models.forest``; they are grown beforehand, not trained here.

    Questions come level by level and candidates last: all that is asked of one column lies side by side, and
    what is worked out is floats up to the number of the leaf. Integers cost ten times as much.
    """

    def __init__(self, config: ContextConfig) -> None:
        super().__init__()
        self.trees, self.depth = config.trees, config.depth
        asked = config.trees * config.depth
        self.columns = nn.Parameter(torch.zeros(asked, dtype=torch.int64), requires_grad=False)
        self.limits = nn.Parameter(torch.zeros(asked, 1), requires_grad=False)
        self.leaves = nn.Parameter(torch.zeros(config.trees, 1 << config.depth), requires_grad=False)
        self.offset = nn.Parameter(torch.zeros(1), requires_grad=False)
        bits = [[float(1 << level) for level in range(config.depth)]]
        self.bits = nn.Parameter(torch.tensor(bits), requires_grad=False)

    def plant(self, grown: Forest) -> None:
        """Take over a grown forest."""
        self.columns.data = torch.from_numpy(grown.columns.T.ravel())
        self.limits.data = torch.from_numpy(grown.limits.T.reshape(-1, 1))
        self.leaves.data = torch.from_numpy(grown.leaves)
        self.offset.data = torch.tensor([grown.offset])

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        above = (numbers.t().index_select(0, self.columns) > self.limits).to(torch.float32)
        leaf = torch.matmul(self.bits, above.reshape(self.depth, -1)).reshape(self.trees, -1)
        found: torch.Tensor = self.leaves.gather(1, leaf.to(torch.int64)).sum(0) + self.offset
        return found


class ContextModel(PreTrainedModel):
    """Rows of bytes, numbers and buckets in; logits of ``secret``, ``label`` and ``environment`` out."""

    config_class = ContextConfig
    main_input_name = "rows"

    def __init__(self, config: ContextConfig) -> None:
        super().__init__(config)
        self.centre = nn.Parameter(torch.zeros(config.numbers), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(config.numbers), requires_grad=False)
        self.words = _Bag(config.buckets, config.word_size)
        self.grams = _Bag(config.buckets, config.gram_size)
        self.linear = nn.Linear(config.numbers + config.word_size + config.gram_size, 1)
        self.bytes = _ByteTower(config) if config.bytes_read else None
        self.forest = _Forest(config)
        self.lean = _Linear(config)
        size = config.numbers + config.word_size + config.gram_size
        size += self.bytes.size if self.bytes else 0
        self.drop = nn.Dropout(config.dropout)
        self.first = nn.Linear(size, config.hidden)
        self.second = nn.Linear(config.hidden, config.hidden // 2)
        self.secret = nn.Linear(config.hidden // 2, 1)
        self.label = nn.Linear(config.hidden // 2, len(Label))
        self.environment = nn.Linear(config.hidden // 2, len(Environment))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """The layers keep what they were made with."""

    def read(
        self, rows: torch.Tensor, numbers: torch.Tensor, words: torch.Tensor, grams: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is plain to see and what the network makes of it, from the bags of ``words`` and ``grams``."""
        counted = ((numbers - self.centre) * self.scale).clamp(-4, 4)
        plain = torch.cat([counted, words, grams], 1)
        seen = torch.cat([plain, self.bytes(rows)], 1) if self.bytes is not None else plain
        deep = torch.relu(self.first(self.drop(seen)))
        return plain, torch.relu(self.second(self.drop(deep)))

    def weigh(self, lean: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """The logit of ``secret``: that of the regression, ``lean``, and the forest's, each by its share."""
        share: float = self.config.forest
        scores: torch.Tensor = (1 - share) * lean + share * self.forest(numbers)
        return scores

    def forward(
        self,
        rows: torch.Tensor,
        numbers: torch.Tensor,
        words: torch.Tensor,
        grams: torch.Tensor,
        secret: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        environment: torch.Tensor | None = None,
        weight: torch.Tensor | None = None,
    ) -> ModelOutput:
        if self.training and self.config.word_dropout:
            words = words * (torch.rand_like(words, dtype=torch.float32) > self.config.word_dropout)
            grams = grams * (torch.rand_like(grams, dtype=torch.float32) > self.config.word_dropout)
        plain, deep = self.read(rows, numbers, self.words(words), self.grams(grams))
        kinds, places = self.label(deep), self.environment(deep)
        if self.training:
            scores = (self.secret(deep) + self.linear(plain)).squeeze(1)
        else:
            scores = self.weigh(self.lean(words, grams), numbers)
        loss = None
        if secret is not None:
            smooth = secret * 0.96 + 0.02
            each = nn.functional.binary_cross_entropy_with_logits(scores, smooth, reduction="none")
            share = weight if weight is not None else torch.ones_like(each)
            loss = (each * share).sum() / share.sum().clamp(min=1e-6)
            for logits, target, part in ((kinds, labels, 0.2), (places, environment, 0.1)):
                if target is not None and bool((target >= 0).any()):
                    loss = loss + part * nn.functional.cross_entropy(logits, target, ignore_index=-100)
        return ModelOutput(loss=loss, secret=scores, label=kinds, environment=places)
