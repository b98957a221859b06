"""From data to a folder that serves: gather, train, export, calibrate, measure, write the card.

Needs the extra ``train``. The same seed, size and corpus give the same samples; the model card names the
hashes of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from unsprawl.models import calibration as calibrating
from unsprawl.models import labelled
from unsprawl.models.card import Report, Surface, write
from unsprawl.models.evaluation import Lines, judge
from unsprawl.models.feedback import weighted
from unsprawl.models.parity import TOLERANCE
from unsprawl.models.samples import ENVIRONMENTS, LABELS, Samples, gather, join, of_rows
from unsprawl.models.serving import ContextClassifier
from unsprawl.records import Candidate, Detector, Document

if TYPE_CHECKING:
    from unsprawl.models.synthesis.texts import LabelledText

__all__ = ["Recipe", "cook", "studies", "study"]

#: So many files of held-out packages show what a text without secrets costs.
_FILES: Final = 2_000
#: Labels are shuffled over all repositories, and within each.
_CANARIES: Final = ("shuffled", "within")
#: One shuffle may suit the held-out repositories by chance; the mean of several cannot.
_SHUFFLES: Final = 4
#: Raise it when a checkpoint of before is none of the present network.
_NETWORK: Final = 2
#: Calibrated confidences between these bounds of the balanced preset are for a person to look at.
_REVIEW: Final = 0.15


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training run is made of. ``size`` counts generated texts, ``jobs`` processes that gather."""

    labelled: Path | None = None
    size: int = 16_000
    seed: int = 0
    steps: int = 500
    jobs: int = 2
    folds: int = 5
    studies: bool = True
    feedback: Samples | None = None
    """What people decided (``models/feedback.py``)."""


@dataclass(frozen=True, slots=True)
class _Data:
    """``known`` and ``new`` are made texts to train on and held out, ``lines`` the corpus and refills."""

    known: Samples
    new: Samples
    lines: Samples | None
    rows: tuple[labelled.Row, ...]
    hashes: dict[str, str]

    def train(self, fold: int) -> Samples:
        """All that may be trained on when ``fold`` is held out."""
        if self.lines is None:
            return self.known
        return join([self.known, self.lines.take(~self._held(fold))])

    def held(self, fold: int) -> Samples:
        """The corpus' candidates of ``fold``, as they are, and the made texts that are held out."""
        if self.lines is None:
            return self.new
        return join([self.new, self.lines.take(self._held(fold) & (self.lines.source == "repo"))])

    def held_rows(self, fold: int) -> tuple[labelled.Row, ...]:
        return tuple(row for row in self.rows if labelled.is_development(row.repository, fold))

    def _held(self, fold: int) -> npt.NDArray[np.bool_]:
        assert self.lines is not None
        names = self.lines.group.tolist()
        return np.array([labelled.is_development(name.partition(":")[2], fold) for name in names], bool)


def cook(
    recipe: Recipe,
    detector: Detector,
    kinds: dict[str, str],
    folder: Path,
    work: Path,
    say: Callable[[str], None],
) -> Report:
    """Make a model in ``folder``. ``work`` keeps shards and checkpoints: an interrupted run goes on there.

    Raises ``ConfigError`` for a corpus that cannot be read.
    """
    work.mkdir(parents=True, exist_ok=True)
    data = _data(recipe, detector, kinds, work, say)
    report = _fold(recipe, data, 0, detector, kinds, folder, work, say)
    if data.rows and recipe.folds > 1:
        report = _across(recipe, data, report, detector, kinds, folder, work, say)
    surfaces = _per_surface(_free_text(recipe), detector, ContextClassifier(kinds, folder, fresh=True))
    report = replace(report, surfaces=surfaces)
    if recipe.studies and data.rows:
        report = replace(report, studies=studies(recipe, detector, kinds, say))
    write(report, folder / "MODEL_CARD.md")
    return report


