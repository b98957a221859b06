"""Samples of synthetic texts for a person to judge: ``python -m unsprawl.models.synthesis --sample 20``."""

from __future__ import annotations

from pathlib import Path

import click

from unsprawl.models.synthesis import texts


@click.command()
@click.option("--sample", default=20, help="How many texts.")
@click.option("--seed", default=1)
@click.option("--labelled", type=click.Path(path_type=Path, exists=True), default=None)
@click.option("--split", type=click.Choice(("train", "development")), default="train")
def show(sample: int, seed: int, labelled: Path | None, split: str) -> None:
    """Print texts with their labelled values."""
    for text in texts(seed, size=sample, labelled=labelled, split=split):
        click.echo(f"--- {text.surface} {text.path} {text.group}")
        click.echo(text.body.decode("utf-8", "replace")[:1500])
        for span in text.spans:
            value = text.body[span.start : span.end].decode("utf-8", "replace")
            click.echo(f"  => {span.label} {span.style}: {value}")


if __name__ == "__main__":
    show()
