"""From data to a folder that serves: gather, train, export, calibrate, measure, write the card.

Needs the extra ``train``. The same seed, size and corpus give the same samples; the model card names the
hashes of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from unsprawl.models import calibration as calibrating
from unsprawl.models import labelled
from unsprawl.models.card import Report, Surface, write
from unsprawl.models.evaluation import judge
from unsprawl.models.samples import ENVIRONMENTS, LABELS, Samples, gather, join, of_rows
from unsprawl.models.serving import ContextClassifier
from unsprawl.records import Candidate, Detector, Document

if TYPE_CHECKING:
    from unsprawl.models.network import ContextConfig, ContextModel
    from unsprawl.models.synthesis.texts import LabelledText
    from unsprawl.models.training import Plan

__all__ = ["Recipe", "cook", "studies", "study"]

#: Calibrated confidences between these bounds of the balanced preset are for a person to look at.
_REVIEW: Final = 0.15
_PARITY: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training run is made of. ``size`` counts generated texts, ``jobs`` processes that gather."""

    labelled: Path | None = None
    size: int = 30_000
    seed: int = 0
    steps: int = 600
    jobs: int = 2
    studies: bool = True


@dataclass(frozen=True, slots=True)
class _Data:
    train: Samples
    held: Samples
    rows: tuple[labelled.Row, ...]
    free: tuple[LabelledText, ...]
    hashes: dict[str, str]


def cook(
    recipe: Recipe,
    detector: Detector,
    kinds: dict[str, str],
    folder: Path,
    work: Path,
    say: Callable[[str], None],
) -> Report:
    """Make a model in ``folder``. ``work`` keeps shards and checkpoints: an interrupted run goes on from them.

    Raises ``ConfigError`` for a corpus that cannot be read.
    """
    from unsprawl.models.export import difference, export
    from unsprawl.models.network import ContextConfig
    from unsprawl.models.training import Plan, logits, train

    work.mkdir(parents=True, exist_ok=True)
    data = _data(recipe, detector, kinds, work, say)
    say(f"{len(data.train)} samples to train on, {len(data.held)} held out")
    plan = Plan(seed=recipe.seed, steps=recipe.steps)
    config = ContextConfig()
    key = hashlib.sha256(
        json.dumps([asdict(plan), data.hashes], sort_keys=True, default=str).encode()
    ).hexdigest()
    model = train(data.train, plan, work / f"run-{key[:12]}", config)
    folder.mkdir(parents=True, exist_ok=True)
    export(model, folder / "model.onnx")
    apart = difference(model, folder / "model.onnx")
    if apart > _PARITY:
        raise RuntimeError(f"the exported file differs from the network by {apart:.2g}")
    held = logits(model, data.held)["secret"]
    fitted = calibrating.fit(held, data.held.secret, data.held.surface.tolist(), data.held.family.tolist())
    settings = {
        "format": 1,
        "digest": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()[:16],
        "labels": [label.value for label in LABELS],
        "environments": [place.value for place in ENVIRONMENTS],
        "calibration": fitted.table,
        "presets": dict.fromkeys(calibrating.PRESETS, 0.5),
        "review": [0.0, 1.0],
        "data": data.hashes,
        "recipe": {"seed": recipe.seed, "size": recipe.size, "steps": recipe.steps},
        "network": {
            name: value for name, value in config.to_diff_dict().items() if name != "transformers_version"
        },
    }
    report = _measured(settings, data, held, detector, kinds, folder, say)
    if recipe.studies and data.rows:
        report = replace(report, studies=studies(recipe, detector, kinds, say))
    write(report, folder / "MODEL_CARD.md")
    return report


def _measured(
    settings: dict[str, Any],
    data: _Data,
    held: Any,
    detector: Detector,
    kinds: dict[str, str],
    folder: Path,
    say: Callable[[str], None],
) -> Report:
    """Thresholds and figures, as the served model gives them."""
    _save(settings, folder)
    classifier = ContextClassifier(kinds, folder, fresh=True)
    lines = None
    if data.rows:
        lines = judge(data.rows, detector, classifier)
        settings["presets"] = calibrating.thresholds(lines)
    middle = settings["presets"]["balanced"]
    settings["review"] = [round(max(0.0, middle - _REVIEW), 3), round(min(1.0, middle + _REVIEW), 3)]
    _save(settings, folder)
    say(f"presets {settings['presets']}")
    fitted = calibrating.Calibration(settings["calibration"])
    confidence = fitted.probability(held, data.held.surface.tolist(), data.held.family.tolist())
    surfaces = _per_surface(data.free, detector, classifier, settings["presets"])
    return Report(settings, lines, confidence, data.held.secret, data.held.surface, surfaces, len(data.train))