def _fold(
    recipe: Recipe,
    data: _Data,
    fold: int,
    detector: Detector,
    kinds: dict[str, str],
    folder: Path,
    work: Path,
    say: Callable[[str], None],
) -> Report:
    """A model in ``folder`` that has not seen the repositories of ``fold``, and what it does on them."""
    from unsprawl.models.export import answers, difference, export
    from unsprawl.models.network import ContextConfig
    from unsprawl.models.training import Plan, logits, train

    known, new = data.train(fold), data.held(fold)
    say(f"fold {fold}: {len(known)} candidates to train on, {len(new)} held out")
    plan, config = Plan(seed=recipe.seed, steps=recipe.steps), ContextConfig()
    plan = weighted(plan, len(recipe.feedback)) if recipe.feedback is not None else plan
    parts = [_NETWORK, asdict(plan), data.hashes, fold]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
    model = train(known, plan, work / f"run-{key[:12]}", config)
    folder.mkdir(parents=True, exist_ok=True)
    export(model, folder / "model.onnx")
    apart = difference(model, folder / "model.onnx")
    if apart > TOLERANCE:
        raise RuntimeError(f"the exported file differs from the network by {apart:.2g}")
    held = logits(model, new)["secret"]
    fitted = calibrating.fit(held, new.secret, new.surface.tolist(), new.family.tolist())
    settings: dict[str, Any] = {
        "format": 1,
        "digest": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()[:16],
        "labels": [label.value for label in LABELS],
        "environments": [place.value for place in ENVIRONMENTS],
        "calibration": fitted.table,
        "presets": dict.fromkeys(calibrating.PRESETS, 0.5),
        "review": [0.35, 0.65],
        "data": data.hashes,
        "parity": answers(model),
        "recipe": {"seed": recipe.seed, "size": recipe.size, "steps": recipe.steps},
        "network": {
            name: value for name, value in config.to_diff_dict().items() if name != "transformers_version"
        },
    }
    _save(settings, folder)
    lines = None
    if data.rows:
        lines = judge(data.held_rows(fold), detector, ContextClassifier(kinds, folder, fresh=True))
        _set(settings, calibrating.thresholds(lines))
        _save(settings, folder)
    confidence = fitted.probability(held, new.surface.tolist(), new.family.tolist())
    made = new.source == "carrier"
    return Report(settings, lines, confidence, new.secret, new.surface, made, (), len(known))


def _across(
    recipe: Recipe,
    data: _Data,
    first: Report,
    detector: Detector,
    kinds: dict[str, str],
    folder: Path,
    work: Path,
    say: Callable[[str], None],
) -> Report:
    """Thresholds from all repositories, each judged by a model that has not seen it: one fold is too few."""
    others = (
        _fold(recipe, data, fold, detector, kinds, work / f"fold-{fold}", work, say)
        for fold in range(1, recipe.folds)
    )
    reports = [first, *others]
    parts = [one.lines for one in reports if one.lines is not None]
    pooled = Lines(tuple(row for part in parts for row in part.rows), np.concatenate([p.best for p in parts]))
    settings = dict(first.settings)
    _set(settings, calibrating.thresholds(pooled))
    _save(settings, folder)
    say(f"presets {settings['presets']}")
    return replace(first, settings=settings, pooled=pooled)


def _set(settings: dict[str, Any], presets: dict[str, float]) -> None:
    settings["presets"] = presets
    middle = presets["balanced"]
    settings["review"] = [round(max(0.0, middle - _REVIEW), 3), round(min(1.0, middle + _REVIEW), 3)]


def _save(settings: dict[str, Any], folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(settings, sort_keys=True) + "\n", "utf-8")


