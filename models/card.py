"""The model card: every figure of a model, on data that it was not trained on, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unsprawl.models.evaluation import Lines, calibration_error, figures, macro, reliability

__all__ = ["Report", "Surface", "render", "write"]


@dataclass(frozen=True, slots=True)
class Surface:
    """Findings on text without secrets: how many megabytes there were, and findings for each preset."""

    name: str
    megabytes: float
    findings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a model. ``confidence``, ``secret`` and ``made`` are those of all held-out candidates;
    ``made`` says which stand in made texts.
    """

    settings: Mapping[str, Any]
    lines: Lines | None
    confidence: npt.NDArray[Any]
    secret: npt.NDArray[Any]
    surface: npt.NDArray[Any]
    made: npt.NDArray[np.bool_]
    surfaces: Sequence[Surface]
    trained_on: int
    studies: Mapping[str, float] = field(default_factory=dict)
    pooled: Lines | None = None
    """All labelled lines, each judged by a model that has not seen its repository."""


def write(report: Report, path: Path) -> None:
    """Write the card to ``path``."""
    path.write_text(render(report), "utf-8")


def render(report: Report) -> str:
    """The card."""
    parts = [
        _head(report),
        _figures(report),
        _made(report),
        _calibration(report),
        _free(report),
        _studies(report),
        _LIMITS,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(report: Report) -> str:
    settings, recipe = report.settings, report.settings["recipe"]
    data = "\n".join(f"- {name}: `{digest}`" for name, digest in sorted(settings["data"].items()))
    return f"""# Model card: the context classifier

Version `context-{settings["digest"]}`. It reads a candidate with the text around it
and says how likely it is a credential value, what it is if not, and which environment it belongs to.
docs/classifier.md tells how it works.

Trained on {report.trained_on} candidates (seed {recipe["seed"]}, {recipe["size"]} generated texts twice,
{recipe["steps"]} steps). Hashes:

{data}

Everything below was measured on whole repositories, carriers and packages that took no part in training. The
thresholds keep their precision by cross-validation over the repositories; the calibration was fitted on the
held-out data that it is measured on."""


def _figures(report: Report) -> str:
    lines, pooled = report.lines, report.pooled
    if lines is None:
        return "## Labelled lines\n\nNo labelled corpus was given."
    out = _table(report, lines, "Labelled lines of repositories that were held out")
    if pooled is not None:
        out += ["", *_table(report, pooled, "All labelled lines, by cross-validation")]
    if lines.candidates:
        each = 1e3 * lines.seconds / lines.candidates
        out += ["", f"{each:.3f} CPU ms a candidate, features and network, on the machine that trained it."]
    return "\n".join(out)


def _table(report: Report, lines: Lines, title: str) -> list[str]:
    count = len({row.repository for row in lines.rows})
    out = [
        f"## {title}",
        "",
        f"{len(lines.rows)} lines, {int(lines.true.sum())} of them credentials, in {count} repositories.",
        "A candidate that the rules miss is a miss. *Core* leaves out pure identifiers (UUID, nonce, salt,",
        "bucket), *strong* also values that are words. Lines labelled X (test values, examples,",
        "placeholders, on which people disagree) are neither hits nor alarms; *with X* is the precision",
        "if they were alarms.",
        "",
        "| preset | threshold | lines | precision | with X | recall | F1 | macro F1 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    masks = {"all": np.ones(len(lines.rows), bool), "core": lines.core, "strong": lines.strong}
    for preset, level in report.settings["presets"].items():
        for name, mask in masks.items():
            one = figures(lines, level, mask)
            out.append(
                f"| {preset} | {level:.3f} | {name} | {one.precision:.3f} | {one.strict:.3f} "
                f"| {one.recall:.3f} | {one.f1:.3f} | {macro(lines, level, mask):.3f} |"
            )
    return out


def _made(report: Report) -> str:
    level = report.settings["presets"]["balanced"]
    out = [
        "## Made texts",
        "",
        "Generated carriers of families that training has not seen, most labels of them no secrets. What the",
        "balanced preset finds among their candidates:",
        "",
        "| surface | candidates | secrets | precision | recall |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in sorted(set(report.surface[report.made].tolist())):
        held = report.made & (report.surface == name)
        found, true = np.asarray(report.confidence)[held] >= level, np.asarray(report.secret)[held] > 0
        hits = int((found & true).sum())
        precision, recall = hits / max(1, int(found.sum())), hits / max(1, int(true.sum()))
        out.append(f"| {name} | {len(true)} | {int(true.sum())} | {precision:.3f} | {recall:.3f} |")
    return "\n".join(out) if report.made.any() else ""


def _calibration(report: Report) -> str:
    confidence, secret = np.asarray(report.confidence, float), np.asarray(report.secret, float)
    error = calibration_error(confidence, secret)
    out = [
        "## Calibration",
        "",
        f"Expected calibration error over all held-out candidates: {error:.3f}.",
        "",
        "| mean confidence | share of secrets | candidates |",
        "| --- | --- | --- |",
    ]
    out += [
        f"| {mean:.2f} | {share:.2f} | {count} |" for mean, share, count in reliability(confidence, secret)
    ]
    out += ["", "| surface | candidates | secrets | calibration error |", "| --- | --- | --- | --- |"]
    for name in sorted(set(report.surface.tolist())):
        held = report.surface == name
        error = calibration_error(confidence[held], secret[held])
        out.append(f"| {name} | {int(held.sum())} | {int(secret[held].sum())} | {error:.3f} |")
    low, high = report.settings["review"]
    out += ["", f"Between {low:.2f} and {high:.2f} a person should look: the review band."]
    return "\n".join(out)


def _free(report: Report) -> str:
    if not report.surfaces:
        return ""
    presets = list(report.settings["presets"])
    out = [
        "## Text without secrets",
        "",
        "Findings a megabyte; each would be a false alarm.",
        "",
        f"| surface | megabytes | {' | '.join(presets)} |",
        f"| --- | --- | {' | '.join('---' for _ in presets)} |",
    ]
    for one in report.surfaces:
        rates = (f"{one.findings[preset] / max(one.megabytes, 1e-6):.2f}" for preset in presets)
        out.append(f"| {one.name} | {one.megabytes:.1f} | {' | '.join(rates)} |")
    return "\n".join(out)


def _studies(report: Report) -> str:
    if not report.studies:
        return ""
    said = {
        "all": "value and surroundings",
        "carrier": "surroundings alone: the value is replaced by one and the same word",
        "value": "value alone: nothing around it, no path, no rule",
        "shuffled": "shuffled labels: has to fall to the base rate",
        "within": "labels shuffled within each repository: what kind of repository it is",
        "base rate": "share of secrets among the candidates",
    }
    out = [
        "## What it learns from",
        "",
        "Average precision on held-out candidates of small models, trained on the labelled lines alone.",
        "",
        "| model sees | average precision |",
        "| --- | --- |",
    ]
    out += [f"| {said[name]} | {report.studies[name]:.3f} |" for name in said if name in report.studies]
    return "\n".join(out)


_LIMITS = """## Limits

- Labels follow one corpus: credentials in tests count as credentials, obvious test values do not, and people
  disagree about where the border lies.
- English names of settings are known best; words of other languages are found by their key.
- Text of chats, tickets and wikis in training is generated; findings there deserve a look more often.
- It ranks formats that prove themselves and never drops one."""
