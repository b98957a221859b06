"""Training: samples in, a ``ContextModel`` out. Seeded, resumable, with ``transformers.Trainer``.

Needs the extra ``train``. Each draw takes a source of data by its share, then favours small groups: a
repository with a thousand lines weighs more than one with ten, but not a hundred times more.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from unsprawl.models.forest import grow
from unsprawl.models.linear import fit
from unsprawl.models.network import ContextConfig, ContextModel
from unsprawl.models.samples import Samples

__all__ = ["Plan", "logits", "train"]

#: How many samples of a kind count fully: beyond, n of them weigh as n to this power.
_BALANCE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train. ``shares`` says how often each source of data (``repo``, ``carrier``, …) is drawn."""

    seed: int = 0
    steps: int = 500
    size: int = 256
    rate: float = 2e-3
    decay: float = 0.05
    shares: Mapping[str, float] = field(
        default_factory=lambda: {"repo": 0.5, "refill": 0.2, "contrast": 0.12, "mined": 0.06}
    )
    rest: float = 0.12
    threads: int = 2
    save_every: int = 200


class _Indices(Dataset[int]):
    """The samples are arrays: what is drawn is their numbers."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        return index


class _Draws(Sampler[int]):
    """Weighted draws with replacement, the same for the same seed."""

    def __init__(self, weights: npt.NDArray[np.float64], count: int, seed: int) -> None:
        self._weights, self._count, self._seed = weights / weights.sum(), count, seed

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        draw = np.random.default_rng(self._seed)
        yield from draw.choice(len(self._weights), self._count, p=self._weights).tolist()


def weights(samples: Samples, plan: Plan) -> npt.NDArray[np.float64]:
    """How likely each sample is drawn."""
    kinds = list(zip(samples.group.tolist(), samples.secret.tolist(), strict=True))
    counts = Counter(kinds)
    weight = np.array([counts[kind] ** -_BALANCE for kind in kinds])
    source = samples.source
    known = [name for name in plan.shares if (source == name).any()]
    for name in known:
        weight[source == name] *= plan.shares[name] / weight[source == name].sum()
    others = ~np.isin(source, known)
    if others.any():
        weight[others] *= plan.rest / weight[others].sum()
    return weight


def _tensors(samples: Samples, index: Sequence[int] | npt.NDArray[Any]) -> dict[str, torch.Tensor]:
    batch = samples.batch
    return {
        "rows": torch.from_numpy(batch.rows[index]),
        "numbers": torch.from_numpy(batch.numbers[index]),
        "words": torch.from_numpy(batch.words[index]),
        "grams": torch.from_numpy(batch.grams[index]),
    }


class _Trainer(Trainer):
    def __init__(self, *, draws: Sampler[int], **rest: Any) -> None:
        super().__init__(**rest)
        self._draws = draws

    def _get_train_sampler(self, *_: Any, **__: Any) -> Sampler[int]:
        return self._draws


class _Progress(TrainerCallback):
    def on_log(
        self, _args: Any, state: Any, _control: Any, logs: Mapping[str, float] | None = None, **_: Any
    ) -> None:
        if logs and "loss" in logs:
            print(f"step {state.global_step}/{state.max_steps}  loss {logs['loss']:.4f}", file=sys.stderr)  # noqa: T201


def train(
    samples: Samples, plan: Plan, folder: Path, config: ContextConfig | None = None, *, quiet: bool = False
) -> ContextModel:
    """A model trained on ``samples``; goes on from the last checkpoint in ``folder``, if there is one."""
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    chance = weights(samples, plan)
    model = ContextModel(config or ContextConfig())
    _standardise(model, samples, chance, plan.seed)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=plan.steps,
        per_device_train_batch_size=plan.size,
        learning_rate=plan.rate,
        weight_decay=plan.decay,
        lr_scheduler_type="cosine",
        warmup_steps=max(10, plan.steps // 10),
        logging_steps=max(1, plan.steps // 40),
        save_steps=plan.save_every,
        save_total_limit=1,
        seed=plan.seed,
        data_seed=plan.seed,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        label_names=["secret"],
        log_level="error",
    )

    def collate(index: list[int]) -> dict[str, torch.Tensor]:
        return _tensors(samples, index) | {
            "secret": torch.from_numpy(samples.secret[index]),
            "labels": torch.from_numpy(samples.label[index]),
            "environment": torch.from_numpy(samples.environment[index]),
        }

    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=_Indices(plan.steps * plan.size),
        data_collator=collate,
        callbacks=[] if quiet else [_Progress()],
        draws=_Draws(chance, plan.steps * plan.size, plan.seed),
    )
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    trainer.remove_callback(_printer())
    trainer.train(resume_from_checkpoint=str(checkpoints[-1]) if checkpoints else None)
    secret, numbers = samples.secret, samples.batch.numbers
    model.forest.plant(
        grow(numbers, secret, chance, seed=plan.seed, trees=model.config.trees, depth=model.config.depth)
    )
    model.lean.plant(fit(samples.batch.words, samples.batch.grams, secret, chance))
    model.eval()
    return model


def _printer() -> Any:
    from transformers import PrinterCallback

    return PrinterCallback


def _standardise(model: ContextModel, samples: Samples, chance: npt.NDArray[np.float64], seed: int) -> None:
    draw = np.random.default_rng(seed + 1)
    some = draw.choice(len(samples), min(20_000, 4 * len(samples)), p=chance / chance.sum())
    numbers = samples.batch.numbers[some]
    model.centre.data = torch.from_numpy(numbers.mean(0))
    model.scale.data = torch.from_numpy(1 / (numbers.std(0) + 0.05)).to(torch.float32)


def logits(model: ContextModel, samples: Samples, size: int = 1024) -> dict[str, npt.NDArray[np.float32]]:
    """The outputs of ``model`` for all samples."""
    out: dict[str, list[npt.NDArray[np.float32]]] = {"secret": [], "label": [], "environment": []}
    with torch.no_grad():
        for part in np.array_split(np.arange(len(samples)), max(1, math.ceil(len(samples) / size))):
            found = model.eval()(**_tensors(samples, part))
            for name, held in out.items():
                held.append(found[name].numpy())
    return {name: np.concatenate(held) for name, held in out.items()}