def _data(
    recipe: Recipe, detector: Detector, kinds: dict[str, str], work: Path, say: Callable[[str], None]
) -> _Data:
    rows = tuple(labelled.read(recipe.labelled)) if recipe.labelled else ()
    hashes = {"detector": detector.version}
    if recipe.labelled:
        hashes["labelled"] = labelled.data_hash(recipe.labelled)
    held = [recipe.size, recipe.seed, hashes]
    name = hashlib.sha256(json.dumps(held, default=str).encode()).hexdigest()[:12]

    def kept(what: str, make: Callable[[], Samples]) -> Samples:
        path = work / f"{what}-{name}.npz"
        if not path.exists():
            say(f"gathering {what}")
            make().save(path)
        return Samples.load(path)

    def made(split: str, size: int) -> Samples:
        return gather(_texts(recipe, split, size), detector, kinds, jobs=recipe.jobs)

    known = kept("train", lambda: made("train", recipe.size))
    new = kept("development", lambda: made("development", recipe.size // 8))
    lines = None
    if rows:
        from unsprawl.models.refills import refills

        lines = kept(
            "lines",
            lambda: join(
                [
                    of_rows(rows, detector, kinds),
                    gather(refills(rows, recipe.seed), detector, kinds, jobs=recipe.jobs),
                ]
            ),
        )
    hashes["samples"] = _digest(known if lines is None else join([known, lines]))
    if recipe.feedback is not None:
        hashes["feedback"] = _digest(recipe.feedback)
        known = join([known, recipe.feedback])
    return _Data(known, new, lines, rows, hashes)


def _texts(recipe: Recipe, split: str, size: int) -> Iterator[LabelledText]:
    """Carriers and mined text, and contrasts."""
    from unsprawl.models.refills import contrasts
    from unsprawl.models.synthesis import texts

    yield from texts(recipe.seed, size=size, labelled=None, split=split)
    yield from contrasts(recipe.seed + (split == "development"), size)


def _digest(samples: Samples) -> str:
    held = hashlib.sha256(samples.batch.rows.tobytes())
    held.update(samples.secret.tobytes())
    return held.hexdigest()[:16]


def _free_text(recipe: Recipe) -> Iterator[LabelledText]:
    """Whole files of packages that were held out, as they are and as people paste them."""
    from unsprawl.models.synthesis.mined import Files

    return Files.find("development", most=_FILES).whole(recipe.seed)


def _per_surface(
    texts: Iterable[LabelledText],
    detector: Detector,
    classifier: ContextClassifier,
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
            {
                preset: sum(one >= level for one in found[name])
                for preset, level in classifier.presets.items()
            },
        )
        for name, size in sorted(sizes.items())
    ]


def studies(
    recipe: Recipe, detector: Detector, kinds: dict[str, str], say: Callable[[str], None]
) -> dict[str, float]:
    """What the network learns from what: average precision on held-out lines, of small models.

    With all there is, with the carrier alone (the value replaced), with the value alone (nothing around
    it), with shuffled labels, which has to fall to the base rate, and with labels shuffled within
    repositories, which shows what can be learnt from what kind of repository it is.
    """
    assert recipe.labelled is not None
    rows = list(labelled.read(recipe.labelled))
    out = {}
    for name in ("all", "carrier", "value", *_CANARIES):
        view = name if name in ("carrier", "value") else ""
        samples = of_rows(rows, detector, kinds, view=view)
        shuffled = name if name in _CANARIES else ""
        seeds = range(recipe.seed, recipe.seed + (_SHUFFLES if shuffled else 1))
        runs = [study(samples, seed, shuffled=shuffled) for seed in seeds]
        out[name], out["base rate"] = float(np.mean([found for found, _ in runs])), runs[0][1]
        say(f"study {name}: average precision {out[name]:.3f}")
    return out


def study(samples: Samples, seed: int, *, shuffled: str = "", steps: int = 200) -> tuple[float, float]:
    """Average precision on the development rows of a small model, and the share of secrets in them."""
    import tempfile

    from unsprawl.models.network import ContextConfig
    from unsprawl.models.training import Plan, logits, train

    held = np.array([labelled.is_development(group.partition(":")[2]) for group in samples.group.tolist()])
    known, new = samples.take(~held), samples.take(held)
    if shuffled:
        known = replace(known, secret=_shuffled(known, seed, within=shuffled == "within"))
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


def _shuffled(samples: Samples, seed: int, *, within: bool) -> npt.NDArray[np.float32]:
    """The labels, each given to another candidate, ``within`` the same repository."""
    draw, secret = np.random.default_rng(seed), samples.secret.copy()
    if not within:
        return secret[draw.permutation(len(secret))]
    for group in np.unique(samples.group):
        held = np.flatnonzero(samples.group == group)
        secret[held] = secret[draw.permutation(held)]
    return secret


def average_precision(scores: Any, secret: Any) -> float:
    """The area under the curve of precision over recall."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(secret[order])
    precision = hits / np.arange(1, len(order) + 1)
    return float((precision * secret[order]).sum() / max(1.0, float(secret.sum())))
