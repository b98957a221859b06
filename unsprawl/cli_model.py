"""``unsprawl model``: train the classifier, measure it, read its card, or use another."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unsprawl.cli_options import Command, Group, debug_option, inform
from unsprawl.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from unsprawl.detectors.detector import ContentDetector
    from unsprawl.models.samples import Samples

__all__ = ["model"]

_NEEDED = ("torch", "transformers", "accelerate", "onnx", "onnxscript")


@click.group(cls=Group)
def model() -> None:
    """Train the classifier, measure it, read its card, or use another.

    Examples:
      unsprawl model card
      unsprawl model train our-model/ --labelled lines.jsonl.zst
      unsprawl model evaluate lines.jsonl.zst
      unsprawl model use our-model/

    Exit codes: 0 done, 2 something given is wrong or an extra is missing.
    """


@model.command("train", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--labelled",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Labelled lines, JSON lines, may be packed with zstd; a fifth of its repositories is held out.",
)
@click.option(
    "--feedback",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="STORE",
    help="A store with decisions (`findings triage`): they are trained on too.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="CONFIG",
    help="With --feedback: the configuration of that store, so that judged places are read again.",
)
@click.option("--size", default=16_000, show_default=True, help="How many texts are generated.")
@click.option("--steps", default=500, show_default=True, help="Steps of training, 256 candidates each.")
@click.option("--seed", default=0, show_default=True)
@click.option("--jobs", default=2, show_default=True, help="Processes that gather candidates.")
@click.option(
    "--folds", default=5, show_default=True, help="Models for the cross-validation of the thresholds."
)
@click.option(
    "--studies/--no-studies", default=True, help="Measure what the model learns from, for the card."
)
@debug_option
def train(
    folder: Path,
    labelled: Path | None,
    feedback: Path | None,
    config: Path | None,
    size: int,
    steps: int,
    seed: int,
    jobs: int,
    folds: int,
    studies: bool,
) -> int:
    """Train a model into FOLDER, with its card. An interrupted run goes on where it stopped.

    Examples:
      unsprawl model train our-model/ --labelled lines.jsonl.zst
      unsprawl model train our-model/ --labelled lines.jsonl.zst --feedback unsprawl.db --config nightly.yaml
    """
    if config is not None and feedback is None:
        raise click.UsageError("--config says where the places of --feedback are read again: give both")
    _require()
    from unsprawl.models.recipe import Recipe, cook

    detector, kinds = _detector()
    recipe = Recipe(
        labelled=labelled,
        size=size,
        seed=seed,
        steps=steps,
        jobs=jobs,
        folds=folds,
        studies=studies,
        feedback=_judged(feedback, config, detector, kinds) if feedback else None,
    )
    cook(recipe, detector, kinds, folder, folder / "work", inform)
    inform(f"the model and its card are in {folder}; unsprawl model use {folder} makes it yours")
    return ExitCode.CLEAN


@model.command("evaluate", cls=Command)
@click.argument("labelled", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--all", "every", is_flag=True, help="All repositories, those of training too.")
@click.option("--min-confidence", type=click.FloatRange(0, 1), help="Instead of the presets' thresholds.")
@debug_option
def evaluate(labelled: Path, every: bool, min_confidence: float | None) -> int:
    """Measure the model in use on labelled lines, by line: precision, recall, F1.

    Examples:
      unsprawl model evaluate lines.jsonl.zst
    """
    from unsprawl.models.choice import chosen
    from unsprawl.models.evaluation import figures, judge, macro
    from unsprawl.models.labelled import is_development, read

    rows = [row for row in read(labelled) if every or is_development(row.repository)]
    detector, kinds = _detector()
    classifier = chosen(kinds)
    lines = judge(rows, detector, classifier)
    presets = getattr(classifier, "presets", {"default": 0.5})
    levels = {"given": min_confidence} if min_confidence is not None else presets
    click.echo("preset     threshold  lines   precision  with X  recall     F1  macro F1")
    for preset, level in levels.items():
        for name, mask in (("core", lines.core), ("strong", lines.strong)):
            one = figures(lines, level, mask)
            click.echo(
                f"{preset:<10} {level:>9.3f}  {name:<6} {one.precision:>10.3f} {one.strict:>7.3f}"
                f" {one.recall:>7.3f} {one.f1:>6.3f} {macro(lines, level, mask):>9.3f}"
            )
    return ExitCode.CLEAN


@model.command("card", cls=Command)
@debug_option
def card() -> int:
    """Show the card of the model in use: what it was trained on, and all its figures.

    Examples:
      unsprawl model card
    """
    from unsprawl.models.choice import chosen_folder
    from unsprawl.models.serving import FOLDER, is_there

    own = chosen_folder()
    path = (own if is_there(own) else FOLDER) / "MODEL_CARD.md"
    if not path.is_file():
        raise ConfigError(
            f"there is no model card in {path.parent}",
            hint="a checkpoint of others comes without one; unsprawl model evaluate FILE measures it",
        )
    click.echo(path.read_text("utf-8"), nl=False)
    return ExitCode.CLEAN


@model.command("use", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option("--shipped", is_flag=True, help="Use the model that unsprawl ships again.")
@debug_option
def use(folder: Path | None, shipped: bool) -> int:
    """Use the model in FOLDER from now on: one that was trained here, or any sequence classifier.

    A checkpoint of a sequence classifier (with its tokenizer) is exported first, which needs the extra
    `train`. Nothing is fetched.

    Examples:
      unsprawl model use our-model/
      unsprawl model use checkpoints/bert-of-ours/
      unsprawl model use --shipped
    """
    from unsprawl.models.choice import chosen_folder
    from unsprawl.models.serving import is_there

    own = chosen_folder()
    if shipped == (folder is not None):
        raise click.UsageError("give a folder, or --shipped")
    if folder is None:
        shutil.rmtree(own, ignore_errors=True)
        inform("the shipped model is used again")
        return ExitCode.CLEAN
    fresh = own.with_name("model.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    if is_there(folder):
        for name in ("model.onnx", "config.json", "MODEL_CARD.md", "tokenizer.json"):
            if (folder / name).is_file():
                shutil.copy(folder / name, fresh / name)
    else:
        _require()
        from unsprawl.models.foreign import export_checkpoint

        settings = export_checkpoint(folder, fresh)
        meant = ", ".join(settings["classes"][number] for number in settings["positive"])
        inform(f"taken for credentials: {meant}")
    shutil.rmtree(own, ignore_errors=True)
    fresh.rename(own)
    inform(f"{folder} is used from now on; --shipped takes it back")
    return ExitCode.CLEAN


def _judged(store: Path, config: Path | None, detector: ContentDetector, kinds: dict[str, str]) -> Samples:
    """What was decided in ``store``, as samples. Raises ``ConfigError`` when that is nothing."""
    from unsprawl.cli_store import reading
    from unsprawl.feedback import gather
    from unsprawl.models.feedback import samples
    from unsprawl.store.keys import load_keys

    with reading(store, config) as (opened, loaded):
        keys = load_keys(loaded.key if loaded else None, create=False)
        found = gather(opened, keys, loaded, detector)
    if not found.places:
        raise ConfigError(
            f"nothing was decided in {store} that teaches anything",
            hint="decide with: unsprawl findings triage",
        )
    inform(
        f"feedback: {len(found.places):,} places; {found.read:,} were read again, of {found.sealed:,} the"
        f" value was sealed, {found.made:,} have a stand-in, {found.left:,} more left out"
    )
    return samples(found.places, kinds)


def _require() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"this needs {', '.join(missing)}", hint="install the extra: pip install 'unsprawl[train]'"
        )


def _detector() -> tuple[ContentDetector, dict[str, str]]:
    from unsprawl.detectors.detector import build

    detector = build(doubts=True)
    return detector, {rule.id: rule.kind for rule in detector.rules.rules}
