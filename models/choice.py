"""Which classifier judges: the one a person chose, else the shipped one, else the plain baseline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from unsprawl.errors import ConfigError
from unsprawl.records import Classifier

__all__ = ["chosen", "chosen_folder", "default_confidence"]


#: The baseline's scale has its middle here.
_PLAIN: Final = 0.5


def chosen_folder() -> Path:
    """Where ``unsprawl model use`` puts the model of this person."""
    from platformdirs import user_data_path

    return user_data_path("unsprawl") / "model"


def default_confidence() -> float:
    """What a finding needs unless a person says otherwise: the balanced preset of the chosen model."""
    from unsprawl.models.serving import FOLDER, is_there

    for folder in (chosen_folder(), FOLDER):
        if is_there(folder):
            try:
                return float(json.loads((folder / "config.json").read_text("utf-8"))["presets"]["balanced"])
            except (OSError, ValueError, KeyError, TypeError):
                break
    return _PLAIN


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