def _save(settings: dict[str, Any], folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", "utf-8")


def _data(
    recipe: Recipe, detector: Detector, kinds: dict[str, str], work: Path, say: Callable[[str], None]
) -> _Data:
    rows = list(labelled.read(recipe.labelled)) if recipe.labelled else []
    held_rows = tuple(row for row in rows if labelled.is_development(row.repository))
    hashes = {"detector": detector.version}
    if recipe.labelled:
        hashes["labelled"] = labelled.data_hash(recipe.labelled)
    name = hashlib.sha256(json.dumps([asdict(recipe), hashes], default=str).encode()).hexdigest()[:12]
    parts: dict[str, Samples] = {}
    for split, size in (("train", recipe.size), ("development", recipe.size // 8)):
        path = work / f"{split}-{name}.npz"
        if path.exists():
            parts[split] = Samples.load(path)
            continue
        say(f"gathering {split}")
        made = gather(
            _texts(recipe, split, size),
            detector,
            kinds,
            jobs=recipe.jobs,
            progress=lambda count: say(f"  {count} texts") if count % 12_800 == 0 else None,
        )
        own = [row for row in rows if (row in held_rows) == (split == "development")] if rows else []
        parts[split] = join([made, of_rows(own, detector, kinds)]) if own else made
        parts[split].save(path)
    hashes["samples"] = _digest(parts["train"])
    free = tuple(
        text for text in _texts(recipe, "development", recipe.size // 4) if text.group.startswith("mined:")
    )
    return _Data(parts["train"], parts["development"], held_rows, free, hashes)


def _texts(recipe: Recipe, split: str, size: int) -> Iterator[LabelledText]:
    """Carriers and mined text, and contrasts; of the corpus, refills of the repositories to train on."""
    from unsprawl.models.refills import contrasts, refills
    from unsprawl.models.synthesis import texts

    yield from texts(recipe.seed, size=size, labelled=None, split=split)
    yield from contrasts(recipe.seed + (split == "development"), size)
    if recipe.labelled and split == "train":
        known = (row for row in labelled.read(recipe.labelled) if not labelled.is_development(row.repository))
        yield from refills(known, recipe.seed)


def _digest(samples: Samples) -> str:
    held = hashlib.sha256(samples.batch.rows.tobytes())
    held.update(samples.secret.tobytes())
    return held.hexdigest()[:16]


def _per_surface(
    texts: tuple[LabelledText, ...],
    detector: Detector,
    classifier: ContextClassifier,
    presets: dict[str, float],
) -> list[Surface]:
    """Findings a megabyte on text without secrets."""
    sizes: dict[str, int] = {}
    found: dict[str, list[float]] = {}
    for text in texts:
        sizes[text.surface] = sizes.get(text.surface, 0) + len(text.body)
        document = Document(uri=f"file:///{text.path}", path=text.path, body=text.body)
        pairs = [(document, one) for one in detector.scan(document) if isinstance(one, Candidate)]
        found.setdefault(text.surface, []).extend(verdict.confidence for verdict in classifier.score(pairs))
    return [
        Surface(
            name,
            size / 1e6,
            {preset: sum(one >= level for one in found[name]) for preset, level in presets.items()},
        )
        for name, size in sorted(sizes.items())
    ]


def studies(
    recipe: Recipe, detector: Detector, kinds: dict[str, str], say: Callable[[str], None]
) -> dict[str, float]:
    """What the network learns from what: average precision on held-out lines, of small models.

    With all there is, with the carrier alone (the value replaced), with the value alone (nothing around
    it), and with labels shuffled within repositories, which has to fall to the base rate.
    """
    assert recipe.labelled is not None
    rows = list(labelled.read(recipe.labelled))
    out = {}
    for name in ("all", "carrier", "value", "shuffled"):
        view = name if name in ("carrier", "value") else ""
        samples = of_rows(rows, detector, kinds, view=view)
        out[name], out["base rate"] = study(samples, recipe.seed, shuffled=name == "shuffled")
        say(f"study {name}: average precision {out[name]:.3f}")
    return out


def study(samples: Samples, seed: int, *, shuffled: bool = False, steps: int = 200) -> tuple[float, float]:
    """Average precision on the development rows of a small model, and the share of secrets in them."""
    import tempfile

    from unsprawl.models.network import ContextConfig
    from unsprawl.models.training import Plan, logits, train

    held = np.array([labelled.is_development(group.partition(":")[2]) for group in samples.group.tolist()])
    known, new = samples.take(~held), samples.take(held)
    if shuffled:
        draw = np.random.default_rng(seed)
        secret = known.secret.copy()
        for group in np.unique(known.group):
            place = np.flatnonzero(known.group == group)
            secret[place] = secret[draw.permutation(place)]
        known = replace(known, secret=secret)
    with tempfile.TemporaryDirectory() as folder:
        model = train(
            known,
            Plan(seed=seed, steps=steps, save_every=steps + 1),
            Path(folder),
            ContextConfig(),
            quiet=True,
        )
    scores = logits(model, new)["secret"]
    return average_precision(scores, new.secret), float(new.secret.mean())


def average_precision(scores: Any, secret: Any) -> float:
    """The area under the curve of precision over recall."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(secret[order])
    precision = hits / np.arange(1, len(order) + 1)
    return float((precision * secret[order]).sum() / max(1.0, float(secret.sum())))
