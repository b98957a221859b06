"""Which classifier judges: the one a person chose, else the shipped one, else the plain baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from unsprawl.errors import ConfigError
from unsprawl.records import Classifier

__all__ = ["Preset", "chosen", "chosen_folder"]


class Preset(Protocol):
    """A classifier that knows which confidence keeps which precision."""

    @property
    def presets(self) -> Mapping[str, float]: ...


def chosen_folder() -> Path:
    """Where ``unsprawl model use`` puts the model of this person."""
    from platformdirs import user_data_path

    return user_data_path("unsprawl") / "model"


def chosen(kinds: Mapping[str, str]) -> Classifier:
    """The classifier for rules of these kinds. Raises ``ConfigError`` when the chosen one cannot be read."""
    from unsprawl.models.serving import FOLDER, ContextClassifier, is_there

    own = chosen_folder()
    if is_there(own):
        try:
            form = json.loads((own / "config.json").read_text("utf-8")).get("format")
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"the model in {own} cannot be read",
                hint="unsprawl model use --shipped puts it aside",
            ) from error
        if form == "sequence":
            from unsprawl.models.foreign import SequenceClassifier

            return SequenceClassifier(kinds, own)
        return ContextClassifier(kinds, own)
    if is_there(FOLDER):
        return ContextClassifier(kinds)
    from unsprawl.models.baseline import BaselineClassifier

    return BaselineClassifier(kinds)
