"""The exported file answers invented inputs as the network did that it was exported from."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from unsprawl.models.parity import SAMPLES, TOLERANCE, example
from unsprawl.models.runtime import session
from unsprawl.models.serving import FOLDER
from unsprawl.records import Environment, Label


def test_the_file_answers_as_the_network_did():
    settings = json.loads((FOLDER / "config.json").read_text())
    served = session(FOLDER / "model.onnx").run(["secret", "label", "environment"], example())
    for got, expected in zip(served, settings["parity"], strict=True):
        assert len(got) == SAMPLES
        assert np.abs(got.reshape(SAMPLES, -1) - np.array(expected)).max() < TOLERANCE


def test_the_settings_belong_to_the_file():
    settings = json.loads((FOLDER / "config.json").read_text())
    assert settings["digest"] == hashlib.sha256((FOLDER / "model.onnx").read_bytes()).hexdigest()[:16]
    assert settings["labels"] == [label.value for label in Label]
    assert settings["environments"] == [place.value for place in Environment]
