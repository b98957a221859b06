"""The shipped model under onnxruntime, and which classifier is chosen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from model_pairs import pair

from unsprawl.cli import main
from unsprawl.errors import ConfigError
from unsprawl.models.baseline import BaselineClassifier
from unsprawl.models.choice import chosen, chosen_folder, default_confidence
from unsprawl.models.serving import FOLDER, ContextClassifier
from unsprawl.records import Check, Label, Validity
from unsprawl.secret import Secret
from unsprawl.structs import replace

KINDS = {"generic.password": "generic", "generic.secret": "generic", "acme.key": "exact"}


@pytest.fixture(scope="module")
def classifier():
    return ContextClassifier(KINDS)


def confidence(classifier, *args, **rest):
    (verdict,) = classifier.score([pair(*args, **rest)])
    return verdict.confidence


def test_a_password_in_a_setting_is_one_and_a_stand_in_is_none(classifier):
    level = classifier.presets["balanced"]
    above = b"database:\n  host: db.acme.test\n  user: billing\n  password: '"
    assert confidence(classifier, b"Gr4nite!Falcon77", above, b"'\n  port: 5432\n") > level
    assert confidence(classifier, b"<your-password>", above, b"'\n  port: 5432\n") < level
    assert confidence(classifier, b"${DB_PASSWORD}", above, b"'\n") < level


def test_code_and_labels_are_no_secrets(classifier):
    level = classifier.presets["balanced"]
    assert confidence(classifier, b"getPassword(user)", b"x = 1\npassword = ", b"\n", "a.js") < level
    assert confidence(classifier, b"Passwort", b"'password' => '", b"',\n", "lang/de/messages.php") < level


def test_an_exact_format_is_never_dropped(classifier):
    document, candidate = pair(
        b"acmedk7gR4kq0Lw9Zt2Vx8Bn5", b"for example, a test value: ", b"\n", "docs/a.md"
    )
    verdict = classifier.score([(document, replace(candidate, rule="acme.key"))])[0]
    assert verdict.confidence >= classifier.presets["balanced"]
    proven = replace(candidate, rule="acme.key", check=Check(Validity.UNKNOWN, exact=True))
    assert classifier.score([(document, proven)])[0].confidence >= 0.6


def test_verdicts_stand_in_the_order_of_the_candidates_whatever_the_company(classifier):
    pairs = [pair(b"Gr4nite!Falcon77"), pair(b"none"), pair(b"Gr4nite!Falcon77"), pair(b"changeme")]
    together = classifier.score(pairs)
    assert together[0] == together[2]
    assert [classifier.score([one])[0] for one in pairs] == together
    assert classifier.score([]) == []


def test_labels_agree_with_the_confidence(classifier):
    for value in (b"Gr4nite!Falcon77", b"<your-password>", b"0" * 40, b"hunter2"):
        (verdict,) = classifier.score([pair(value)])
        assert (verdict.label in (Label.REAL, Label.WEAK, Label.TEST)) == (verdict.confidence >= 0.5)


def test_the_version_dates_what_was_seen(classifier):
    assert classifier.version == "context-" + json.loads((FOLDER / "config.json").read_text())["digest"]


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no model"):
        ContextClassifier({}, tmp_path)


def test_the_shipped_model_is_small_and_chosen_by_default():
    assert (FOLDER / "model.onnx").stat().st_size < 5_000_000
    assert isinstance(chosen(KINDS), ContextClassifier)
    assert 0.3 < default_confidence() < 0.99


def test_a_model_of_ones_own_is_used_and_put_aside_again(tmp_path, capsys):
    folder = tmp_path / "own"
    shutil.copytree(FOLDER, folder)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(settings | {"presets": settings["presets"] | {"balanced": 0.42}})
    )
    try:
        assert main(["model", "use", str(folder)]) == 0
        assert default_confidence() == 0.42
        assert main(["model", "card"]) == 0
        assert "Model card" in capsys.readouterr().out
    finally:
        assert main(["model", "use", "--shipped"]) == 0
    assert not chosen_folder().exists()
    assert default_confidence() != 0.42


def test_a_broken_choice_is_told(tmp_path):
    own = chosen_folder()
    own.mkdir(parents=True)
    try:
        (own / "model.onnx").write_bytes(b"")
        (own / "config.json").write_text("{")
        with pytest.raises(ConfigError, match="cannot be read"):
            chosen(KINDS)
    finally:
        shutil.rmtree(own)


@pytest.mark.parametrize("arguments", [["use"], ["use", ".", "--shipped"], ["use", "nowhere"]])
def test_wrong_calls_are_usage_errors(arguments, capsys):
    assert main(["model", *arguments]) == 2
    assert "error:" in capsys.readouterr().err


def test_training_without_the_extra_says_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("unsprawl.cli_model._NEEDED", ("no_such_library",))
    assert main(["model", "train", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "no_such_library" in error
    assert "unsprawl[train]" in error


def test_scanning_loads_neither_torch_nor_transformers(tmp_path):
    (tmp_path / "a.env").write_text("DB_PASSWORD=Gr4nite!Falcon77\n")
    code = (
        "import sys; from unsprawl.cli import main; main(['scan', sys.argv[1], '--jobs', '1', '--quiet']);"
        "assert 'onnxruntime' in sys.modules; assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_runtime_leaves_no_trace_and_reports_nothing(tmp_path):
    # Its builds for Linux report to their vendor, and a file in which they count sessions tells so.
    (tmp_path / "a.env").write_text("DB_PASSWORD=Gr4nite!Falcon77\n")
    (tmp_path / "tmp").mkdir()
    quiet = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED", "GITHUB_ACTIONS"}
    kept = {name: value for name, value in os.environ.items() if name not in quiet}
    env = kept | {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "unsprawl", "scan", str(tmp_path / "a.env"), "--jobs", "1", "--quiet"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []
    made = {path.name for path in (tmp_path / "home").rglob("*")} if (tmp_path / "home").exists() else set()
    assert not any("onnx" in name.lower() or "microsoft" in name.lower() for name in made)


def test_the_baseline_judges_where_no_model_lies(tmp_path, monkeypatch):
    monkeypatch.setattr("unsprawl.models.serving.FOLDER", tmp_path)
    assert isinstance(chosen(KINDS), BaselineClassifier)
    assert default_confidence() == 0.5


def test_secrets_do_not_show_in_what_the_classifier_prints(classifier):
    assert "Gr4nite" not in repr(classifier.score([pair(b"Gr4nite!Falcon77")]))
    assert "Gr4nite" not in repr(Secret(b"Gr4nite!Falcon77"))
